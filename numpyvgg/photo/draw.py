"""Draw what was found on the photograph: a box around each face, turned as the face is, and what is said of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..errors import MissingExtraError
from .answers import Age, Value
from .faces.search import Face
from .predictor import Prediction

BOX, SHADOW = (255, 214, 0), (0, 0, 0)
#: longest side, in pixels, below which the picture is enlarged: letters need room
MIN_SIDE = 480
#: letters are at least this high, in pixels
MIN_LETTERS = 15


def label(prediction: Prediction) -> str:
    """The answers in a few letters, a line for each network."""
    lines = []
    for given in prediction.answers.values():
        if isinstance(given, Age):
            lines.append(f"{given.expected:.0f} years")
        else:
            lines.append(str(given) if isinstance(given, Value) else given.label)
    if prediction.face and not prediction.face.found:
        lines.insert(0, "no face found")
    return "\n".join(lines)


def draw_faces(photo: Image.Image, faces: Sequence[Face], labels: Sequence[str]) -> Image.Image:
    """Draw boxes and labels on a copy of a photograph.

    Lines and letters grow with the photograph, so that both a thumbnail and a poster can be read; a photograph of less
    than 480 pixels is enlarged.

    Parameters
    ----------
    photo : PIL.Image.Image
        Mode RGB.
    faces : sequence of Face
        As `numpyvgg.photo.faces.align_faces` gives them. One that stands for the whole photograph gets no box.
    labels : sequence of str
        For each face; may have several lines, or none.

    Returns
    -------
    PIL.Image.Image

    Raises
    ------
    MissingExtraError
        Pillow is older than 10.1.
    """
    scale = max(1, -(-MIN_SIDE // max(photo.size)))
    picture = photo.resize((photo.width * scale, photo.height * scale), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(picture)
    width = max(2, round(max(picture.size) / 300))
    for face in faces:
        if face.found:
            outline = [tuple(corner) for corner in (face.box * scale).tolist()]
            for color, thickness in ((SHADOW, width + 2), (BOX, width)):
                draw.line([*outline, *outline[:2]], fill=color, width=thickness, joint="curve")
    for face, words in zip(faces, labels, strict=True):  # after all boxes: no line through words
        if words:
            _write(draw, picture.size, face.box * scale, words, face.found)
    return picture


def _write(draw: ImageDraw.ImageDraw, size: tuple[int, int], box: np.ndarray, words: str, found: bool) -> None:
    """Write a label under its box, or over it where there is no room below, or inside where there is none above."""
    across = float(np.linalg.norm(box[1] - box[0])) if found else max(size) / 4
    letters = max(MIN_LETTERS, min(across / 5, max(size) / 30))
    left, top, right, bottom = draw.textbbox((0, 0), words, font=_font(letters))
    if right - left > size[0] - letters:  # a long label on a narrow photograph
        letters *= (size[0] - letters) / (right - left)
        left, top, right, bottom = draw.textbbox((0, 0), words, font=_font(letters))
    margin = letters / 4
    width, height = right - left + 2 * margin, bottom - top + 2 * margin
    x = float(np.clip(box[:, 0].mean() - width / 2, 0, max(size[0] - width, 0)))
    y = box[:, 1].max() + margin
    if y + height > size[1]:
        y = box[:, 1].min() - margin - height
    y = float(np.clip(y, 0, max(size[1] - height, 0))) if found else 0.0
    draw.rectangle((x, y, x + width, y + height), fill=SHADOW)
    draw.text((x + margin - left, y + margin - top), words, font=_font(letters), fill="white")


def _font(letters: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    try:
        return ImageFont.load_default(letters)
    except TypeError:
        raise MissingExtraError("drawing needs Pillow 10.1 or newer: pip install 'numpyvgg[faces]'") from None
