"""Pooling."""

from __future__ import annotations

from typing import Any

from .sizes import Needing, Shape, Size, refuse, show
from .windows import window


def Pool(X: Shape, *, output_count: int = 1, ceil_mode: int = 0, **attributes: Any) -> Needing:
    kernel_shape, pads = attributes["kernel_shape"], attributes.get("pads")
    dilations = attributes.get("dilations")
    auto_pad = attributes.get("auto_pad", "NOTSET")
    out, padded = window(X, kernel_shape, attributes.get("strides"), pads, dilations, auto_pad, ceil_mode)
    if auto_pad in ("NOTSET", "") and any(pad >= k for pad, k in zip(pads or (), [*kernel_shape] * 2, strict=False)):
        refuse(f"pads {pads} are not smaller than kernel_shape {kernel_shape}: a window would see padding alone")
    return Needing([(*X[:2], *out)] * output_count, (*X[:2], *_trimmed(X, out, padded, attributes)))


def _trimmed(X: Shape, out: list[Size], padded: list[Size], attributes: dict[str, Any]) -> list[Size]:
    """What `windows` keeps of a padded image: less where most of the window sees padding alone."""
    rank = len(X) - 2
    strides, dilations = (attributes.get(key) or [1] * rank for key in ("strides", "dilations"))
    return [
        None if size is None or n is None else min(around, size + 2 * (n - 1) * stride + 3 * dilation)
        for size, n, around, stride, dilation in zip(X[2:], out, padded, strides, dilations, strict=True)
    ]


def GlobalPool(X: Shape, **attributes: Any) -> Shape:
    if len(X) < 2:
        refuse(f"input {show(X)} has no channels")
    return (*X[:2], *[1] * (len(X) - 2))
