"""Convolution, along any number of axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import layers
from ..errors import ArgumentError
from .windows import Ints, in_single, resolve_pads


def Conv_1(
    X: np.ndarray,
    W: np.ndarray,
    B: np.ndarray | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Ints | None = None,
    group: int = 1,
    kernel_shape: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> np.ndarray:
    rank = W.ndim - 2
    if X.ndim != W.ndim or (kernel_shape and list(kernel_shape) != list(W.shape[2:])):
        raise ArgumentError(f"weight {list(W.shape)} does not fit input {list(X.shape)}, kernel_shape {kernel_shape}")
    strides, dilations = strides or [1] * rank, dilations or [1] * rank
    pads = resolve_pads(X.shape[2:], W.shape[2:], strides, pads, dilations, auto_pad)
    return in_single(_conv, X, W, B, strides=strides, pads=pads, dilations=dilations, group=group)


def _conv(
    X: np.ndarray, W: np.ndarray, B: np.ndarray | None, *, strides: Ints, pads: Ints, dilations: Ints, group: int
) -> np.ndarray:
    """Convolution along any number of axes, by way of the one along two."""
    rank = W.ndim - 2
    if rank == 2:
        return layers.conv2d(X, W, B, strides=strides, pads=pads, dilations=dilations, group=group)
    if rank == 1:  # a signal is an image of one row
        X, W = X[:, :, None], W[:, :, None]
        strides, pads, dilations = (1, *strides), (0, pads[0], 0, pads[1]), (1, *dilations)
        return layers.conv2d(X, W, B, strides=strides, pads=pads, dilations=dilations, group=group)[:, :, 0]
    # A volume: each tap along its first axis is a convolution of slices along the others, and the taps add up.
    inner: dict[str, Any] = {"strides": strides[1:], "dilations": dilations[1:], "group": group}
    inner["pads"] = [*pads[1:rank], *pads[rank + 1 :]]
    out = layers.output_size(X.shape[2], W.shape[2], strides[0], pads[0], pads[rank], dilations[0])
    X = np.pad(X, [(0, 0), (0, 0), (pads[0], pads[rank]), *[(0, 0)] * (rank - 1)])
    total: Any = 0
    for tap in range(W.shape[2]):
        begin = tap * dilations[0]
        slices = X[:, :, begin : begin + (out - 1) * strides[0] + 1 : strides[0]].swapaxes(1, 2)  # [N, out, C, ...]
        y = _conv(slices.reshape(-1, *slices.shape[2:]), W[:, :, tap], None, **inner)
        total = total + y.reshape(*slices.shape[:2], *y.shape[1:]).swapaxes(1, 2)
    return total if B is None else total + B.reshape(-1, *[1] * rank)
