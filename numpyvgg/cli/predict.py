"""Tell age and gender from photographs of faces."""

from __future__ import annotations

import argparse
import glob
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image
from tqdm import tqdm

from ..errors import ArgumentError, ImageError, printable
from ..photo.answers import Age, Answer, Gender
from ..photo.faces.detectors import DETECTOR_HELP, load_detector
from ..photo.faces.search import Face
from ..photo.images import CHANNELS, load_image
from ..photo.predictor import DEX_MODELS, SMALL_MODELS, Prediction, Predictor, default_models
from ..text import human_bytes, sparkline
from ..zoo import PUBLISHED
from .output import check_file, csv_line, csv_path, json_text, written

#: Kinds of file that --draw writes
DRAWINGS = (".jpg", ".jpeg", ".png", ".tif", ".webp")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images", metavar="IMAGE", nargs="+", help="photographs cropped to the face, folders or globs")
    parser.add_argument("--faces", action="store_true", help="photographs not cropped: find the faces, answer for each")
    parser.add_argument("--detector", metavar="NAME|PATH", help=f"with --faces: {DETECTOR_HELP}")
    parser.add_argument(
        "--draw", metavar="FILE", type=Path, help="with --faces: draw them and the answers on the photograph"
    )
    parser.add_argument(
        "--model",
        metavar="NAME|PATH",
        action="append",
        help=f"a network, more than once for several; default: those fetched of {' and '.join(DEX_MODELS)}, "
        "else small: the two bundled ones",
    )
    parser.add_argument("--channels", choices=CHANNELS, default="bgr", help="the order that the networks take (bgr)")
    parser.add_argument("--top", metavar="N", type=int, default=0, help="show the N most probable classes, and a chart")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON lines: one object a photograph")
    form.add_argument("--csv", action="store_true", help="print CSV: one row for each photograph and network")


def run(args: argparse.Namespace) -> int:
    if args.top < 0:
        raise ArgumentError(f"--top {args.top}: give a number of classes, 1 or more")
    paths = find_images(args.images)
    _check_faces(args, paths)
    models = args.model or default_models()
    if not args.model and models == SMALL_MODELS:
        size = human_bytes(sum(PUBLISHED[name].size for name in DEX_MODELS))
        print(
            f"numpyvgg: the small networks answer, for tightly cropped faces; for those of the paper: "
            f"numpyvgg fetch {' '.join(DEX_MODELS)} ({size} together)",
            file=sys.stderr,
        )
    predictor = Predictor(models, args.channels)
    writer: Writer = JsonLines(args.top) if args.json else Csv(args.top, args.faces) if args.csv else Text(args.top)
    detector = load_detector(args.detector or "mtcnn") if args.faces else None
    unreadable = 0
    for path in tqdm(paths, unit="image", disable=True if len(paths) == 1 else None):
        try:
            image = load_image(path)
            predictions = predictor.faces(image, detector) if args.faces else [predictor(image)]
        except ImageError as error:
            unreadable += 1
            tqdm.write(f"numpyvgg: {error}", file=sys.stderr)
            continue
        for line in writer.lines(path, predictions):
            tqdm.write(line)
        if args.draw:
            _draw(args.draw, image, predictions)
    if unreadable:
        print(f"numpyvgg: {unreadable} of {len(paths)} images could not be read", file=sys.stderr)
    return 1 if unreadable else 0


def _check_faces(args: argparse.Namespace, paths: Sequence[str]) -> None:
    """Raise the `ArgumentError` that says which options do not go together, before any work is done."""
    for option in ("detector", "draw"):
        if getattr(args, option) and not args.faces:
            raise ArgumentError(f"--{option} is for finding faces: add --faces")
    if args.draw and len(paths) != 1:
        raise ArgumentError(f"--draw draws on one photograph, not on {len(paths)}: call it once for each")
    if args.draw:
        check_file("--draw", args.draw, DRAWINGS, inputs=paths)


def _draw(path: Path, photo: Image.Image, predictions: Sequence[Prediction]) -> None:
    from ..photo.draw import draw_faces, label

    faces = [prediction.face for prediction in predictions if prediction.face]
    picture = draw_faces(photo, faces, [label(prediction) for prediction in predictions])
    with written("--draw", path) as file:
        picture.save(file, Image.registered_extensions()[path.suffix.lower()], quality=90)


def find_images(patterns: Sequence[str]) -> list[str]:
    """The files that paths, globs and folders stand for, in order, each once.

    Of a folder, whatever has an image's suffix, in it and below it. A path that does not exist stays as it is, so that
    it is reported as unreadable in its turn.
    """
    found: dict[str, None] = {}
    for pattern in patterns:
        matches = [pattern] if os.path.exists(pattern) else sorted(glob.glob(pattern, recursive=True)) or [pattern]
        for match in matches:
            found.update(dict.fromkeys(_in_folder(match) if os.path.isdir(match) else [match]))
    return list(found)


