"""What the page's microscope computes with: the first layers' weights, and where each of them lies in the file.

A layer is embedded as long as everything that it reads is, JavaScript knows its operators (`microscope.js`), and there
is room for its weights.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from ..files.onnx import Node
from ..files.tensor import StoredTensor
from ..graph.graph import Graph
from ..operators import resolve_pads
from .explanation import Explanation, LayerView
from .layer import Layer
from .pixel import affine, offset_of

#: Bytes of weights in a page; in base64 they take a third more
ROOM = 2_400_000


def embedded(explanation: Explanation, title: str, live: bool = False) -> dict[str, Any]:
    """The network's input and its first layers.

    Parameters
    ----------
    explanation : Explanation
    title : str
        What the photograph is called, for the lines of NumPy.
    live : bool
        A server is there to be asked for what is not embedded: see `live`.

    Returns
    -------
    dict
        ``input``: its tensor's name, its shape and its numbers; ``layers``: by their numbers on the page; those that
        are asked for have no ``op``; ``setup``: the lines of Python that the line of each pixel builds on.
    """
    graph = Graph(explanation.network.model)
    name = graph.model.inputs[0].name
    known, layers, room = {name: -1}, {}, ROOM
    plain = graph.model.inputs[0].dtype == "float32"
    for number, view in enumerate(explanation.layers):
        size = 4 * view.layer.parameters
        found = _layer(graph, view.layer, known) if plain and size <= room else None
        if found is not None:
            room -= size
            known[view.layer.output] = number
        if found is not None or live:
            layers[number] = {**_place(view), **(found or {})}
    x = explanation.x[0].astype("<f4")
    return {
        "input": {"name": name, "shape": x.shape, "numbers": _base64(x)},
        "layers": layers,
        "setup": _setup(explanation, title),
        "live": live,
    }


def _place(view: LayerView) -> dict[str, Any]:
    """Where the microscope can be put, and where it stands at first."""
    layer, strongest = view.layer, int(view.channels[0])
    return {
        "title": layer.title,
        "shape": layer.output_shape,
        "field": [[axis.size, axis.jump, axis.start] for axis in layer.receptive_field or () if layer.is_map],
        "strongest": [strongest, *view.strongest]
        if layer.is_map
        else [int(i) for i in np.unravel_index(strongest, layer.output_shape)],
    }


def _setup(explanation: Explanation, title: str) -> str:
    crop = (
        f"crop_of(load_image({title!r}), None, network.preparation)"
        if explanation.face is None
        else f"crop_of(load_image({title!r}), align_faces({title!r})[0], network.preparation)"
    )
    return "\n".join(
        [
            "from numpyvgg.graph.graph import Graph",
            "from numpyvgg.photo.estimator import open_estimator",
            "from numpyvgg.photo.faces.search import align_faces",
            "from numpyvgg.photo.images import load_image",
            "from numpyvgg.report import crop_of, watch",
            f"network = open_estimator({explanation.name!r})",
            f"values = watch(network, network.tensors({crop})[:1])[1]",
            "constant = Graph(network.model).constant",
        ]
    )


def _layer(graph: Graph, layer: Layer, known: dict[str, int]) -> dict[str, Any] | None:
    first = layer.nodes[0]
    reads = first.inputs if layer.kind == "join" else first.inputs[:1]
    affine = _affine(graph, layer)
    if not layer.is_map or affine is None or layer.activation not in ("", "Relu") or not {*reads} <= {*known}:
        return None
    common = {
        "op": first.op_type,
        "reads": [known[name] for name in reads],
        "tensors": reads,
        "relu": layer.activation == "Relu",
        **affine,
    }
    if first.op_type in ("Add", "Sum"):
        return common
    if first.op_type == "Conv":
        weight, bias = graph.stored(first.inputs[1]), None
        if len(first.inputs) > 2 and first.inputs[2]:
            bias = graph.stored(first.inputs[2])
            if bias is None or bias.dtype != np.float32:
                return None
        if weight is None or weight.dtype != np.float32 or len(weight.dims) != 4:
            return None
        window = _window(first, weight.dims[2:])
        return {**common, **window, "weight": _stored(weight), "bias": bias and _stored(bias)} if window else None
    if first.op_type in ("MaxPool", "AveragePool") and not first.attributes.get("count_include_pad", 0):
        window = _window(first, first.attributes["kernel_shape"])
        return {**common, **window} if window else None
    return None


def _window(node: Node, kernel_shape: Any) -> dict[str, Any] | None:
    """Where the windows are; None for the pads that depend on the image's size."""
    if len(kernel_shape) != 2 or node.attributes.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID", ""):
        return None
    strides, dilations = (node.attributes.get(name) or [1, 1] for name in ("strides", "dilations"))
    auto_pad = node.attributes.get("auto_pad", "NOTSET")
    pads = resolve_pads((1, 1), kernel_shape, strides, node.attributes.get("pads"), dilations, auto_pad)
    group = node.attributes.get("group", 1)
    return {"kernel": [*kernel_shape], "strides": strides, "pads": pads[:2], "dilations": dilations, "group": group}


def _affine(graph: Graph, layer: Layer) -> dict[str, Any] | None:
    """What comes between the layer's own operator and its activation: a scale and a shift for each channel."""
    channels = layer.output_shape[0]
    scale, shift = np.ones(channels), np.zeros(channels)
    for node in layer.nodes[1 : len(layer.nodes) - bool(layer.activation)]:
        found = affine(graph, node, channels)
        if found is None:
            return None
        by, plus = found
        scale, shift = scale * by, shift * by + plus
    if len(layer.nodes) - bool(layer.activation) == 1:
        return {"scale": None, "shift": None}
    return {"scale": _base64(scale.astype("<f8")), "shift": _base64(shift.astype("<f8"))}


def _stored(tensor: StoredTensor) -> dict[str, Any]:
    """A weight's numbers, and the offset of its first byte in the file; None where they lie there otherwise."""
    return {"name": tensor.name, "numbers": _base64(tensor.array().astype("<f4")), "offset": offset_of(tensor)}


def _base64(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
