"""One layer's output held against the exact one: its error as a share of the bound, and the verdict."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np

from ..files.onnx import Node, OnnxModel
from . import winograd
from .bounds import Bound, largest_factor, softmax_bound, sum_bound
from .operations import PRODUCTS, Operation, forward, magnitude, operation, softmax_axes, winograd_pads
from .precision import PRECISIONS, Precision, round_to
from .products import as_product
from .sums import Sums, look_at_sums

#: Verdicts that need no further explanation.
EXPLAINED = ("exact", "rounding", "Winograd", "end to end", "not exposed")
#: Verdicts that are neither: whatever came, the bound would have held.
UNDECIDED = ("cannot tell",)
#: What a layer that is not explained is tried as: hint -> precision.
_SHORTER = {"bfloat16": PRECISIONS["bfloat16"], "float16 or TF32": PRECISIONS["float16"]}
#: Roundings that folding a following product and sum into a convolution's weights adds (see "BatchNormalization").
_FOLDED = 8


@dataclass
class Value:
    """A tensor as a runtime has it.

    Attributes
    ----------
    exact : ndarray, float64
        What the runtime exposed; where it did not, what follows exactly from what it exposed before.
    spread : Bound, optional
        How far the runtime's own value may then be from `exact`.
    size : float
        How large an error must be to matter; see `_size`.
    origin : tuple, optional
        Of a convolution that is not exposed, node and inputs: a Winograd kernel may hide behind the ReLU that follows.
    """

    exact: np.ndarray
    spread: Bound | None = None
    size: float = 0.0
    origin: tuple[Node, list[Input]] | None = None


#: What a node reads: a tensor, what is fixed in the file, or nothing where it leaves an input out.
Input = Value | np.ndarray | None


@dataclass(frozen=True)
class Judgement:
    """How one output of a runtime compares with the exact one.

    Attributes
    ----------
    verdict : str
        ``exact``: equal, as it must be. ``rounding``: within the probable bound. ``Winograd``: its errors show a
        Winograd kernel's pattern and are within that kernel's bound; `tile` says which. ``worst case``: beyond the
        probable bound, within the worst case. ``wrong``: rounding in this precision cannot do this. ``unusual``: within
        the bound, but larger than float32's errors are (`sums`); ``one channel``: only one is. ``cannot tell``: within
        a bound that is as large as what it judges. ``end to end``: the same, but the error is no larger than that of
        passes of our own (`spread`); ``beyond the spread``: it is larger. ``not exposed``: nothing to compare.
    worst, probable : float
        The largest |error| / bound.
    beyond : int
        Elements beyond the probable bound.
    elements : int
    index : tuple of int
        Where |error| / bound is largest.
    theirs, exact : float
        The values there.
    ulps : float
        Their distance in units in the last place of the exact one.
    roundings : int
        n, of which the bounds are made; 0 where the output must be exact.
    tile : int
        m where the errors show the pattern of Winograd F(m x m, 3 x 3), whether or not the plain bound holds; else 0.
    sums : Sums, optional
        The errors' size at sampled outputs as a share of what `sums` allows, and what would be seen there.
    drift, limit : float
        Where no bound could decide: the error end to end as a multiple of that of our own passes, and the largest that
        chance explains (`spread`).
    hint : str
        What else was found out about an output that is not explained.
    """

    verdict: str
    worst: float = 0.0
    probable: float = 0.0
    beyond: int = 0
    elements: int = 0
    index: tuple[int, ...] = ()
    theirs: float = 0.0
    exact: float = 0.0
    ulps: float = 0.0
    roundings: int = 0
    tile: int = 0
    sums: Sums | None = None
    drift: float = 0.0
    limit: float = 0.0
    hint: str = field(default="", compare=False)

    @property
    def explained(self) -> bool:
        return self.verdict in EXPLAINED

    @property
    def failed(self) -> bool:
        """Whether a difference was seen that rounding does not explain."""
        return self.verdict not in EXPLAINED + UNDECIDED


def judge(
    model: OnnxModel, node: Node, inputs: list[Input], theirs: np.ndarray | None, precision: Precision
) -> tuple[Judgement, Value]:
    """Judge a node's output, given the runtime's own inputs to it.

    Parameters
    ----------
    inputs : list of Value (tensors), ndarray (what is fixed in the file) or None (left out)
    theirs : ndarray, float64, optional
        The runtime's output; None where it does not expose it.
    precision : Precision
        What the runtime computes in.

    Returns
    -------
    Judgement
    Value
        The output, for the nodes that follow.
    """
    unrounded, inputs = inputs, _rounded(node, inputs, precision)
    with np.errstate(all="ignore"):  # infinities and NaN are values, and compared as such
        exact = forward(model, node, [_as(array, np.float64) for array in inputs])
        folded = _FOLDED if theirs is None and node.op_type in PRODUCTS else 0
        bound, terms, roundings = _bound(model, node, inputs, exact, precision, folded)
        size = _size(node, inputs, exact, terms, roundings)
    if theirs is None:
        origin = (node, inputs) if node.op_type == "Conv" else None
        return Judgement("not exposed", roundings=roundings), Value(exact, bound, size, origin)
    if theirs.shape != exact.shape:
        hint = f"its shape is {list(theirs.shape)}, not {list(exact.shape)}"
        verdict = Judgement("wrong", np.inf, np.inf, exact.size, exact.size, roundings=roundings, hint=hint)
        return verdict, Value(exact)
    judgement = _compare(theirs, exact, bound, roundings, precision)
    judgement = _look_at_sums(judgement, node, inputs, theirs, exact, precision)
    hidden = inputs[0].origin if isinstance(inputs[0], Value) else None
    if node.op_type == "Conv" and terms is not None:
        judgement = _look_for_winograd(judgement, node, inputs, theirs, exact, terms, precision)
    elif node.op_type == "Relu" and hidden is not None and bound is not None and judgement.failed:
        judgement = _look_for_winograd(judgement, *hidden, theirs, exact, bound.worst, precision)
    if not judgement.explained and node.op_type in PRODUCTS and bound is not None and np.isfinite(theirs).all():
        judgement = replace(judgement, hint=_reduced_precision(model, node, unrounded, theirs, bound))
    subnormal = 4 * (roundings + 1) * float(np.finfo(np.float32).tiny)  # where zero is right, too
    if judgement.explained and bound is not None and _root_mean_square(bound.probable, exact) >= size > subnormal:
        judgement = replace(judgement, verdict="cannot tell")
    return judgement, Value(theirs)


def _rounded(node: Node, inputs: list[Input], precision: Precision) -> list[Input]:
    """The factors of a product as the precision has them; a hidden one may round to the other side."""
    if not precision.factors or node.op_type not in PRODUCTS:
        return inputs
    rounded: list[Input] = []
    for i, array in enumerate(inputs):
        if isinstance(array, Value) and precision.inputs:
            spread = array.spread
            if spread:
                slack = 2 * precision.roundoff * (np.abs(array.exact) + spread.worst)
                spread = Bound(spread.worst + slack, spread.probable + slack)
            array = Value(round_to(array.exact, precision.factors), spread, array.size)
        elif i == 1 and isinstance(array, np.ndarray):
            array = round_to(array, precision.factors)
        rounded.append(array)
    return rounded


def _size(node: Node, inputs: list[Input], exact: np.ndarray, terms: np.ndarray | None, roundings: int) -> float:
    """How large an error must be to matter: a bound beyond it would pass any answer.

    The root mean square of what is exact. Where terms cancel that is no measure (an edge detector on a blank wall: the
    right answer is zero, and a wrong one is not); there T / sqrt(n) is, the size of the sum if its n terms, T of them
    in absolute value, had random signs. Of probabilities only the differences say anything.
    """
    if node.op_type == "Softmax" and any(isinstance(array, Value) and array.spread for array in inputs):
        exact = exact - exact.mean()
    size = _root_mean_square(exact, exact)
    hidden = [array for array in inputs if isinstance(array, Value) and array.spread]
    if node.op_type == "Softmax":
        return size
    if terms is not None and not hidden:
        return max(size, _root_mean_square(terms, exact) / math.sqrt(max(roundings, 1)))
    return max([size, *(array.size for array in hidden if terms is None)])


def _root_mean_square(values: np.ndarray, exact: np.ndarray) -> float:
    """Over the elements where the exact value is finite."""
    with np.errstate(over="ignore", under="ignore"):
        return float(np.sqrt(np.mean(np.square(values), where=np.isfinite(exact)))) if np.isfinite(exact).any() else 0.0


def _as(array: Input, dtype: type) -> np.ndarray | None:
    """The numbers in `dtype`; integers, such as shapes, stay as they are."""
    array = array.exact if isinstance(array, Value) else array
    return array.astype(dtype, copy=False) if array is not None and array.dtype.kind == "f" else array


def _absolute(array: Input, dtype: type, side: int | None = None) -> np.ndarray | None:
    """Absolute values, and on top how far they may be off by one of the two bounds."""
    absolute = _as(array, dtype)
    if absolute is None or absolute.dtype.kind != "f":
        return absolute
    absolute = np.abs(absolute)
    if side is not None and isinstance(array, Value) and array.spread:
        absolute = absolute + array.spread[side].astype(dtype)
    return absolute


def _bound(
    model: OnnxModel, node: Node, inputs: list[Input], exact: np.ndarray, precision: Precision, folded: int = 0
) -> tuple[Bound | None, np.ndarray | None, int]:
    """The bounds of the node's output (None: it must be exact), its magnitude, and the count of roundings."""
    op, dtype = operation(model, node), precision.sums
    carried = _carried(model, node, op, inputs, exact)
    if op.roundings is None:
        return carried, None, 0
    working = np.float64 if dtype == np.float64 else np.float32
    absolute = [_absolute(array, working, side=0) for array in inputs]
    roundings, terms = op.roundings(node, absolute), None
    if node.op_type == "Softmax":
        scores = _as(inputs[0], np.float64)
        assert scores is not None
        bound = softmax_bound(scores, exact, dtype, softmax_axes(model, node, exact.ndim))
    else:
        terms = magnitude(model, node, absolute)
        if not np.isfinite(terms).all():  # beyond float32, where runtimes may be, too
            absolute = [_absolute(array, np.float64, side=0) for array in inputs]
            terms = magnitude(model, node, absolute)
        largest = largest_factor([array for array in absolute if array is not None], np.dtype(np.float32))
        bound = sum_bound(terms, roundings + folded, dtype, largest)
    if precision.stored:
        bias = max((float(np.abs(array).max()) for array in inputs[2:] if isinstance(array, np.ndarray)), default=0.0)
        stored = precision.roundoff * (np.abs(exact) + bias)
        bound = Bound(bound.worst + stored, bound.probable + stored)
    if carried is not None:
        bound = Bound(bound.worst + carried.worst, bound.probable + carried.probable)
    return bound, terms, roundings


