"""One layer's output held against the exact one: its error as a share of the bound, and the verdict."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from ..files.onnx import Node, OnnxModel
from . import winograd
from .bounds import Bound, softmax_bound, sum_bound
from .operations import Operation, forward, magnitude, operation, winograd_pads

#: Verdicts that need no further explanation.
EXPLAINED = ("exact", "rounding", "Winograd", "not exposed")
#: Significands shorter than float32's: name -> bits.
_PRECISIONS = {"bfloat16": 8, "float16 or TF32": 11}


@dataclass
class Value:
    """A tensor as a runtime has it.

    Attributes
    ----------
    exact : ndarray, float64
        What the runtime exposed; where it did not, what follows exactly from what it exposed before.
    spread : Bound, optional
        How far the runtime's own value may then be from `exact`.
    """

    exact: np.ndarray
    spread: Bound | None = None


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
        probable bound, within the worst case. ``wrong``: rounding in float32 cannot do this. ``not exposed``: nothing
        to compare.
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
    hint: str = field(default="", compare=False)

    @property
    def explained(self) -> bool:
        return self.verdict in EXPLAINED


def judge(
    model: OnnxModel, node: Node, inputs: list[Input], theirs: np.ndarray | None, dtype: np.dtype
) -> tuple[Judgement, Value]:
    """Judge a node's output, given the runtime's own inputs to it.

    Parameters
    ----------
    inputs : list of Value (tensors), ndarray (what is fixed in the file) or None (left out)
    theirs : ndarray, optional
        The runtime's output; None where it does not expose it.
    dtype : np.dtype
        What the runtime computes in.

    Returns
    -------
    Judgement
    Value
        The output, for the nodes that follow.
    """
    with np.errstate(all="ignore"):  # infinities and NaN are values, and compared as such
        exact = forward(model, node, [_as(array, np.float64) for array in inputs])
        bound, terms, roundings = _bound(model, node, inputs, exact, dtype)
    if theirs is None:
        return Judgement("not exposed", roundings=roundings), Value(exact, bound)
    if theirs.shape != exact.shape:
        hint = f"its shape is {list(theirs.shape)}, not {list(exact.shape)}"
        verdict = Judgement("wrong", np.inf, np.inf, exact.size, exact.size, roundings=roundings, hint=hint)
        return verdict, Value(exact)
    judgement = _compare(theirs, exact, bound, roundings)
    if node.op_type == "Conv" and terms is not None:
        judgement = _look_for_winograd(judgement, node, inputs, theirs, exact, terms)
    if not judgement.explained and bound is not None and np.isfinite(theirs).all():
        judgement = replace(judgement, hint=_reduced_precision(model, node, inputs, theirs, bound))
    return judgement, Value(theirs.astype(np.float64))


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
    model: OnnxModel, node: Node, inputs: list[Input], exact: np.ndarray, dtype: np.dtype
) -> tuple[Bound | None, np.ndarray | None, int]:
    """The bounds of the node's output (None: it must be exact), its magnitude, and the count of roundings."""
    op = operation(model, node)
    carried = _carried(model, node, op, inputs, exact)
    if op.roundings is None:
        return carried, None, 0
    absolute = [_absolute(array, dtype.type, side=0) for array in inputs]
    roundings, terms = op.roundings(node, absolute), None
    if node.op_type == "Softmax":
        scores = _as(inputs[0], np.float64)
        assert scores is not None
        bound = softmax_bound(scores, exact, dtype)
    else:
        terms = magnitude(model, node, absolute)
        if not np.isfinite(terms).all():  # beyond float32, where runtimes may be, too
            absolute = [_absolute(array, np.float64, side=0) for array in inputs]
            terms = magnitude(model, node, absolute)
        largest = max([1.0, *(float(array.max(initial=0)) for array in absolute if array is not None)])
        bound = sum_bound(terms, roundings, dtype, largest)
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
            sides.append(exact * np.expm1(np.minimum(2 * off.max(axis=-1, keepdims=True), 700)))
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


