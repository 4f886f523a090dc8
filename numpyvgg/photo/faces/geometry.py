"""Turned rectangles in a photograph: where they lie, how they are cut out upright, which of them are the same face.

Coordinates are (x, y) in pixels from the top left corner of the photograph, and run through the pixels: the first one
covers 0 to 1 and has its centre at 0.5.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..resampling import reduced, resized, size_of, transformed

if TYPE_CHECKING:
    from PIL import Image


class Sighting(NamedTuple):
    """One detection in one turned picture, in the photograph's coordinates."""

    centre: NDArray[np.float64]  # [2] x, y
    extent: NDArray[np.float64]  # [2] width and height of the upright face
    angle: float
    score: float


#: of the square that is a face's box: its side, and how far its centre is above the middle between eyes and mouth, both
#: in distances from eyes to mouth. They make landmarks say what boxes of OpenCV's cascade say; see docs/faces.md.
SIDE, RISE = 2.6, 0.2


def from_landmarks(points: NDArray[np.floating], score: float) -> Sighting:
    """The face with these landmarks [5, 2]: left eye, right eye, nose, left and right corner of the mouth, as seen.

    Its angle is between those that the line through the eyes and the line from eyes to mouth tell. The nose has no say:
    it moves to one side when a head is turned.
    """
    eyes, mouth = (points[0] + points[1]) / 2, (points[3] + points[4]) / 2
    across, down = points[1] - points[0], mouth - eyes
    direction = across + np.array([down[1], -down[0]])
    side = SIDE * math.hypot(*down)
    angle = math.degrees(math.atan2(direction[1], direction[0]))
    return Sighting((eyes + mouth) / 2 - RISE * down, np.array([side, side]), angle, score)


def turn(angle: float) -> NDArray[np.float64]:
    """Matrix [2, 2] that takes offsets (x right, y down) in the photograph to offsets in the picture turned by `angle`.

    Exact at quarter turns, so that those copy pixels instead of blending them.
    """
    cos, sin = (round(f(math.radians(angle)), 15) for f in (math.cos, math.sin))
    return np.array([[cos, sin], [-sin, cos]])


def corners(face: Sighting) -> NDArray[np.float64]:
    """Corners [4, 2] in the photograph: top left, top right, bottom right, bottom left of the upright face."""
    offsets = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]]) * face.extent
    return face.centre + offsets @ turn(face.angle)  # the row-vector product turns back


def upright(
    photo: Image.Image | NDArray[np.uint8],
    centre: Sequence[float] | NDArray[np.floating],
    extent: Sequence[float] | NDArray[np.floating],
    angle: float,
    size: tuple[int, int],
) -> NDArray[np.uint8]:
    """Cut a turned rectangle out of a photograph and squeeze it into a picture of `size`.

    Outside the photograph its nearest pixel is repeated.

    Parameters
    ----------
    photo : PIL.Image.Image of mode RGB, or ndarray, uint8 [H, W, 3]
    centre, extent : pair of float
        The rectangle's centre (x, y), and its width and height, in pixels of the photograph.
    angle : float
        Degrees, counter-clockwise, by which the photograph is turned before the rectangle is cut out.
    size : pair of int
        Width and height of the picture.

    Returns
    -------
    ndarray, uint8 [size[1], size[0], 3]
    """
    centre, extent = np.asarray(centre, np.float64), np.maximum(extent, 1e-6, dtype=np.float64)
    # A large rectangle is first averaged down to two to four times the wanted size: turning it needs no more.
    factor = max(1, int(min(extent / size) / 2))
    back = turn(angle).T
    part, corner = _part(photo, centre, np.abs(back) @ (extent / 2), factor)
    # Where in `part` a place of the turned picture comes from: matrix @ place + shift.
    width, height = np.maximum(np.ceil(extent / factor).astype(int), 1).tolist()
    matrix = back * (extent / factor / (width, height))
    shift = (centre - corner) / factor - matrix @ (width / 2, height / 2)
    turned = transformed(part, (width, height), (*matrix[0], shift[0], *matrix[1], shift[1]))
    return resized(turned, size)


def _part(
    photo: Image.Image | NDArray[np.uint8], centre: NDArray[np.floating], reach: NDArray[np.floating], factor: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Cut out the part that goes `reach` (x, y) to each side of the centre and a little more, each side 1/factor.

    Where it leaves the photograph, the last pixel at the border is repeated. Returns the place of its top left corner
    in the photograph too.
    """
    limit = np.array(size_of(photo))
    start, stop = np.floor(centre - reach).astype(int) - 2 * factor, np.ceil(centre + reach).astype(int) + 2 * factor
    low, high = np.clip(start, 0, limit - 1), np.clip(stop, 1, limit)
    inside = reduced(photo, (*low.tolist(), *high.tolist()), factor)
    if (low == start).all() and (high == stop).all():
        return inside, low
    first, last = (start - low) // factor, -((low - stop) // factor)  # in reduced pixels, 0 the first one inside
    columns, rows = (
        np.clip(np.arange(a, b), 0, n - 1) for a, b, n in zip(first, last, inside.shape[1::-1], strict=True)
    )
    return inside[rows[:, None], columns], low + first * factor


def distinct(sightings: list[Sighting]) -> list[Sighting]:
    """Non-maximum suppression, across angles too: of sightings that share half of the smaller, keep the strongest."""
    kept: list[Sighting] = []
    for sighting in sorted(sightings, key=lambda sighting: -sighting.score):
        if all(overlap(sighting, other)[1] <= 0.5 for other in kept):
            kept.append(sighting)
    return kept


def overlap(a: Sighting, b: Sighting) -> tuple[float, float]:
    """Intersection over union, and over the smaller of both, of two faces as if both were turned like the first."""
    apart = np.abs(turn(a.angle) @ (b.centre - a.centre))
    shared = np.clip((a.extent + b.extent) / 2 - apart, 0, np.minimum(a.extent, b.extent)).prod()
    areas = a.extent.prod(), b.extent.prod()
    return shared / (sum(areas) - shared), shared / min(areas)
