"""The textbook: the operations of a VGG network, in NumPy that reads like their definitions.

Everything is batch first, ``N C H W``: images, channels, rows, columns. Weights are as ONNX stores them. Computation
stays in the dtype that comes in, float32 or float64. Nothing here is clever; `numpyvgg.kernels` computes the same fast.

Sources: ONNX operator specifications (https://onnx.ai/onnx/operators/); im2col: Chellapilla, Puri and Simard,
"High Performance Convolutional Neural Networks for Document Processing", 2006.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from .errors import ArgumentError

Pair = Sequence[int]  # (along H, along W)
Pads = Sequence[int]  # (top, left, bottom, right), ONNX's order: all beginnings, then all ends
#: An elementwise function ``f(x, out)``; the two are apart from each other in memory.
Activation = Callable[[np.ndarray, np.ndarray], object]


def output_size(
    size: int, kernel: int, stride: int, pad_begin: int, pad_end: int, dilation: int = 1, ceil_mode: bool = False
) -> int:
    """How often a window of `kernel` taps fits along one axis.

    The window spans ``dilation * (kernel - 1) + 1`` pixels. With `ceil_mode` a last window that only partly fits counts
    too, if it begins inside the image or the padding before it (not in the padding after it).

    Raises
    ------
    ArgumentError
        The window does not fit once.
    """
    room = size + pad_begin + pad_end - (dilation * (kernel - 1) + 1)
    if room < 0:
        raise ArgumentError(
            f"{kernel} taps, dilation {dilation}, does not fit {size} pixels padded by {pad_begin}+{pad_end}"
        )
    count = room // stride + 1
    if ceil_mode and room % stride and count * stride < size + pad_begin:
        count += 1
    return count


def windows(
    x: np.ndarray, kernel_shape: Pair, strides: Pair, pads: Pads, dilations: Pair, fill: float, ceil_mode: bool = False
) -> list[np.ndarray]:
    """For each tap of the window, in row order: the pixels under that tap, for every place the window goes to.

    Parameters
    ----------
    x : ndarray [N, C, H, W]
    fill : float
        What lies outside the image.

    Returns
    -------
    list of kH * kW ndarrays [N, C, outH, outW]
        Views of the padded image: tap (i, j) sees every stride-th pixel, beginning at row i * dilation.
    """
    (kernel_h, kernel_w), (stride_h, stride_w), (dilation_h, dilation_w) = kernel_shape, strides, dilations
    top, left, bottom, right = pads
    height, width = x.shape[2:]
    out_h = output_size(height, kernel_h, stride_h, top, bottom, dilation_h, ceil_mode)
    out_w = output_size(width, kernel_w, stride_w, left, right, dilation_w, ceil_mode)

    # The last window ends here; ceil_mode may take it beyond the padding that was asked for.
    end_h = (out_h - 1) * stride_h + dilation_h * (kernel_h - 1) + 1
    end_w = (out_w - 1) * stride_w + dilation_w * (kernel_w - 1) + 1
    after_h, after_w = max(end_h - height - top, 0), max(end_w - width - left, 0)
    x = np.pad(x, ((0, 0), (0, 0), (top, after_h), (left, after_w)), constant_values=fill)

    return [
        x[:, :, i : i + (out_h - 1) * stride_h + 1 : stride_h, j : j + (out_w - 1) * stride_w + 1 : stride_w]
        for i in range(0, kernel_h * dilation_h, dilation_h)
        for j in range(0, kernel_w * dilation_w, dilation_w)
    ]


def im2col(
    x: np.ndarray, kernel_shape: Pair, strides: Pair = (1, 1), pads: Pads = (0, 0, 0, 0), dilations: Pair = (1, 1)
) -> np.ndarray:
    """Write each window of the image as a column, so that a convolution becomes a matrix product.

    Parameters
    ----------
    x : ndarray [N, C, H, W]

    Returns
    -------
    ndarray [N, C * kH * kW, outH * outW]
        Rows in the order of a filter's weights ``[C, kH, kW]``, columns in the order of the output's pixels.

    Raises
    ------
    ArgumentError
        The window does not fit the padded image.

    Examples
    --------
    >>> image = np.arange(9.0).reshape(1, 1, 3, 3)
    >>> im2col(image, (2, 2))[0]
    array([[0., 1., 3., 4.],
           [1., 2., 4., 5.],
           [3., 4., 6., 7.],
           [4., 5., 7., 8.]])
    """
    taps = np.stack(windows(x, kernel_shape, strides, pads, dilations, fill=0), axis=2)  # [N, C, kH*kW, outH, outW]
    n, channels, taps_count, out_h, out_w = taps.shape
    return taps.reshape(n, channels * taps_count, out_h * out_w)


def conv2d(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None = None,
    *,
    strides: Pair = (1, 1),
    pads: Pads = (0, 0, 0, 0),
    dilations: Pair = (1, 1),
    group: int = 1,
) -> np.ndarray:
    """Convolution (as ONNX's Conv: cross-correlation), by im2col and one matrix product a group.

    Parameters
    ----------
    x : ndarray [N, C, H, W]
    weight : ndarray [M, C / group, kH, kW]
        M filters; those of group g see only that group's channels.
    bias : ndarray [M], optional

    Returns
    -------
    ndarray [N, M, outH, outW]

    Raises
    ------
    ArgumentError
        Shapes that do not go together.

    Examples
    --------
    >>> image = np.arange(9.0).reshape(1, 1, 3, 3)
    >>> conv2d(image, np.ones((1, 1, 2, 2)))[0, 0]
    array([[ 8., 12.],
           [20., 24.]])
    """
    n, channels, height, width = x.shape
    filters, channels_per_group, kernel_h, kernel_w = weight.shape
    if channels != channels_per_group * group or filters % group:
        raise ArgumentError(f"weight {list(weight.shape)} with group {group} does not fit input {list(x.shape)}")
    out_h = output_size(height, kernel_h, strides[0], pads[0], pads[2], dilations[0])
    out_w = output_size(width, kernel_w, strides[1], pads[1], pads[3], dilations[1])

    columns = im2col(x, (kernel_h, kernel_w), strides, pads, dilations)  # [N, C * kH * kW, outH * outW]
    columns = columns.reshape(n, group, channels_per_group * kernel_h * kernel_w, out_h * out_w)
    rows = weight.reshape(group, filters // group, -1)  # [group, M / group, C / group * kH * kW]
    y = (rows @ columns).reshape(n, filters, out_h, out_w)
    if bias is not None:
        y += bias.reshape(-1, 1, 1)
    return y


def relu(x: np.ndarray) -> np.ndarray:
    """Rectified linear unit, max(x, 0): any shape, the same shape back."""
    return np.maximum(x, x.dtype.type(0))


def max_pool(
    x: np.ndarray,
    kernel_shape: Pair,
    *,
    strides: Pair | None = None,
    pads: Pads = (0, 0, 0, 0),
    dilations: Pair = (1, 1),
    ceil_mode: bool = False,
) -> np.ndarray:
    """The largest pixel of each window; padding never wins (a window that sees nothing else gets -inf).

    Parameters
    ----------
    x : ndarray [N, C, H, W]
    strides : pair of int, optional
        1 along both axes when left out, as ONNX has it.
    ceil_mode : bool
        Also take a last window that only partly fits.

    Returns
    -------
    ndarray [N, C, outH, outW]

    Examples
    --------
    >>> max_pool(np.arange(16.0).reshape(1, 1, 4, 4), (2, 2), strides=(2, 2))[0, 0]
    array([[ 5.,  7.],
           [13., 15.]])
    """
    taps = windows(x, kernel_shape, strides or (1, 1), pads, dilations, fill=-np.inf, ceil_mode=ceil_mode)
    y = taps[0].copy()
    for tap in taps[1:]:
        np.maximum(y, tap, out=y)
    return y


def flatten(x: np.ndarray) -> np.ndarray:
    """Each image as one row of numbers: ``[N, C, H, W] -> [N, C * H * W]``."""
    return x.reshape(len(x), math.prod(x.shape[1:]))


def linear(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,
    transB: int = 0,
) -> np.ndarray:
    """A fully connected layer (ONNX's Gemm): ``alpha * x @ weight + beta * bias``.

    Parameters
    ----------
    x : ndarray [N, K], or [K, N] with `transA`
    weight : ndarray [K, M], or [M, K] with `transB`, which is how networks are usually stored
    bias : ndarray that broadcasts to [N, M], optional

    Returns
    -------
    ndarray [N, M]

    Raises
    ------
    ArgumentError
        Shapes that do not go together.
    """
    a, b = x.T if transA else x, weight.T if transB else weight
    if a.shape[1] != b.shape[0]:
        raise ArgumentError(f"a product of {list(a.shape)} and {list(b.shape)} does not exist")
    y = a @ b
    if alpha != 1:
        y *= y.dtype.type(alpha)
    if bias is not None:
        y = y + (bias if beta == 1 else y.dtype.type(beta) * bias)
    return y


def softmax(x: np.ndarray, axis: int = -1) -> np.ndarray:
    """Turn scores into probabilities: ``exp(x) / sum(exp(x))`` along `axis`.

    The largest score is subtracted first: that changes nothing in exact arithmetic, and keeps exp from overflowing.
    This is the rule from opset 13 on; `softmax_flattened` is the one before.

    Examples
    --------
    >>> softmax(np.array([[0.0, np.log(3.0)]]))
    array([[0.25, 0.75]])
    """
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def softmax_flattened(x: np.ndarray, axis: int = 1) -> np.ndarray:
    """Softmax below opset 13: the axes from `axis` on are one long row, and each row sums to 1."""
    rows = x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))
    return softmax(rows).reshape(x.shape)


class StoredWeight(Protocol):
    """A fully connected layer's weight [M, K] that lies in a file."""

    shape: tuple[int, ...]
    dtype: np.dtype

    def read(self, first: int, out: np.ndarray) -> None:
        """Copy the rows from `first` on into `out`."""

    def array(self) -> np.ndarray:
        """The whole weight."""


class Operations(Protocol):
    """What a forward pass is made of; `Textbook` and `numpyvgg.kernels.Kernels` are two implementations.

    Weights are handed over once, with `prepare_conv` and `prepare_linear`, since a fast kernel may want to rearrange
    them. Which weights are kept in memory, and since when, is the implementation's own affair.
    """

    def prepare_conv(
        self,
        weight: np.ndarray,
        bias: np.ndarray | None,
        strides: Pair = (1, 1),
        pads: Pads = (0, 0, 0, 0),
        dilations: Pair = (1, 1),
        group: int = 1,
    ) -> Any: ...
    def prepare_linear(self, weight: np.ndarray | StoredWeight, bias: np.ndarray | None) -> Any: ...
    def conv2d(
        self,
        x: np.ndarray,
        conv: Any,
        addend: np.ndarray | None = None,
        activation: Activation | None = None,
        border: bool = True,
    ) -> np.ndarray: ...
    def conv_relu(self, x: np.ndarray, conv: Any) -> np.ndarray: ...
    def conv_relu_pool(self, x: np.ndarray, conv: Any) -> np.ndarray: ...
    def linear(self, x: np.ndarray, fc: Any) -> np.ndarray: ...
    def linear_relu(self, x: np.ndarray, fc: Any) -> np.ndarray: ...


class Textbook:
    """The operations, each made of the functions above; weights are kept as they come.

    Parameters
    ----------
    dtype : {"float32", "float64"}
        What everything is computed in.
    """

    def __init__(self, dtype: str | np.dtype = "float32"):
        self.dtype = np.dtype(dtype)

    def __str__(self) -> str:
        return "textbook"

    def prepare_conv(
        self,
        weight: np.ndarray,
        bias: np.ndarray | None,
        strides: Pair = (1, 1),
        pads: Pads = (0, 0, 0, 0),
        dilations: Pair = (1, 1),
        group: int = 1,
    ) -> dict[str, Any]:
        return {
            "weight": np.require(weight, self.dtype, "A"),  # unaligned, NumPy would copy it for each product
            "bias": None if bias is None else bias.astype(self.dtype, copy=False),
            "strides": strides,
            "pads": pads,
            "dilations": dilations,
            "group": group,
        }

    def prepare_linear(self, weight: np.ndarray | StoredWeight, bias: np.ndarray | None) -> dict[str, Any]:
        weight = weight if isinstance(weight, np.ndarray) else weight.array()
        bias = None if bias is None else bias.astype(self.dtype, copy=False)
        return {"weight": np.require(weight, self.dtype, "A"), "bias": bias, "transB": 1}

    def conv2d(
        self,
        x: np.ndarray,
        conv: dict[str, Any],
        addend: np.ndarray | None = None,
        activation: Activation | None = None,
        border: bool = True,
    ) -> np.ndarray:
        y = conv2d(x, **conv)
        if addend is not None:
            y += addend
        if activation is not None:
            activation(y.copy(), y)
        return y

    def conv_relu(self, x: np.ndarray, conv: dict[str, Any]) -> np.ndarray:
        return relu(conv2d(x, **conv))

    def conv_relu_pool(self, x: np.ndarray, conv: dict[str, Any]) -> np.ndarray:
        return max_pool(relu(conv2d(x, **conv)), (2, 2), strides=(2, 2))

    def linear(self, x: np.ndarray, fc: dict[str, Any]) -> np.ndarray:
        return linear(x, **fc)

    def linear_relu(self, x: np.ndarray, fc: dict[str, Any]) -> np.ndarray:
        return relu(linear(x, **fc))
