"""Winograd's minimal filtering F(4x4, 3x3): a quarter of the multiplications.

**Idea.** Four outputs of a 3-tap filter are 12 multiplications by the definition. As polynomials they are a product
that is known from its values at 6 points, and 6 multiplications are enough. In two dimensions a tile of 4x4 outputs
takes 36 instead of 144 (A. Lavin, S. Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016)::

    Y = A^T [ (G g G^T) * (B^T d B) ] A          d: 6x6 pixels, g: 3x3 filter, Y: 4x4 outputs, *: elementwise

The points are 0, 1, -1, 2, -2 and infinity. For a layer, `*` is a sum over channels too, which makes it 36 matrix
products, one for each of the tile's 36 places: ``[tiles, C] x [C, M]``.

**As matrix products.** With d written as a vector of 36, ``B^T d B`` is one matrix times d: the Kronecker product
``B^T x B^T``, 36x36. Applied to all tiles and channels at once, both transforms are matrix products too, and BLAS does
them faster than NumPy adds, although half of the matrix is zeros. G's side is computed once per network, in float64.

**In the cache.** Tiles are taken in strips, whose four stages (tiles, transformed tiles, products, outputs) stay in the
core's L2 cache. Filters are cut into panels ``[C, some of M]`` that fit L1: the product runs through a panel once for
every few tiles. Products of this size (m * n * k below a million) OpenBLAS computes without first rearranging them.

**Bias.** A^T's column for the point 1 is all ones, so a bias added to the tile's place (1, 1) reaches all 16 outputs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from ..layers import output_size
from .images import Image, clear_border, new_image, padded, whole_tiles
from .threads import Scratch, Workers, cache_bytes

B_T = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ],
    float,
)
G = np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]], float) / 24
A_T = np.array([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]], float)

ONES = 7  # place (1, 1) of the 36
SMALL = 10**6  # m * n * k of a product that OpenBLAS computes straight from its operands


@dataclass(frozen=True)
class WinogradConv:
    """Transformed filters in panels ``[36, M / panel, C, panel]``."""

    weight: np.ndarray
    bias: np.ndarray | None
    pads: tuple[int, ...]
    method = "Winograd F(4x4, 3x3)"

    @property
    def channels(self) -> int:
        """Of the input."""
        return self.weight.shape[2]


def serves(weight: np.ndarray, strides: Sequence[int], dilations: Sequence[int], group: int) -> bool:
    """The rule: 3x3 filters, stride 1, no dilation, no groups, and enough channels to pay for the transforms."""
    return (
        weight.shape[2:] == (3, 3) and (*strides, *dilations, group) == (1, 1, 1, 1, 1) and min(weight.shape[:2]) >= 16
    )


def panel_width(channels: int, filters: int, itemsize: int) -> int:
    """Filters in one panel: the largest part of them that keeps the panel within L1."""
    fitting = [width for width in (64, 32) if filters % width == 0]
    for width in fitting:
        if channels * width * itemsize <= cache_bytes(1):
            return width
    return fitting[-1] if fitting else filters


def prepare(
    weight: np.ndarray, bias: np.ndarray | None, pads: tuple[int, ...], dtype: np.dtype, workers: Workers
) -> WinogradConv:
    """Transform the filters ``[M, C, 3, 3]``, in float64."""
    filters, channels = weight.shape[:2]
    width = panel_width(channels, filters, dtype.itemsize)
    panels = np.empty((36, filters // width, channels, width), dtype)
    transform = np.kron(G, G)  # [36, 9]

    def one_panel(number: int) -> None:
        part = weight[number * width : (number + 1) * width].reshape(width, channels, 9)
        taps = part.transpose(2, 1, 0).astype(np.float64).reshape(9, -1)
        panels[:, number] = (transform @ taps).reshape(36, channels, width)

    workers.run(one_panel, filters // width)
    return WinogradConv(panels, bias, pads)


def convolve(x: np.ndarray, conv: WinogradConv, relu: bool, pool: bool, workers: Workers, scratch: Scratch) -> Image:
    """Convolution, bias, and where asked for ReLU and 2x2 max pooling: ``[N, C, H, W] -> [N, M, outH, outW]``."""
    n, channels, height, width = x.shape
    places, panels, _, panel = conv.weight.shape
    filters, dtype = panels * panel, conv.weight.dtype
    top, left, bottom, right = conv.pads
    out_h, out_w = output_size(height, 3, 1, top, bottom), output_size(width, 3, 1, left, right)
    tiles_h, tiles_w = -(-out_h // 4), -(-out_w // 4)
    tiles = _tiles(padded(x, conv.pads, 4 * tiles_h + 2, 4 * tiles_w + 2, dtype), tiles_h, tiles_w)
    y = new_image(n, filters, out_h // 2 if pool else out_h, out_w // 2 if pool else out_w, dtype)
    side = 2 if pool else 4  # of a tile in the output
    target = whole_tiles(y, tiles_h, tiles_w, side)  # [N, tilesH, side, tilesW, side, M]
    to_tiles, from_tiles = np.kron(B_T, B_T).astype(dtype), np.kron(A_T, A_T).astype(dtype)
    boxes = _boxes(n, tiles_h, tiles_w, strip_tiles(channels, panel))
    slices = _slices(panels, workers.threads, len(boxes))

    def strip(number: int) -> None:
        (images, rows, columns), part = boxes[number // len(slices)], slices[number % len(slices)]
        window = tiles[:, :, images, rows, columns]  # [6, 6, images, rows, columns, C]
        weight = conv.weight[:, part]
        box, count = window.shape[2:5], math.prod(window.shape[2:5])
        some = slice(part.start * panel, part.stop * panel)  # of the filters
        width = some.stop - some.start

        pixels = scratch.rows("pixels", places, count * channels, dtype)
        np.copyto(pixels.reshape(window.shape), window)
        transformed = scratch.rows("transformed", places, count * channels, dtype)
        _transform(to_tiles, pixels, transformed)
        products = scratch.rows("products", places, count * width, dtype)
        np.matmul(
            transformed.reshape(places, 1, count, channels),
            weight,
            out=products.reshape(places, count, -1, panel).swapaxes(1, 2),
        )
        if conv.bias is not None:
            products[ONES].reshape(count, width)[...] += conv.bias[some]
        outputs = scratch.rows("pixels", 16, count * width, dtype)
        _transform(from_tiles, products, outputs)

        outputs = outputs.reshape(4, 4, *box, width)
        if pool:
            outputs = np.maximum(outputs[0::2], outputs[1::2], out=outputs[0::2])
            outputs = np.maximum(outputs[:, 0::2], outputs[:, 1::2], out=outputs[:, 0::2])
        outputs = outputs.transpose(2, 3, 0, 4, 1, 5)
        place = target[images, rows, :, columns, :, some]
        if relu:
            np.maximum(outputs, dtype.type(0), out=place)
        else:
            np.copyto(place, outputs)

    workers.run(strip, len(boxes) * len(slices))
    clear_border(y)
    return y


def strip_tiles(channels: int, panel: int) -> int:
    """Tiles in one strip: as many as keep a panel's product small.

    For VGG's layers that is 122 and 244. Shorter strips would lie deeper in the cache, but spend their time handing the
    interpreter's lock from thread to thread: below some 30 microseconds a step, two threads are no faster than one.
    """
    return max(16, SMALL // (channels * panel))


def _boxes(n: int, tiles_h: int, tiles_w: int, most: int) -> list[tuple[slice, slice, slice]]:
    """Cut ``[N, tilesH, tilesW]`` into boxes of about `most` tiles: images together, or rows, or parts of a row."""
    images = max(1, min(n, most // (tiles_h * tiles_w)))
    rows = max(1, min(tiles_h, most // tiles_w))
    columns = min(tiles_w, most)
    return [
        (image, row, column)
        for image in _even(n, images)
        for row in _even(tiles_h, rows)
        for column in _even(tiles_w, columns)
    ]


def _even(count: int, most: int) -> list[slice]:
    """Cut a range into the fewest parts of at most `most`, of nearly the same length."""
    parts = -(-count // most)
    return [slice(count * i // parts, count * (i + 1) // parts) for i in range(parts)]


def _slices(panels: int, threads: int, boxes: int) -> list[slice]:
    """Where the boxes are fewer than the threads, share out the panels of filters too; no product changes by that."""
    parts = 1 if boxes % threads == 0 or boxes > 4 * threads else min(panels, threads)
    return _even(panels, -(-panels // parts))


def _transform(matrix: np.ndarray, source: np.ndarray, target: np.ndarray) -> None:
    """``target = matrix @ source``, in chunks of columns that make small products."""
    width = _chunk(source.shape[1])
    chunks = source.reshape(len(source), -1, width).swapaxes(0, 1)
    np.matmul(matrix, chunks, out=target.reshape(len(target), -1, width).swapaxes(0, 1))


@cache
def _chunk(count: int) -> int:
    """The largest divisor whose product with the 36x36 matrix is small."""
    most = SMALL // 36**2
    return next((width for width in range(most, 15, -1) if count % width == 0), count)


def _tiles(source: np.ndarray, tiles_h: int, tiles_w: int) -> np.ndarray:
    """Overlapping 6x6 tiles of an image ``[N, rows, columns, C]``, as a view ``[6, 6, N, tilesH, tilesW, C]``."""
    n, _, _, channels = source.shape
    of_image, of_row, of_pixel, of_channel = source.strides
    return np.lib.stride_tricks.as_strided(
        source,
        (6, 6, n, tiles_h, tiles_w, channels),
        (of_row, of_pixel, of_image, 4 * of_row, 4 * of_pixel, of_channel),
        writeable=False,
    )
