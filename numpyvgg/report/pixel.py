"""One value of any layer taken apart: the window that it sees, the weights, the products, what becomes of their sum.

The sum is computed here, in float64, from what the layer read in the forward pass; what the layer's further nodes made
of it (batch normalisation, the activation) is what they made of it in that pass.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..files.onnx import Node
from ..files.tensor import StoredTensor
from ..graph.folding import by_channel, factor_and_offset, why_not_folded
from ..graph.graph import Graph
from ..operators import resolve_pads
from .layer import Layer

SHOWN = 3  # channels whose windows are shown; the others are in the sum
SHOWN_TERMS = 12  # the same where a window is one number
LARGEST_WINDOW = 225  # numbers that are shown of a window

Place = tuple[int, ...]
Values = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class _Terms:
    """What is added up, averaged or compared: K channels of T places.

    Attributes
    ----------
    total : float
        The result, without the bias.
    pixels, weights : ndarray, float64 [K, T], or None
        Without weights: a pooling.
    taps : list of dict
        Of each place in the window its row ``i`` and column ``j`` in the kernel, ``y`` and ``x`` in the image.
    where : list of tuple of int, [K * T]
        Each weight's index in the file's tensor.
    line : dict
        What the page's line of NumPy needs besides: see ``microscope.js``.
    """

    total: float
    pixels: np.ndarray | None = None
    weights: np.ndarray | None = None
    taps: list[dict[str, int]] = field(default_factory=list)
    where: list[Place] = field(default_factory=list)
    line: dict[str, Any] = field(default_factory=dict)


def take_apart(graph: Graph, values: Values, layer: Layer, place: Place) -> dict[str, Any]:
    """Everything that goes into one value of a layer, for the page's microscope.

    Parameters
    ----------
    graph : Graph
    values : mapping of str to ndarray
        Every tensor of one image's forward pass; see `explanation.tensors_of`.
    layer : Layer
    place : tuple of int
        An index into `layer.output_shape`.

    Returns
    -------
    dict
        To be JSON: ``sum``, ``bias`` and ``value`` are numbers, ``steps`` are the layer's further nodes, ``channels``
        the strongest channels with their windows, ``others`` the rest, ``bytes`` the shown weights in the file. A layer
        whose operator is not taken apart here has the value and no channels.
    """
    node = layer.nodes[0]
    apart = _APART.get(node.op_type) if values[node.outputs[0]].shape == values[layer.output].shape else None
    terms = apart(graph, values, node, place) if apart else None
    if terms is None:
        terms = _Terms(_at(values, node.outputs[0], place))
    channels, others = _strongest(terms)
    return {
        "op": node.op_type,
        "terms": 0 if terms.pixels is None else terms.pixels.size,
        "sum": finite(terms.total),
        "bias": _bias(graph, node, place),
        "steps": [_step(graph, values, each, place) for each in layer.nodes[1:]],
        "value": finite(_at(values, layer.output, place)),
        "taps": terms.taps if channels else [],
        "channels": channels,
        "others": others,
        "bytes": _bytes(graph, node, terms, [each["k"] for each in channels]),
        **terms.line,
    }


def _at(values: Values, name: str, place: Place) -> float:
    return float(values[name][0][place])


def finite(value: float) -> float | None:
    """A number as JSON has it: no infinities, nothing that is no number."""
    return float(value) if math.isfinite(value) else None


def _strongest(terms: _Terms) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The channels with the largest part in the sum, and what all the others add to it."""
    if terms.pixels is None or terms.pixels.shape[1] > LARGEST_WINDOW:
        return [], {"count": 0, "sum": 0.0}
    products = terms.pixels if terms.weights is None else terms.pixels * terms.weights
    sums = products.sum(axis=1)
    order = np.argsort(-np.abs(sums), kind="stable")
    shown = SHOWN_TERMS if terms.pixels.shape[1] == 1 else SHOWN
    channels = [
        {
            "k": int(k),
            "sum": finite(sums[k]),
            "pixels": [finite(value) for value in terms.pixels[k]],
            "weights": None if terms.weights is None else [finite(value) for value in terms.weights[k]],
        }
        for k in order[:shown]
    ]
    return channels, {"count": len(order[shown:]), "sum": finite(sums[order[shown:]].sum())}


