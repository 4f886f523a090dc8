"""P-Net's forward pass, written out, a strip of rows at a time.

P-Net looks at a whole picture in many sizes, which is most of the time that finding faces takes. A session would hold
each layer's output for the whole picture, ten numbers for each pixel. In a strip all layers stay in a core's cache, the
memory does not grow with the picture, and the strips of all sizes are tasks that threads share.

Channels come first, and a convolution's columns are copies of whole rows: where a tap looks one pixel to the right, all
of a strip's pixels move by one. What wraps from one row to the next lands in columns beyond the right border, which no
later layer keeps.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...files.onnx import read_onnx
from ...kernels.threads import Workers, available_cores

Array = NDArray[np.float32]

#: rows of the output in a strip: at 300 columns its widest layer is 1 MB
STRIP = 16


class PNet:
    """The network of 12x12 pixels, applied to every window of larger pictures, two pixels apart.

    Parameters
    ----------
    path : path
        The ONNX file that `tools/make_mtcnn.py` makes.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        model = read_onnx(path)
        arrays = {name: np.array(value, np.float32) for name, value in model.initializers.items()}
        self._convolutions = [
            (_matrix(arrays[f"conv{i}_W"]), arrays[f"conv{i}_B"][:, None], arrays[f"prelu{i}_slope"].reshape(-1, 1))
            for i in (1, 2, 3)
        ]
        heads = ("conv4-2", "conv4-1")  # not a face and face, offsets
        self._weight = np.concatenate([_matrix(arrays[f"{head}_W"]) for head in heads])  # [2 + 4, 32]
        self._bias = np.concatenate([arrays[f"{head}_B"] for head in heads])[:, None]
        self._workers = Workers(available_cores())

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
        # Of two classes, softmax is the logistic function of their difference; e to the 80 is within float32.
        return [(1 / (1 + np.exp(np.minimum(y[0] - y[1], 80))), y[2:]) for y in outputs]

    def _strip(self, x: Array) -> Array:
        """All layers on some rows: [3, 2 h + 10, W] -> [2 + 4, h, w]."""
        width = x.shape[2]
        x = _conv_prelu(x, *self._convolutions[0])
        x = _pool(x[:, :, : width - 2])
        width = x.shape[2]
        x = _conv_prelu(x, *self._convolutions[1])
        x = _conv_prelu(x, *self._convolutions[2])
        y = self._weight @ x.reshape(len(x), -1) + self._bias
        return y.reshape(len(y), *x.shape[1:])[:, :, : width - 4]


def _matrix(weight: Array) -> Array:
    """[M, C, kH, kW] -> [M, C * kH * kW]."""
    return weight.reshape(len(weight), -1)


def _conv_prelu(x: Array, weight: Array, bias: Array, slope: Array) -> Array:
    """Convolution of 3x3 and PReLU: [C, H, W] -> [M, H - 2, W], of which the last two columns mean nothing."""
    channels, height, width = x.shape
    count = (height - 2) * width
    pixels = np.zeros((channels, height * width + 2), np.float32)  # two more, for the last row's wrapped taps
    pixels[:, :-2] = x.reshape(channels, -1)
    columns = np.empty((channels, 9, count), np.float32)
    for tap in range(9):
        start = tap // 3 * width + tap % 3
        columns[:, tap] = pixels[:, start : start + count]
    y = weight @ columns.reshape(channels * 9, count)
    y += bias
    below = np.minimum(y, 0)
    below *= slope
    np.maximum(y, 0, out=y)
    y += below
    return y.reshape(len(y), height - 2, width)


def _pool(x: Array) -> Array:
    """Maximum of 2x2, [C, H, W] -> [C, (H + 1) // 2, (W + 1) // 2]; windows may reach beyond the last pixels."""
    lowest: Any = -np.inf
    x = np.pad(x, ((0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2)), constant_values=lowest)
    rows = np.maximum(x[:, 0::2], x[:, 1::2])
    return np.maximum(rows[:, :, 0::2], rows[:, :, 1::2])
