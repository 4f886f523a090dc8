"""A runtime's tensors held against the exact ones, layer by layer, over a number of images."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import ArgumentError, reported_as_argument
from ..files.onnx import OnnxModel, SerializableModel, read_onnx
from ..session.inference import InferenceSession
from ..text import progress_bar
from .bounds import student
from .graph import ParityGraph
from .judge import Input, Judgement, Value, judge
from .operations import operation
from .precision import Precision, find_precision
from .result import LayerParity, Parity, failure_text
from .spread import PASSES, spreads

#: Takes one image [1, C, H, W] (of networks with several inputs a dictionary of them); returns the runtime's tensors by
#: name, or its output(s) alone: arrays of NumPy, PyTorch or ml_dtypes, or lists of numbers.
Runtime = Callable[[Any], Mapping[str, Any] | Sequence[Any] | np.ndarray]
ModelLike = str | os.PathLike[str] | bytes | SerializableModel | OnnxModel
Batch = np.ndarray | Mapping[str, np.ndarray]


def compare(
    model: ModelLike, x: Batch, runtime: Runtime, ours: Runtime | None = None, *, precision: str = "float32"
) -> Parity:
    """Hold a runtime's tensors against the exact ones.

    Parameters
    ----------
    model : path, bytes, onnx.ModelProto or OnnxModel
        Any graph that `numpyvgg.InferenceSession` runs. What an operator without a bound (`numpyvgg.parity.operations`
        lists those that have one) gives is held to the spread of our own passes.
    x : ndarray [N, ...], or a dictionary of them
        The network's input, or inputs by name, image by image.
    runtime : callable
        Takes ``x[i:i+1]`` and returns the runtime's tensors: a mapping from names of tensors (or of nodes) in the
        graph to arrays, as many as it can expose; or its output alone. A layer is judged by the runtime's own input to
        it. Where that is not exposed, bounds are carried on from the last tensor that is, and grow. Where they become
        as large as what they judge, the tensor is held to the spread of our own passes end to end (`spread`). Axes may
        be in another order (channels last, no batch axis); the verdict says so.
    ours : callable, optional
        The same for the other column of the end-to-end drift; numpyvgg's own float32 when left out.
    precision : str
        What the runtime computes in, one of `numpyvgg.parity.precision.PRECISIONS`, whatever dtype its tensors have.

    Returns
    -------
    Parity

    Raises
    ------
    ArgumentError
        What the runtime returned has no tensor of the graph.
    """
    model, kind = model if isinstance(model, OnnxModel) else read_onnx(model), find_precision(precision)
    graph = ParityGraph(model)
    if not callable(runtime):
        raise ArgumentError(f"runtime={runtime!r}: give a function that takes images and returns tensors")
    with reported_as_argument("parity takes a batch of floats"):
        images = _images(graph, x)
    ours = ours or own_runtime(model)
    rows = {
        name: LayerParity(graph.name(node), node.op_type, name)
        for node in graph.nodes
        for _, name in graph.outputs(node)
    }
    silent = {name for node in graph.nodes if operation(model, node).moves for name in node.outputs}
    unknown: dict[str, None] = {}
    with progress_bar(total=len(images) * len(rows), unit="layer", leave=False) as progress:
        for i, image in enumerate(images):
            given = image if isinstance(x, Mapping) else image[graph.inputs[0]]
            returned = runtime(given)
            unknown.update(dict.fromkeys(graph.unknown(returned)))
            theirs, own = graph.named(returned), graph.named(ours(given))
            judgements, blind = {}, {}
            truth = graph.forward(image, np.float64)
            for (tensor, judgement), (_, _, exact) in zip(_judge_each(graph, image, theirs, kind), truth, strict=True):
                judgements[tensor] = judgement
                if judgement.verdict == "cannot tell":
                    blind[tensor] = exact
                for drift, values in ((rows[tensor].theirs, theirs), (rows[tensor].ours, own)):
                    if tensor in values:
                        drift.add(values[tensor], exact)
                if exact.dtype.kind != "f":
                    silent.add(tensor)
                progress.update()
            judgements |= _end_to_end(graph, image, judgements, blind, theirs, kind)
            for tensor, judgement in judgements.items():
                rows[tensor].add(judgement, i)
    layers = [row for row in rows.values() if row.tensor not in silent or not row.explained]
    return Parity(layers, len(images), list(unknown))


def _images(graph: ParityGraph, x: Batch) -> list[dict[str, np.ndarray]]:
    """The batch one by one, each as a dictionary of inputs."""
    feed = {name: np.asarray(array) for name, array in graph.feed(x).items()}
    lengths = {array.shape[0] if array.ndim else 0 for array in feed.values()}
    for name, array in feed.items():
        if array.dtype.kind != "f" and not isinstance(x, Mapping):
            raise ArgumentError(
                f"parity takes a batch of floats, not {array.dtype} {list(array.shape)}; see ndarray.astype"
            )
        if lengths == {0} or len(lengths) > 1:
            raise ArgumentError(f"parity takes a batch, of all inputs the same, not {name} {list(array.shape)}")
    return [{name: array[i : i + 1] for name, array in feed.items()} for i in range(lengths.pop())]


def _end_to_end(
    graph: ParityGraph,
    x: Mapping[str, np.ndarray],
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
        if np.isfinite(spread):  # else the passes say nothing
            limit = student(PASSES)
            allowed = spread + unit / limit  # storing the result rounds, even where all passes agree
            ratio = error / allowed if allowed else math.inf if error else 0.0
            verdict = "end to end" if ratio <= limit else "beyond the spread"
            found[tensor] = replace(judgements[tensor], verdict=verdict, drift=ratio, limit=limit)
    return found


def _judge_each(
    graph: ParityGraph, x: Mapping[str, np.ndarray], theirs: dict[str, np.ndarray], precision: Precision
) -> Iterator[tuple[str, Judgement]]:
    """Judge each tensor by the runtime's own inputs to its node; `theirs` are brought into the graph's layout."""
    values = {name: Value(array.astype(np.float64) if array.dtype.kind == "f" else array) for name, array in x.items()}
    for node in graph.nodes:
        inputs: list[Input] = graph.arguments(node, values)
        for k, name in graph.outputs(node):
            exposed, following = theirs.get(name), graph.following(name)
            judgement, values[name] = judge(graph.model, node, inputs, exposed, precision, k, following)
            if judgement.index:  # compared, perhaps in another layout than it came in
                theirs[name] = values[name].exact
            yield name, judgement
        graph.forget(values, node)


def own_runtime(model: OnnxModel) -> Runtime:
    """numpyvgg's session, in float32, with all its tensors."""
    session = InferenceSession(model)
    graph = ParityGraph(model)
    names = [name for node in graph.nodes for _, name in graph.outputs(node)]

    def run(x: Batch) -> dict[str, np.ndarray]:
        made = dict(zip(names, session.run(names, graph.feed(x)), strict=True))
        return {name: array for name, array in made.items() if array.dtype.kind == "f"}

    return run


def assert_parity(
    model: ModelLike,
    x: Batch,
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
