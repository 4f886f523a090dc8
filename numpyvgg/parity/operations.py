"""The operators that parity has bounds for, and how many roundings a runtime may spend on each.

What they compute is the business of `numpyvgg.operators`, whose functions serve four times here. With float64
inputs they give the exact output. With the absolute values of their inputs they give the magnitude of a sum's bound: of
a sum of products, `f(|x|, |W|, |b|)` is the sum of all absolute terms. Where a runtime did not expose an input, and it
may be off by e, `f(|x| + e, |W|, |b|) - f(|x|, |W|, |b|)` is how far that puts the output off; and for operators that
select or move numbers, `f(e)` is.

Other operators have no bound (`Operation.known`). What they give is held to the spread of our own passes; see `spread`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .. import operators
from ..errors import ArgumentError
from ..files.onnx import Node, OnnxModel

Inputs = list["np.ndarray | None"]
#: What multiplies its inputs with each other, factor by factor, and adds the products up.
PRODUCTS = ("Conv", "Gemm", "MatMul")


@dataclass(frozen=True)
class Operation:
    """How to judge an operator.

    Attributes
    ----------
    roundings : callable, optional
        (node, inputs) -> roundings on the longest path; None where the output must be exact.
    moves : bool
        Whether it only moves numbers; such nodes are reported only when they do not.
    relative : bool
        Whether the roundings are relative to the output itself: it is a product of positive sums, and no sum of terms
        that may cancel.
    known : bool
        Whether there is a bound.
    """

    roundings: Callable[[Node, Inputs], int] | None = None
    moves: bool = False
    relative: bool = False
    known: bool = True


def _of_conv(node: Node, inputs: Inputs) -> int:
    """K products, each with the sum's K - 1 additions, and the bias."""
    return math.prod(_shape(inputs[1])[1:]) + (len(inputs) > 2)


def _of_gemm(node: Node, inputs: Inputs) -> int:
    terms = _shape(inputs[1])[1 if node.attributes.get("transB", 0) else 0] + (len(inputs) > 2)
    return terms + (node.attributes.get("alpha", 1.0) != 1) + (node.attributes.get("beta", 1.0) != 1)


def _shape(array: np.ndarray | None) -> tuple[int, ...]:
    return () if array is None else array.shape


def _once(node: Node, inputs: Inputs) -> int:
    return 1


OPERATIONS = {
    "Conv": Operation(_of_conv),
    "Gemm": Operation(_of_gemm),
    "MatMul": Operation(lambda node, inputs: _shape(inputs[0])[-1]),
    "Add": Operation(_once),
    "Sub": Operation(_once),
    "Mul": Operation(_once),
    "Div": Operation(_once),
    "Sum": Operation(lambda node, inputs: len(inputs)),
    # Epsilon, square root, quotient, difference, product, sum; 2 more where it is folded into one product and sum.
    "BatchNormalization": Operation(lambda node, inputs: 8),
    # K - 1 additions, the reciprocal of a count, and the product with it.
    "AveragePool": Operation(lambda node, inputs: math.prod(node.attributes["kernel_shape"]) + 1),
    "GlobalAveragePool": Operation(lambda node, inputs: math.prod(_shape(inputs[0])[2:]) + 1),
    "Softmax": Operation(lambda node, inputs: _shape(inputs[0])[node.attributes.get("axis", -1)]),
    "LRN": Operation(lambda node, inputs: node.attributes["size"] + 3),  # of its sum
    "LeakyRelu": Operation(lambda node, inputs: 2, relative=True),  # a slope that float32 has rounded, and the product
    "PRelu": Operation(_once, relative=True),
    "Clip": Operation(),
    "Relu": Operation(),
    "MaxPool": Operation(),
    "GlobalMaxPool": Operation(),
    "Concat": Operation(moves=True),
    "Dropout": Operation(moves=True),
    "Flatten": Operation(moves=True),
    "Identity": Operation(moves=True),
    "Pad": Operation(moves=True),
    "Reshape": Operation(moves=True),
    "Slice": Operation(moves=True),
    "Split": Operation(moves=True),
    "Squeeze": Operation(moves=True),
    "Transpose": Operation(moves=True),
    "Unsqueeze": Operation(moves=True),
}


def operation(model: OnnxModel, node: Node) -> Operation:
    """How to judge a node."""
    return Operation(known=False) if node.domain else OPERATIONS.get(node.op_type, Operation(known=False))


def forward(model: OnnxModel, node: Node, inputs: Inputs, output: int = 0) -> np.ndarray:
    """One of the node's outputs, in its inputs' dtype.

    Raises
    ------
    UnsupportedModelError
        There is no such operator here.
    ArgumentError
        The inputs' shapes do not go together.
    """
    try:
        made = operators.bind(node, model)(*inputs)
    except (ArgumentError, LookupError, TypeError, ValueError) as error:
        shapes = ", ".join(str(list(_shape(array))) for array in inputs)
        raise ArgumentError(f"{model.path}: {node} cannot be computed on {shapes}: {error}") from None
    return made[output] if isinstance(made, tuple) else made


def magnitude(model: OnnxModel, node: Node, inputs: Inputs) -> np.ndarray:
    """The sum of the absolute values of all terms that make up the output; inputs are absolute values already."""
    if node.op_type == "BatchNormalization":  # the mean is subtracted
        inputs = [*inputs[:3], -np.asarray(inputs[3]), inputs[4]]
    elif node.op_type == "Sub":
        inputs = [inputs[0], -np.asarray(inputs[1])]
    return forward(model, node, inputs)


def softmax_axes(model: OnnxModel, node: Node, ndim: int) -> tuple[int, ...]:
    """Over which axes a Softmax normalises: one; before opset 13 that one and all behind it."""
    axis = node.attributes.get("axis", -1 if model.opset >= 13 else 1) % ndim
    return (axis,) if model.opset >= 13 else tuple(range(axis, ndim))


def winograd_pads(node: Node, x: np.ndarray) -> list[int] | None:
    """The pads of a convolution that a Winograd kernel can do: 3x3, stride and dilation 1, one group; else None."""
    attributes = node.attributes
    ones = all(set(attributes.get(key, [1])) == {1} for key in ("strides", "dilations"))
    if list(attributes.get("kernel_shape", [3, 3])) != [3, 3] or not ones or attributes.get("group", 1) != 1:
        return None
    auto_pad = attributes.get("auto_pad", "NOTSET")
    return operators.resolve_pads(x.shape[2:], (3, 3), (1, 1), attributes.get("pads"), (1, 1), auto_pad)
