"""From a table and what networks said of its photographs to the scores: the content of ``scores.json``."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..files.lines import csv_path
from . import metrics
from .groups import group_of, ordered, span
from .metrics import Values
from .published import caution, figures
from .table import Row, Table

#: What a measure's numbers are
UNITS = {
    "mae": "years",
    "rmse": "years",
    "bias": "years",
    "epsilon_error": "",
    "log_score": "",
    "expected_log_score": "",
}
#: The measures that are told for decades, genders and groups, by what a network answers
TOLD = ("mae", "bias", "cs5", "exact", "one_off", "accuracy")
GENDERS = ["female", "male"]


@dataclass
class Answers:
    """What one network said of each row; nan and "" where it said nothing."""

    expected: Values
    deviation: Values
    label: list[str]

    @classmethod
    def none(cls, rows: int) -> Answers:
        return cls(np.full(rows, np.nan), np.full(rows, np.nan), [""] * rows)

    @property
    def count(self) -> int:
        """How many rows it said something of."""
        return sum(bool(label) or not math.isnan(years) for label, years in zip(self.label, self.expected, strict=True))


def collect(rows: int, networks: Iterable[str], lines: Iterable[Sequence[str]]) -> dict[str, Answers]:
    """The answers in shards, by network.

    Parameters
    ----------
    rows : int
        Of the table.
    networks : iterable of str
        Their names; a line has them as `csv_path` writes them.
    lines : iterable of sequence of str
        Row, network, kind, expected, standard_deviation, label, probability.
    """
    answers = {name: Answers.none(rows) for name in networks}
    written = {csv_path(name): given for name, given in answers.items()}
    for row, network, _, expected, deviation, label, _ in lines:
        given, i = written[network], int(row)
        given.expected[i] = float(expected or "nan")
        given.deviation[i] = float(deviation or "nan")
        given.label[i] = label
    return answers


class Truth:
    """A table's labels as arrays."""

    def __init__(self, table: Table):
        self.rows, self.edges = table.rows, table.edges
        self.age = np.array([math.nan if row.age is None else row.age for row in table.rows])
        self.sigma = np.array([math.nan if row.std is None else row.std for row in table.rows])
        self.gender = places([row.gender for row in table.rows], GENDERS)
        self.groups = ordered(row.group for row in table.rows if row.group)
        self.group = places([row.group for row in table.rows], self.groups)
        self.subjects = _numbered([row.subject for row in table.rows])
        folds = [row.fold for row in table.rows]
        self.folds = places(folds, sorted({*folds} - {""}))

    def group_in(self, classes: list[str]) -> NDArray[np.int64]:
        """Each row's place among a network's groups: that of its group, or of its age; -1 where it has none."""
        spans = [span(label) for label in classes]
        if self.groups and [span(label) for label in self.groups] == spans:
            return self.group
        if None in spans:
            return np.full(len(self.rows), -1)
        inside = [next((i for i, (low, high) in enumerate(spans) if low <= age <= high), -1) for age in self.age]  # type: ignore[misc]
        return np.array(inside)


def places(labels: Sequence[str], order: Sequence[str]) -> NDArray[np.int64]:
    """Where each label stands in an order; -1 for those that do not."""
    numbers = {label: place for place, label in enumerate(order)}
    return np.array([numbers.get(label, -1) for label in labels], np.int64)


def _numbered(labels: list[str]) -> NDArray[np.int64] | None:
    """A number for each different label, a new one for each row without; None where no row has any."""
    if not any(labels):
        return None
    numbers: dict[object, int] = {}
    return np.array([numbers.setdefault(label or i, len(numbers)) for i, label in enumerate(labels)], np.int64)


# ---------------------------------------------------------------------- one network


