"""VGG-16: configuration D of Simonyan and Zisserman, and its forward pass.

The network is five blocks of 3x3 convolutions, each followed by a ReLU, each block closed by 2x2 max pooling; then
three fully connected layers and a softmax. The image shrinks by half in each block while its channels grow::

    block 1   conv1_1  conv1_2            pool1     [N,   3, 224, 224] -> [N,  64, 112, 112]
    block 2   conv2_1  conv2_2            pool2     [N,  64, 112, 112] -> [N, 128,  56,  56]
    block 3   conv3_1  conv3_2  conv3_3   pool3     [N, 128,  56,  56] -> [N, 256,  28,  28]
    block 4   conv4_1  conv4_2  conv4_3   pool4     [N, 256,  28,  28] -> [N, 512,  14,  14]
    block 5   conv5_1  conv5_2  conv5_3   pool5     [N, 512,  14,  14] -> [N, 512,   7,   7]
    fc6       every pixel of every channel to 4096  [N, 25088]         -> [N, 4096]
    fc7                                             [N, 4096]          -> [N, 4096]
    fc8       a score for each class                [N, 4096]          -> [N, classes]
    prob      softmax                               [N, classes]       -> [N, classes]

VGG-11, 13 and 19 (configurations A, B and E) have fewer or more convolutions in a block, and nothing else is different.
How they are found in a file is `numpyvgg.vgg.recognise`'s business.

Source: Karen Simonyan and Andrew Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition",
ICLR 2015, table 1.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..errors import ArgumentError, UnsupportedModelError
from ..files.caffe import read_caffe
from ..files.onnx import OnnxModel, SerializableModel, read_onnx
from ..kernels import Kernels
from ..layers import Textbook, flatten, max_pool, relu, softmax
from .layer import Layer, configuration
from .recognise import recognise

#: How convolutions are computed: by the kernels, or by the definitions in `layers`.
METHODS = ("im2col", "winograd", "textbook")

#: Images that go through the convolutions together. Memory grows with it, and so does the use that is made of each
#: weight that is read; from 8 on it no longer shows.
GROUP = 8

if TYPE_CHECKING:  # in typing itself from Python 3.11 on
    from typing_extensions import Self


class Operations(Protocol):
    """What the forward pass is made of; `layers.Textbook` and the kernels are two implementations."""

    @property
    def keeps_weights(self) -> bool: ...
    def prepare_conv(self, weight: np.ndarray, bias: np.ndarray | None, *, pads: tuple[int, ...]) -> Any: ...
    def prepare_linear(self, weight: Any, bias: np.ndarray | None) -> Any: ...
    def conv2d(self, x: np.ndarray, conv: Any) -> np.ndarray: ...
    def conv_relu(self, x: np.ndarray, conv: Any) -> np.ndarray: ...
    def conv_relu_pool(self, x: np.ndarray, conv: Any) -> np.ndarray: ...
    def linear(self, x: np.ndarray, fc: Any) -> np.ndarray: ...
    def linear_relu(self, x: np.ndarray, fc: Any) -> np.ndarray: ...


class VGG:
    """A VGG network: call it with images, get probabilities.

    Attributes
    ----------
    configuration : str
        ``"A"`` (VGG-11), ``"B"`` (13), ``"D"`` (16) or ``"E"`` (19); ``"D, bn"`` and so on where batch normalisations
        are folded into the convolutions.
    layers : list of Layer
        Every operation in order.
    input_shape : tuple of int
        (3, 224, 224)
    classes : int
    dtype : np.dtype

    Examples
    --------
    >>> net = VGG16.from_onnx("vgg_ilsvrc_16_age_imdb_wiki.onnx")  # doctest: +SKIP
    >>> net(np.zeros((1, 3, 224, 224), np.float32)).shape  # doctest: +SKIP
    (1, 101)
    """

    def __init__(self, layers: list[Layer], input_shape: tuple[int, ...], operations: Operations, dtype: np.dtype):
        self.configuration = configuration(layers)
        self.input_shape = input_shape
        self.dtype = dtype
        self.classes = layers[-1].output_shape[0]
        self._ops = operations
        convs = {layer.place: self._prepare_conv(layer) for layer in layers if layer.place.startswith("conv")}
        self._blocks = [
            [conv for place, conv in convs.items() if place.startswith(f"conv{block}_")] for block in range(1, 6)
        ]
        self._fc_layers = [layer for layer in layers if layer.place.startswith("fc")]
        self._fc = [self._prepare_linear(layer, operations.keeps_weights) for layer in self._fc_layers]
        self._passes = 0
        self._lock = threading.Lock()
        prepared = convs | {layer.place: fc for layer, fc in zip(self._fc_layers, self._fc, strict=True)}
        self.layers = [
            replace(layer, method=getattr(prepared[layer.place], "method", "textbook")) if layer.load else layer
            for layer in layers
        ]

    def _prepare_conv(self, layer: Layer) -> Any:
        assert layer.load is not None
        weight, bias = (array.astype(self.dtype, copy=False) for array in layer.load())
        conv = self._ops.prepare_conv(weight, bias, pads=(1, 1, 1, 1))
        if layer.rows is not None:
            layer.rows.give_back()  # most operations have rearranged the weight, and need the file no more
        return conv

    def _prepare_linear(self, layer: Layer, keep: bool) -> Any:
        assert layer.load is not None
        if not keep and layer.rows is not None:
            return self._ops.prepare_linear(layer.rows, layer.load()[1].astype(self.dtype, copy=False))
        return self._ops.prepare_linear(*(array.astype(self.dtype, copy=False) for array in layer.load(aligned=True)))

    def _fully_connected(self) -> list[Any]:
        """fc6, fc7 and fc8 for one pass: the first may read their weights from the file, the second keeps them.

        They are nine tenths of the network, and a single photograph needs each of their weights once.
        """
        with self._lock:
            self._passes += 1
            if self._passes == 2 and not self._ops.keeps_weights:
                with suppress(MemoryError):  # they can still be read from the file
                    self._fc = [
                        self._prepare_linear(layer, keep=True) if layer.rows is not None else fc  # is kept already
                        for layer, fc in zip(self._fc_layers, self._fc, strict=True)
                    ]
            return self._fc

    @classmethod
    def from_onnx(
        cls,
        model: str | os.PathLike[str] | bytes | SerializableModel | OnnxModel,
        conv: str = "im2col",
        threads: int | None = None,
        dtype: str = "float32",
    ) -> Self:
        """Find the network in an ONNX file, by its structure alone.

        Parameters
        ----------
        model : path, bytes, ModelProto or OnnxModel
        conv : {"im2col", "winograd", "textbook"}
            How convolutions are computed: by `numpyvgg.kernels`, or by the definitions in `numpyvgg.layers`.
            ``"im2col"`` prepares next to nothing; ``"winograd"`` transforms the filters when the network is opened, and
            is twice as fast from then on. With both, the first pass frees each block of the fully connected weights
            once it is used; one image peaks at 150 MB (im2col) or 330 MB (Winograd). The second pass keeps them.
        threads : int, optional
            Threads of the kernels; by default the cores that this process may use. No result depends on it.
        dtype : {"float32", "float64"}
            What everything is computed in.

        Raises
        ------
        ModelFormatError
            The file is damaged or no ONNX file.
        UnsupportedModelError
            The file holds another network; the message names the node that differs.
        ArgumentError
            An option has a value that does not exist.
        """
        if conv not in METHODS:
            raise ArgumentError(f"conv={conv!r} does not exist; there are {', '.join(map(repr, METHODS))}")
        if str(dtype) not in ("float32", "float64"):
            raise ArgumentError(f"dtype={dtype!r} does not exist; there are 'float32' and 'float64'")
        model = model if isinstance(model, OnnxModel) else read_onnx(model)
        layers, input_shape = recognise(model)
        cls._check_configuration(configuration(layers), model.path)
        operations = Textbook() if conv == "textbook" else Kernels(conv, threads, dtype)
        return cls(layers, input_shape, operations, np.dtype(dtype))

    @classmethod
    def from_caffe(
        cls, path: str | os.PathLike[str], prototxt: str | os.PathLike[str] | None = None, **options: Any
    ) -> Self:
        """Find the network in a Caffe model (``.caffemodel``), as the DEX networks were first published.

        Parameters
        ----------
        path, prototxt : path
            See `read_caffe`.
        **options
            As for `from_onnx`.

        Raises
        ------
        ModelFormatError, UnsupportedModelError, ArgumentError
            As `from_onnx`.
        """
        return cls.from_onnx(read_caffe(path, prototxt), **options)

    @classmethod
    def _check_configuration(cls, found: str, path: str) -> None:
        """Any will do, unless the class is for one only."""

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Run the network: the forward pass.

        Parameters
        ----------
        x : ndarray [N, 3, 224, 224]
            Values 0..255, channels B, G, R; see `numpyvgg.photo.images.load_image`.

        Returns
        -------
        ndarray [N, classes]
            Probabilities; each row sums to 1. Where the file ends with the scores, as PyTorch's exports do, the softmax
            is applied all the same.

        Raises
        ------
        ArgumentError
            `x` has another shape, or holds no real numbers.
        """
        ops = self._ops
        x = self._check(x)
        groups = [x[first : first + GROUP] for first in range(0, max(len(x), 1), GROUP)]
        x = np.concatenate([self._features(group) for group in groups])  # [N, 25088]
        fc6, fc7, fc8 = self._fully_connected()
        x = ops.linear_relu(x, fc6)
        x = ops.linear_relu(x, fc7)
        x = ops.linear(x, fc8)
        return softmax(x, axis=1)

    def _features(self, x: np.ndarray) -> np.ndarray:
        """The convolutional part of the forward pass, ``[N, 3, 224, 224] -> [N, 25088]``."""
        ops = self._ops
        x = np.ascontiguousarray(x, self.dtype)
        for block in self._blocks:
            for conv in block[:-1]:
                x = ops.conv_relu(x, conv)
            x = ops.conv_relu_pool(x, block[-1])
        return flatten(x)

    def trace(self, x: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        """Run the network one operation at a time.

        Parameters
        ----------
        x : ndarray [N, 3, 224, 224]

        Yields
        ------
        (str, ndarray)
            The node's name in the file, and its output.
        """
        for layer, value in self.trace_layers(x):
            yield layer.name, value

    def trace_layers(self, x: np.ndarray) -> Iterator[tuple[Layer, np.ndarray]]:
        """As `trace`, with the whole `Layer` in place of its name."""
        convolutions = iter(conv for block in self._blocks for conv in block)
        fully_connected = iter(self._fully_connected())
        x = np.ascontiguousarray(self._check(x), self.dtype)
        for layer in self.layers:
            if layer.place.startswith("conv"):
                x = self._ops.conv2d(x, next(convolutions))
            elif layer.place.startswith("relu"):
                x = relu(x)
            elif layer.place.startswith("pool"):
                x = max_pool(x, (2, 2), strides=(2, 2))
            elif layer.place.startswith("fc"):
                x = self._ops.linear(flatten(x), next(fully_connected))
            else:
                x = softmax(x, axis=1)
            # Reshaped for fully connected layers written as convolutions: [N, M, 1, 1].
            yield layer, np.ascontiguousarray(x.reshape(len(x), *layer.output_shape))

    def _check(self, x: np.ndarray) -> np.ndarray:
        """Turn away what is no batch of images, with the mend where one can guess it."""
        x = np.asarray(x)
        wanted = f"[N, {', '.join(map(str, self.input_shape))}]"
        if x.shape[1:] != self.input_shape or x.ndim != 4:
            mend = ""
            if x.shape == self.input_shape:
                mend = "; a single image needs a batch axis: x[None]"
            elif x.ndim == 4 and x.shape[1:] == (*self.input_shape[1:], self.input_shape[0]):
                mend = "; channels come before rows: x.transpose(0, 3, 1, 2)"
            raise ArgumentError(f"the network takes {wanted}, not {list(x.shape)}{mend}")
        if x.dtype.kind not in "fiu":
            raise ArgumentError(f"the network takes real numbers, not {x.dtype}")
        return x

    def __repr__(self) -> str:
        parameters = sum(layer.parameters for layer in self.layers)
        multiply_adds = sum(layer.multiply_adds for layer in self.layers)
        shape = ", ".join(map(str, self.input_shape))
        depth = sum(layer.load is not None for layer in self.layers)
        return (
            f"<VGG-{depth}, configuration {self.configuration}: [N, {shape}] -> [N, {self.classes}], {self.dtype}, "
            f"{parameters:,} parameters, {multiply_adds / 1e9:.2f} G multiply-adds an image>"
        )


class VGG16(VGG):
    """As `VGG`, and turns away the other configurations: the network that `numpyvgg.vgg.network` is about."""

    @classmethod
    def _check_configuration(cls, found: str, path: str) -> None:
        if not found.startswith("D"):
            raise UnsupportedModelError(f"{path}: not VGG-16, but configuration {found}; open it with numpyvgg.VGG")
