"""How large rounding errors usually are in a sum: the variance of its partial sums, at sampled outputs.

The bounds of `bounds` must hold for every output and every order of the sum, so a correct runtime stays far below them
in long sums (a thousandth of the bound in VGG-16's fc6), and short numbers hide in between. The same model, evaluated
on the data instead of at its worst, is sharper.

**Theory.** Adding up ``s_1, s_2, ...`` rounds each partial sum once, by ``|d| <= u |s_i|``, and each product once.
Within a binade an error is uniform in +- half a unit in the last place, hence of variance at most ``(u s_i)^2 / 3``.
If errors are independent with mean zero (Higham & Mary 2019), the sum's has the variance

    sigma^2 = u^2 / 3 * (sum of s_i^2 + sum of p_i^2),

p_i being the products. Two tests follow.

**All errors together** (`usual`). The terms are taken in their order and in the reverse one, and the larger sigma
counts; blocked sums meet fewer and smaller partial sums. Over S outputs, S * z^2 = sum (error / sigma)^2 then is at
most chi-squared with S degrees of freedom, and exceeds ``S + 2 sqrt(S t) + 2 t`` with probability below exp(-t)
(Laurent & Massart 2000, lemma 1): for S = 256 and the chance `bounds.FAILURE`, z stays below 1.26.

**Each filter by itself** (`of_channel`). A wrong bias or weight shifts one channel's mean, and hides among all outputs.
K terms whose squares sum to Q and themselves to S, added up in random order, have the partial sums

    E[sum of s_k^2] = (K + 1) (Q / 6 + S^2 / 3),

by counting how often two terms have both been added; so sigma is one more product of matrices. The mean over P places
of error / sigma has a standard deviation r between 1 / sqrt(P), if the errors are independent, and 1, if all places are
equal as in a constant image. How much errors repeat is a property of the data, so r is measured on sums of our own in
random orders. A channel's mean divided by r follows Student's t with as many degrees of freedom as there were sums; the
limit is what one of M channels exceeds with the chance `FAILURE`. A channel beyond it gets sigma from its terms' own
order, too, before it is accused.

**Like terms** round alike, and their errors are not independent. A partial sum is a multiple of its unit in the last
place e, so that adding p to it is off by what rounding p itself to a multiple of e gives, whatever the sum is: terms in
the same quarter of e are all rounded up or all down (`rounding_errors`). The largest error of an addition is a =
min(u |s_i|, |p_i|): one that leaves the sum as it was is off by p_i. Within a group g of like terms errors add up, and
groups are independent, so

    sigma^2 = 1/3 * sum over groups of (sum of a in g)^2,

and of products likewise with a = u |p|. Where all terms differ, each is a group, and this is the formula above. Where
they are alike, sigma grows with K and not with its root, and no error is beyond sqrt(3) sigma, the worst case in this
order: z is held to what the worst case would make it, where that is less than chi-squared's limit.

**Like outputs**, sums of as good as the same terms, err alike, too. They count once among the S, and equal filters once
among the degrees of freedom.

**What would be seen** (`Limits`) follows by setting the tests' statistics to their limits. A factor that is rounded to
b bits is off by at most 2^-b of its own power of two; if its leading digits are spread as logarithms are, the mean
square is 0.18 * 4^-b of its own, and an output's error is sqrt(0.18 Q) 2^-b.

Source
------
B. Laurent and P. Massart, "Adaptive Estimation of a Quadratic Functional by Model Selection", The Annals of Statistics
28(5), 2000. The others are those of `bounds`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from .bounds import FAILURE, student, unit_roundoff
from .products import Product

_SAMPLES, _PLACES, _FILTERS = 256, 64, 512
_ROUNDOFF = unit_roundoff(np.dtype(np.float32))
#: Terms within this share of a unit in the last place are like each other.
_LIKE = 0.25
#: A smaller share of like terms is left alone: m pairs among K terms change sigma by m / K of itself.
_FEW = 0.01
_TINY = float(np.finfo(np.float32).tiny)
#: 1/3 of the mean of m^-2 for a significand 1 <= m < 2 whose logarithm is uniform.
_ROUNDED_FACTOR = 1 / (8 * math.log(2))


@dataclass(frozen=True)
class Limits:
    """What these tests would see at a layer.

    Attributes
    ----------
    bits : int
        Weights rounded to so many bits, or fewer.
    shift : float
        One channel's bias wrong by that much of the outputs' root mean square (median over channels).
    weight : float
        One weight of median size wrong by that much of itself, at an input of mean size.
    """

    bits: int
    shift: float
    weight: float


@dataclass(frozen=True)
class Sums:
    """How the errors of a product compare with those of sums in float32.

    Attributes
    ----------
    usual : float
        z as a share of what chance explains; beyond 1 the errors are too large.
    others : float
        The same without the outputs of `channel`: another kernel errs in all channels, a fault may be in one.
    of_channel : float
        The largest mean of one channel, as a share of what chance explains.
    channel : int
        Which one.
    shift : float
        Its mean error.
    limits : Limits
    """

    usual: float
    others: float
    of_channel: float
    channel: int
    shift: float
    limits: Limits


def look_at_sums(product: Product, error: np.ndarray, exact: np.ndarray) -> Sums | None:
    """Hold the errors of a product to those that float32 usually makes; None where it adds up nothing but zeros.

    Parameters
    ----------
    product : Product
    error, exact : ndarray
        Of the layer's output, signed and finite.
    """
    rng = np.random.default_rng(0)
    sample = _Sample.draw(product, error, exact, rng)
    if not sample.seen.any():
        return None
    drawn, z, limit, excess = _together(sample, rng)
    means, allowed = _by_channel(sample, excess, rng)
    channel = int(np.abs(means).argmax())
    usual = _root_mean_square(z) / limit
    others = _root_mean_square(z[drawn != channel]) / limit
    limits = _limits(sample, limit, allowed)
    of_channel = float(np.abs(means[channel])) / allowed
    return Sums(usual, others, of_channel, channel, float(sample.errors[channel].mean()), limits)


@dataclass(frozen=True)
class _Sample:
    """Some places of a product, all channels: inputs [K, P]; exact outputs, errors, Q and sigma, [M, P] each."""

    product: Product
    columns: np.ndarray
    exact: np.ndarray
    errors: np.ndarray
    squares: np.ndarray
    sigma: np.ndarray

    @classmethod
    def draw(cls, product: Product, error: np.ndarray, exact: np.ndarray, rng: np.random.Generator) -> _Sample:
        places = rng.choice(product.places, min(_PLACES, product.places), replace=False)
        columns, exact = product.columns(places).astype(np.float64), product.matrix(exact)[:, places]
        squared = np.square(columns)
        squares = np.concatenate([np.square(block, dtype=np.float64) @ squared for block in _blocks(product.weight)])
        if product.bias is not None:
            squares += np.square(product.bias, dtype=np.float64)[:, None]
        partial = (len(columns) + 1) * (squares / 6 + np.square(exact) / 3)
        sigma = np.sqrt(_ROUNDOFF**2 / 3 * (partial + squares))
        return cls(product, columns, exact, product.matrix(error)[:, places], squares, sigma)

    @cached_property
    def different(self) -> np.ndarray:
        """One filter of each kind: equal ones err alike."""
        return np.unique(self.product.weight.sum(axis=1), return_index=True)[1]

    @property
    def seen(self) -> np.ndarray:
        """Where errors may be measured by sigma, and not by underflow."""
        return self.sigma > _TINY

    def terms(self, channels: np.ndarray, places: np.ndarray) -> np.ndarray:
        """What some outputs are the sum of, the bias last.  [S, K + 1]"""
        products = self.product.weight[channels] * self.columns.T[places]
        bias = np.zeros(len(self.product.weight)) if self.product.bias is None else self.product.bias
        return np.concatenate([products, bias[channels, None]], axis=1, dtype=np.float64)

    def means(self, values: np.ndarray, filters: slice | np.ndarray = slice(None)) -> np.ndarray:
        """Of values / sigma over the places.  [M]"""
        sigma, seen = self.sigma[filters], self.seen[filters]
        return np.divide(values, sigma, out=np.zeros_like(sigma), where=seen).mean(axis=1)


def _blocks(weight: np.ndarray) -> list[np.ndarray]:
    """Some channels at a time: all of fc6's in float64 would be 800 MB."""
    return np.array_split(weight, min(max(weight.size >> 22, 1), len(weight)))


