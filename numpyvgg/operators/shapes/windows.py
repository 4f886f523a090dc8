"""How often a window fits."""

from __future__ import annotations

from collections.abc import Sequence

from ... import layers
from .sizes import Shape, Size, refuse, show


def window(
    X: Shape,
    kernel_shape: Sequence[Size],
    strides: Sequence[int] | None,
    pads: Sequence[int] | None,
    dilations: Sequence[int] | None,
    auto_pad: str,
    ceil_mode: int = 0,
) -> tuple[list[Size], list[Size]]:
    """How often a window fits along each axis, and the size of the padded image."""
    rank = len(X) - 2
    if rank < 1 or len(kernel_shape) != rank:
        refuse(f"a window of {len(kernel_shape)} axes does not go with an input of shape {show(X)}")
    strides, dilations, pads = strides or [1] * rank, dilations or [1] * rank, pads or [0] * (2 * rank)
    for name, values, count in (("strides", strides, rank), ("dilations", dilations, rank), ("pads", pads, 2 * rank)):
        if len(values) != count:
            refuse(f"{name} has {len(values)} numbers where {count} are needed")
    out: list[Size] = []
    padded: list[Size] = []
    for i, (size, kernel) in enumerate(zip(X[2:], kernel_shape, strict=True)):
        if size is None or kernel is None:
            out.append(None)
            padded.append(None)
        elif auto_pad.startswith("SAME"):
            out.append(-(-size // strides[i]))
            padded.append(size + dilations[i] * kernel)
        else:
            before, after = (0, 0) if auto_pad == "VALID" else (pads[i], pads[rank + i])
            out.append(layers.output_size(size, kernel, strides[i], before, after, dilations[i], bool(ceil_mode)))
            padded.append(size + before + after)
    return out, padded
