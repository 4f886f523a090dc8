"""The binary form of Caffe's messages: fields by number, and blobs that stay in the file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..tensor import StoredTensor, checked_shape, typed_tensor
from ..wire import Message
from .schema import ENUMS, MESSAGES, Fields


def read_fields(message: Message, kind: str) -> Fields:
    """A message of caffe.proto as its fields' values.

    Parameters
    ----------
    message : Message
    kind : str
        Its name in caffe.proto, such as ``NetParameter``.

    Raises
    ------
    ModelFormatError
        A field has another wire type than caffe.proto gives it.
    """
    values: dict[str, list[Any]] = {}
    for name, (number, field_kind) in MESSAGES[kind].items():
        if not message.has(number):
            continue
        if field_kind.rstrip("*") in MESSAGES:
            values[name] = [read_fields(part, field_kind.rstrip("*")) for part in message.messages(number, name)]
        elif field_kind == "blobs":
            values[name] = list(message.messages(number, name))
        else:
            values[name] = _READERS["int" if field_kind in ENUMS else field_kind](message, number)
    return Fields(message.source.name, message.place, values)


_READERS: dict[str, Callable[[Message, int], list[Any]]] = {
    "int": lambda message, number: [message.integer(number)],
    "bool": lambda message, number: [bool(message.integer(number))],
    "float": lambda message, number: [message.single(number)],
    "string": lambda message, number: [message.text(number)],
    "ints": Message.integers,
    "floats": Message.singles,
    "strings": Message.texts,
}


def read_blob(message: Message, name: str) -> StoredTensor:
    """A layer's weight or bias, as it lies in the file: ``data``, or ``double_data``, of which Caffe makes float32 too.

    Parameters
    ----------
    message : Message
        A BlobProto.
    name : str
        Of the initializer that it becomes.

    Raises
    ------
    ModelFormatError
        Its shape is no shape, or does not fit its numbers.
    """
    message.place += f" of {name!r}"
    number, code, storage = (8, "<f8", "double_data") if message.has(8) else (5, "<f4", "data")
    new = message.has(7)  # before, a shape was four numbers: num, channels, height, width
    sizes = message.message(7, "shape").integers(1) if new else [message.integer(i) for i in (1, 2, 3, 4)]
    dims = checked_shape(message, sizes, 8)
    return typed_tensor(message, number, name, dims, np.dtype(code), np.dtype(np.float32), storage)
