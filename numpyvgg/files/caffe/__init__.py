"""Caffe's networks (``.caffemodel``, ``.prototxt``), read as if they had been written as ONNX.

In the order in which a file is read:

- `schema`: the fields of caffe.proto that matter here, and a message as its values by name;
- `binary` and `text`: the two forms in which such a message is written, blobs and prototxt;
- `net`: Caffe's rules: old and new layers, phases, inputs, weights paired with layers by name;
- `layers` and `graph`: each layer as the ONNX nodes that do the same;
- `mean`: mean images (``.binaryproto``).

A ``.caffemodel`` holds layers and weights, so that the ``.prototxt`` is not needed; but its layers are those that were
trained. What is there for training (labels, losses, accuracy) is left out, and a loss made of a softmax becomes the
softmax. Where the network is used with a prototxt of other layers, give both.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from ...errors import ModelFormatError, reported_as_ours
from ..kinds import is_text, refuse
from ..onnx import Initializers, ModelMetadata, Node, OnnxModel, SerializableModel, ValueInfo, read_onnx
from ..source import Source, path_name, read_pipe
from ..wire import Message
from .binary import read_fields
from .graph import Graph
from .layers import LAYERS, softmax, unknown
from .mean import read_mean
from .net import Layer, Net, Transform, is_network, pair, read_net
from .text import parse_text

#: Bytes of a definition beyond which it is not read; the longest that people exchange have a hundred thousand
_LARGEST_TEXT = 4_000_000
_TRAINING_ONLY = ("Accuracy", "HDF5Output", "Silence")

__all__ = ["CaffeModel", "Transform", "is_caffe", "read_caffe", "read_mean", "read_model"]


@dataclass(frozen=True, repr=False)
class CaffeModel(OnnxModel):
    """A Caffe network as the ONNX graph that does the same.

    Attributes
    ----------
    transform : Transform or None
        How training prepared its images, where the file says it.
    """

    transform: Transform | None = None


def read_model(model: str | os.PathLike[str] | bytes | SerializableModel) -> OnnxModel:
    """Read an ONNX model or a Caffe file: its name or its first bytes say which it is.

    Raises
    ------
    ModelFormatError, UnsupportedModelError
        As `read_onnx` and `read_caffe`.
    """
    if not isinstance(model, str | os.PathLike):
        return read_onnx(model)
    if (piped := read_pipe(model)) is not None:  # which can be read once
        return read_onnx(piped)
    return read_caffe(model) if is_caffe(model) else read_onnx(model)


def is_caffe(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a Caffe network: it is called one, or begins as one.

    A `NetParameter` begins with its name, a string in field 1, or with a layer, field 2 or 100; a `ModelProto` with a
    number in field 1. That a damaged file is one too is said by `read_caffe`.
    """
    if Path(path).suffix in (".caffemodel", ".prototxt"):
        return True
    try:
        source = Source.open(path)
        if is_text(source) or bytes(source.data[:1]) not in (b"\x0a", b"\x12", b"\xa2"):
            return False
        return is_network(Message.root(source, "NetParameter"))
    except ModelFormatError:
        return False


def read_caffe(path: str | os.PathLike[str], prototxt: str | os.PathLike[str] | Source | None = None) -> CaffeModel:
    """Read a Caffe model without copying its weights.

    Parameters
    ----------
    path : path
        Of the ``.caffemodel``.
    prototxt : path or Source, optional
        The ``.prototxt`` that the network is used with. Without one, the layers are those of the caffemodel.

    Returns
    -------
    CaffeModel
        Of the operators that Caffe's layers correspond to; a layer that has none becomes a node of its own type in the
        domain ``caffe``.

    Raises
    ------
    ModelFormatError
        A file is missing, damaged, or not what it should be; the two are not of the same network.
    UnsupportedModelError
        A layer has parameters that are not known here.

    Examples
    --------
    >>> model = read_caffe("age_net.caffemodel", "deploy_age.prototxt")  # doctest: +SKIP
    >>> session = numpyvgg.InferenceSession(model)  # doctest: +SKIP
    """
    with reported_as_ours(path_name(path)):
        definition = prototxt if isinstance(prototxt, Source | None) else Source.open(prototxt)
        return _read_caffe(Source.open(path), definition)


