"""Element by element."""

from __future__ import annotations

from typing import Any

from .sizes import Shape, axis_of, broadcast, product, refuse, show


def Unary(X: Shape, **attributes: Any) -> Shape:
    return X


def First(input: Shape, target_type: Shape, **attributes: Any) -> Shape:
    return input


def Broadcast(*inputs: Shape, axis: int | None = None, **attributes: Any) -> Shape:
    if axis is not None:  # below operator set 7: B's sizes are those of A from an axis on
        A, B = inputs
        axis = axis_of(axis, len(A)) if A else 0
        if axis + len(B) > len(A):
            refuse(f"shapes {show(A)}, {show(B)} do not broadcast from axis {axis} on")
        inputs = A, (*B, *[1] * (len(A) - axis - len(B)))
    return broadcast(*inputs)


def Clip(input: Shape, min: Any = (), max: Any = (), **attributes: Any) -> Shape:
    for name, bound in (("min", min), ("max", max)):
        if isinstance(bound, tuple) and product(bound) not in (None, 1):
            refuse(f"{name} has shape {show(bound)}, and has to be one number")
    return input
