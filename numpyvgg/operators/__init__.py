"""ONNX operators beyond the textbook's: one function each, named and parameterised as the specification has them.

``Softmax_13`` is Softmax as defined from operator set 13 on, until a higher number supersedes it; where the definition
of today only adds types or optional inputs to an older one, there is one function with the oldest number. Positional
parameters are the node's inputs (None where it leaves one out), keyword parameters its attributes under their own
names, with the specification's defaults. A function that can have several outputs takes `output_count`.

Arrays come in any dtype and are never changed; what comes out may be a view of what came in.

Source: https://onnx.ai/onnx/operators/, each operator's page with its history.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import layers
from ..errors import ArgumentError, UnsupportedModelError
from ..files.tensor import dtype_name

Ints = Sequence[int]

#: The newest operator set that the functions here have been held against, by the `onnx` package's own test cases.
NEWEST_OPSET = 28


def find(op_type: str, opset: int) -> Callable[..., Any] | None:
    """The function for an operator as a given operator set defines it; None where there is none."""
    versions = [since for since in _VERSIONS.get(op_type, {}) if since <= opset]
    return _VERSIONS[op_type][max(versions)] if versions else None


# ---------------------------------------------------------------------- windows: convolution and pooling


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


def _windows(
    X: np.ndarray, kernel_shape: Ints, strides: Ints, pads: Ints, dilations: Ints, fill: Any, ceil_mode: int
) -> list[np.ndarray]:
    """`layers.windows` along any number of axes: what each tap of the window sees, [N, C, out...] each."""
    axes = range(len(kernel_shape))
    begins, ends = pads[: len(axes)], pads[len(axes) :]
    out = [
        layers.output_size(
            X.shape[2 + i], kernel_shape[i], strides[i], begins[i], ends[i], dilations[i], bool(ceil_mode)
        )
        for i in axes
    ]
    spans = [(out[i] - 1) * strides[i] + 1 for i in axes]
    after = [max(spans[i] + dilations[i] * (kernel_shape[i] - 1) - X.shape[2 + i] - begins[i], 0) for i in axes]
    if any(begins) or any(after):
        X = _surrounded(X, begins, after, fill)
    taps = itertools.product(*(range(0, k * d, d) for k, d in zip(kernel_shape, dilations, strict=True)))
    every = slice(None)
    places = [(every, every, *(slice(tap[i], tap[i] + spans[i], strides[i]) for i in axes)) for tap in taps]
    return [X[place] for place in places]


def _surrounded(X: np.ndarray, begins: Ints, after: Ints, fill: Any) -> np.ndarray:
    """The image inside a border; in memory its axes keep their order, which `np.pad` would change."""
    sizes = [size + sum(around) for size, *around in zip(X.shape[2:], begins, after, strict=True)]
    Y = np.full_like(X, fill, subok=False, shape=(*X.shape[:2], *sizes))
    inside = (slice(begin, begin + size) for begin, size in zip(begins, X.shape[2:], strict=True))
    place = (slice(None), slice(None), *inside)
    Y[place] = X
    return Y


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
    return _in_single(_conv, X, W, B, strides=strides, pads=pads, dilations=dilations, group=group)


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


def _in_single(function: Callable[..., np.ndarray], *arrays: np.ndarray | None, **attributes: Any) -> np.ndarray:
    """Compute on float16 in float32, and round once at the end."""
    if arrays[0] is None or arrays[0].dtype != np.float16:
        return function(*arrays, **attributes)
    single = [None if array is None else array.astype(np.float32) for array in arrays]
    return function(*single, **attributes).astype(np.float16)


def MaxPool_1(
    X: np.ndarray,
    *,
    kernel_shape: Ints,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: Ints | None = None,
    pads: Ints | None = None,
    storage_order: int = 0,
    strides: Ints | None = None,
    output_count: int = 1,
) -> Any:
    rank = len(kernel_shape)
    strides, dilations = strides or [1] * rank, dilations or [1] * rank
    pads = resolve_pads(X.shape[2:], kernel_shape, strides, pads, dilations, auto_pad)
    lowest = -np.inf if X.dtype.kind == "f" else np.iinfo(X.dtype).min
    taps = _windows(X, kernel_shape, strides, pads, dilations, lowest, ceil_mode)
    Y = taps[0].copy("K")
    for tap in taps[1:]:
        np.maximum(Y, tap, out=Y)
    if output_count == 1:
        return Y
    # Where each maximum came from: pool the pixels' own numbers alongside. -1 marks padding.
    numbers: np.ndarray = np.arange(math.prod(X.shape[2:]), dtype=np.int64)
    numbers = numbers.reshape(X.shape[2:], order="F" if storage_order else "C")[None, None]
    places = _windows(numbers, kernel_shape, strides, pads, dilations, -1, ceil_mode)
    winner = np.argmax([(tap == Y) & (place >= 0) for tap, place in zip(taps, places, strict=True)], axis=0)
    within = np.take_along_axis(np.broadcast_to(np.stack(places), (len(places), *Y.shape)), winner[None], 0)[0]
    planes = np.arange(math.prod(X.shape[:2]), dtype=np.int64) * math.prod(X.shape[2:])
    return Y, within + planes.reshape(*X.shape[:2], *[1] * rank)


def AveragePool_1(
    X: np.ndarray,
    *,
    kernel_shape: Ints,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    count_include_pad: int = 0,
    dilations: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> np.ndarray:
    rank = len(kernel_shape)
    strides, dilations = strides or [1] * rank, dilations or [1] * rank
    pads = resolve_pads(X.shape[2:], kernel_shape, strides, pads, dilations, auto_pad)
    total = _sum(_windows(X, kernel_shape, strides, pads, dilations, 0, ceil_mode))
    # How many of a window's pixels count: the image's own, and the padding where that is asked for, but never
    # what ceil_mode goes beyond it.
    counted = np.ones((1, 1, *X.shape[2:]), X.dtype)
    if count_include_pad:
        around = [(0, 0), (0, 0), *zip(pads[:rank], pads[rank:], strict=True)]
        counted, pads = np.pad(counted, around, constant_values=1), [0] * (2 * rank)
    counts = _sum(_windows(counted, kernel_shape, strides, pads, dilations, 0, ceil_mode))
    # ceil_mode tells padding from image, which `counted` does not: it may have a window more.
    inside = (slice(None), slice(None), *map(slice, total.shape[2:]))
    return total / counts[inside]


def _sum(arrays: Sequence[np.ndarray]) -> np.ndarray:
    total = arrays[0].copy("K")
    for array in arrays[1:]:
        total += array
    return total


def GlobalAveragePool_1(X: np.ndarray) -> np.ndarray:
    return X.mean(axis=tuple(range(2, X.ndim)), keepdims=True)


def GlobalMaxPool_1(X: np.ndarray) -> np.ndarray:
    return X.max(axis=tuple(range(2, X.ndim)), keepdims=True)


def LRN_1(X: np.ndarray, *, size: int, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0) -> np.ndarray:
    # Each channel is divided by a power of the mean square of itself and its neighbours on both sides.
    before, after = (size - 1) // 2, size // 2
    squares = np.pad(X * X, [(0, 0), (before, after), *[(0, 0)] * (X.ndim - 2)])
    total = _sum([squares[:, i : i + X.shape[1]] for i in range(size)])
    return X / (bias + X.dtype.type(alpha / size) * total) ** X.dtype.type(beta)


def BatchNormalization_1(
    X: np.ndarray,
    scale: np.ndarray,
    B: np.ndarray,
    mean: np.ndarray,
    var: np.ndarray,
    *,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
    is_test: int = 0,
    spatial: int = 1,
) -> np.ndarray:
    if not is_test:
        raise UnsupportedModelError("training (is_test=0) is not available; export the model for inference")
    return BatchNormalization_7(X, scale, B, mean, var, epsilon=epsilon, spatial=spatial)


def BatchNormalization_7(
    X: np.ndarray,
    scale: np.ndarray,
    B: np.ndarray,
    mean: np.ndarray,
    var: np.ndarray,
    *,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
    spatial: int = 1,
) -> np.ndarray:
    factor, offset = normalization(scale, B, mean, var, epsilon)
    shape = (-1, *[1] * (X.ndim - 2)) if spatial and X.ndim > 1 else X.shape[1:]  # spatial=0: a value for each pixel
    Y = X * factor.reshape(shape).astype(X.dtype)
    Y += offset.reshape(shape).astype(X.dtype)
    return Y


def BatchNormalization_14(
    X: np.ndarray,
    scale: np.ndarray,
    B: np.ndarray,
    input_mean: np.ndarray,
    input_var: np.ndarray,
    *,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
    training_mode: int = 0,
) -> Any:
    if not training_mode:
        return BatchNormalization_7(X, scale, B, input_mean, input_var, epsilon=epsilon)
    axes = (0, *range(2, X.ndim))
    mean, var = X.mean(axis=axes), X.var(axis=axes)
    Y = BatchNormalization_7(X, scale, B, mean, var, epsilon=epsilon)
    running = [old * momentum + new * (1 - momentum) for old, new in ((input_mean, mean), (input_var, var))]
    return (Y, *(value.astype(input_mean.dtype) for value in running))


def normalization(
    scale: np.ndarray, B: np.ndarray, mean: np.ndarray, var: np.ndarray, epsilon: float
) -> tuple[np.ndarray, np.ndarray]:
    """Batch normalisation as ``factor * x + offset``, one of each for a channel, in float64."""
    factor = scale.astype(np.float64) / np.sqrt(var.astype(np.float64) + epsilon)
    return factor, B - mean * factor


def InstanceNormalization_1(
    input: np.ndarray, scale: np.ndarray, B: np.ndarray, *, epsilon: float = 1e-5
) -> np.ndarray:
    axes, shape = tuple(range(2, input.ndim)), (-1, *[1] * (input.ndim - 2))
    centred = input - input.mean(axis=axes, keepdims=True)
    var = (centred * centred).mean(axis=axes, keepdims=True)
    return centred / np.sqrt(var + input.dtype.type(epsilon)) * scale.reshape(shape) + B.reshape(shape)


def Dropout_1(data: np.ndarray, *, is_test: int = 0, ratio: float = 0.5, output_count: int = 1) -> Any:
    if not is_test:
        raise UnsupportedModelError("training (is_test=0) is not available; export the model for inference")
    return Dropout_7(data, ratio=ratio, output_count=output_count)


def Dropout_7(data: np.ndarray, *, ratio: float = 0.5, output_count: int = 1) -> Any:
    return data if output_count == 1 else (data, np.ones(data.shape, data.dtype))


def Dropout_10(data: np.ndarray, *, ratio: float = 0.5, output_count: int = 1) -> Any:
    return data if output_count == 1 else (data, np.ones(data.shape, bool))


def Dropout_12(
    data: np.ndarray,
    ratio: np.ndarray | None = None,
    training_mode: np.ndarray | None = None,
    *,
    seed: int | None = None,
    output_count: int = 1,
) -> Any:
    drop = 0.5 if ratio is None else float(ratio)
    if training_mode is None or not bool(training_mode) or drop == 0:
        return Dropout_10(data, output_count=output_count)
    # Which elements drop is left open; this is NumPy's generator as the specification's own examples use it.
    mask = np.random.RandomState(seed).uniform(0, 1, data.shape) >= drop
    output = mask * data * data.dtype.type(1 / (1 - drop))
    return output if output_count == 1 else (output, mask)


# ---------------------------------------------------------------------- products


def MatMul_1(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    return np.matmul(A, B)


def Gemm_1(
    A: np.ndarray,
    B: np.ndarray,
    C: np.ndarray | None = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    broadcast: int = 0,
    transA: int = 0,
    transB: int = 0,
) -> np.ndarray:
    return _in_single(layers.linear, A, B, C, alpha=alpha, beta=beta, transA=transA, transB=transB)


# ---------------------------------------------------------------------- element by element


def Relu_1(X: np.ndarray) -> np.ndarray:
    return layers.relu(X)


def LeakyRelu_1(X: np.ndarray, *, alpha: float = 0.01) -> np.ndarray:
    return np.where(X < 0, X * X.dtype.type(alpha), X)


def PRelu_1(X: np.ndarray, slope: np.ndarray) -> np.ndarray:
    if slope.ndim == 1 and slope.size > 1:  # one for each channel
        slope = slope.reshape(-1, *[1] * (X.ndim - 2))
    return PRelu_7(X, slope)


def PRelu_7(X: np.ndarray, slope: np.ndarray) -> np.ndarray:
    return np.where(X < 0, X * slope, X)


def Sigmoid_1(X: np.ndarray) -> np.ndarray:
    one = X.dtype.type(1)
    return one / (one + np.exp(-X))


def Tanh_1(input: np.ndarray) -> np.ndarray:
    return np.tanh(input)


def Elu_1(X: np.ndarray, *, alpha: float = 1.0) -> np.ndarray:
    return np.where(X < 0, X.dtype.type(alpha) * np.expm1(X), X)


def HardSigmoid_1(X: np.ndarray, *, alpha: float = 0.2, beta: float = 0.5) -> np.ndarray:
    return np.clip(X * X.dtype.type(alpha) + X.dtype.type(beta), 0, 1)


def HardSwish_14(X: np.ndarray) -> np.ndarray:
    return X * HardSigmoid_1(X, alpha=1 / 6, beta=0.5)


def Clip_1(input: np.ndarray, *, min: float = -math.inf, max: float = math.inf) -> np.ndarray:
    return np.minimum(np.maximum(input, input.dtype.type(min)), input.dtype.type(max))


def Clip_11(input: np.ndarray, min: np.ndarray | None = None, max: np.ndarray | None = None) -> np.ndarray:
    output = input if min is None else np.maximum(input, min)
    return output if max is None else np.minimum(output, max)


def Exp_1(input: np.ndarray) -> np.ndarray:
    return np.exp(input)


def Log_1(input: np.ndarray) -> np.ndarray:
    return np.log(input)


def Sqrt_1(X: np.ndarray) -> np.ndarray:
    return np.sqrt(X)


def Neg_1(X: np.ndarray) -> np.ndarray:
    return np.negative(X)


def Abs_1(X: np.ndarray) -> np.ndarray:
    return np.abs(X)


def Reciprocal_1(X: np.ndarray) -> np.ndarray:
    return X.dtype.type(1) / X


def Floor_1(X: np.ndarray) -> np.ndarray:
    return np.floor(X)


def Ceil_1(X: np.ndarray) -> np.ndarray:
    return np.ceil(X)


def _along(A: np.ndarray, B: np.ndarray, axis: int | None) -> np.ndarray:
    """B shaped for the broadcasting below opset 7: its dimensions match those of A from `axis` on."""
    if axis is None or not B.ndim:
        return B
    return B.reshape(*B.shape, *[1] * (A.ndim - axis % A.ndim - B.ndim))


def Add_1(A: np.ndarray, B: np.ndarray, *, axis: int | None = None, broadcast: int = 0) -> np.ndarray:
    return A + _along(A, B, axis)


def Add_7(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    return A + B


def Sub_1(A: np.ndarray, B: np.ndarray, *, axis: int | None = None, broadcast: int = 0) -> np.ndarray:
    return A - _along(A, B, axis)


def Sub_7(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    return A - B


def Mul_1(A: np.ndarray, B: np.ndarray, *, axis: int | None = None, broadcast: int = 0) -> np.ndarray:
    return A * _along(A, B, axis)


def Mul_7(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    return A * B


def Div_1(A: np.ndarray, B: np.ndarray, *, axis: int | None = None, broadcast: int = 0) -> np.ndarray:
    return Div_7(A, _along(A, B, axis))


def Div_7(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    if A.dtype.kind == "f":
        return A / B
    return (A - np.fmod(A, B)) // B  # integers round towards zero, as in C


def Pow_1(X: np.ndarray, Y: np.ndarray, *, axis: int | None = None, broadcast: int = 0) -> np.ndarray:
    return Pow_7(X, _along(X, Y, axis))


def Pow_7(X: np.ndarray, Y: np.ndarray) -> np.ndarray:
    return np.power(X, Y).astype(X.dtype, copy=False)


def Sum_1(*data_0: np.ndarray) -> np.ndarray:
    total = data_0[0]
    for array in data_0[1:]:
        total = total + array
    return total


def Max_1(*data_0: np.ndarray) -> np.ndarray:
    largest = data_0[0]
    for array in data_0[1:]:
        largest = np.maximum(largest, array)
    return largest


def Min_1(*data_0: np.ndarray) -> np.ndarray:
    smallest = data_0[0]
    for array in data_0[1:]:
        smallest = np.minimum(smallest, array)
    return smallest


def Cast_1(input: np.ndarray, *, to: str) -> np.ndarray:
    names = {"FLOAT": "float32", "DOUBLE": "float64"}
    return _cast(input, names.get(to, to.lower()))


def Cast_6(input: np.ndarray, *, to: int, saturate: int = 1, round_mode: str = "up") -> np.ndarray:
    name = dtype_name(to)
    if name is None:
        raise UnsupportedModelError(f"there is no data type {to} in NumPy to cast to")
    return _cast(input, name)


def _cast(input: np.ndarray, name: str) -> np.ndarray:
    if name == "object":  # ONNX's strings
        return input.astype(str).astype(object)
    if input.dtype == object and name == "bool":
        raise UnsupportedModelError("strings are not cast to bool")
    return input.astype(name)


# ---------------------------------------------------------------------- along axes


def Softmax_1(input: np.ndarray, *, axis: int = 1) -> np.ndarray:
    return layers.softmax_flattened(input, axis % input.ndim if axis < 0 else axis)


def Softmax_13(input: np.ndarray, *, axis: int = -1) -> np.ndarray:
    return layers.softmax(input, axis)


def LogSoftmax_1(input: np.ndarray, *, axis: int = 1) -> np.ndarray:
    rows = Flatten_1(input, axis=axis)
    return LogSoftmax_13(rows).reshape(input.shape)


def LogSoftmax_13(input: np.ndarray, *, axis: int = -1) -> np.ndarray:
    shifted = input - input.max(axis=axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))


def _reduce(
    reduction: Callable[..., np.ndarray], data: np.ndarray, axes: Any, keepdims: int, noop_with_empty_axes: int = 0
) -> np.ndarray:
    axes = None if axes is None or not len(axes) else tuple(int(axis) for axis in axes)
    if axes is None and noop_with_empty_axes:
        return data
    return np.asarray(reduction(data, axis=axes, keepdims=bool(keepdims))).astype(data.dtype, copy=False)


def ReduceMean_1(data: np.ndarray, *, axes: Ints | None = None, keepdims: int = 1) -> np.ndarray:
    return _reduce(np.mean, data, axes, keepdims)


def ReduceMean_18(
    data: np.ndarray, axes: np.ndarray | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
) -> np.ndarray:
    return _reduce(np.mean, data, axes, keepdims, noop_with_empty_axes)


def ReduceSum_1(data: np.ndarray, *, axes: Ints | None = None, keepdims: int = 1) -> np.ndarray:
    return _reduce(np.sum, data, axes, keepdims)


def ReduceSum_13(
    data: np.ndarray, axes: np.ndarray | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
) -> np.ndarray:
    return _reduce(np.sum, data, axes, keepdims, noop_with_empty_axes)


def ArgMax_1(data: np.ndarray, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> np.ndarray:
    if not select_last_index:
        found = np.argmax(data, axis=axis)
    else:
        found = data.shape[axis] - 1 - np.argmax(np.flip(data, axis), axis=axis)
    return np.expand_dims(found, axis) if keepdims else np.asarray(found)


# ---------------------------------------------------------------------- shapes


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
        if bounds[-1] != size:
            raise ArgumentError(f"parts {split.tolist()} do not add up to {size}")
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
    # Python's slices clamp and count from the end as ONNX's do.
    where: list[Any] = [slice(None)] * data.ndim
    axes = np.arange(len(starts)) if axes is None else axes
    steps = np.ones(len(starts), np.int64) if steps is None else steps
    for axis, start, end, step in zip(axes.tolist(), starts.tolist(), ends.tolist(), steps.tolist(), strict=True):
        where[axis] = slice(start, end, step)
    return data[tuple(where)]


def Gather_1(data: np.ndarray, indices: np.ndarray, *, axis: int = 0) -> np.ndarray:
    return np.take(data, indices, axis)


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
    sizes = zip(around, data.shape, strict=True)
    data = data[tuple(slice(max(-begin, 0), size + min(end, 0)) for (begin, end), size in sizes)]  # negative pads crop
    around = np.maximum(around, 0)
    if mode == "constant":
        value = 0 if constant_value is None else constant_value.reshape(())
        return np.pad(data, around, constant_values=value)
    if mode not in ("edge", "reflect", "wrap"):
        raise UnsupportedModelError(f"mode {mode!r} does not exist")
    return np.pad(data, around, mode)  # type: ignore[call-overload]


# ---------------------------------------------------------------------- comparison


def Equal_1(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    return np.equal(A, B)


def Greater_7(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    return np.greater(A, B)


def Less_7(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    return np.less(A, B)


def Not_1(X: np.ndarray) -> np.ndarray:
    return np.logical_not(X)


def Where_9(condition: np.ndarray, X: np.ndarray, Y: np.ndarray) -> np.ndarray:
    return np.where(condition, X, Y)


def _versions() -> dict[str, dict[int, Callable[..., Any]]]:
    """Operator -> the operator set from which on -> its function, read off this module's names."""
    versions: dict[str, dict[int, Callable[..., Any]]] = {}
    for name, function in list(globals().items()):
        if match := re.fullmatch(r"([A-Z][A-Za-z]*)_(\d+)", name):
            versions.setdefault(match[1], {})[int(match[2])] = function
    return versions


_VERSIONS = _versions()
