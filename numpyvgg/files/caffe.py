"""Caffe's trained networks (``.caffemodel``), read as if they had been written as ONNX.

The DEX networks were first published by their authors as Caffe models. Such a file is one protobuf message, a
`NetParameter`, and holds both the layers and their weights, so that the ``.prototxt`` beside it is not needed::

    NetParameter     name 1, layers 2 (old form), input 3, input_dim 4, input_shape 8, layer 100
      layer          name 1, type 2, bottom 3, top 4, blobs 7, parameters from 100 on
      layers         bottom 2, top 3, name 4, type 5 (a number), blobs 6, parameters from 10 on
        BlobProto    num 1, channels 2, height 3, width 4 (old form); data 5, shape 7, double_data 8

`read_caffe` turns each layer into the ONNX node that does the same, with the weights as initializers on the file's own
bytes; everything that works on ONNX files then works on Caffe's. What a file has for training (labels, losses,
accuracy) is left out, and a loss made of a softmax becomes the softmax.

Source: https://github.com/BVLC/caffe/blob/master/src/caffe/proto/caffe.proto
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UnsupportedModelError
from .onnx import Initializers, Node, OnnxModel, ValueInfo, read_onnx, refuse_other_files
from .tensor import StoredTensor
from .wire import Message, Source

#: The old form's numbers for the types that a VGG network has, or that stand around it in training
_OLD_TYPES = {
    1: "Accuracy",
    4: "Convolution",
    5: "Data",
    6: "Dropout",
    8: "Flatten",
    9: "HDF5Data",
    12: "ImageData",
    14: "InnerProduct",
    17: "Pooling",
    18: "ReLU",
    20: "Softmax",
    21: "SoftmaxWithLoss",
    22: "Split",
    24: "WindowData",
    29: "MemoryData",
    32: "DummyData",
    36: "Silence",
}
#: Which field has a type's parameters: (in the new form, in the old form)
_PARAMETERS = {
    "Convolution": (106, 10),
    "InnerProduct": (117, 17),
    "Pooling": (121, 19),
    "ReLU": (123, 30),
    "Softmax": (125, 39),
    "SoftmaxWithLoss": (125, 39),
    "Input": (143, 143),
}
_DATA = ("Data", "HDF5Data", "ImageData", "WindowData", "MemoryData", "DummyData", "Input")
_TRAINING_ONLY = ("Accuracy", "Silence")
_TRANSFORM = {False: 36, True: 100}  # of a data layer in the old and in the new form; crop_size is field 3 in it


def read_model(path: str | os.PathLike[str]) -> OnnxModel:
    """Read an ONNX file or a Caffe one: its first bytes say which it is.

    Raises
    ------
    ModelFormatError, UnsupportedModelError
        As `read_onnx` and `read_caffe`.
    """
    return read_caffe(path) if is_caffe(path) else read_onnx(path)


def is_caffe(path: str | os.PathLike[str]) -> bool:
    """Whether a file looks like a Caffe model: it is called one, or begins with fields that ONNX writes otherwise.

    An ONNX file begins with its IR version, a varint in field 1. Caffe's field 1 is the name, with a length; its field
    100, a layer, does not exist in ONNX.
    """
    if Path(path).suffix == ".caffemodel":
        return True
    try:
        with open(path, "rb") as file:
            first = file.read(3)
    except (OSError, ValueError):
        return False  # `read_onnx` says what is wrong
    return (first[:1] == b"\x0a" and first[1:2] not in (b"<", b"\x0a")) or first[:2] == b"\xa2\x06"


def read_caffe(path: str | os.PathLike[str]) -> OnnxModel:
    """Read a Caffe model without copying its weights.

    Parameters
    ----------
    path : path
        Of a ``.caffemodel``; the ``.prototxt`` is not needed.

    Returns
    -------
    OnnxModel
        Of the operators that Caffe's layers correspond to; a layer that has none keeps its Caffe type's name.

    Raises
    ------
    ModelFormatError
        The file is missing, damaged, or no Caffe model.
    UnsupportedModelError
        A layer has no name, or parameters that no VGG network has.
    """
    source = Source.open(path)
    refuse_other_files(source, "a Caffe model")
    net = Message.root(source, "NetParameter")
    layers = [_Layer.read(message, new=True) for message in net.messages(100, "layer")]
    layers = layers or [_Layer.read(message, new=False) for message in net.messages(2, "layers")]
    if not layers:
        net.fail("there are no layers; is this a Caffe model (.caffemodel)?", 0)
    return _Converter(net, layers).model()


class _Blob(StoredTensor):
    """A layer's weight or bias, as it lies in the file."""

    def __init__(self, message: Message, name: str, matrix: bool = False):
        self._message, self._source, self.name = message, message.source, name
        message.place += f" of {name!r}"
        self._number, self._size = (8, 8) if message.has(8) else (5, 4)
        self._file_dtype = np.dtype(f"<f{self._size}")
        self.dtype = self._file_dtype.newbyteorder("=")
        self._type = 1
        self.storage = "double_data" if self._number == 8 else "data"
        spans = message.fixed_spans(self._number, self._size)
        self._span = spans[0] if len(spans) == 1 else None
        self.dims = self._shape(matrix)
        held = sum(end - start for start, end in spans)
        if held != math.prod(self.dims) * self._size:
            message.fail(
                f"shape {list(self.dims)} takes {math.prod(self.dims)} numbers, but there are {held // self._size}"
            )

    def _shape(self, matrix: bool) -> tuple[int, ...]:
        """The shape; of a matrix, the old form's [1, 1, M, K] is [M, K]."""
        new = self._message.has(7)
        integers = self._message.message(7, "shape").integers(1) if new else map(self._message.integer, (1, 2, 3, 4))
        dims = tuple(integers)
        if any(dim < 0 for dim in dims):
            self._message.fail(f"shape {list(dims)} has a negative dimension")
        return dims[2:] if matrix and len(dims) == 4 and dims[:2] == (1, 1) else dims

    def _decode(self) -> np.ndarray:
        """The numbers where they do not lie in one piece."""
        spans = self._message.fixed_spans(self._number, self._size)
        return np.frombuffer(b"".join(self._message.source.data[a:b] for a, b in spans), self._file_dtype)


