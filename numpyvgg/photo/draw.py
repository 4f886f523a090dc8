"""Draw what was found on the photograph: a box around each face, turned as the face is, and what is said of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from .answers import Age, Value
from .faces.search import Face
from .pixels import reduction
from .predictor import Prediction

BOX, SHADOW = (255, 214, 0), (0, 0, 0)
#: longest side, in pixels, below which the picture is enlarged: letters need room
MIN_SIDE = 480
#: letters are at least this high, in pixels
MIN_LETTERS = 15
#: height of the only letters that Pillow had before 10.1
BITMAP_LETTERS = 11

Sides = tuple[float, float, float, float]  # left, top, right, bottom


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
    """
    scale = max(1, -(-MIN_SIDE // max(photo.size)))
    picture = photo.resize((photo.width * scale, photo.height * scale), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(picture)
    boxes = [face.box * (scale / reduction(photo)) for face in faces]  # from the photograph's own pixels
    width = max(2, round(max(picture.size) / 300))
    for face, box in zip(faces, boxes, strict=True):
        if face.found:
            outline = [tuple(corner) for corner in box.tolist()]
            for color, thickness in ((SHADOW, width + 2), (BOX, width)):
                draw.line([*outline, *outline[:2]], fill=color, width=thickness, joint="curve")
    taken = [_around(box) for face, box in zip(faces, boxes, strict=True) if face.found]
    for face, box, words in zip(faces, boxes, labels, strict=True):  # after all boxes: no line through words
        if words:
            across = float(np.linalg.norm(box[1] - box[0])) if face.found else max(picture.size) / 4
            sign = _sign(words, max(MIN_LETTERS, min(across / 5, max(picture.size) / 30)), picture.width)
            places = _places(_around(box), sign.size, picture.size) if face.found else [(0, 0)]
            left, top = min(places, key=lambda place: _covered(place, sign.size, taken))
            picture.paste(sign, (left, top))
            taken.append((left, top, left + sign.width, top + sign.height))
    return picture


def _around(box: NDArray[np.floating]) -> Sides:
    """The upright box around a turned one."""
    (left, top), (right, bottom) = box.min(axis=0).tolist(), box.max(axis=0).tolist()
    return left, top, right, bottom


def _places(around: Sides, size: tuple[int, int], picture: tuple[int, int]) -> list[tuple[int, int]]:
    """Where a sign of this size may stand in the picture: below a face, above it, right, left of it, in its middle."""
    left, top, right, bottom = around
    x, y, gap = (left + right - size[0]) / 2, (top + bottom - size[1]) / 2, MIN_LETTERS / 4
    below, above = (x, bottom + gap), (x, top - gap - size[1])
    wanted = [below, above, (right + gap, y), (left - gap - size[0], y), (x, y)]
    room = [max(whole - part, 0) for whole, part in zip(picture, size, strict=True)]
    return [(int(min(max(x, 0), room[0])), int(min(max(y, 0), room[1]))) for x, y in wanted]


def _covered(place: tuple[int, int], size: tuple[int, int], taken: Sequence[Sides]) -> float:
    """How many pixels of what is there already a sign would cover."""
    x, y = place
    return sum(
        max(min(x + size[0], right) - max(x, left), 0) * max(min(y + size[1], bottom) - max(y, top), 0)
        for left, top, right, bottom in taken
    )


def _sign(words: str, letters: float, room: int) -> Image.Image:
    """White words on black, which can be read on any background, not wider than there is room."""
    mask = _mask(words, letters)
    if mask.width > room - letters:  # a long label on a narrow photograph
        letters *= max(room - letters, 1) / mask.width
        mask = _mask(words, letters)
    margin = math.ceil(letters / 4)
    sign = Image.new("RGB", (mask.width + 2 * margin, mask.height + 2 * margin), SHADOW)
    sign.paste((255, 255, 255), (margin, margin), mask)
    return sign


def _mask(words: str, letters: float) -> Image.Image:
    """Words of this height in pixels: mode L, cut to what is written."""
    lines = words.splitlines()
    font: Any
    try:
        font, height = ImageFont.load_default(max(letters, 1)), letters
    except TypeError:  # before Pillow 10.1 there is one size, of Latin letters
        font, height = ImageFont.load_default(), BITMAP_LETTERS
        lines = [line.encode("latin-1", "replace").decode("latin-1") for line in lines]
    pitch = math.ceil(1.25 * height)
    mask = Image.new("L", (pitch * max(map(len, lines)), pitch * (len(lines) + 1)))
    for number, line in enumerate(lines):
        ImageDraw.Draw(mask).text((0, number * pitch), line, fill=255, font=font)
    mask = mask.crop(mask.getbbox() or (0, 0, 1, 1))
    scale = letters / height
    return mask.resize((max(1, round(mask.width * scale)), max(1, round(mask.height * scale))))
