"""A Caffe network, whichever of its forms it was written in: inputs and layers, each with the same names.

Caffe's rules, kept here:

- ``layers`` (old) and ``layer`` (new) are the same thing; where a file has both, Caffe reads the old ones only.
- An input is declared by ``input`` and four ``input_dim``, by ``input`` and ``input_shape``, by an Input layer, or by
  the layer that reads the training data. Its batch size is where somebody stopped; any batch will do.
- A layer may be there for one phase (``include { phase: TRAIN }``). Whoever reads a network here wants phase TEST.
- The weights are paired with the layers by the layers' names.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from ...errors import ModelFormatError, UnsupportedModelError
from ..wire import Message
from .schema import ENUMS, OLD_TYPES, Fields

#: Layers that are nothing without weights
WEIGHTED = ("Convolution", "Deconvolution", "InnerProduct", "BatchNorm", "PReLU")
DATA = ("Data", "HDF5Data", "ImageData", "WindowData", "MemoryData", "DummyData")


@dataclass(frozen=True)
class Transform:
    """How a network's training prepared its images, as far as the file says it (Caffe's ``transform_param``).

    Caffe takes the channels in BGR order, subtracts a mean from values 0 to 255, then multiplies by `scale`.

    Attributes
    ----------
    scale : float
    mirror : bool
        Whether half of the training's images were mirrored; in use they are not.
    crop_size : int
        Side of the square that was cut out, in pixels; 0: none was.
    mean_value : tuple of float
        What to subtract, one for all channels or one for each, in the order B, G, R.
    mean_file : str
        The mean image that was subtracted instead, a ``.binaryproto``; see `read_mean`.
    """

    scale: float = 1.0
    mirror: bool = False
    crop_size: int = 0
    mean_value: tuple[float, ...] = ()
    mean_file: str = ""


@dataclass
class Layer:
    """A layer of either form.

    `fields` has its parameters; `blobs` its weights where they are, each a BlobProto.
    """

    name: str
    type: str
    bottom: list[str]
    top: list[str]
    fields: Fields
    blobs: list[Message] = field(default_factory=list)

    def parameters(self, name: str) -> Fields:
        return self.fields.message(name)

    def refuse(self, reason: str) -> UnsupportedModelError:
        return UnsupportedModelError(f"{self.fields.source}: {self.type} layer {self.name!r}: {reason}")


@dataclass
class Net:
    """A network's name, inputs and layers.

    Attributes
    ----------
    source : str
        The file; errors name it.
    name : str
    inputs : dict of str to list of int
        The shape of each declared input, with Caffe's batch; empty where there is none.
    labels : set of str
        What only training reads.
    layers : list of Layer
        In the file's order, which is the order of execution.
    transform : Transform or None
    """

    source: str
    name: str
    inputs: dict[str, list[int]]
    labels: set[str]
    layers: list[Layer]
    transform: Transform | None


def is_network(message: Message) -> bool:
    """Whether a message's fields are those of a Caffe network, and not those of an ONNX model.

    A `NetParameter` has its name, a string, in field 1 and its layers in field 2 or 100; a `ModelProto` has a number in
    field 1 and its graph in field 7.
    """
    try:
        message.text(1)
        return message.has(100) or (message.has(2) and not message.has(7))
    except ModelFormatError:
        return False


def read_net(fields: Fields) -> Net:
    """Make a network of a NetParameter.

    Raises
    ------
    ModelFormatError
        There are no layers, or one has no name or no type.
    UnsupportedModelError
        The layers have the form that Caffe had before 2013.
    """
    found = fields.all("layers") or fields.all("layer")
    if not found:
        raise ModelFormatError(f"{fields.source}: there are no layers; is this a Caffe network?")
    layers = [_read_layer(layer, old="layers" in fields) for layer in found if _in_phase(layer)]
    inputs = _declared(fields)
    transforms: list[Transform] = []
    labels: set[str] = set()
    for layer in layers:
        if layer.type == "Input":
            shapes = [shape.all("dim") for shape in layer.parameters("input_param").all("shape")]
            shapes = shapes * len(layer.top) if len(shapes) == 1 else shapes
            inputs.update(zip(layer.top, shapes + [[]] * len(layer.top), strict=False))
        elif layer.type in DATA and layer.top:
            transforms.append(_transform(layer))
            inputs.setdefault(layer.top[0], _data_shape(layer, transforms[-1]))
            labels.update(layer.top[1:])
    computing = [layer for layer in layers if layer.type not in (*DATA, "Input")]
    transform = transforms[-1] if transforms else None
    return Net(fields.source, fields.get("name", ""), inputs, labels, computing, transform)


def pair(net: Net, weights: Net) -> Net:
    """Give the layers of one file (a ``.prototxt``) the weights of another (a ``.caffemodel``), by the layers' names.

    Layers that only one of the two has are passed over, as Caffe does; one that needs weights and finds none is not.

    Raises
    ------
    ModelFormatError
        They are not of the same network.
    """
    stored = {layer.name: layer.blobs for layer in weights.layers if layer.blobs}
    needing = [layer for layer in net.layers if layer.type in WEIGHTED]
    missing = [layer.name for layer in needing if layer.name not in stored]
    if missing:
        which = "none" if len(missing) == len(needing) else f"no {', '.join(map(repr, missing[:3]))}"
        raise ModelFormatError(
            f"{net.source} (network {net.name!r}) and {weights.source} ({weights.name!r}) are not of the same network: "
            f"of the layers with weights that the first names, the second has {which}"
        )
    layers = [replace(layer, blobs=stored.get(layer.name, [])) for layer in net.layers]
    return replace(net, layers=layers, transform=net.transform or weights.transform)


def _read_layer(fields: Fields, old: bool) -> Layer:
    if "layer" in fields:
        raise UnsupportedModelError(
            f"{fields.source}: in {fields.place}: the form of layers that Caffe had before 2013 (V0LayerParameter); "
            "upgrade the file with Caffe's upgrade_net_proto_binary or upgrade_net_proto_text"
        )
    kind: Any = fields.get("type", "")
    if old:
        kind = dict(enumerate(OLD_TYPES.values())).get(kind, f"type {kind}")
    if not kind:
        fields.fail("the layer has no type")
    return Layer(fields.get("name", ""), kind, fields.all("bottom"), fields.all("top"), fields, fields.all("blobs"))


def _in_phase(layer: Fields) -> bool:
    """Whether a layer is there in phase TEST; layers that say what the data are, and losses, are kept in any."""
    if any(word in str(layer.get("type", "")) for word in ("Data", "Loss")) or layer.get("type", "") in _ANY_PHASE:
        return True
    if layer.all("include"):
        return any(map(_met, layer.all("include")))
    return not any(map(_met, layer.all("exclude")))


_ANY_PHASE = {number for word, number in ENUMS["LayerType"].items() if word.endswith(("DATA", "LOSS"))}


def _met(rule: Fields) -> bool:
    """Whether a NetStateRule holds for phase TEST, level 0, no stages."""
    test = ENUMS["Phase"]["TEST"]
    return (
        rule.get("phase", test) == test
        and rule.get("min_level", 0) <= 0 <= rule.get("max_level", 0)
        and not rule.all("stage")
    )


def _declared(fields: Fields) -> dict[str, list[int]]:
    """The inputs that the network declares beside its layers."""
    names, dims = fields.all("input"), fields.all("input_dim")
    shapes = [shape.all("dim") for shape in fields.all("input_shape")]
    shapes = shapes or [dims[i : i + 4] for i in range(0, len(dims), 4)]
    return {name: shapes[i] if i < len(shapes) else [] for i, name in enumerate(names)}


def _transform(layer: Layer) -> Transform:
    """What a data layer does to its images; before 2014 this stood among the data's own parameters."""
    p = next(
        (p for name in ("transform_param", "data_param", "image_data_param") if (p := layer.parameters(name)).values),
        layer.parameters("transform_param"),
    )
    return Transform(
        p.get("scale", 1.0),
        p.get("mirror", False),
        p.get("crop_size", 0),
        tuple(p.all("mean_value")),
        p.get("mean_file", ""),
    )


def _data_shape(layer: Layer, transform: Transform) -> list[int]:
    """The shape of what a data layer reads, where it says so."""
    memory = layer.parameters("memory_data_param")
    if memory.get("height", 0) and not transform.crop_size:
        return [1, memory.get("channels", 3), memory.get("height", 0), memory.get("width", 0)]
    return [1, 3, transform.crop_size, transform.crop_size] if transform.crop_size else []
