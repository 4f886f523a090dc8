"""MTCNN's three networks, written out: a few convolutions, each with its PReLU, on very many windows of a picture.

A session would hold every layer's output for all windows. Here the work is cut into strips of rows (P-Net, which looks
at whole pictures) and blocks of pictures (R- and O-Net), in which all layers stay in a core's cache; they are tasks
that threads share, and memory does not grow with their number. Each thread uses the same few arrays again and again:
in fresh ones, more time goes into the system's page faults than into the arithmetic.

Arrays are [C, H, W, N], pictures innermost: a convolution's columns and a pooling's windows are then copied in runs of
W * N numbers, however small the pictures are. What `Layer` and `pool` return is overwritten by their next call.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ...files.onnx import read_onnx
from ...kernels.threads import Scratch, Workers, blas_is_tuned

Array = NDArray[np.float32]

#: rows of P-Net's output in a strip: at 300 columns its widest layer is 1 MB
STRIP = 16
#: numbers in the pictures of a block: 28 of R-Net's or 7 of O-Net's
BLOCK = 48_000

_scratch = Scratch()


def _array(name: str, *shape: int) -> Array:
    return _scratch.array(name, shape, np.dtype(np.float32))


class Layer:
    """A convolution, or a fully connected layer, with the PReLU behind it: `conv3`, `prelu3`.

    [C, H, W, N] -> [M, H - k + 1, W - k + 1, N]. A fully connected layer is a convolution as large as its input.
    """

    def __init__(self, arrays: dict[str, Array], number: int) -> None:
        weight = arrays[f"conv{number}_W"]  # [M, C, k, k] or [M, C * k * k]
        self._kernel = weight.shape[2] if weight.ndim == 4 else None
        self._weight, self._bias = weight.reshape(len(weight), -1), arrays[f"conv{number}_B"][:, None]
        self._slope = arrays[f"prelu{number}_slope"].reshape(-1, 1)
        self._steep = np.flatnonzero(self._slope > 1)
        self._name = f"layer {number}"

    def __call__(self, x: Array) -> Array:
        columns, size = _columns(x, self._kernel or x.shape[1])
        y = _product(self._weight, columns, _array(self._name, len(self._weight), columns.shape[1]))
        y += self._bias
        return self._prelu(y).reshape(len(y), *size, x.shape[3])

    def _prelu(self, y: Array) -> Array:
        """y where y > 0, else slope * y: the larger of the two, and the smaller where a channel's slope is above 1."""
        sloping = np.multiply(y, self._slope, out=_array("sloping", *y.shape))
        steep = np.minimum(y[self._steep], sloping[self._steep])
        np.maximum(y, sloping, out=y)
        y[self._steep] = steep
        return y


def _columns(x: Array, kernel: int) -> tuple[Array, tuple[int, int]]:
    """What each place of a convolution sees, [C * k * k, h * w * N], and how many places there are, (h, w)."""
    channels, height, width, count = x.shape
    h, w = height - kernel + 1, width - kernel + 1
    columns = _array("columns", channels, kernel, kernel, h, w, count)
    for down in range(kernel):
        for right in range(kernel):
            columns[:, down, right] = x[:, down : down + h, right : right + w]
    return columns.reshape(channels * kernel**2, h * w * count), (h, w)


def _product(weight: Array, columns: Array, out: Array | None = None) -> Array:
    """weight @ columns; where no tuned BLAS computes it, NumPy's `einsum` takes half the time."""
    if blas_is_tuned():
        return np.matmul(weight, columns, out=out)
    return np.einsum("mk,kn->mn", weight, columns, out=out)


