"""VGG-16: configuration D of Simonyan and Zisserman, its forward pass, and how it is found in an ONNX file.

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

Source: Karen Simonyan and Andrew Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition",
ICLR 2015, table 1.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol

import numpy as np

from .errors import ArgumentError, UnsupportedModelError
from .layers import Textbook, flatten, max_pool, relu, softmax
from .onnx_file import Node, OnnxModel, SerializableModel, read_onnx

#: Convolutions in each of the five blocks.
CONFIGURATION_D = (2, 2, 3, 3, 3)


class Operations(Protocol):
    """What the forward pass is made of; `layers.Textbook` and the kernels are two implementations."""

    def prepare_conv(self, weight: np.ndarray, bias: np.ndarray | None, *, pads: tuple[int, ...]) -> Any: ...
    def prepare_linear(self, weight: np.ndarray, bias: np.ndarray | None) -> Any: ...
    def conv2d(self, x: np.ndarray, conv: Any) -> np.ndarray: ...
    def conv_relu(self, x: np.ndarray, conv: Any) -> np.ndarray: ...
    def conv_relu_pool(self, x: np.ndarray, conv: Any) -> np.ndarray: ...
    def linear(self, x: np.ndarray, fc: Any) -> np.ndarray: ...
    def linear_relu(self, x: np.ndarray, fc: Any) -> np.ndarray: ...


@dataclass(frozen=True)
class Layer:
    """One operation of the network, for tables and reports.

    Attributes
    ----------
    place : str
        Its name in the literature: ``conv3_2``, ``relu3_2``, ``pool3``, ``fc6``.
    name, output : str
        The node's name and its output tensor's name, in the file's words.
    op_type : str
        ``Conv``, ``Relu``, ``MaxPool``, ``Gemm`` or ``Softmax``.
    output_shape : tuple of int
        For one image, without the batch axis.
    weight_shape : tuple of int
        Conv: ``[M, C, 3, 3]``; Gemm: ``[M, K]``; empty for the others.
    storage : str
        How the file holds the weight: ``float_data``, ``raw_data``, ..., and whether it is aligned.
    load : callable
        Gives the weight and the bias ``[M]``; until then they stay in the file.
    """

    place: str
    name: str
    output: str
    op_type: str
    output_shape: tuple[int, ...]
    weight_shape: tuple[int, ...] = ()
    storage: str = ""
    load: Callable[[], tuple[np.ndarray, np.ndarray]] | None = field(default=None, repr=False)

    @property
    def parameters(self) -> int:
        """Numbers that were learnt: weights, and one bias for each output channel."""
        return math.prod(self.weight_shape) + self.weight_shape[0] if self.weight_shape else 0

    @property
    def multiply_adds(self) -> int:
        """Multiplications (each with its addition) for one image, counted as the definition has them."""
        pixels = math.prod(self.output_shape[1:])  # 1 for a fully connected layer
        return math.prod(self.weight_shape) * pixels if self.weight_shape else 0


class VGG16:
    """A VGG-16 network: call it with images, get probabilities.

    Attributes
    ----------
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
        self.layers = layers
        self.input_shape = input_shape
        self.dtype = dtype
        self.classes = layers[-1].output_shape[0]
        self._ops = operations
        prepared = {layer.place: self._prepare(layer) for layer in layers if layer.load is not None}
        self._blocks = [
            [prepared[f"conv{block}_{i}"] for i in range(1, count + 1)]
            for block, count in enumerate(CONFIGURATION_D, start=1)
        ]
        self._fc6, self._fc7, self._fc8 = prepared["fc6"], prepared["fc7"], prepared["fc8"]

    def _prepare(self, layer: Layer) -> Any:
        assert layer.load is not None
        weight, bias = (array.astype(self.dtype, copy=False) for array in layer.load())
        if layer.op_type == "Conv":
            return self._ops.prepare_conv(weight, bias, pads=(1, 1, 1, 1))
        return self._ops.prepare_linear(weight, bias)

    @classmethod
    def from_onnx(
        cls,
        model: str | os.PathLike[str] | bytes | SerializableModel | OnnxModel,
        conv: str = "im2col",
        threads: int | None = None,
        dtype: str = "float32",
    ) -> VGG16:
        """Find the network in an ONNX file, by its structure alone.

        Parameters
        ----------
        model : path, bytes, ModelProto or OnnxModel
        conv : {"im2col"}
            How convolutions are computed.
        threads : int, optional
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
        if conv != "im2col":
            raise ArgumentError(f"conv={conv!r} does not exist; there is 'im2col'")
        if str(dtype) not in ("float32", "float64"):
            raise ArgumentError(f"dtype={dtype!r} does not exist; there are 'float32' and 'float64'")
        model = model if isinstance(model, OnnxModel) else read_onnx(model)
        layers, input_shape = recognise(model)
        return cls(layers, input_shape, Textbook(), np.dtype(dtype))

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Run the network: the forward pass.

        Parameters
        ----------
        x : ndarray [N, 3, 224, 224]
            Values 0..255, channels B, G, R; see `numpyvgg.dex.load_image`.

        Returns
        -------
        ndarray [N, classes]
            Probabilities; each row sums to 1.

        Raises
        ------
        ArgumentError
            `x` has another shape, or holds no real numbers.
        """
        ops = self._ops
        x = self._check(x)
        for block in self._blocks:
            for conv in block[:-1]:
                x = ops.conv_relu(x, conv)
            x = ops.conv_relu_pool(x, block[-1])
        x = flatten(x)  # [N, 512, 7, 7] -> [N, 25088]
        x = ops.linear_relu(x, self._fc6)
        x = ops.linear_relu(x, self._fc7)
        x = ops.linear(x, self._fc8)
        return softmax(x, axis=1)

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
        fully_connected = iter((self._fc6, self._fc7, self._fc8))
        x = self._check(x)
        for layer in self.layers:
            if layer.op_type == "Conv":
                x = self._ops.conv2d(x, next(convolutions))
            elif layer.op_type == "Relu":
                x = relu(x)
            elif layer.op_type == "MaxPool":
                x = max_pool(x, (2, 2), strides=(2, 2))
            elif layer.op_type == "Gemm":
                x = self._ops.linear(flatten(x), next(fully_connected))
            else:
                x = softmax(x, axis=1)
            yield layer, x

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
        return np.ascontiguousarray(x, self.dtype)

    def __repr__(self) -> str:
        parameters = sum(layer.parameters for layer in self.layers)
        multiply_adds = sum(layer.multiply_adds for layer in self.layers)
        shape = ", ".join(map(str, self.input_shape))
        return (
            f"<VGG16, configuration D: [N, {shape}] -> [N, {self.classes}], {self.dtype}, "
            f"{parameters:,} parameters, {multiply_adds / 1e9:.2f} G multiply-adds an image>"
        )


