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
from .operations import Inputs, forward, operation
from .precision import as_float64


class ParityGraph:
    """A model's nodes with their names and constants, for walking through them with values at hand."""

    def __init__(self, model: OnnxModel):
        self.model = model
        if len(model.inputs) != 1:
            raise UnsupportedModelError(f"{model.path}: parity takes networks of one input, not {len(model.inputs)}")
        self.input = model.inputs[0].name
        self._graph = Graph(model)
        self.nodes = [node for node in self._graph.nodes if not all(map(self._graph.is_fixed, node.outputs))]
        self._last_use = {name: node.outputs[0] for node in self.nodes for name in node.inputs}
        self._of_node = {node.name: node.outputs[0] for node in self.nodes if node.name}
        self._tensors = {node.outputs[0] for node in self.nodes}
        for node in self.nodes:
            operation(model, node)
        try:
            self._titles = {layer.output: layer.title for layer in recognise(model)[0]}
        except UnsupportedModelError:
            self._titles = {}

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
                f"of what the runtime returned ({', '.join(list(values)[:3]) or 'nothing'}, ...) nothing has the name "
                f"of a tensor of {self.model.path} ({', '.join(sorted(self._tensors)[:3])}, ...)"
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
        known = {self.input, *(name for node in self.nodes for name in node.inputs)}  # not judged, but no mistake
        return [key for key in values if not self._tensor(key) and key not in known]

    def inputs(self, node: Node, values: Mapping[str, Any]) -> list[Any]:
        """What the node reads: values that were computed, what is fixed in the file, None where it leaves one out."""
        return [None if not name else values[name] if name in values else self.fixed(name) for name in node.inputs]

    def fixed(self, name: str) -> np.ndarray:
        value = self._graph.constant(name)
        assert value is not None
        return value

    def forward(
        self,
        x: np.ndarray,
        dtype: type,
        stored: type | None = None,
        compute: Callable[[OnnxModel, Node, Inputs], np.ndarray] = forward,
    ) -> Iterator[tuple[Node, np.ndarray]]:
        """Run the graph in `dtype`, one node after the other, each output rounded to `stored` before the next."""
        values = {self.input: x}
        for node in self.nodes:
            dropout = node.op_type == "Dropout" and does_nothing(self._graph, node)  # whatever its third input says
            inputs = self.inputs(node, values)[: 2 if dropout else None]
            output = compute(self.model, node, _floats(inputs, dtype))
            values[node.outputs[0]] = output = output.astype(stored or dtype, copy=False)
            self.forget(values, node)
            yield node, output

    def forget(self, values: dict[str, Any], node: Node) -> None:
        """Drop the values that no later node reads."""
        for name in node.inputs:
            if self._last_use[name] == node.outputs[0]:
                values.pop(name, None)


def _floats(arrays: list[np.ndarray | None], dtype: type) -> list[np.ndarray | None]:
    """In `dtype`, what is not an integer."""
    return [a.astype(dtype, copy=False) if a is not None and a.dtype.kind == "f" else a for a in arrays]
