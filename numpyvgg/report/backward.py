"""The backward pass of a graph, written by hand: the chain rule, one operator at a time.

Each rule takes the gradient of some number, the score, with respect to a node's output, and returns it with respect to
the node's inputs; in between, all that is needed are the values of the forward pass:

    operator         y =                            gradient with respect to x
    Gemm             x @ W.T + b                    dy @ W
    Relu             max(x, 0)                      dy where x > 0, else 0
    MaxPool          largest of each window         dy at the pixel that won, 0 at the others
    AveragePool      mean of each window            dy / count at each pixel of the window
    Conv             windows of x @ W.T + b         dy @ W is the windows' gradient; each pixel adds up those it is in
    BatchNormalization   s x + t                    s dy
    Add              a + b                          dy for both: this is what residual blocks are for
    Softmax          p_i = e^x_i / sum_j e^x_j      p_i * (dy_i - sum_j dy_j p_j)

A tensor that several nodes read gets the sum of what each of them says.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from ..errors import UnsupportedModelError
from ..files.onnx import Node
from ..graph.folding import factor_and_offset, why_not_folded
from ..graph.graph import Graph
from ..graph.inference import does_nothing, pads_of
from ..layers import Pads, Pair, windows
from ..operators import resolve_pads
from ..operators.windows import total_of


def backward(
    graph: Graph, values: Mapping[str, np.ndarray], seeds: Mapping[str, np.ndarray], wanted: Collection[str]
) -> dict[str, np.ndarray]:
    """The gradients of a score with respect to the `wanted` tensors, and to all between them and the `seeds`.

    Parameters
    ----------
    graph : Graph
    values : mapping of str to ndarray
        Every tensor of a forward pass that is not fixed.
    seeds : mapping of str to ndarray
        Tensors with the score's gradient with respect to them.
    wanted : collection of str

    Returns
    -------
    dict of str to ndarray
        In each tensor's shape.

    Raises
    ------
    UnsupportedModelError
        A node in between has no rule here.
    """
    reached = set(wanted)  # what depends on a wanted tensor: nothing else needs a gradient
    for node in graph.nodes:
        if reached.intersection(node.inputs):
            reached.update(node.outputs)
    gradients = {name: np.asarray(seed) for name, seed in seeds.items()}
    for node in reversed(graph.nodes):
        if node.outputs[0] not in gradients or not reached.intersection(node.inputs):
            continue
        place = _Place(graph, node, [values[n] if n in values else graph.constant(n) for n in node.inputs])
        for name, gradient in zip(node.inputs, place.gradients(gradients[node.outputs[0]]), strict=False):
            if name in reached and gradient is not None:
                gradients[name] = gradients[name] + gradient if name in gradients else gradient
    return gradients


# ---------------------------------------------------------------------- the operations


def relu_backward(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Through ``y = max(x, 0)``: the gradient passes where x was positive.

    `x` may be the output as well as the input: both are positive at the same places.
    """
    return np.where(x > 0, dy, dy.dtype.type(0))


