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

**Three steps.** Threads share the tiles of a box: as many as fit in ten megabytes, transformed and multiplied, or 196.
A row of tiles after the other is transformed, then one of the 36 places after the other is multiplied, then a row of
tiles after the other is finished: transformed back, pooled, and written to its place. A product is thus as large as
the layer lets it be, which counts: BLAS rearranges both operands first, and each number is then used as often as there
are filters, or tiles. (OpenBLAS with AVX-512 computes small products, m * n * k below a million, straight from
their operands. There the filters lie in panels, 64 wide, and products are cut so that each is small.) Rows are finished
beside those that are transformed for the next box.

**Shorter sums.** Each addition rounds what has been added up so far, so the error of a sum grows with its length, and
its size only with the root of that. Sums over channels are taken in parts of at most 256 terms, each a product of its
own; A^T, which adds up anyway, adds the parts. Parts half as long would make the network's error a fifth smaller, but
take a twelfth more time.

The bias comes after the pooling: it changes no order, and there are fewer numbers to add it to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from ..layers import output_size
from .im2col import FILTERS
from .images import Image, clear_border, new_image, padded, whole_tiles
from .threads import Scratch, Workers, one_blas_thread, small_products_are_direct

POINTS = (0, 5 / 8, -5 / 8, 3 / 2, -3 / 2)  # and infinity
PANEL = 64  # filters in a panel, where there are several
SMALL = 10**6  # m * n * k of a product that OpenBLAS computes straight from its operands
SUM = 256  # channels in a part of a sum, at most
BOX = 196 * 512  # tiles times (channels and filters) of a box: one image's in VGG's block 3
TILES = 196  # of a box, where there are so many: then BLAS's rearranging of the filters is worth it


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
    """Transformed filters ``[36, parts, M / panel, C / parts, panel]``, and the transforms in the same dtype.

    The places are in the order of w, then h, so that A^T finds those of a column, and the parts of each, side by side.
    """

    weight: np.ndarray
    bias: np.ndarray | None
    pads: tuple[int, ...]
    b_t: np.ndarray
    a_t: np.ndarray
    method = "Winograd F(4x4, 3x3)"

    @property
    def channels(self) -> int:
        """Of the input."""
        return self.weight.shape[1] * self.weight.shape[3]


def serves(weight: np.ndarray, strides: Sequence[int], dilations: Sequence[int], group: int) -> bool:
    """The rule: 3x3 filters, stride 1, no dilation, no groups, and enough channels to pay for the transforms."""
    return (
        weight.shape[2:] == (3, 3) and (*strides, *dilations, group) == (1, 1, 1, 1, 1) and min(weight.shape[:2]) >= 16
    )


def panel_width(filters: int) -> int:
    """All filters; where small products are direct the largest width that shares them out evenly, if it is not tiny."""
    if not small_products_are_direct():
        return filters
    return max((width for width in range(16, PANEL + 1) if filters % width == 0), default=filters)


