"""Stand-in networks: seeded random weights in the shapes of the published networks, for where those cannot be had.

A random network is a poor stand-in unless its weights are scaled with care. With weights drawn in the usual way (He et
al. 2015: variance 2 / fan_in) every photograph gets much the same answer: each ReLU leaves a positive mean behind, the
mean is the same for all photographs, and thirteen convolutions later it is most of what is left. So the filters of the
fully connected layers sum to zero over their input channels, and see only what differs from channel to channel. If z is
a standard normal variable, the variance that gets through such a layer is

    Var(relu(z)) = 1/2 - 1/(2 pi) = 0.341

and weights of variance 1 / (0.341 fan_in) keep the signal at unit variance. Zero sums in every layer would set
photographs apart even better, but they make the network chaotic (Poole et al. 2016): rounding errors then grow like any
other difference, tenfold here, and a stand-in for comparing runtimes must not do that.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..files.cache import written_whole
from ..files.onnx import Node, ValueInfo
from ..files.write import onnx_file
from ..text import progress_bar
from .layer import CONFIGURATIONS, Layer

#: Simonyan & Zisserman 2015, table 1: the number of filters in each block, and of units in fc6 and fc7
FILTERS = (64, 128, 256, 512, 512)
UNITS = 4096

_PIXEL_MEAN = np.array([103.939, 116.779, 123.68])  # of ImageNet in BGR order, the mean of the VGG authors' release
_PIXEL_STD = 60.0
_RELU_VARIANCE = 0.5 - 0.5 / math.pi
_LOGIT_STD = 0.35  # for each nat of log(classes): more classes need larger logits for a few of them to stand out
_BIAS_STD = 0.05


def layer_shapes(configuration: str = "D", width: float = 1.0, classes: int = 101) -> dict[str, tuple[int, ...]]:
    """The weight shape of every layer, in the order of the forward pass.

    Parameters
    ----------
    configuration : {"A", "B", "D", "E"}
        VGG-11, 13, 16 or 19, named as in Simonyan & Zisserman 2015.
    width : float
        Multiplies the number of filters and units: 1 for the published size, 1/16 for a network that tests can hurry
        through.
    classes : int
        Rows of the last layer, two at least.

    Returns
    -------
    dict
        ``{"conv1_1": (64, 3, 3, 3), ..., "fc8": (101, 4096)}``
    """
    shapes: dict[str, tuple[int, ...]] = {}
    channels = 3
    for block, (count, filters) in enumerate(zip(CONFIGURATIONS[configuration], FILTERS, strict=True), start=1):
        for i in range(1, count + 1):
            shapes[f"conv{block}_{i}"] = (_scaled(filters, width), channels, 3, 3)
            channels = _scaled(filters, width)
    units = _scaled(UNITS, width)
    shapes["fc6"] = (units, channels * 7 * 7)
    shapes["fc7"] = (units, units)
    shapes["fc8"] = (classes, units)
    return shapes


def standin_weights(
    configuration: str = "D", width: float = 1.0, classes: int = 101, seed: int = 0
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Random weights that answer differently to different photographs, one layer at a time.

    Photographs of the published networks' input contract (BGR, 0..255, no mean subtracted) get distributions with a
    handful of likely classes; neighbouring classes get similar probabilities, as neighbouring ages do.

    Parameters
    ----------
    configuration, width, classes
        As in `layer_shapes`.
    seed : int
        The same seed gives the same weights.

    Yields
    ------
    name : str
        ``"conv1_1"`` to ``"fc8"``.
    weight : ndarray, float32
        ``[M, C, 3, 3]`` or ``[M, K]``.
    bias : ndarray, float32
        ``[M]``
    """
    shapes = layer_shapes(configuration, width, classes)
    for layer, (name, shape) in enumerate(shapes.items()):
        rng = np.random.default_rng([seed, layer])
        bias = _BIAS_STD * rng.standard_normal(shape[0])
        weight = rng.standard_normal((shape[0], math.prod(shape[1:])), dtype=np.float32)
        fan_in = weight.shape[1]
        if name == "conv1_1":
            weight *= np.float32(1 / (_PIXEL_STD * math.sqrt(fan_in)))
            bias -= weight.reshape(-1, 3, 9).sum(axis=2) @ _PIXEL_MEAN
        elif len(shape) == 4:
            weight *= np.float32(math.sqrt(2 / fan_in))
        else:
            if name == "fc8":
                weight = _alike_neighbours(weight)
            planes = weight.reshape(shape[0], -1, 7 * 7 if name == "fc6" else 1)  # [M, channels, positions]
            planes -= planes.mean(axis=1, keepdims=True)
            gain = max(1.0, _LOGIT_STD * math.log(classes)) if name == "fc8" else 1.0
            weight *= np.float32(gain / math.sqrt(_RELU_VARIANCE * fan_in))
        yield name, weight.reshape(shape), bias.astype(np.float32)


def _scaled(size: int, width: float) -> int:
    """A layer's size under a width multiple; two channels at least, for one alone would sum to zero."""
    return max(2, round(size * width))


def _alike_neighbours(weight: np.ndarray) -> np.ndarray:
    """Blur the rows over a sixteenth of the classes and give them their length back.  [M, K] -> [M, K]"""
    index = np.arange(len(weight))
    blur = np.exp(-0.5 * ((index[:, None] - index) / (len(weight) / 16)) ** 2)
    blur /= np.linalg.norm(blur, axis=1, keepdims=True)
    return blur.astype(np.float32) @ weight


