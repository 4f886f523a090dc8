"""A layer with a runtime's own inputs to it: what it makes of them exactly, and how far from that rounding can be."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from ..files.onnx import Node, OnnxModel
from .bounds import Bound, largest_factor, lrn_bound, softmax_bound, sum_bound
from .operations import PRODUCTS, Operation, forward, magnitude, operation, softmax_axes
from .precision import Precision

#: Roundings that folding a following product and sum into a convolution's weights adds (see "BatchNormalization").
_FOLDED = 8
#: What runtimes fold into the product before it; they may expose what they did not use.
FOLDABLE = ("Add", "BatchNormalization", "Clip", "Div", "LeakyRelu", "Mul", "PRelu", "Relu", "Sub", "Sum")
#: How many such nodes in a row are looked through.
_MOST_FOLDED = 4


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
        The node that made it, and that node's inputs: a kernel may have computed several nodes in one.
    """

    exact: np.ndarray
    spread: Bound | None = None
    size: float = 0.0
    origin: tuple[Node, list[Input]] | None = None


#: What a node reads: a tensor, what is fixed in the file, or nothing where it leaves an input out.
Input = Value | np.ndarray | None


@dataclass(frozen=True)
class Layer:
    """A node with a runtime's inputs to it, and what follows from them.

    Attributes
    ----------
    given : list of Input
        The inputs as they are, and `inputs` as the precision has them.
    exact : ndarray, float64
    bound : Bound, optional
        None where the output must be exact.
    terms : ndarray, optional
        The magnitude T (see `bounds`) of a sum.
    size : float
        See `_size`.
    """

    model: OnnxModel
    node: Node
    precision: Precision
    given: list[Input]
    inputs: list[Input]
    exact: np.ndarray
    bound: Bound | None
    terms: np.ndarray | None
    roundings: int
    size: float

    @property
    def hidden(self) -> bool:
        """Whether it has an input that the runtime does not expose."""
        return any(isinstance(array, Value) and array.spread for array in self.inputs)

    @property
    def origin(self) -> tuple[Node, list[Input]]:
        """Node and inputs, for the nodes that follow; products are what they are looked through to."""
        if self.node.op_type in PRODUCTS:
            return self.node, [_without_origin(array, 0) for array in self.inputs]
        return self.node, [_without_origin(array, _MOST_FOLDED) for array in self.inputs]

    @property
    def product(self) -> tuple[Node, list[Input]]:
        """The node whose sums its errors are made of, and that node's inputs: a product behind hidden tensors."""
        node, inputs = self.node, self.inputs
        while node.op_type in FOLDABLE:
            hidden = [array.origin for array in inputs if isinstance(array, Value) and array.spread and array.origin]
            if not hidden:
                break
            node, inputs = hidden[0]
        return node, inputs

    def arrays(self, dtype: type) -> list[np.ndarray | None]:
        return [as_dtype(array, dtype) for array in self.inputs]


def evaluate(
    model: OnnxModel, node: Node, given: list[Input], precision: Precision, output: int = 0, exposed: bool = True
) -> Layer:
    """What the node makes of its inputs, and how far rounding can take a runtime from it."""
    op, inputs = operation(model, node), rounded_inputs(node, given, precision)
    with np.errstate(all="ignore"):  # infinities and NaN are values, and compared as such
        exact = forward(model, node, [as_dtype(array, np.float64) for array in inputs], output)
        if op.known:
            folded = 0 if exposed or node.op_type not in PRODUCTS else _FOLDED
            bound, terms, roundings = _bound(model, node, inputs, exact, precision, output, folded)
        else:
            bound, terms, roundings = _no_bound(exact), None, 0
        size = _size(node, inputs, exact, terms, roundings) if exact.dtype.kind == "f" else 0.0
    return Layer(model, node, precision, given, inputs, exact, bound, terms, roundings, size)


def looked_through(layer: Layer, value: Input) -> Input:
    """A tensor as it would be known if the runtime had not exposed it, nor those before it back to a product."""
    if not isinstance(value, Value) or value.origin is None or value.spread:
        return value
    node, inputs = value.origin
    if node.op_type not in (*FOLDABLE, *PRODUCTS):
        return value
    before = evaluate(layer.model, node, [looked_through(layer, one) for one in inputs], layer.precision, 0, False)
    return Value(before.exact, before.bound, before.size, before.origin)


def _without_origin(value: Input, depth: int) -> Input:
    """A tensor that remembers at most so many nodes before it."""
    if not isinstance(value, Value) or value.origin is None:
        return value
    node, inputs = value.origin
    origin = (node, [_without_origin(one, depth - 1) for one in inputs]) if depth else None
    return replace(value, origin=origin)


# ---------------------------------------------------------------------- bounds


def rounded_inputs(node: Node, inputs: list[Input], precision: Precision) -> list[Input]:
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
            array = Value(precision.rounded(array.exact), spread, array.size)
        elif i == 1 and isinstance(array, np.ndarray):
            array = precision.rounded(array)
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
    size = root_mean_square(exact, exact)
    hidden = [array for array in inputs if isinstance(array, Value) and array.spread]
    if node.op_type == "Softmax":
        return size
    if terms is not None and not hidden:
        return max(size, root_mean_square(terms, exact) / math.sqrt(max(roundings, 1)))
    return max([size, *(array.size for array in hidden if terms is None)])


