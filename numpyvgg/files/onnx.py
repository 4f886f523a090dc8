"""ONNX files as Python values: nodes, inputs and outputs, and initializers as arrays on the file's own bytes.

An ONNX file is one protobuf message, a `ModelProto`; the tree below is what this module reads of it, with the field
numbers of onnx.proto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto)::

    ModelProto         ir_version 1, producer_name 2, domain 4, graph 7, opset_import 8, metadata_props 14, functions 25
      GraphProto       node 1, name 2, initializer 5, input 11, output 12
        NodeProto      input 1, output 2, name 3, op_type 4, attribute 5, domain 7
        TensorProto    dims 1, data_type 2, float_data 4 ... raw_data 9, external_data 13
        ValueInfoProto name 1, type 2
      FunctionProto    name 1, input 4, output 5, node 7, opset_import 9, domain 10, attribute_proto 11

Reading costs one walk over a few kilobytes of structure: the weights between them are stepped over. A weight becomes an
array when it is asked for, and stays on the file's bytes where NumPy can compute on them. Three times out of four it
cannot: a tensor's bytes start wherever the fields before them end, and a float32 that does not start at a multiple of 4
is copied by NumPy at every use. `Initializers` makes that copy, once, and keeps it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from ..errors import ArgumentError, ModelFormatError, NotPickled, UnsupportedModelError, printable, reported_as_ours
from .external import ExternalFiles
from .functions import NODE, Function, Reference, inlined
from .kinds import ONNX, refuse
from .source import Source
from .tensor import BFLOAT16, StoredTensor, dtype_name, read_tensor
from .wire import Message

#: Attribute of a Constant node -> (what it is made of, dtype of its value; None: the tensor's own)
_CONSTANT_ATTRIBUTES: dict[str, tuple[tuple[type, ...], Any]] = {
    "value": ((np.ndarray,), None),
    "value_float": ((float,), np.float32),
    "value_floats": ((float,), np.float32),
    "value_int": ((int,), np.int64),
    "value_ints": ((int,), np.int64),
    "value_string": ((str, bytes), object),
    "value_strings": ((str, bytes), object),
}


class SerializableModel(Protocol):
    """An `onnx.ModelProto`, or anything else that can turn itself into its bytes."""

    def SerializeToString(self) -> bytes: ...


@dataclass(frozen=True)
class Node:
    """One operation of the graph, as ONNX's NodeProto has it.

    `attributes` holds int, float, str (bytes where they are not UTF-8), ndarray, and lists of these; subgraphs stay
    unread (`Message`).
    """

    op_type: str
    name: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any]
    domain: str = ""

    def __str__(self) -> str:
        """How errors speak of the node: its operator and the best name it has."""
        return printable(f"{self.op_type} node {self.name or ', '.join(self.outputs)!r}")


@dataclass(frozen=True)
class ValueInfo:
    """Name, type and shape of an input or output.

    `dtype` is a NumPy dtype name or ``bfloat16``, None where it is neither or the file does not say. `shape` has an int
    for a fixed dimension, a str for a symbolic one, None for one that is not given; it is None itself where the rank is
    unknown.
    """

    name: str
    dtype: str | None
    shape: tuple[int | str | None, ...] | None


def constant_value(node: Node) -> np.ndarray:
    """What a Constant node stands for: the spec gives it exactly one of several attributes.

    Raises
    ------
    ModelFormatError
        The attribute is of another type than the spec gives it.
    UnsupportedModelError
        There is none of them.
    """
    for key, (types, dtype) in _CONSTANT_ATTRIBUTES.items():
        if key in node.attributes:
            value = node.attributes[key]
            several = key.endswith("s")
            if isinstance(value, list) != several or not all(
                isinstance(v, types) for v in (value if several else [value])
            ):
                raise ModelFormatError(f"{node}: its attribute {key} is of another type than its name says")
            return np.asarray(value, dtype)
    raise UnsupportedModelError(f"{node} has none of the attributes {', '.join(_CONSTANT_ATTRIBUTES)}")


class Initializers(Mapping[str, np.ndarray]):
    """The graph's initializers by name: read-only arrays, made when first asked for and kept."""

    def __init__(self, stored: dict[str, StoredTensor]):
        self._stored = stored
        self._arrays: dict[str, np.ndarray] = {}

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._arrays:
            self._arrays[name] = self._stored[name].array()
        return self._arrays[name]

    def __contains__(self, name: object) -> bool:
        return name in self._stored  # Mapping's own way would make the array

    def __iter__(self) -> Iterator[str]:
        return iter(self._stored)

    def __len__(self) -> int:
        return len(self._stored)

    def stored(self, name: str) -> StoredTensor:
        """How the initializer lies in the file."""
        return self._stored[name]


