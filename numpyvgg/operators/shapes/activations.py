"""Activations that look along an axis or have a parameter for each channel."""

from __future__ import annotations

from typing import Any

from .sizes import Shape, agree, axis_of, broadcast_to


def PRelu(X: Shape, slope: Shape) -> Shape:
    if len(slope) == 1 and len(X) > 2 and slope != X[-1:] and slope[0] != 1:  # below operator set 7: one a channel
        agree(slope[0], X[1], "numbers of slopes and of channels")
        return X
    broadcast_to(slope, X, "slope")
    return X


def Along(input: Shape, *, axis: int = -1, **attributes: Any) -> Shape:
    axis_of(axis, len(input))
    return input
