"""By index."""

from __future__ import annotations

from typing import Any

import numpy as np

from .sizes import Shape, agree, axis_of, refuse, show, single, vector


def Gather(data: Shape, indices: Shape, *, axis: int = 0) -> Shape:
    axis = axis_of(axis, len(data))
    return (*data[:axis], *indices, *data[axis + 1 :])


def GatherElements(data: Shape, indices: Shape, *, axis: int = 0) -> Shape:
    _beside(data, indices, axis, "indices")
    return indices


def _beside(data: Shape, indices: Shape, axis: int, name: str) -> None:
    """Indices have the data's axes, and along all but one no more than the data."""
    axis = axis_of(axis, len(data))
    fits = all(
        a is None or b is None or a <= b or i == axis for i, (a, b) in enumerate(zip(indices, data, strict=False))
    )
    if len(indices) != len(data) or not fits:
        refuse(f"{name} of shape {show(indices)} do not lie in data of shape {show(data)}")


def GatherND(data: Shape, indices: Shape, *, batch_dims: int = 0) -> Shape | None:
    if not indices or not data or not 0 <= batch_dims < min(len(data), len(indices)):
        refuse(f"batch_dims {batch_dims} does not go with data {show(data)} and indices {show(indices)}")
    for a, b in zip(data[:batch_dims], indices[:batch_dims], strict=True):
        agree(a, b, "sizes of the batch")
    if indices[-1] is None:
        return None
    if not 1 <= indices[-1] <= len(data) - batch_dims:
        refuse(f"indices {show(indices)} have {indices[-1]} places for {len(data) - batch_dims} axes")
    return (*indices[:-1], *data[batch_dims + indices[-1] :])


def ScatterElements(data: Shape, indices: Shape, updates: Shape, *, axis: int = 0, **attributes: Any) -> Shape:
    _beside(data, indices, axis, "indices")
    if len(updates) != len(indices):
        refuse(f"updates {show(updates)} and indices {show(indices)} are not of one shape")
    for a, b in zip(indices, updates, strict=True):
        agree(a, b, f"sizes of indices {show(indices)} and updates {show(updates)}")
    return data


def ScatterND(data: Shape, indices: Shape, updates: Shape, **attributes: Any) -> Shape:
    wanted = GatherND(data, indices)
    if wanted is not None:
        if len(wanted) != len(updates):
            refuse(f"updates {show(updates)} have not the shape {show(wanted)}")
        for a, b in zip(wanted, updates, strict=True):
            agree(a, b, f"sizes of updates {show(updates)} and {show(wanted)}")
    return data


def NonZero(X: Shape) -> Shape:
    return max(len(X), 1), None


def Compress(input: Shape, condition: Shape, *, axis: int | None = None) -> Shape:
    if len(condition) != 1:
        refuse(f"condition has shape {show(condition)}, and has to be a list")
    if axis is None:
        return (None,)
    axis = axis_of(axis, len(input))
    return (*input[:axis], None, *input[axis + 1 :])


def OneHot(indices: Shape, depth: np.ndarray, values: Shape, *, axis: int = -1) -> Shape:
    vector(values, 2, "values")
    count = int(single(depth, "depth"))
    if count < 1:
        refuse(f"depth is {count}, and has to be at least 1")
    axis = axis_of(axis, len(indices) + 1)
    return (*indices[:axis], count, *indices[axis:])
