"""Convolution as a matrix product, a strip of rows at a time.

**Idea.** Write the pixels under each place of the filter as one row of a matrix; the convolution is then the product of
that matrix with the filters (im2col; K. Chellapilla, S. Puri, P. Simard, "High Performance Convolutional Neural
Networks for Document Processing", 2006)::

    columns[p, (i, j, c)] = x[row(p) * stride + i * dilation, column(p) * stride + j * dilation, c]
    y[p, m]               = sum over (i, j, c) of columns[p, (i, j, c)] * weight[(i, j, c), m]  +  bias[m]

The matrix holds every pixel kH * kW times: 115 MB for VGG's conv1_2, far beyond any cache, so that writing and reading
it takes longer than the arithmetic. Cut into strips of a few rows it never leaves the core's cache. What follows the
convolution is done on the strip while it is there (`finishing`), and what is left is written to its place in the next
layer's input.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np

from .finishing import Finish, by_pixel, finish, new_output
from .images import Image, clear_border, padded, window_sizes
from .threads import Scratch, Workers, cache_bytes

FILTERS = 32  # that are put into order at a time: two cache lines of the result


@dataclass(frozen=True)
class Im2colConv:
    """A convolution's weights ``[group, kH * kW * C / group, M / group]`` and its window."""

    weight: np.ndarray
    bias: np.ndarray | None
    kernel_shape: tuple[int, int]
    strides: tuple[int, ...]
    pads: tuple[int, ...]
    dilations: tuple[int, ...]
    method = "im2col"

    @property
    def channels(self) -> int:
        """Of the input, all groups together."""
        return self.weight.shape[0] * self.weight.shape[1] // math.prod(self.kernel_shape)