def parts_of_sum(channels: int) -> int:
    """The fewest that are no longer than `SUM` and of one length; one where that would take more than twice as many."""
    fewest = -(-channels // SUM)
    return next((parts for parts in range(fewest, 2 * fewest) if channels % parts == 0), 1)


def prepare(
    weight: np.ndarray,
    bias: np.ndarray | None,
    pads: tuple[int, ...],
    dtype: np.dtype,
    workers: Workers,
    scratch: Scratch,
) -> WinogradConv:
    """Transform the filters ``[M, C, 3, 3]``, in float64; some at a time, spaced as in `im2col.prepare`."""
    filters, channels = weight.shape[:2]
    width, parts = panel_width(filters), parts_of_sum(channels)
    source = weight.reshape(filters // width, width, channels * 9)
    panels = np.empty((36, parts, filters // width, channels // parts, width), dtype)
    transform = np.kron(G, G).reshape(6, 6, 9).swapaxes(0, 1).reshape(36, 9)
    places = [
        (panel, slice(first, first + FILTERS)) for panel in range(len(source)) for first in range(0, width, FILTERS)
    ]

    def some_filters(number: int) -> None:
        panel, place = places[number]
        some = source[panel, place]
        spaced = scratch.spaced("filters", len(some), channels * 9, some.dtype)
        spaced[...] = some
        taps = np.ascontiguousarray(spaced.reshape(-1, channels, 9).transpose(2, 1, 0), np.float64)
        transformed = transform @ taps.reshape(9, -1)
        panels[:, :, panel, :, place] = transformed.reshape(36, parts, channels // parts, len(some))

    workers.run(some_filters, len(places))
    return WinogradConv(panels, bias, pads, B_T.astype(dtype), A_T.astype(dtype))


def convolve(x: np.ndarray, conv: WinogradConv, relu: bool, pool: bool, workers: Workers, scratch: Scratch) -> Image:
    """Convolution, bias, and where asked for ReLU and 2x2 max pooling: ``[N, C, H, W] -> [N, M, outH, outW]``."""
    n, channels, height, width = x.shape
    _, _, panels, _, panel = conv.weight.shape
    dtype = conv.weight.dtype
    top, left, bottom, right = conv.pads
    out_h, out_w = output_size(height, 3, 1, top, bottom), output_size(width, 3, 1, left, right)
    tiles_h, tiles_w = -(-out_h // 4), -(-out_w // 4)
    bands = _bands(padded(x, conv.pads, 4 * tiles_h + 2, 4 * tiles_w + 2, dtype), tiles_h)
    y = new_image(n, panels * panel, out_h // 2 if pool else out_h, out_w // 2 if pool else out_w, dtype)
    target = whole_tiles(y, tiles_h, tiles_w, 2 if pool else 4)  # [N, tilesH, side, tilesW, side, M]
    to_finish: list[Task] = []
    with one_blas_thread:
        for box in _boxes(n, tiles_h, tiles_w, max(TILES, BOX // (channels + panels * panel))):
            tiles = _Tiles(conv, bands[box], target[box], relu, pool, scratch)
            _run(workers, to_finish + tiles.to_transform())
            _run(workers, tiles.to_multiply())
            to_finish = tiles.to_finish()
        _run(workers, to_finish)
    clear_border(y)
    return y


Task = Callable[[], None]


def _run(workers: Workers, tasks: Sequence[Task]) -> None:
    workers.run(lambda number: tasks[number](), len(tasks))


class _Tiles:
    """The tiles of a box on their way through the three steps, in memory that the next box takes.

    Each step is a list of tasks that do not depend on each other.

    Parameters
    ----------
    bands : ndarray [images, rows, 6, columns * C]
        The pixels that each row of tiles sees.
    target : ndarray [images, rows, side, tilesW, side, M]
        Where the outputs go.
    """

    def __init__(
        self, conv: WinogradConv, bands: np.ndarray, target: np.ndarray, relu: bool, pool: bool, scratch: Scratch
    ) -> None:
        self._conv, self._relu, self._pool, self._scratch = conv, relu, pool, scratch
        self._bands, self._target = ([of[row] for row in np.ndindex(of.shape[:2])] for of in (bands, target))
        _, parts, panels, part, panel = conv.weight.shape
        channels = conv.channels
        rows, self._tiles_w, dtype = len(self._bands), target.shape[3], conv.weight.dtype
        tiles = rows * self._tiles_w
        pieces = -(-tiles * part * panel // SMALL) if small_products_are_direct() else 1
        piece = -(-tiles // pieces)  # tiles in each of the products; the last may have room to spare
        transformed = scratch.spaced("transformed", 36, pieces * piece * channels, dtype)
        transformed[:, tiles * channels :] = 0
        products = scratch.spaced("products", 36 * parts, panels * pieces * piece * panel, dtype)
        self._operand = transformed.reshape(36, 1, pieces, piece, parts, part).transpose(0, 4, 1, 2, 3, 5)
        self._results = products.reshape(36, parts, panels, pieces, piece, panel)
        self._by_row = transformed[:, : tiles * channels].reshape(6, 6, rows, self._tiles_w, channels)
        of_tile = products.reshape(6, 6 * parts, panels, pieces * piece, panel)[:, :, :, :tiles]
        self._to_back = of_tile.reshape(6, 6 * parts, panels, rows, self._tiles_w * panel)

    def to_transform(self) -> list[Task]:
        """A task for each row of tiles."""
        return [partial(self._transform, band, self._by_row[:, :, i]) for i, band in enumerate(self._bands)]

    def to_multiply(self) -> list[Task]:
        """A task for each of the 36 places."""
        return [partial(self._multiply, place) for place in range(36)]

    def to_finish(self) -> list[Task]:
        """A task for each row of tiles."""
        return [partial(self._finish, self._to_back[:, :, :, i], row) for i, row in enumerate(self._target)]

    def _transform(self, band: np.ndarray, tiles: np.ndarray) -> None:
        """``B^T d B`` of a row of tiles: ``[6, columns * C] -> [6, 6, tilesW, C]``, of places w, h."""
        b_t, channels = self._conv.b_t, self._conv.channels
        along_h = self._scratch.array("along_h", band.shape, band.dtype)
        np.matmul(b_t, band, out=along_h)
        of_row, of_column = along_h.strides[0], channels * along_h.itemsize
        strides = (of_row, 4 * of_column, of_column, along_h.itemsize)
        columns = np.ndarray((6, self._tiles_w, 6, channels), along_h.dtype, along_h, strides=strides)
        np.matmul(b_t, columns, out=tiles.transpose(1, 2, 0, 3))

    def _multiply(self, place: int) -> None:
        """The products at one of the 36 places: ``[tiles, C] x [C, M]``, in parts."""
        np.matmul(self._operand[place], self._conv.weight[place][:, :, None], out=self._results[place])

    def _finish(self, products: np.ndarray, target: np.ndarray) -> None:
        """``A^T [...] A`` of a row of tiles and what follows, to its place: ``[6, 6 parts, panels, length]``."""
        a_t, bias, dtype = self._conv.a_t, self._conv.bias, products.dtype
        _, terms, panels, length = products.shape
        halfway = self._scratch.spaced("halfway", 24, panels * length, dtype).reshape(4, 6, panels, length)
        y = self._scratch.spaced("outputs", 16, panels * length, dtype).reshape(4, 4, panels, length)
        np.matmul(np.repeat(a_t, terms // 6, 1), products.transpose(0, 2, 1, 3), out=halfway.transpose(1, 2, 0, 3))
        np.matmul(a_t, halfway.transpose(0, 2, 1, 3), out=y.transpose(0, 2, 1, 3))
        if self._pool:
            y = np.maximum(y[0::2], y[1::2], out=y[0::2])
            y = np.maximum(y[:, 0::2], y[:, 1::2], out=y[:, 0::2])
        y = y.reshape(*y.shape[:3], self._tiles_w, -1)  # [side, side, panels, tilesW, panel]
        if bias is not None:
            np.add(y, bias.reshape(panels, 1, -1), out=y)
        placed = y.transpose(0, 3, 1, 2, 4)
        target = target.reshape(placed.shape)
        if self._relu:
            np.maximum(placed, np.zeros(placed.shape[-1], dtype), out=target)  # a scalar has no vector instructions
        else:
            np.copyto(target, placed)


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
