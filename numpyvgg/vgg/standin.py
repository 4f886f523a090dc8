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

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..files.cache import written_whole
from ..files.wire import bytes_field, integer_field, length_prefix, packed_varints, single_field
from ..text import progress_bar
from .layer import CONFIGURATIONS

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


# ---------------------------------------------------------------------- the file


def write_standin(path: Path, *, width: float = 1.0, classes: int = 101, seed: int = 0) -> None:
    """Write VGG-16 with `standin_weights` as an ONNX file in the published files' layout.

    That is opset 11, weights in packed ``float_data``, every initializer listed as an input too, ``auto_pad`` and
    ``ceil_mode`` spelled out, Dropout, and a Reshape before each fully connected layer. The weights go to disk layer by
    layer, so that 513 MB take no more memory than fc6. A progress bar shows on terminals.

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
    shapes = layer_shapes("D", width, classes)
    tensors = {
        f"{name}_{key}": dims for name, shape in shapes.items() for key, dims in (("W", shape), ("b", shape[:1]))
    }
    flat = {f"{name}_shape": (1, shape[1]) for name, shape in shapes.items() if len(shape) == 2}
    heads = {name: _tensor_head(name, dims) for name, dims in tensors.items()}
    before = _nodes(shapes) + bytes_field(2, "VGG-16 stand-in")
    after = b"".join(bytes_field(5, _shape_tensor(name, shape)) for name, shape in flat.items())
    after += bytes_field(11, _value_info("input", _FLOAT, (1, 3, 224, 224)))
    after += b"".join(bytes_field(11, _value_info(name, _FLOAT, dims)) for name, dims in tensors.items())
    after += b"".join(bytes_field(11, _value_info(name, _INT64, (2,))) for name in flat)
    after += bytes_field(12, _value_info("prob", _FLOAT, (1, classes)))
    graph_size = len(before) + len(after) + sum(len(heads[name]) + 4 * math.prod(tensors[name]) for name in tensors)

    with written_whole(path) as file, progress_bar(total=graph_size, unit="B", unit_scale=True) as bar:
        bar.set_description(path.name)
        file.write(integer_field(1, 6) + bytes_field(2, "numpyvgg-standin") + length_prefix(7, graph_size) + before)
        for layer, *arrays in standin_weights("D", width, classes, seed):
            for name, array in zip((f"{layer}_W", f"{layer}_b"), arrays, strict=True):
                file.write(heads[name])
                file.write(np.ascontiguousarray(array, "<f4").data)
                bar.update(len(heads[name]) + array.nbytes)
        file.write(after + bytes_field(8, integer_field(2, 11)))
        bar.update(len(before) + len(after))


_FLOAT, _INT64 = 1, 7  # TensorProto.DataType


def _tensor_head(name: str, dims: Sequence[int]) -> bytes:
    """A graph's float initializer up to its values, which are written after it."""
    size = 4 * math.prod(dims)
    fields = bytes_field(1, packed_varints(dims)) + integer_field(2, _FLOAT) + bytes_field(8, name)
    fields += length_prefix(4, size)
    return length_prefix(5, len(fields) + size) + fields


def _shape_tensor(name: str, shape: Sequence[int]) -> bytes:
    """The initializer that tells a Reshape its shape."""
    dims = integer_field(1, len(shape)) + integer_field(2, _INT64)
    return dims + bytes_field(7, packed_varints(shape)) + bytes_field(8, name)


def _value_info(name: str, dtype: int, shape: Sequence[int]) -> bytes:
    """A graph input or output."""
    dims = b"".join(bytes_field(1, integer_field(1, size)) for size in shape)
    return bytes_field(1, name) + bytes_field(2, bytes_field(1, integer_field(1, dtype) + bytes_field(2, dims)))


def _nodes(shapes: Mapping[str, Sequence[int]]) -> bytes:
    """The graph's nodes from `input` to `prob`, encoded."""
    conv = {"auto_pad": "NOTSET", "dilations": [1, 1], "group": 1, "kernel_shape": [3, 3], "pads": [1] * 4}
    pool = {"auto_pad": "NOTSET", "ceil_mode": 1, "kernel_shape": [2, 2], "pads": [0] * 4, "strides": [2, 2]}
    names = list(shapes)
    steps: list[tuple[str, str, list[str], dict[str, Any]]] = []
    for name, following in zip(names, [*names[1:], ""], strict=True):
        weights = [f"{name}_W", f"{name}_b"]
        number = name.removeprefix("conv").removeprefix("fc")
        if name.startswith("conv"):
            steps += [("Conv", name, weights, {**conv, "strides": [1, 1]}), ("Relu", f"relu{number}", [], {})]
            if following[:5] != name[:5]:  # the block ends
                steps += [("MaxPool", f"pool{number[0]}", [], pool)]
            continue
        steps += [("Reshape", f"{name}_reshape", [f"{name}_shape"], {})]
        steps += [("Gemm", name, weights, {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 1})]
        if following:
            steps += [("Relu", f"relu{number}", [], {}), ("Dropout", f"drop{number}", [], {"ratio": 0.5})]
    steps += [("Softmax", "prob", [], {"axis": 1})]
    tops = ["input", *(name for _, name, _, _ in steps)]
    return b"".join(bytes_field(1, _node(top, *step)) for top, step in zip(tops, steps, strict=False))


def _node(top: str, op_type: str, name: str, weights: Sequence[str], attributes: Mapping[str, Any]) -> bytes:
    """A NodeProto that reads `top` and its weights, and whose output has its own name."""
    inputs = b"".join(bytes_field(1, value) for value in (top, *weights))
    fields = inputs + bytes_field(2, name) + bytes_field(3, name) + bytes_field(4, op_type)
    return fields + b"".join(bytes_field(5, _attribute(key, value)) for key, value in attributes.items())


def _attribute(name: str, value: float | str | list[int]) -> bytes:
    """An AttributeProto; field 20 says which of the others holds the value."""
    if isinstance(value, str):
        return bytes_field(1, name) + bytes_field(4, value) + integer_field(20, 3)
    if isinstance(value, list):
        return bytes_field(1, name) + bytes_field(8, packed_varints(value)) + integer_field(20, 7)
    if isinstance(value, float):
        return bytes_field(1, name) + single_field(2, value) + integer_field(20, 1)
    return bytes_field(1, name) + integer_field(3, value) + integer_field(20, 2)
