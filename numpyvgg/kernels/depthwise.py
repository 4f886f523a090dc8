"""Depthwise convolution: each channel by a filter of its own, as a sum of shifted images.

**Idea.** With one group a channel there is no sum over channels, so a matrix product has nothing to do: im2col would be
C products of a single column, each with the price of a call. Tap by tap the convolution is plain arithmetic on whole
images, kH * kW of them shifted against each other::

    y[p, c] = bias[c] + sum over (i, j) of weight[i, j, c]
              * x[row(p) * stride + i * dilation, column(p) * stride + j * dilation, c]

That is what `np.einsum` computes of a view in which each place of the filter sees its taps. Its inner loop multiplies
and adds in one pass over the channels, where `np.multiply` and `np.add` take two and an array in between. Taps are
added in the order of the filter's rows, on any number of threads.

Channels lie side by side, and with stride 1 so do a row's pixels. Repeated for a few pixels, a tap's weights meet the
row in runs of about a thousand numbers; NumPy's loops are slow on runs as short as 32 channels.

Source: the operator is A. Howard et al., "MobileNets", 2017, section 3.1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .finishing import Finish, by_pixel, finish, new_output
from .images import Image, clear_border, padded, window_sizes
from .threads import Scratch, Workers, strips_in_cache

RUN = 2048  # numbers that a tap's weights meet at a time: 8 KB, so that the sum stays in L1 while all taps are added


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


def convolve(x: np.ndarray, conv: DepthwiseConv, then: Finish, workers: Workers, scratch: Scratch) -> Image:
    """Convolution, bias, and what follows: ``[N, C, H, W] -> [N, C, outH, outW]``."""
    n, channels, height, width = x.shape
    kernel_shape, dtype = conv.weight.shape[:2], conv.weight.dtype
    out_h, out_w, rows, columns = window_sizes(height, width, kernel_shape, conv.strides, conv.pads, conv.dilations)
    source = padded(x, conv.pads, rows, columns, dtype)
    pixels = _pixels_of_a_run(out_w, channels) if conv.strides[1] == 1 else 1
    taps = _taps(source, conv, out_h, out_w, pixels)
    weight = conv.weight[:, :, None].repeat(pixels, axis=2).reshape(*kernel_shape, -1)
    y, target = new_output(n, channels, out_h, out_w, then, dtype)
    bias, strips = by_pixel(conv.bias, out_w), strips_in_cache(out_h, out_w * channels * dtype.itemsize)

    def strip(number: int) -> None:
        image, part = number // len(strips), strips[number % len(strips)]
        product = scratch.array("product", (part.stop - part.start, out_w // pixels, pixels * channels), dtype)
        np.einsum("rbijc,ijc->rbc", taps[image, part], weight, out=product)
        finish(product.reshape(-1, out_w, channels), target[image], part.start, bias, then.of(image))

    workers.run(strip, n * len(strips))
    clear_border(y)
    return y


def _pixels_of_a_run(out_w: int, channels: int) -> int:
    """So many neighbours that their channels are about a thousand; they share out a row evenly."""
    return max(
        pixels for pixels in range(1, out_w + 1) if out_w % pixels == 0 and (pixels == 1 or pixels * channels <= RUN)
    )


def _taps(source: np.ndarray, conv: DepthwiseConv, out_h: int, out_w: int, pixels: int) -> np.ndarray:
    """What each tap sees, as a view ``[N, outH, outW / pixels, kH, kW, pixels * C]``."""
    n, _, _, channels = source.shape
    of_image, of_row, of_pixel, of_channel = source.strides
    (stride_h, stride_w), (dilation_h, dilation_w) = conv.strides, conv.dilations
    return np.lib.stride_tricks.as_strided(
        source,
        (n, out_h, out_w // pixels, *conv.weight.shape[:2], pixels * channels),
        (
            of_image,
            of_row * stride_h,
            of_pixel * stride_w * pixels,
            of_row * dilation_h,
            of_pixel * dilation_w,
            of_channel,
        ),
        writeable=False,
    )
