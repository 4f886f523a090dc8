"""Sums, means, extremes and their places along axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .windows import Ints


def _reduce(
    reduction: Callable[..., np.ndarray], data: np.ndarray, axes: Any, keepdims: int, noop_with_empty_axes: int = 0
) -> np.ndarray:
    axes = None if axes is None or not len(axes) else tuple(int(axis) for axis in axes)
    if axes is None and noop_with_empty_axes:
        return data
    return np.asarray(reduction(data, axis=axes, keepdims=bool(keepdims))).astype(data.dtype, copy=False)


def ReduceMean_1(data: np.ndarray, *, axes: Ints | None = None, keepdims: int = 1) -> np.ndarray:
    return _reduce(np.mean, data, axes, keepdims)


def ReduceMean_18(
    data: np.ndarray, axes: np.ndarray | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
) -> np.ndarray:
    return _reduce(np.mean, data, axes, keepdims, noop_with_empty_axes)


def ReduceSum_1(data: np.ndarray, *, axes: Ints | None = None, keepdims: int = 1) -> np.ndarray:
    return _reduce(np.sum, data, axes, keepdims)


def ReduceSum_13(
    data: np.ndarray, axes: np.ndarray | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
) -> np.ndarray:
    return _reduce(np.sum, data, axes, keepdims, noop_with_empty_axes)


def ArgMax_1(data: np.ndarray, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> np.ndarray:
    if not select_last_index:
        found = np.argmax(data, axis=axis)
    else:
        found = data.shape[axis] - 1 - np.argmax(np.flip(data, axis), axis=axis)
    return np.expand_dims(found, axis) if keepdims else np.asarray(found)