def _in_folder(folder: str) -> list[str]:
    suffixes = set(Image.registered_extensions())
    paths = sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in suffixes and path.is_file())
    if not paths:
        raise ArgumentError(f"{folder}: there is no file with an image's suffix in this folder")
    return [str(path) for path in paths]


# ---------------------------------------------------------------------- output


class Writer(Protocol):
    """Turns what is said of a photograph into lines of output."""

    def lines(self, path: str, predictions: Sequence[Prediction]) -> Iterator[str]: ...


class Text:
    """One line a photograph, or a face, for people; with `top`, the most probable classes and a chart of ages too."""

    def __init__(self, top: int):
        self.top = top

    def lines(self, path: str, predictions: Sequence[Prediction]) -> Iterator[str]:
        for number, prediction in enumerate(predictions, start=1):
            face = prediction.face
            which = f" face {number} of {len(predictions)}," if face and face.found else ""
            yield printable(f"{path}:{which}{f' {face}:' if face else ''} {prediction}")
            for network, given in prediction.answers.items():
                if self.top:
                    classes = ", ".join(f"{_label(given, i)} {p:.1%}" for i, p in most_probable(given, self.top))
                    yield printable(f"  {network}: {classes}")
                    if isinstance(given, Age):
                        yield from (f"  {line}" for line in age_chart(given.probabilities))


class JsonLines:
    """One JSON object a photograph, with every probability; where faces were looked for, a list of them in it."""

    def __init__(self, top: int):
        self.top = top

    def lines(self, path: str, predictions: Sequence[Prediction]) -> Iterator[str]:
        faces = [{**_face_record(prediction.face), "answers": self._answers(prediction)} for prediction in predictions]
        record = {"faces": faces} if predictions[0].face else faces[0]
        yield json_text({"image": path, **record})

    def _answers(self, prediction: Prediction) -> list[dict[str, Any]]:
        return [{"network": network, **self._answer(given)} for network, given in prediction.answers.items()]

    def _answer(self, given: Answer) -> dict[str, Any]:
        record: dict[str, Any] = {"kind": type(given).__name__.lower()}
        record.update((key, value) for key, value in vars(given).items() if key != "probabilities")
        if self.top:
            record["top"] = [{"class": i, "probability": p} for i, p in most_probable(given, self.top)]
        return {**record, "probabilities": np.asarray(given.probabilities, np.float64).tolist()}


class Csv:
    """A row for each photograph, or face, and network: the columns that the kind of answer does not have are empty."""

    COLUMNS = ("image", "network", "kind", "expected", "standard_deviation", "most_probable", "label", "probability")

    def __init__(self, top: int, faces: bool):
        self.columns = [
            *self.COLUMNS[:1],
            *(("face", "found", "angle", "box", "score") if faces else ()),
            *self.COLUMNS[1:],
            *(f"top_{i}_{what}" for i in range(1, top + 1) for what in ("class", "probability")),
        ]
        self.top = top
        self._begun = False

    def lines(self, path: str, predictions: Sequence[Prediction]) -> Iterator[str]:
        if not self._begun:
            yield csv_line(self.columns)
            self._begun = True
        for number, prediction in enumerate(predictions, start=1):
            common = {"image": csv_path(path), "face": number, **_face_record(prediction.face)}
            for network, given in prediction.answers.items():
                record = {**common, "network": csv_path(network), "kind": type(given).__name__.lower(), **vars(given)}
                for place, (i, p) in enumerate(most_probable(given, self.top), start=1):
                    record.update({f"top_{place}_class": i, f"top_{place}_probability": p})
                yield csv_line([record.get(column, "") for column in self.columns])


def _face_record(face: Face | None) -> dict[str, Any]:
    """What is said of a face; `box` are its four corners (x, y) in the photograph."""
    if face is None:
        return {}
    return {"found": face.found, "angle": face.angle, "box": face.box.round(2).tolist(), "score": face.score}


def most_probable(given: Answer, count: int) -> list[tuple[int, float]]:
    """The `count` most probable classes with their probabilities, the first first."""
    p = np.asarray(given.probabilities, np.float64)
    return [(int(i), float(p[i])) for i in np.argsort(-p, kind="stable")[:count]]


def _label(given: Answer, index: int) -> str:
    from ..photo.answers import GENDERS

    return GENDERS[index] if isinstance(given, Gender) else str(index)


def age_chart(probabilities: np.ndarray) -> list[str]:
    """A bar chart of an age distribution in two lines: bars of two years each, and the years under them."""
    pairs = np.append(probabilities, 0).reshape(-1, 2).sum(axis=1)  # [51]: 0-1, 2-3, ..., 100
    years = "".join(f"{year:<5}" for year in range(0, 101, 10))
    return [sparkline(pairs).rstrip(), years.rstrip()]
