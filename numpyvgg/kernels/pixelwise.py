"""What needs no product, in strips and on all threads: operations of each pixel by itself, and max pooling.

**Idea.** Arithmetic on large arrays waits for memory. A strip of rows that fits the core's cache goes through all steps
of an operation before the next strip begins, each thread has strips of its own, and what comes out lies in a border of
zeros as a convolution's output does, so that the next convolution copies nothing.

Max pooling is separable: the maximum of a window is that of its columns' maxima. kH + kW comparisons take the place of
kH * kW, and maxima do not round, so the numbers are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .images import Image, clear_border, new_image, padded
from .threads import Scratch, Workers, strips_in_cache


def pixelwise(
    function: Callable[..., np.ndarray], arrays: Sequence[np.ndarray], border: bool, workers: Workers
) -> Image:
    """``function(*arrays)``, where each pixel of the result depends on the same pixel of the arguments alone.

    Parameters
    ----------
    function : callable
        Takes and returns arrays ``[N, C, H, W]``.
    arrays : sequence of ndarray
        Of one dtype, which the result has too. They broadcast to ``[N, C, H, W]``, the result's shape.
    border : bool
        Whether the result shall lie in a border of zeros.
    workers : Workers
    """
    shape = np.broadcast_shapes(*(array.shape for array in arrays))
    arrays = [np.broadcast_to(array, shape).view(np.ndarray) for array in arrays]
    n, channels, height, width = shape
    y = new_image(n, channels, height, width, arrays[0].dtype, border)
    target = y.view(np.ndarray)
    strips = strips_in_cache(height, width * channels * target.itemsize)

    def strip(number: int) -> None:
        place = slice(number // len(strips), number // len(strips) + 1), slice(None), strips[number % len(strips)]
        target[place] = function(*(array[place] for array in arrays))

    workers.run(strip, n * len(strips))
    clear_border(y)
    return y


def max_pool(
    x: np.ndarray,
    kernel_shape: Sequence[int],
    strides: Sequence[int],
    pads: Sequence[int],
    dilations: Sequence[int],
    out_size: Sequence[int],
    border: bool,
    workers: Workers,
    scratch: Scratch,
) -> Image:
    """As `layers.max_pool`; `out_size` is the output's height and width, which ``ceil_mode`` has a say in."""
    n, channels, height, width = x.shape
    (out_h, out_w), (stride_h, stride_w), (dilation_h, dilation_w) = out_size, strides, dilations
    source = padded(x, (0, 0, 0, 0), height, width, x.dtype)
    y = new_image(n, channels, out_h, out_w, x.dtype, border)
    target = y.transpose(0, 2, 3, 1).view(np.ndarray)
    top, left = pads[:2]
    columns = max((out_w - 1) * stride_w + (kernel_shape[1] - 1) * dilation_w + 1, left + width)
    strips = strips_in_cache(out_h, columns * channels * x.itemsize)

    def strip(number: int) -> None:
        image, rows = number // len(strips), strips[number % len(strips)]
        of_columns = scratch.array("columns", (rows.stop - rows.start, columns, channels), x.dtype)
        of_columns.fill(-np.inf)
        for i in range(kernel_shape[0]):
            offset = i * dilation_h - top  # row r of the output sees row r * stride + offset, where that is inside
            first = max(rows.start, -(offset // stride_h))
            last = min(rows.stop, (height - 1 - offset) // stride_h + 1)
            if first < last:
                seen = source[image, first * stride_h + offset : (last - 1) * stride_h + offset + 1 : stride_h]
                inside = of_columns[first - rows.start : last - rows.start, left : left + width]
                np.maximum(inside, seen, out=inside)
        destination = target[image, rows]
        destination.fill(-np.inf)
        for j in range(kernel_shape[1]):
            begin = j * dilation_w
            tap = of_columns[:, begin : begin + (out_w - 1) * stride_w + 1 : stride_w]
            np.maximum(destination, tap, out=destination)

    workers.run(strip, n * len(strips))
    clear_border(y)
    return y
