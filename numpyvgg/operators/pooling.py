"""Pooling: one number for each window, or for each channel."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .windows import Ints, resolve_pads, total_of, windows


def MaxPool_1(
    X: np.ndarray,
    *,
    kernel_shape: Ints,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: Ints | None = None,
    pads: Ints | None = None,
    storage_order: int = 0,
    strides: Ints | None = None,
    output_count: int = 1,
) -> Any:
    rank = len(kernel_shape)
    strides, dilations = strides or [1] * rank, dilations or [1] * rank
    pads = resolve_pads(X.shape[2:], kernel_shape, strides, pads, dilations, auto_pad)
    lowest = -np.inf if X.dtype.kind == "f" else np.iinfo(X.dtype).min
    taps = windows(X, kernel_shape, strides, pads, dilations, lowest, ceil_mode)
    Y = taps[0].copy("K")
    for tap in taps[1:]:
        np.maximum(Y, tap, out=Y)
    if output_count == 1:
        return Y
    # Where each maximum came from: pool the pixels' own numbers alongside. -1 marks padding.
    numbers: np.ndarray = np.arange(math.prod(X.shape[2:]), dtype=np.int64)
    numbers = numbers.reshape(X.shape[2:], order="F" if storage_order else "C")[None, None]
    places = windows(numbers, kernel_shape, strides, pads, dilations, -1, ceil_mode)
    winner = np.argmax([(tap == Y) & (place >= 0) for tap, place in zip(taps, places, strict=True)], axis=0)
    within = np.take_along_axis(np.broadcast_to(np.stack(places), (len(places), *Y.shape)), winner[None], 0)[0]
    planes = np.arange(math.prod(X.shape[:2]), dtype=np.int64) * math.prod(X.shape[2:])
    return Y, within + planes.reshape(*X.shape[:2], *[1] * rank)


def AveragePool_1(
    X: np.ndarray,
    *,
    kernel_shape: Ints,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    count_include_pad: int = 0,
    dilations: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> np.ndarray:
    rank = len(kernel_shape)
    strides, dilations = strides or [1] * rank, dilations or [1] * rank
    pads = resolve_pads(X.shape[2:], kernel_shape, strides, pads, dilations, auto_pad)
    total = total_of(windows(X, kernel_shape, strides, pads, dilations, 0, ceil_mode))
    # How many of a window's pixels count: the image's own, and the padding where that is asked for, but never
    # what ceil_mode goes beyond it.
    counted = np.ones((1, 1, *X.shape[2:]), X.dtype)
    if count_include_pad:
        around = [(0, 0), (0, 0), *zip(pads[:rank], pads[rank:], strict=True)]
        counted, pads = np.pad(counted, around, constant_values=1), [0] * (2 * rank)
    counts = total_of(windows(counted, kernel_shape, strides, pads, dilations, 0, ceil_mode))
    # ceil_mode tells padding from image, which `counted` does not: it may have a window more.
    inside = (slice(None), slice(None), *map(slice, total.shape[2:]))
    return total / counts[inside]


def GlobalAveragePool_1(X: np.ndarray) -> np.ndarray:
    return X.mean(axis=tuple(range(2, X.ndim)), keepdims=True)


def GlobalMaxPool_1(X: np.ndarray) -> np.ndarray:
    return X.max(axis=tuple(range(2, X.ndim)), keepdims=True)


def LpPool_2(
    X: np.ndarray,
    *,
    kernel_shape: Ints,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: Ints | None = None,
    p: int = 2,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> np.ndarray:
    rank = len(kernel_shape)
    strides, dilations = strides or [1] * rank, dilations or [1] * rank
    pads = resolve_pads(X.shape[2:], kernel_shape, strides, pads, dilations, auto_pad)
    powers = np.abs(X) ** X.dtype.type(p)
    total = total_of(windows(powers, kernel_shape, strides, pads, dilations, 0, ceil_mode))
    return total ** X.dtype.type(1 / p)


def GlobalLpPool_2(X: np.ndarray, *, p: int = 2) -> np.ndarray:
    powers = (np.abs(X) ** X.dtype.type(p)).sum(tuple(range(2, X.ndim)), keepdims=True)
    return powers ** X.dtype.type(1 / p)
