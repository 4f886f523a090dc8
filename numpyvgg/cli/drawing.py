"""`--draw`: photographs with what was found and said on them, in a file or, for many, in a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ArgumentError
from ..photo.pillow import required
from ..photo.predictor import Prediction
from .output import check_file, check_folder, written

if TYPE_CHECKING:
    from PIL import Image

#: Kinds of file that are written
SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".webp")


def drawings(target: Path, paths: Sequence[str]) -> dict[str, Path]:
    """Which file the drawing of each photograph goes to.

    Where `target` ends like an image's name, that file, for one photograph. Else it is a folder; there a drawing has
    its photograph's name, as PNG where that is of another kind than the written ones.

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
    check_folder("--draw", target)
    found: dict[Path, str] = {}
    for path in paths:
        name = Path(path).name
        drawing = target / (name if Path(name).suffix.lower() in SUFFIXES else f"{name}.png")
        if drawing in found:
            raise ArgumentError(
                f"--draw {target}: {found[drawing]} and {path} would both be {drawing.name}: name two folders"
            )
        check_file("--draw", drawing, SUFFIXES, inputs=paths)
        found[drawing] = path
    return {path: drawing for drawing, path in found.items()}


def draw(drawing: Path, photo: Image.Image, predictions: Sequence[Prediction]) -> None:
    """Draw boxes and answers on a photograph."""
    from ..photo.draw import draw_faces, label

    faces = [prediction.face for prediction in predictions if prediction.face]
    picture = draw_faces(photo, faces, [label(prediction) for prediction in predictions])
    with written("--draw", drawing) as file:
        picture.save(file, required("--draw").registered_extensions()[drawing.suffix.lower()], quality=90)
