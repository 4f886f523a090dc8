"""A model's graph, for walking through it with values at hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import ArgumentError, UnsupportedModelError
from ..files.onnx import Node, OnnxModel
from ..graph.graph import Graph
from ..graph.inference import does_nothing
from ..vgg.recognise import recognise
from .operations import Inputs, forward
from .precision import as_float64


class ParityGraph:
    """A model's nodes with their names and constants, for walking through them with values at hand.

    Attributes
    ----------
    inputs : list of str
    nodes : list of Node
        Those that the file alone does not determine, in dependency order.
    """

    def __init__(self, model: OnnxModel):
        self.model = model
        self.inputs = [value.name for value in model.inputs]
        self._graph = Graph(model)
        self.nodes = [node for node in self._graph.nodes if not all(map(self._graph.is_fixed, node.outputs))]
        self._last_use = {name: node.outputs[0] for node in self.nodes for name in node.inputs}
        self._of_node = {node.name: node.outputs[0] for node in self.nodes if node.name}
        self._tensors = {name for node in self.nodes for _, name in self.outputs(node)}
        self._readers: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in node.inputs:
                self._readers.setdefault(name, []).append(node)
        try:
            self._titles = {layer.output: layer.title for layer in recognise(model)[0]}
        except UnsupportedModelError:
            self._titles = {}

    def feed(self, x: Mapping[str, np.ndarray] | np.ndarray) -> dict[str, np.ndarray]:
        """The network's input by its name, or its inputs.

        Raises
        ------
        ArgumentError
            It has others.
        """
        feed = dict(x) if isinstance(x, Mapping) else {self.inputs[0]: x}
        if set(feed) != set(self.inputs):
            raise ArgumentError(
                f"{self.model.path}: its inputs are {', '.join(self.inputs)}; {', '.join(feed)} came: give a dictionary"
            )
        return feed

    def outputs(self, node: Node) -> list[tuple[int, str]]:
        """Number and name of the node's first output, and of those others that something reads."""
        of_network = {output.name for output in self.model.outputs}
        used = [name in self._last_use or name in of_network for name in node.outputs]
        return [(k, name) for k, name in enumerate(node.outputs) if name and (k == 0 or used[k])]

    def following(self, tensor: str) -> Node | None:
        """The only node that reads a tensor; None where there are several, or none."""
        readers = self._readers.get(tensor, [])
        return readers[0] if len(readers) == 1 else None

    def name(self, node: Node) -> str:
        """The literature's name of a layer, else the node's, else its output's."""
        return self._titles.get(node.outputs[0]) or node.name or node.outputs[0]

    def named(self, values: Mapping[str, np.ndarray] | Sequence[np.ndarray] | np.ndarray) -> dict[str, np.ndarray]:
        """What a runtime returned, in float64, by the names of the graph's tensors."""
        if not isinstance(values, Mapping):
            names = [output.name for output in self.model.outputs]
            arrays: list[Any] = (
                list(values) if isinstance(values, (list, tuple)) and len(values) == len(names) else [values]
            )
            if len(arrays) != len(names):
                raise ArgumentError(f"the network has {len(names)} outputs ({', '.join(names)}): return a dictionary")
            values = dict(zip(names, arrays, strict=True))
        found = {self._tensor(key): as_float64(value, key) for key, value in values.items() if self._tensor(key)}
        if not found:
            raise ArgumentError(
                f"of what the runtime returned ({', '.join(map(str, list(values)[:3])) or 'nothing'}, ...) nothing has "
                f"the name of a tensor of {self.model.path} ({', '.join(sorted(self._tensors)[:3])}, ...)"
            )
        # OpenVINO knows a tensor by the name that it has behind nodes that do nothing.
        for node in reversed(self.nodes):
            if does_nothing(self._graph, node) and node.outputs[0] in found:
                found.setdefault(node.inputs[0], found[node.outputs[0]])
        return found

    def _tensor(self, key: str) -> str:
        """The tensor that is called so, or that the node called so computes; empty where there is none."""
        return key if key in self._tensors else self._of_node.get(key, "")

    def unknown(self, values: Any) -> list[str]:
        """The names among what a runtime returned that nothing in the graph has."""
        if not isinstance(values, Mapping):
            return []
        known = {*self.inputs, *(name for node in self.nodes for name in node.inputs)}  # not judged, but no mistake
        return [key for key in values if not self._tensor(key) and key not in known]

    def arguments(self, node: Node, values: Mapping[str, Any]) -> list[Any]:
        """What the node reads: values that were computed, what is fixed in the file, None where it leaves one out."""
        return [None if not name else values[name] if name in values else self.fixed(name) for name in node.inputs]

    def fixed(self, name: str) -> np.ndarray:
        value = self._graph.constant(name)
        assert value is not None
        return value

    def forward(
        self,
        x: Mapping[str, np.ndarray] | np.ndarray,
        dtype: type,
        stored: type | None = None,
        compute: Callable[[OnnxModel, Node, Inputs, int], np.ndarray] = forward,
    ) -> Iterator[tuple[Node, str, np.ndarray]]:
        """Run the graph in `dtype`, tensor by tensor, each rounded to `stored` before the next."""
        values = self.feed(x)
        for node in self.nodes:
            dropout = node.op_type == "Dropout" and does_nothing(self._graph, node)  # whatever its third input says
            inputs = _floats(self.arguments(node, values)[: 2 if dropout else None], dtype)
            for k, name in self.outputs(node):
                output = compute(self.model, node, inputs, k)
                if output.dtype.kind == "f":
                    output = output.astype(stored or dtype, copy=False)
                values[name] = output
                yield node, name, output
            self.forget(values, node)

    def forget(self, values: dict[str, Any], node: Node) -> None:
        """Drop the values that no later node reads."""
        for name in node.inputs:
            if self._last_use[name] == node.outputs[0]:
                values.pop(name, None)


def _floats(arrays: list[np.ndarray | None], dtype: type) -> list[np.ndarray | None]:
    """In `dtype`, what is not an integer."""
    return [a.astype(dtype, copy=False) if a is not None and a.dtype.kind == "f" else a for a in arrays]