def _together(sample: _Sample, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Error / sigma at outputs drawn at random, and their channels; z's limit; sigma as a multiple of the sample's."""
    m, p = (rng.integers(0, size, _SAMPLES) for size in sample.sigma.shape)
    m, p = m[sample.seen[m, p]], p[sample.seen[m, p]]
    if not len(m):
        return m, np.zeros(0), 1.0, 1.0
    terms = rounding_errors(sample.terms(m, p))
    t, count = -math.log(FAILURE), _different(sample.exact[m, p], len(sample.columns))
    limit = math.sqrt((count + 2 * math.sqrt(count * t) + 2 * t) / count)
    limit = min(limit, _root_mean_square(terms.largest / terms.sigma))
    excess = max(1.0, _root_mean_square(terms.sigma / sample.sigma[m, p]))
    return m, sample.errors[m, p] / terms.sigma, limit, excess


def _different(outputs: np.ndarray, count: int) -> int:
    """How many of these sums of `count` terms are not like others: such terms differ by less than a quarter of e."""
    grid = _LIKE * float(np.finfo(np.float32).eps) * count * float(np.abs(outputs).max(initial=0))
    return len(np.unique(np.rint(outputs / grid))) if grid else 1


class RoundingErrors(NamedTuple):
    """Of sums in float32, one term after the other.

    Attributes
    ----------
    sigma : ndarray [S]
        Their standard deviation, and `independent` the same if no terms were alike.
    largest : ndarray [S]
        What they are at most.
    """

    sigma: np.ndarray
    independent: np.ndarray
    largest: np.ndarray


def rounding_errors(terms: np.ndarray) -> RoundingErrors:
    """How far sums may be off, added up in this order or in the reverse one, whichever is worse.

    Parameters
    ----------
    terms : ndarray, float64 [S, K]
    """
    some = np.array_split(terms, max(min(terms.size >> 16, len(terms)), 1))  # what fits into a cache
    return RoundingErrors(*map(np.concatenate, zip(*map(_rounding_errors, some), strict=True)))


def _rounding_errors(terms: np.ndarray) -> RoundingErrors:
    forward, sizes = np.add.accumulate(terms, axis=1), np.abs(terms)
    backward = np.abs(forward[:, -1:] - forward + terms)
    np.abs(forward, out=forward)
    like = _like(terms, np.maximum(forward.max(axis=1), backward.max(axis=1)))
    forward[:, 0] = backward[:, -1] = 0  # nothing is added to the first
    both = [np.minimum(_ROUNDOFF * partial, sizes, out=partial) for partial in (forward, backward)]
    squares = np.stack([_sum_of_squares(each) for each in both])
    worse = np.argmax(squares, axis=0)
    additions, products = np.where(worse[:, None] == 0, *both), _ROUNDOFF * sizes
    independent = squares.max(axis=0) + _sum_of_squares(products)
    together = independent + _of_like(additions, like) + _of_like(products, like)
    return RoundingErrors(np.sqrt(together / 3), np.sqrt(independent / 3), additions.sum(axis=1) + products.sum(axis=1))


def _like(terms: np.ndarray, largest: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows and columns of the terms that have others like them in their row, and where in these each group begins.

    Parameters
    ----------
    terms : ndarray [S, K]
    largest : ndarray [S]
        Of each row's partial sums.
    """
    unit = np.ldexp(1.0, np.frexp(largest)[1] - 24)  # in the last place
    bins = np.rint(terms * (1 / (_LIKE * unit[:, None]))).astype(np.int32)
    ordered = np.sort(bins, axis=1)  # much faster than argsort, and zeros are not rounded
    repeated = ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != 0)).sum(axis=1)
    some = np.flatnonzero(repeated > _FEW * terms.shape[1])
    order = bins[some].argsort(axis=1)
    bins = np.take_along_axis(bins[some], order, axis=1)
    again = np.zeros((len(bins), terms.shape[1] + 1), bool)  # like the one before it
    again[:, 1:-1] = (bins[:, 1:] == bins[:, :-1]) & (bins[:, 1:] != 0)
    rows, places = np.nonzero(again[:, :-1] | again[:, 1:])
    return some[rows], order[rows, places], np.flatnonzero(~again[rows, places])


