"""``report.html``: the scores as one page that needs nothing but itself.

What is said stands in ``page.html``, and colours in ``page.css``. Charts are SVG of a hundred units a side: a year of
age or a percent each. Photographs are linked and not embedded, so that the page itself shows nobody's face.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

from ..errors import MissingExtraError
from .metrics import SMALLEST_DEVIATION
from .scores import Answers, Truth
from .table import Table

try:
    from ..pages import beside, environment
except ImportError:
    raise MissingExtraError("report.html needs jinja2: pip install jinja2") from None

#: Years that a cell of the scatter plot is wide and high: few enough cells for half a million photographs
CELL = 2
#: Photographs that are listed as worst
WORST = 20
#: Shares of a normal distribution, around its middle, that calibration is looked at for
SHARES = tuple(range(10, 100, 10))


def render(table: Table, result: Mapping[str, Any], answers: Mapping[str, Answers]) -> str:
    """Write the page.

    Parameters
    ----------
    table : Table
    result : mapping
        The content of ``scores.json``.
    answers : mapping of str to Answers
        By network.

    Returns
    -------
    str
        HTML.
    """
    templates = environment(__package__)
    templates.filters.update(number=_number, of=_of)
    truth = Truth(table)
    networks = [
        {**network, **_charts(table, truth, answers[network["network"]])}
        if network["kind"] == "age" and not np.isnan(truth.age).all()
        else network
        for network in result["networks"]
    ]
    style = beside(__package__, "page.css")
    text = templates.get_template("page.html").render({**result, "networks": networks, "style": style})
    return text.encode("utf-8", "backslashreplace").decode()  # names that are no UTF-8


def _number(value: float | None) -> str:
    """Two digits behind the point, with a true minus sign; nothing for None."""
    return "" if value is None else f"{value:.2f}".replace("-", "−")


def _of(measures: list[dict[str, Any]], name: str) -> float | None:
    """The value of a measure among others; None where it is not there."""
    return next((each["value"] for each in measures if each["measure"] == name), None)


# ---------------------------------------------------------------------- charts of ages


def _charts(table: Table, truth: Truth, answers: Answers) -> dict[str, Any]:
    """What the page shows of a network of ages, beside its scores."""
    return {
        "cells": scatter(truth.age, answers.expected),
        "calibration": calibration(truth.age, answers.expected, answers.deviation),
        "worst": _worst(table, truth, answers),
    }


def scatter(truth: np.ndarray, estimate: np.ndarray) -> list[tuple[int, int, float]]:
    """Cells of true age and estimated age, in years, with how dark each is: the logarithm of its count, 0 to 1."""
    known = ~np.isnan(truth) & ~np.isnan(estimate)
    edges = np.arange(0, 100 + CELL, CELL)
    counts, _, _ = np.histogram2d(truth[known].clip(0, 99.9), estimate[known].clip(0, 99.9), [edges, edges])
    shades = np.log1p(counts) / np.log1p(max(counts.max(), 1))
    return [(int(x) * CELL, int(y) * CELL, round(float(shades[x, y]), 2)) for x, y in np.argwhere(counts)]


def calibration(truth: np.ndarray, estimate: np.ndarray, deviation: np.ndarray) -> list[tuple[int, float]]:
    """For each of `SHARES`, how many percent of the truths are within that share of the network's own distribution.

    The distribution is taken as normal, with the network's mean and deviation. Empty where it has none.
    """
    distance = np.abs(estimate - truth) / np.maximum(deviation, SMALLEST_DEVIATION)
    distance = distance[~np.isnan(distance)]
    if not distance.size:
        return []
    limits = [NormalDist().inv_cdf(0.5 + share / 200) for share in SHARES]
    return [(share, float(100 * np.mean(distance <= limit))) for share, limit in zip(SHARES, limits, strict=True)]


def _worst(table: Table, truth: Truth, answers: Answers) -> list[dict[str, Any]]:
    """The photographs with the largest errors, linked to where they lie."""
    error = answers.expected - truth.age
    order = np.argsort(-np.abs(error), kind="stable")  # nan comes last
    worst = [int(row) for row in order[:WORST] if not np.isnan(error[row])]
    return [
        {
            "image": table.rows[row].image,
            "link": Path(os.path.abspath(os.path.join(table.folder, table.rows[row].image))).as_uri(),
            "age": float(truth.age[row]),
            "expected": float(answers.expected[row]),
            "error": float(error[row]),
        }
        for row in worst
    ]
