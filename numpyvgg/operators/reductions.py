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


def _max(data: np.ndarray, **where: Any) -> np.ndarray:
    return np.max(data, initial=_lowest(data.dtype), **where)


def _min(data: np.ndarray, **where: Any) -> np.ndarray:
    return np.min(data, initial=_highest(data.dtype), **where)


def _lowest(dtype: np.dtype) -> Any:
    """The largest of no numbers at all."""
    return -np.inf if dtype.kind == "f" else False if dtype.kind == "b" else np.iinfo(dtype).min


def _highest(dtype: np.dtype) -> Any:
    return np.inf if dtype.kind == "f" else True if dtype.kind == "b" else np.iinfo(dtype).max


def _l1(data: np.ndarray, **where: Any) -> np.ndarray:
    return np.sum(np.abs(data), **where)


def _sum_square(data: np.ndarray, **where: Any) -> np.ndarray:
    return np.sum(data * data, **where)


def _l2(data: np.ndarray, **where: Any) -> np.ndarray:
    return np.sqrt(_sum_square(data, **where))


def _log_sum(data: np.ndarray, **where: Any) -> np.ndarray:
    return np.log(np.sum(data, **where))


def _log_sum_exp(data: np.ndarray, *, axis: Any, keepdims: bool) -> np.ndarray:
    largest = _max(data, axis=axis, keepdims=True)
    largest = np.where(np.isfinite(largest), largest, 0)
    total = np.log(np.sum(np.exp(data - largest), axis=axis, keepdims=True)) + largest
    return total if keepdims else np.squeeze(total, axis)


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


def ReduceMax_1(data: np.ndarray, *, axes: Ints | None = None, keepdims: int = 1) -> np.ndarray:
    return _reduce(_max, data, axes, keepdims)


def ReduceMax_18(
    data: np.ndarray, axes: np.ndarray | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
) -> np.ndarray:
    return _reduce(_max, data, axes, keepdims, noop_with_empty_axes)


def ReduceMin_1(data: np.ndarray, *, axes: Ints | None = None, keepdims: int = 1) -> np.ndarray:
    return _reduce(_min, data, axes, keepdims)


def ReduceMin_18(
    data: np.ndarray, axes: np.ndarray | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
) -> np.ndarray:
    return _reduce(_min, data, axes, keepdims, noop_with_empty_axes)


def ReduceProd_1(data: np.ndarray, *, axes: Ints | None = None, keepdims: int = 1) -> np.ndarray:
    return _reduce(np.prod, data, axes, keepdims)


def ReduceProd_18(
    data: np.ndarray, axes: np.ndarray | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
) -> np.ndarray:
    return _reduce(np.prod, data, axes, keepdims, noop_with_empty_axes)


def ReduceL1_1(data: np.ndarray, *, axes: Ints | None = None, keepdims: int = 1) -> np.ndarray:
    return _reduce(_l1, data, axes, keepdims)


def ReduceL1_18(
    data: np.ndarray, axes: np.ndarray | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
) -> np.ndarray:
    return _reduce(_l1, data, axes, keepdims, noop_with_empty_axes)


def ReduceL2_1(data: np.ndarray, *, axes: Ints | None = None, keepdims: int = 1) -> np.ndarray:
    return _reduce(_l2, data, axes, keepdims)


def ReduceL2_18(
    data: np.ndarray, axes: np.ndarray | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
) -> np.ndarray:
    return _reduce(_l2, data, axes, keepdims, noop_with_empty_axes)


def ReduceSumSquare_1(data: np.ndarray, *, axes: Ints | None = None, keepdims: int = 1) -> np.ndarray:
    return _reduce(_sum_square, data, axes, keepdims)


def ReduceSumSquare_18(
    data: np.ndarray, axes: np.ndarray | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
) -> np.ndarray:
    return _reduce(_sum_square, data, axes, keepdims, noop_with_empty_axes)


def ReduceLogSum_1(data: np.ndarray, *, axes: Ints | None = None, keepdims: int = 1) -> np.ndarray:
    return _reduce(_log_sum, data, axes, keepdims)


def ReduceLogSum_18(
    data: np.ndarray, axes: np.ndarray | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
) -> np.ndarray:
    return _reduce(_log_sum, data, axes, keepdims, noop_with_empty_axes)


def ReduceLogSumExp_1(data: np.ndarray, *, axes: Ints | None = None, keepdims: int = 1) -> np.ndarray:
    return _reduce(_log_sum_exp, data, axes, keepdims)


def ReduceLogSumExp_18(
    data: np.ndarray, axes: np.ndarray | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
) -> np.ndarray:
    return _reduce(_log_sum_exp, data, axes, keepdims, noop_with_empty_axes)


def ArgMax_1(data: np.ndarray, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> np.ndarray:
    if not select_last_index:
        found = np.argmax(data, axis=axis)
    else:
        found = data.shape[axis] - 1 - np.argmax(np.flip(data, axis), axis=axis)
    return np.expand_dims(found, axis) if keepdims else np.asarray(found)


def ArgMin_1(data: np.ndarray, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> np.ndarray:
    if not select_last_index:
        found = np.argmin(data, axis=axis)
    else:
        found = data.shape[axis] - 1 - np.argmin(np.flip(data, axis), axis=axis)
    return np.expand_dims(found, axis) if keepdims else np.asarray(found)


def CumSum_11(x: np.ndarray, axis: np.ndarray, *, exclusive: int = 0, reverse: int = 0) -> np.ndarray:
    along = int(axis.reshape(()))
    x = np.flip(x, along) if reverse else x
    y = np.cumsum(x, along, dtype=x.dtype)
    y = y - x if exclusive and x.dtype.kind in "iu" else _shifted(y, along) if exclusive else y
    return np.flip(y, along) if reverse else y


def _shifted(y: np.ndarray, axis: int) -> np.ndarray:
    """Each element in the place of the next, and 0 in the first."""
    moved = np.moveaxis(np.zeros_like(y), axis, 0)
    moved[1:] = np.moveaxis(y, axis, 0)[:-1]
    return np.moveaxis(moved, 0, axis)


def TopK_1(X: np.ndarray, *, k: int, axis: int = -1) -> tuple[np.ndarray, np.ndarray]:
    return TopK_10(X, np.array(k), axis=axis)


def TopK_10(X: np.ndarray, K: np.ndarray, *, axis: int = -1) -> tuple[np.ndarray, np.ndarray]:
    return TopK_11(X, K, axis=axis)


def TopK_11(
    X: np.ndarray, K: np.ndarray, *, axis: int = -1, largest: int = 1, sorted: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(X, axis, kind="stable")
    if largest:  # from the end, and of equals the first one first
        backwards = np.argsort(np.flip(X, axis), axis, kind="stable")
        order = X.shape[axis] - 1 - np.flip(backwards, axis)
    places = np.take(order, np.arange(int(K.reshape(()))), axis)
    return np.take_along_axis(X, places, axis), places