def _carried(model: OnnxModel, node: Node, op: Operation, inputs: list[Input], exact: np.ndarray) -> Bound | None:
    """What becomes of the bounds of inputs that the runtime did not expose; None where it exposed them all."""
    if not any(isinstance(array, Value) and array.spread for array in inputs):
        return None
    sides = []
    for side in (0, 1):
        if node.op_type == "Softmax":  # all scores off by at most e: each exp, and their sum, by at most exp(e)
            off = _spread(inputs[0], side)
            assert off is not None
            off = off.max(axis=softmax_axes(model, node, off.ndim), keepdims=True)
            sides.append(exact * np.expm1(np.minimum(2 * off, 700)))
        elif op.roundings is None:
            sides.append(forward(model, node, [_spread(array, side) for array in inputs]))
        else:
            above = magnitude(model, node, [_absolute(array, np.float64, side) for array in inputs])
            sides.append(above - magnitude(model, node, [_absolute(array, np.float64) for array in inputs]))
    return Bound(*sides)


def _spread(array: Input, side: int) -> np.ndarray | None:
    """How far an input may be off: not at all where it is exposed or fixed; integers, such as shapes, as they are."""
    if isinstance(array, Value):
        return array.spread[side] if array.spread else np.zeros_like(array.exact)
    return np.zeros_like(array) if array is not None and array.dtype.kind == "f" else array


