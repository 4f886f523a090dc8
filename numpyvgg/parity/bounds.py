"""How far rounding can take a layer's output from the exact one: the bounds, and why they hold.

**The model.** An operation in floating point returns ``(a op b)(1 + d)`` with ``|d| <= u``, the unit roundoff: 2^-24
for float32 (Higham 2002, section 2.2).

**Worst case.** Multiply out what a convolution does: each of its K products ``w*x`` is rounded, then takes part in at
most K additions (K - 1 others and the bias), each of which rounds once more, in whatever order the sum is taken. So
what is computed is ``sum w*x * (1+d1)...(1+dn)`` with n <= K + 1 factors that differ from product to product. A
product of n such factors is ``1 + t`` with ``|t| <= gamma_n = n*u / (1 - n*u)`` (Higham 2002, lemma 3.1), hence
(section 3.1)

    |computed - exact| <= gamma_(K+1) * (|W| * |x| + |b|).

Blocked, vectorised, pairwise or fused (FMA, one rounding for two operations) sums meet fewer roundings, never more.
The final rounding stores the result. The argument needs no inner product: any value that is a sum over
paths, of which each meets at most n roundings, is within gamma_n of the same sum with all terms made positive, its
*magnitude* T.

**Probable case.** Rounding errors have no common sign. If they are independent with mean zero, then with
probability ``1 - 2 exp(-lambda^2 (1-u)^2 / 2)`` the product of n factors stays within

    gamma~_n(lambda) = exp(lambda * sqrt(n) * u + n * u^2 / (1-u)) - 1,   about lambda * sqrt(n) * u

(Higham & Mary 2019, theorem 2.4). This must hold on every path of every output; `chance_lambda` makes lambda so large
that the chance of any one failing is below `FAILURE` = 1e-6 for a layer and an image: lambda is 8.5 for the 3.2
million outputs of VGG's conv1_2, each of 577 terms. Real rounding errors are neither random nor quite independent, so
this is a model, and the worst case is a theorem; where n is so small that the worst case is the smaller of the two,
it stands for both.

**The reference** is computed in float64. Products of two float32 are exact there (48 bits of 53), and its sums obey
the same bound with u = 2^-53: 5e8 times smaller, so that it never matters. It is counted all the same (u is the sum
of both), which makes float64 runtimes comparable, too.

**Underflow.** The model fails below the smallest normal number (1.2e-38), where runtimes may flush to zero. Each of
the 2n operations then adds at most that number. An input that is itself below it may be read as zero, which adds that
number times what it is multiplied with: so the largest |W| counts where some x is that small, and the largest |x| only
where some weight is. So no bound is zero where something was computed: outputs of an all-zero image with no bias may
differ by 1e-33, not by 1e-30; and one huge pixel does not widen the bound of the others.

**ReLU and max pooling** select one of their inputs and round nothing: they must be exact but for numbers that were
flushed to zero, and so must what only moves numbers. They stretch no error either (|max(a, 0) - max(b, 0)| <= |a - b|),
so a bound passes through them as it is; that is how runtimes that fuse them into a convolution are judged.

**Softmax**, ``y_i = e_i / s`` with ``e_i = exp(x_i - m)``, ``s = sum e_j`` and ``m = max x``: rounding x_i - m by a
relative u multiplies e_i by at most exp(|x_i - m| u); exp itself is good to `EXP_ULPS` units in the last place, 2u
each; s is a sum of positive terms, so its relative error is their largest mean plus (n - 1)u for n classes; then a
division, in some runtimes a reciprocal and a product. In units of u, to first order,

    |computed - exact| / y_i  <=  |x_i - m| + sum_j y_j |x_j - m| + 2 * 2 * EXP_ULPS + (n - 1) + 2.

(Blanchard, Higham & Higham 2021 derive the same three sources.) It is a worst case and serves as both bounds.

**Local response normalisation**, ``y = x / d^beta`` with ``d = bias + alpha / size * (sum of size squares)``: d is a
sum of positive terms and good to (size + 3) u, its power to beta times that. Runtimes take the power as exp(beta log
d), so that an error of `EXP_ULPS` in the logarithm and the product's rounding count |beta log d| = |log(x / y)| times:

    |computed - exact| / |y|  <=  beta (size + 3) + (2 * EXP_ULPS + 1) |log(x / y)| + 2 * EXP_ULPS + 1    in units of u.

Sources
-------
- Nicholas J. Higham, "Accuracy and Stability of Numerical Algorithms", 2nd edition, SIAM 2002, chapters 2 and 3.
- Nicholas J. Higham and Theo Mary, "A New Approach to Probabilistic Rounding Error Analysis", SIAM Journal on
  Scientific Computing 41(5), 2019.
- Pierre Blanchard, Desmond J. Higham and Nicholas J. Higham, "Accurately Computing the Log-Sum-Exp and Softmax
  Functions", IMA Journal of Numerical Analysis 41(4), 2021.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

#: Probability with which the probable bound may raise a false alarm, for one layer and one image.
FAILURE = 1e-6
#: By how many units in the last place exp may be off. glibc's vector functions are tested to 4 (libmvec's page in its
#: wiki); tools/measure_parity.py finds up to 7.0 in runtimes (docs/parity.md), and this is the next power of two.
EXP_ULPS = 8

_REFERENCE_ROUNDOFF = 2.0**-53


class Bound(NamedTuple):
    """Element by element, how far a computed value may be from the exact one.

    Attributes
    ----------
    worst : ndarray
        Whatever the order of the sums.
    probable : ndarray
        With rounding errors of random sign; at most `worst`.
    """

    worst: np.ndarray
    probable: np.ndarray


def unit_roundoff(dtype: np.dtype) -> float:
    """Half the distance from 1 to the next number, and the reference's own on top."""
    return float(np.finfo(dtype).eps) / 2 + _REFERENCE_ROUNDOFF