def pool(x: Array, kernel: int) -> Array:
    """Maximum of kernel x kernel, two apart; the last windows may reach beyond the picture (``ceil_mode``)."""
    channels, height, width, count = x.shape
    h, w = (-(-(side - kernel) // 2) + 1 for side in (height, width))
    rows, y = _array("rows", channels, h, width, count), _array("pooled", channels, h, w, count)
    _largest([x[:, first::2] for first in range(kernel)], rows)
    _largest([rows[:, :, first::2] for first in range(kernel)], y)
    return y


def _largest(parts: Sequence[Array], y: Array) -> None:
    """The maximum of arrays that end at different places, or beyond `y`."""
    np.copyto(y, parts[0][:, : y.shape[1], : y.shape[2]])
    for part in parts[1:]:
        part = part[:, : y.shape[1], : y.shape[2]]
        there = y[:, : part.shape[1], : part.shape[2]]
        np.maximum(there, part, out=there)


def _read(path: str | os.PathLike[str]) -> dict[str, Array]:
    return {name: np.array(value, np.float32) for name, value in read_onnx(path).initializers.items()}


def _heads(arrays: dict[str, Array], *names: str) -> tuple[Array, Array]:
    """The weights and the biases of a network's outputs, one output below the other."""
    weights = [arrays[f"conv{name}_W"] for name in names]
    biases = [arrays[f"conv{name}_B"] for name in names]
    return np.concatenate([weight.reshape(len(weight), -1) for weight in weights]), np.concatenate(biases)[:, None]


def _probability(y: Array) -> Array:
    """Of a face, from the scores [2, ...] of no face and face: softmax of two is the logistic function."""
    return 1 / (1 + np.exp(np.minimum(y[0] - y[1], 80)))  # e to the 80 is within float32


class PNet:
    """The network of 12x12 pixels, applied to every window of larger pictures, two pixels apart.

    Parameters
    ----------
    path : path
        The ONNX file that `tools/make_mtcnn.py` makes.
    workers : Workers
    """

    def __init__(self, path: str | os.PathLike[str], workers: Workers) -> None:
        arrays = _read(path)
        self._layers = [Layer(arrays, number) for number in (1, 2, 3)]
        self._weight, self._bias = _heads(arrays, "4-2", "4-1")  # no face and face, offsets
        self._workers = workers

    def __call__(self, pictures: Sequence[Array]) -> list[tuple[Array, Array]]:
        """Probabilities of a face [h, w] and offsets [4, h, w] for pictures [3, H, W] of any sizes, -1 to 1."""
        outputs: list[Array] = []
        strips: list[tuple[Array, Array]] = []
        for x in pictures:
            height, width = (-(-(side - 2) // 2) - 4 for side in x.shape[1:])
            y = np.empty((6, height, width), np.float32)
            outputs.append(y)
            for first in range(0, height, STRIP):
                last = min(first + STRIP, height)
                strips.append((x[:, 2 * first : 2 * last + 10], y[:, first:last]))

        def strip(number: int) -> None:
            rows, place = strips[number]
            place[:] = self._strip(rows)

        self._workers.run(strip, len(strips))
        return [(_probability(y[:2]), y[2:]) for y in outputs]

    def _strip(self, x: Array) -> Array:
        """All layers on some rows: [3, 2 h + 10, W] -> [2 + 4, h, w]."""
        first, second, third = self._layers
        y = third(second(pool(first(x[..., None]), 2)))  # [32, h, w, 1]
        return (_product(self._weight, y.reshape(len(y), -1)) + self._bias).reshape(-1, *y.shape[1:3])


class WindowNet:
    """R-Net or O-Net, which look at pictures of one size.

    Parameters
    ----------
    path : path
        The ONNX file that `tools/make_mtcnn.py` makes.
    workers : Workers
    side : int
        Of the pictures, in pixels.
    pools : sequence of int
        For each layer the kernel of the pooling behind it; 0 for none.
    heads : sequence of str
        The outputs, by the numbers that the authors gave them: no face and face, offsets, landmarks.
    """

    def __init__(
        self, path: str | os.PathLike[str], workers: Workers, side: int, pools: Sequence[int], heads: Sequence[str]
    ) -> None:
        arrays = _read(path)
        self.side = side
        self._layers = [(Layer(arrays, number), kernel) for number, kernel in enumerate(pools, start=1)]
        self._weight, self._bias = _heads(arrays, *heads)
        self._workers = workers

    def __call__(self, pictures: Callable[[slice], Array], count: int) -> tuple[Array, Array]:
        """Probabilities of a face [n], offsets and landmarks [n, 4 or 14] for so many pictures.

        `pictures` makes some of them, [3, side, side, n], -1 to 1; it is called by several threads.
        """
        y = np.empty((len(self._weight), count), np.float32)
        block = min(BLOCK // (3 * self.side**2), -(-count // self._workers.threads)) or 1

        def task(number: int) -> None:
            some = slice(block * number, min(block * (number + 1), count))
            y[:, some] = self._block(pictures(some))

        self._workers.run(task, -(-count // block))
        return _probability(y[:2]), y[2:].T

    def _block(self, x: Array) -> Array:
        """All layers on some pictures: [3, side, side, n] -> [2 + 4 or 2 + 14, n]."""
        for layer, kernel in self._layers:
            x = layer(x)
            x = pool(x, kernel) if kernel else x
        return _product(self._weight, x.reshape(len(x), -1)) + self._bias
