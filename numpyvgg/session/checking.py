"""What a graph alone tells of types and shapes, held against each operator's signature before anything runs."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import ArgumentError, ModelFormatError, UnsupportedModelError
from ..files.onnx import OnnxModel, ValueInfo
from ..graph.graph import Graph
from ..operators import Facts, Operator


def check_graph(
    graph: Graph,
    operators: Mapping[int, Operator],
) -> list[ValueInfo]:
    """Carry types and shapes from the inputs through the graph, as far as they are known, to the outputs.

    Parameters
    ----------
    graph : Graph
    operators : mapping of int to Operator
        By ``id(node)``; nodes that are not there are constants.

    Returns
    -------
    list of ValueInfo
        The outputs as the file describes them, and what it leaves open as it follows from the inputs.

    Raises
    ------
    ModelFormatError
        Types or shapes do not go together, or an attribute does not go with them.
    UnsupportedModelError
        A result would be larger than allowed.
    """
    model = graph.model
    known = {value.name: Facts(_array_type(value.dtype), _sizes(value.shape)) for value in model.inputs}
    for node in graph.nodes:
        operator = operators.get(id(node))
        if operator is None:
            for name in filter(None, node.outputs):
                value = graph.constant(name)
                known[name] = Facts() if value is None else Facts(value.dtype.name, value.shape)
            continue
        facts = [_facts(model, known, name) for name in node.inputs]
        for index in operator.reads:
            facts[index] = (facts[index] or Facts())._replace(value=graph.constant(node.inputs[index]))
        try:
            results = operator.infer(facts)
        except ArgumentError as error:
            raise ModelFormatError(f"{model.path}: {node}: {error}") from None
        except UnsupportedModelError as error:
            raise UnsupportedModelError(f"{model.path}: {node}: {error}") from None
        known.update(zip(node.outputs, results, strict=True))
    for output in model.outputs:
        if output.name not in known and output.name not in model.initializers:
            raise ModelFormatError(f"{model.path}: output {output.name!r} is nothing that the graph computes")
    return [_described(output, _facts(model, known, output.name) or Facts()) for output in model.outputs]


def _described(output: ValueInfo, found: Facts) -> ValueInfo:
    shape = output.shape if output.shape is not None else found.shape
    if shape is not None and found.shape is not None and len(shape) == len(found.shape):
        shape = tuple(found if size is None else size for size, found in zip(shape, found.shape, strict=True))
    return ValueInfo(output.name, output.dtype or found.dtype, shape)


def _array_type(dtype: str | None) -> str | None:
    """Of the array that stands for it: NumPy has no bfloat16."""
    return "float32" if dtype == "bfloat16" else dtype


def _sizes(shape: tuple[int | str | None, ...] | None) -> tuple[int | None, ...] | None:
    """A declared shape; names stand for sizes that are not known yet."""
    return None if shape is None else tuple(size if isinstance(size, int) else None for size in shape)


def _facts(model: OnnxModel, known: dict[str, Facts], name: str) -> Facts | None:
    if not name:
        return None
    if name not in known and name in model.initializers:
        stored = model.initializers.stored(name)
        known[name] = Facts(stored.dtype.name, stored.dims)
    return known[name]