def linear_backward(dy: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Through ``y = x @ weight.T + bias``: dy [N, M], weight [M, K] -> dx [N, K]."""
    return dy @ weight


def put_back(
    taps: Sequence[np.ndarray], spatial: Pair, kernel_shape: Pair, strides: Pair, pads: Pads, dilations: Pair
) -> np.ndarray:
    """The reverse of `layers.windows`: add what each tap got to the pixels that it saw.

    Parameters
    ----------
    taps : sequence of kH * kW ndarrays [N, C, outH, outW]
    spatial : pair of int
        The image's (H, W).

    Returns
    -------
    ndarray [N, C, H, W]
    """
    n, channels, *out = taps[0].shape
    spans = [(out[i] - 1) * strides[i] + 1 for i in (0, 1)]
    sizes = [max(pads[i] + spatial[i], spans[i] + dilations[i] * (kernel_shape[i] - 1)) for i in (0, 1)]
    dx = np.zeros((n, channels, *sizes), taps[0].dtype)
    places = itertools.product(*(range(0, kernel_shape[i] * dilations[i], dilations[i]) for i in (0, 1)))
    for tap, (i, j) in zip(taps, places, strict=True):
        dx[:, :, i : i + spans[0] : strides[0], j : j + spans[1] : strides[1]] += tap
    return dx[:, :, pads[0] : pads[0] + spatial[0], pads[1] : pads[1] + spatial[1]]


def conv2d_backward(
    dy: np.ndarray,
    weight: np.ndarray,
    spatial: Pair,
    *,
    strides: Pair = (1, 1),
    pads: Pads = (0, 0, 0, 0),
    dilations: Pair = (1, 1),
    group: int = 1,
) -> np.ndarray:
    """Through `layers.conv2d`: dy [N, M, outH, outW], weight [M, C / group, kH, kW] -> dx [N, C, H, W]."""
    n, filters, out_h, out_w = dy.shape
    channels, *kernel_shape = weight.shape[1:]
    rows = weight.reshape(group, filters // group, -1).swapaxes(1, 2)  # [group, C / group * kH * kW, M / group]
    columns = rows @ dy.reshape(n, group, filters // group, out_h * out_w)
    taps = columns.reshape(n, group * channels, math.prod(kernel_shape), out_h, out_w)
    return put_back([*np.moveaxis(taps, 2, 0)], spatial, kernel_shape, strides, pads, dilations)


def max_pool_backward(
    dy: np.ndarray,
    x: np.ndarray,
    kernel_shape: Pair,
    *,
    strides: Pair = (1, 1),
    pads: Pads = (0, 0, 0, 0),
    dilations: Pair = (1, 1),
    ceil_mode: int = 0,
) -> np.ndarray:
    """Through `layers.max_pool`: the gradient goes to the pixel that won, to the first of equals."""
    taps = windows(x, kernel_shape, strides, pads, dilations, -np.inf, bool(ceil_mode))
    winner = np.argmax(taps, axis=0)
    given = [np.where(winner == i, dy, dy.dtype.type(0)) for i in range(len(taps))]
    return put_back(given, x.shape[2:], kernel_shape, strides, pads, dilations)


def average_pool_backward(
    dy: np.ndarray,
    spatial: Pair,
    kernel_shape: Pair,
    *,
    strides: Pair = (1, 1),
    pads: Pads = (0, 0, 0, 0),
    dilations: Pair = (1, 1),
    ceil_mode: int = 0,
    count_include_pad: int = 0,
) -> np.ndarray:
    """Through ONNX's AveragePool: each pixel of a window gets the same share."""
    ones, outer = np.ones((1, 1, *spatial), dy.dtype), pads
    if count_include_pad:
        ones = np.pad(ones, ((0, 0), (0, 0), (pads[0], pads[2]), (pads[1], pads[3])), constant_values=1)
        outer = (0, 0, 0, 0)
    counts = total_of(windows(ones, kernel_shape, strides, outer, dilations, 0, bool(ceil_mode)))
    share = dy / counts
    return put_back([share] * math.prod(kernel_shape), spatial, kernel_shape, strides, pads, dilations)


# ---------------------------------------------------------------------- the operators


@dataclass
class _Place:
    """One node with the values of its inputs."""

    graph: Graph
    node: Node
    x: list[Any]

    def gradients(self, dy: np.ndarray) -> Sequence[np.ndarray | None]:
        rule = _RULES.get(self.node.op_type)
        if rule:
            return rule(self, dy)
        if not does_nothing(self.graph, self.node):
            self.refuse("no backward pass is written for this operator")
        return [dy]

    def refuse(self, reason: str) -> NoReturn:
        raise UnsupportedModelError(f"{self.graph.model.path}: {self.node}: {reason}")

    def get(self, name: str, default: Any) -> Any:
        """An attribute, or its default where it is left out."""
        return self.node.attributes.get(name, default)

    def window(self, kernel_shape: Sequence[int]) -> dict[str, Any]:
        """Strides, pads and dilations, `auto_pad` resolved."""
        if len(kernel_shape) != 2:
            self.refuse("its window is not one of an image")
        strides, dilations = self.get("strides", None) or [1, 1], self.get("dilations", None) or [1, 1]
        auto_pad = self.get("auto_pad", "NOTSET")
        pads = resolve_pads(self.x[0].shape[2:], kernel_shape, strides, self.get("pads", None), dilations, auto_pad)
        return {"strides": strides, "pads": pads, "dilations": dilations}


def _conv(at: _Place, dy: np.ndarray) -> list[np.ndarray]:
    weight = at.x[1]
    window = at.window(weight.shape[2:])
    return [conv2d_backward(dy, weight, at.x[0].shape[2:], group=at.get("group", 1), **window)]


def _max_pool(at: _Place, dy: np.ndarray) -> list[np.ndarray]:
    kernel_shape = at.node.attributes["kernel_shape"]
    return [max_pool_backward(dy, at.x[0], kernel_shape, ceil_mode=at.get("ceil_mode", 0), **at.window(kernel_shape))]


def _average_pool(at: _Place, dy: np.ndarray) -> list[np.ndarray]:
    kernel_shape = at.node.attributes["kernel_shape"]
    options = {name: at.get(name, 0) for name in ("ceil_mode", "count_include_pad")}
    return [average_pool_backward(dy, at.x[0].shape[2:], kernel_shape, **options, **at.window(kernel_shape))]


def _mean(at: _Place, dy: np.ndarray) -> list[np.ndarray]:
    """GlobalAveragePool and ReduceMean: everything that was averaged gets the same share."""
    shape = at.x[0].shape
    axes = at.x[1] if len(at.x) > 1 and at.x[1] is not None else at.get("axes", None)
    if at.node.op_type == "GlobalAveragePool":
        axes = range(2, len(shape))
    over = {int(axis) % len(shape) for axis in (range(len(shape)) if axes is None else axes)}
    kept = [1 if axis in over else size for axis, size in enumerate(shape)]
    return [np.broadcast_to(dy.reshape(kept) / dy.dtype.type(math.prod(shape[axis] for axis in over)), shape)]


def _gemm(at: _Place, dy: np.ndarray) -> list[np.ndarray]:
    if at.get("transA", 0):
        at.refuse("transA")
    weight = at.x[1] if at.get("transB", 0) else at.x[1].T  # [M, K]
    return [linear_backward(dy, weight) * dy.dtype.type(at.get("alpha", 1.0))]


def _matmul(at: _Place, dy: np.ndarray) -> list[np.ndarray]:
    if not at.graph.is_fixed(at.node.inputs[1]) or at.x[1].ndim != 2:
        at.refuse("a product of two computed tensors")
    return [linear_backward(dy, at.x[1].T)]


def _batch_normalization(at: _Place, dy: np.ndarray) -> list[np.ndarray]:
    if reason := why_not_folded(at.graph, at.node, at.x[0].shape[1]):
        at.refuse(reason)
    factor, _ = factor_and_offset(at.graph, at.node)
    return [dy * factor.reshape(-1, *[1] * (dy.ndim - 2)).astype(dy.dtype)]


def _lrn(at: _Place, dy: np.ndarray) -> list[np.ndarray]:
    """y_i = x_i * d_i^-beta with d_i = bias + alpha / size * (sum of x_j^2 over i's neighbourhood)."""
    x, size = at.x[0], at.node.attributes["size"]
    alpha, beta, bias = at.get("alpha", 1e-4) / size, at.get("beta", 0.75), at.get("bias", 1.0)
    before, after = (size - 1) // 2, size // 2
    d = bias + alpha * _around(x * x, before, after)
    back = _around(dy * x * d ** (-beta - 1), after, before)  # the neighbourhoods that i is in
    return [(dy * d**-beta - 2 * alpha * beta * x * back).astype(dy.dtype)]


def _around(x: np.ndarray, before: int, after: int) -> np.ndarray:
    """The sum over each channel's neighbours."""
    padded = np.pad(x, [(0, 0), (before, after), *[(0, 0)] * (x.ndim - 2)])
    return total_of([padded[:, i : i + x.shape[1]] for i in range(before + after + 1)])


def _softmax(at: _Place, dy: np.ndarray) -> list[np.ndarray]:
    x = at.x[0]
    axis = at.get("axis", -1 if at.graph.model.opset >= 13 else 1)
    over = axis % x.ndim if at.graph.model.opset >= 13 else tuple(range(axis % x.ndim, x.ndim))
    e = np.exp(x - x.max(axis=over, keepdims=True))
    p = e / e.sum(axis=over, keepdims=True)
    return [p * (dy - (dy * p).sum(axis=over, keepdims=True))]


def _pad(at: _Place, dy: np.ndarray) -> list[np.ndarray]:
    pads = pads_of(at.graph, at.node)
    if pads is None or min(pads, default=0) < 0 or at.get("mode", "constant") != "constant":
        at.refuse("only constant padding of every axis has a backward pass")
    inside = tuple(slice(begin, begin + size) for begin, size in zip(pads, at.x[0].shape, strict=False))
    return [dy[inside]]


def _concat(at: _Place, dy: np.ndarray) -> list[np.ndarray]:
    axis = at.node.attributes["axis"]
    return np.split(dy, np.cumsum([x.shape[axis] for x in at.x])[:-1], axis)


def _transpose(at: _Place, dy: np.ndarray) -> list[np.ndarray]:
    perm = at.get("perm", None) or range(dy.ndim)[::-1]
    return [dy.transpose(np.argsort(perm))]


def _summed(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
    """What was broadcast adds up again."""
    axes = tuple(range(dy.ndim - x.ndim))
    dy = dy.sum(axis=axes) if axes else dy
    wide = tuple(i for i, size in enumerate(x.shape) if size == 1 and dy.shape[i] != 1)
    return dy.sum(axis=wide, keepdims=True) if wide else dy


def _arithmetic(*slopes: Callable[[Any, Any], Any]) -> Callable[[_Place, np.ndarray], list[np.ndarray]]:
    """A rule for y = f(a, b), given the slopes along a and along b."""

    def rule(at: _Place, dy: np.ndarray) -> list[np.ndarray]:
        a, b = at.x[0], at.x[1]
        if at.graph.model.opset < 7 and a.shape != b.shape and b.size > 1:
            at.refuse("the broadcasting of operator sets before 7 has no backward pass")
        return [_summed(dy * slope(a, b), x) for slope, x in zip(slopes, (a, b), strict=True)]

    return rule


def _elementwise(slope: Callable[[_Place, Any], Any]) -> Callable[[_Place, np.ndarray], list[np.ndarray]]:
    """A rule for y = f(x), given f's slope."""
    return lambda at, dy: [(dy * slope(at, at.x[0])).astype(dy.dtype)]


def _sigmoid(at: _Place, x: np.ndarray) -> np.ndarray:
    p = 1 / (1 + np.exp(-x))
    return p * (1 - p)


def _clip(at: _Place, x: np.ndarray) -> np.ndarray:
    low, high = ([*at.x[1:], None, None][i] for i in (0, 1))
    low = at.get("min", -np.inf) if low is None else low
    high = at.get("max", np.inf) if high is None else high
    return (x >= low) & (x <= high)


def _hard_sigmoid(at: _Place, x: np.ndarray) -> np.ndarray:
    alpha, beta = at.get("alpha", 0.2), at.get("beta", 0.5)
    return np.where((alpha * x + beta > 0) & (alpha * x + beta < 1), alpha, 0)


def _hard_swish(at: _Place, x: np.ndarray) -> np.ndarray:
    return np.where(x <= -3, 0, np.where(x >= 3, 1, (2 * x + 3) / 6))


def _reshaped(at: _Place, dy: np.ndarray) -> list[np.ndarray]:
    return [dy.reshape(at.x[0].shape)]


_RULES: dict[str, Callable[[_Place, np.ndarray], Sequence[np.ndarray | None]]] = {
    "Conv": _conv,
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "GlobalAveragePool": _mean,
    "ReduceMean": _mean,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "BatchNormalization": _batch_normalization,
    "LRN": _lrn,
    "Softmax": _softmax,
    "Pad": _pad,
    "Concat": _concat,
    "Transpose": _transpose,
    **dict.fromkeys(("Flatten", "Reshape", "Squeeze", "Unsqueeze"), _reshaped),
    "Add": _arithmetic(lambda a, b: 1, lambda a, b: 1),
    "Sub": _arithmetic(lambda a, b: 1, lambda a, b: -1),
    "Mul": _arithmetic(lambda a, b: b, lambda a, b: a),
    "Div": _arithmetic(lambda a, b: 1 / b, lambda a, b: -a / (b * b)),
    "Sum": lambda at, dy: [_summed(dy, x) for x in at.x],
    "Relu": lambda at, dy: [relu_backward(dy, at.x[0])],
    "LeakyRelu": _elementwise(lambda at, x: np.where(x >= 0, 1, at.get("alpha", 0.01))),
    "PRelu": lambda at, dy: [(dy * np.where(at.x[0] >= 0, 1, at.x[1])).astype(dy.dtype)],
    "Sigmoid": _elementwise(_sigmoid),
    "Tanh": _elementwise(lambda at, x: 1 - np.tanh(x) ** 2),
    "Clip": _elementwise(_clip),
    "HardSigmoid": _elementwise(_hard_sigmoid),
    "HardSwish": _elementwise(_hard_swish),
}
