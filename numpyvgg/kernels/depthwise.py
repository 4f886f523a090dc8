"""Depthwise convolution: each channel by a filter of its own, as a sum of shifted images.

**Idea.** With one group a channel there is no sum over channels, so a matrix product has nothing to do: im2col would be
C products of a single column, each with the price of a call. Written tap by tap the convolution is plain arithmetic on
whole images, kH * kW of them shifted against each other::

    y[p, c] = bias[c] + sum over (i, j) of weight[i, j, c]
              * x[row(p) * stride + i * dilation, column(p) * stride + j * dilation, c]

Each tap reads the sum and writes it again: that stays in the core's cache if a strip of a few rows takes all its taps
before the next strip begins. Taps are added in the order of the filter's rows, on any number of threads.

Channels lie side by side, and with stride 1 so do a row's pixels. Repeated for each pixel of a row, a tap's weights
meet the row in one run of W * C numbers; NumPy's loops are slow on runs as short as 32 channels.

Source: the operator is A. Howard et al., "MobileNets", 2017, section 3.1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..layers import output_size
from .im2col import finish
from .images import Image, clear_border, new_image, padded
from .threads import Scratch, Workers, cache_bytes


@dataclass(frozen=True)
class DepthwiseConv:
    """A filter ``[kH, kW]`` for each of C channels, as ``[kH, kW, C]``, and its window."""

    weight: np.ndarray
    bias: np.ndarray | None
    strides: tuple[int, ...]
    pads: tuple[int, ...]
    dilations: tuple[int, ...]
    method = "depthwise"

    @property
    def channels(self) -> int:
        """Of the input."""
        return self.weight.shape[2]


def serves(weight: np.ndarray, group: int) -> bool:
    """The rule: as many groups as channels, and as many filters."""
    return 1 < group == len(weight) and weight.shape[1] == 1


def prepare(
    weight: np.ndarray,
    bias: np.ndarray | None,
    strides: tuple[int, ...],
    pads: tuple[int, ...],
    dilations: tuple[int, ...],
    dtype: np.dtype,
) -> DepthwiseConv:
    """Lay the filters ``[C, 1, kH, kW]`` side by side."""
    by_tap = np.ascontiguousarray(weight[:, 0].transpose(1, 2, 0), dtype)
    return DepthwiseConv(by_tap, bias, strides, pads, dilations)


def convolve(x: np.ndarray, conv: DepthwiseConv, relu: bool, pool: bool, workers: Workers, scratch: Scratch) -> Image:
    """Convolution, bias, and where asked for ReLU and 2x2 max pooling: ``[N, C, H, W] -> [N, C, outH, outW]``."""
    n, channels, height, width = x.shape
    kernel_h, kernel_w, _ = conv.weight.shape
    (stride_h, stride_w), (dilation_h, dilation_w) = conv.strides, conv.dilations
    out_h = output_size(height, kernel_h, stride_h, conv.pads[0], conv.pads[2], dilation_h)
    out_w = output_size(width, kernel_w, stride_w, conv.pads[1], conv.pads[3], dilation_w)
    rows = (out_h - 1) * stride_h + (kernel_h - 1) * dilation_h + 1
    columns = (out_w - 1) * stride_w + (kernel_w - 1) * dilation_w + 1
    dtype = conv.weight.dtype
    source = padded(x, conv.pads, rows, columns, dtype)
    y = new_image(n, channels, out_h // 2 if pool else out_h, out_w // 2 if pool else out_w, dtype)
    target = y.transpose(0, 2, 3, 1).view(np.ndarray)
    strips = _strips(out_h, out_w * channels * dtype.itemsize)
    run = (out_w * channels,) if stride_w == 1 else (out_w, channels)
    weight = np.tile(conv.weight, (1, 1, out_w)) if stride_w == 1 else conv.weight

    def strip(number: int) -> None:
        image, (first, last) = number // len(strips), strips[number % len(strips)]
        total = scratch.array("sum", (last - first, *run), dtype)
        term = scratch.array("term", total.shape, dtype)
        for i, j in np.ndindex(kernel_h, kernel_w):
            top, left = first * stride_h + i * dilation_h, j * dilation_w
            seen = source[image, top : top + (last - first - 1) * stride_h + 1 : stride_h]
            seen = seen[:, left : left + (out_w - 1) * stride_w + 1 : stride_w].reshape(total.shape)
            if i == j == 0:
                np.multiply(seen, weight[i, j], out=total)
            else:
                np.add(total, np.multiply(seen, weight[i, j], out=term), out=total)
        finish(total.reshape(last - first, out_w, channels), target[image], first, conv.bias, relu, pool)

    workers.run(strip, n * len(strips))
    clear_border(y)
    return y


def _strips(out_h: int, row_bytes: int) -> list[tuple[int, int]]:
    """First and last row (exclusive) of each strip: sum, term and what they read fill half of L2; even, for pooling."""
    rows = max(2, cache_bytes(2) // 8 // max(row_bytes, 1) // 2 * 2)
    return [(first, min(first + rows, out_h)) for first in range(0, out_h, rows)]
