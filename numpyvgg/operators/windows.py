"""What convolution and pooling share: pads, and what each tap of a window sees, along any number of axes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import layers
from ..errors import UnsupportedModelError

Ints = Sequence[int]


def resolve_pads(
    spatial: Ints, kernel_shape: Ints, strides: Ints, pads: Ints | None, dilations: Ints, auto_pad: str
) -> list[int]:
    """What `auto_pad` comes to: all beginnings, then all ends."""
    if auto_pad in ("NOTSET", ""):
        return list(pads or [0] * (2 * len(spatial)))
    if auto_pad == "VALID":
        return [0] * (2 * len(spatial))
    if auto_pad not in ("SAME_UPPER", "SAME_LOWER"):
        raise UnsupportedModelError(f"auto_pad {auto_pad!r} does not exist")
    small, large = [], []
    for size, kernel, stride, dilation in zip(spatial, kernel_shape, strides, dilations, strict=True):
        total = (math.ceil(size / stride) - 1) * stride + dilation * (kernel - 1) + 1 - size
        small.append(max(total, 0) // 2)
        large.append(max(total, 0) - max(total, 0) // 2)
    return small + large if auto_pad == "SAME_UPPER" else large + small


def windows(
    X: np.ndarray, kernel_shape: Ints, strides: Ints, pads: Ints, dilations: Ints, fill: Any, ceil_mode: int
) -> list[np.ndarray]:
    """`layers.windows` along any number of axes: what each tap of the window sees, [N, C, out...] each."""
    axes = range(len(kernel_shape))
    begins, ends = list(pads[: len(axes)]), pads[len(axes) :]
    out = [
        layers.output_size(
            X.shape[2 + i], kernel_shape[i], strides[i], begins[i], ends[i], dilations[i], bool(ceil_mode)
        )
        for i in axes
    ]
    spans = [(out[i] - 1) * strides[i] + 1 for i in axes]
    counts = list(kernel_shape)
    for i in axes:  # taps that see nothing but padding, wherever the window is, are left out: there may be very many
        first = max(begins[i] - spans[i] + 1, 0) // dilations[i]
        last = min((begins[i] + max(X.shape[2 + i], 1) - 1) // dilations[i], kernel_shape[i] - 1)
        begins[i] -= first * dilations[i]
        counts[i] = max(last - first + 1, 1)
    after = [max(spans[i] + dilations[i] * (counts[i] - 1) - X.shape[2 + i] - begins[i], 0) for i in axes]
    if any(begins) or any(after):
        X = _surrounded(X, begins, after, fill)
    taps = itertools.product(*(range(0, k * d, d) for k, d in zip(counts, dilations, strict=True)))
    every = slice(None)
    places = [(every, every, *(slice(tap[i], tap[i] + spans[i], strides[i]) for i in axes)) for tap in taps]
    return [X[place] for place in places]


def _surrounded(X: np.ndarray, begins: Ints, after: Ints, fill: Any) -> np.ndarray:
    """The image inside a border; in memory its axes keep their order, which `np.pad` would change."""
    sizes = [size + sum(around) for size, *around in zip(X.shape[2:], begins, after, strict=True)]
    Y = np.full_like(X, fill, subok=False, shape=(*X.shape[:2], *sizes))
    inside = (slice(begin, begin + size) for begin, size in zip(begins, X.shape[2:], strict=True))
    centre = (slice(None), slice(None), *inside)
    Y[centre] = X
    return Y


def total_of(arrays: Sequence[np.ndarray]) -> np.ndarray:
    total = arrays[0].copy("K")
    for array in arrays[1:]:
        total += array
    return total
