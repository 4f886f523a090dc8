"""A layer that multiplies, seen as a product of matrices: ``y[m, place] = weight[m] . columns[:, place] + bias[m]``.

A place is a pixel of a convolution's output, or a row of a fully connected layer's input; a column holds the
inputs under the filter there (im2col), and ``m`` counts filters. So tests of sums need not know which operator it was.
"""

from __future__ import annotations

import math

import numpy as np

from .. import operators
from ..files.onnx import Node
from .operations import Inputs


class Product:
    """A Conv of one group along two axes, a Gemm, or a MatMul with a matrix.

    Attributes
    ----------
    weight : ndarray [M, K]
    bias : ndarray [M], optional
    shape : tuple of int
        Of the places.
    padded : ndarray [N, C, H, W], optional
        A convolution's input with its padding, and `kernel` its filters' size.
    """

    def __init__(self, node: Node, inputs: Inputs):
        x, weight, *bias = inputs
        assert x is not None
        assert weight is not None
        self.conv = node.op_type == "Conv"
        self.kernel, self.padded = weight.shape[2:], _padded(node, x, weight) if self.conv else None
        if self.padded is not None:
            self._windows = _windows(node, self.padded, self.kernel)  # [N, H, W, C, kH, kW]
            self.shape, self.weight = self._windows.shape[:3], weight.reshape(len(weight), -1)
        else:
            self._windows = x.T if node.attributes.get("transA", 0) else x
            self.shape = self._windows.shape[:-1]
            self.weight = weight if node.op_type == "Gemm" and node.attributes.get("transB", 0) else weight.T
        self.bias = bias[0].reshape(-1) if bias and bias[0] is not None else None

    @property
    def places(self) -> int:
        return math.prod(self.shape)

    def columns(self, places: np.ndarray | None = None) -> np.ndarray:
        """What the filters see at these places, or everywhere: each pixel kH * kW times.  [K, P]"""
        if places is not None:
            return self._windows[np.unravel_index(places, self.shape)].reshape(len(places), -1).T
        behind = tuple(range(len(self.shape), self._windows.ndim))
        return self._windows.transpose(*behind, *range(len(self.shape))).reshape(-1, self.places)

    def matrix(self, y: np.ndarray) -> np.ndarray:
        """The layer's output, or anything of its shape, by filters and places.  [M, places]"""
        return np.moveaxis(y, 1 if self.conv else -1, 0).reshape(-1, self.places)

    def output(self, matrix: np.ndarray) -> np.ndarray:
        """The reverse of `matrix`."""
        return np.moveaxis(matrix.reshape(-1, *self.shape), 0, 1 if self.conv else -1)

    def in_random_order(
        self, columns: np.ndarray, rng: np.random.Generator, filters: slice | np.ndarray = slice(None)
    ) -> np.ndarray:
        """The output at such columns, summed in their dtype: sqrt(K) groups drawn at random, one after the other."""
        order, weight = rng.permutation(len(columns)), self.weight[filters]
        total = weight.dtype.type(0)
        for group in np.array_split(order, max(math.isqrt(len(order)), 1)):
            total = total + weight[:, group] @ columns[group]
        return total if self.bias is None else total + self.bias[filters, None]


def as_product(node: Node, inputs: Inputs) -> Product | None:
    """The node as a product of matrices; None where it is something else."""
    x, weight = (*inputs, None, None)[:2]
    if x is None or weight is None:
        return None
    flat = node.op_type == "Conv" and x.ndim == 4 and node.attributes.get("group", 1) == 1
    gemm = node.op_type == "Gemm" and {node.attributes.get(key, 1.0) for key in ("alpha", "beta")} == {1.0}
    product = Product(node, inputs) if flat or gemm or (node.op_type == "MatMul" and weight.ndim == 2) else None
    fits = product is None or product.bias is None or product.bias.size == len(product.weight)
    return product if fits else None


def _padded(node: Node, x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    kernel, attributes = weight.shape[2:], node.attributes
    strides, dilations = (tuple(attributes.get(key) or (1, 1)) for key in ("strides", "dilations"))
    auto_pad = attributes.get("auto_pad", "NOTSET")
    pads = operators.resolve_pads(x.shape[2:], kernel, strides, attributes.get("pads"), dilations, auto_pad)
    return np.pad(x, ((0, 0), (0, 0), (pads[0], pads[2]), (pads[1], pads[3])))


def _windows(node: Node, padded: np.ndarray, kernel: tuple[int, ...]) -> np.ndarray:
    """What each tap of the filters sees, as a view.  [N, H, W, C, kH, kW]"""
    strides, dilations = (tuple(node.attributes.get(key) or (1, 1)) for key in ("strides", "dilations"))
    extent = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True))
    views = np.lib.stride_tricks.sliding_window_view(padded, extent, axis=(2, 3))
    views = views[:, :, :: strides[0], :: strides[1], :: dilations[0], :: dilations[1]]
    return views.transpose(0, 2, 3, 1, 4, 5)
