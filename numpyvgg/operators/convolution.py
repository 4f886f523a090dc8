"""Convolution, along any number of axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import layers
from ..errors import ArgumentError
from .windows import Ints, resolve_pads


def Conv_1(
    X: np.ndarray,
    W: np.ndarray,
    B: np.ndarray | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Ints | None = None,
    group: int = 1,
    kernel_shape: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> np.ndarray:
    rank = W.ndim - 2
    if X.ndim != W.ndim or (kernel_shape and list(kernel_shape) != list(W.shape[2:])):
        raise ArgumentError(f"weight {list(W.shape)} does not fit input {list(X.shape)}, kernel_shape {kernel_shape}")
    strides, dilations = strides or [1] * rank, dilations or [1] * rank
    pads = resolve_pads(X.shape[2:], W.shape[2:], strides, pads, dilations, auto_pad)
    return _conv(X, W, B, strides=strides, pads=pads, dilations=dilations, group=group)


def _conv(
    X: np.ndarray, W: np.ndarray, B: np.ndarray | None, *, strides: Ints, pads: Ints, dilations: Ints, group: int
) -> np.ndarray:
    """Convolution along any number of axes, by way of the one along two."""
    rank = W.ndim - 2
    if rank == 2:
        return layers.conv2d(X, W, B, strides=strides, pads=pads, dilations=dilations, group=group)
    if rank == 1:  # a signal is an image of one row
        X, W = X[:, :, None], W[:, :, None]
        strides, pads, dilations = (1, *strides), (0, pads[0], 0, pads[1]), (1, *dilations)
        return layers.conv2d(X, W, B, strides=strides, pads=pads, dilations=dilations, group=group)[:, :, 0]
    # A volume: each tap along its first axis is a convolution of slices along the others, and the taps add up.
    inner: dict[str, Any] = {"strides": strides[1:], "dilations": dilations[1:], "group": group}
    inner["pads"] = [*pads[1:rank], *pads[rank + 1 :]]
    out = layers.output_size(X.shape[2], W.shape[2], strides[0], pads[0], pads[rank], dilations[0])
    X = np.pad(X, [(0, 0), (0, 0), (pads[0], pads[rank]), *[(0, 0)] * (rank - 1)])
    total: Any = 0
    for tap in range(W.shape[2]):
        begin = tap * dilations[0]
        slices = X[:, :, begin : begin + (out - 1) * strides[0] + 1 : strides[0]].swapaxes(1, 2)  # [N, out, C, ...]
        y = _conv(slices.reshape(-1, *slices.shape[2:]), W[:, :, tap], None, **inner)
        total = total + y.reshape(*slices.shape[:2], *y.shape[1:]).swapaxes(1, 2)
    return total if B is None else total + B.reshape(-1, *[1] * rank)


def ConvTranspose_1(
    X: np.ndarray,
    W: np.ndarray,
    B: np.ndarray | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Ints | None = None,
    group: int = 1,
    kernel_shape: Ints | None = None,
    output_padding: Ints | None = None,
    output_shape: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> np.ndarray:
    rank = W.ndim - 2
    strides, dilations = strides or [1] * rank, dilations or [1] * rank
    sizes, begins = transposed_sizes(
        X.shape[2:], W.shape[2:], strides, pads, dilations, auto_pad, output_padding, output_shape
    )
    return _conv_transpose(X, W, B, strides=strides, dilations=dilations, group=group, sizes=sizes, begins=begins)


def transposed_sizes(
    spatial: Ints,
    kernel_shape: Ints,
    strides: Ints,
    pads: Ints | None,
    dilations: Ints,
    auto_pad: str,
    output_padding: Ints | None,
    output_shape: Ints | None,
) -> tuple[list[int], list[int]]:
    """The result's size along each axis, and how much is cut off before it.

    With `auto_pad` the result ends where the last filter does, also where strides are larger than the kernel: ONNX
    Runtime and ONNX's shape inference have it so, while the specification's text adds zeros up to size times stride.
    """
    rank = len(spatial)
    extra = output_padding or [0] * rank
    extents = [dilation * (kernel - 1) + 1 for kernel, dilation in zip(kernel_shape, dilations, strict=True)]
    whole = [
        stride * (size - 1) + more + extent
        for size, extent, stride, more in zip(spatial, extents, strides, extra, strict=True)
    ]
    same = auto_pad in ("SAME_UPPER", "SAME_LOWER")
    if output_shape:
        sizes = list(output_shape[-rank:])
    elif same:
        sizes = [min(size * stride, most) for size, stride, most in zip(spatial, strides, whole, strict=True)]
    else:
        around = list(pads or [0] * (2 * rank)) if auto_pad in ("NOTSET", "") else [0] * (2 * rank)
        return [whole[i] - around[i] - around[rank + i] for i in range(rank)], around[:rank]
    cuts = [max(total - size, 0) for total, size in zip(whole, sizes, strict=True)]
    fitting = [(sizes[i] + cuts[i] - extents[i]) // strides[i] + 1 for i in range(rank)]
    if output_shape and fitting != list(spatial):
        raise ArgumentError(f"a convolution of an image {sizes} gives {fitting}, not the input's {list(spatial)}")
    return sizes, [cut // 2 if auto_pad == "SAME_UPPER" else cut - cut // 2 for cut in cuts]


def _conv_transpose(
    X: np.ndarray,
    W: np.ndarray,
    B: np.ndarray | None,
    *,
    strides: Ints,
    dilations: Ints,
    group: int,
    sizes: Ints,
    begins: Ints,
) -> np.ndarray:
    """Each pixel spreads its filter over the result: one matrix product, then one addition for each tap."""
    n, channels, *spatial = X.shape
    filters, kernel_shape = W.shape[1], W.shape[2:]
    rows = W.reshape(group, channels // group, -1).swapaxes(1, 2)  # [group, filters * taps, C / group]
    taps = rows @ X.reshape(n, group, channels // group, -1)
    taps = taps.reshape(n, group * filters, *kernel_shape, *spatial)
    Y = np.zeros((n, group * filters, *sizes), X.dtype)
    for tap in np.ndindex(*kernel_shape):
        there, here = [slice(None)] * 2, [slice(None)] * 2
        for i, size in enumerate(sizes):  # pixel p of the input goes to p * stride + first of the result
            first = tap[i] * dilations[i] - begins[i]
            low = max(-(first // strides[i]), 0)
            high = max(min((size - 1 - first) // strides[i] + 1, spatial[i]), low)
            here.append(slice(low, high))
            begin = first + low * strides[i]
            there.append(slice(begin, begin + (high - low) * strides[i], strides[i]) if high > low else slice(0, 0))
        Y[tuple(there)] += np.moveaxis(taps, range(2, 2 + len(tap)), range(len(tap)))[tap][tuple(here)]
    return Y if B is None else Y + B.reshape(-1, *[1] * len(sizes))