def _step(graph: Graph, values: Values, node: Node, place: Place) -> dict[str, Any]:
    """What a further node made of the value; where it scales and shifts, also by what."""
    step: dict[str, Any] = {"op": node.op_type, "value": finite(_at(values, node.outputs[0], place))}
    found = affine(graph, node, values[node.outputs[0]].shape[1]) if len(place) == 3 else None
    return step if found is None else {**step, "by": float(found[0][place[0]]), "plus": float(found[1][place[0]])}


def affine(graph: Graph, node: Node, channels: int) -> tuple[np.ndarray, np.ndarray] | None:
    """What a node behind a convolution scales each channel by, and what it adds: float64 [C] each.

    None where it does something else, or that is not one number a channel.
    """
    if node.op_type == "BatchNormalization":
        return None if why_not_folded(graph, node, channels) else factor_and_offset(graph, node)
    if node.op_type not in ("Mul", "Add"):
        return None
    fixed = next((value for name in node.inputs if (value := graph.constant(name)) is not None), None)
    number = None if fixed is None else by_channel(fixed, channels)
    if number is None:
        return None
    by, plus = (number, 0.0) if node.op_type == "Mul" else (1.0, number)
    return np.broadcast_to(by, channels), np.broadcast_to(plus, channels)


# ---------------------------------------------------------------------- what each operator reads


def _convolved(graph: Graph, values: Values, node: Node, place: Place) -> _Terms | None:
    x, weight = values[node.inputs[0]][0], _weight(graph, node.inputs[1])
    if x.ndim != 3:
        return None
    channel, per = place[0], weight.shape[1]
    first = channel // (len(weight) // node.attributes.get("group", 1)) * per
    taps = _taps(node, x.shape[1:], weight.shape[2:], place)
    i, j, y, x_ = ([tap[key] for tap in taps] for key in "ijyx")
    pixels = x[first : first + per][:, y, x_].astype(np.float64)
    weights = weight[channel][:, i, j].astype(np.float64)
    return _Terms(
        total=float((pixels * weights).sum()),
        pixels=pixels,
        weights=weights,
        taps=taps,
        where=[(channel, k, tap["i"], tap["j"]) for k in range(per) for tap in taps],
        line={
            **_window_line(node, weight.shape[2:]),
            "weight": node.inputs[1],
            "from": first,
            "per": per,
            "channel": channel,
        },
    )


def _pooled(graph: Graph, values: Values, node: Node, place: Place) -> _Terms | None:
    x = values[node.inputs[0]][0]
    whole = node.op_type.startswith("Global")
    kernel = x.shape[1:] if whole else tuple(node.attributes["kernel_shape"])
    if x.ndim != 3 or (node.attributes.get("count_include_pad", 0) and any(node.attributes.get("pads", ()))):
        return None
    taps = _taps(node, x.shape[1:], kernel, place)
    pixels = x[place[0]][[tap["y"] for tap in taps], [tap["x"] for tap in taps]].astype(np.float64)
    total = pixels.max() if "Max" in node.op_type else pixels.mean()
    line = {**_window_line(node, kernel), "from": place[0], "channel": place[0]}
    return _Terms(float(total), pixels[None], taps=taps, line=line)


def _multiplied(graph: Graph, values: Values, node: Node, place: Place) -> _Terms | None:
    x, weight = values[node.inputs[0]][0], _weight(graph, node.inputs[1])
    attributes = node.attributes
    if (
        weight.ndim != 2
        or attributes.get("transA", 0)
        or {attributes.get(key, 1.0) for key in ("alpha", "beta")} != {1.0}
    ):
        return None
    across, unit = bool(attributes.get("transB", 0)), place[-1]
    pixels = x[place[:-1]].astype(np.float64)
    weights = (weight[unit] if across else weight[:, unit]).astype(np.float64)
    return _Terms(
        total=float(pixels @ weights),
        pixels=pixels[:, None],
        weights=weights[:, None],
        where=[(unit, k) if across else (k, unit) for k in range(len(weights))],
        line={
            "tensors": [node.inputs[0]],
            "weight": node.inputs[1],
            "channel": unit,
            "rows": [0, *place[:-1]],
            "across": across,
        },
    )