@dataclass(frozen=True)
class ModelMetadata:
    """What a model says of itself, under ONNX Runtime's names; exporters put class names and sizes into the map."""

    producer_name: str = ""
    graph_name: str = ""
    domain: str = ""
    description: str = ""
    graph_description: str = ""
    version: int = 0
    custom_metadata_map: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class OnnxModel(NotPickled):
    """An ONNX file's contents.

    Attributes
    ----------
    path : str
        The file, or ``<bytes>`` and the like; errors quote it.
    nodes : list of Node
        In the file's order.
    initializers : Mapping of str to ndarray
        Read-only, aligned; see `Initializers`.
    inputs, outputs : list of ValueInfo
        `inputs` are those a caller must give. Initializers listed among the graph's inputs (IR version 3 demanded
        that) are not.
    overridable : list of str
        The names of those initializers: a caller may give another value in their place.
    opset_imports : dict of str to int
        Version of each operator set; the standard one is "".
    producer : str
    ir_version : int
    graph_name : str
    metadata : ModelMetadata
    """

    path: str
    nodes: list[Node]
    initializers: Initializers
    inputs: list[ValueInfo]
    outputs: list[ValueInfo]
    opset_imports: dict[str, int]
    producer: str = ""
    ir_version: int = 0
    graph_name: str = ""
    overridable: list[str] = field(default_factory=list)
    metadata: ModelMetadata = field(default_factory=ModelMetadata)

    @property
    def opset(self) -> int:
        """Version of the standard operator set."""
        return self.opset_imports[""]

    def __repr__(self) -> str:
        return (
            f"<OnnxModel {self.path}: {len(self.nodes)} nodes, {len(self.initializers)} initializers, "
            f"opset {self.opset}, IR {self.ir_version}, by {self.producer or 'unknown'}>"
        )


def read_onnx(model: str | os.PathLike[str] | bytes | SerializableModel) -> OnnxModel:
    """Read an ONNX model without copying its weights.

    Parameters
    ----------
    model : path, bytes or onnx.ModelProto
        A path is mapped into memory: opening 500 MB costs a millisecond and no memory. While the model is in use the
        file may be moved, replaced or deleted, but not written to or cut off: that would end the process. External
        data can only be found from a path.

    Returns
    -------
    OnnxModel

    Raises
    ------
    ModelFormatError
        The file is missing (`MissingModelError`), damaged, or no ONNX file; its structure is too large; external data
        lies outside its folder.
    UnsupportedModelError
        A tensor has a type that NumPy does not have, or is stored sparsely.

    Examples
    --------
    >>> model = read_onnx("vgg_ilsvrc_16_age_imdb_wiki.onnx")  # doctest: +SKIP
    >>> model.initializers["fc6_W"].shape  # doctest: +SKIP
    (4096, 25088)
    """
    if isinstance(model, str | os.PathLike):
        with reported_as_ours(os.fspath(model)):
            source = Source.open(model)
            read = _read_model(source, ExternalFiles(model))
            source.give_back(
                0, len(source)
            )  # where the walk has stepped on it, the system has mapped more than is read
            return read
    if isinstance(model, bytes | bytearray | memoryview):
        source = Source("<bytes>", bytes(model))
    elif hasattr(model, "SerializeToString"):
        try:
            source = Source("<ModelProto>", model.SerializeToString())
        except Exception as error:  # whatever it is that it calls: protobuf's own errors are no subclass of one
            raise ArgumentError(f"{type(model).__name__} cannot be serialized: {error}") from error
    else:
        raise ArgumentError(f"cannot read a model from {type(model).__name__}: give a path, bytes or a ModelProto")
    with reported_as_ours(source.name):
        return _read_model(source, None)


