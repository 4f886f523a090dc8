"""What a Winograd kernel's rounding looks like: its bound, and the pattern by which it gives itself away.

Winograd's F(m x m, 3 x 3) (Lavin & Gray 2016) computes a tile of m x m outputs from a = m + 2 input pixels a side as

    Y = A^T [ sum over channels of (G g G^T) * (B^T d B) ] A

with fewer multiplications, but of transformed numbers. Their sum is the convolution only in exact arithmetic: large
terms cancel, and what they were rounded by stays. So `bounds.sum_bound` with the convolution's own magnitude does not
hold for it. The argument behind that bound does (each output is a sum over paths), with the magnitude that its paths
have:

    T = |A^T| [ sum over channels of (|G| |g| |G|^T) * (|B^T| |d| |B|) ] |A|

and n = C + 4a + 9 roundings on a path: along each of two axes a for the input's transform (products and sums), a for
the output's and 4 for the weights' (3, and one for constants like 1/6), then the product, C - 1 additions and the
bias. Barabasz et al. 2020 derive such bounds with matrix norms; element by element they are smaller and as cheap.

**Excusing.** T is up to 250 times the convolution's for m = 4, and more for 6: such a bound alone would also excuse a
plain kernel that forgot a bias, or a Winograd kernel whose products have 11 bits. Hence a second condition. The kernel
is run in float32 on a few tiles of the very input and filters, which gives the root mean square of error / T that
float32 makes here (`usual_error`). A runtime's must be no more than `FREEDOM` times as large, in every output channel:
a forgotten bias is constant where T is not, and 11 bits are off by 2^13.

**Naming** is another matter, and decides nothing. Rows of A^T differ in size (1 1 1 1 1 0 to 0 1 -1 8 -8 1 for m = 4),
so an output's error depends on where in its tile it lies: errors of a Winograd kernel repeat every m pixels, those of
other kernels, whatever their precision, do not. `tile_size` looks for that. On photographs, and with points other than
those below, the pattern may be too faint to say.

Sources
-------
Andrew Lavin and Scott Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016.
Barbara Barabasz, Andrew Anderson, Kirk M. Soodhalter and David Gregg, "Error Analysis and Improving the Accuracy of
Winograd Convolution for Deep Neural Networks", ACM Transactions on Mathematical Software 46(4), 2020.
"""

from __future__ import annotations

import numpy as np

from .bounds import Bound, largest_factor, sum_bound

#: Tile size m -> the points at which polynomials are evaluated; infinity is the last one everywhere.
_ALL_POINTS = (0, 1, -1, 2, -2, 0.5, -0.5, 4, -4)
POINTS = {m: _ALL_POINTS[: m + 1] for m in range(2, 9)}
#: The tiles that libraries use. Others are believed only where the errors repeat as often as their tiles.
USUAL_TILES = (2, 4, 6)
#: Tile sizes whose pattern is strong enough to be named: the transforms of F(2 x 2, 3 x 3) hold only 0, 1 and 1/2.
NAMED = (4, 6)
#: How many times `usual_error` a kernel of other points, another order or scaling may be off: two bits. Measured by
#: tools/measure_parity.py (docs/parity.md): kernels at the points of ncnn, OpenCV, MNN and our own need no more.
FREEDOM = 4.0
_SAMPLED_TILES, _SAMPLED_FILTERS = 32, 64


