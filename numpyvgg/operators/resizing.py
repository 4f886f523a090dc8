"""Images resized and resampled: Resize and its forebear Upsample, and GridSample.

Resizing goes one axis after the other. Along an axis each element of the result is a weighted sum of a few neighbours
of the place that it comes from: the nearest one, two (linear) or four (cubic, Keys 1981), more where antialiasing
widens the filter. Neighbours beyond the border are the border's. Coordinates are computed in float32, as ONNX Runtime
does: where a place lies halfway between two pixels, that decides which one is nearest.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..errors import ArgumentError
from .windows import Ints

_f = np.float32


class Target(NamedTuple):
    """What becomes of one axis."""

    size: int
    scale: float
    roi: tuple[float, float] = (0.0, 1.0)


def targets(
    shape: Ints,
    scales: np.ndarray | None,
    sizes: np.ndarray | None,
    roi: np.ndarray | None = None,
    axes: Ints | None = None,
    policy: str = "stretch",
    crop: bool = False,
) -> list[Target]:
    """Size and scale of each axis of the result."""
    chosen = list(range(len(shape))) if axes is None else [axis % len(shape) for axis in axes]
    regions = [(0.0, 1.0)] * len(shape)
    if crop and roi is not None and roi.size:
        if roi.shape != (2 * len(chosen),):
            raise ArgumentError(f"roi has shape {list(roi.shape)}, and has to list two for each of {len(chosen)} axes")
        for i, axis in enumerate(chosen):
            regions[axis] = float(roi[i]), float(roi[len(chosen) + i])
    result = [Target(size, 1.0, region) for size, region in zip(shape, regions, strict=True)]
    numbers = scales if sizes is None else sizes
    if numbers is None or len(numbers) != len(chosen):
        raise ArgumentError(f"there has to be one scale or one size for each of {len(chosen)} axes")
    if not all(number > 0 and math.isfinite(number) for number in numbers.tolist()):
        raise ArgumentError(f"{'scales' if sizes is None else 'sizes'} {numbers.tolist()} are not all positive")
    if sizes is not None:
        wanted = [
            Target(int(s), float(_f(s) / _f(max(shape[a], 1))), regions[a]) for s, a in zip(sizes, chosen, strict=True)
        ]
        if policy != "stretch":
            scale = (min if policy == "not_larger" else max)(target.scale for target in wanted)
            wanted = [Target(int(scale * shape[a] + 0.5), scale, regions[a]) for a in chosen]
    else:
        wanted = [_scaled(shape[a], float(s), regions[a]) for s, a in zip(numbers, chosen, strict=True)]
    for axis, target in zip(chosen, wanted, strict=True):
        result[axis] = target
    return result


def _scaled(size: int, scale: float, roi: tuple[float, float]) -> Target:
    length = _f(size) * (_f(roi[1]) - _f(roi[0])) if roi != (0.0, 1.0) else _f(size)
    return Target(math.floor(length * _f(scale)), scale, roi)


# ---------------------------------------------------------------------- where an element comes from


def _origins(size: int, target: Target, mode: str) -> np.ndarray:
    """The place in the input of each element of the result, float32 [target.size]."""
    x, scale = np.arange(target.size, dtype=_f), _f(target.scale)
    if mode == "asymmetric":
        return x / scale
    if mode == "pytorch_half_pixel" and target.size == 1:
        return np.zeros(1, _f)
    if mode in ("half_pixel", "pytorch_half_pixel"):
        return (x + _f(0.5)) / scale - _f(0.5)
    if mode == "half_pixel_symmetric":
        adjustment = _f(target.size) / (scale * _f(size))
        offset = _f(size) / _f(2) * (_f(1) - adjustment)
        return offset + (x + _f(0.5)) / scale - _f(0.5)
    if mode == "align_corners":
        return x * _f(size - 1) / _f(max(target.size - 1, 1))
    begin, end = map(_f, target.roi)  # tf_crop_and_resize
    if target.size == 1:
        return np.array([_f(0.5) * (begin + end) * _f(size - 1)], _f)
    return begin * _f(size - 1) + x * (end - begin) * _f(size - 1) / _f(target.size - 1)


def _nearest(x: np.ndarray, mode: str) -> np.ndarray:
    if mode in ("floor", "ceil"):
        return np.floor(x) if mode == "floor" else np.ceil(x)
    return np.ceil(x - _f(0.5)) if mode == "round_prefer_floor" else np.floor(x + _f(0.5))


def _linear(distance: np.ndarray) -> np.ndarray:
    return np.maximum(1 - np.abs(distance), 0)


def _cubic(distance: np.ndarray, a: float) -> np.ndarray:
    """Keys, "Cubic convolution interpolation for digital image processing", 1981, equation 4, for any a."""
    d = np.abs(distance)
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0))


def _taps(
    x: np.ndarray,
    size: int,
    scale: float,
    kernel: Callable[[np.ndarray], np.ndarray],
    reach: int,
    antialias: int,
    outside: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Which elements go into each element of the result, and with which weight: [taps, out] each."""
    shrink = min(scale, 1.0) if antialias else 1.0
    width = math.ceil(reach / shrink)
    positions = np.floor(x).astype(np.int64) + np.arange(1 - width, width + 1)[:, None]
    weights = kernel((positions - x) * shrink)
    if outside:
        weights = weights * ((positions >= 0) & (positions < size))
    if antialias or outside:
        weights = weights / weights.sum(0)
    return np.clip(positions, 0, size - 1), weights