# ---------------------------------------------------------------------- recognition


def _expected() -> list[tuple[str, str]]:
    """The operations of configuration D in order: (place, op_type)."""
    operations = []
    for block, count in enumerate(CONFIGURATION_D, start=1):
        for i in range(1, count + 1):
            operations += [(f"conv{block}_{i}", "Conv"), (f"relu{block}_{i}", "Relu")]
        operations.append((f"pool{block}", "MaxPool"))
    operations += [("fc6", "Gemm"), ("relu6", "Relu"), ("fc7", "Gemm"), ("relu7", "Relu"), ("fc8", "Gemm")]
    return [*operations, ("prob", "Softmax")]


def recognise(model: OnnxModel) -> tuple[list[Layer], tuple[int, ...]]:
    """Find VGG-16 in a graph, without touching a weight.

    Returns
    -------
    layers : list of Layer
    input_shape : tuple of int
        (C, H, W)

    Raises
    ------
    UnsupportedModelError
        The graph is another network; the message names the first node that differs.
    """
    return _Recogniser(model).recognise()


class _Recogniser:
    """Follows the graph from its input to its output and holds it against configuration D.

    Converters disagree on names and strew no-op nodes between the layers, so only the structure counts: what consumes
    which tensor, and the shapes of the weights.
    """

    def __init__(self, model: OnnxModel):
        self.model = model

    def refuse(self, reason: str) -> NoReturn:
        raise UnsupportedModelError(f"{self.model.path}: not VGG-16: {reason}")

    def recognise(self) -> tuple[list[Layer], tuple[int, ...]]:
        """The network's layers and its input's shape (C, H, W)."""
        if len(self.model.inputs) != 1:
            self.refuse(f"it has {len(self.model.inputs)} inputs")
        shape = self._input_shape()
        nodes = self._chain(self.model.inputs[0].name)
        input_shape = shape
        layers: list[Layer] = []
        for place, op_type in _expected():
            node = next(nodes, None)
            if node is None or node.op_type != op_type:
                found = f"{node} is found" if node else "the network ends"
                self.refuse(f"where {place} ({op_type}) belongs, {found}")
            layers.append(self._layer(place, node, shape))
            shape = layers[-1].output_shape
        for node in nodes:
            self.refuse(f"{node} follows the softmax")
        return layers, input_shape

    def _input_shape(self) -> tuple[int, ...]:
        value = self.model.inputs[0]
        shape = value.shape or ()
        sizes = tuple(size for size in shape[1:] if isinstance(size, int))
        if len(shape) != 4 or len(sizes) != 3:
            self.refuse(f"its input {value.name!r} has shape {list(shape)}, not [N, 3, 224, 224]")
        return sizes

    # ------------------------------------------------------------------ the chain of nodes

    def _chain(self, tensor: str) -> Iterator[Node]:
        """Each node on the way from `tensor` to the graph's output, no-ops left out."""
        consumers: dict[str, list[Node]] = {}
        for node in self.model.nodes:
            for name in node.inputs:
                consumers.setdefault(name, []).append(node)
        last = None
        while following := consumers.pop(tensor, []):
            if len(following) > 1:
                self.refuse(f"the tensor {tensor!r} goes to {len(following)} nodes: " + ", ".join(map(str, following)))
            (node,) = following
            tensor = node.outputs[0]
            if not self._is_no_op(node):
                last = node
                yield node
        if tensor not in [value.name for value in self.model.outputs]:
            self.refuse(f"{last or 'its input'} leads to {tensor!r}, which is not an output of the graph")

    def _is_no_op(self, node: Node) -> bool:
        """Nodes that change no number: in inference Dropout, and what only rearranges axes between the layers."""
        if node.op_type == "Pad":
            pads = node.attributes.get("pads", node.attributes.get("paddings"))
            if pads is None and len(node.inputs) > 1:
                pads = self._constant(node, 1)
            return pads is not None and not np.any(pads)
        return node.op_type in ("Dropout", "Identity", "Reshape", "Flatten")

    def _constant(self, node: Node, index: int) -> np.ndarray:
        """The value of a node's input that is fixed in the file."""
        self._constant_shape(node, index)
        value = self.model.constant(node.inputs[index])
        assert value is not None
        return value

    def _constant_shape(self, node: Node, index: int) -> tuple[int, ...]:
        """The shape of such an input; an initializer stays in the file."""
        name = node.inputs[index] if index < len(node.inputs) else ""
        shape = self.model.constant_shape(name)
        if shape is None:
            self.refuse(f"input {index} of {node} ({name!r}) is computed, not stored in the file")
        return shape

    # ------------------------------------------------------------------ one layer

    def _layer(self, place: str, node: Node, shape: tuple[int, ...]) -> Layer:
        name, output = node.name or node.outputs[0], node.outputs[0]
        if node.op_type == "Relu":
            return Layer(place, name, output, node.op_type, shape)
        if node.op_type == "MaxPool":
            return Layer(place, name, output, node.op_type, self._max_pool(node, shape))
        if node.op_type == "Softmax":
            self._check_softmax(node)
            return Layer(place, name, output, node.op_type, shape)
        weight_shape = self._conv(node, shape) if node.op_type == "Conv" else self._gemm(node, shape)
        output_shape = (weight_shape[0], *shape[1:]) if node.op_type == "Conv" else weight_shape[:1]
        storage = self._storage(node.inputs[1])
        return Layer(place, name, output, node.op_type, output_shape, weight_shape, storage, self._loader(node))

    def _loader(self, node: Node) -> Callable[[], tuple[np.ndarray, np.ndarray]]:
        """Gives weight [M, ...] and bias [M] of a Conv or Gemm when called; a bias that is left out is 0."""
        has_bias = len(node.inputs) > 2 and node.inputs[2] != ""
        transposed = node.op_type == "Gemm" and not node.attributes.get("transB", 0)

        def load() -> tuple[np.ndarray, np.ndarray]:
            weight = self._constant(node, 1).T if transposed else self._constant(node, 1)
            bias = self._constant(node, 2).reshape(-1) if has_bias else np.zeros(len(weight), weight.dtype)
            return weight, bias

        return load

    def _check_bias(self, node: Node, outputs: int) -> None:
        if len(node.inputs) > 2 and node.inputs[2] and math.prod(self._constant_shape(node, 2)) != outputs:
            self.refuse(f"{node} has a bias of {list(self._constant_shape(node, 2))} for {outputs} outputs")

    def _storage(self, name: str) -> str:
        if name not in self.model.initializers:
            return "Constant"
        stored = self.model.initializers.stored(name)
        return f"{stored.storage}, {'aligned' if stored.aligned else 'unaligned'}"

    def _window(self, node: Node, kernel: int, stride: int, pad: int) -> None:
        """Insist on the window that VGG uses; attributes that are not there have ONNX's defaults."""
        attributes = node.attributes
        auto_pad = attributes.get("auto_pad", "NOTSET")
        same = auto_pad in ("SAME_UPPER", "SAME_LOWER") and stride == 1
        if same or (auto_pad == "VALID" and pad == 0):
            attributes = {**attributes, "pads": [pad] * 4}
        elif auto_pad != "NOTSET":
            self.refuse(f"{node} has auto_pad {auto_pad}")
        for key, wanted, default in (
            ("kernel_shape", [kernel] * 2, [kernel] * 2),
            ("strides", [stride] * 2, [1, 1]),
            ("pads", [pad] * 4, [0] * 4),
            ("dilations", [1, 1], [1, 1]),
            ("group", 1, 1),
        ):
            if attributes.get(key, default) != wanted:
                self.refuse(f"{node} has {key} {attributes.get(key, default)}, not {wanted}")

    def _conv(self, node: Node, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The weight's shape [M, C, 3, 3]."""
        self._window(node, kernel=3, stride=1, pad=1)
        weight = self._constant_shape(node, 1)
        if weight[1:] != (shape[0], 3, 3):
            self.refuse(f"{node} has a weight of {list(weight)} for an input of {list(shape)}")
        self._check_bias(node, weight[0])
        return weight

    def _max_pool(self, node: Node, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The output's shape [C, H / 2, W / 2]."""
        self._window(node, kernel=2, stride=2, pad=0)
        channels, height, width = shape
        if height % 2 or width % 2:
            self.refuse(f"{node} would halve an image of {height} x {width}")
        return channels, height // 2, width // 2

    def _gemm(self, node: Node, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The weight's shape [M, K]."""
        attributes = {"transA": 0, "alpha": 1.0, "beta": 1.0, **node.attributes}
        if attributes["transA"] or attributes["alpha"] != 1 or attributes["beta"] != 1:
            self.refuse(f"{node} has transA, alpha or beta other than 0, 1 and 1")
        weight = self._constant_shape(node, 1)
        weight = weight if attributes.get("transB", 0) else weight[::-1]
        features = math.prod(shape)
        if len(weight) != 2 or weight[1] != features:
            self.refuse(f"{node} has a weight of {list(weight)} for an input of {features} numbers")
        self._check_bias(node, weight[0])
        return weight

    def _check_softmax(self, node: Node) -> None:
        axis = node.attributes.get("axis", 1 if self.model.opset < 13 else -1)
        if axis not in (1, -1):
            self.refuse(f"{node} has axis {axis}, not the classes' one")
