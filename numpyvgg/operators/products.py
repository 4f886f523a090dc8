"""Products of matrices."""

from __future__ import annotations

import numpy as np

from .. import layers


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
    return layers.linear(A, B, C, alpha=alpha, beta=beta, transA=transA, transB=transB)


def Einsum_12(*Inputs: np.ndarray, equation: str) -> np.ndarray:
    path = ("greedy", 1 << 26)  # no intermediate result of more elements than that
    return np.asarray(np.einsum(equation.replace(" ", ""), *Inputs, optimize=path)).astype(Inputs[0].dtype)


def Det_11(X: np.ndarray) -> np.ndarray:
    return np.asarray(np.linalg.det(X)).astype(X.dtype, copy=False)
