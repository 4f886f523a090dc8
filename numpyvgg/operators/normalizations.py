"""Normalisation, by the statistics of a batch, an image, a layer or a neighbourhood; and Dropout."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ArgumentError
from .windows import Ints


def LRN_1(X: np.ndarray, *, size: int, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0) -> np.ndarray:
    # Each channel is divided by a power of the mean square of itself and its neighbours on both sides.
    # With zeros around a pixel's channels no neighbour is another pixel's, and a shift moves all pixels at once.
    channels = X.shape[1]
    before, after = min((size - 1) // 2, channels), min(size // 2, channels)
    pixels = np.moveaxis(X, 1, -1)
    squares = np.zeros((*pixels.shape[:-1], before + channels + after), X.dtype)
    np.multiply(pixels, pixels, out=squares[..., before : before + channels])
    flat = squares.reshape(-1)
    total = flat.copy()
    for shift in range(1, before + after + 1):
        total[:-shift] += flat[shift:]
    total *= X.dtype.type(alpha / size)
    total += X.dtype.type(bias)
    if beta == 0.75:  # AlexNet's and GoogLeNet's: two square roots take a tenth of the time of a power
        root = np.sqrt(total, out=total)
        power = np.multiply(root, np.sqrt(root), out=root)
    else:
        power = np.power(total, X.dtype.type(beta), out=total)
    return X / np.moveaxis(power.reshape(squares.shape)[..., :channels], -1, 1)


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
    output_count: int = 1,
) -> Any:
    return BatchNormalization_7(X, scale, B, mean, var, epsilon=epsilon, spatial=spatial, output_count=output_count)


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
    output_count: int = 1,
) -> Any:
    factor, offset = normalization(scale, B, mean, var, epsilon)
    shape = (-1, *[1] * (X.ndim - 2)) if spatial and X.ndim > 1 else X.shape[1:]  # spatial=0: a value for each pixel
    Y = X * factor.reshape(shape).astype(X.dtype)
    Y += offset.reshape(shape).astype(X.dtype)
    # Run for answers, the other outputs are what training left: the statistics stay as they are.
    return Y if output_count == 1 else (Y, mean, var, mean, var)[:output_count]


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
    output_count: int = 1,
) -> Any:
    if not training_mode:
        return BatchNormalization_7(X, scale, B, input_mean, input_var, epsilon=epsilon, output_count=output_count)
    axes = (0, *range(2, X.ndim))
    mean, var = X.mean(axis=axes), X.var(axis=axes)
    Y = BatchNormalization_7(X, scale, B, mean, var, epsilon=epsilon)
    running = [old * momentum + new * (1 - momentum) for old, new in ((input_mean, mean), (input_var, var))]
    return (Y, *(value.astype(input_mean.dtype) for value in running))[:output_count]


def normalization(
    scale: np.ndarray, B: np.ndarray, mean: np.ndarray, var: np.ndarray, epsilon: float
) -> tuple[np.ndarray, np.ndarray]:
    """Batch normalisation as ``factor * x + offset``, one of each for a channel, in float64."""
    with np.errstate(all="ignore"):  # a variance below zero makes NaN, as in ONNX Runtime
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
    mask = np.random.RandomState(None if seed is None else seed % 2**32).uniform(0, 1, data.shape) >= drop
    output = mask * data * data.dtype.type(1 / (1 - drop))
    return output if output_count == 1 else (output, mask)


def LayerNormalization_17(
    X: np.ndarray,
    Scale: np.ndarray,
    B: np.ndarray | None = None,
    *,
    axis: int = -1,
    epsilon: float = 1e-5,
    stash_type: int = 1,
    output_count: int = 1,
) -> Any:
    axes = tuple(range(axis % X.ndim, X.ndim))
    x = X if X.dtype == np.float64 else X.astype(np.float32)
    mean = x.mean(axes, keepdims=True)
    centred = x - mean
    deviation = np.sqrt((centred * centred).mean(axes, keepdims=True) + x.dtype.type(epsilon))
    Y = (centred / deviation).astype(X.dtype) * Scale
    Y = Y if B is None else Y + B
    return Y if output_count == 1 else (Y, mean.astype(np.float32), (1 / deviation).astype(np.float32))[:output_count]


def RMSNormalization_23(
    X: np.ndarray, scale: np.ndarray, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1
) -> np.ndarray:
    axes = tuple(range(axis % X.ndim, X.ndim))
    x = X if X.dtype == np.float64 else X.astype(np.float32)
    size = np.sqrt((x * x).mean(axes, keepdims=True) + x.dtype.type(epsilon))
    return ((x / size).astype(scale.dtype) * scale).astype(scale.dtype, copy=False)


def GroupNormalization_18(
    X: np.ndarray, scale: np.ndarray, bias: np.ndarray, *, num_groups: int, epsilon: float = 1e-5
) -> np.ndarray:
    _check_each(scale, bias, num_groups, "groups")
    each = X.shape[1] // num_groups
    return GroupNormalization_21(
        X, np.repeat(scale, each), np.repeat(bias, each), num_groups=num_groups, epsilon=epsilon
    )


def GroupNormalization_21(
    X: np.ndarray,
    scale: np.ndarray,
    bias: np.ndarray,
    *,
    num_groups: int,
    epsilon: float = 1e-5,
    stash_type: int = 1,
) -> np.ndarray:
    _check_each(scale, bias, X.shape[1], "channels")
    x = X if X.dtype == np.float64 else X.astype(np.float32)
    groups = x.reshape(len(x), num_groups, -1)
    groups = groups - groups.mean(-1, keepdims=True)
    groups = groups / np.sqrt((groups * groups).mean(-1, keepdims=True) + x.dtype.type(epsilon))
    shape = (-1, *[1] * (X.ndim - 2))
    return groups.reshape(X.shape).astype(X.dtype) * scale.reshape(shape) + bias.reshape(shape)


def _check_each(scale: np.ndarray, bias: np.ndarray, count: int, of: str) -> None:
    """Operator sets differ in what `scale` and `bias` are of, and the rule of shapes does not know the set."""
    if scale.shape != (count,) or bias.shape != (count,):
        raise ArgumentError(f"scale and bias of shape {list(scale.shape)} are not one for each of {count} {of}")


def LpNormalization_1(input: np.ndarray, *, axis: int = -1, p: int = 2) -> np.ndarray:
    norm = np.abs(input).sum(axis, keepdims=True) if p == 1 else np.sqrt((input * input).sum(axis, keepdims=True))
    return np.where(norm == 0, input.dtype.type(0), input / norm).astype(input.dtype, copy=False)


def MeanVarianceNormalization_9(X: np.ndarray, *, axes: Ints | None = None) -> np.ndarray:
    where = tuple(axes or (0, 2, 3))
    centred = X - X.mean(where, keepdims=True)
    return centred / (np.sqrt((centred * centred).mean(where, keepdims=True)) + X.dtype.type(1e-9))
