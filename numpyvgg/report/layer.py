"""The layers of any graph: what has weights, what pools, what joins, each with what only it feeds.

A convolution's batch normalisation and its ReLU are nodes of their own in a file, and one layer to whoever looks at the
network. So a layer is a node and the nodes after it, as long as each is the only one to read what the last one made,
up to the activation that closes it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..errors import UnsupportedModelError
from ..files.onnx import Node
from ..graph.graph import Graph
from ..vgg.recognise import recognise
from .field import Field, receptive_fields

#: Operators that begin a layer -> its kind
_KINDS = {
    "Conv": "conv",
    **dict.fromkeys(("MaxPool", "AveragePool", "LpPool", "GlobalAveragePool", "GlobalMaxPool"), "pool"),
    **dict.fromkeys(("Gemm", "MatMul"), "fc"),
    **dict.fromkeys(("Add", "Sum", "Concat"), "join"),
}
#: Operators that scale and shift, by what is fixed
_AFFINE = ("BatchNormalization", "Mul", "Add", "Sub", "Div")
ACTIVATIONS = (
    *("Relu", "LeakyRelu", "PRelu", "Clip", "Sigmoid", "Tanh", "Elu", "Selu", "Celu", "Softplus", "Mish", "Gelu"),
    *("HardSigmoid", "HardSwish", "Swish", "ThresholdedRelu"),
)


@dataclass(frozen=True)
class Layer:
    """One layer of a network.

    Attributes
    ----------
    title : str
        Its name in the literature, if the network is a VGG (``conv3_2``), else its first node's.
    kind : {"conv", "pool", "fc", "join"}
    nodes : list of Node
        In order; the last one may be the activation.
    before, output : str
        The tensors before and after the activation; the same where none follows.
    output_shape : tuple of int
        For one image, without the batch axis.
    weight_shape : tuple of int
        Convolutions: ``[M, C / group, kH, kW]``; fully connected layers: ``[M, K]``; empty for the others.
    parameters : int
        Numbers that were learnt: weights, and one bias for each output channel, whatever adds it.
    receptive_field : pair of ReceptiveField, or None
        Along rows and along columns.
    """

    title: str
    kind: str
    nodes: list[Node] = field(repr=False)
    before: str
    output: str
    output_shape: tuple[int, ...]
    weight_shape: tuple[int, ...]
    parameters: int
    receptive_field: Field | None = field(repr=False)

    @property
    def activation(self) -> str:
        """Its operator; empty where none follows."""
        return self.nodes[-1].op_type if self.before != self.output else ""

    @property
    def is_map(self) -> bool:
        """Whether its output has places: rows and columns."""
        return len(self.output_shape) == 3 and self.output_shape[1:] != (1, 1)

    @property
    def multiply_adds(self) -> int:
        """Multiplications (each with its addition) for one image, counted as the definition has them."""
        if not self.weight_shape:
            return 0
        pixels = math.prod(self.output_shape[1:] if self.kind == "conv" else self.output_shape[:-1])
        return math.prod(self.weight_shape) * pixels


def find_layers(graph: Graph, shapes: Mapping[str, tuple[int, ...]]) -> list[Layer]:
    """A graph's layers, in order.

    Parameters
    ----------
    graph : Graph
    shapes : mapping of str to tuple of int
        Of every tensor that is computed.
    """
    titles, fields = _titles(graph), receptive_fields(graph, shapes)
    readers = Counter(name for node in graph.nodes for name in node.inputs)
    readers.update(value.name for value in graph.model.outputs)
    consumers = {name: node for node in graph.nodes for name in node.inputs}
    layers: list[Layer] = []
    taken: set[int] = set()
    for node in graph.nodes:
        if id(node) in taken or not _begins(graph, node, shapes):
            continue
        nodes = [node]
        while readers[nodes[-1].outputs[0]] == 1 and nodes[-1].op_type not in ACTIVATIONS:
            following = consumers.get(nodes[-1].outputs[0])
            if following is None or not _continues(graph, following):
                break
            nodes.append(following)
        taken.update(map(id, nodes))
        layers.append(_layer(graph, nodes, shapes, titles, fields))
    return layers


def _titles(graph: Graph) -> dict[str, str]:
    """Output tensor -> the literature's name, where the network is a VGG."""
    try:
        return {layer.output: layer.title for layer in recognise(graph.model)[0]}
    except UnsupportedModelError:
        return {}


def _begins(graph: Graph, node: Node, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    kind, computed = _KINDS.get(node.op_type), [name for name in node.inputs if name in shapes]
    if node.domain or kind is None or node.outputs[0] not in shapes:
        return False
    if kind == "join":
        return len(set(computed)) > 1
    return kind == "pool" or graph.is_fixed(node.inputs[1])


def _continues(graph: Graph, node: Node) -> bool:
    others = sum(not graph.is_fixed(name) for name in filter(None, node.inputs))
    return others == 1 and node.op_type in (*_AFFINE, *ACTIVATIONS) and len(node.outputs) == 1


def _layer(
    graph: Graph,
    nodes: list[Node],
    shapes: Mapping[str, tuple[int, ...]],
    titles: Mapping[str, str],
    fields: Mapping[str, Field | None],
) -> Layer:
    first, last = nodes[0], nodes[-1]
    title = next((titles[node.outputs[0]] for node in nodes if node.outputs[0] in titles), "")
    weight_shape = (graph.constant_shape(first.inputs[1]) or ()) if _KINDS[first.op_type] in ("conv", "fc") else ()
    if first.op_type == "MatMul" or (first.op_type == "Gemm" and not first.attributes.get("transB", 0)):
        weight_shape = weight_shape[::-1]  # [M, K]
    shifts = len(first.inputs) > 2 or any(node.op_type in _AFFINE for node in nodes[1:])
    return Layer(
        title=title or first.name or first.outputs[0],
        kind=_KINDS[first.op_type],
        nodes=nodes,
        before=nodes[-2].outputs[0] if last.op_type in ACTIVATIONS and len(nodes) > 1 else last.outputs[0],
        output=last.outputs[0],
        output_shape=shapes[last.outputs[0]][1:],
        weight_shape=weight_shape,
        parameters=math.prod(weight_shape) + shifts * weight_shape[0] if weight_shape else 0,
        receptive_field=fields.get(last.outputs[0]),
    )
