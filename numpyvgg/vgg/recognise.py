"""How a VGG network is found in a graph: by its structure, whatever its names and its exporter.

Simonyan and Zisserman's table 1 has four networks that differ only in how many 3x3 convolutions each block has. The
rest is the same for all: five blocks of convolutions, each followed by a ReLU, each block closed by 2x2 max pooling;
then three fully connected layers with a ReLU between them, and a softmax.

Exporters write that down in many ways. What changes no number is stepped over: what does nothing at inference
(`graph.inference`), casts between floating-point types (everything here is computed in one), average pooling of single
pixels, transposes to channels last and back, and, after the last pooling, whatever only rearranges axes. The border of
a convolution may be a Pad node of its own, its bias an Add. A fully connected layer may be a Gemm, a MatMul and an Add,
or a convolution whose window is the whole image. Batch normalisation after a convolution is folded into it
(`graph.folding`), so that there is one forward pass for all networks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import NoReturn

import numpy as np

from ..errors import UnsupportedModelError, reported_as_ours
from ..files.onnx import Node, OnnxModel
from ..graph.folding import factor_and_offset, fold, why_not_folded
from ..graph.graph import Graph
from ..graph.inference import does_nothing, pads_of, warn_of_training
from ..operators import bind, find
from .layer import CONFIGURATIONS, INPUT_SHAPE, FileWeight, Layer, Weights

Rearrangement = Callable[[np.ndarray], np.ndarray]
_REARRANGING = ("Reshape", "Flatten", "Squeeze")
_FLOAT_TYPES = (1, 10, 11, 16)  # TensorProto.DataType: float, float16, double, bfloat16
_TO_CHANNELS_LAST, _TO_CHANNELS_FIRST = [0, 2, 3, 1], [0, 3, 1, 2]


def recognise(model: OnnxModel) -> tuple[list[Layer], tuple[int, ...]]:
    """Find a VGG network in a graph, without touching a weight.

    Returns
    -------
    layers : list of Layer
        From ``conv1_1`` to ``prob``, or to ``fc8`` where the file ends with the scores.
    input_shape : tuple of int
        (C, H, W)

    Raises
    ------
    UnsupportedModelError
        The graph is another network; the message names the first node that differs.
    """
    with reported_as_ours(model.path):
        return _Recogniser(model).recognise()


class _Recogniser:
    """Follows the graph from its input to its output and holds it against the table.

    `shape` is what one image has become so far, channels first; `in_head` says whether all convolutions have been
    matched, `flat` whether the file has made a row of each image by now, `channels_last` whether the file has the
    channels behind the pixels at this point, `row_is_channels_last` whether it had when it made the row.
    """

    def __init__(self, model: OnnxModel):
        self.model = model
        for node in model.nodes:  # whatever is read of a node below has the type that its operator gives it
            if find(node.op_type, model.opset):
                bind(node, model)
        self.graph = Graph(model)
        self.layers: list[Layer] = []

    def refuse(self, reason: str) -> NoReturn:
        raise UnsupportedModelError(
            f"{self.model.path}: not a VGG network: {reason}; numpyvgg.InferenceSession runs other networks"
        )

    def recognise(self) -> tuple[list[Layer], tuple[int, ...]]:
        """The network's layers and its input's shape (C, H, W)."""
        if len(self.model.inputs) != 1:
            self.refuse(f"it has {len(self.model.inputs)} inputs")
        self.flat = self.in_head = self.channels_last = self.row_is_channels_last = False
        input_shape = self.shape = self._input_shape()
        warn_of_training(self.graph)
        self.chain = self._chain(self.model.inputs[0].name)[::-1]  # the next node is the last one
        counts = tuple(self._block(block) for block in range(1, 6))
        if counts not in CONFIGURATIONS.values():
            self.refuse(f"its blocks have {', '.join(map(str, counts))} convolutions, as no network of table 1 has")
        self.in_head = True
        for number in (6, 7, 8):
            self._fully_connected(f"fc{number}")
            if number < 8:
                self._relu(f"relu{number}")
        if self._peek() is not None:
            node = self._take("prob", "Softmax")
            self._check_softmax(node)
            self._add("prob", node)
        if self._peek() is not None:
            self.refuse(f"{self._peek()} follows the softmax")
        layers, self.layers = self.layers, []  # layers know this object by `load`: a cycle would keep the file mapped
        return layers, input_shape

    def _input_shape(self) -> tuple[int, ...]:
        """The input's (C, H, W); dimensions that the file leaves open are the published ones."""
        value = self.model.inputs[0]
        shape = value.shape or ()
        if len(shape) != 4:
            self.refuse(f"its input {value.name!r} has shape {list(shape)}, not [N, 3, 224, 224]")
        self.channels_last = shape[3] == INPUT_SHAPE[0] != shape[1]
        shape = (shape[3], *shape[1:3]) if self.channels_last else shape[1:]
        sizes = zip(shape, INPUT_SHAPE, strict=True)
        return tuple(size if isinstance(size, int) and size > 0 else usual for size, usual in sizes)

    # ------------------------------------------------------------------ the table

    def _block(self, block: int) -> int:
        """Convolutions with their ReLUs, and a pooling -> how many convolutions."""
        count = 0
        while count == 0 or not self._next_is("MaxPool"):
            count += 1
            self._convolution(f"conv{block}_{count}", f"or pool{block}" if count > 1 else "")
            self._relu(f"relu{block}_{count}")
        node = self._take(f"pool{block}", "MaxPool")
        self._window(node, kernel=2, stride=2, pad=0)
        channels, height, width = self.shape
        if height % 2 or width % 2:
            self.refuse(f"{node} would halve an image of {height} x {width}")
        self.shape = (channels, height // 2, width // 2)
        self._add(f"pool{block}", node)
        return count

    def _convolution(self, title: str, alternative: str) -> None:
        """A convolution, perhaps with its border before it, and its bias or its batch normalisation behind it."""
        pad = 0 if self._border() else 1
        node = self._take(title, "Conv", alternative)
        self._window(node, kernel=3, stride=1, pad=pad)
        weight = self._constant_shape(node, 1)
        if weight[1:] != (self.shape[0], 3, 3):
            self.refuse(f"{node} has a weight of {list(weight)} for an input of {list(self.shape)}")
        self._check_bias(node, 2, weight[0])
        self.shape = (weight[0], *self.shape[1:])
        bias_node, index = (node, 2) if len(node.inputs) > 2 else self._added_bias(node, weight[0])
        load, last = self._loader(node, weight, bias_node, index), bias_node
        in_file = self._in_file(node, weight, load, bias_node, index)
        if batch_norm := self._next_is("BatchNormalization"):
            last = self._take(title, "BatchNormalization")
            load = self._folded(load, last, weight[0])
        self._add(title, node, last=last, weight_shape=weight, load=load, stored=in_file, batch_norm=batch_norm)

    def _border(self) -> bool:
        """Step over a Pad that puts one row and column of zeros around the image -> whether there is one."""
        node = self._peek()
        if node is None or node.op_type != "Pad":
            return False
        ones = [0, 1, 1, 0] if self.channels_last else [0, 0, 1, 1]
        value = node.attributes.get("value", 0.0)
        if len(node.inputs) > 2 and node.inputs[2]:
            value = self._constant(node, 2)
        mode = node.attributes.get("mode", "constant")
        if pads_of(self.graph, node) != ones * 2 or np.any(value) or mode != "constant":
            self.refuse(f"{node} is not a border of one zero on each side")
        self.chain.pop()
        return True

    def _added_bias(self, node: Node, channels: int) -> tuple[Node, int]:
        """The node that adds a convolution's bias, and which of its inputs that is; the convolution where none does."""
        add = self._peek()
        if add is None or add.op_type != "Add" or len(add.inputs) != 2:
            return node, 2
        index = 0 if self.graph.is_fixed(add.inputs[0]) else 1
        shape = self._constant_shape(add, index)
        wanted = (1, 1, channels) if self.channels_last else (channels, 1, 1)
        if (1, 1, 1, *shape)[-3:] != wanted or math.prod(shape) != channels:
            self.refuse(f"{add} adds {list(shape)}, not a number for each of {channels} channels")
        return self.chain.pop(), index

    def _relu(self, title: str) -> None:
        self._add(title, self._take(title, "Relu"))

    def _fully_connected(self, title: str) -> None:
        """A Gemm, a MatMul with an Add, or a convolution whose window is the whole image."""
        kind = next((kind for kind in ("MatMul", "Conv") if self._next_is(kind)), "Gemm")
        node = self._take(title, kind)
        stored = self._constant_shape(node, 1)
        transposed = kind == "MatMul" or (kind == "Gemm" and not node.attributes.get("transB", 0))
        if kind == "Conv":
            self._window(node, kernel=self.shape[-1] if len(self.shape) == 3 else 1, stride=1, pad=0)
        elif len(stored) != 2:
            self.refuse(f"{node} has a weight of {list(stored)}, not a matrix")
        if kind == "Gemm":
            self._check_product(node)
        outputs, *columns = stored[::-1] if transposed else stored
        features = math.prod(self.shape)
        if math.prod(columns) != features or (kind == "Conv" and tuple(columns) != (*self.shape, 1, 1)[:3]):
            self.refuse(f"{node} has a weight of {list(stored)} for an input of {features} numbers")
        bias_node, index = node, 2
        if kind == "MatMul" and self._next_is("Add"):
            bias_node = self._take(title, "Add")
            index = 0 if self.graph.is_fixed(bias_node.inputs[0]) else 1
        self._check_bias(bias_node, index, outputs)
        load = self._loader(node, (outputs, features), bias_node, index, self._rearrangement(transposed))
        in_file = self._in_file(node, (outputs, features), load, bias_node, index)
        in_file = None if self._rearrangement(transposed) else in_file
        self.flat = kind != "Conv"
        self.shape = (outputs,) if self.flat else (outputs, 1, 1)
        self._add(title, node, last=bias_node, weight_shape=(outputs, features), load=load, stored=in_file)

    def _rearrangement(self, transposed: bool) -> Rearrangement | None:
        """What makes [M, C * H * W] of a matrix that the file has otherwise; None where it has that."""
        pixels = self.shape if self.row_is_channels_last and len(self.shape) == 3 else None
        if not transposed and not pixels:
            return None

        def rearrange(weight: np.ndarray) -> np.ndarray:
            weight = weight.T if transposed else weight
            if pixels:  # the columns are in the order H, W, C
                weight = weight.reshape(-1, *pixels[1:], pixels[0]).transpose(0, 3, 1, 2)
            return weight

        return rearrange

    def _add(
        self,
        title: str,
        node: Node,
        last: Node | None = None,
        weight_shape: tuple[int, ...] = (),
        load: Callable[..., Weights] | None = None,
        stored: FileWeight | None = None,
        batch_norm: bool = False,
    ) -> None:
        """Append the layer that `node` is; `last` is the node whose output is the layer's, if that is another."""
        named = last or node
        name, storage = named.name or named.outputs[0], self._storage(node.inputs[1]) if weight_shape else ""
        output, shape = named.outputs[0], self.shape
        layer = Layer(title, name, output, node.op_type, shape, weight_shape, storage, batch_norm, load, stored)
        self.layers.append(layer)

    # ------------------------------------------------------------------ the chain of nodes

    def _chain(self, tensor: str) -> list[Node]:
        """The nodes on the way from `tensor` to the graph's output."""
        consumers: dict[str, list[Node]] = {}
        for node in self.model.nodes:
            for name in node.inputs:
                if node.op_type != "Shape":  # looks at the tensor's shape only, for a Reshape further on
                    consumers.setdefault(name, []).append(node)
        nodes: list[Node] = []
        while following := consumers.pop(tensor, []):
            if len(following) > 1:
                self.refuse(f"the tensor {tensor!r} goes to {len(following)} nodes: " + ", ".join(map(str, following)))
            nodes += following
            if not following[0].outputs:
                self.refuse(f"{following[0]} has no output")
            tensor = following[0].outputs[0]
        if tensor not in [value.name for value in self.model.outputs]:
            self.refuse(
                f"{nodes[-1] if nodes else 'its input'} leads to {tensor!r}, which is not an output of the graph"
            )
        return nodes

    def _peek(self) -> Node | None:
        """The next node that changes a number."""
        while self.chain and self._is_no_op(self.chain[-1]):
            node = self.chain.pop()
            if node.op_type in _REARRANGING and not self.flat:
                self.flat, self.row_is_channels_last = True, self.channels_last
            if node.op_type == "Transpose" and len(self.shape) == 3:
                self.channels_last = node.attributes["perm"] == _TO_CHANNELS_LAST
            if self.flat and math.prod(self.shape[1:]) == 1:  # of a fully connected layer's output
                self.shape = self.shape[:1]
        return self.chain[-1] if self.chain else None

    def _next_is(self, op_type: str) -> bool:
        node = self._peek()
        return node is not None and node.op_type == op_type

    def _take(self, title: str, op_type: str, alternative: str = "") -> Node:
        node = self._peek()
        if node is None or node.op_type != op_type:
            found = f"{node} is found" if node else "the network ends"
            self.refuse(" ".join(filter(None, [f"where {title} ({op_type})", alternative, f"belongs, {found}"])))
        return self.chain.pop()

    def _is_no_op(self, node: Node) -> bool:
        """Whether a node changes no number, where it stands."""
        if does_nothing(self.graph, node):
            return True
        if node.op_type == "Cast":
            return node.attributes.get("to") in _FLOAT_TYPES
        if node.op_type == "Transpose":
            turned = _TO_CHANNELS_FIRST if self.channels_last else _TO_CHANNELS_LAST
            return not self.flat and node.attributes.get("perm") == turned
        if node.op_type in ("AveragePool", "GlobalAveragePool", "ReduceMean"):
            return self._averages_nothing(node)
        if node.op_type in _REARRANGING and self.in_head:
            return node.op_type != "Reshape" or self._keeps_scores_apart(node)
        return False

    def _averages_nothing(self, node: Node) -> bool:
        """Whether an average is over single pixels: AdaptiveAvgPool, as it is exported where there is nothing to do."""
        attributes = node.attributes
        if node.op_type == "AveragePool" and attributes.get("kernel_shape") == [1, 1]:
            return attributes.get("strides", [1, 1]) == [1, 1] and attributes.get("pads", [0] * 4) == [0] * 4
        if any(size != 1 for size in self.shape[1:]):
            return False
        if node.op_type == "ReduceMean":
            axes = attributes.get("axes")
            axes = self._constant(node, 1).tolist() if axes is None and len(node.inputs) > 1 else axes
            self.flat |= not attributes.get("keepdims", 1)
            return sorted(axis % 4 for axis in axes or ()) == ([1, 2] if self.channels_last else [2, 3])
        return node.op_type == "GlobalAveragePool"

    def _keeps_scores_apart(self, node: Node) -> bool:
        """Whether a Reshape leaves each image's numbers a row; before a matrix product any that fits does."""
        if self.layers[-1].title != "fc8":
            return True
        row = self._constant(node, 1).ravel().tolist()[1:]
        return row in ([-1], [self.shape[0]])

    def _constant(self, node: Node, index: int) -> np.ndarray:
        """The value of a node's input that is fixed in the file."""
        self._constant_shape(node, index)
        value = self.graph.constant(node.inputs[index])
        assert value is not None
        return value

    def _constant_shape(self, node: Node, index: int) -> tuple[int, ...]:
        """The shape of such an input; an initializer stays in the file."""
        name = node.inputs[index] if index < len(node.inputs) else ""
        shape = self.graph.constant_shape(name)
        if shape is None:
            self.refuse(f"input {index} of {node} ({name!r}) is computed, not stored in the file")
        return shape

    # ------------------------------------------------------------------ weights

    def _loader(
        self, node: Node, shape: tuple[int, ...], bias_node: Node, index: int, rearrange: Rearrangement | None = None
    ) -> Callable[..., Weights]:
        """Gives the weight in `shape` and the bias [M] when called."""

        def load(aligned: bool = False) -> Weights:
            stored = None if aligned else self.graph.stored(node.inputs[1])
            weight = self._constant(node, 1) if stored is None else stored.view()
            weight = (rearrange(weight) if rearrange else weight).reshape(shape)
            return weight, self._bias(bias_node, index, shape[0], weight.dtype)

        return load

    def _bias(self, node: Node, index: int, count: int, dtype: np.dtype) -> np.ndarray:
        """The bias [M]; one that is left out is 0."""
        is_there = index < len(node.inputs) and node.inputs[index] != ""
        return self._constant(node, index).reshape(-1) if is_there else np.zeros(count, dtype)

    def _in_file(
        self, node: Node, shape: tuple[int, ...], load: Callable[..., Weights], bias_node: Node, index: int
    ) -> FileWeight | None:
        """The weight as a matrix in the file; None where its numbers have to be decoded."""
        stored = self.graph.stored(node.inputs[1])
        rows = stored.row_reader((shape[0], math.prod(shape[1:]))) if stored else None
        if rows is None:
            return None
        bias = partial(self._bias, bias_node, index, shape[0], rows.dtype)
        return FileWeight(rows, lambda: load(aligned=True)[0], bias)

    def _folded(self, load: Callable[..., Weights], node: Node, channels: int) -> Callable[..., Weights]:
        """The weights of a convolution with the batch normalisation that follows it."""
        if reason := why_not_folded(self.graph, node, channels):
            self.refuse(reason)

        def folded(aligned: bool = False) -> Weights:
            factor, offset = factor_and_offset(self.graph, node)
            if not np.isfinite(factor).all():
                self.refuse(f"{node} has a variance that is not positive")
            return fold(*load(aligned), factor, offset)

        return folded

    def _check_bias(self, node: Node, index: int, outputs: int) -> None:
        if index >= len(node.inputs) or not node.inputs[index]:
            return
        if math.prod(self._constant_shape(node, index)) != outputs:
            self.refuse(f"{node} has a bias of {list(self._constant_shape(node, index))} for {outputs} outputs")

    def _storage(self, name: str) -> str:
        stored = self.graph.stored(name)
        if stored is None:
            return "Constant"
        return f"{stored.storage}, {'aligned' if stored.aligned else 'unaligned'}"

    # ------------------------------------------------------------------ attributes

    def _window(self, node: Node, kernel: int, stride: int, pad: int) -> None:
        """Insist on the window that VGG uses; attributes that are not there have ONNX's defaults."""
        if self.channels_last:
            self.refuse(f"{node} reads what is transposed to channels last")
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

    def _check_product(self, node: Node) -> None:
        """Insist on a Gemm that is a matrix product and a bias."""
        attributes = {"transA": 0, "alpha": 1.0, "beta": 1.0, **node.attributes}
        if attributes["transA"] or attributes["alpha"] != 1 or attributes["beta"] != 1:
            self.refuse(f"{node} has transA, alpha or beta other than 0, 1 and 1")

    def _check_softmax(self, node: Node) -> None:
        axis = node.attributes.get("axis", 1 if self.model.opset < 13 else -1)
        of_classes = (1, -1) if self.flat else (3, -1) if self.channels_last else (1, -3)
        if axis not in of_classes:
            self.refuse(f"{node} has axis {axis}, not the classes' one")
