"""Pictures shrunk and cut out by the mean of the area that each new pixel covers.

Such a mean is linear, and rows and columns have no part in each other: for each axis there is a matrix that says how
much of each old pixel lies in each new one, and ``rows @ picture @ columns.T`` is the smaller picture.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ...kernels.threads import one_blas_thread

Array = NDArray[np.float32]

#: new rows that are computed together: they need a few old ones, and most of the whole matrix would be zeros
_ROWS = 32


class Picture:
    """A picture, uint8 [H, W, 3], ready to be shrunk and cut; values come out from -1 to 1, as networks take them."""

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        self.height, self.width = pixels.shape[:2]
        self._pixels = np.ascontiguousarray(pixels.transpose(2, 0, 1), np.float32)  # [3, H, W]

    def shrunk(self, scale: float) -> Array:
        """The whole picture at a scale, in whole steps of brightness: float32 [3, h, w]."""
        with one_blas_thread:  # more would wait for each other: these products are small
            rows = _fewer_rows(self._pixels, math.ceil(self.height * scale))  # [3, h, W]
            means = _fewer_rows(rows.swapaxes(1, 2), math.ceil(self.width * scale)).swapaxes(1, 2)
        return _scaled(np.rint(np.ascontiguousarray(means)))

    def crops(self, boxes: NDArray[np.floating], turns: NDArray[np.integer], side: int) -> Array:
        """What is in boxes [n, 4] of the picture turned by quarters [n], black beyond it: [3, side, side, n].

        The boxes are in whole pixels.
        """
        crops = np.empty((3, side, side, len(boxes)), np.float32)
        with one_blas_thread:
            for number, box in enumerate(self.boxes_back(boxes, turns).astype(int).tolist()):
                crops[..., number] = self._crop(box, side)
        for quarter in (1, 2, 3):
            crops[..., turns == quarter] = np.rot90(crops[..., turns == quarter], quarter, axes=(1, 2))
        return _scaled(crops)

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

    def _crop(self, box: list[int], side: int) -> Array:
        """One box, [3, side, side]: of the pixels that are there, since those that are not are 0."""
        left, top, right, bottom = box
        first, last, above, below = max(left, 0), min(right, self.width), max(top, 0), min(bottom, self.height)
        if first >= last or above >= below:
            return np.zeros((3, side, side), np.float32)
        rows = _shares_of(bottom - top, side)[:, above - top : below - top]
        columns = _shares_of(right - left, side)[:, first - left : last - left]
        crop: Array = rows @ self._pixels[:, above:below, first:last] @ columns.T
        return crop


def _fewer_rows(x: Array, count: int) -> Array:
    """Shrink [3, H, W] to so many rows."""
    height = x.shape[1]
    edges = np.linspace(0, height, count + 1)
    y = np.empty((3, count, x.shape[2]), np.float32)
    for first in range(0, count, _ROWS):
        some = edges[first : first + _ROWS + 1]
        above, below = math.floor(some[0]), min(math.ceil(some[-1]), height)
        y[:, first : first + _ROWS] = _shares(some - above, below - above) @ x[:, above:below]
    return y


def _shares(edges: NDArray[np.floating], size: int) -> Array:
    """Which share of each new pixel, between two edges, each old one has: [new, old]; a row adds up to 1."""
    before = np.clip(edges[:, None] - np.arange(size), 0, 1)  # how much of each old pixel lies before each edge
    return (np.diff(before, axis=0) / np.diff(edges)[:, None]).astype(np.float32)


@lru_cache(maxsize=256)
def _shares_of(size: int, side: int) -> Array:
    """Those of so many pixels made into `side`."""
    return _shares(np.linspace(0, size, side + 1), size)


def _scaled(values: Array) -> Array:
    """Brightness of 0 to 255 as networks take it, in place."""
    values -= np.float32(127.5)
    values /= np.float32(128)
    return values