def _compare(theirs: np.ndarray, exact: np.ndarray, bound: Bound | None, roundings: int) -> Judgement:
    """The verdict by numbers alone."""
    error = _error(theirs, exact)
    zero = np.zeros_like(error)
    worst, probable = (_ratio(error, side) for side in (bound or Bound(zero, zero)))
    index = np.unravel_index(int(probable.argmax()), error.shape) if error.size else ()
    largest_worst, largest_probable = float(worst.max(initial=0)), float(probable.max(initial=0))
    verdict = "exact" if bound is None else "rounding"
    if largest_probable > 1:
        verdict = "worst case" if largest_worst <= 1 else "wrong"
    at, at_exact = (float(array[index]) if error.size else 0.0 for array in (theirs, exact))
    with np.errstate(all="ignore"):
        ulp = float(np.spacing(np.abs(np.asarray(at_exact, theirs.dtype)))) if error.size else 1.0
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


def _error(theirs: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """|theirs - exact|: 0 where both overflow alike or are both not a number, infinite where one is."""
    with np.errstate(over="ignore", invalid="ignore"):
        rounded = exact.astype(theirs.dtype)
        error = np.abs(theirs - exact)
        same = (np.isinf(theirs) & (theirs == rounded)) | (np.isnan(theirs) & np.isnan(exact))
    return np.where(same, 0.0, np.where(np.isnan(error), np.inf, error))


def _ratio(error: np.ndarray, bound: np.ndarray) -> np.ndarray:
    """error / bound: 0 where there is no error, infinite where there is one and none is allowed."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(error == 0, 0.0, error / bound)
    return np.where(np.isnan(ratio), np.inf, ratio)


def _look_for_winograd(
    judgement: Judgement,
    node: Node,
    inputs: list[Input],
    theirs: np.ndarray,
    exact: np.ndarray,
    terms: np.ndarray,
) -> Judgement:
    """Name the Winograd kernel whose pattern the errors show; beyond the plain bound, hold it to its own."""
    x, weight, *bias = (_as(array, theirs.dtype.type) for array in inputs)
    assert x is not None
    assert weight is not None
    pads = winograd_pads(node, x)
    error = _error(theirs, exact)
    if pads is None or not np.isfinite(error).all():
        return judgement
    tile = winograd.tile_size(error, terms)
    if tile is None:
        return judgement
    if not judgement.explained:
        own = winograd.bound(x, weight, bias[0] if bias else None, pads, tile)
        if float(_ratio(error, own.probable).max()) <= 1:
            judgement = replace(judgement, verdict="Winograd")
    return replace(judgement, tile=tile)


def _reduced_precision(model: OnnxModel, node: Node, inputs: list[Input], theirs: np.ndarray, bound: Bound) -> str:
    """Whether the same layer with everything rounded to a shorter significand explains the output."""
    bias = max((float(np.abs(array).max()) for array in inputs[2:] if isinstance(array, np.ndarray)), default=0.0)
    for name, bits in _PRECISIONS.items():
        exact = forward(model, node, [_round_to(_as(array, np.float64), bits) for array in inputs])
        # The result is rounded once more to be stored; a bias may have kept its float32.
        allowed = bound.probable + 2.0**-bits * 1.01 * (np.abs(exact) + bias)
        if float(_ratio(_error(theirs, exact), allowed).max()) <= 1:
            return f"as if computed in {name}"
    return ""


def _round_to(x: np.ndarray | None, bits: int) -> np.ndarray | None:
    """The nearest numbers with a significand of so many bits; integers, such as shapes, stay as they are."""
    if x is None or x.dtype.kind != "f":
        return x
    head = x * (2.0 ** (53 - bits) + 1)  # Veltkamp's split: subtracting nearly the same number leaves the leading bits
    return head - (head - x)
