"""`--draw`: photographs with what was found and said on them, in a file or, for many, in a folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ArgumentError
from ..photo.pillow import required
from ..photo.predictor import Prediction
from .output import check_file, check_folder, names_for, written

if TYPE_CHECKING:
    from PIL import Image

#: Kinds of file that are written
SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".webp")


def drawings(target: Path, paths: Sequence[str]) -> dict[str, Path]:
    """Which file the drawing of each photograph goes to.

    Where `target` ends like an image's name, that file, for one photograph. Else it is a folder; there a drawing has
    its photograph's name, as PNG where that is of another kind than the written ones. Where photographs have the same
    name, drawings lie in folders as their photographs do.

    Raises
    ------
    ArgumentError
        There are many photographs and one file; two photographs would go to the same file, or one over itself;
        it cannot be written to.
    MissingExtraError
        Pillow is not installed.
    """
    required("--draw")
    if target.suffix.lower() in SUFFIXES and not target.is_dir():
        if len(paths) != 1:
            raise ArgumentError(f"--draw {target}: one file for {len(paths)} photographs: name a folder")
        check_file("--draw", target, SUFFIXES, inputs=paths)
        return {paths[0]: target}
    if len(paths) == 1 and not target.is_dir() and target.suffix:
        check_file("--draw", target, SUFFIXES, inputs=paths)  # says which kinds there are
    places = names_for(paths, lambda name: name if Path(name).suffix.lower() in SUFFIXES else f"{name}.png")
    for folder in {target, *(target / place.parent for place in places)}:
        check_folder("--draw", folder)
    photographs = {_identity(path) for path in paths} - {None}
    for place in places:
        inputs = paths if _identity(target / place) in photographs else ()
        check_file("--draw", target / place, SUFFIXES, inputs=inputs)
    return {path: target / place for path, place in zip(paths, places, strict=True)}


def _identity(path: str | Path) -> tuple[int, int] | None:
    """What tells a file from others, whatever its path; None where there is none."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):  # ValueError: a NUL character
        return None
    return status.st_dev, status.st_ino


def draw(drawing: Path, photo: Image.Image, predictions: Sequence[Prediction]) -> None:
    """Draw boxes and answers on a photograph."""
    from ..photo.draw import draw_faces, label

    faces = [prediction.face for prediction in predictions if prediction.face]
    picture = draw_faces(photo, faces, [label(prediction) for prediction in predictions])
    with written("--draw", drawing) as file:
        picture.save(file, required("--draw").registered_extensions()[drawing.suffix.lower()], quality=90)
