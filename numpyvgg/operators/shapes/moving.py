"""Reshaping, cutting, repeating, padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..moving import range_length, sliced
from .sizes import (
    Shape,
    Size,
    agree,
    axes_of,
    axis_of,
    broadcast,
    image,
    integers,
    product,
    refuse,
    show,
    single,
    vector,
)


def Flatten(input: Shape, *, axis: int = 1) -> Shape:
    if not -len(input) <= axis <= len(input):
        refuse(f"axis {axis} is outside of the {len(input)} axes that there are")
    axis += len(input) if axis < 0 else 0
    return product(input[:axis]), product(input[axis:])


def Reshape(data: Shape, shape: Any, *, allowzero: int = 0) -> Shape:
    wanted: list[Size] = list(integers(shape, "shape"))
    if any(size is not None and size < -1 for size in wanted) or wanted.count(-1) > 1:
        refuse(f"shape {wanted}: no size is negative, but for one -1 that stands for what is left")
    if allowzero and 0 in wanted and -1 in wanted:
        refuse(f"shape {wanted}: -1 is undefined beside a 0")
    for i, size in enumerate(wanted):
        if size == 0 and not allowzero:
            if i >= len(data):
                refuse(f"shape {wanted}: 0 copies a size, and {show(data)} has none at place {i}")
            wanted[i] = data[i]
    return _with_rest(data, wanted)


def _with_rest(data: Shape, wanted: list[Size]) -> Shape:
    """The shape with its -1 filled in."""
    count, known = product(data), product([size for size in wanted if size != -1])
    if count is None or known is None:
        return tuple(None if size == -1 else size for size in wanted)
    if -1 in wanted:
        if known == 0 or count % known:
            refuse(f"{count} elements of {show(data)} do not make {wanted}")
        wanted[wanted.index(-1)] = count // known
    elif known != count:
        refuse(f"{count} elements of {show(data)} do not make {show(tuple(wanted))}")
    return tuple(wanted)


def Transpose(data: Shape, *, perm: Sequence[int] | None = None) -> Shape:
    perm = range(len(data))[::-1] if perm is None else perm
    if sorted(perm) != list(range(len(data))):
        refuse(f"perm {list(perm)} is no order of the axes of {show(data)}")
    return tuple(data[i] for i in perm)


def Squeeze(data: Shape, axes: Any = None) -> Shape | None:
    if axes is None:
        return None if None in data else tuple(size for size in data if size != 1)
    chosen = axes_of(axes, len(data))
    for axis in chosen:
        agree(data[axis], 1, f"axis {axis} of {show(data)}, which shall go, and 1")
    return tuple(size for i, size in enumerate(data) if i not in chosen)


def Unsqueeze(data: Shape, axes: Any) -> Shape:
    axes = integers(np.atleast_1d(axes), "axes")  # ONNX Runtime takes one number for a list of one here, and here alone
    chosen = axes_of(axes, len(data) + len(axes))
    rest = iter(data)
    return tuple(1 if i in chosen else next(rest) for i in range(len(data) + len(chosen)))


def Concat(*inputs: Shape, axis: int = 1) -> Shape:
    first = inputs[0]
    axis = axis_of(axis, len(first))
    result: list[Size] = list(first)
    for shape in inputs[1:]:
        if len(shape) != len(first):
            refuse(f"{show(first)} and {show(shape)} have not the same number of axes")
        result = [
            size if i == axis else agree(size, other, f"sizes of {show(first)} and {show(shape)} along axis {i}")
            for i, (size, other) in enumerate(zip(result, shape, strict=True))
        ]
    along = [shape[axis] for shape in inputs]
    result[axis] = None if None in along else sum(along)  # type: ignore[arg-type]
    return tuple(result)


def Split(
    input: Shape, split: Any = None, *, axis: int = 0, num_outputs: int | None = None, output_count: int
) -> list[Shape]:
    axis = axis_of(axis, len(input))
    size = input[axis]
    if num_outputs is not None and (num_outputs != output_count or split is not None):
        refuse(f"num_outputs {num_outputs} does not go with {output_count} outputs or with a list of parts")
    parts: list[Size] = [None] * output_count
    if split is not None:
        parts = list(integers(split, "split"))
        if len(parts) != output_count or min(parts, default=0) < 0:  # type: ignore[type-var, operator]
            refuse(f"parts {parts} do not go with {output_count} outputs")
        agree(size, sum(parts), f"axis {axis} of {show(input)} and the sum of its parts {parts}")  # type: ignore[arg-type]
    elif size is not None:
        part = -(-size // output_count)
        parts = [max(min(part, size - i * part), 0) for i in range(output_count)]
        if num_outputs is None and size % output_count:
            refuse(f"axis {axis} of {show(input)} does not make {output_count} equal parts")
    return [(*input[:axis], part, *input[axis + 1 :]) for part in parts]


def Slice(data: Shape, starts: Any, ends: Any, axes: Any = None, steps: Any = None) -> Shape:
    starts, ends = integers(starts, "starts"), integers(ends, "ends")
    chosen = axes_of(range(len(starts)) if axes is None else axes, len(data))
    steps = [1] * len(starts) if steps is None else integers(steps, "steps")
    if not len(starts) == len(ends) == len(chosen) == len(steps):
        refuse(f"there are {len(starts)} starts, {len(ends)} ends, {len(chosen)} axes and {len(steps)} steps")
    if 0 in steps:
        refuse("a step is 0")
    result = list(data)
    for axis, *bounds in zip(chosen, starts, ends, steps, strict=True):
        size = data[axis]
        result[axis] = None if size is None else len(sliced(size, *bounds))
    return tuple(result)


def Expand(input: Shape, shape: Any) -> Shape:
    wanted = integers(shape, "shape")
    if any(size < 0 for size in wanted):
        refuse(f"shape {wanted} has a negative size")
    return broadcast(input, tuple(wanted))


def Tile(input: Shape, repeats: Any, tiles: Any = None, **attributes: Any) -> Shape:
    times = integers(repeats, "repeats")
    if len(times) != len(input) or any(count < 0 for count in times):
        refuse(f"repeats {times}: one number, not negative, is needed for each axis of {show(input)}")
    return tuple(None if size is None else size * count for size, count in zip(input, times, strict=True))


def One(data: Shape) -> Shape:
    return ()


def ShapeOf(data: Shape, *, start: int = 0, end: int | None = None) -> Shape:
    return (len(range(len(data))[start:end]),)


def ConstantOfShape(input: Any, *, value: np.ndarray | None = None) -> Shape:
    if value is not None and value.size != 1:
        refuse(f"value has shape {list(value.shape)}, and has to be one number")
    return Expand((), input)


def Pad(data: Shape, pads: Any = None, constant_value: Any = (), axes: Any = None, **attributes: Any) -> Shape:
    pads = integers(attributes["paddings"] if pads is None else pads, "pads")
    chosen = list(range(len(data))) if axes is None else axes_of(axes, len(data))
    if len(pads) != 2 * len(chosen):
        refuse(f"pads has {len(pads)} numbers where {2 * len(chosen)} are needed")
    if isinstance(constant_value, tuple) and product(constant_value) not in (None, 1):
        refuse(f"constant_value has shape {show(constant_value)}, and has to be one number")
    result = list(data)
    for i, axis in enumerate(chosen):
        size, around = data[axis], (pads[i], pads[len(chosen) + i])
        if size is not None:
            _check_pad(size, around, attributes.get("mode", "constant"))
            result[axis] = size + sum(around)
    return tuple(result)


def _check_pad(size: int, around: tuple[int, int], mode: str) -> None:
    kept = size + sum(min(pad, 0) for pad in around)
    if size + sum(around) < 0 or (kept < 0 and mode != "constant"):
        refuse(f"pads {around} crop more than the {size} that there are")
    if mode == "reflect" and max(around) >= max(kept, 1):
        refuse(f"pads {around} reflect more than the {kept} elements beside the border")
    if mode != "constant" and kept == 0 and max(around) > 0:
        refuse(f"pads {around} in mode {mode!r} have nothing to repeat")


def Range(start: np.ndarray, limit: np.ndarray, delta: np.ndarray, **attributes: Any) -> Shape:
    for name, value in (("start", start), ("limit", limit), ("delta", delta)):
        single(value, name)
    return (range_length(start, limit, delta),)


def _divided(size: Size, by: int, what: str) -> Size:
    if size is not None and size % by:
        refuse(f"{what}: {size} does not divide by {by}")
    return None if size is None else size // by


def DepthToSpace(input: Shape, *, blocksize: int, mode: str = "DCR") -> Shape:
    n, channels, height, width = image(input, "input")
    grown = tuple(None if size is None else size * blocksize for size in (height, width))
    return (n, _divided(channels, blocksize**2, "channels"), *grown)


def SpaceToDepth(input: Shape, *, blocksize: int, mode: str = "DCR") -> Shape:
    n, channels, height, width = image(input, "input")
    depth = None if channels is None else channels * blocksize**2
    return n, depth, _divided(height, blocksize, "rows"), _divided(width, blocksize, "columns")


def Trilu(input: Shape, k: Shape = (), **attributes: Any) -> Shape:
    if len(input) < 2:
        refuse(f"{show(input)} is no matrix")
    if k is not None and product(k) not in (None, 1):
        refuse(f"k has shape {show(k)}, and has to be one number")
    return input


def EyeLike(input: Shape, **attributes: Any) -> Shape:
    if len(input) != 2:
        refuse(f"{show(input)} is no matrix")
    return input


def ReverseSequence(input: Shape, sequence_lens: Shape, *, batch_axis: int = 1, time_axis: int = 0) -> Shape:
    if len(input) < 2 or sorted((batch_axis, time_axis)) != [0, 1]:
        refuse(f"batch_axis {batch_axis} and time_axis {time_axis} have to be 0 and 1, in either order")
    vector(sequence_lens, input[batch_axis], "sequence_lens")
    return input