def _compare(
    theirs: np.ndarray, exact: np.ndarray, bound: Bound | None, roundings: int, precision: Precision
) -> Judgement:
    """The verdict by numbers alone."""
    stored = np.dtype(np.float64 if precision.sums == np.float64 else np.float32)
    error = _error(theirs, exact, stored)
    if bound is None:  # exact, but for what was flushed to zero
        flushed = np.where(theirs == 0, np.finfo(stored).tiny, 0.0)
        worst, probable = (_ratio(error, flushed) for _ in range(2))
    else:
        worst, probable = (_ratio(error, side) for side in bound)
    index = np.unravel_index(int(probable.argmax()), error.shape) if error.size else ()
    largest_worst, largest_probable = float(worst.max(initial=0)), float(probable.max(initial=0))
    verdict = "exact" if bound is None else "rounding"
    if largest_probable > 1:
        verdict = "worst case" if largest_worst <= 1 else "wrong"
    at, at_exact = (float(array[index]) if error.size else 0.0 for array in (theirs, exact))
    with np.errstate(all="ignore"):
        ulp = float(np.spacing(np.abs(np.asarray(at_exact, stored)))) if error.size else 1.0
    return Judgement(
        verdict=verdict,
        worst=largest_worst,
        probable=largest_probable,
        beyond=int((probable > 1).sum()),
        elements=error.size,
        index=tuple(map(int, index)),
        theirs=at,
        exact=at_exact,
        ulps=abs(at - at_exact) / ulp,
        roundings=roundings,
    )


