"""How a VGG network is found in a graph: by its structure, whatever the names and whoever exported it.

Simonyan and Zisserman's table 1 has four networks that differ only in how many 3x3 convolutions each block has. The
rest is the same for all: five blocks of convolutions, each followed by a ReLU, each block closed by 2x2 max pooling;
then three fully connected layers with a ReLU between them, and a softmax.

Exporters write that down in many ways. What changes no number is stepped over (Dropout, Identity, zero Pad, average
pooling of single pixels, and, after the last pooling, whatever only rearranges axes). A fully connected layer may be a
Gemm, a MatMul and an Add, or a convolution whose window is the whole image. Batch normalisation after a convolution is
*folded* into it: at inference it multiplies each channel by a constant and adds another, so that

    s (W x + b - mean) + beta  =  (s W) x + (s (b - mean) + beta)    with    s = gamma / sqrt(var + epsilon)

is a convolution again, and there is one forward pass for all networks. Folding happens once, in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NoReturn

import numpy as np

from ..errors import UnsupportedModelError
from ..files.onnx import Node, OnnxModel
from ..files.tensor import Rows
from .layer import CONFIGURATIONS, INPUT_SHAPE, Layer, Weights

_REARRANGING = ("Reshape", "Flatten", "Squeeze")


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
    return _Recogniser(model).recognise()


class _Recogniser:
    """Follows the graph from its input to its output and holds it against the table.

    `shape` is what one image has become so far; `in_head` says whether all convolutions have been matched, `flat`
    whether the file has made a row of each image by now.
    """

    def __init__(self, model: OnnxModel):
        self.model = model
        self.layers: list[Layer] = []

    def refuse(self, reason: str) -> NoReturn:
        raise UnsupportedModelError(f"{self.model.path}: not a VGG network: {reason}")

    def recognise(self) -> tuple[list[Layer], tuple[int, ...]]:
        """The network's layers and its input's shape (C, H, W)."""
        if len(self.model.inputs) != 1:
            self.refuse(f"it has {len(self.model.inputs)} inputs")
        input_shape = self.shape = self._input_shape()
        self.flat = self.in_head = False
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
        layers, self.layers = self.layers, []  # layers hold this object: a reference cycle would keep the file mapped
        return layers, input_shape

    def _input_shape(self) -> tuple[int, ...]:
        """The input's [C, H, W]; dimensions that the file leaves open are the published ones."""
        value = self.model.inputs[0]
        shape = value.shape or ()
        if len(shape) != 4:
            self.refuse(f"its input {value.name!r} has shape {list(shape)}, not [N, 3, 224, 224]")
        sizes = zip(shape[1:], INPUT_SHAPE, strict=True)
        return tuple(size if isinstance(size, int) else usual for size, usual in sizes)

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

    def _convolution(self, place: str, alternative: str) -> None:
        node = self._take(place, "Conv", alternative)
        self._window(node, kernel=3, stride=1, pad=1)
        weight = self._constant_shape(node, 1)
        if weight[1:] != (self.shape[0], 3, 3):
            self.refuse(f"{node} has a weight of {list(weight)} for an input of {list(self.shape)}")
        self._check_bias(node, 2, weight[0])
        self.shape = (weight[0], *self.shape[1:])
        load, rows = self._loader(node, weight), self._rows(node, weight)
        if not self._next_is("BatchNormalization"):
            self._add(place, node, weight_shape=weight, load=load, rows=rows)
            return
        normalisation = self._take(place, "BatchNormalization")
        load = self._folded(load, normalisation, weight[0])
        self._add(place, node, last=normalisation, weight_shape=weight, load=load, rows=rows, batch_norm=True)

    def _relu(self, place: str) -> None:
        self._add(place, self._take(place, "Relu"))

    def _fully_connected(self, place: str) -> None:
        """A Gemm, a MatMul with an Add, or a convolution whose window is the whole image."""
        kind = next((kind for kind in ("MatMul", "Conv") if self._next_is(kind)), "Gemm")
        node = self._take(place, kind)
        stored = self._constant_shape(node, 1)
        transposed = kind == "MatMul" or (kind == "Gemm" and not node.attributes.get("transB", 0))
        if kind == "Conv":
            self._window(node, kernel=self.shape[-1] if len(self.shape) == 3 else 1, stride=1, pad=0)
        elif len(stored) != 2:
            self.refuse(f"{node} has a weight of {list(stored)}, not a matrix")
        if kind == "Gemm":
            self._check_product(node)
        rows, *columns = stored[::-1] if transposed else stored
        features = math.prod(self.shape)
        if math.prod(columns) != features or (kind == "Conv" and tuple(columns) != (*self.shape, 1, 1)[:3]):
            self.refuse(f"{node} has a weight of {list(stored)} for an input of {features} numbers")
        bias_node, index = node, 2
        if kind == "MatMul" and self._next_is("Add"):
            bias_node = self._take(place, "Add")
            index = 0 if self.model.constant_shape(bias_node.inputs[0]) is not None else 1
        self._check_bias(bias_node, index, rows)
        self.flat = kind != "Conv"
        self.shape = (rows,) if self.flat else (rows, 1, 1)
        weight = (rows, features)
        load = self._loader(node, weight, transposed, bias_node, index)
        kept = None if transposed else self._rows(node, weight)
        self._add(place, node, last=bias_node, weight_shape=weight, load=load, rows=kept)

    def _add(
        self,
        place: str,
        node: Node,
        last: Node | None = None,
        weight_shape: tuple[int, ...] = (),
        load: Callable[..., Weights] | None = None,
        rows: Rows | None = None,
        batch_norm: bool = False,
    ) -> None:
        """Append the layer that `node` is; `last` is the node whose output is the layer's, if that is another."""
        named = last or node
        name, storage = named.name or named.outputs[0], self._storage(node.inputs[1]) if weight_shape else ""
        output = named.outputs[0]
        layer = Layer(place, name, output, node.op_type, self.shape, weight_shape, storage, batch_norm, load, rows)
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
            self.flat |= node.op_type in _REARRANGING
            if self.flat and math.prod(self.shape[1:]) == 1:  # of a fully connected layer's output
                self.shape = self.shape[:1]
        return self.chain[-1] if self.chain else None

    def _next_is(self, op_type: str) -> bool:
        node = self._peek()
        return node is not None and node.op_type == op_type

    def _take(self, place: str, op_type: str, alternative: str = "") -> Node:
        node = self._peek()
        if node is None or node.op_type != op_type:
            found = f"{node} is found" if node else "the network ends"
            self.refuse(" ".join(filter(None, [f"where {place} ({op_type})", alternative, f"belongs, {found}"])))
        return self.chain.pop()

    def _is_no_op(self, node: Node) -> bool:
        """Whether a node changes no number, where it stands."""
        if node.op_type in ("Dropout", "Identity"):
            return True
        if node.op_type == "Pad":
            pads = node.attributes.get("pads", node.attributes.get("paddings"))
            if pads is None and len(node.inputs) > 1:
                pads = self._constant(node, 1)
            return pads is not None and not np.any(pads)
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
            return axes in ([2, 3], [-2, -1], [3, 2], [-1, -2])
        return node.op_type == "GlobalAveragePool"

    def _keeps_scores_apart(self, node: Node) -> bool:
        """Whether a Reshape leaves each image's numbers a row; before a matrix product any that fits does."""
        if self.layers[-1].place != "fc8":
            return True
        row = self._constant(node, 1).ravel().tolist()[1:]
        return row in ([-1], [self.shape[0]])

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

    # ------------------------------------------------------------------ weights

    def _loader(
        self,
        node: Node,
        shape: tuple[int, ...],
        transposed: bool = False,
        bias_node: Node | None = None,
        index: int = 2,
    ) -> Callable[..., Weights]:
        """Gives the weight in `shape` and the bias [M] when called; a bias that is left out is 0."""
        bias_node = bias_node or node
        has_bias = index < len(bias_node.inputs) and bias_node.inputs[index] != ""

        def load(aligned: bool = False) -> Weights:
            stored = self._weight(node, aligned)
            weight = stored.T if transposed else stored.reshape(shape)
            bias = self._constant(bias_node, index).reshape(-1) if has_bias else np.zeros(shape[0], weight.dtype)
            return weight, bias

        return load

    def _weight(self, node: Node, aligned: bool) -> np.ndarray:
        """The weight, on the file's own bytes wherever they lie if it need not be aligned."""
        name = node.inputs[1]
        if name in self.model.initializers and not aligned:
            return self.model.initializers.stored(name).view()
        return self._constant(node, 1)

    def _rows(self, node: Node, shape: tuple[int, ...]) -> Rows | None:
        """The weight's rows, where an initializer holds them."""
        name = node.inputs[1]
        if name not in self.model.initializers:
            return None
        return self.model.initializers.stored(name).rows((shape[0], math.prod(shape[1:])))

    def _folded(self, load: Callable[..., Weights], node: Node, channels: int) -> Callable[..., Weights]:
        """The weights of a convolution with the batch normalisation that follows it; see the module's first lines."""
        for index in range(1, 5):
            self._check_bias(node, index, channels)
        if node.attributes.get("training_mode", 0) or not node.attributes.get("spatial", 1):
            self.refuse(f"{node} normalises by the batch, or each pixel by itself")
        epsilon = node.attributes.get("epsilon", 1e-5)
        if not isinstance(epsilon, float):
            self.refuse(f"{node} has epsilon {epsilon!r}")

        def folded(aligned: bool = False) -> Weights:
            weight, bias = (array.astype(np.float64) for array in load(aligned))
            gamma, beta, mean, var = (self._constant(node, index).astype(np.float64) for index in range(1, 5))
            if not (var + epsilon > 0).all():
                self.refuse(f"{node} has a variance that is not positive")
            scale = gamma / np.sqrt(var + epsilon)
            return weight * scale[:, None, None, None], scale * (bias - mean) + beta

        return folded

    def _check_bias(self, node: Node, index: int, outputs: int) -> None:
        if index >= len(node.inputs) or not node.inputs[index]:
            return
        if math.prod(self._constant_shape(node, index)) != outputs:
            self.refuse(f"{node} has a bias of {list(self._constant_shape(node, index))} for {outputs} outputs")

    def _storage(self, name: str) -> str:
        if name not in self.model.initializers:
            return "Constant"
        stored = self.model.initializers.stored(name)
        return f"{stored.storage}, {'aligned' if stored.aligned else 'unaligned'}"

    # ------------------------------------------------------------------ attributes

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

    def _check_product(self, node: Node) -> None:
        """Insist on a Gemm that is a matrix product and a bias."""
        attributes = {"transA": 0, "alpha": 1.0, "beta": 1.0, **node.attributes}
        if attributes["transA"] or attributes["alpha"] != 1 or attributes["beta"] != 1:
            self.refuse(f"{node} has transA, alpha or beta other than 0, 1 and 1")

    def _check_softmax(self, node: Node) -> None:
        axis = node.attributes.get("axis", 1 if self.model.opset < 13 else -1)
        if axis not in ((1, -1) if self.flat else (1, -3)):
            self.refuse(f"{node} has axis {axis}, not the classes' one")
