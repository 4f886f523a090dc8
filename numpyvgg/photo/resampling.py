"""Pixels at another size, or turned: by Pillow, and where that is not installed by NumPy, with the same pixels.

Pillow shrinks with a *triangle filter*: a new pixel is a weighted mean of all pixels whose centres are less than one
new pixel away, first along the rows and then along the columns, each rounded to 8 bits. The weights are whole numbers,
2^22 in all, so sums are exact and come out alike everywhere. From version 13 on Pillow begins with the columns where
that is less work; a value may then differ by one. A turned picture takes each pixel from the 4x4 around its place, by
the cubic polynomial through the middle two (Keys 1981, a = -1).

`tests/test_resampling.py` holds both to the same pixels. Pictures are uint8 [H, W, 3]; sizes are (width, height), as
Pillow has them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .pillow import pillow

if TYPE_CHECKING:
    from PIL import Image

Pixels = NDArray[np.uint8]

#: Weights of the triangle filter are whole multiples of 2^-22
_WEIGHT_BITS = 22
#: Pixels that are turned together
_TOGETHER = 1 << 13


def resized(image: Image.Image | Pixels, size: tuple[int, int], reducing_gap: float | None = None) -> Pixels:
    """A picture at another size, bilinearly: smoothed where it shrinks.

    Parameters
    ----------
    image : PIL.Image.Image of mode RGB, or ndarray, uint8 [H, W, 3]
    size : (width, height)
    reducing_gap : float, optional
        Take means of whole blocks first, as long as the picture stays this many times as large: faster.

    Returns
    -------
    ndarray, uint8 [height, width, 3]
    """
    module = pillow()
    if module is not None:
        image = module.fromarray(image) if isinstance(image, np.ndarray) else image
        if image.size != size:
            image = image.resize(size, module.Resampling.BILINEAR, reducing_gap=reducing_gap)
        return np.asarray(image)
    pixels = np.asarray(image)
    height, width = pixels.shape[:2]
    factors = [1, 1]
    if reducing_gap is not None:
        sides = zip((height, width), size[::-1], strict=True)
        factors = [int(old / new / reducing_gap) or 1 for old, new in sides]
        pixels = _means(pixels, *factors)
    pixels = _filtered(pixels, 1, width / factors[1], size[0])
    return _filtered(pixels, 0, height / factors[0], size[1])


def size_of(image: Image.Image | Pixels) -> tuple[int, int]:
    """Width and height of a picture."""
    return (image.shape[1], image.shape[0]) if isinstance(image, np.ndarray) else image.size


def reduced(image: Image.Image | Pixels, box: tuple[int, int, int, int], factor: int) -> Pixels:
    """A part of a picture, in blocks of factor x factor pixels: the mean of each.

    Parameters
    ----------
    image : PIL.Image.Image of mode RGB, or ndarray, uint8 [H, W, 3]
    box : (left, top, right, bottom)
        The part, within the picture. Its last blocks have as many pixels as there are.
    factor : int

    Returns
    -------
    ndarray, uint8 [ceil((bottom - top) / factor), ceil((right - left) / factor), 3]
    """
    if isinstance(image, np.ndarray):
        left, top, right, bottom = box
        pixels = image[top:bottom, left:right]
        module = pillow()
        if module is None or factor == 1:
            return _means(pixels, factor, factor)
        return np.asarray(module.fromarray(pixels).reduce(factor))
    return np.asarray(image.crop(box) if factor == 1 else image.reduce(factor, box))


def transformed(pixels: Pixels, size: tuple[int, int], matrix: tuple[float, ...]) -> Pixels:
    """A picture each of whose pixels is taken from another place, bicubically; black where that is outside.

    Parameters
    ----------
    pixels : ndarray, uint8 [H, W, 3]
    size : (width, height)
        Of the result.
    matrix : (a, b, c, d, e, f)
        What is at (x, y) of the result is at (a x + b y + c, d x + e y + f) of the picture.

    Returns
    -------
    ndarray, uint8 [height, width, 3]
    """
    module = pillow()
    if module is not None:
        image = module.fromarray(pixels)
        return np.asarray(image.transform(size, module.Transform.AFFINE, matrix, module.Resampling.BICUBIC))
    return _turned(pixels, size, matrix)


# ---------------------------------------------------------------------- with NumPy


def _filtered(pixels: Pixels, axis: int, length: float, side: int) -> Pixels:
    """One axis at another size by the triangle filter.

    Parameters
    ----------
    length : float
        How much of the axis there is; less than its pixels where the last one stands for a part of a block.
    """
    there = pixels.shape[axis]
    if there == side == length:
        return pixels
    scale = length / side
    support = max(scale, 1.0)  # how far the filter reaches
    centre = (np.arange(side) + 0.5) * scale
    first = np.maximum((centre - support + 0.5).astype(int), 0)
    last = np.minimum((centre + support + 0.5).astype(int), there)
    places = first[:, None] + np.arange(2 * math.ceil(support) + 1)  # [side, taps]
    distances = np.abs((places - centre[:, None] + 0.5) * (1 / support))
    weights = np.where(places < last[:, None], np.maximum(1 - distances, 0), 0)
    weights /= sum(weights.T)[:, None]  # added up one after the other, as Pillow does
    whole = (weights * (1 << _WEIGHT_BITS) + 0.5).astype(np.int32)
    pixels = np.moveaxis(pixels, axis, 0)
    sums = np.full((side, *pixels.shape[1:]), 1 << (_WEIGHT_BITS - 1), np.int32)  # a half, to round
    for tap in range(whole.shape[1]):
        sums += whole[:, tap, None, None] * pixels[np.minimum(places[:, tap], there - 1)]
    return np.moveaxis((sums >> _WEIGHT_BITS).astype(np.uint8), 0, axis)


def _means(pixels: Pixels, down: int, across: int) -> Pixels:
    """The rounded mean of each block of down x across pixels."""
    if down == across == 1:
        return pixels
    sums, heights = _sums(pixels, down)
    columns, widths = _sums(sums.swapaxes(0, 1), across)
    sums = columns.swapaxes(0, 1)
    counts = np.outer(heights, widths)[:, :, None]  # [h, w, 1]
    inverse = (np.float32(1 << 32) / (counts << np.uint32(8)).astype(np.float32)).astype(np.uint32)  # of 2^24
    return ((sums + counts // 2) * inverse >> np.uint32(24)).astype(np.uint8)


def _sums(values: NDArray[np.integer], step: int) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """The sum of each `step` rows that follow one another, and how many they are: at the end there may be fewer."""
    blocks = -(-len(values) // step)
    sums, counts = np.zeros((blocks, *values.shape[1:]), np.uint32), np.zeros(blocks, np.uint32)
    for first in range(min(step, len(values))):
        rows = values[first::step]
        sums[: len(rows)] += rows
        counts[: len(rows)] += np.uint32(1)
    return sums, counts


def _turned(pixels: Pixels, size: tuple[int, int], matrix: tuple[float, ...]) -> Pixels:
    """`transformed`, some rows at a time, so that what it works with stays small."""
    height, width = pixels.shape[:2]
    values = pixels.reshape(-1, 3).astype(np.float64)
    result = np.zeros((size[1], size[0], 3), np.uint8)
    band = max(1, _TOGETHER // size[0])
    x = np.arange(size[0]) + 0.5
    for first in range(0, size[1], band):
        y = np.arange(first, min(first + band, size[1]))[:, None] + 0.5
        columns = matrix[0] * x + matrix[1] * y + matrix[2]
        rows = matrix[3] * x + matrix[4] * y + matrix[5]
        inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
        columns, rows = columns[inside] - 0.5, rows[inside] - 0.5  # places between the pixels' centres
        left, top = np.floor(columns), np.floor(rows)
        beside = [_within(left + step, width) for step in (-1, 0, 1, 2)]
        above = [_within(top + step, height) * width for step in (-1, 0, 1, 2)]
        across, down = (columns - left)[:, None], (rows - top)[:, None]
        lines = [_cubic([values.take(line + place, axis=0) for place in beside], across) for line in above]
        turned = np.minimum(np.maximum(_cubic(lines, down), 0), 255)
        result[first : first + band][inside] = turned.astype(np.uint8)
    return result


def _within(places: NDArray[np.float64], side: int) -> NDArray[np.intp]:
    """Places along an axis as whole numbers, those beyond its ends at the end."""
    return np.minimum(np.maximum(places, 0), side - 1).astype(np.intp)


def _cubic(values: list[NDArray[np.float64]], part: NDArray[np.float64]) -> NDArray[np.float64]:
    """Between the second and the third of four values: the cubic polynomial, in Horner's form."""
    a, b, c, d = values
    return b + part * (c - a + part * (2 * (a - b) + c - d + part * (b - a - c + d)))
