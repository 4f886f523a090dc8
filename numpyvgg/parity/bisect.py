"""The smallest graph and input on which a runtime still fails: what to attach to a report to its makers.

The first layer that is not explained is cut out of the network, with the tensor that it reads. Where it alone is
computed well (runtimes optimise what they see), nodes before it are added until it fails again. Then halves are left
out: rows, columns and channels of the input, filters of a single convolution or Gemm, for as long as the rest still
fails (delta debugging, with halves only).

Source: Andreas Zeller and Ralf Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", IEEE Transactions on
Software Engineering 28(2), 2002.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..errors import ArgumentError, NumpyVggError
from ..files.cache import written_whole
from ..files.onnx import Node, OnnxModel, ValueInfo, read_onnx
from ..files.write import onnx_file
from .compare import Runtime, compare
from .golden import write_golden
from .graph import ParityGraph
from .operations import forward
from .result import LayerParity

#: The IR version that came with operator set 15 (ONNX 1.10), and that all runtimes here read
IR_VERSION = 8


@dataclass(frozen=True)
class _Constant:
    """An initializer of the file to be written."""

    name: str
    value: np.ndarray

    @property
    def dims(self) -> tuple[int, ...]:
        return self.value.shape

    @property
    def dtype(self) -> np.dtype:
        return self.value.dtype

    def array(self) -> np.ndarray:
        return self.value


@dataclass(frozen=True)
class Case:
    """Nodes of a model, in order, the last of which fails; their constants; and their only input `x` by its name."""

    model: OnnxModel
    nodes: list[Node]
    constants: dict[str, np.ndarray]
    name: str
    x: np.ndarray

    def output(self) -> np.ndarray:
        """What it gives in float32."""
        values = {**self.constants, self.name: self.x}
        for node in self.nodes:
            inputs = [values[name] if name else None for name in node.inputs]
            values[node.outputs[0]] = forward(self.model, node, inputs)
        return values[self.nodes[-1].outputs[0]]

    def write(self, path: Path) -> OnnxModel:
        """Write it as an ONNX file, and read that."""
        for node in self.nodes:
            for value in node.attributes.values():
                if not isinstance(value, int | float | str) and not all(isinstance(each, int) for each in value):
                    raise ArgumentError(f"{self.model.path}: {node} has attributes that cannot be written")
        _, pieces = onnx_file(
            self.nodes,
            [_Constant(name, np.asarray(value)) for name, value in self.constants.items()],
            [ValueInfo(self.name, "float32", self.x.shape)],
            [ValueInfo(self.nodes[-1].outputs[0], "float32", self.output().shape)],
            graph_name="bisected",
            producer="numpyvgg",
            ir_version=IR_VERSION,
            opset=self.model.opset,
        )
        with written_whole(path) as file:
            file.writelines(pieces)
        return read_onnx(path)


def bisect(
    model: OnnxModel,
    x: np.ndarray,
    opened: Callable[[OnnxModel, np.ndarray], Runtime],
    folder: Path,
    precision: str = "float32",
) -> tuple[Case, LayerParity] | None:
    """Write the smallest graph and input that a runtime still fails on, with what it should give.

    Parameters
    ----------
    model : OnnxModel
    x : ndarray [N, ...]
    opened : callable
        Loads a model into the runtime, as `runtimes.open_runtime` does: given a model and one image.
    folder : path
        Gets ``model.onnx`` and the golden tensors of its input (`golden.write_golden`).

    Returns
    -------
    (Case, LayerParity), optional
        What was written and its failing layer; None where nothing fails that has one input and can be cut out.
    """
    runtime = opened(model, x[:1])
    parity = compare(model, x, runtime, precision=precision)
    if not parity.failures:
        return None
    failure = parity.failures[0]
    image = x[failure.image : failure.image + 1]
    with tempfile.TemporaryDirectory() as scratch:

        def fails(case: Case) -> LayerParity | None:
            """The layer of the case that is not explained; what cannot be run does not count."""
            try:
                part = case.write(Path(scratch, "model.onnx"))
                found = compare(part, case.x, opened(part, case.x), precision=precision)
            except NumpyVggError:
                return None
            return found.failures[0] if found.failures else None

        graph = ParityGraph(model)
        cases = _cases(graph, failure.tensor, image, graph.named(runtime(image)))
        found = next(((case, layer) for case in cases if (layer := fails(case))), None)
        while found:
            smaller = next(((case, layer) for case in _halves(found[0]) if (layer := fails(case))), None)
            if smaller is None:
                break
            found = smaller
    if found:
        folder.mkdir(parents=True, exist_ok=True)
        write_golden(found[0].write(folder / "model.onnx"), found[0].x, folder)
    return found


def _cases(graph: ParityGraph, tensor: str, image: np.ndarray, theirs: dict[str, np.ndarray]) -> Iterator[Case]:
    """The nodes that compute a tensor from one that comes before it: from the nearest, from the next, from the input.

    The tensor that is read is the runtime's own where it exposes it, else the exact one.
    """
    values = {graph.inputs[0]: image, **{name: value for _, name, value in graph.forward(image, np.float64)}}
    position = next(i for i, node in enumerate(graph.nodes) if tensor in node.outputs)
    for start in range(position, -1, -1):
        nodes = graph.nodes[start : position + 1]
        made = {name for node in nodes for name in node.outputs}
        outer = dict.fromkeys(name for node in nodes for name in node.inputs if name and name not in made)
        read = [name for name in outer if name in values]
        if len(read) == 1:
            constants = {name: graph.fixed(name) for name in outer if name not in values}
            x = np.asarray(theirs.get(read[0], values[read[0]]), np.float32)
            yield Case(graph.model, nodes, constants, read[0], x.reshape(values[read[0]].shape))


def _halves(case: Case) -> Iterator[Case]:
    """The case with one or the other half of an axis left out."""
    for axis in range(1, case.x.ndim):
        size = case.x.shape[axis]
        for half in (slice(size // 2), slice(size // 2, size)) if size > 1 else ():
            yield _cut(case, axis, half)
    if len(case.nodes) == 1 and case.nodes[0].op_type in ("Conv", "Gemm"):
        weight = case.constants[case.nodes[0].inputs[1]]
        filters = weight.shape[_filter_axis(case.nodes[0])]
        for half in (slice(filters // 2), slice(filters // 2, filters)) if filters > 1 else ():
            constants = {
                name: np.take(value, range(filters)[half], _filter_axis(case.nodes[0]) if value is weight else 0)
                for name, value in case.constants.items()
            }
            yield replace(case, constants=constants)


def _cut(case: Case, axis: int, half: slice) -> Case:
    """Some of the input along an axis; of a single Conv or Gemm, the weights to those channels, too."""
    indices, constants, node = range(case.x.shape[axis])[half], case.constants, case.nodes[0]
    if axis == 1 and node.op_type in ("Conv", "Gemm"):
        weight = constants[node.inputs[1]]
        along = 1 - _filter_axis(node)
        if weight.shape[along] == case.x.shape[1]:
            constants = {**constants, node.inputs[1]: np.take(weight, indices, along)}
    return replace(case, x=np.take(case.x, indices, axis), constants=constants)


def _filter_axis(node: Node) -> int:
    return 1 if node.op_type == "Gemm" and not node.attributes.get("transB", 0) else 0
