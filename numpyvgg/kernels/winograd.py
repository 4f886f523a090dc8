"""Winograd's minimal filtering F(4x4, 3x3): a quarter of the multiplications.

**Idea.** Four outputs of a 3-tap filter are 12 multiplications by the definition. As polynomials they are a product
that is known from its values at 6 points, and 6 multiplications are enough. In two dimensions a tile of 4x4 outputs
takes 36 instead of 144 (A. Lavin, S. Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016)::

    Y = A^T [ (G g G^T) * (B^T d B) ] A          d: 6x6 pixels, g: 3x3 filter, Y: 4x4 outputs, *: elementwise

For a layer, `*` is a sum over channels too, which makes it 36 matrix products, one for each of the tile's 36 places:
``[tiles, C] x [C, M]``.

**The points** decide how large the numbers on the way are, and with them the rounding. Textbooks take 0, 1, -1, 2, -2
and infinity, so that the transforms are additions. Here they are matrix products (next paragraph), which cost the same
whatever the numbers: the points are free. An error made at point k grows by the lengths of row k of B^T and of G and of
column k of A^T; the sum of their squared products is least with points at +-0.651 and +-1.535. Near by lie 5/8 and 3/2,
whose powers are exact in binary. Squared errors grow by 4.78 in each dimension there, and by 10.77 with 1 and 2, which
makes errors 2.25 times smaller. `G` takes the divisions, in float64, once per network; A^T and B^T stay exact.

**Transforms as matrix products.** ``B^T d B`` is B^T applied to the rows, then to the columns. The rows need no copy of
the pixels: six rows of the image, all columns and channels side by side, are one matrix ``[6, (4 * tiles + 2) * C]``.
The columns of a tile are a matrix ``[6, C]`` in what that gave. With A^T it is the same the other way round.

**In the cache.** Tiles are taken in strips; filters in panels, 64 wide, of which one after the other meets the strip.
Where BLAS computes small products (m * n * k below a million) without first rearranging its operands, as OpenBLAS does
with AVX-512, they are cut so that each is small. A strip is as long as makes a panel's products take about a
millisecond. Shorter ones would lie deeper in the cache, but too short to amortise re-acquiring the GIL after each step.

Threads take strip after strip; in the end those that find none left transform another's tiles once more and share its
panels. The bias comes after the pooling: it changes no order, and there are fewer numbers to add it to.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..layers import output_size
from .images import Image, clear_border, new_image, padded, whole_tiles
from .threads import Scratch, Tickets, Workers, small_products_are_direct

POINTS = (0, 5 / 8, -5 / 8, 3 / 2, -3 / 2)  # and infinity
PANEL = 64  # filters in a panel
SMALL = 10**6  # m * n * k of a product that OpenBLAS computes straight from its operands
STRIP = 49 * 512  # tiles times channels of a strip: VGG's conv4_2 is one


def transforms(points: Sequence[float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A^T [m, a], G [a, 3] and B^T [a, a] of Cook and Toom for F(m, 3), from a = m + 2 points; the last is infinity.

    Parameters
    ----------
    points : sequence of float
        The others.
    """
    m = len(points) - 1
    a_t = np.hstack([np.vander(points, m, increasing=True).T, np.eye(m)[:, -1:]])
    g = np.vstack([np.vander(points, 3, increasing=True), np.eye(3)[2:]])
    b_t = np.zeros((m + 2, m + 2))
    b_t[-1] = np.poly(points)[::-1]  # coefficients of the polynomial that is zero at the points, lowest first
    for k, point in enumerate(points):
        others = np.delete(points, k)
        b_t[k, :-1] = np.poly(others)[::-1]
        g[k] /= np.prod(point - others)
    return a_t, g, b_t


A_T, G, B_T = transforms(POINTS)


@dataclass(frozen=True)
class WinogradConv:
    """Transformed filters in panels ``[M / panel, 36, C, panel]``, and the transforms in the same dtype."""

    weight: np.ndarray
    bias: np.ndarray | None
    pads: tuple[int, ...]
    b_t: np.ndarray
    a_t: np.ndarray
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


def panel_width(filters: int) -> int:
    """The largest width that shares out the filters evenly; one panel where only narrow ones do."""
    return max((width for width in range(16, PANEL + 1) if filters % width == 0), default=filters)


