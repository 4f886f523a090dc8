"""The shape of every result, from the shapes that go in: in Python's integers, before NumPy is asked for anything.

One rule an operator, named and parameterised as the operator is, in a file named as the operator's own. An input is a
tuple of its sizes, None for one that is not known yet, as long as a network is only looked at; an input whose numbers
decide the shape is an array of them. A rule returns the shape of the result, or a list of shapes where there are
several, and raises `ArgumentError` for what does not go together. Where work needs more room than the result, as padded
images do, it says so by `Needing`.

Source: the shape inference of https://onnx.ai/onnx/operators/ and what ONNX Runtime refuses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import (
    activations,
    attention,
    convolution,
    detection,
    elementwise,
    indexing,
    moving,
    normalizations,
    pooling,
    products,
    reductions,
    resizing,
)
from .sizes import Needing, Shape, refuse

__all__ = ["Needing", "Shape", "refuse", "rule"]

_FILES = (
    activations,
    attention,
    convolution,
    detection,
    elementwise,
    indexing,
    moving,
    normalizations,
    pooling,
    products,
    reductions,
    resizing,
)
#: Operators whose rule is not named as they are.
_SHARED: dict[Callable[..., Any], str] = {
    elementwise.Unary: """
        Abs Acos Acosh Asin Asinh Atan Atanh BitwiseNot Cast Ceil Celu Cos Cosh Elu Erf Exp Floor Gelu HardSigmoid
        HardSwish Identity IsInf IsNaN LeakyRelu Log Mish Neg Not Reciprocal Relu Round Selu Shrink Sigmoid Sign Sin
        Sinh Softplus Softsign Sqrt Swish Tan Tanh ThresholdedRelu""",
    elementwise.Broadcast: """
        Add And BitwiseAnd BitwiseOr BitwiseXor Div Equal Greater GreaterOrEqual Less LessOrEqual Max Mean Min Mod Mul
        Or Pow Sub Sum Where Xor""",
    elementwise.First: "CastLike",
    pooling.Pool: "AveragePool LpPool MaxPool",
    pooling.GlobalPool: "GlobalAveragePool GlobalLpPool GlobalMaxPool",
    activations.Along: "Hardmax LogSoftmax LpNormalization Softmax",
    reductions.Reduce: """
        ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum
        ReduceSumSquare""",
    reductions.ArgReduce: "ArgMax ArgMin",
    moving.One: "Size",
    moving.ShapeOf: "Shape",
    indexing.ScatterElements: "Scatter",
}
_RULES = {op_type: rule for rule, names in _SHARED.items() for op_type in names.split()}


def rule(op_type: str) -> Callable[..., Any]:
    """The rule of an operator."""
    named = (getattr(file, op_type) for file in _FILES if hasattr(file, op_type))
    return _RULES[op_type] if op_type in _RULES else next(named)
