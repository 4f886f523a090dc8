"""End to end: how far correct runtimes are from the exact network, learnt from passes of our own.

Bounds that are carried through a network assume that all its roundings conspire; after a few layers they pass any
answer. What correct runtimes do to an output can be tried, though: compute the network in float32 with its sums in
random orders, and see how far the outputs are from float64's.

**The rule.** To first order an output's error is a sum of very many small rounding errors, each times how far the
network carries it: nearly normal, with mean zero. The most a norm of it can vary is when it lies in one direction
only (in more, parts of it average out). Then |error| / (root mean square of k errors like it) is |t| of Student's
distribution with k degrees of freedom, and

    |error| <= t_k * root mean square of `PASSES` errors

fails by chance with probability `bounds.FAILURE` = 1e-6 (t_8 = 13.3). That the network is *like* its passes is an
assumption: these sum sqrt(C) groups of channels one after the other, between a naive loop and a blocked one. Plain
kernels measured were at 0.3 to 3 of the root mean square as a rule, OpenCV's Winograd F(6 x 6, 3 x 3) at up to 7; a
network whose output was wrong by 1e-4, or that kept one layer's weights in float16, was beyond the limit.

The assumption fails where many terms are equal: rounding errors repeat from pixel to pixel, other orders do not shake
them, and the passes vary too little. On checkerboards ONNX Runtime was at 17 and OpenCV at 20 once each, correct and
yet not explained. A single weight off by a thousandth may not be seen, which is why each layer that is exposed is
judged by itself.

The last rounding is allowed on top: where all passes agree by chance (a saturated softmax), it remains.

Source
------
The idea of random orders: Higham & Mary 2019 (see `bounds`) for the model; "Student", "The Probable Error of a Mean",
Biometrika 6(1), 1908, for t.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from ..files.onnx import Node, OnnxModel
from .bounds import FAILURE
from .graph import ParityGraph
from .operations import Inputs, forward
from .precision import Precision, round_to

#: Passes in random orders. More would sharpen the test slowly: t_8 is 13.3, t_16 7.6.
PASSES = 8


def spreads(
    graph: ParityGraph, x: np.ndarray, exact: Mapping[str, np.ndarray], precision: Precision
) -> dict[str, float]:
    """The root mean square distance of `PASSES` passes from the exact tensors.

    Parameters
    ----------
    x : ndarray [1, ...]
    exact : dict of ndarray
        The tensors that are asked for, in float64.
    """
    rng = np.random.default_rng(0)
    squares = dict.fromkeys(exact, 0.0)

    def compute(model: OnnxModel, node: Node, inputs: Inputs) -> np.ndarray:
        return _in_random_order(model, node, inputs, precision, rng)

    with np.errstate(all="ignore"):
        for _ in range(PASSES):
            for node, value in graph.forward(x, precision.sums.type, compute=compute):
                if node.outputs[0] in exact:
                    difference = value - exact[node.outputs[0]]
                    squares[node.outputs[0]] += float(np.mean(np.square(difference))) / PASSES
    return {name: math.sqrt(square) for name, square in squares.items()}


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


def _in_random_order(
    model: OnnxModel, node: Node, inputs: Inputs, precision: Precision, rng: np.random.Generator
) -> np.ndarray:
    """A node's output; sums of products in sqrt(C) groups of terms drawn at random."""
    axes = _summed_axes(node, inputs)
    if axes is None:
        return forward(model, node, inputs)
    x, weight, *bias = inputs
    assert x is not None
    assert weight is not None
    if precision.factors:
        weight = round_to(weight, precision.factors).astype(precision.sums)
        x = round_to(x, precision.factors).astype(precision.sums) if precision.inputs else x
    terms = rng.permutation(x.shape[axes[0]])
    total: np.ndarray | None = None
    for group in np.array_split(terms, max(math.isqrt(len(terms)), 1)):
        part = forward(model, node, [np.take(x, group, axes[0]), np.take(weight, group, axes[1])])
        total = part if total is None else total + part
    assert total is not None
    if bias and bias[0] is not None:
        shape = (-1, *[1] * (total.ndim - 2)) if node.op_type == "Conv" else bias[0].shape
        total = total + bias[0].reshape(shape) * total.dtype.type(node.attributes.get("beta", 1.0))
    return round_to(total, precision.factors).astype(total.dtype) if precision.stored else total


def _summed_axes(node: Node, inputs: Inputs) -> tuple[int, int] | None:
    """Over which axes of input and weight a node sums its products; None where their order cannot be changed here."""
    if node.op_type == "Conv" and node.attributes.get("group", 1) == 1:
        return 1, 1
    if node.op_type == "Gemm":
        return (0 if node.attributes.get("transA", 0) else 1), (1 if node.attributes.get("transB", 0) else 0)
    if node.op_type == "MatMul" and inputs[1] is not None and inputs[1].ndim == 2:
        return -1, 0
    return None
