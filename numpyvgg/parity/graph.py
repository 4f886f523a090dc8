"""A model's graph, for walking through it with values at hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import ArgumentError, UnsupportedModelError
from ..files.onnx import Node, OnnxModel
from ..graph.graph import Graph
from ..graph.inference import does_nothing
from ..vgg.recognise import recognise
from .operations import forward, operation


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
        """What a runtime returned, by the names of the graph's tensors."""
        if isinstance(values, np.ndarray):
            values = [values]
        if not isinstance(values, Mapping):
            values = dict(zip([output.name for output in self.model.outputs], values, strict=False))
        of_node = {node.name: node.outputs[0] for node in self.nodes if node.name}
        tensors = {node.outputs[0] for node in self.nodes}
        found = {key if key in tensors else of_node.get(key, ""): np.asarray(value) for key, value in values.items()}
        found.pop("", None)
        for key, value in found.items():
            if value.dtype.kind != "f":
                raise ArgumentError(f"the runtime returned {key!r} as {value.dtype}, not as floats")
        if not found:
            raise ArgumentError(
                f"of what the runtime returned ({', '.join(list(values)[:3]) or 'nothing'}, ...) nothing has the name "
                f"of a tensor of {self.model.path} ({', '.join(sorted(tensors)[:3])}, ...)"
            )
        # OpenVINO knows a tensor by the name that it has behind nodes that do nothing.
        for node in reversed(self.nodes):
            if does_nothing(self._graph, node) and node.outputs[0] in found:
                found.setdefault(node.inputs[0], found[node.outputs[0]])
        return found

    def inputs(self, node: Node, values: Mapping[str, Any]) -> list[Any]:
        """What the node reads: values that were computed, what is fixed in the file, None where it leaves one out."""
        return [None if not name else values[name] if name in values else self.fixed(name) for name in node.inputs]

    def fixed(self, name: str) -> np.ndarray:
        value = self._graph.constant(name)
        assert value is not None
        return value

    def forward(self, x: np.ndarray, dtype: type, stored: type | None = None) -> Iterator[tuple[Node, np.ndarray]]:
        """Run the graph in `dtype`, one node after the other, each output rounded to `stored` before the next."""
        values = {self.input: x}
        for node in self.nodes:
            inputs = self.inputs(node, values)[: 1 if does_nothing(self._graph, node) else None]
            output = forward(self.model, node, _floats(inputs, dtype))
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
