"""A runtime's tensors held against the exact ones, layer by layer, over a number of images."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from tqdm import tqdm

from ..errors import ArgumentError
from ..files.onnx import Node, OnnxModel, SerializableModel, read_onnx
from ..session.inference import InferenceSession
from .graph import Graph
from .judge import Input, Judgement, Value, judge
from .operations import operation

#: Takes one image [1, C, H, W]; returns the runtime's tensors by name, or its output(s) alone.
Runtime = Callable[[np.ndarray], Mapping[str, np.ndarray] | Sequence[np.ndarray] | np.ndarray]
ModelLike = str | os.PathLike[str] | bytes | SerializableModel | OnnxModel

_SEVERITY = ("not exposed", "exact", "rounding", "Winograd", "worst case", "wrong")


@dataclass
class Drift:
    """How far values are from float64's, over all images: root mean square, relative to float64's own."""

    error: float = 0.0
    power: float = 0.0

    def add(self, value: np.ndarray, truth: np.ndarray) -> None:
        if value.shape == truth.shape:
            self.error += float(np.square(value - truth).sum())
            self.power += float(np.square(truth).sum())

    @property
    def relative(self) -> float | None:
        """None where nothing was compared."""
        return math.sqrt(self.error / self.power) if self.power else None


@dataclass
class LayerParity:
    """One layer over all images.

    Attributes
    ----------
    name : str
        In the literature's words where the network is VGG-16 (``conv3_2``), else the node's.
    op_type, tensor : str
        The operator, and the name of its output in the graph.
    judgement : Judgement
        Of the image that came out worst; `image` is its number.
    worst, probable : float
        The largest |error| / bound over all images.
    beyond, elements : int
        Over all images.
    theirs, ours : Drift
        From float64 end to end, of the runtime and of numpyvgg.
    """

    name: str
    op_type: str
    tensor: str
    judgement: Judgement = field(default_factory=lambda: Judgement("not exposed"))
    image: int = 0
    worst: float = 0.0
    probable: float = 0.0
    beyond: int = 0
    elements: int = 0
    theirs: Drift = field(default_factory=Drift)
    ours: Drift = field(default_factory=Drift)

    def add(self, judgement: Judgement, image: int) -> None:
        """Take an image's judgement in; the worst one stays."""
        self.worst = max(self.worst, judgement.worst)
        self.probable = max(self.probable, judgement.probable)
        self.beyond += judgement.beyond
        self.elements += judgement.elements
        new, old = (_SEVERITY.index(j.verdict) for j in (judgement, self.judgement))
        if new > old or (new == old and judgement.probable > self.judgement.probable):
            self.judgement, self.image = judgement, image

    @property
    def explained(self) -> bool:
        return self.judgement.explained

    @property
    def verdict(self) -> str:
        """In words."""
        tile = f"Winograd F({self.judgement.tile}x{self.judgement.tile},3x3)"
        words = {
            "exact": "exact",
            "rounding": "rounding" + (f", {tile} pattern" if self.judgement.tile else ""),
            "Winograd": f"not by the order of the sum, but within {tile}'s bound",
            "worst case": "NOT EXPLAINED: beyond chance, within the worst case",
            "wrong": "NOT EXPLAINED",
            "not exposed": "not exposed by the runtime",
        }[self.judgement.verdict]
        return f"{words}: {self.judgement.hint}" if self.judgement.hint else words

    @property
    def place(self) -> str:
        """Where it is worst: image, index, values and distance."""
        j = self.judgement
        index = ", ".join(map(str, (self.image, *j.index[1:])))
        return f"[{index}] theirs {j.theirs:.9g}, exact {j.exact:.9g}, {j.ulps:.3g} ulp"


@dataclass
class Parity:
    """A runtime compared: one entry for each layer, in order. Printed, it is a table (`numpyvgg.parity.table`)."""

    layers: list[LayerParity]
    images: int

    @property
    def failures(self) -> list[LayerParity]:
        """The layers that rounding does not explain."""
        return [layer for layer in self.layers if not layer.explained]

    @property
    def explained(self) -> bool:
        return not self.failures

    def __str__(self) -> str:
        from .table import parity_table

        return parity_table(self)


def compare(model: ModelLike, x: np.ndarray, runtime: Runtime, ours: Runtime | None = None) -> Parity:
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
        it. Where that is not exposed, bounds are carried on from the last tensor that is, and grow.
    ours : callable, optional
        The same for the other column of the end-to-end drift; numpyvgg's own float32 when left out.

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
    model = model if isinstance(model, OnnxModel) else read_onnx(model)
    graph, x = Graph(model), np.asarray(x)
    if x.dtype.kind != "f" or x.ndim == 0:
        raise ArgumentError(f"parity takes a batch of floats, not {x.dtype} {list(x.shape)}; see ndarray.astype")
    ours = ours or own_runtime(model)
    rows = {node.outputs[0]: LayerParity(graph.name(node), node.op_type, node.outputs[0]) for node in graph.nodes}
    with tqdm(total=len(x) * len(rows), unit="layer", leave=False, disable=None) as progress:
        for i in range(len(x)):
            image = x[i : i + 1]
            theirs, own = graph.named(runtime(image)), graph.named(ours(image))
            truth = graph.forward(image, np.float64)
            for (node, judgement), (_, exact) in zip(_judge_each(graph, image, theirs), truth, strict=True):
                row, tensor = rows[node.outputs[0]], node.outputs[0]
                row.add(judgement, i)
                for drift, values in ((row.theirs, theirs), (row.ours, own)):
                    if tensor in values:
                        drift.add(values[tensor], exact)
                progress.update()
    moves = {node.outputs[0] for node in graph.nodes if operation(model, node).moves}
    layers = [row for row in rows.values() if row.tensor not in moves or not row.explained]
    return Parity(layers, len(x))


def _judge_each(graph: Graph, x: np.ndarray, theirs: Mapping[str, np.ndarray]) -> Iterator[tuple[Node, Judgement]]:
    """Judge each node by the runtime's own inputs to it."""
    values = {graph.input: Value(x.astype(np.float64))}
    for node in graph.nodes:
        inputs: list[Input] = graph.inputs(node, values)
        exposed = theirs.get(node.outputs[0])
        dtype = x.dtype if exposed is None else exposed.dtype
        judgement, values[node.outputs[0]] = judge(graph.model, node, inputs, exposed, dtype)
        graph.forget(values, node)
        yield node, judgement


def own_runtime(model: OnnxModel) -> Runtime:
    """numpyvgg's session, in float32, with all its tensors."""
    session = InferenceSession(model)
    names = [node.outputs[0] for node in model.nodes if node.op_type != "Constant"]
    return lambda x: dict(zip(names, session.run(names, {model.inputs[0].name: x}), strict=True))


def assert_parity(model: ModelLike, x: np.ndarray, runtime: Runtime) -> Parity:
    """Fail unless rounding explains every difference between a runtime and the exact network; for test suites.

    Parameters
    ----------
    model, x, runtime
        As for `compare`.

    Returns
    -------
    Parity
        The comparison, to print or to look into.

    Raises
    ------
    AssertionError
        With the table's line for each layer that is not explained.

    Examples
    --------
    >>> def test_my_runtime():
    ...     assert_parity("net.onnx", x, lambda x: my_runtime.run(x))
    """
    from .table import failure_text

    parity = compare(model, x, runtime)
    if not parity.explained:
        raise AssertionError(failure_text(parity))
    return parity
