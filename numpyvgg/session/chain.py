"""A node and those after it that are done in the same step: each reads what the last one made, and nobody else does."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..files.onnx import Node
from ..graph.folding import by_channel, factor_and_offset, fold, why_not_folded
from ..graph.graph import Graph
from ..kernels import finishing
from ..kernels.finishing import Activation

#: Activations that become a step's own where they multiply their argument: x * Sigmoid(x).
_GATES = {"Sigmoid": "Swish", "HardSigmoid": "HardSwish"}
_PADDING = ("SAME_UPPER", "SAME_LOWER")


class Chain:
    """The nodes of a step, which grows.

    Constants are float32 where the graph has float16, and `rounds` says that it rounds to that behind each node: then
    only what does not change by being rounded before or after joins the operation.

    Parameters
    ----------
    graph : Graph
    node : Node
        The first.
    readers : mapping of str to sequence of Node
        Who reads each tensor; None stands for the caller, who wants it.
    """

    def __init__(self, graph: Graph, node: Node, readers: Mapping[str, Sequence[Node | None]]):
        self.nodes = [node]
        self.graph = graph
        self.rounds = False
        self._readers = readers

    def constant(self, name: str) -> np.ndarray | None:
        """The value of a fixed tensor; None where it is not fixed."""
        value = self.graph.constant(name)
        return None if value is None else single(value)

    @property
    def top(self) -> str:
        """The tensor that the last node makes."""
        return self.nodes[-1].outputs[0]

    def follow(self, op_type: str, accept: Callable[[Node], Any] = lambda node: True) -> Node | None:
        """Take the next node in, if it is of this kind and `accept(node)` is true."""
        readers = self._readers.get(self.top, ())
        node = readers[0] if len(readers) == 1 else None
        if node is None or node.op_type != op_type or len(node.outputs) != 1 or not accept(node):
            return None
        self.nodes.append(node)
        return node

    def _other(self, node: Node) -> np.ndarray | None:
        """The fixed operand of an Add or Mul whose other operand is the chain's own tensor."""
        return next((self.constant(name) for name in node.inputs if name != self.top), None)

    # ------------------------------------------------------------------ what becomes part of the weight

    def bias(self, size: int) -> np.ndarray | None:
        """Take in an Add of a vector along the last axis."""
        found: list[np.ndarray] = []

        def accept(node: Node) -> bool:
            value = self._other(node)
            if value is not None and value.shape == (size,):
                found.append(value)
            return bool(found)

        return found[0] if self.follow("Add", accept) else None

    def fold(self, weight: np.ndarray, bias: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
        """Take in what scales and shifts whole channels, and return the weight and bias that do the same."""
        channels = len(weight)
        factor, offset = np.ones(channels), np.zeros(channels)
        while self.graph.model.opset >= 7:
            found: list[tuple[Any, Any]] = []
            if self.follow("BatchNormalization", partial(self._accept_normalization, found, channels)) or self.follow(
                "Mul", partial(self._accept_operand, found, weight.shape, lambda value: (value, 0.0))
            ):
                pass
            elif not self.follow("Add", partial(self._accept_operand, found, weight.shape, lambda value: (1.0, value))):
                break
            (by, plus) = found[0]
            factor, offset = factor * by, offset * by + plus
        if len(self.nodes) == 1:
            return weight, bias
        folded_weight, folded_bias = fold(weight, bias, factor, offset)
        return folded_weight.astype(weight.dtype), folded_bias.astype(weight.dtype)

    def _accept_normalization(self, found: list[tuple[Any, Any]], channels: int, node: Node) -> bool:
        if why_not_folded(self.graph, node, channels):
            return False
        found.append(factor_and_offset(self.graph, node))
        return True

    def _accept_operand(
        self,
        found: list[tuple[Any, Any]],
        weight: tuple[int, ...],
        meaning: Callable[[Any], tuple[Any, Any]],
        node: Node,
    ) -> bool:
        operand = self._other(node)
        value = None if operand is None else by_channel(operand, weight[0], axes=len(weight) - 2)
        if value is None:
            return False
        found.append(meaning(value))
        return True

    def padded_next(self) -> bool:
        """Whether a convolution reads the last node's tensor with padding."""
        return any(
            node is not None
            and node.op_type == "Conv"
            and (any(node.attributes.get("pads") or ()) or node.attributes.get("auto_pad", "NOTSET") in _PADDING)
            for node in self._readers.get(self.top, ())
        )

    # ------------------------------------------------------------------ what becomes part of the operation

    def addend(self, pending: Collection[str]) -> tuple[Node, str] | None:
        """Take in the sum with a tensor that exists when the step runs, one that is not `pending` -> who, which."""
        if self.graph.model.opset < 7 or self.rounds:
            return None
        for op_type in ("Add", "Sum"):
            node = self.follow(op_type, lambda node: len(node.inputs) == 2 and self._partner(node) not in pending)
            if node is not None:
                (name,) = (name for name in node.inputs if name != self.nodes[-2].outputs[0])
                return node, name
        return None

    def _partner(self, node: Node) -> str:
        return next(name for name in node.inputs if name != self.top)

    def activation(self) -> Activation | None:
        """Take in an activation that the kernels know."""
        readers = self._readers.get(self.top, ())
        if self.rounds:
            return finishing.relu if self.follow("Relu") else None
        if len(readers) == 2:
            return self._gate(*readers)
        found: list[Activation] = []

        def accept(node: Node) -> bool:
            found.extend(filter(None, [self._meaning(node.op_type, node)]))
            return bool(found)

        return found[0] if readers and readers[0] and self.follow(readers[0].op_type, accept) else None

    def _gate(self, one: Node | None, other: Node | None) -> Activation | None:
        """Take in ``x * f(x)``, two nodes."""
        if one is None or other is None or one.op_type == "Mul":
            one, other = other, one
        if one is None or other is None or one.op_type not in _GATES or other.op_type != "Mul":
            return None
        if {*other.inputs} != {self.top, one.outputs[0]} or len(self._readers[one.outputs[0]]) != 1:
            return None
        self.nodes += [one, other]
        return self._meaning(_GATES[one.op_type], one)

    def _meaning(self, op_type: str, node: Node) -> Activation | None:
        get = node.attributes.get
        alpha, beta = get("alpha"), get("beta", 0.5)
        if op_type == "Clip":
            return self._clip(node)
        if op_type == "LeakyRelu":
            alpha = 0.01 if alpha is None else alpha
            return partial(finishing.leaky_relu, alpha) if 0 < alpha <= 1 else None
        if op_type in ("HardSigmoid", "HardSwish"):
            function = finishing.hard_sigmoid if op_type == "HardSigmoid" else finishing.hard_swish
            alpha = alpha if alpha is not None else 1 / 6 if node.op_type == "HardSwish" else 0.2
            return partial(function, alpha, beta)
        if op_type == "Swish" and alpha not in (None, 1):
            return None
        return {"Relu": finishing.relu, "Sigmoid": finishing.sigmoid, "Swish": finishing.swish}.get(op_type)

    def _clip(self, node: Node) -> Activation | None:
        """Clip between bounds that are fixed: attributes below operator set 11, inputs from then on."""
        bounds: list[Any] = [node.attributes.get("min"), node.attributes.get("max")]
        for i, name in enumerate(node.inputs[1:]):
            bounds[i] = self.constant(name) if name else None
            if name and (bounds[i] is None or bounds[i].size != 1):
                return None
        low, high = (end if bound is None else bound for bound, end in zip(bounds, (-np.inf, np.inf), strict=True))
        return partial(finishing.clip, float(low), float(high))


def single(array: np.ndarray) -> np.ndarray:
    """float16 as float32, anything else as it is."""
    return array.astype(np.float32) if array.dtype == np.float16 else array
