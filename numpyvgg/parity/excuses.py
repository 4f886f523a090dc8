"""Correct float32 that is no plain sum of terms with errors of random sign: what it may be off by, and how it is told.

**Like terms.** Where the terms of a sum are equal, so are the rounding errors of its partial sums: their mean is not
zero, and the probable bound of `bounds` fails (Higham & Mary 2019 say so, section 5). `sums.rounding_errors` has the
standard deviation of such sums, and what it would be if all errors were independent, which the probable bound takes for
granted. So that bound is widened by the quotient of the two, which for n equal terms makes it grow like n and not like
its root; and the worst case still holds.

**Norm-wise kernels.** A fast Fourier transform and Strassen's product mix all inputs before they take them apart again.
Their errors are small beside the norm of what went in, and not beside each output's own terms: a row of zeros comes out
as 1e-7 (Higham 2002, sections 24.1 and 23.2.2),

    FFT:       |error| of filter m  ~  u log2(N) |x|_2 |w_m|_2        Strassen:  |error|  ~  u max|A| max|B|

So they are looked for only where an error is beyond the worst case of any plain sum. The kernel is then run in float32
on the very layer. An error is excused whose root mean square is no more than `FREEDOM` times that of the trial in every
filter, and nowhere more than `bounds.chance_lambda` times as large; and only where that is less than what each filter
usually gives, since beside one huge number such a kernel may be wrong everywhere else.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ..files.onnx import Node
from .bounds import chance_lambda
from .operations import Inputs
from .products import Product, as_product
from .sums import rounding_errors

#: How many times the trial's root mean square error another such kernel may make. Measured by tools/measure_parity.py:
#: FFTs of other lengths and in tiles make 1.5 to 2.4 times the trial's, one to four of Strassen's steps 1.4 to 6.7;
#: these are the next powers of two.
FREEDOM = {"FFT": 4.0, "Strassen": 8.0}
_MOST_TERMS, _FILTERS = 512, 16


def of_like_terms(node: Node, arrays: Inputs, error: np.ndarray, probable: np.ndarray) -> bool:
    """Whether errors beyond the probable bound are within it once like terms are taken to be rounded alike.

    Parameters
    ----------
    error, probable : ndarray
        Absolute, of the node's output.
    """
    beyond = np.flatnonzero(error.ravel() > probable.ravel())
    if len(beyond) > _MOST_TERMS:  # the worst half, and others at random
        worst = beyond[np.argsort(-(error.ravel()[beyond] / probable.ravel()[beyond]))]
        others = np.random.default_rng(0).choice(worst[_MOST_TERMS // 2 :], _MOST_TERMS // 2, replace=False)
        beyond = np.concatenate([worst[: _MOST_TERMS // 2], others])
    terms = _terms(node, arrays, error.shape, beyond)
    if terms is None:
        return False
    errors = rounding_errors(terms)
    wider = np.divide(errors.sigma, errors.independent, out=np.ones(len(terms)), where=errors.independent > 0)
    return bool(np.all(error.ravel()[beyond] <= wider * probable.ravel()[beyond]))


def _terms(node: Node, arrays: Inputs, shape: tuple[int, ...], elements: np.ndarray) -> np.ndarray | None:
    """What some elements of the output are the sum of.  [S, K]"""
    if node.op_type == "GlobalAveragePool" and arrays[0] is not None:
        return arrays[0].reshape(math.prod(shape), -1)[elements].astype(np.float64)
    if node.op_type == "Conv" and node.attributes.get("group", 1) > 1:
        return _terms_of_groups(node, arrays, shape, elements)
    product = as_product(node, arrays)
    if product is None or len(product.weight) * product.places != math.prod(shape):
        return None
    index = product.matrix(np.arange(math.prod(shape)).reshape(shape))  # where each element is in the matrix
    rank = np.empty(index.size, np.int64)
    rank[index.ravel()] = np.arange(index.size)
    channels, places = np.divmod(rank[elements], product.places)
    bias = np.zeros((len(elements), 1)) if product.bias is None else product.bias[channels, None]
    return np.concatenate([product.weight[channels] * product.columns(places).T, bias], axis=1, dtype=np.float64)


def _terms_of_groups(node: Node, arrays: Inputs, shape: tuple[int, ...], elements: np.ndarray) -> np.ndarray | None:
    """The same of a convolution in groups, each of which is a convolution by itself."""
    x, weight, *bias = (np.asarray(array) for array in arrays)
    groups, attributes = node.attributes["group"], {**node.attributes, "group": 1}
    places = np.array(np.unravel_index(elements, shape))  # [4, S]
    filters, inputs = len(weight) // groups, weight.shape[1]
    terms = np.zeros((len(elements), math.prod(weight.shape[1:]) + 1))
    for group in range(groups):
        own = places[1] // filters == group
        if not own.any():
            continue
        some = slice(group * filters, (group + 1) * filters)
        part: Inputs = [x[:, group * inputs : (group + 1) * inputs], weight[some], *(each[some] for each in bias)]
        within = (shape[0], filters, *shape[2:])
        index = np.ravel_multi_index((places[0], places[1] - group * filters, *places[2:]), within, mode="clip")
        found = _terms(replace(node, attributes=attributes), part, within, index[own])
        if found is None:
            return None
        terms[own] = found
    return terms


# ---------------------------------------------------------------------- norm-wise kernels


def of_kernels(node: Node, arrays: Inputs, error: np.ndarray, exact: np.ndarray) -> str:
    """``FFT`` or ``Strassen`` where the errors are such a kernel's in float32; empty where they are neither's.

    Parameters
    ----------
    error, exact : ndarray
        Absolute error, and the output itself, of a layer that multiplies.
    """
    product = as_product(node, arrays)
    if product is None or not all(np.isfinite(array).all() for array in arrays if array is not None):
        return ""
    matrix, outputs = product.matrix(error), product.matrix(np.abs(exact))
    typical = np.array([np.median(row[row > 0]) if row.any() else 0.0 for row in outputs])  # [M]
    with np.errstate(over="ignore", invalid="ignore"):  # numbers near the largest excuse nothing
        kernels = {"FFT": _fft_error, "Strassen": _strassen_error}
        for name, trial in kernels.items():
            if _is_usual(matrix, trial(product), typical, FREEDOM[name]):
                return name
    return ""


def _is_usual(error: np.ndarray, usual: np.ndarray | None, typical: np.ndarray, freedom: float) -> bool:
    """Whether errors [M, places] are as large as those of a kernel with this root mean square in each filter [M]."""
    if usual is None:
        return False
    each = np.sqrt(np.mean(np.square(error), axis=1))
    largest = freedom * chance_lambda(error.size, 0.0) * usual
    return bool(np.all(each <= freedom * usual) and np.all(error.max(axis=1) <= largest) and np.all(largest < typical))


def _fft_error(product: Product) -> np.ndarray | None:
    """The root mean square error in each filter [M] of a convolution of stride 1 by FFT, tried on some filters."""
    x = product.padded
    if (
        x is None
        or tuple(size - k + 1 for size, k in zip(x.shape[2:], product.kernel, strict=True)) != product.shape[1:]
    ):
        return None  # strides or dilations
    weight = product.weight.reshape(len(product.weight), x.shape[1], *product.kernel)
    tried = np.random.default_rng(0).permutation(len(weight))[:_FILTERS]
    single = _by_fft(x.astype(np.float32), weight[tried].astype(np.float32), np.complex64)
    double = _by_fft(x.astype(np.float64), weight[tried].astype(np.float64), np.complex128)
    norms = np.sqrt(np.square(weight, dtype=np.float64).sum(axis=(1, 2, 3)))
    errors = np.sqrt(np.mean(np.square(single - double), axis=(0, 2, 3)))
    share = np.sqrt(np.mean(np.square(errors / np.maximum(norms[tried], np.finfo(np.float32).tiny))))
    return np.asarray(share * norms)


def _by_fft(x: np.ndarray, weight: np.ndarray, dtype: type) -> np.ndarray:
    """Convolution without padding by the convolution theorem.  [N, C, H, W], [M, C, kH, kW] -> [N, M, oH, oW]"""
    size = x.shape[2:]
    far: np.ndarray = np.fft.rfft2(x).astype(dtype, copy=False)  # NumPy 1 transforms in float64 only
    taps: np.ndarray = np.conj(np.fft.rfft2(weight, size)).astype(dtype, copy=False)
    y = np.fft.irfft2(np.einsum("nchw,mchw->nmhw", far, taps), size)
    return y[:, :, : size[0] - weight.shape[2] + 1, : size[1] - weight.shape[3] + 1].astype(x.dtype)


def _strassen_error(product: Product) -> np.ndarray | None:
    """The root mean square error in each filter [M] of one of Strassen's steps, of all filters the largest."""
    m, p = (min(size // 2 * 2, 256) for size in (len(product.weight), product.places))
    k = product.weight.shape[1] // 2 * 2
    if not m or not p:
        return None
    places = np.random.default_rng(0).permutation(product.places)[:p]
    a, b = product.weight[:m, :k], product.columns(np.sort(places))[:k]
    single = _by_strassen(a.astype(np.float32), b.astype(np.float32))
    error = np.sqrt(np.mean(np.square(single - a.astype(np.float64) @ b.astype(np.float64))))
    return np.full(len(product.weight), float(error))


def _by_strassen(a: np.ndarray, b: np.ndarray, product: Callable[..., np.ndarray] = np.matmul) -> np.ndarray:
    """One step of Strassen's product of matrices with even sides (Higham 2002, equation 23.4): seven smaller ones."""
    (a11, a12), (a21, a22) = (np.hsplit(half, 2) for half in np.vsplit(a, 2))
    (b11, b12), (b21, b22) = (np.hsplit(half, 2) for half in np.vsplit(b, 2))
    p1, p2 = product(a11 + a22, b11 + b22), product(a21 + a22, b11)
    p3, p4 = product(a11, b12 - b22), product(a22, b21 - b11)
    p5, p6, p7 = product(a11 + a12, b22), product(a21 - a11, b11 + b12), product(a12 - a22, b21 + b22)
    return np.block([[p1 + p4 - p5 + p7, p3 + p5], [p2 + p4, p1 + p3 - p2 + p6]])