def Resize_10(X: np.ndarray, scales: np.ndarray, *, mode: str = "nearest") -> np.ndarray:
    return Resize_11(X, None, scales, mode=mode, coordinate_transformation_mode="asymmetric", nearest_mode="floor")


def Resize_11(
    X: np.ndarray,
    roi: np.ndarray | None = None,
    scales: np.ndarray | None = None,
    sizes: np.ndarray | None = None,
    *,
    antialias: int = 0,
    axes: Ints | None = None,
    coordinate_transformation_mode: str = "half_pixel",
    cubic_coeff_a: float = -0.75,
    exclude_outside: int = 0,
    extrapolation_value: float = 0.0,
    keep_aspect_ratio_policy: str = "stretch",
    mode: str = "nearest",
    nearest_mode: str = "round_prefer_floor",
) -> np.ndarray:
    crop = coordinate_transformation_mode == "tf_crop_and_resize"
    scales, sizes = (None if array is None or not array.size else array for array in (scales, sizes))
    Y = X if mode == "nearest" or X.dtype == np.float64 else _real(X).astype(np.float32)
    beyond: list[Any] = []
    for axis, target in enumerate(targets(X.shape, scales, sizes, roi, axes, keep_aspect_ratio_policy, crop)):
        if target == Target(X.shape[axis], 1.0) or 0 in Y.shape:
            continue
        x = _origins(X.shape[axis], target, coordinate_transformation_mode)
        if crop:
            beyond.append(((x < 0) | (x > X.shape[axis] - 1)).reshape(-1, *[1] * (X.ndim - 1 - axis)))
        if mode == "nearest":
            places = np.clip(_nearest(x, nearest_mode).astype(np.int64), 0, X.shape[axis] - 1)
            Y = np.take(Y, places, axis)
            continue
        kernel = _linear if mode == "linear" else lambda distance: _cubic(distance, cubic_coeff_a)
        reach = 1 if mode == "linear" else 2
        Y = _weighted(Y, axis, *_taps(x, X.shape[axis], target.scale, kernel, reach, antialias, exclude_outside))
    for mask in beyond:
        Y = np.where(mask, np.asarray(extrapolation_value, Y.dtype), Y)
    return _rounded(Y, X.dtype)


def _real(X: np.ndarray) -> np.ndarray:
    """X, of which weighted sums can be made: real numbers, and no texts."""
    if X.dtype.kind not in "fiub":
        raise ArgumentError(f"pixels of type {X.dtype} have no weighted sum")
    return X