def gamma(n: float, u: float) -> float:
    """n * u / (1 - n * u): n roundings at their worst. Infinite where the theory ends."""
    return n * u / (1 - n * u) if n * u < 1 else math.inf


def probable_gamma(n: float, u: float, lambda_: float) -> float:
    """gamma~_n(lambda): n roundings of random sign (Higham & Mary 2019, equation 2.5)."""
    return math.expm1(min(lambda_ * math.sqrt(n) * u + n * u * u / (1 - u), 700.0))


def chance_lambda(paths: float, u: float) -> float:
    """The lambda for which all of `paths` products of rounding factors stay in bounds, but for a chance of FAILURE."""
    return math.sqrt(2 * math.log(2 * paths / FAILURE)) / (1 - u)


@lru_cache
def student(freedom: int, chance: float = FAILURE) -> float:
    """The t that |Student's t| exceeds with that chance; `freedom` is even (Abramowitz & Stegun, 26.7.4)."""
    low, high = 0.0, 1e6
    for _ in range(100):
        t = (low + high) / 2
        cosine = freedom / (freedom + t * t)  # squared
        term = total = 1.0
        for i in range(1, freedom // 2):
            term *= cosine * (2 * i - 1) / (2 * i)
            total += term
        low, high = (t, high) if 1 - math.sqrt(1 - cosine) * total > chance else (low, t)
    return high


def sum_bound(magnitude: np.ndarray, n: int, dtype: np.dtype, largest: float, paths: float | None = None) -> Bound:
    """The bounds of a value that is a sum over paths.

    Parameters
    ----------
    magnitude : ndarray
        T: the same sum of absolute values. Being float32 where the runtime is, it has an error of its own, at most
        gamma_n relatively since its terms are all positive, for which the bounds are widened.
    n : int
        Roundings on the longest path; K + 1 for K products and a bias.
    dtype : np.dtype
        What the runtime computes in.
    largest : float
        The largest of 1 and the factors of subnormal numbers, for the underflow term; see `largest_factor`.
    paths : float
        To each output; n when left out.
    """
    u = unit_roundoff(dtype)
    worst = gamma(n, u)
    lambda_ = chance_lambda(max(magnitude.size, 1) * (paths or n), u)
    probable = min(worst, probable_gamma(n, u, lambda_))
    underflow = 2 * n * float(np.finfo(dtype).tiny) * largest
    total = magnitude.astype(np.float64) * (1 + gamma(n, 2.0**-24))
    return Bound(worst * total + underflow, probable * total + underflow)


def largest_factor(arrays: list[np.ndarray], dtype: np.dtype) -> float:
    """The largest of 1 and all numbers that may be multiplied with a subnormal one of another array.

    Parameters
    ----------
    arrays : list of ndarray
        Absolute values of a node's inputs.
    """
    tiny = np.finfo(dtype).tiny
    small = [bool(((array > 0) & (array < tiny)).any()) for array in arrays]
    factors = [array for i, array in enumerate(arrays) if any(small[:i] + small[i + 1 :])]
    return max([1.0, *(float(array.max(initial=0, where=np.isfinite(array))) for array in factors)])


def softmax_bound(x: np.ndarray, y: np.ndarray, dtype: np.dtype, axes: tuple[int, ...] = (-1,)) -> Bound:
    """The bounds of softmax.

    Parameters
    ----------
    x, y : ndarray, float64
        Exact scores and probabilities.
    axes : tuple of int
        Over which probabilities sum to 1: one; before opset 13 also several.
    """
    distance = x.max(axis=axes, keepdims=True) - x
    classes = math.prod(x.shape[axis] for axis in axes)
    count = distance + (y * distance).sum(axis=axes, keepdims=True) + 4 * EXP_ULPS + (classes - 1) + 2
    relative = count * unit_roundoff(dtype)
    worst = y * relative / np.maximum(1 - relative, 0.5) + 2 * classes * float(np.finfo(dtype).tiny)
    return Bound(worst, worst)


def lrn_bound(x: np.ndarray, y: np.ndarray, size: int, beta: float, dtype: np.dtype) -> Bound:
    """The bounds of local response normalisation.

    Parameters
    ----------
    x, y : ndarray, float64
        Exact inputs and outputs.
    """
    logarithm = np.abs(np.log(np.abs(np.divide(x, y, out=np.ones_like(x), where=y != 0))))
    count = beta * (size + 3) + (2 * EXP_ULPS + 1) * logarithm + 2 * EXP_ULPS + 1
    worst = np.abs(y) * count * unit_roundoff(dtype) + 2 * (size + 3) * float(np.finfo(dtype).tiny)
    return Bound(worst, worst)
