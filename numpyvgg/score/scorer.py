"""Photographs in, rows of answers out: what each process that scores has one of.

A `Scorer` is small until it is used: it holds the networks' names, and opens them when the first photographs come. So
it can be sent to another process or machine, which opens the file that it has itself, memory-mapped, and shares its
pages with the other processes there.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ArgumentError, ImageError, reported_as_argument
from ..photo.answers import Age, Answer, Value
from ..photo.faces.detectors import load_detector
from ..photo.faces.geometry import Sighting, corners, upright
from ..photo.faces.search import MARGIN, Face, align_faces, choose
from ..photo.images import SIZE
from ..photo.predictor import Prediction, Predictor
from ..version import __version__
from ..zoo.store import sha256
from .table import Box

if TYPE_CHECKING:
    from PIL import Image

#: What a scorer gives for each photograph and network, in this order
COLUMNS = ("row", "image", "network", "kind", "expected", "standard_deviation", "label", "probability", "error")
Columns = dict[str, list[Any]]
#: Digits behind the point of years and of probabilities: a run on another machine differs by rounding far below them
_YEARS, _SHARES = 4, 6
#: How many times the photograph's longest side a box of a face may have
_LARGEST_BOX = 100


class Scorer:
    """Networks that are asked about photographs by their paths; to be sent to where the photographs are.

    Parameters
    ----------
    models, labels, **said
        As for `numpyvgg.Predictor`.
    faces : bool
        Whether to look for the largest face in each photograph; else each is taken as cropped to the face.
    detector : str
        Which finds them; see `numpyvgg.photo.faces.detectors.load_detector`.
    min_size : float, optional
        Smaller faces are left out; see `numpyvgg.photo.faces.search.align_faces`.

    Examples
    --------
    >>> scorer = Scorer("age-small")
    >>> columns = scorer(["numpyvgg/data/eileen_collins.jpg"])
    >>> columns["network"], columns["kind"]
    (['age-small'], ['age'])
    """

    def __init__(
        self,
        models: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
        labels: Any = None,
        *,
        faces: bool = False,
        detector: str = "mtcnn",
        min_size: float | None = None,
        **said: Any,
    ):
        self._asked = {"models": models, "labels": labels, **said}
        self._faces, self._detector, self._min_size = faces, detector, min_size
        self._weights: dict[str, str] = {}
        self._begin()

    def _begin(self) -> None:
        self._predictor: Predictor | None = None
        self._find: Callable[[Image.Image, str], list[Face]] | None = None
        self._one_at_a_time = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        """What is sent: no network."""
        local = ("_predictor", "_find", "_one_at_a_time")
        return {name: value for name, value in vars(self).items() if name not in local}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._begin()

    def open(self) -> Predictor:
        """Open the networks, once.

        Raises
        ------
        ArgumentError
            A network is another here than where this scorer was made, or its classes have no meaning.
        FetchError, ModelFormatError, UnsupportedModelError
            As `Predictor`.
        """
        if self._predictor is None:
            predictor = Predictor(**self._asked)
            for name, network in predictor.networks.items():
                if network.labels.kind == "class":
                    raise ArgumentError(f"{name}: nobody knows what its classes mean: add --labels age or gender")
                known = self._weights.setdefault(name, network.fingerprint)
                if known != network.fingerprint:
                    raise ArgumentError(f"{network.model.path}: holds other weights than {name} where the run began")
            if self._faces:
                self._find = self._finder()
            self._predictor = predictor
        return self._predictor

    def _finder(self) -> Callable[[Image.Image, str], list[Face]]:
        detector, min_size = load_detector(self._detector), self._min_size

        def find(photo: Image.Image, name: str) -> list[Face]:
            faces = choose(align_faces(photo, detector, min_size=min_size), 1, name)
            if not faces[0].found:
                raise ImageError(f"{name}: no face was found")
            return faces

        return find

    def settings(self, boxes: bool = False) -> dict[str, Any]:
        """What decides about the answers, in words; `boxes` says that it is called with some."""
        networks = {
            name: {
                "sha256": sha256(Path(network.model.path)),
                "weights": network.fingerprint,
                "preparation": str(network.preparation),
                "labels": str(network.labels),
                "kind": network.labels.kind,
                "classes": [] if network.labels.kind == "age" else list(network.labels.names),
            }
            for name, network in self.open().networks.items()
        }
        faces = f"the largest, by {self._detector}, from {self._min_size or 'any'} pixels on" if self._faces else "none"
        if boxes and not self._faces:
            faces = "at the boxes of the list"
        return {"version": __version__, "networks": networks, "faces": faces}

    @property
    def notes(self) -> list[str]:
        """What a user of the networks should know."""
        return [note for network in self.open().networks.values() for note in network.notes]

    def __call__(
        self,
        paths: Sequence[str],
        boxes: Sequence[Box | None] | None = None,
        stop: threading.Event | None = None,
        progress: Callable[[bool], None] | None = None,
    ) -> Columns:
        """Ask about photographs.

        Parameters
        ----------
        paths : sequence of str
        boxes : sequence of box or None, optional
            The face in each photograph, to which the margin is added that the networks were trained with.
        stop : threading.Event, optional
            Once it is set, the photographs in work are answered, and the columns are shorter.
        progress : callable, optional
            Called after each photograph with whether it could not be answered.

        Returns
        -------
        dict of str to list
            The columns `COLUMNS`: a row for each photograph and network, in order; for a photograph that cannot be
            answered one row, with nothing but its error. `row` is the photograph's place in `paths`.
        """
        if isinstance(paths, str | bytes | os.PathLike) or not isinstance(paths, Iterable):
            raise ArgumentError(f"paths: give a list of photographs, not {type(paths).__name__}")
        if progress is not None and not callable(progress):
            raise ArgumentError(f"progress={progress!r}: give a function")
        paths = [str(path) for path in paths]
        known = {} if boxes is None else _boxes_by_path(paths, boxes)
        with self._one_at_a_time:
            predictor = self.open()
            find = self._find or (_by_boxes(known) if any(box is not None for box in known.values()) else False)
            columns: Columns = {name: [] for name in COLUMNS}
            answered = predictor.many(paths, find, conv="winograd", stop=stop)
            for number, prediction in enumerate(answered):
                for row in _rows(number, prediction):
                    for name, cell in zip(COLUMNS, row, strict=True):
                        columns[name].append(cell)
                if progress:
                    progress(prediction.error is not None)
            return columns


def _rows(number: int, prediction: Prediction) -> list[tuple[Any, ...]]:
    source = str(prediction.source)
    if prediction.error:
        return [(number, source, "", "", None, None, "", None, str(prediction.error).removeprefix(f"{source}: "))]
    return [(number, source, network, *_cells(given), "") for network, given in prediction.answers.items()]


def _cells(given: Answer) -> tuple[str, float | None, float | None, str, float | None]:
    """Kind, expected years and their deviation, label and its probability."""
    if isinstance(given, Age):
        return "age", round(given.expected, _YEARS), round(given.standard_deviation, _YEARS), "", None
    if isinstance(given, Value):  # a regression
        return "age", round(given.value, _YEARS), None, "", None
    return given.kind, None, None, given.label, round(given.probability, _SHARES)


def _boxes_by_path(paths: Sequence[str], boxes: Sequence[Box | None]) -> dict[str, Box | None]:
    """The box of each photograph, if there is one for each and they are boxes."""
    if not isinstance(boxes, Sequence) or len(boxes) != len(paths):
        raise ArgumentError(f"boxes: give a list with one, or None, for each of {len(paths)} photographs")
    found: dict[str, Box | None] = {}
    for path, box in zip(paths, boxes, strict=True):
        with reported_as_argument(f"the box of {path}"):
            sides = None if box is None else np.array(box, float)
        if sides is not None and (
            sides.shape != (4,) or not np.isfinite(sides).all() or (sides[2:] <= sides[:2]).any()
        ):
            raise ArgumentError(f"the box of {path}: {box!r}: left, top, right, bottom are needed")
        if sides is not None:
            left, top, right, bottom = sides.tolist()
            box = left, top, right, bottom
        if found.setdefault(path, box) != box:
            raise ArgumentError(f"{path}: is there twice, with two boxes: ask about them in two calls")
    return found


def _by_boxes(boxes: dict[str, Box | None]) -> Callable[[Image.Image, str], list[Face]]:
    """What finds the face of each photograph where the list says that it is."""

    def find(photo: Image.Image, name: str) -> list[Face]:
        box = boxes[name]
        if box is None:
            raise ImageError(f"{name}: no box of its face")
        left, top, right, bottom = box
        if right <= 0 or bottom <= 0 or left >= photo.width or top >= photo.height:
            raise ImageError(f"{name}: the box of its face is outside the photograph")
        extent = np.array([right - left, bottom - top])
        if extent.max() > _LARGEST_BOX * max(photo.width, photo.height):
            raise ImageError(f"{name}: the box of its face is {_LARGEST_BOX} times as large as the photograph")
        face = Sighting(np.array([left, top]) + extent / 2, extent, 0.0, 1.0)
        crop = upright(photo, face.centre, extent * (1 + 2 * MARGIN), 0.0, (SIZE, SIZE))
        return [Face(crop, 0.0, corners(face), 1.0)]

    return find
