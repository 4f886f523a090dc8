"""Convolution, and what spreads instead of gathering."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..convolution import transposed_sizes
from .sizes import Needing, Shape, agree, refuse, show, vector
from .windows import window

#: Strides beyond this overflow NumPy's, which count bytes, and step over any image
_LARGEST_STRIDE = 2**31 - 1


def Conv(
    X: Shape,
    W: Shape,
    B: Shape | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Sequence[int] | None = None,
    group: int = 1,
    kernel_shape: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> Needing:
    if len(W) != len(X):
        refuse(f"weight {show(W)} does not fit input {show(X)}")
    if 0 in W[2:]:
        refuse(f"weight {show(W)} has kernels without a pixel")
    if max(strides or (1,)) > _LARGEST_STRIDE:
        refuse(f"strides {list(strides or ())} go beyond {_LARGEST_STRIDE}")
    for wanted, size in zip(kernel_shape or (), W[2:], strict=False):
        agree(wanted, size, f"kernel_shape {kernel_shape} and weight {show(W)}")
    filters, channels = W[:2]
    if filters is not None and filters % group:
        refuse(f"{filters} filters do not make {group} groups")
    agree(X[1], None if channels is None else channels * group, f"channels of input {show(X)} and weight {show(W)}")
    if B is not None:
        vector(B, filters, "B")
    out, padded = window(X, kernel_shape or W[2:], strides, pads, dilations, auto_pad)
    return Needing([(X[0], filters, *out)], (X[0], X[1], *padded))


def ConvTranspose(
    X: Shape,
    W: Shape,
    B: Shape | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Sequence[int] | None = None,
    group: int = 1,
    kernel_shape: Sequence[int] | None = None,
    output_padding: Sequence[int] | None = None,
    output_shape: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> Shape | Needing:
    rank = len(X) - 2
    if rank < 1 or len(W) != len(X):
        refuse(f"weight {show(W)} does not fit input {show(X)}")
    _check_lists(rank, W, strides, dilations, kernel_shape, pads, output_padding, output_shape)
    agree(X[1], W[0], f"channels of input {show(X)} and weight {show(W)}")
    if W[0] is not None and W[0] % group:
        refuse(f"{W[0]} channels do not make {group} groups")
    filters = None if W[1] is None else W[1] * group
    if B is not None:
        vector(B, filters, "B")
    if None in (*X[2:], *W[2:]):
        return (X[0], filters, *[None] * rank)
    strides, dilations = strides or [1] * rank, dilations or [1] * rank
    image: Any = X[2:]
    kernel: Any = W[2:]
    sizes, _ = transposed_sizes(image, kernel, strides, pads, dilations, auto_pad, output_padding, output_shape)
    if min(sizes) < 1:
        refuse(f"nothing is left: the image would be {sizes}")
    return Needing([(X[0], filters, *sizes)], (X[0], filters, *W[2:], *X[2:]))


def _check_lists(
    rank: int,
    W: Shape,
    strides: Sequence[int] | None,
    dilations: Sequence[int] | None,
    kernel_shape: Sequence[int] | None,
    pads: Sequence[int] | None,
    output_padding: Sequence[int] | None,
    output_shape: Sequence[int] | None,
) -> None:
    """Refuse attributes that do not go with the axes, or with each other."""
    lists = {"strides": strides, "dilations": dilations, "output_padding": output_padding, "kernel_shape": kernel_shape}
    for name, values, count in (*((name, values, rank) for name, values in lists.items()), ("pads", pads, 2 * rank)):
        if values and len(values) != count:
            refuse(f"{name} has {len(values)} numbers where {count} are needed")
    if output_shape and len(output_shape) not in (rank, rank + 2):
        refuse(f"output_shape {output_shape} has not the {rank} axes of the image")
    for wanted, size in zip(kernel_shape or (), W[2:], strict=False):
        agree(wanted, size, f"kernel_shape {kernel_shape} and weight {show(W)}")
    limits = map(max, strides or [1] * rank, dilations or [1] * rank)
    if any(more >= limit for more, limit in zip(output_padding or (), limits, strict=False)):
        refuse(f"output_padding {output_padding} is smaller neither than strides {strides} nor dilations {dilations}")
