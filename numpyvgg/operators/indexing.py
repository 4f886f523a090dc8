"""Elements taken from, and put to, places that a tensor of indices says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import ArgumentError


def _inside(indices: np.ndarray, size: int, axis: int) -> np.ndarray:
    """Indices counted from the front; refused where they leave the axis."""
    if indices.size and not (-size <= indices.min() and indices.max() < size):
        raise ArgumentError(f"indices from {indices.min()} to {indices.max()} leave axis {axis}, which has {size}")
    return np.where(indices < 0, indices + size, indices)


def Gather_1(data: np.ndarray, indices: np.ndarray, *, axis: int = 0) -> np.ndarray:
    return np.take(data, _inside(indices, data.shape[axis], axis), axis)


def GatherElements_11(data: np.ndarray, indices: np.ndarray, *, axis: int = 0) -> np.ndarray:
    places = list(np.ogrid[tuple(map(slice, indices.shape))])
    places[axis] = _inside(indices, data.shape[axis], axis)
    return data[tuple(places)]


def GatherND_11(data: np.ndarray, indices: np.ndarray, *, batch_dims: int = 0) -> np.ndarray:
    return data[_places(data, indices, batch_dims)]


def _places(data: np.ndarray, indices: np.ndarray, batch_dims: int = 0) -> tuple[np.ndarray, ...]:
    """The last axis of `indices` as one array for each axis of the data."""
    batch = np.ogrid[tuple(map(slice, indices.shape[:batch_dims]))] if batch_dims else []
    batch = [grid.reshape(*grid.shape, *[1] * (indices.ndim - 1 - batch_dims)) for grid in batch]
    axes = range(batch_dims, batch_dims + indices.shape[-1])
    return (*batch, *(_inside(indices[..., i], data.shape[axis], axis) for i, axis in enumerate(axes)))


#: What happens to an element that an update meets; updates of one place come one after the other.
_REDUCTIONS: dict[str, Callable[..., Any]] = {
    "add": np.add.at,
    "mul": np.multiply.at,
    "max": np.maximum.at,
    "min": np.minimum.at,
}


def _scatter(data: np.ndarray, places: tuple[Any, ...], updates: np.ndarray, reduction: str) -> np.ndarray:
    output = data.copy()
    if reduction == "none":
        output[places] = updates
    else:
        _REDUCTIONS[reduction](output, places, updates)
    return output


def ScatterElements_11(
    data: np.ndarray, indices: np.ndarray, updates: np.ndarray, *, axis: int = 0, reduction: str = "none"
) -> np.ndarray:
    places = list(np.ogrid[tuple(map(slice, indices.shape))])
    places[axis] = _inside(indices, data.shape[axis], axis)
    return _scatter(data, tuple(places), updates, reduction)


def Scatter_9(data: np.ndarray, indices: np.ndarray, updates: np.ndarray, *, axis: int = 0) -> np.ndarray:
    return ScatterElements_11(data, indices, updates, axis=axis)


def ScatterND_11(data: np.ndarray, indices: np.ndarray, updates: np.ndarray, *, reduction: str = "none") -> np.ndarray:
    return _scatter(data, _places(data, indices), updates, reduction)


def NonZero_9(X: np.ndarray) -> np.ndarray:
    return np.array(np.nonzero(np.atleast_1d(X)), np.int64).reshape(max(X.ndim, 1), -1)


def Compress_9(input: np.ndarray, condition: np.ndarray, *, axis: int | None = None) -> np.ndarray:
    size = input.size if axis is None else input.shape[axis]
    if len(condition) > size and condition[size:].any():
        raise ArgumentError(f"condition has {len(condition)} elements where there are {size}")
    return np.compress(condition[:size], input, axis)


def OneHot_9(indices: np.ndarray, depth: np.ndarray, values: np.ndarray, *, axis: int = -1) -> np.ndarray:
    count = int(depth.reshape(()))
    places = np.expand_dims(indices.astype(np.int64), axis)
    shape = [1] * places.ndim
    shape[axis] = count
    hot = np.where(places < 0, places + count, places) == np.arange(count).reshape(shape)
    return np.where(hot, values[1], values[0])
