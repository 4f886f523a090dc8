"""Activation functions, and Softmax."""

from __future__ import annotations

import math

import numpy as np

from .. import layers


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