def prepare(
    weight: np.ndarray, bias: np.ndarray | None, pads: tuple[int, ...], dtype: np.dtype, workers: Workers
) -> WinogradConv:
    """Transform the filters ``[M, C, 3, 3]``, in float64."""
    filters, channels = weight.shape[:2]
    width = panel_width(filters)
    panels = np.empty((filters // width, 36, channels, width), dtype)
    transform = np.kron(G, G)  # [36, 9]

    def one_panel(number: int) -> None:
        part = weight[number * width : (number + 1) * width].reshape(width, channels, 9)
        taps = part.transpose(2, 1, 0).astype(np.float64).reshape(9, -1)
        panels[number] = (transform @ taps).reshape(36, channels, width)

    workers.run(one_panel, len(panels))
    return WinogradConv(panels, bias, pads, B_T.astype(dtype), A_T.astype(dtype))


def convolve(x: np.ndarray, conv: WinogradConv, relu: bool, pool: bool, workers: Workers, scratch: Scratch) -> Image:
    """Convolution, bias, and where asked for ReLU and 2x2 max pooling: ``[N, C, H, W] -> [N, M, outH, outW]``."""
    n, channels, height, width = x.shape
    panels, _, _, panel = conv.weight.shape
    dtype = conv.weight.dtype
    top, left, bottom, right = conv.pads
    out_h, out_w = output_size(height, 3, 1, top, bottom), output_size(width, 3, 1, left, right)
    tiles_h, tiles_w = -(-out_h // 4), -(-out_w // 4)
    bands = _bands(padded(x, conv.pads, 4 * tiles_h + 2, 4 * tiles_w + 2, dtype), tiles_h)
    y = new_image(n, panels * panel, out_h // 2 if pool else out_h, out_w // 2 if pool else out_w, dtype)
    target = whole_tiles(y, tiles_h, tiles_w, 2 if pool else 4)  # [N, tilesH, side, tilesW, side, M]
    boxes = _boxes(n, tiles_h, tiles_w, max(1, STRIP // channels))
    unclaimed = Tickets(len(boxes))
    panels_of = [Tickets(panels) for _ in boxes]

    def compute(number: int) -> None:
        images, rows = boxes[number]
        pixels = bands[images, rows]
        strip = _Strip(conv, (*pixels.shape[:2], tiles_w), relu, pool, scratch)
        strip.transform(pixels)
        for one in panels_of[number]:
            strip.multiply(one, target[images, rows])

    def work(_: int) -> None:
        try:
            for number in unclaimed:
                compute(number)
            for number in range(len(boxes)):
                if panels_of[number].left > 1:  # enough to pay for transforming the tiles once more
                    compute(number)
        except BaseException:
            for tickets in (unclaimed, *panels_of):  # what the others do is in vain
                tickets.close()
            raise

    workers.run(work, workers.threads)
    clear_border(y)
    return y


class _Strip:
    """The arrays that a grid of tiles ``(images, rows, tilesW)`` passes through, in scratch memory that the next takes.

    Their last axis is as long as all tiles' channels, or filters, side by side.
    """

    def __init__(self, conv: WinogradConv, grid: tuple[int, ...], relu: bool, pool: bool, scratch: Scratch) -> None:
        self.conv, self.relu = conv, relu
        _, _, channels, panel = conv.weight.shape
        tiles = math.prod(grid)
        pieces = -(-tiles * channels * panel // SMALL) if small_products_are_direct() else 1
        piece = -(-tiles // pieces)  # tiles in each of the products; the last may have room to spare
        self._before_products(grid, pieces, piece, scratch)
        self._after_products(grid, pieces, piece, pool, scratch)

    def _before_products(self, grid: tuple[int, ...], pieces: int, piece: int, scratch: Scratch) -> None:
        """Where `transform` reads and writes."""
        images, rows, tiles_w = grid
        channels, dtype = self.conv.channels, self.conv.weight.dtype
        of_band, of_tiles = (4 * tiles_w + 2) * channels, math.prod(grid) * channels
        strides = (of_band, rows * 6 * of_band, 6 * of_band, 4 * channels, channels, 1)
        self.along_h = scratch.array("halfway", (images, rows, 6, of_band), dtype)  # transformed along H
        self.columns = np.ndarray(
            (6, images, rows, tiles_w, 6, channels),
            dtype,
            self.along_h,
            strides=[of * dtype.itemsize for of in strides],
        )
        transformed = scratch.spaced("transformed", 36, pieces * piece * channels, dtype)
        transformed[:, of_tiles:] = 0
        tiled = transformed[:, :of_tiles].reshape(6, 6, *grid, channels)
        self.transformed = tiled.transpose(0, 2, 3, 4, 1, 5)
        self.operand = transformed.reshape(36, pieces, piece, channels)

    def _after_products(self, grid: tuple[int, ...], pieces: int, piece: int, pool: bool, scratch: Scratch) -> None:
        """Where `multiply` reads and writes; by then `along_h` is no longer needed, and `halfway` takes its memory."""
        panel, dtype = self.conv.weight.shape[3], self.conv.weight.dtype
        of_tiles = math.prod(grid) * panel
        products = scratch.spaced("products", 36, pieces * piece * panel, dtype)
        self.products = products.reshape(36, pieces, piece, panel)
        self.by_column = products[:, :of_tiles].reshape(6, 6, of_tiles).swapaxes(0, 1)
        self.halfway = scratch.spaced("halfway", 24, of_tiles, dtype).reshape(4, 6, of_tiles)
        self.outputs = scratch.spaced("outputs", 16, of_tiles, dtype).reshape(4, 4, of_tiles)
        self.final = self.outputs.reshape(4, 4, *grid, panel)
        self.to_pool: list[tuple[np.ndarray, np.ndarray]] = []
        if pool:
            self.to_pool = [(self.final[0::2], self.final[1::2]), (self.final[0::2, 0::2], self.final[0::2, 1::2])]
            self.final = self.final[0::2, 0::2]
        self.placed = self.final.transpose(2, 3, 0, 4, 1, 5)  # [images, rows, side, tilesW, side, panel]

    def transform(self, bands: np.ndarray) -> None:
        """``B^T d B`` of bands of pixels ``[images, rows, 6, columns * C]``."""
        np.matmul(self.conv.b_t, bands, out=self.along_h)
        np.matmul(self.conv.b_t, self.columns, out=self.transformed)

    def multiply(self, panel: int, target: np.ndarray) -> None:
        """The products with one panel of filters, ``A^T [...] A`` of them, and what follows, to their place.

        `target` is ``[images, rows, side, tilesW, side, M]``.
        """
        width = self.conv.weight.shape[3]
        filters = slice(panel * width, (panel + 1) * width)
        destination = target[..., filters]
        np.matmul(self.operand, self.conv.weight[panel][:, None], out=self.products)
        np.matmul(self.conv.a_t, self.by_column, out=self.halfway.swapaxes(0, 1))
        np.matmul(self.conv.a_t, self.halfway, out=self.outputs)
        for one, other in self.to_pool:
            np.maximum(one, other, out=one)
        if self.conv.bias is not None:
            np.add(self.final, self.conv.bias[filters], out=self.final)
        if self.relu:
            np.maximum(self.placed, self.placed.dtype.type(0), out=destination)
        else:
            np.copyto(destination, self.placed)


def _bands(source: np.ndarray, tiles_h: int) -> np.ndarray:
    """The six rows that each row of tiles sees of an image ``[N, rows, columns, C]``: ``[N, tilesH, 6, columns * C]``.

    Neighbours share two of them, so this is a view.
    """
    n, _, columns, channels = source.shape
    of_image, of_row, _, of_channel = source.strides
    shape, strides = (n, tiles_h, 6, columns * channels), (of_image, 4 * of_row, of_row, of_channel)
    return np.lib.stride_tricks.as_strided(source, shape, strides, writeable=False)


def _boxes(n: int, tiles_h: int, tiles_w: int, most: int) -> list[tuple[slice, slice]]:
    """Cut ``[N, tilesH]`` into boxes of about `most` tiles: whole images together, or rows of one."""
    images = max(1, min(n, most // (tiles_h * tiles_w)))
    rows = max(1, min(tiles_h, most // tiles_w))
    return [(image, row) for image in _even(n, images) for row in _even(tiles_h, rows)]


def _even(count: int, most: int) -> list[slice]:
    """Cut a range into the fewest parts of at most `most`, of nearly the same length."""
    parts = -(-count // most)
    return [slice(count * i // parts, count * (i + 1) // parts) for i in range(parts)]
