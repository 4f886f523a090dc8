"""From a graph to the steps that a session runs: only what is needed, each step after those that it reads from.

Three things happen to the graph on the way; none of them changes a requested value, but for rounding:

- nodes run in dependency order, whatever order the file has; those that no wanted tensor depends on do not run, nor do
  those whose outputs are fixed (`graph` folds them once);
- a convolution or fully connected layer whose weight is fixed goes to the operations set (`layers.Textbook`, or the
  kernels), which rearranges the weight once. What follows it and only it is done in the same step: scales and offsets
  for each channel (BatchNormalization, or Mul and Add with constants) become part of the weight and bias; the sum with
  a tensor that is there already (a residual), an activation, and after a ReLU a 2x2 max pooling part of the operation.
  Where an intermediate tensor is wanted by name, the step ends there;
- after its last use a tensor is freed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import numpy as np

from .. import operators
from ..errors import UnsupportedModelError
from ..files.onnx import Node, OnnxModel
from ..graph.graph import Graph
from ..graph.inference import does_nothing, warn_of_training
from ..kernels import finishing
from ..layers import Textbook
from .axes import along_one_axis, along_three_axes
from .chain import Chain, single
from .checking import check_graph
from .steps import (
    PIXELWISE,
    Convolution,
    FullyConnected,
    MaxPool,
    Pixelwise,
    add_relu,
    checked,
    in_single,
)

#: Kinds of operators that stay out, and what may be done about it.
_STAY_OUT = {
    "If|Loop|Scan|SequenceMap": "subgraphs are not run here; an export for inputs of fixed sizes often does without",
    "LSTM|GRU|RNN": "recurrent networks are not run here",
    "QLinear.*|.*[Qq]uantizeLinear|.*Integer": "quantised networks are not run here; take the one in float32",
    "com[.]microsoft[.].*": "take the network as it was exported, not as ONNX Runtime has optimised it",
}


#: Operators whose own functions multiply matrices, on as many threads as BLAS has.
_PRODUCTS = {"Attention", "Conv", "ConvTranspose", "Det", "Einsum", "Gemm", "MatMul", "RoiAlign"}


@dataclass
class Step:
    """One call: `run(*inputs) -> outputs`.

    Attributes
    ----------
    nodes : list of Node
        What it computes, for errors.
    inputs, outputs : list of str
        Tensor names; "" for an input that is left out.
    run : callable
        Takes an array (or None) for each input; returns an array, or a tuple of them.
    last_uses : list of str
        Tensors that nobody reads after this step.
    """

    nodes: list[Node]
    inputs: list[str]
    outputs: list[str]
    run: Callable[..., Any]
    last_uses: list[str] = field(default_factory=list)


class Planner:
    """Checks a graph once, then makes the steps for any choice of wanted tensors.

    Parameters
    ----------
    model : OnnxModel
    make_operations : callable
        Gives the operations set (such as `kernels.Kernels`) that computes in `dtype`.
    max_bytes : int, optional
        The largest result that a step may make.

    Attributes
    ----------
    outputs : list of ValueInfo
        The graph's outputs, with types and shapes as far as they are known.

    Raises
    ------
    UnsupportedModelError
        The graph has operators, or attributes of them, that are not available; all of the former are named.
    ModelFormatError
        The graph has a cycle, a tensor that comes from nowhere or from two nodes, or a node whose attributes, types or
        shapes are not what its operator allows.
    """

    def __init__(self, model: OnnxModel, make_operations: Callable[..., Any], max_bytes: int | None = None):
        self.model = model
        self._operations = cache(lambda dtype: make_operations(dtype=dtype))
        self._kernels = not isinstance(self._operations(np.dtype(np.float32)), Textbook)
        self._check_operators()
        self._max_bytes = max_bytes
        self.graph = Graph(model, max_bytes=max_bytes)
        warn_of_training(self.graph)
        self._functions = {
            id(node): operators.bind(node, model, max_bytes) for node in model.nodes if node.op_type != "Constant"
        }
        self.outputs = check_graph(self.graph, self._functions)
        self._prepared: dict[Any, Any] = {}

    # ------------------------------------------------------------------ the graph as it is

    def _check_operators(self) -> None:
        opset, path = self.model.opset, self.model.path
        if opset > operators.NEWEST_OPSET:
            raise UnsupportedModelError(
                f"{path}: operator set {opset} is newer than {operators.NEWEST_OPSET}, the newest one known here; "
                "export the model for an older one"
            )
        missing: dict[str, list[str]] = {}
        for node in self.model.nodes:
            if node.domain or (node.op_type != "Constant" and operators.find(node.op_type, opset) is None):
                operator = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
                missing.setdefault(operator, []).append(repr(node.name or ", ".join(node.outputs)))
        if missing:
            listed = "; ".join(
                f"{operator} ({', '.join(names[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''})"
                for operator, names in missing.items()
            )
            mends = [mend for kind, mend in _STAY_OUT.items() if any(re.fullmatch(kind, name) for name in missing)]
            reasons = "; ".join([listed, *mends])
            raise UnsupportedModelError(f"{path}: operator set {opset}: these operators are not available: {reasons}")

    # ------------------------------------------------------------------ the steps

    def steps(self, wanted: Collection[str], overridden: Collection[str]) -> list[Step]:
        """What to run for the `wanted` tensors, when the caller gives the `overridden` initializers' values."""
        graph = Graph(self.model, overridden, self._max_bytes) if overridden else self.graph
        needed = self._needed(graph, wanted)
        readers: dict[str, list[Node | None]] = {name: [None] for name in wanted}  # the caller reads it
        for node in needed:
            for name in node.inputs:
                readers.setdefault(name, []).append(node)
        pending = {name for node in needed for name in node.outputs}
        steps: list[Step] = []
        fused: set[int] = set()
        for node in needed:
            if id(node) not in fused:
                step = self._fuse(Chain(graph, node, readers), pending) or self._alone(Chain(graph, node, readers))
                fused.update(map(id, step.nodes))
                pending.difference_update(step.outputs)
                steps.append(step)
        self._note_last_uses(steps, wanted)
        return steps

    def textbook_convolutions(self, steps: Sequence[Step]) -> list[str]:
        """The names of those nodes among the steps' that convolve by the definition; without one, their outputs'."""
        alone = [step.nodes for step in steps if isinstance(step.run, operators.Operator) or not self._kernels]
        return [node.name or node.outputs[0] for nodes in alone for node in nodes if node.op_type == "Conv"]

    def only_kernels_multiply(self, steps: Sequence[Step]) -> bool:
        """Whether no step multiplies matrices but by the kernels, which keep BLAS to one thread."""
        others = (step.nodes[0].op_type for step in steps if isinstance(step.run, operators.Operator))
        return self._kernels and _PRODUCTS.isdisjoint(others)

    def _alone(self, chain: Chain) -> Step:
        """A step of the chain's first node."""
        node = chain.nodes[0]
        operator = self._functions[id(node)]
        run: Callable[..., Any] = operator
        if node.op_type in PIXELWISE and self._kernels:
            run = Pixelwise(operator, self._operations, chain.padded_next())
        elif node.op_type == "MaxPool" and len(node.outputs) == 1 and self._kernels:
            run = MaxPool(operator, self._operations, chain.padded_next(), node)
        dropout = node.op_type == "Dropout" and does_nothing(chain.graph, node)  # whatever its third input says
        return Step([node], node.inputs[: 2 if dropout else None], node.outputs, run)

    @staticmethod
    def _needed(graph: Graph, wanted: Collection[str]) -> list[Node]:
        """The nodes that the wanted tensors depend on, in order; not those whose outputs are fixed."""
        names = set(wanted)
        needed = []
        for node in reversed(graph.nodes):
            if any(name in names and not graph.is_fixed(name) for name in filter(None, node.outputs)):
                needed.append(node)
                names.update(node.inputs)
        return needed[::-1]

    @staticmethod
    def _note_last_uses(steps: list[Step], wanted: Collection[str]) -> None:
        seen = {"", *wanted}
        for step in reversed(steps):
            step.last_uses = [name for name in {*step.inputs, *step.outputs} if name not in seen]
            seen.update(step.last_uses)

    # ------------------------------------------------------------------ steps with fixed weights

    def _fuse(self, chain: Chain, pending: Collection[str]) -> Step | None:
        """A step of more than the node alone; None where there is nothing to gain."""
        node, graph = chain.nodes[0], chain.graph
        run: Callable[..., Any] | None
        if node.op_type == "Add" and chain.follow("Relu"):
            run = partial(add_relu, self._alone(chain).run)
            return Step(chain.nodes, node.inputs, chain.nodes[-1].outputs, run)
        if node.op_type not in ("Conv", "Gemm", "MatMul"):
            return None
        stored = _as_it_lies(graph, node.inputs[1])
        if stored is None or stored.dtype not in (np.float16, np.float32, np.float64):
            return None
        weight, inputs = single(stored), node.inputs[:1]
        chain.rounds = stored.dtype == np.float16
        if node.op_type == "Conv":
            run = self._convolution(chain, weight, pending, inputs)
        elif node.op_type == "Gemm":
            run = self._gemm(chain, weight)
        else:
            run = self._matmul(chain, weight)
        if run is None:
            return None
        if stored.dtype == np.float16:
            run = partial(in_single, run)
        fixed = [stored, *(graph.constant(name) for name in node.inputs[2:])]
        run = partial(checked, self._functions[id(node)], fixed, run)
        return Step(chain.nodes, inputs, chain.nodes[-1].outputs, run)

    def _convolution(
        self, chain: Chain, weight: np.ndarray, pending: Collection[str], inputs: list[str]
    ) -> Callable[..., Any] | None:
        """How a convolution is run; an addend's name is appended to the step's `inputs`."""
        node = chain.nodes[0]
        bias = chain.constant(node.inputs[2]) if len(node.inputs) > 2 else None
        if weight.ndim not in (3, 4, 5) or not weight.size or (bias is None and any(node.inputs[2:])):
            return None
        weight, bias = chain.fold(weight, bias)
        prepared = self._prepared.setdefault((id(node), len(chain.nodes)), {})
        operations = self._operations(weight.dtype)
        if weight.ndim != 4:
            make = along_one_axis if weight.ndim == 3 else along_three_axes
            return make(operations, weight, bias, node.attributes, chain.activation(), prepared)
        addend = chain.addend(pending)
        add = None
        if addend is not None:
            add = self._functions[id(addend[0])]
            inputs.append(addend[1])
        activation = chain.activation()
        pool = chain.follow("MaxPool", _is_halving) if activation is finishing.relu and add is None else None
        return Convolution(
            operations,
            weight,
            bias,
            node.attributes,
            activation,
            self._functions[id(pool)] if pool else None,
            prepared,
            add,
            chain.padded_next(),
        )

    def _gemm(self, chain: Chain, weight: np.ndarray) -> FullyConnected | None:
        node = chain.nodes[0]
        attributes = {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0, **node.attributes}
        if attributes["transA"] or attributes["alpha"] != 1 or attributes["beta"] != 1 or weight.ndim != 2:
            return None
        weight = weight if attributes["transB"] else np.require(weight, requirements="A").T  # [M, K]
        bias = chain.constant(node.inputs[2]) if len(node.inputs) > 2 else None
        if any(node.inputs[2:]) and (bias is None or bias.shape not in ((len(weight),), (1, len(weight)))):
            return None
        relu = chain.follow("Relu") is not None
        bias = None if bias is None else bias.reshape(-1)
        prepared = self._prepared.setdefault((id(node), 1), {})
        return FullyConnected(self._operations(weight.dtype), weight, bias, relu, prepared)

    def _matmul(self, chain: Chain, weight: np.ndarray) -> FullyConnected | None:
        if weight.ndim != 2:
            return None
        bias = chain.bias(weight.shape[1]) if self.model.opset >= 7 else None
        folded = len(chain.nodes)
        relu = chain.follow("Relu") is not None
        prepared = self._prepared.setdefault((id(chain.nodes[0]), folded), {})
        weight = np.require(weight, requirements="A").T  # [M, K]
        return FullyConnected(self._operations(weight.dtype), weight, bias, relu, prepared)


def _as_it_lies(graph: Graph, name: str) -> np.ndarray | None:
    """The value of a fixed tensor where it lies in the file, aligned or not: the kernels copy what they have to."""
    stored = graph.stored(name)
    return graph.constant(name) if stored is None else stored.view()


def _is_halving(node: Node) -> bool:
    """Whether a MaxPool is the 2x2 one with stride 2 that `conv_relu_pool` knows; sizes decide about the rest."""
    attributes = {"strides": [1, 1], "pads": [0] * 4, "dilations": [1, 1], **node.attributes}
    return (
        attributes.get("kernel_shape") == [2, 2]
        and attributes["strides"] == [2, 2]
        and attributes["pads"] == [0] * 4
        and attributes["dilations"] == [1, 1]
    )
