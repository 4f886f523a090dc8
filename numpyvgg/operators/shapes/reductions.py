"""Along axes."""

from __future__ import annotations

from typing import Any

from .sizes import Shape, axes_of, axis_of, refuse, show, single


def Reduce(
    data: Shape, axes: Any = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0, **attributes: Any
) -> Shape:
    chosen = [] if axes is None else axes_of(axes, len(data))
    if not chosen:
        if noop_with_empty_axes:
            return data
        chosen = list(range(len(data)))
    if keepdims:
        return tuple(1 if i in chosen else size for i, size in enumerate(data))
    return tuple(size for i, size in enumerate(data) if i not in chosen)


def ArgReduce(data: Shape, *, axis: int = 0, keepdims: int = 1, **attributes: Any) -> Shape:
    axis = axis_of(axis, len(data))
    if data[axis] == 0:
        refuse(f"axis {axis} of {show(data)} is empty: it has no largest and no smallest element")
    return Reduce(data, [axis], keepdims=keepdims)


def CumSum(x: Shape, axis: Any, **attributes: Any) -> Shape:
    axis_of(single(axis, "axis"), len(x))
    return x


def TopK(
    X: Shape, K: Any = None, *, k: int | None = None, axis: int = -1, output_count: int = 2, **a: Any
) -> list[Shape]:
    axis = axis_of(axis, len(X))
    count = k if k is not None else single(K, "K")
    size = X[axis]
    if count < 0 or (size is not None and count > size):
        refuse(f"K is {count}, and axis {axis} of {show(X)} has not so many")
    return [(*X[:axis], count, *X[axis + 1 :])] * 2