def _error(theirs: np.ndarray, exact: np.ndarray, stored: np.dtype) -> np.ndarray:
    """|theirs - exact|: 0 where both overflow alike or are both not a number, infinite where one is."""
    with np.errstate(over="ignore", invalid="ignore"):
        rounded = exact.astype(stored)
        error = np.abs(theirs - exact)
        same = (np.isinf(theirs) & (theirs == rounded)) | (np.isnan(theirs) & np.isnan(exact))
    return np.where(same, 0.0, np.where(np.isnan(error), np.inf, error))


def _ratio(error: np.ndarray, bound: np.ndarray) -> np.ndarray:
    """error / bound: 0 where there is no error, infinite where there is one and none is allowed."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(error == 0, 0.0, error / bound)
    return np.where(np.isnan(ratio), np.inf, ratio)


def _look_at_sums(
    judgement: Judgement,
    node: Node,
    inputs: list[Input],
    theirs: np.ndarray,
    exact: np.ndarray,
    precision: Precision,
) -> Judgement:
    """Whether errors within the bound are as small as float32's usually are, of all channels and of each (`sums`)."""
    hidden = any(isinstance(array, Value) and array.spread for array in inputs)
    finite = np.isfinite(theirs).all() and np.isfinite(exact).all()
    if hidden or precision.name != "float32" or not judgement.explained or not finite:
        return judgement
    product = as_product(node, [_as(array, np.float32) for array in inputs])
    sums = look_at_sums(product, theirs - exact, exact) if product else None
    if sums is None:
        return judgement
    one = sums.of_channel > 1 >= sums.others
    verdict = "one channel" if one else "unusual" if max(sums.usual, sums.of_channel) > 1 else judgement.verdict
    return replace(judgement, verdict=verdict, sums=sums)


def _look_for_winograd(
    judgement: Judgement,
    node: Node,
    inputs: list[Input],
    theirs: np.ndarray,
    exact: np.ndarray,
    terms: np.ndarray,
    precision: Precision,
) -> Judgement:
    """Name the Winograd kernel whose pattern the errors show; beyond the plain bound, hold it to its own."""
    x, weight, *bias = (_as(array, precision.sums.type) for array in inputs)
    assert x is not None
    assert weight is not None
    pads = winograd_pads(node, x)
    error = _error(theirs, exact, np.dtype(np.float32))
    if pads is None or not np.isfinite(error).all() or not np.isfinite(x).all():
        return judgement
    tile = winograd.tile_size(error, terms) or 0
    # A kernel errs in all channels; one alone that is so far beyond the others is a fault.
    fault = (
        judgement.sums is not None
        and judgement.verdict == "one channel"
        and judgement.sums.of_channel > winograd.FREEDOM
    )
    if judgement.failed and not fault and (like := winograd.excuse(error, x, weight, bias[0] if bias else None, pads)):
        judgement, tile = replace(judgement, verdict="Winograd"), tile or like
    return replace(judgement, tile=tile)


def _reduced_precision(model: OnnxModel, node: Node, inputs: list[Input], theirs: np.ndarray, bound: Bound) -> str:
    """Whether the same layer with everything rounded to a shorter significand explains the output."""
    bias = max((float(np.abs(array).max()) for array in inputs[2:] if isinstance(array, np.ndarray)), default=0.0)
    for name, shorter in _SHORTER.items():
        exact = forward(model, node, [_as(array, np.float64) for array in _rounded(node, inputs, shorter)])
        # The result is rounded once more to be stored; a bias may have kept its float32.
        allowed = bound.probable + shorter.roundoff * 1.01 * (np.abs(exact) + bias)
        if float(_ratio(_error(theirs, exact, np.dtype(np.float32)), allowed).max()) <= 1:
            return f"as if computed in {name}"
    return ""