def score_network(truth: Truth, answers: Answers, kind: str, classes: list[str]) -> dict[str, Any]:
    """The scores of one network.

    Parameters
    ----------
    truth : Truth
    answers : Answers
    kind : {"age", "age_group", "gender"}
    classes : list of str
        The network's labels, in its order; of an age none.

    Returns
    -------
    dict
        ``measures``, ``confusion`` and ``by`` of ``scores.json``.
    """
    values: dict[str, Values] = {}
    confusion = None
    if kind == "gender":
        answer = places(answers.label, GENDERS)
        values = metrics.of_genders(answer, truth.gender)
        confusion = _confusion(answer, truth.gender, GENDERS)
    elif kind == "age_group":
        order = ordered(classes)
        answer, wanted = places(answers.label, order), truth.group_in(order)
        values = metrics.of_groups(answer, wanted)
        confusion = _confusion(answer, wanted, order)
    else:
        if not np.isnan(truth.age).all():
            values = metrics.of_ages(answers.expected, answers.deviation, truth.age, truth.sigma)
        if len(truth.groups) > 1:
            spans = [ages for label in truth.groups if (ages := span(label))]
            answer = np.array([-1 if math.isnan(x) else group_of(x, spans, truth.edges) for x in answers.expected])
            values.update(metrics.of_groups(answer, truth.group))
            confusion = _confusion(answer, truth.group, truth.groups)
    summaries = metrics.summarise(values, truth.subjects, truth.folds) if values else {}
    measures = [
        {"measure": measure, "unit": UNITS.get(measure, "%"), **asdict(summary)}
        for measure, summary in summaries.items()
    ]
    return {"measures": measures, "confusion": confusion, "by": _by(truth, values)}


def _confusion(answer: NDArray[np.int64], truth: NDArray[np.int64], classes: list[str]) -> dict[str, Any]:
    return {"classes": classes, "counts": metrics.confusion(answer, truth, len(classes)).tolist()}


def decade(row: Row) -> str:
    """``20-29``; "" without an age."""
    return "" if row.age is None else f"{int(row.age) // 10 * 10}-{int(row.age) // 10 * 10 + 9}"


def _by(truth: Truth, values: Mapping[str, Values]) -> list[dict[str, Any]]:
    """The measures for each decade, gender, group and race, with the number of photographs."""
    told = {measure: numbers for measure, numbers in values.items() if measure in TOLD}
    records = []
    for what, of in (("decade", decade), *((name, _cell(name)) for name in ("gender", "group", "race"))):
        labels = np.array([of(row) for row in truth.rows])
        order = sorted(set(labels.tolist()) - {""}, key=lambda label: (span(label) or (math.inf, 0), label))
        for label in order:
            here = labels == label
            parts = {measure: numbers[here] for measure, numbers in told.items()}
            n = max((int((~np.isnan(part)).sum()) for part in parts.values()), default=0)
            if n:
                shown = [{"measure": measure, "value": metrics.mean(measure, part)} for measure, part in parts.items()]
                known = [each for each in shown if not math.isnan(float(str(each["value"])))]
                records.append({"by": what, "value": label, "n": n, "measures": known})
    return records


def _cell(name: str) -> Any:
    return lambda row: getattr(row, name)


# ---------------------------------------------------------------------- all of them


def scores(
    table: Table, manifest: Mapping[str, Any], answers: Mapping[str, Answers], errors: Counter[str]
) -> dict[str, Any]:
    """The content of ``scores.json``.

    Parameters
    ----------
    table : Table
    manifest : mapping
        Of the run.
    answers : mapping of str to Answers
        By network.
    errors : Counter of str
        Photographs that could not be answered, by reason.
    """
    truth = Truth(table)
    form, protocol = manifest["format"], manifest["protocol"]
    networks = []
    for name, settings in manifest["settings"]["networks"].items():
        result = score_network(truth, answers[name], settings["kind"], settings["classes"])
        networks.append({"network": name, **settings, "answered": answers[name].count, **result})
    cautions = [text for text in (caution(form, name) for name in answers) if text]
    return {
        "version": manifest["settings"]["version"],
        "format": form,
        "protocol": protocol,
        "faces": manifest["settings"]["faces"],
        "rows": len(table.rows),
        "errors": _counted(errors),
        "unused": _counted(Counter(reason for _, reason in table.unused)),
        "lost_labels": _counted(table.lost),
        "remarks": [*table.remarks, *cautions],
        "networks": networks,
        "published": [asdict(figure) for figure in figures(form, protocol)],
    }


def _counted(reasons: Counter[str]) -> list[dict[str, Any]]:
    return [{"reason": reason, "n": n} for reason, n in sorted(reasons.items(), key=lambda item: (-item[1], item[0]))]