def _weighted(X: np.ndarray, axis: int, places: np.ndarray, weights: np.ndarray) -> np.ndarray:
    shape = (-1, *[1] * (X.ndim - 1 - axis))
    weights = weights.astype(X.dtype)
    total = np.take(X, places[0], axis) * weights[0].reshape(shape)
    for place, weight in zip(places[1:], weights[1:], strict=True):
        if weight.any():
            total += np.take(X, place, axis) * weight.reshape(shape)
    return total


def _rounded(Y: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Weighted sums as the type that went in; integers are cut off within their range."""
    if dtype.kind in "iu" and Y.dtype != dtype:
        Y = np.clip(Y, np.iinfo(dtype).min, np.iinfo(dtype).max)
    return Y.astype(dtype, copy=False)


def Upsample_7(X: np.ndarray, *, scales: Any, mode: str = "nearest") -> np.ndarray:
    return Resize_10(X, np.array(scales, np.float32), mode=mode)


def Upsample_9(X: np.ndarray, scales: np.ndarray, *, mode: str = "nearest") -> np.ndarray:
    return Resize_10(X, scales, mode=mode)


# ---------------------------------------------------------------------- GridSample


def GridSample_16(
    X: np.ndarray,
    grid: np.ndarray,
    *,
    align_corners: int = 0,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
) -> np.ndarray:
    mode = {"bilinear": "linear", "bicubic": "cubic"}.get(mode, mode)
    spatial = _real(X).shape[2:]
    places = []
    for size, coordinate in zip(spatial, np.moveaxis(grid, -1, 0)[::-1], strict=True):  # a grid has x first
        x = (coordinate + 1) / 2 * (size - 1) if align_corners else ((coordinate + 1) * size - 1) / 2
        if mode != "cubic":  # whose taps are brought in one by one
            x = _brought_in(np.rint(x) if mode == "nearest" else x, size, padding_mode, align_corners)
        places.append(np.where(np.isfinite(x), x, -2))
    taps = [_grid_taps(x, mode) for x in places]
    Y: Any = 0
    for corner in itertools.product(*taps):
        weight = math.prod((w for _, w in corner), start=np.ones(grid.shape[:-1], X.dtype))
        Y = Y + _pixels(X, [x for x, _ in corner], padding_mode, align_corners) * weight[:, None]
    return np.asarray(Y).astype(X.dtype, copy=False)


def _grid_taps(x: np.ndarray, mode: str) -> list[tuple[np.ndarray, Any]]:
    """Neighbours along one axis, with their weights."""
    if mode == "nearest":
        return [(x, 1)]
    low = np.floor(x)
    if mode == "linear":
        return [(low, low + 1 - x), (low + 1, x - low)]
    return [(low + i, _cubic(low + i - x, -0.75)) for i in (-1, 0, 1, 2)]


def _brought_in(x: np.ndarray, size: int, padding_mode: str, align_corners: int) -> np.ndarray:
    """A place outside the image as one inside of it, where padding is no zeros."""
    if padding_mode == "border":
        return np.clip(x, 0, size - 1)
    if padding_mode == "reflection":
        low, high = (0.0, size - 1.0) if align_corners else (-0.5, size - 0.5)
        span = high - low
        if span <= 0:
            return np.zeros_like(x)
        away = np.mod(x - low, 2 * span)
        return np.clip(low + np.minimum(away, 2 * span - away), 0, size - 1)
    return x


def _pixels(X: np.ndarray, places: Sequence[np.ndarray], padding_mode: str, align_corners: int) -> np.ndarray:
    """The pixels at whole places, [N, C, out...]; 0 where there is none."""
    inside: Any = True
    indices = []
    for size, x in zip(X.shape[2:], places, strict=True):
        x = _brought_in(x, size, padding_mode, align_corners)
        inside = inside & (x >= 0) & (x <= size - 1)
        indices.append(np.clip(x, 0, size - 1).astype(np.int64))
    batch = np.arange(len(X)).reshape(-1, *[1] * (indices[0].ndim - 1))
    place = (batch, slice(None), *indices)
    found = np.moveaxis(X[place], -1, 1)
    return np.where(inside[:, None], found, X.dtype.type(0))
