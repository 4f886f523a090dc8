"""Operators that move elements and compute nothing: shapes, parts, copies."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import ArgumentError
from ..files.tensor import dtype_name
from .windows import Ints


def Identity_1(input: np.ndarray) -> np.ndarray:
    return input


def Flatten_1(input: np.ndarray, *, axis: int = 1) -> np.ndarray:
    axis += input.ndim if axis < 0 else 0
    return input.reshape(math.prod(input.shape[:axis]), math.prod(input.shape[axis:]))


def Reshape_1(data: np.ndarray, *, shape: Ints) -> np.ndarray:
    return Reshape_5(data, np.array(shape))


def Reshape_5(data: np.ndarray, shape: np.ndarray, *, allowzero: int = 0) -> np.ndarray:
    wanted = [data.shape[i] if size == 0 and not allowzero else int(size) for i, size in enumerate(shape)]
    return data.reshape(wanted)


def Transpose_1(data: np.ndarray, *, perm: Ints | None = None) -> np.ndarray:
    return data.transpose(perm)


def Squeeze_1(data: np.ndarray, *, axes: Ints | None = None) -> np.ndarray:
    return data.squeeze(None if axes is None else tuple(axes))


def Squeeze_13(data: np.ndarray, axes: np.ndarray | None = None) -> np.ndarray:
    return data.squeeze(None if axes is None else tuple(axes.tolist()))


def Unsqueeze_1(data: np.ndarray, *, axes: Ints) -> np.ndarray:
    return np.expand_dims(data, tuple(axes))


def Unsqueeze_13(data: np.ndarray, axes: np.ndarray) -> np.ndarray:
    return np.expand_dims(data, tuple(axes.reshape(-1).tolist()))


def Concat_1(*inputs: np.ndarray, axis: int = 1) -> np.ndarray:
    return np.concatenate(inputs, axis)


def Split_1(
    input: np.ndarray,
    split_input: np.ndarray | None = None,
    *,
    axis: int = 0,
    split: Ints | None = None,
    output_count: int,
) -> tuple[np.ndarray, ...]:
    return Split_13(input, split_input if split is None else np.array(split), axis=axis, output_count=output_count)


def Split_13(
    input: np.ndarray,
    split: np.ndarray | None = None,
    *,
    axis: int = 0,
    num_outputs: int | None = None,
    output_count: int,
) -> tuple[np.ndarray, ...]:
    size = input.shape[axis]
    if split is None:  # equal parts, the last one smaller where it does not divide
        part = -(-size // output_count)
        bounds = [min(i * part, size) for i in range(output_count + 1)]
    else:
        bounds = [0, *np.cumsum(split).tolist()]
    before = (slice(None),) * (axis % input.ndim)
    places = [(*before, slice(begin, end)) for begin, end in itertools.pairwise(bounds)]
    return tuple(input[place] for place in places)


def Slice_1(data: np.ndarray, *, starts: Ints, ends: Ints, axes: Ints | None = None) -> np.ndarray:
    return Slice_10(data, np.array(starts), np.array(ends), None if axes is None else np.array(axes))


def Slice_10(
    data: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    axes: np.ndarray | None = None,
    steps: np.ndarray | None = None,
) -> np.ndarray:
    where: list[Any] = [slice(None)] * data.ndim
    axes = np.arange(len(starts)) if axes is None else axes
    steps = np.ones(len(starts), np.int64) if steps is None else steps
    for axis, *bounds in zip(axes.tolist(), starts.tolist(), ends.tolist(), steps.tolist(), strict=True):
        places = sliced(data.shape[axis], *bounds)
        end = places.stop if places.stop >= 0 else None  # to Python, -1 is the last one
        where[axis] = slice(places.start, end, places.step) if places else slice(0, 0)
    return data[tuple(where)]


def sliced(size: int, start: int, end: int, step: int) -> range:
    """The places that a slice takes, clamped as the specification says: for negative steps that is not Python's way."""
    start, end = (place + size if place < 0 else place for place in (start, end))
    low, high = (0, size) if step > 0 else (-1, size - 1)
    return range(min(max(start, 0), high), min(max(end, low), high), step) if size else range(0)


def Expand_8(input: np.ndarray, shape: np.ndarray) -> np.ndarray:
    return np.broadcast_to(input, np.broadcast_shapes(input.shape, tuple(shape.tolist())))


def Tile_6(input: np.ndarray, repeats: np.ndarray) -> np.ndarray:
    return np.tile(input, repeats.tolist())


def Shape_1(data: np.ndarray, *, start: int = 0, end: int | None = None) -> np.ndarray:
    return np.array(data.shape, np.int64)[start:end]


def Size_1(data: np.ndarray) -> np.ndarray:
    return np.array(data.size, np.int64)


def ConstantOfShape_9(input: np.ndarray, *, value: np.ndarray | None = None) -> np.ndarray:
    return np.full(input.tolist(), np.float32(0) if value is None else value.reshape(()))


def Pad_1(data: np.ndarray, *, paddings: Ints, mode: str = "constant", value: float = 0.0) -> np.ndarray:
    return Pad_2(data, pads=paddings, mode=mode, value=value)


