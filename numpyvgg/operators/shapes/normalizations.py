"""Normalisation, whose parameters are one number for each channel or element."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .sizes import Shape, agree, axes_of, axis_of, broadcast_to, product, refuse, show, vector


def BatchNormalization(
    X: Shape,
    scale: Shape,
    B: Shape,
    mean: Shape,
    var: Shape,
    *,
    spatial: int = 1,
    output_count: int = 1,
    **attributes: Any,
) -> list[Shape]:
    channels = X[1] if len(X) > 1 else 1
    for name, shape in (("scale", scale), ("B", B), ("mean", mean), ("var", var)):
        if spatial:
            vector(shape, channels, name)
        else:
            agree(product(shape), product(X[1:]), f"sizes of {name} and of an image")
    return [X, *[mean, var, mean, var][: output_count - 1]]


def InstanceNormalization(input: Shape, scale: Shape, B: Shape, **attributes: Any) -> Shape:
    if len(input) < 3:
        refuse(f"input {show(input)} has no pixels: an instance has three axes and more")
    vector(scale, input[1], "scale")
    vector(B, input[1], "B")
    return input


def LayerNormalization(
    X: Shape, Scale: Shape, B: Shape | None = None, *, axis: int = -1, output_count: int = 1, **attributes: Any
) -> list[Shape]:
    axis = axis_of(axis, len(X))
    for name, shape in (("Scale", Scale), ("B", B)):
        if shape is not None:
            broadcast_to(shape, X, name)
    statistics = (*X[:axis], *[1] * (len(X) - axis))
    return [X, statistics, statistics][:output_count]


def RMSNormalization(X: Shape, scale: Shape, *, axis: int = -1, **attributes: Any) -> Shape:
    axis_of(axis, len(X))
    broadcast_to(scale, X, "scale")
    return X


def GroupNormalization(X: Shape, scale: Shape, bias: Shape, *, num_groups: int, **attributes: Any) -> Shape:
    if len(X) < 2:
        refuse(f"input {show(X)} has no channels")
    if X[1] is not None and X[1] % num_groups:
        refuse(f"{X[1]} channels do not make {num_groups} groups")
    each = X[1] if "stash_type" in attributes or scale != (num_groups,) else num_groups  # below operator set 21
    vector(scale, each, "scale")
    vector(bias, each, "bias")
    return X


def MeanVarianceNormalization(X: Shape, *, axes: Sequence[int] | None = None) -> Shape:
    axes_of(axes or (0, 2, 3), len(X))
    return X


def LRN(X: Shape, *, size: int, **attributes: Any) -> Shape:
    if len(X) < 3:
        refuse(f"input {show(X)} has no channels and pixels")
    return X


def Dropout(data: Shape, ratio: Any = (), training_mode: Shape = (), *, output_count: int = 1, **a: Any) -> list[Shape]:
    for name, shape in (("ratio", ratio), ("training_mode", training_mode)):
        if isinstance(shape, tuple) and product(shape) not in (None, 1):
            refuse(f"{name} has shape {show(shape)}, and has to be one number")
    return [data] * output_count