def _joined(graph: Graph, values: Values, node: Node, place: Place) -> _Terms | None:
    names = [name for name in node.inputs if name in values]
    shape = values[node.outputs[0]].shape
    if len(names) < len(node.inputs) or any(values[name].shape != shape for name in names):
        return None
    reads = [[name, finite(_at(values, name, place))] for name in names]
    line = {"tensors": names, "reads": reads, "place": place}
    return _Terms(float(sum(float(values[name][0][place]) for name in names)), line=line)


def _beside(graph: Graph, values: Values, node: Node, place: Place) -> _Terms | None:
    """Of tensors put beside each other along their channels: the one that the place lies in."""
    if node.attributes["axis"] != 1 or any(name not in values for name in node.inputs):
        return None
    channel = place[0]
    for name in node.inputs:
        if channel < values[name].shape[1]:
            break
        channel -= values[name].shape[1]
    inside = (channel, *place[1:])
    read = _at(values, name, inside)
    return _Terms(read, line={"tensors": [name], "reads": [[name, finite(read)]], "place": inside})


_APART = {
    "Conv": _convolved,
    **dict.fromkeys(("MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool"), _pooled),
    **dict.fromkeys(("Gemm", "MatMul"), _multiplied),
    **dict.fromkeys(("Add", "Sum"), _joined),
    "Concat": _beside,
}


def _taps(node: Node, sides: Place, kernel: Place, place: Place) -> list[dict[str, int]]:
    """The places of a window that lie inside the image."""
    strides, dilations = (node.attributes.get(name) or [1, 1] for name in ("strides", "dilations"))
    if node.op_type.startswith("Global"):
        pads = [0, 0, 0, 0]
    else:
        auto_pad = node.attributes.get("auto_pad", "NOTSET")
        pads = resolve_pads(sides, kernel, strides, node.attributes.get("pads"), dilations, auto_pad)
    corner = [place[1 + axis] * strides[axis] - pads[axis] for axis in (0, 1)]
    found = []
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            y, x = corner[0] + i * dilations[0], corner[1] + j * dilations[1]
            if 0 <= y < sides[0] and 0 <= x < sides[1]:
                found.append({"i": i, "j": j, "y": y, "x": x})
    return found


def _window_line(node: Node, kernel: Place) -> dict[str, Any]:
    return {
        "tensors": [node.inputs[0]],
        "kernel": list(kernel),
        "dilations": node.attributes.get("dilations") or [1, 1],
        "whole": node.op_type.startswith("Global"),
    }


# ---------------------------------------------------------------------- weights


def _weight(graph: Graph, name: str) -> np.ndarray:
    """A weight, on the file's own bytes where they will do: one pixel needs a row of what may be 400 MB."""
    stored = graph.stored(name)
    if stored is not None and stored.span is not None and stored.dtype == stored.file_dtype:
        return stored.view()
    weight = graph.constant(name)
    assert weight is not None  # a layer with weights has them in the file: see `layer.find_layers`
    return weight


def _bias(graph: Graph, node: Node, place: Place) -> dict[str, Any] | None:
    """The bias that the layer's own operator adds."""
    if node.op_type not in ("Conv", "Gemm") or len(node.inputs) < 3 or not node.inputs[2]:
        return None
    bias = graph.constant(node.inputs[2])
    if bias is None:
        return None
    channel = place[0]
    return {"name": node.inputs[2], "value": finite(float(bias.reshape(-1)[channel if bias.size > 1 else 0]))}


def _bytes(graph: Graph, node: Node, terms: _Terms, shown: list[int]) -> list[list[Any]]:
    """Of each weight shown: its index, its value, its offset in the file (None where it has none), its bytes."""
    if terms.weights is None:
        return []
    weight, taps = _weight(graph, node.inputs[1]), terms.weights.shape[1]
    start = offset_of(graph.stored(node.inputs[1]))
    rows = []
    for index in (terms.where[k * taps + t] for k in shown for t in range(taps)):
        value = weight[index]
        flat = int(np.ravel_multi_index(index, weight.shape))
        offset = None if start is None else start + weight.itemsize * flat
        little = value.astype(value.dtype.newbyteorder("<"))
        rows.append([str(list(index)), str(value), offset, little.tobytes().hex(" ")])
    return rows


def offset_of(stored: StoredTensor | None) -> int | None:
    """Where a tensor's numbers begin in the model's file; None where they lie there in another form, or elsewhere."""
    if stored is None or stored.span is None or "external" in stored.storage:
        return None
    return stored.span[0] if stored.dtype == stored.file_dtype.newbyteorder("=") else None
