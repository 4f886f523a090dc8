"""Convolutions along one axis and along three, by those of images.

A signal is cut into the rows of an image, as many as are long, so that there are strips for every thread; each row
begins where the last one's windows end, and sees as far as its own reach. Of a volume, each tap along the first axis
convolves slices, which are images, and the taps add up: `operators.convolution` has it so too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from .. import operators
from ..kernels.finishing import Activation
from ..layers import output_size
from .steps import Convolution


def along_one_axis(
    operations: Any,
    weight: np.ndarray,
    bias: np.ndarray | None,
    attributes: dict[str, Any],
    activation: Activation | None,
    prepared: dict[Any, Any],
) -> Callable[[np.ndarray], np.ndarray]:
    """What runs a convolution of signals, weight ``[M, C / group, kL]``: ``[N, C, L] -> [N, M, outL]``."""
    filters, _, taps = weight.shape
    (stride,), (dilation,) = (attributes.get(name) or [1] for name in ("strides", "dilations"))
    pads, auto_pad = attributes.get("pads"), attributes.get("auto_pad", "NOTSET")
    of_image = {"strides": [1, stride], "dilations": [1, dilation], "group": attributes.get("group", 1)}
    image = Convolution(operations, weight[:, :, None], bias, of_image, activation, None, prepared)

    def run(x: np.ndarray) -> np.ndarray:
        n, channels, length = x.shape
        before, after = operators.resolve_pads([length], [taps], [stride], pads, [dilation], auto_pad)
        out = output_size(length, taps, stride, before, after, dilation)
        reach = (taps - 1) * dilation
        width = min(out, max(math.isqrt(out), reach))
        rows, seen, step = -(-out // width), (width - 1) * stride + reach + 1, width * stride
        source = np.zeros((n, (rows - 1) * step + seen, channels), x.dtype)
        inside = source[:, before : before + length]
        inside[:] = x[:, :, : inside.shape[1]].swapaxes(1, 2)
        lines = sliding_window_view(source, seen, axis=1)[:, ::step]  # [N, rows, C, seen]
        y = image(lines.swapaxes(1, 2)).transpose(0, 2, 3, 1)  # [N, rows, width, M]
        return np.asarray(y).reshape(n, rows * width, filters)[:, :out].swapaxes(1, 2)

    return run


def along_three_axes(
    operations: Any,
    weight: np.ndarray,
    bias: np.ndarray | None,
    attributes: dict[str, Any],
    activation: Activation | None,
    prepared: dict[Any, Any],
) -> Callable[[np.ndarray], np.ndarray]:
    """What runs a convolution of volumes, weight ``[M, C / group, kD, kH, kW]``.

    ``[N, C, D, H, W] -> [N, M, outD, outH, outW]``
    """
    taps = weight.shape[2]
    of_depth, of_image = _of_axes(attributes, 0, 1), _of_axes(attributes, 1, 3)
    (stride,), (dilation,) = (of_depth.get(name) or [1] for name in ("strides", "dilations"))
    auto_pad = attributes.get("auto_pad", "NOTSET")
    images = [
        Convolution(
            operations,
            weight[:, :, tap],
            bias if tap == 0 else None,
            of_image,
            activation if tap == taps - 1 else None,
            None,
            prepared.setdefault(tap, {}),
        )
        for tap in range(taps)
    ]

    def run(x: np.ndarray) -> np.ndarray:
        n, channels, depth, height, width = x.shape
        before, after = operators.resolve_pads([depth], [taps], [stride], of_depth.get("pads"), [dilation], auto_pad)
        out = output_size(depth, taps, stride, before, after, dilation)
        if before or after:
            x = np.pad(x, ((0, 0), (0, 0), (before, after), (0, 0), (0, 0)))
        y = None
        for tap, image in enumerate(images):
            begin = tap * dilation
            slices = x[:, :, begin : begin + (out - 1) * stride + 1 : stride].swapaxes(1, 2)  # [N, outD, C, H, W]
            y = image(slices.reshape(n * out, channels, height, width), y)
        y = np.asarray(y)  # [N * outD, M, outH, outW]
        return y.reshape(n, out, *y.shape[1:]).swapaxes(1, 2)

    return run


def _of_axes(attributes: dict[str, Any], first: int, end: int) -> dict[str, Any]:
    """Of a window along three axes, its attributes along some of them."""
    some = dict(attributes)
    for name in ("kernel_shape", "strides", "dilations"):
        if attributes.get(name):
            some[name] = attributes[name][first:end]
    if attributes.get("pads"):
        begins, ends = attributes["pads"][:3], attributes["pads"][3:]
        some["pads"] = [*begins[first:end], *ends[first:end]]
    return some