def transforms(m: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A^T [m, a], G [a, 3] and B^T [a, a] of F(m, 3), a = m + 2.

    Multiplying two polynomials of m and 3 coefficients by their values at a points is, transposed, the convolution
    (Cook and Toom). Libraries scale rows of B^T up and of G down by the same factor, which leaves T as it is.
    """
    a = m + 2

    def vandermonde(columns: int) -> np.ndarray:
        rows = np.vander(POINTS[m], columns, increasing=True)
        return np.vstack([rows, np.eye(columns)[-1]])  # at infinity only the leading coefficient counts

    return vandermonde(m).T, vandermonde(3), np.linalg.inv(vandermonde(a)).T


def _tiles(x: np.ndarray, pads: list[int], m: int) -> np.ndarray:
    """The input's overlapping tiles, beginning at the first output.  [N, C, rows, columns, a, a]"""
    height, width = x.shape[2:]
    rows, columns = -(-(height + pads[0] + pads[2] - 2) // m), -(-(width + pads[1] + pads[3] - 2) // m)
    after_h, after_w = rows * m + 2 - height - pads[0], columns * m + 2 - width - pads[1]
    padded = np.pad(x, ((0, 0), (0, 0), (pads[0], after_h), (pads[1], after_w)))
    return np.lib.stride_tricks.sliding_window_view(padded, (m + 2, m + 2), axis=(2, 3))[:, :, ::m, ::m]


def _convolve(d: np.ndarray, weight: np.ndarray, matrices: tuple[np.ndarray, np.ndarray, np.ndarray]) -> np.ndarray:
    """Tiles [tiles, C, a, a] by filters [M, C, 3, 3].  [tiles, M, m, m]"""
    at, g, bt = matrices
    products = (bt @ d @ bt.T).transpose(2, 3, 0, 1) @ (g @ weight @ g.T).transpose(2, 3, 1, 0)  # [a, a, tiles, M]
    return at @ products.transpose(2, 3, 0, 1) @ at.T


def usual_error(x: np.ndarray, weight: np.ndarray, pads: list[int], m: int) -> float:
    """The root mean square of error / T that the kernel makes in float32, on some tiles and filters drawn at random."""
    rng = np.random.default_rng(0)
    tiles = _tiles(x, pads, m).transpose(0, 2, 3, 1, 4, 5)  # [N, rows, columns, C, a, a]
    filled = np.argwhere(_tiles(np.abs(x).max(axis=1, keepdims=True), pads, m).max(axis=(1, 4, 5)) > 0)
    if not len(filled):
        return 0.0
    d = tiles[tuple(filled[rng.integers(0, len(filled), _SAMPLED_TILES)].T)]  # [tiles, C, a, a]
    weight = rng.permutation(weight)[:_SAMPLED_FILTERS]
    at, g, bt = transforms(m)
    low = (at.astype(np.float32), g.astype(np.float32), bt.astype(np.float32))
    single = _convolve(d.astype(np.float32), weight.astype(np.float32), low)
    d, weight = d.astype(np.float64), weight.astype(np.float64)
    double = _convolve(d, weight, (at, g, bt))
    terms = _convolve(np.abs(d), np.abs(weight), (np.abs(at), np.abs(g), np.abs(bt)))
    relative = np.abs(single - double)[terms > 0] / terms[terms > 0]
    return float(np.sqrt(np.mean(np.square(relative)))) if relative.size else 0.0


def excuse(error: np.ndarray, x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, pads: list[int]) -> int:
    """The smallest m whose kernel in float32 makes such errors; 0 where none does.

    Parameters
    ----------
    error : ndarray [N, M, H, W]
        Absolute, of the convolution or of a ReLU that is fused into it.
    x, weight, bias, pads
        As for `bound`.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # numbers near the largest excuse nothing
        tiles = [m for m in POINTS if m in USUAL_TILES or repeats(error, m)]
        return next((m for m in tiles if _is_usual(m, error, x, weight, bias, pads)), 0)


def _is_usual(
    m: int, error: np.ndarray, x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, pads: list[int]
) -> bool:
    """Whether F(m x m, 3 x 3) in float32 makes such errors."""
    own = bound(x, weight, bias, pads, m)
    if own.probable.shape != error.shape or not np.all(error <= own.probable):
        return False
    # own.probable is a multiple of T but for the underflow term, which is nothing beside errors that matter.
    share = np.sqrt(np.mean(np.square(error / own.probable), axis=(0, 2, 3)))  # [M]
    factor = probable_factor(x, weight, error.size, m)
    return bool(np.all(share <= FREEDOM * usual_error(x, weight, pads, m) / factor))


def bound(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, pads: list[int], m: int) -> Bound:
    """The bounds of a 3x3 convolution with stride 1 by F(m x m, 3 x 3), tiles beginning at the first output.

    Parameters
    ----------
    x : ndarray, float32 [N, C, H, W]
    weight : ndarray, float32 [M, C, 3, 3]
    bias : ndarray [M], optional
    pads : list of int
        (top, left, bottom, right)
    """
    at, g, bt = (np.abs(matrix).astype(np.float32) for matrix in transforms(m))
    a, (n, channels, height, width) = m + 2, x.shape
    out_h, out_w = height + pads[0] + pads[2] - 2, width + pads[1] + pads[3] - 2
    tiles = _tiles(np.abs(x), pads, m)
    rows, columns = tiles.shape[2:4]
    d = tiles.transpose(0, 2, 3, 1, 4, 5).reshape(-1, channels, a, a)
    y = _convolve(d, np.abs(weight), (at, g, bt))
    y = y.reshape(n, rows, columns, -1, m, m).transpose(0, 3, 1, 4, 2, 5).reshape(n, -1, rows * m, columns * m)
    magnitude = y[:, :, :out_h, :out_w]
    if bias is not None:
        magnitude = magnitude + np.abs(bias).reshape(-1, 1, 1)
    largest = largest_factor([np.abs(x), np.abs(weight)], np.dtype(np.float32))
    return sum_bound(magnitude, channels + 4 * a + 9, x.dtype, largest, paths=channels * 9 * a**4)


def probable_factor(x: np.ndarray, weight: np.ndarray, elements: int, m: int) -> float:
    """What `bound` multiplies T with, for chance."""
    channels, a, one = x.shape[1], m + 2, np.ones(1)
    paths = channels * 9 * a**4 * elements
    return float(sum_bound(one, channels + 4 * a + 9, x.dtype, 1.0, paths=paths).probable[0])


def tile_size(error: np.ndarray, magnitude: np.ndarray) -> int | None:
    """The tile size m whose pattern the errors of a 3x3 convolution show; None where they show none.

    Parameters
    ----------
    error : ndarray [N, M, H, W]
    magnitude : ndarray [N, M, H, W]
        The convolution's own; errors are taken relative to it, so that neither the image nor its borders show.
    """
    relative = np.divide(error, magnitude, out=np.zeros_like(error), where=magnitude > 0)
    power = np.square(relative).mean(axis=(0, 1))  # [H, W]
    likeness = {m: _likeness(power, m) for m in NAMED}
    best = max(likeness, key=lambda m: likeness[m])
    return best if likeness[best] > 0.8 else None


def repeats(error: np.ndarray, m: int) -> bool:
    """Whether errors are large and small at the same places of tiles m pixels a side, in one half of them as in both.

    Parameters
    ----------
    error : ndarray [N, M, H, W]
    """
    power = np.square(error).mean(axis=(0, 1))  # [H, W]
    rows, columns = (size // m for size in power.shape)
    if min(rows, columns) < 2:
        return False
    with np.errstate(divide="ignore"):
        of_tiles = np.log(power[: rows * m, : columns * m].reshape(rows, m, columns, m).transpose(0, 2, 1, 3))
    half = np.indices((rows, columns)).sum(axis=0) % 2 == 0  # as on a chessboard
    first, second = (of_tiles[side].mean(axis=0).ravel() for side in (half, ~half))
    if not np.isfinite([first, second]).all() or min(np.ptp(first), np.ptp(second)) < np.log(4):
        return False
    return bool(np.corrcoef(first, second)[0, 1] > 0.8)


def _likeness(power: np.ndarray, m: int) -> float:
    """Correlation of the errors' logarithms with those that theory expects at each place in a tile.

    An error made at point k in the transformed domain is proportional to the row norms of B^T and G there, and
    reaches output i by A^T[i, k]; over random images and weights their squares add up.
    """
    height, width = (size // m * m for size in power.shape)
    if min(height, width) < 2 * m:
        return 0.0  # too small to tell
    seen = power[:height, :width].reshape(height // m, m, width // m, m).mean(axis=(0, 2))  # [m, m]
    if seen.min() == 0 or seen.max() < 4 * seen.min():
        return 0.0  # too even: theory expects the largest to be a hundred times the smallest
    at, g, bt = transforms(m)
    expected = np.square(at) @ (np.square(bt).sum(axis=1) * np.square(g).sum(axis=1))
    return float(np.corrcoef(np.log(seen).ravel(), np.log(np.outer(expected, expected)).ravel())[0, 1])
