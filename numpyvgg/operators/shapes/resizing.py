"""Resizing and sampling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..resizing import targets
from .sizes import Shape, agree, axes_of, refuse, show


def Resize(
    X: Shape,
    roi: Any = None,
    scales: Any = None,
    sizes: Any = None,
    *,
    axes: Sequence[int] | None = None,
    **attributes: Any,
) -> Shape | None:
    if None in X:
        return None
    for name, values in (("scales", scales), ("sizes", sizes)):
        if values is not None and np.ndim(values) != 1:
            refuse(f"{name} is no list of numbers, one for each axis")
    scales, sizes = (None if values is None or not len(values) else np.asarray(values) for values in (scales, sizes))
    if (scales is None) == (sizes is None):
        refuse("there have to be scales or sizes, and not both")
    if axes is not None:
        axes = axes_of(axes, len(X))
    policy = attributes.get("keep_aspect_ratio_policy", "stretch")
    crop = attributes.get("coordinate_transformation_mode") == "tf_crop_and_resize"
    if attributes.get("antialias") and attributes.get("mode", "nearest") == "nearest":
        refuse("antialias goes with linear and cubic, not with nearest")
    found = tuple(target.size for target in targets(X, scales, sizes, roi, axes, policy, crop))  # type: ignore[arg-type]
    if 0 in X and 0 not in found:
        refuse(f"{show(X)} has no elements to make {list(found)} of")
    return found


def Upsample(X: Shape, scales: Any, **attributes: Any) -> Shape | None:
    return Resize(X, None, scales)


def GridSample(X: Shape, grid: Shape, **attributes: Any) -> Shape:
    rank = len(X) - 2
    if rank < 1 or len(grid) != len(X):
        refuse(f"grid {show(grid)} does not go with input {show(X)}")
    agree(grid[-1], rank, "coordinates of the grid and axes of the image")
    if 0 in X[2:]:
        refuse(f"input {show(X)} has no pixels")
    return (agree(X[0], grid[0], "sizes of the batch"), X[1], *grid[1:-1])
