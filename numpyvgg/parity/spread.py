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
assumption: these sum sqrt(K) groups of products one after the other, between a naive loop and a blocked one. Plain
kernels measured were at 0.3 to 3 of the root mean square as a rule, OpenCV's Winograd F(6 x 6, 3 x 3) at up to 18; a
network whose output was wrong by 1e-4, or that kept one layer's weights in float16, was beyond the limit.

A mean over an image is summed in a plain loop, as some runtimes do: where all its terms are alike, their errors add up,
and nothing shakes them. A single weight off by a thousandth may not be seen, which is why each layer that is exposed is
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
from .graph import ParityGraph
from .operations import PRODUCTS, Inputs, forward
from .precision import Precision
from .products import as_product

#: Passes in random orders. More would sharpen the test slowly: t_8 is 13.3, t_16 7.6.
PASSES = 8


def spreads(
    graph: ParityGraph,
    x: Mapping[str, np.ndarray] | np.ndarray,
    exact: Mapping[str, np.ndarray],
    precision: Precision,
) -> dict[str, float]:
    """The root mean square distance of `PASSES` passes from the exact tensors.

    Parameters
    ----------
    x : ndarray [1, ...], or a dictionary of them
    exact : dict of ndarray
        The tensors that are asked for, in float64.
    """
    rng = np.random.default_rng(0)
    squares = dict.fromkeys(exact, 0.0)

    def compute(model: OnnxModel, node: Node, inputs: Inputs, output: int) -> np.ndarray:
        return _in_random_order(model, node, inputs, output, precision, rng)

    with np.errstate(all="ignore"):
        for _ in range(PASSES):
            for _, name, value in graph.forward(x, precision.sums.type, compute=compute):
                if name in exact:
                    difference = value - exact[name]
                    squares[name] += float(np.mean(np.square(difference))) / PASSES
    return {name: math.sqrt(square) for name, square in squares.items()}


def _in_random_order(
    model: OnnxModel, node: Node, inputs: Inputs, output: int, precision: Precision, rng: np.random.Generator
) -> np.ndarray:
    """A node's output; sums of K terms in sqrt(K) groups of them drawn at random, one after the other."""
    if precision.factors and node.op_type in PRODUCTS:
        rounded = [precision.rounded(array).astype(precision.sums) for array in inputs[:2] if array is not None]
        inputs = [rounded[0] if precision.inputs else inputs[0], rounded[1], *inputs[2:]]
    if node.op_type == "GlobalAveragePool" and inputs[0] is not None:
        return _mean_in_random_order(inputs[0], rng)
    product = as_product(node, inputs)
    if product is None:
        return forward(model, node, inputs, output)
    y = product.output(product.in_random_order(product.columns(), rng))
    return precision.rounded(y).astype(y.dtype) if precision.stored else y


def _mean_in_random_order(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The mean over all axes but the first two, by a plain loop.  [N, C, ...] -> [N, C, 1, ...]"""
    terms = x.reshape(*x.shape[:2], -1)
    count = terms.shape[2]
    total = np.add.accumulate(terms[:, :, rng.permutation(count)], axis=2)[:, :, -1]
    return (total / x.dtype.type(count)).reshape(*x.shape[:2], *[1] * (x.ndim - 2))