def root_mean_square(values: np.ndarray, exact: np.ndarray) -> float:
    """Over the elements where the exact value is finite."""
    with np.errstate(over="ignore", under="ignore"):
        return float(np.sqrt(np.mean(np.square(values), where=np.isfinite(exact)))) if np.isfinite(exact).any() else 0.0


def as_dtype(array: Input, dtype: type) -> np.ndarray | None:
    """The numbers in `dtype`; integers, such as shapes, stay as they are."""
    array = array.exact if isinstance(array, Value) else array
    return array.astype(dtype, copy=False) if array is not None and array.dtype.kind == "f" else array


def _absolute(array: Input, dtype: type, side: int | None = None) -> np.ndarray | None:
    """Absolute values, and on top how far they may be off by one of the two bounds."""
    absolute = as_dtype(array, dtype)
    if absolute is None or absolute.dtype.kind != "f":
        return absolute
    absolute = np.abs(absolute)
    if side is not None and isinstance(array, Value) and array.spread:
        absolute = absolute + array.spread[side].astype(dtype)
    return absolute


def _no_bound(exact: np.ndarray) -> Bound | None:
    """The bound of what an operator gives for which none is known; integers are exact."""
    infinite = np.full(exact.shape, np.inf)
    return Bound(infinite, infinite) if exact.dtype.kind == "f" else None


def _bound(
    model: OnnxModel,
    node: Node,
    inputs: list[Input],
    exact: np.ndarray,
    precision: Precision,
    output: int = 0,
    folded: int = 0,
) -> tuple[Bound | None, np.ndarray | None, int]:
    """The bounds of the node's output (None: it must be exact), its magnitude, and the count of roundings."""
    op, dtype = operation(model, node), precision.sums
    carried = _carried(model, node, op, inputs, exact, output)
    if op.roundings is None:
        return carried, None, 0
    working = np.float64 if dtype == np.float64 else np.float32
    absolute = [_absolute(array, working, side=0) for array in inputs]
    roundings, terms = op.roundings(node, absolute), None
    if node.op_type == "Softmax":
        scores = as_dtype(inputs[0], np.float64)
        assert scores is not None
        bound = softmax_bound(scores, exact, dtype, softmax_axes(model, node, exact.ndim))
    elif node.op_type == "LRN":
        x = as_dtype(inputs[0], np.float64)
        assert x is not None
        bound = lrn_bound(x, exact, node.attributes["size"], node.attributes.get("beta", 0.75), dtype)
    else:
        terms = np.abs(exact) if op.relative else magnitude(model, node, absolute)
        if not np.isfinite(terms).all():  # beyond float32, where runtimes may be, too
            absolute = [_absolute(array, np.float64, side=0) for array in inputs]
            terms = np.abs(exact) if op.relative else magnitude(model, node, absolute)
        largest = largest_factor([array for array in absolute if array is not None], np.dtype(np.float32))
        bound = sum_bound(terms, roundings + folded, dtype, largest)
    if precision.stored:
        bias = max((float(np.abs(array).max()) for array in inputs[2:] if isinstance(array, np.ndarray)), default=0.0)
        stored = precision.roundoff * (np.abs(exact) + bias)
        bound = Bound(bound.worst + stored, bound.probable + stored)
    if carried is not None:
        sides = (bound.worst + carried.worst, bound.probable + carried.probable)
        bound = Bound(*(np.where(np.isnan(side), np.inf, side) for side in sides))  # no bound, times zero
    return bound, terms, roundings


def _carried(
    model: OnnxModel, node: Node, op: Operation, inputs: list[Input], exact: np.ndarray, output: int
) -> Bound | None:
    """What becomes of the bounds of inputs that the runtime did not expose; None where it exposed them all."""
    if not any(isinstance(array, Value) and array.spread for array in inputs):
        return None
    if node.op_type == "LRN" or (node.op_type == "Div" and isinstance(inputs[1], Value) and inputs[1].spread):
        return _no_bound(exact)
    return Bound(*(_carried_side(model, node, op, inputs, exact, output, side) for side in (0, 1)))


def _carried_side(
    model: OnnxModel, node: Node, op: Operation, inputs: list[Input], exact: np.ndarray, output: int, side: int
) -> np.ndarray:
    off = _spread(inputs[0], side)
    assert off is not None
    if node.op_type == "Softmax":  # all scores off by at most e: each exp, and their sum, by at most exp(e)
        off = off.max(axis=softmax_axes(model, node, off.ndim), keepdims=True)
        return exact * np.expm1(np.minimum(2 * off, 700))
    if node.op_type in ("Clip", "LeakyRelu", "PRelu"):  # stretched by the slope, or not at all
        slopes = as_dtype(inputs[1], np.float64) if node.op_type == "PRelu" else None
        slope = node.attributes.get("alpha", 0.01) if slopes is None else float(np.abs(slopes).max(initial=0))
        return off * max(1.0, abs(slope))
    if op.roundings is None:
        return forward(model, node, [_spread(array, side) for array in inputs], output)
    above = magnitude(model, node, [_absolute(array, np.float64, side) for array in inputs])
    return above - magnitude(model, node, [_absolute(array, np.float64) for array in inputs])


def _spread(array: Input, side: int) -> np.ndarray | None:
    """How far an input may be off: not at all where it is exposed or fixed; integers, such as shapes, as they are."""
    if isinstance(array, Value):
        return array.spread[side] if array.spread else np.zeros_like(array.exact)
    return np.zeros_like(array) if array is not None and array.dtype.kind == "f" else array