@dataclass(frozen=True)
class _Layer:
    """A layer of either form."""

    name: str
    type: str
    bottom: list[str]
    top: list[str]
    blobs: list[Message]
    parameters: Message
    crop_size: int

    @classmethod
    def read(cls, message: Message, new: bool) -> _Layer:
        if not new and message.has(1):
            raise UnsupportedModelError(
                f"{message.source.name}: in {message.place}: the form that Caffe had before 2014 (V0LayerParameter); "
                "upgrade the file with Caffe's upgrade_net_proto_binary"
            )
        kind = message.text(2) if new else _OLD_TYPES.get(message.integer(5), f"type {message.integer(5)}")
        fields = _PARAMETERS.get(kind)
        return cls(
            name=message.text(1 if new else 4),
            type=kind,
            bottom=message.texts(3 if new else 2),
            top=message.texts(4 if new else 3),
            blobs=message.messages(7 if new else 6, "blobs"),
            parameters=message.message(fields[0 if new else 1], "parameters")
            if fields
            else Message(message.source, "", []),
            crop_size=message.message(_TRANSFORM[new], "transform_param").integer(3),
        )


class _Converter:
    """Writes Caffe's layers as ONNX's nodes.

    Caffe computes in place: a ReLU reads and writes the blob ``conv1_1``. Here each output has a name of its own, the
    blob's where that is still free, the layer's otherwise; `current` has the latest for each blob.
    """

    def __init__(self, net: Message, layers: list[_Layer]):
        self.net = net
        self.layers = layers
        self.nodes: list[Node] = []
        self.tensors: dict[str, StoredTensor] = {}
        self.current: dict[str, str] = {}
        self.inputs: list[ValueInfo] = []

    def model(self) -> OnnxModel:
        shapes = [message.integers(1) for message in self.net.messages(8, "input_shape")]
        for i, name in enumerate(self.net.texts(3)):
            self._input(name, shapes[i] if i < len(shapes) else self.net.integers(4)[4 * i : 4 * i + 4])
        for layer in self.layers:
            self._layer(layer)
        consumed = {name for node in self.nodes for name in node.inputs}
        last = [node.outputs[0] for node in self.nodes if node.outputs[0] not in consumed]
        return OnnxModel(
            path=self.net.source.name,
            nodes=self.nodes,
            initializers=Initializers(self.tensors),
            inputs=self.inputs,
            outputs=[ValueInfo(name, "float32", None) for name in last],
            opset_imports={"": 13},
            producer="Caffe",
            graph_name=self.net.text(1),
        )

    def _input(self, name: str, dims: list[int]) -> None:
        """An input of the network; Caffe's batch size is but a default."""
        shape: tuple[int | str | None, ...] = ("N", *dims[1:]) if len(dims) == 4 else ("N", 3, None, None)
        self.inputs.append(ValueInfo(name, "float32", shape))
        self.current[name] = name

    def _layer(self, layer: _Layer) -> None:
        if layer.type in _DATA:
            if layer.top and layer.top[0] not in self.current:  # the second top has the labels
                shapes = layer.parameters.messages(1, "shape") if layer.type == "Input" else []
                dims = shapes[0].integers(1) if shapes else [1, 3, layer.crop_size, layer.crop_size]
                self._input(layer.top[0], dims if all(dims) else [])
            return
        if layer.type in _TRAINING_ONLY or not layer.bottom:
            return
        if layer.bottom[0] not in self.current:  # a network without a data layer
            self._input(layer.bottom[0], [])
        if layer.type == "Split":
            self.current.update(dict.fromkeys(layer.top, self.current[layer.bottom[0]]))
            return
        convert = {
            "Convolution": self._convolution,
            "Pooling": self._pooling,
            "InnerProduct": self._inner_product,
            "ReLU": self._relu,
            "Softmax": self._softmax,
            "SoftmaxWithLoss": self._softmax,
        }.get(layer.type, self._as_it_is)
        convert(layer)

    def _add(self, layer: _Layer, op_type: str, weights: list[str], **attributes: Any) -> None:
        top = layer.top[0] if layer.top else layer.name
        taken = {value.name for value in self.inputs}.union(*(node.outputs for node in self.nodes))
        output = top if top not in taken else layer.name
        bottoms = [self.current.get(bottom, bottom) for bottom in layer.bottom]
        if layer.type == "SoftmaxWithLoss":
            bottoms = bottoms[:1]
        self.nodes.append(Node(op_type, layer.name, [*bottoms, *weights], [output], attributes))
        self.current[top] = output

    def _weights(self, layer: _Layer, matrix: bool) -> list[str]:
        names = [f"{layer.name}_{key}" for key, _ in zip("Wb", layer.blobs, strict=False)]
        for name, blob in zip(names, layer.blobs, strict=False):
            self.tensors[name] = _Blob(blob, name, matrix and name.endswith("_W"))
        return names

    def _convolution(self, layer: _Layer) -> None:
        p = layer.parameters
        self._add(
            layer,
            "Conv",
            self._weights(layer, matrix=False),
            kernel_shape=_pair(p, 4, 11, 0),
            strides=_pair(p, 6, 13, 1),
            pads=_pair(p, 3, 9, 0) * 2,
            dilations=_pair(p, 18, 0, 1),
            group=p.integer(5, 1),
        )

    def _pooling(self, layer: _Layer) -> None:
        p = layer.parameters
        kind = {0: "MaxPool", 1: "AveragePool"}.get(p.integer(1), "StochasticPool")
        if p.integer(12):
            self._add(layer, f"Global{kind}", [])
            return
        ceil_mode = int(p.integer(13) == 0)  # Caffe rounds up where ONNX rounds down
        window = {"kernel_shape": _pair(p, 2, 5, 0), "strides": _pair(p, 3, 7, 1), "pads": _pair(p, 4, 9, 0) * 2}
        self._add(layer, kind, [], ceil_mode=ceil_mode, **window)

    def _inner_product(self, layer: _Layer) -> None:
        p = layer.parameters
        if p.integer(5, 1) != 1:
            raise UnsupportedModelError(f"{self.net.source.name}: {layer.name!r} has axis {p.integer(5)}, not 1")
        flat = f"{layer.name}_flatten"  # Caffe takes the pixels of all channels as they come; a Gemm wants a row
        bottom = self.current[layer.bottom[0]]
        self.nodes.append(Node("Flatten", flat, [bottom], [flat], {"axis": 1}))
        self.current[layer.bottom[0]] = flat
        self._add(layer, "Gemm", self._weights(layer, matrix=True), transB=int(not p.integer(6)))

    def _relu(self, layer: _Layer) -> None:
        slope = layer.parameters.single(1)
        if slope:
            self._add(layer, "LeakyRelu", [], alpha=slope)
        else:
            self._add(layer, "Relu", [])

    def _softmax(self, layer: _Layer) -> None:
        self._add(layer, "Softmax", [], axis=layer.parameters.integer(2, 1))

    def _as_it_is(self, layer: _Layer) -> None:
        """Dropout and Flatten have the same name in ONNX; whatever has not is left to be refused by its name."""
        self._add(layer, layer.type, [])


def _pair(parameters: Message, both: int, single: int, default: int) -> list[int]:
    """A size along height and width: one number, two, or (fields `single` and the next) each under its own name."""
    if single and (parameters.has(single) or parameters.has(single + 1)):
        return [parameters.integer(single, default), parameters.integer(single + 1, default)]
    sizes = parameters.integers(both) or [default]
    return [sizes[0], sizes[-1]]
