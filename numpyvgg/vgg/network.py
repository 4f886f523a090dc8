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

Source: K. Simonyan, A. Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", 2015, table 1.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import NotPickled, UnsupportedModelError
from ..files.onnx import OnnxModel, SerializableModel, read_onnx
from ..kernels import operations
from ..layers import Operations, flatten, max_pool, relu, softmax
from .layer import IMAGES_AT_ONCE, Layer, check_images, configuration, grouped, in_parts, prepare, summary
from .recognise import recognise

if TYPE_CHECKING:  # in typing itself from Python 3.11 on
    from typing_extensions import Self


class VGG(NotPickled):
    """A VGG network: call it with images ``[N, 3, 224, 224]``, get probabilities ``[N, classes]``.

    Attributes
    ----------
    configuration : str
        ``"D"``; with fewer or more convolutions in a block ``"A"`` (VGG-11), ``"B"`` (13) or ``"E"`` (19).
    layers : list of Layer
    input_shape : (3, 224, 224)
    classes : int
    dtype : np.dtype
    """

    _only = ""  # what a configuration has to begin with

    def __init__(self, layers: list[Layer], input_shape: tuple[int, ...], ops: Operations, dtype: np.dtype):
        self.configuration, self.classes = configuration(layers), layers[-1].output_shape[0]
        self.input_shape, self.dtype, self._ops = input_shape, dtype, ops
        self.layers, self._weights = prepare(layers, ops)
        self._blocks, self._fc = grouped(layers, self._weights)

    @classmethod
    def from_onnx(
        cls,
        model: str | os.PathLike[str] | bytes | SerializableModel | OnnxModel,
        conv: str | None = None,
        threads: int | None = None,
        dtype: str = "float32",
        memory: str | int | None = None,
    ) -> Self:
        """Find the network in an ONNX file, by its structure alone.

        Parameters
        ----------
        model : path, bytes, ModelProto or OnnxModel
        conv : {"im2col", "winograd", "textbook"}
            How convolutions are computed; by default im2col where NumPy has a tuned BLAS. ``"winograd"`` transforms
            the filters once, and is twice as fast from then on. One image peaks at 150 MB (im2col) or 330 MB.
        threads : int, optional
            By default as many as this process may use cores. No result depends on it.
        dtype : {"float32", "float64"}
        memory : {"small", "fast"} or int, optional
            Whether the second pass keeps 480 MB of weights; by default where they fit. See `kernels.memory.Budget`.

        Raises
        ------
        ModelFormatError, UnsupportedModelError, ArgumentError
            The file is damaged; holds another network (the node that differs is named); an option does not exist.
        """
        ops = operations(conv, threads, dtype, memory)
        model = model if isinstance(model, OnnxModel) else read_onnx(model)
        layers, input_shape = recognise(model)
        if not (found := configuration(layers)).startswith(cls._only):
            raise UnsupportedModelError(f"{model.path}: configuration {found}, not VGG-16; open it with numpyvgg.VGG")
        return cls(layers, input_shape, ops, np.dtype(dtype))

    @classmethod
    def from_caffe(cls, path: str | os.PathLike[str], prototxt: str | os.PathLike[str] = "", **options: Any) -> Self:
        """Find the network in a Caffe model, see `files.caffe.read_caffe`; options and errors as of `from_onnx`."""
        from ..files.caffe import read_caffe  # which those who read ONNX need not wait for

        return cls.from_onnx(read_caffe(path, prototxt or None), **options)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Run the network: the forward pass.

        Parameters
        ----------
        x : ndarray [N, 3, 224, 224]
            Values 0..255, channels B, G, R; see `numpyvgg.photo.images.to_tensor`.

        Returns
        -------
        ndarray [N, classes]
            Probabilities, also where the file ends with the scores. A single class is no distribution: its score.
        """
        x = np.ascontiguousarray(check_images(x, self.input_shape), self.dtype)
        for at_once, blocks in IMAGES_AT_ONCE:
            x = in_parts(self._convolve, x, at_once, self._blocks[blocks])
        fc6, fc7, fc8 = self._fc
        x = self._ops.linear_relu(flatten(x), fc6)  # [N, 512, 7, 7] -> [N, 25088] -> [N, 4096]
        x = self._ops.linear_relu(x, fc7)
        x = self._ops.linear(x, fc8)
        return x if self.classes == 1 and self.layers[-1].kind == "fc" else softmax(x, axis=1)

    def _convolve(self, x: np.ndarray, blocks: list[list[Any]]) -> np.ndarray:
        """Some of the five blocks, ``[N, C, H, W] -> [N, M, outH, outW]``."""
        for *convs, last in blocks:
            for conv in convs:
                x = self._ops.conv_relu(x, conv)
            x = self._ops.conv_relu_pool(x, last)
        return x

    def trace(self, x: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        """Run the network one operation at a time -> each node's name in the file, and its output."""
        return ((layer.name, value) for layer, value in self.trace_layers(x))

    def trace_layers(self, x: np.ndarray) -> Iterator[tuple[Layer, np.ndarray]]:
        """As `trace`, with the whole `Layer` in place of its name."""
        operate = {
            "relu": lambda x, _: relu(x),
            "pool": lambda x, _: max_pool(x, (2, 2), strides=(2, 2)),
            "fc": lambda x, fc: self._ops.linear(flatten(x), fc),
            "prob": lambda x, _: softmax(x, axis=1),
        }
        x = np.ascontiguousarray(check_images(x, self.input_shape), self.dtype)
        for layer, weights in zip(self.layers, self._weights, strict=True):
            if layer.kind == "conv":  # as many images at a time as in the forward pass, for the same bits
                x = in_parts(self._ops.conv2d, x, layer.images_at_once, weights)
            else:
                x = operate[layer.kind](x, weights)
            # Reshaped for fully connected layers written as convolutions: [N, M, 1, 1].
            yield layer, np.ascontiguousarray(x.reshape(len(x), *layer.output_shape))

    def __repr__(self) -> str:
        return f"<{summary(self.layers)}, {[*self.input_shape]} -> [{self.classes}], {self.dtype}; {self._ops}>"


class VGG16(VGG):
    """As `VGG`, and turns away the other configurations."""

    _only = "D"