def _read_model(source: Source, files: ExternalFiles | None) -> OnnxModel:
    refuse(source, ONNX)
    model = Message.root(source, "ModelProto")
    if not model.has(7):
        model.fail("there is no graph; is this an ONNX file?", 0)
    graph = model.message(7, "graph")
    imports = {_domain(m.text(1)): m.integer(2) for m in model.messages(8, "opset_import")}
    if "" not in imports:
        model.fail("no version of the standard operator set is named (opset_import); the file may be cut off")
    if imports[""] < 1:
        model.fail(f"version {imports['']} of the standard operator set (opset_import); the first is 1")
    if graph.has(15):
        raise UnsupportedModelError(f"{source.name}: in ModelProto.graph: sparse initializers cannot be read")
    graph.charge(NODE * (graph.count(1) + graph.count(5)))
    stored: dict[str, StoredTensor] = {}
    for message in graph.messages(5, "initializer"):
        tensor = read_tensor(message, files)
        if tensor.name in stored:
            message.fail("another initializer has this name")
        stored[tensor.name] = tensor
    inputs: dict[str, ValueInfo | None] = {}
    for message in graph.messages(11, "input"):
        name = message.text(1)
        inputs[name] = None if name in stored else _read_value_info(message)
    nodes = [_read_node(m, files) for m in graph.messages(1, "node")]
    functions = {(f.domain, f.name): f for f in _read_functions(model, files, imports[""])}
    return OnnxModel(
        path=source.name,
        nodes=inlined(source.name, nodes, functions, graph.charge),
        initializers=Initializers(stored),
        inputs=[value for value in inputs.values() if value],
        overridable=[name for name, value in inputs.items() if not value],
        outputs=[_read_value_info(m) for m in graph.messages(12, "output")],
        opset_imports=imports,
        producer=" ".join(filter(None, (model.text(2), model.text(3)))),
        ir_version=model.integer(1),
        graph_name=graph.text(2),
        metadata=ModelMetadata(
            producer_name=model.text(2),
            graph_name=graph.text(2),
            domain=model.text(4),
            description=model.text(6),
            graph_description=graph.text(10),
            version=model.integer(5),
            custom_metadata_map={m.text(1): m.text(2) for m in model.messages(14, "metadata_props")},
        ),
    )


def _read_functions(model: Message, files: ExternalFiles | None, opset: int) -> Iterator[Function]:
    for message in model.messages(25, "functions"):
        for entry in message.messages(9, "opset_import"):
            if not _domain(entry.text(1)) and entry.integer(2) != opset:
                message.fail(f"it is written for operator set {entry.integer(2)}, and the graph for {opset}")
        message.charge(NODE * (4 + message.count(7)))  # a function takes what four nodes do
        yield Function(
            domain=_domain(message.text(10)),
            name=message.text(1),
            inputs=message.texts(4),
            outputs=message.texts(5),
            nodes=[_read_node(m, files) for m in message.messages(7, "node")],
            defaults={m.text(1): _read_attribute(m, files) for m in message.messages(11, "attribute_proto")},
        )


def _domain(name: str) -> str:
    """The standard operator set goes by two names."""
    return "" if name == "ai.onnx" else name


def _read_node(message: Message, files: ExternalFiles | None) -> Node:
    node = Node(
        op_type=message.text(4),
        name=message.text(3),
        inputs=message.texts(1),
        outputs=message.texts(2),
        attributes={m.text(1): _read_attribute(m, files) for m in message.messages(5, "attribute")},
        domain=_domain(message.text(7)),
    )
    if not node.op_type:
        message.fail("the node has no op_type")
    return node


def _read_attribute(message: Message, files: ExternalFiles | None) -> Any:
    """The value of an AttributeProto; its type is field 20, or (before IR 2) the field that is there.

    In a function, field 21 names the attribute of the call whose value it has.

    AttributeType counts the fields 2 to 11 from 1.
    """
    if message.has(21):
        return Reference(message.text(21))
    kind = message.integer(20) or next((number - 1 for number in range(2, 12) if message.has(number)), 0)
    if kind == 1:
        return message.single(2)
    if kind == 2:
        return message.integer(3)
    if kind == 3:
        return _text_or_bytes(bytes(message.source.data[slice(*(message.span(4) or (0, 0)))]))
    if kind == 4:
        return read_tensor(message.message(5, "t"), files).array()
    if kind == 5:
        return message.message(6, "g")
    if kind == 6:
        return message.singles(7)
    if kind == 7:
        return message.integers(8)
    if kind == 8:
        return [_text_or_bytes(value) for value in message.byte_strings(9)]
    if kind == 9:
        return [read_tensor(m, files).array() for m in message.messages(10, "tensors")]
    if kind == 10:
        return list(message.messages(11, "graphs"))
    raise UnsupportedModelError(
        f"{message.source.name}: in {message.place} {message.text(1)!r}: attributes of type {kind} cannot be read"
    )


def _text_or_bytes(value: bytes) -> str | bytes:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def _read_value_info(message: Message) -> ValueInfo:
    """Name, element type and shape of a ValueInfoProto; sequences, maps and optionals have no dtype here."""
    name, tensor = message.text(1), message.message(2, "type").message(1, "tensor_type")
    shape = None
    if tensor.has(2):
        shape = tuple(_read_dimension(dim) for dim in tensor.message(2, "shape").messages(1, "dim"))
    data_type = tensor.integer(1)
    return ValueInfo(name, "bfloat16" if data_type == BFLOAT16 else dtype_name(data_type), shape)


def _read_dimension(dim: Message) -> int | str | None:
    if dim.which(1, 2) == 1:
        size = dim.integer(1)
        return size if size >= 0 else None  # Paddle and others write -1 for a size that is open
    return dim.text(2) or None