def is_standin(layers: Sequence[Layer]) -> bool:
    """Whether a network's weights were made here: each row of the last layer sums to zero, as training leaves none."""
    weight, _ = [layer.load for layer in layers if layer.load][-1]()
    return bool((abs(weight.sum(axis=1)) < 1e-5 * abs(weight).sum(axis=1)).all())


# ---------------------------------------------------------------------- the file


def write_standin(path: Path, *, width: float = 1.0, classes: int = 101, seed: int = 0) -> None:
    """Write VGG-16 with `standin_weights` as the published files are written; see `standin_file`.

    A progress bar shows on terminals.

    Parameters
    ----------
    path : Path
        Gets the file when it is complete.
    width, classes, seed
        As in `standin_weights`.

    Raises
    ------
    OSError
        The folder cannot be written to, or the disk is full; nothing is left behind.
    """
    size, pieces = standin_file(path.name, width=width, classes=classes, seed=seed)
    with written_whole(path) as file, progress_bar(total=size, unit="B", unit_scale=True) as bar:
        bar.set_description(path.name)
        for piece in pieces:
            file.write(piece)
            bar.update(len(piece))


def standin_file(
    name: str, *, width: float = 1.0, classes: int = 101, seed: int = 0
) -> tuple[int, Iterator[bytes | memoryview]]:
    """The published files byte for byte, but for their numbers: VGG-16 with `standin_weights`.

    They were converted from Caffe in 2020: IR version 6, opset 11, the file's name as the graph's, weights in packed
    ``float_data``, none of them listed as inputs, a Reshape before each fully connected layer, Dropout, and the shape
    of every node's output.

    Parameters
    ----------
    name : str
        The file's.
    width, classes, seed
        As in `standin_weights`.

    Returns
    -------
    size : int
        Of the file, in bytes.
    pieces : iterator of bytes-like
        The file. The weights are made one layer at a time: 513 MB take no more memory than fc6.
    """
    shapes = layer_shapes("D", width, classes)
    graph = _Graph(array for _, *pair in standin_weights("D", width, classes, seed) for array in pair)
    side = 224
    for block, convolutions in itertools.groupby((key for key in shapes if key.startswith("conv")), lambda key: key[4]):
        for conv in convolutions:
            graph.convolution(conv, shapes[conv], side)
        side //= 2
        window = {"kernel_shape": [2, 2], "pads": [0] * 4, "strides": [2, 2]}
        graph.add("MaxPool", f"pool{block}", (1, shapes[conv][0], side, side), **window)
    for key, number, last in (("fc6", "6", ""), ("fc7", "7", ""), ("fc8", "8", f"-{classes}")):
        graph.fully_connected(f"{key}{last}", shapes[key])
        if not last:
            graph.add("Relu", f"relu{number}", (1, shapes[key][0]))
            graph.add("Dropout", f"drop{number}", (1, shapes[key][0]), ratio=0.5)
    graph.add("Softmax", "prob", (1, classes), axis=1)
    return onnx_file(
        graph.nodes,
        graph.tensors,
        inputs=[ValueInfo("input", "float32", (1, 3, 224, 224))],
        outputs=graph.values[-1:],
        values=graph.values[:-1],
        graph_name=name,
        producer="caffe",
        ir_version=6,
        opset=11,
    )


@dataclass(frozen=True)
class _Tensor:
    """An initializer whose array is made when it is written."""

    name: str
    dims: tuple[int, ...]
    dtype: np.dtype
    array: Callable[[], np.ndarray]


class _Graph:
    """A chain of nodes under construction: each reads what the one before it makes.

    Parameters
    ----------
    arrays : iterator of ndarray
        Weights and biases, in the order in which the nodes are added.
    """

    def __init__(self, arrays: Iterator[np.ndarray]):
        self._arrays = arrays
        self.nodes: list[Node] = []
        self.values: list[ValueInfo] = []
        self.tensors: list[_Tensor] = []

    def add(self, op_type: str, name: str, shape: tuple[int, ...], *inputs: str, **attributes: Any) -> None:
        """Append a node whose output has this shape."""
        top = self.values[-1].name if self.values else "input"
        self.nodes.append(Node(op_type, name, [top, *inputs], [f"{name}_Y"], attributes))
        self.values.append(ValueInfo(f"{name}_Y", "float32", shape))

    def convolution(self, name: str, weight: tuple[int, ...], side: int) -> None:
        """A convolution and its ReLU."""
        shape = (1, weight[0], side, side)
        self._take(f"{name}_W", weight)
        self._take(f"{name}_b", weight[:1])
        window = {"dilations": [1, 1], "group": 1, "kernel_shape": [3, 3], "pads": [1] * 4, "strides": [1, 1]}
        self.add("Conv", name, shape, f"{name}_W", f"{name}_b", **window)
        self.add("Relu", name.replace("conv", "relu"), shape)

    def fully_connected(self, name: str, weight: tuple[int, ...]) -> None:
        """A Reshape to one row and a Gemm."""
        row = np.array([1, weight[1]])
        self.tensors.append(_Tensor(f"{name}_shape", row.shape, np.dtype(np.int64), lambda: row))
        self.add("Reshape", f"{name}_Reshape", (1, weight[1]), f"{name}_shape")
        self._take(f"{name}_W", weight)
        self._take(f"{name}_B", weight[:1])
        product = {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 1}
        self.add("Gemm", f"{name}_Gemm", (1, weight[0]), f"{name}_W", f"{name}_B", **product)

    def _take(self, name: str, dims: tuple[int, ...]) -> None:
        self.tensors.append(_Tensor(name, dims, np.dtype(np.float32), self._arrays.__next__))