def prepare(
    weight: np.ndarray,
    bias: np.ndarray | None,
    strides: tuple[int, ...],
    pads: tuple[int, ...],
    dilations: tuple[int, ...],
    group: int,
    dtype: np.dtype,
    workers: Workers,
    scratch: Scratch,
) -> Im2colConv:
    """Put the weights into the order of the columns: ``[M, C / group, kH, kW]`` to taps, channels, filters.

    Some filters at a time, spaced: thousands of bytes apart, most of them would fall on the same lines of the cache.
    """
    filters, channels, kernel_h, kernel_w = weight.shape
    taps, of_group = kernel_h * kernel_w, filters // group
    source = weight.reshape(group, of_group, channels * taps)
    ordered = np.empty((group, taps, channels, of_group), dtype)
    parts = [(g, slice(first, first + FILTERS)) for g in range(group) for first in range(0, of_group, FILTERS)]

    def reorder(number: int) -> None:
        g, part = parts[number]
        some = source[g, part]
        spaced = scratch.spaced("filters", len(some), channels * taps, dtype)
        spaced[...] = some
        ordered[g, :, :, part] = spaced.reshape(-1, channels, taps).transpose(2, 1, 0)

    workers.run(reorder, len(parts))
    matrix = ordered.reshape(group, taps * channels, filters // group)
    return Im2colConv(matrix, bias, (kernel_h, kernel_w), strides, pads, dilations)


@lru_cache(1 << 10)  # a network asks for the same few at each image
def strips_of_rows(out_h: int, out_w: int, taps: int, filters: int, itemsize: int) -> list[slice]:
    """Cut the output's rows into strips; in pairs, since pooling takes them so.

    Columns and product fill half of the core's L2, unless that is too little work per strip. The filters are read anew
    for each strip: it has at least 672 pixels, to do as many multiplications with each number that is read. And each
    step of it should last long enough to amortise re-acquiring the GIL: a strip takes ten million multiplications or
    more. More than two strips are made a multiple of four, the longer ones first, so that two or four threads end
    together.
    """
    pixels = max(cache_bytes(2) // 2 // ((taps + filters) * itemsize), 672, 10**7 // (taps * filters))
    pairs, strips = -(-out_h // 2), -(-out_h * out_w // pixels)
    strips = min(pairs, strips if strips <= 2 else -(-strips // 4) * 4)
    ends = [min(2 * (pairs * i // strips), out_h) for i in range(strips + 1)]
    return sorted((slice(*pair) for pair in pairwise(ends)), key=lambda rows: rows.start - rows.stop)


def filter_parts(filters: int, strips: int) -> list[slice]:
    """Where strips are too few to go round, halves of the filters (of many) are tasks of their own."""
    middle = filters // 2
    return [slice(0, middle), slice(middle, filters)] if strips < 4 and middle >= 128 else [slice(0, filters)]


def convolve(x: np.ndarray, conv: Im2colConv, then: Finish, workers: Workers, scratch: Scratch) -> Image:
    """Convolution, bias, and what follows: ``[N, C, H, W] -> [N, M, outH, outW]``."""
    n, channels, height, width = x.shape
    group, taps, filters = conv.weight.shape  # of one group
    dtype = conv.weight.dtype
    out_h, out_w, rows, columns = window_sizes(
        height, width, conv.kernel_shape, conv.strides, conv.pads, conv.dilations
    )
    if out_h == out_w == rows == columns == group == 1:
        return _of_one_pixel(x, conv, then, workers)
    planar = group == 1 and channels < 16
    windows = _windows(padded(x, conv.pads, rows, columns, dtype, planar), conv, out_h, out_w)
    y, target = new_output(n, group * filters, out_h, out_w, then, dtype)
    strips = strips_of_rows(out_h, out_w, taps * group, filters * group, dtype.itemsize)
    parts = filter_parts(filters, n * len(strips)) if group == 1 else [slice(None)]
    biases = [by_pixel(None if conv.bias is None else conv.bias[part], out_w) for part in parts]

    def strip(number: int) -> None:
        bias, part = biases[number % len(parts)], parts[number % len(parts)]
        number //= len(parts)
        image, rows = number // len(strips), strips[number % len(strips)]
        window = windows[image, rows]  # [rows, outW, group, kH, kW, C / group]
        matrix = _columns(window, planar, scratch)
        weight = conv.weight[:, :, part]
        product = scratch.array("product", (len(matrix), group, weight.shape[2]), dtype)
        np.matmul(matrix.swapaxes(0, 1), weight, out=product.swapaxes(0, 1))
        of_rows = product.reshape(len(window), out_w, -1)
        finish(of_rows, target[image, :, :, part], rows.start, bias, then.of(image, part))

    workers.run(strip, n * len(strips) * len(parts))
    clear_border(y)
    return y


def _of_one_pixel(x: np.ndarray, conv: Im2colConv, then: Finish, workers: Workers) -> Image:
    """Images of one pixel, such as squeeze and excitation makes: a product of vectors, for a tenth of the calls."""
    (weight,), bias = conv.weight, by_pixel(conv.bias, 1)
    y, target = new_output(len(x), weight.shape[1], 1, 1, then, weight.dtype)

    def one(image: int) -> None:
        product = np.dot(x[image, :, 0, 0].astype(weight.dtype, copy=False), weight)
        finish(product[None, None], target[image], 0, bias, then.of(image))

    workers.run(one, len(x))
    clear_border(y)
    return y


def _columns(window: np.ndarray, planar: bool, scratch: Scratch) -> np.ndarray:
    """A strip's windows as a matrix ``[pixels, group, kH * kW * C / group]``: a copy, unless they lie so already."""
    rows, out_w, group = window.shape[:3]
    pixels, taps = rows * out_w, math.prod(window.shape[3:])
    if window.flags.c_contiguous:  # filters of 1x1 on an image without a border
        return window.reshape(pixels, group, taps)
    if not planar:
        matrix = scratch.array("columns", (pixels, group, taps), window.dtype)
        np.copyto(matrix.reshape(window.shape), window)
        return matrix
    by_tap = scratch.array("columns", (group * taps, pixels), window.dtype)
    np.copyto(by_tap.reshape(*window.shape[2:], rows, out_w), window.transpose(2, 3, 4, 5, 0, 1))
    return by_tap.T.reshape(pixels, group, taps)


def _windows(source: np.ndarray, conv: Im2colConv, out_h: int, out_w: int) -> np.ndarray:
    """What the filter sees at each place, as a view ``[N, outH, outW, group, kH, kW, C / group]``."""
    n, _, _, channels = source.shape
    of_image, of_row, of_pixel, of_channel = source.strides
    group = len(conv.weight)
    return np.lib.stride_tricks.as_strided(
        source,
        (n, out_h, out_w, group, *conv.kernel_shape, channels // group),
        (
            of_image,
            of_row * conv.strides[0],
            of_pixel * conv.strides[1],
            channels // group * of_channel,
            of_row * conv.dilations[0],
            of_pixel * conv.dilations[1],
            of_channel,
        ),
        writeable=False,
    )