def Pad_2(data: np.ndarray, *, pads: Ints, mode: str = "constant", value: float = 0.0) -> np.ndarray:
    return Pad_11(data, np.array(pads), np.array(value), mode=mode)


def Pad_11(
    data: np.ndarray,
    pads: np.ndarray,
    constant_value: np.ndarray | None = None,
    axes: np.ndarray | None = None,
    *,
    mode: str = "constant",
) -> np.ndarray:
    amounts = pads.reshape(2, -1)  # all beginnings, then all ends
    around = np.zeros((data.ndim, 2), np.int64)
    around[slice(None) if axes is None else axes.tolist()] = amounts.T
    if not around.any():
        return data
    if mode == "constant":
        return _padded(data, around.tolist(), 0 if constant_value is None else constant_value.reshape(()))
    sizes = zip(around, data.shape, strict=True)
    data = data[tuple(slice(max(-begin, 0), size + min(end, 0)) for (begin, end), size in sizes)]  # negative pads crop
    return np.pad(data, np.maximum(around, 0), mode)  # type: ignore[call-overload]


def _padded(data: np.ndarray, around: Sequence[Ints], value: Any) -> np.ndarray:
    """Element j of an axis of the result is element j - begin of the data, and `value` where there is none."""
    shape = [size + begin + end for size, (begin, end) in zip(data.shape, around, strict=True)]
    output = np.full(shape, value, data.dtype)
    there, here = [], []
    for size, out, (begin, _) in zip(data.shape, shape, around, strict=True):
        first, last = max(begin, 0), min(out, size + begin)
        there.append(slice(first, max(last, first)))
        here.append(slice(first - begin, max(last, first) - begin))
    output[tuple(there)] = data[tuple(here)]
    return output


def Range_11(start: np.ndarray, limit: np.ndarray, delta: np.ndarray, *, stash_type: int = 1) -> np.ndarray:
    first, step = start.reshape(()), delta.reshape(())
    count = range_length(start, limit, delta)
    return (first + np.arange(count).astype(start.dtype) * step).astype(start.dtype, copy=False)


def range_length(start: np.ndarray, limit: np.ndarray, delta: np.ndarray) -> int:
    """How many numbers a Range has."""
    first, last, step = (array.reshape(()).item() for array in (start, limit, delta))
    if step == 0 or not all(map(math.isfinite, (first, last, step))):
        raise ArgumentError(f"there is no range from {first} to {last} in steps of {step}")
    return max(-((first - last) // step) if isinstance(step, int) else math.ceil((last - first) / step), 0)


def DepthToSpace_1(input: np.ndarray, *, blocksize: int, mode: str = "DCR") -> np.ndarray:
    n, channels, height, width = input.shape
    b, depth = blocksize, channels // blocksize**2
    if mode == "DCR":  # depth comes last in the channels: [b, b, depth]
        blocks = input.reshape(n, b, b, depth, height, width).transpose(0, 3, 4, 1, 5, 2)
    else:
        blocks = input.reshape(n, depth, b, b, height, width).transpose(0, 1, 4, 2, 5, 3)
    return blocks.reshape(n, depth, height * b, width * b)


def SpaceToDepth_1(input: np.ndarray, *, blocksize: int, mode: str = "DCR") -> np.ndarray:
    n, channels, height, width = input.shape
    b = blocksize
    blocks = input.reshape(n, channels, height // b, b, width // b, b)
    order = (0, 3, 5, 1, 2, 4) if mode == "DCR" else (0, 1, 3, 5, 2, 4)
    return blocks.transpose(order).reshape(n, channels * b * b, height // b, width // b)


def Trilu_14(input: np.ndarray, k: np.ndarray | None = None, *, upper: int = 1) -> np.ndarray:
    rows, columns = input.shape[-2:]
    diagonal = 0 if k is None else int(np.clip(k.reshape(()), -rows - 1, columns + 1))
    keep = (
        np.tri(rows, columns, diagonal - 1, dtype=bool) ^ True if upper else np.tri(rows, columns, diagonal, dtype=bool)
    )
    return np.where(keep, input, input.dtype.type(0))


def EyeLike_9(input: np.ndarray, *, dtype: int | None = None, k: int = 0) -> np.ndarray:
    rows, columns = input.shape
    offset = min(max(k, -rows), columns)
    return np.eye(rows, columns, offset, input.dtype if dtype is None else dtype_name(dtype))


def ReverseSequence_10(
    input: np.ndarray, sequence_lens: np.ndarray, *, batch_axis: int = 1, time_axis: int = 0
) -> np.ndarray:
    output = input.copy()
    batches, source = (
        np.moveaxis(output, (batch_axis, time_axis), (0, 1)),
        np.moveaxis(input, (batch_axis, time_axis), (0, 1)),
    )
    if sequence_lens.min(initial=0) < 0 or sequence_lens.max(initial=0) > source.shape[1]:
        raise ArgumentError(f"sequence_lens {sequence_lens.tolist()} do not go with {source.shape[1]} steps of time")
    for batch, length in enumerate(sequence_lens.tolist()):
        batches[batch, :length] = source[batch, :length][::-1]
    return output
