"""What the steps of a session call: convolutions and fully connected layers with fixed weights, and what needs none."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import operators
from ..errors import ArgumentError
from ..files.onnx import Node
from ..kernels import finishing
from ..kernels.images import window_sizes
from ..layers import output_size
from .chain import single


def checked(
    operator: operators.Operator, fixed: list[np.ndarray | None], run: Callable[..., Any], x: Any, *addend: np.ndarray
) -> Any:
    """Run an operator's fast version on what it would itself accept."""
    operator.check(x, *fixed)
    return run(x, *addend)


def in_single(run: Callable[..., np.ndarray], x: np.ndarray) -> np.ndarray:
    """Compute on float16 in float32, and round once at the end."""
    return run(single(x)).astype(np.float16)


def add_relu(add: Callable[..., np.ndarray], *inputs: np.ndarray) -> np.ndarray:
    y = add(*inputs)
    return np.maximum(y, y.dtype.type(0), out=y)


@dataclass
class Convolution:
    """A convolution with a fixed weight, and perhaps a sum, an activation and the pooling after it."""

    operations: Any
    weight: np.ndarray
    bias: np.ndarray | None
    attributes: dict[str, Any]
    activation: finishing.Activation | None
    pool: Callable[[np.ndarray], np.ndarray] | None
    prepared: dict[tuple[int, ...], Any]  # by pads, which auto_pad makes depend on the image's size
    add: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None
    border: bool = True  # whether another convolution reads the result with padding

    def __call__(self, x: np.ndarray, addend: np.ndarray | None = None) -> np.ndarray:
        strides, dilations = (tuple(self.attributes.get(key) or (1, 1)) for key in ("strides", "dilations"))
        kernel_shape = self.weight.shape[2:]
        if x.ndim != 4 or (self.attributes.get("kernel_shape") or [*kernel_shape]) != [*kernel_shape]:
            raise ArgumentError(f"weight {list(self.weight.shape)} does not fit input {list(x.shape)}")
        auto_pad = self.attributes.get("auto_pad", "NOTSET")
        pads = tuple(
            operators.resolve_pads(x.shape[2:], kernel_shape, strides, self.attributes.get("pads"), dilations, auto_pad)
        )
        if pads not in self.prepared:
            group = self.attributes.get("group", 1)
            self.prepared[pads] = self.operations.prepare_conv(
                self.weight, self.bias, strides=strides, pads=pads, dilations=dilations, group=group
            )
        conv = self.prepared[pads]
        size = window_sizes(*x.shape[2:], kernel_shape, strides, pads, dilations)[:2]
        if self.pool is not None:
            if any(side % 2 for side in size):  # then ceil_mode and auto_pad have a say
                return self.pool(self.operations.conv_relu(x, conv))
            return self.operations.conv_relu_pool(x, conv)
        if addend is None or addend.shape == (len(x), len(self.weight), *size):
            return self.operations.conv2d(x, conv, addend, self.activation, self.border)
        assert self.add is not None
        y = self.add(self.operations.conv2d(x, conv), addend)  # which broadcasts, and says where it cannot
        if self.activation is not None:
            self.activation(y.copy(), y)
        return y


#: Operators whose result depends, pixel by pixel, on the same pixel of their inputs alone, all channels of it.
PIXELWISE = {"Add", "Sub", "Mul", "Div", "Sum", "Max", "Min", "Mean", "Exp", "Sqrt", "Abs", "Neg", "Erf", "LRN"} | {
    *{"Relu", "Clip", "LeakyRelu", "Sigmoid", "HardSigmoid", "HardSwish", "Swish", "Tanh", "Elu", "Selu", "Celu"},
    *{"Gelu", "Softplus", "Mish"},
}
_LARGE = 1 << 18  # numbers; below, strips are not worth their calls


@dataclass
class Pixelwise:
    """An operator of `PIXELWISE`, on all threads where its arrays are large images of one floating-point type."""

    operator: operators.Operator
    operations: Callable[[np.dtype], Any]
    border: bool

    def __call__(self, *arrays: np.ndarray) -> Any:
        largest = max((array for array in arrays if array is not None), key=lambda array: array.size)
        dtype, shape = largest.dtype, largest.shape
        if largest.size >= _LARGE and dtype in (np.float32, np.float64) and len(shape) == 4:
            fits = all(a is not None and a.dtype == dtype and a.ndim in (0, 4) for a in arrays)
            if fits and np.broadcast_shapes(*(array.shape for array in arrays)) == shape:
                self.operator.check(*arrays)
                return self.operations(dtype).pixelwise(self.operator.function, arrays, self.border)
        return self.operator(*arrays)


@dataclass
class MaxPool:
    """A MaxPool, on all threads where its image is large."""

    operator: operators.Operator
    operations: Callable[[np.dtype], Any]
    border: bool
    node: Node

    def __call__(self, x: np.ndarray) -> Any:
        if x.ndim != 4 or x.size < _LARGE or x.dtype not in (np.float32, np.float64):
            return self.operator(x)
        self.operator.check(x)
        attributes: dict[str, Any] = {"strides": [1, 1], "dilations": [1, 1], "pads": None, "auto_pad": "NOTSET"}
        attributes |= self.node.attributes
        kernel_shape, strides, dilations = (attributes[key] for key in ("kernel_shape", "strides", "dilations"))
        size, auto_pad = x.shape[2:], attributes["auto_pad"]
        pads = operators.resolve_pads(size, kernel_shape, strides, attributes["pads"], dilations, auto_pad)
        ceil_mode = bool(attributes.get("ceil_mode"))
        out_size = [
            output_size(size[i], kernel_shape[i], strides[i], pads[i], pads[2 + i], dilations[i], ceil_mode)
            for i in (0, 1)
        ]
        return self.operations(x.dtype).max_pool(x, kernel_shape, strides, pads, dilations, out_size, self.border)


@dataclass
class FullyConnected:
    """A fully connected layer with a fixed weight [M, K], and perhaps the ReLU after it; x is [..., K]."""

    operations: Any
    weight: np.ndarray
    bias: np.ndarray | None
    relu: bool
    prepared: dict[tuple[int, ...], Any]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        if x.ndim == 0 or x.shape[-1] != self.weight.shape[1]:
            raise ArgumentError(f"weight {list(self.weight.shape)} does not fit input {list(x.shape)}")
        if not self.prepared:
            self.prepared[()] = self.operations.prepare_linear(self.weight, self.bias)
        rows = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
        run = self.operations.linear_relu if self.relu else self.operations.linear
        return run(rows, self.prepared[()]).reshape(*x.shape[:-1], len(self.weight))
