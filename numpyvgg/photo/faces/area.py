"""Pictures shrunk and cut out by the mean of the area that each new pixel covers, from the integral image.

The *integral image* (Crow 1984; Viola and Jones 2001) holds, for each corner of a pixel, the sum of all pixels above
and left of it. Inside a pixel that sum grows linearly with x and with y, so interpolating it between corners is exact:
the sum over any rectangle, parts of pixels included, is four numbers of it, however large the rectangle.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Picture:
    """A picture, uint8 [H, W, 3], ready to be shrunk and cut; values come out from -1 to 1, as networks take them."""

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        self.height, self.width = pixels.shape[:2]
        self._integral = np.zeros((self.height + 1, self.width + 1, 3))
        np.cumsum(pixels, axis=0, dtype=np.float64, out=self._integral[1:, 1:])
        np.cumsum(self._integral[1:, 1:], axis=1, out=self._integral[1:, 1:])

    def shrunk(self, scale: float) -> NDArray[np.float32]:
        """The whole picture at a scale, in whole steps of brightness: float32 [3, h, w]."""
        h, w = math.ceil(self.height * scale), math.ceil(self.width * scale)
        rows, columns = np.linspace(0, self.height, h + 1), np.linspace(0, self.width, w + 1)
        (low, part), (left, part_x) = _whole_and_part(rows, self.height), _whole_and_part(columns, self.width)
        above = self._integral[low]
        above += part[:, None, None] * (self._integral[low + 1] - above)  # [h + 1, W + 1, 3]
        sums = above[:, left]
        sums += part_x[:, None] * (above[:, left + 1] - sums)  # [h + 1, w + 1, 3]
        return _from_sums(sums, h / self.height * w / self.width, whole=True)

    def crops(self, boxes: NDArray[np.floating], turns: NDArray[np.integer], side: int) -> NDArray[np.float32]:
        """What is in boxes [n, 4] of the picture turned by quarters [n], black beyond it: [n, 3, side, side]."""
        crops = self._crops(self.boxes_back(boxes, turns), side)
        for quarter in (1, 2, 3):
            crops[turns == quarter] = np.rot90(crops[turns == quarter], quarter, axes=(2, 3))
        return crops

    def back(self, points: NDArray[np.floating], turns: NDArray[np.integer]) -> NDArray[np.floating]:
        """Where points [n, k, 2] of the picture turned by quarters [n], counter-clockwise, are in the picture."""
        (x, y), quarter = np.moveaxis(points, -1, 0), turns[:, None]
        return np.stack(
            [
                np.choose(quarter, [x, self.width - y, self.width - x, y]),
                np.choose(quarter, [y, x, self.height - y, self.height - x]),
            ],
            axis=-1,
        )

    def boxes_back(self, boxes: NDArray[np.floating], turns: NDArray[np.integer]) -> NDArray[np.floating]:
        """Where boxes [n, 4] of the picture turned by quarters [n] are in the picture itself."""
        corners = self.back(boxes.reshape(-1, 2, 2), turns)
        return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)

    def _crops(self, boxes: NDArray[np.floating], side: int) -> NDArray[np.float32]:
        steps = np.linspace(0, 1, side + 1)
        columns = boxes[:, :1] + steps * (boxes[:, 2:3] - boxes[:, :1])  # [n, side + 1]
        rows = boxes[:, 1:2] + steps * (boxes[:, 3:] - boxes[:, 1:2])
        (low, part), (left, part_x) = _whole_and_part(rows, self.height), _whole_and_part(columns, self.width)
        low, part, left, part_x = low[:, :, None], part[:, :, None, None], left[:, None, :], part_x[:, None, :, None]
        sums = self._integral[low, left] * ((1 - part) * (1 - part_x))
        sums += self._integral[low + 1, left] * (part * (1 - part_x))
        sums += self._integral[low, left + 1] * ((1 - part) * part_x)
        sums += self._integral[low + 1, left + 1] * (part * part_x)  # [n, side + 1, side + 1, 3]
        areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) / side**2
        return _from_sums(sums, 1 / areas[:, None, None, None])


def _whole_and_part(places: NDArray[np.floating], size: int) -> tuple[NDArray[np.intp], NDArray[np.floating]]:
    """Places along an axis, none beyond its ends, as the pixel that they are in and how far inside it."""
    places = np.clip(places, 0, size)
    whole = np.minimum(places.astype(np.intp), size - 1)
    return whole, places - whole


def _from_sums(sums: NDArray[np.floating], per_pixel: Any, whole: bool = False) -> NDArray[np.float32]:
    """Sums up to each corner [..., h + 1, w + 1, 3] to the means between them, -1 to 1, [..., 3, h, w]."""
    means = np.diff(np.diff(sums, axis=-3), axis=-2) * per_pixel
    if whole:
        np.rint(means, out=means)
    means -= 127.5
    return np.moveaxis(means, -1, -3).astype(np.float32) / np.float32(128)
