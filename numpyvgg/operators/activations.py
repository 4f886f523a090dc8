"""Activation functions, and Softmax."""

from __future__ import annotations

import math

import numpy as np

from .. import layers
from ..errors import ArgumentError
from .error_function import erf


def Relu_1(X: np.ndarray) -> np.ndarray:
    return layers.relu(X)


def LeakyRelu_1(X: np.ndarray, *, alpha: float = 0.01) -> np.ndarray:
    return np.where(X < 0, X * X.dtype.type(alpha), X)


def PRelu_1(X: np.ndarray, slope: np.ndarray) -> np.ndarray:
    if slope.ndim == 1 and slope.size > 1:  # one for each channel
        slope = slope.reshape(-1, *[1] * (X.ndim - 2))
    return PRelu_7(X, slope)


def PRelu_7(X: np.ndarray, slope: np.ndarray) -> np.ndarray:
    sizes = zip(slope.shape[::-1], X.shape[::-1], strict=False)
    if slope.ndim > X.ndim or any(size not in (1, wanted) for size, wanted in sizes):
        raise ArgumentError(f"slope {list(slope.shape)} does not broadcast to {list(X.shape)}")
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


def Softmax_1(input: np.ndarray, *, axis: int = 1) -> np.ndarray:
    return layers.softmax_flattened(input, axis % input.ndim if axis < 0 else axis)


def Softmax_13(input: np.ndarray, *, axis: int = -1) -> np.ndarray:
    return layers.softmax(input, axis)


def LogSoftmax_1(input: np.ndarray, *, axis: int = 1) -> np.ndarray:
    axis += input.ndim if axis < 0 else 0
    rows = input.reshape(math.prod(input.shape[:axis]), math.prod(input.shape[axis:]))
    return LogSoftmax_13(rows).reshape(input.shape)


def LogSoftmax_13(input: np.ndarray, *, axis: int = -1) -> np.ndarray:
    shifted = input - input.max(axis=axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))


def Selu_1(
    X: np.ndarray, *, alpha: float = 1.67326319217681884765625, gamma: float = 1.05070102214813232421875
) -> np.ndarray:
    return X.dtype.type(gamma) * Elu_1(X, alpha=alpha)


def Celu_12(X: np.ndarray, *, alpha: float = 1.0) -> np.ndarray:
    a = X.dtype.type(alpha)
    return np.maximum(X, 0) + np.minimum(a * np.expm1(X / a), 0)  # as it is defined: alpha of 0 makes NaN above 0


def Softplus_1(X: np.ndarray) -> np.ndarray:
    return np.logaddexp(X, X.dtype.type(0))  # log(exp(x) + 1), however large x is


def Softsign_1(input: np.ndarray) -> np.ndarray:
    return input / (1 + np.abs(input))


def Mish_18(X: np.ndarray) -> np.ndarray:
    return X * np.tanh(Softplus_1(X))


def Swish_24(X: np.ndarray, *, alpha: float = 1.0) -> np.ndarray:
    return X * Sigmoid_1(X.dtype.type(alpha) * X)


def ThresholdedRelu_10(X: np.ndarray, *, alpha: float = 1.0) -> np.ndarray:
    return np.where(X.dtype.type(alpha) < X, X, X.dtype.type(0))


def Shrink_9(input: np.ndarray, *, lambd: float = 0.5, bias: float = 0.0) -> np.ndarray:
    shifted = np.where(input < -lambd, input + bias, np.where(input > lambd, input - bias, 0))
    return shifted.astype(input.dtype)


def Gelu_20(X: np.ndarray, *, approximate: str = "none") -> np.ndarray:
    half, one = X.dtype.type(0.5), X.dtype.type(1)
    if approximate == "none":
        return half * X * (one + erf(X * X.dtype.type(math.sqrt(0.5))))
    cubic = X + X.dtype.type(0.044715) * X * X * X
    return half * X * (one + np.tanh(X.dtype.type(math.sqrt(2 / math.pi)) * cubic))


def Hardmax_1(input: np.ndarray, *, axis: int = 1) -> np.ndarray:
    axis += input.ndim if axis < 0 else 0
    rows = input.reshape(math.prod(input.shape[:axis]), math.prod(input.shape[axis:]))
    return Hardmax_13(rows).reshape(input.shape)


def Hardmax_13(input: np.ndarray, *, axis: int = -1) -> np.ndarray:
    output = np.zeros_like(input)
    np.put_along_axis(output, np.expand_dims(input.argmax(axis), axis), 1, axis)
    return output