def _sum_of_squares(errors: np.ndarray) -> np.ndarray:
    return np.asarray(np.einsum("sk,sk->s", errors, errors))


def _of_like(errors: np.ndarray, like: tuple[np.ndarray, np.ndarray, np.ndarray]) -> np.ndarray:
    """What adding up the errors of each group before they are squared adds to the sum of squares.  [S]"""
    rows, columns, begins = like
    if not len(rows):
        return np.zeros(len(errors))
    alike = errors[rows, columns]
    groups = np.square(np.add.reduceat(alike, begins))
    return np.bincount(rows[begins], groups, len(errors)) - np.bincount(rows, np.square(alike), len(errors))


def _by_channel(sample: _Sample, excess: float, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Each channel's mean error, in sigmas, and how large chance makes it in one of M channels."""
    (channels, places), means = sample.sigma.shape, sample.means(sample.errors)
    different = min(len(sample.different), _FILTERS)
    passes = -(-_PLACES // different)
    freedom = max(passes * different // 2 * 2, 2)
    allowed = excess * _repetition(sample, passes, rng) * student(freedom, FAILURE / channels)
    for channel in np.argsort(-np.abs(means)):
        if abs(means[channel]) <= allowed:
            break
        terms = rounding_errors(sample.terms(np.full(places, channel), np.arange(places)))
        own = _root_mean_square(terms.sigma / np.maximum(sample.sigma[channel], _TINY))
        means[channel] /= max(1.0, own / excess)
        if abs(means[channel]) > allowed:
            break
    return means, allowed


def _repetition(sample: _Sample, passes: int, rng: np.random.Generator) -> float:
    """r, the standard deviation of a mean over the places of errors whose own is 1, from sums in random orders."""
    places = sample.columns.shape[1]
    if places == 1:
        return 1.0
    columns, of_means, power = sample.columns.astype(np.float32), 0.0, 0.0
    for _ in range(passes):
        some = rng.permutation(sample.different)[:_FILTERS]
        errors = sample.product.in_random_order(columns, rng, some) - sample.exact[some]
        of_means += float(np.square(sample.means(errors, some)).mean())
        power += float(sample.means(np.square(errors) / np.maximum(sample.sigma[some], _TINY), some).mean())
    return max(math.sqrt(of_means / power) if power else 1.0, 1 / math.sqrt(places))


def _limits(sample: _Sample, limit: float, allowed: float) -> Limits:
    """What would be seen, from the largest statistics that chance explains."""
    seen, size = sample.seen, _root_mean_square(sample.exact)
    rounded = _root_mean_square(np.sqrt(_ROUNDED_FACTOR * sample.squares[seen]) / sample.sigma[seen])
    unit = float(np.median(sample.means(np.ones_like(sample.sigma))))  # what a shift by 1 does to a channel's mean
    weight = float(np.median(np.abs(sample.product.weight[:: -(-len(sample.product.weight) // 64)])))
    change = unit * weight * float(np.abs(sample.columns).mean())
    return Limits(
        bits=min(max(math.floor(math.log2(rounded / limit)), 0), 24) if rounded else 0,
        shift=allowed / (unit * size) if unit * size else math.inf,
        weight=allowed / change if change else math.inf,
    )


def _root_mean_square(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values)))) if values.size else 0.0