def _read_caffe(source: Source, definition: Source | None) -> CaffeModel:
    if definition is not None and is_text(source) and not is_text(definition):
        raise ModelFormatError(
            f"{source.name} is a text and {definition.name} is binary: the two are swapped; the weights come first"
        )
    net = _read_weights(source)
    if definition is not None:
        net = pair(_read_definition(definition), net)
    return _convert(net, source.name)


def _read_weights(source: Source) -> Net:
    try:
        message = Message.root(source, "NetParameter")
    except ModelFormatError:
        refuse(source, "a Caffe model (.caffemodel)")
        raise
    if not is_network(message):
        refuse(source, "a Caffe model (.caffemodel)")
        message.fail("there are no layers; is this a Caffe model (.caffemodel)?", 0)
    return read_net(read_fields(message, "NetParameter"))


def _read_definition(source: Source) -> Net:
    wanted = "a network's definition (.prototxt)"
    if not is_text(source):
        refuse(source, wanted)
        raise ModelFormatError(f"{source.name}: this is binary, not {wanted}, which is a text")
    try:
        return read_net(parse_text(bytes(source.data[:]).decode("utf-8", "replace"), source.name))
    except ModelFormatError:
        refuse(source, wanted, a_text=True)
        raise


def _convert(net: Net, path: str) -> CaffeModel:
    """The network as a graph of ONNX's operators."""
    graph = Graph(net)
    labels = set(net.labels)
    losses: list[tuple[Layer, str]] = []
    for layer in net.layers:
        if layer.bottom and labels.issuperset(layer.bottom):  # labels, split or sliced
            labels.update(layer.top)
        elif layer.type == "SoftmaxWithLoss":
            losses.append((layer, graph.bottom(layer)))
        elif layer.type not in _TRAINING_ONLY and not layer.type.endswith("Loss"):
            LAYERS.get(layer.type, unknown)(layer, graph)
    auxiliary = _softmax_of_losses(losses, graph)
    read = {name for node in graph.nodes for name in node.inputs}
    outputs = [name for node in graph.nodes for name in node.outputs if name not in read | auxiliary]
    nodes = _needed(graph.nodes, outputs)
    read = {name for node in nodes for name in node.inputs}
    return CaffeModel(
        path=path,
        nodes=nodes,
        initializers=Initializers({name: tensor for name, tensor in graph.tensors.items() if name in read}),
        inputs=[value for name, value in graph.inputs.items() if name in read],
        outputs=[ValueInfo(name, "float32", None) for name in outputs],
        opset_imports={"": 13},
        producer="Caffe",
        graph_name=net.name,
        metadata=ModelMetadata("Caffe", net.name),
        transform=net.transform,
    )


def _softmax_of_losses(losses: list[tuple[Layer, str]], graph: Graph) -> set[str]:
    """End scores that training compared with labels in a softmax -> the scores of auxiliary heads.

    A head that counts less in the loss than another (GoogLeNet has two) is there to be trained with, and has no other
    use. Scores that have a softmax already, for the test phase, get no second one.
    """
    weights = [layer.fields.get("loss_weight", 1.0) for layer, _ in losses]
    ended = {node.inputs[0] for node in graph.nodes if node.op_type == "Softmax"}
    auxiliary: set[str] = set()
    for (layer, scores), weight in zip(losses, weights, strict=True):
        if weight < max(weights):
            auxiliary.add(scores)
        elif scores not in ended:
            softmax(replace(layer, bottom=layer.bottom[:1]), graph)
    return auxiliary


def _needed(nodes: list[Node], outputs: list[str]) -> list[Node]:
    """The nodes that the outputs depend on, in order."""
    names, needed = set(outputs), []
    for node in reversed(nodes):
        if names.intersection(node.outputs):
            needed.append(node)
            names.update(node.inputs)
    return needed[::-1]
