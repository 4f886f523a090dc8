"""What `numpyvgg predict` prints of a photograph: a line for people, an object of JSON, rows of CSV."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from ..errors import printable
from ..files.lines import csv_line, csv_path
from ..photo.answers import Age, Answer, Value
from ..photo.faces.search import Face
from ..photo.predictor import Prediction
from ..text import sparkline
from .output import json_text


class Writer(Protocol):
    """Turns what is said of a photograph into lines of output."""

    def lines(self, path: str, predictions: Sequence[Prediction]) -> Iterator[str]: ...


class Text:
    """One line a photograph, or a face, for people; with `top`, the most probable classes and a chart of ages too."""

    def __init__(self, top: int):
        self.top = top

    def lines(self, path: str, predictions: Sequence[Prediction]) -> Iterator[str]:
        for prediction in predictions:
            face = prediction.face
            which = f" face {face.number} of {face.count}," if face and face.found else ""
            yield printable(f"{path}:{which}{f' {face}:' if face else ''} {prediction}")
            for network, given in prediction.answers.items():
                top = most_probable(given, self.top)
                if top:
                    name = prediction.labels[network].name
                    yield printable(f"  {network}: {', '.join(f'{name(i)} {p:.1%}' for i, p in top)}")
                if top and isinstance(given, Age):
                    yield from (f"  {line}" for line in age_chart(given.probabilities))


class JsonLines:
    """One JSON object a photograph, with every probability; where faces were looked for, a list of them in it."""

    def __init__(self, top: int):
        self.top = top

    def lines(self, path: str, predictions: Sequence[Prediction]) -> Iterator[str]:
        faces = [{**_face_record(prediction.face), "answers": self._answers(prediction)} for prediction in predictions]
        record = {"faces": faces} if predictions[0].face else faces[0]
        yield json_text({"image": path, "conv": predictions[0].conv, **record})

    def _answers(self, prediction: Prediction) -> list[dict[str, Any]]:
        return [
            {"network": network, "preparation": str(prediction.preparations[network]), **self._answer(given)}
            for network, given in prediction.answers.items()
        ]

    def _answer(self, given: Answer) -> dict[str, Any]:
        record: dict[str, Any] = {"kind": given.kind}
        record.update((key, value) for key, value in vars(given).items() if key != "probabilities")
        if self.top:
            record["top"] = [{"class": i, "probability": p} for i, p in most_probable(given, self.top)]
        if not isinstance(given, Value):
            record["probabilities"] = np.asarray(given.probabilities, np.float64).tolist()
        return record


def column_types(top: int, faces: bool) -> dict[str, str]:
    """The columns of a table of answers, in order, with pyarrow's names of their types."""
    ranks = range(1, top + 1)
    return {
        "image": "string",
        **(
            {"face": "int64", "found": "bool_", "angle": "float64", "box": "string", "score": "float64"}
            if faces
            else {}
        ),
        **{"network": "string", "kind": "string", "expected": "float64", "standard_deviation": "float64"},
        **{"most_probable": "int64", "label": "string", "probability": "float64"},
        **{"preparation": "string", "value": "float64", "unit": "string", "conv": "string"},
        **{f"top_{i}_{what}": kind for i in ranks for what, kind in (("class", "int64"), ("probability", "float64"))},
    }


def records(path: str, predictions: Sequence[Prediction], top: int) -> Iterator[dict[str, Any]]:
    """A row for each face, or photograph, and network; it lacks the columns that the kind of answer does not have."""
    for prediction in predictions:
        number = prediction.face.number if prediction.face else None
        common = {"image": path, "face": number, **_face_record(prediction.face), "conv": prediction.conv}
        for network, given in prediction.answers.items():
            preparation = str(prediction.preparations[network])
            record = {**common, "network": network, "preparation": preparation, "kind": given.kind, **vars(given)}
            record.pop("probabilities", None)
            for place, (i, p) in enumerate(most_probable(given, top), start=1):
                record.update({f"top_{place}_class": i, f"top_{place}_probability": p})
            yield record


class Csv:
    """A row for each photograph, or face, and network: the columns that the kind of answer does not have are empty."""

    def __init__(self, top: int, faces: bool):
        self.columns = list(column_types(top, faces))
        self.top = top
        self._begun = False

    def lines(self, path: str, predictions: Sequence[Prediction]) -> Iterator[str]:
        if not self._begun:
            yield csv_line(self.columns)
            self._begun = True
        yield from self.rows(path, predictions)

    def rows(self, path: str, predictions: Sequence[Prediction], in_file: bool = False) -> Iterator[str]:
        """Without the line of columns."""
        for record in records(csv_path(path), predictions, self.top):
            record["network"] = csv_path(record["network"])
            yield csv_line([record.get(column, "") for column in self.columns], in_file)


def _face_record(face: Face | None) -> dict[str, Any]:
    """What is said of a face; `box` are its four corners (x, y) in the photograph."""
    if face is None:
        return {}
    return {"found": face.found, "angle": face.angle, "box": face.box.round(2).tolist(), "score": face.score}


def most_probable(given: Answer, count: int) -> list[tuple[int, float]]:
    """The `count` most probable classes with their probabilities, the first first; none of a regression."""
    if isinstance(given, Value):
        return []
    p = np.asarray(given.probabilities, np.float64)
    return [(int(i), float(p[i])) for i in np.argsort(-p, kind="stable")[:count]]


def age_chart(probabilities: np.ndarray) -> list[str]:
    """A bar chart of an age distribution in two lines: bars of two years each, and the years under them."""
    pairs = np.append(probabilities, np.zeros(len(probabilities) % 2)).reshape(-1, 2).sum(axis=1)  # 0-1, 2-3, ...
    years = "".join(f"{year:<5}" for year in range(0, len(probabilities), 10))
    return [sparkline(pairs).rstrip(), years.rstrip()]
