"""A runtime's tensors held against the exact ones, layer by layer, over a number of images."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import ArgumentError
from ..files.onnx import Node, OnnxModel, SerializableModel, read_onnx
from ..session.inference import InferenceSession
from ..text import progress_bar
from .bounds import student
from .graph import ParityGraph
from .judge import Input, Judgement, Value, judge
from .operations import operation
from .precision import Precision, find_precision
from .result import LayerParity, Parity, failure_text
from .spread import PASSES, spreads

#: Takes one image [1, C, H, W]; returns the runtime's tensors by name, or its output(s) alone: arrays of NumPy, PyTorch
#: or ml_dtypes, or lists of numbers.
Runtime = Callable[[np.ndarray], Mapping[str, Any] | Sequence[Any] | np.ndarray]
ModelLike = str | os.PathLike[str] | bytes | SerializableModel | OnnxModel


def compare(
    model: ModelLike, x: np.ndarray, runtime: Runtime, ours: Runtime | None = None, *, precision: str = "float32"
) -> Parity:
    """Hold a runtime's tensors against the exact ones.

    Parameters
    ----------
    model : path, bytes, onnx.ModelProto or OnnxModel
        A chain or graph of the operators in `numpyvgg.parity.operations`.
    x : ndarray [N, ...]
        The network's input, image by image.
    runtime : callable
        Takes ``x[i:i+1]`` and returns the runtime's tensors: a mapping from names of tensors (or of nodes) in the
        graph to arrays, as many as it can expose; or its output alone. A layer is judged by the runtime's own input to
        it. Where that is not exposed, bounds are carried on from the last tensor that is, and grow. Where they become
        as large as what they judge, the tensor is held to the spread of our own passes end to end (`spread`).
    ours : callable, optional
        The same for the other column of the end-to-end drift; numpyvgg's own float32 when left out.
    precision : str
        What the runtime computes in, one of `numpyvgg.parity.precision.PRECISIONS`, whatever dtype its tensors have.

    Returns
    -------
    Parity

    Raises
    ------
    UnsupportedModelError
        The graph has an operator for which no bound is known.
    ArgumentError
        What the runtime returned has no tensor of the graph.
    """
    model, kind = model if isinstance(model, OnnxModel) else read_onnx(model), find_precision(precision)
    graph, x = ParityGraph(model), np.asarray(x)
    if x.dtype.kind != "f" or x.ndim == 0 or len(x) == 0:
        raise ArgumentError(f"parity takes a batch of floats, not {x.dtype} {list(x.shape)}; see ndarray.astype")
    ours = ours or own_runtime(model)
    rows = {node.outputs[0]: LayerParity(graph.name(node), node.op_type, node.outputs[0]) for node in graph.nodes}
    unknown: dict[str, None] = {}
    with progress_bar(total=len(x) * len(rows), unit="layer", leave=False) as progress:
        for i in range(len(x)):
            image = x[i : i + 1]
            returned = runtime(image)
            unknown.update(dict.fromkeys(graph.unknown(returned)))
            theirs, own = graph.named(returned), graph.named(ours(image))
            judgements, blind = {}, {}
            truth = graph.forward(image, np.float64)
            for (node, judgement), (_, exact) in zip(_judge_each(graph, image, theirs, kind), truth, strict=True):
                row, tensor = rows[node.outputs[0]], node.outputs[0]
                judgements[tensor] = judgement
                if judgement.verdict == "cannot tell":
                    blind[tensor] = exact
                for drift, values in ((row.theirs, theirs), (row.ours, own)):
                    if tensor in values:
                        drift.add(values[tensor], exact)
                progress.update()
            judgements |= _end_to_end(graph, image, judgements, blind, theirs, kind)
            for tensor, judgement in judgements.items():
                rows[tensor].add(judgement, i)
    moves = {node.outputs[0] for node in graph.nodes if operation(model, node).moves}
    layers = [row for row in rows.values() if row.tensor not in moves or not row.explained]
    return Parity(layers, len(x), list(unknown))


def _end_to_end(
    graph: ParityGraph,
    x: np.ndarray,
    judgements: Mapping[str, Judgement],
    exact: Mapping[str, np.ndarray],
    theirs: Mapping[str, np.ndarray],
    precision: Precision,
) -> dict[str, Judgement]:
    """Judge the tensors on which no bound could decide by the spread of our own passes; see `spread`."""
    found = {}
    for tensor, spread in (spreads(graph, x, exact, precision) if exact else {}).items():
        unit = float(np.finfo(precision.sums).eps) * float(np.sqrt(np.mean(np.square(exact[tensor]))))
        error = float(np.sqrt(np.mean(np.square(theirs[tensor] - exact[tensor]))))
        if spread > 0 and np.isfinite(spread):  # else the passes say nothing
            limit = student(PASSES)
            ratio = error / (spread + unit / limit)  # storing the result rounds, even where all passes agree
            verdict = "end to end" if ratio <= limit else "beyond the spread"
            found[tensor] = replace(judgements[tensor], verdict=verdict, drift=ratio, limit=limit)
    return found


def _judge_each(
    graph: ParityGraph, x: np.ndarray, theirs: Mapping[str, np.ndarray], precision: Precision
) -> Iterator[tuple[Node, Judgement]]:
    """Judge each node by the runtime's own inputs to it."""
    values = {graph.input: Value(x.astype(np.float64))}
    for node in graph.nodes:
        inputs: list[Input] = graph.inputs(node, values)
        exposed = theirs.get(node.outputs[0])
        judgement, values[node.outputs[0]] = judge(graph.model, node, inputs, exposed, precision)
        graph.forget(values, node)
        yield node, judgement


def own_runtime(model: OnnxModel) -> Runtime:
    """numpyvgg's session, in float32, with all its tensors."""
    session = InferenceSession(model)
    names = [node.outputs[0] for node in model.nodes if node.op_type != "Constant"]
    return lambda x: dict(zip(names, session.run(names, {model.inputs[0].name: x}), strict=True))


def assert_parity(
    model: ModelLike,
    x: np.ndarray,
    runtime: Runtime,
    *,
    precision: str = "float32",
    allow_cannot_tell: bool = False,
) -> Parity:
    """Fail unless rounding explains every difference between a runtime and the exact network; for test suites.

    Parameters
    ----------
    model, x, runtime, precision
        As for `compare`.
    allow_cannot_tell : bool
        Pass, too, where nothing speaks against the runtime, and nothing for it.

    Returns
    -------
    Parity
        The comparison, to print or to look into.

    Raises
    ------
    AssertionError
        With the table's line for each layer that is not explained, or for which no bound is small enough to tell.

    Examples
    --------
    >>> def test_my_runtime():
    ...     assert_parity("net.onnx", x, lambda x: my_runtime.run(x))
    """
    parity = compare(model, x, runtime, precision=precision)
    if not (parity.explained or (allow_cannot_tell and parity.verdict == "cannot tell")):
        raise AssertionError(failure_text(parity))
    return parity
