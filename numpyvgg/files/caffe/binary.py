"""The binary form of Caffe's messages: fields by number, and blobs that stay in the file."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..tensor import StoredTensor
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
            values[name] = message.messages(number, name)
        else:
            values[name] = _READERS["int" if field_kind in ENUMS else field_kind](message, number)
    return Fields(message.source.name, message.place, values)


def _floats(message: Message, number: int) -> list[float]:
    spans = message.fixed_spans(number, 4)
    return np.frombuffer(b"".join(message.source.data[a:b] for a, b in spans), "<f4").tolist()


_READERS: dict[str, Callable[[Message, int], list[Any]]] = {
    "int": lambda message, number: [message.integer(number)],
    "bool": lambda message, number: [bool(message.integer(number))],
    "float": lambda message, number: [message.single(number)],
    "string": lambda message, number: [message.text(number)],
    "ints": Message.integers,
    "floats": _floats,
    "strings": Message.texts,
}


def blob_shape(message: Message) -> tuple[int, ...]:
    """A BlobProto's shape: its own list, or the four numbers that Caffe had before (num, channels, height, width)."""
    new = message.has(7)
    integers = message.message(7, "shape").integers(1) if new else map(message.integer, (1, 2, 3, 4))
    shape = tuple(integers)
    if any(size < 0 for size in shape):
        message.fail(f"shape {list(shape)} has a negative dimension")
    return shape


class Blob(StoredTensor):
    """A layer's weight or bias, as it lies in the file: ``data``, or ``double_data``, of which Caffe makes float32 too.

    Parameters
    ----------
    message : Message
        A BlobProto.
    name : str
        Of the initializer that it becomes.

    Attributes
    ----------
    file : str
    size : int
        How many numbers it has.
    """

    def __init__(self, message: Message, name: str):
        self._message, self._source, self.name = message, message.source, name
        message.place += f" of {name!r}"
        self._number, self._size = (8, 8) if message.has(8) else (5, 4)
        self._file_dtype = np.dtype(f"<f{self._size}")
        self.dtype = np.dtype(np.float32)
        self._type = 1
        self.storage = "double_data" if self._number == 8 else "data"
        spans = message.fixed_spans(self._number, self._size)
        self._span = spans[0] if len(spans) == 1 else None
        self.file = message.source.name
        self.dims = blob_shape(message)
        self.size = sum(end - start for start, end in spans) // self._size
        if self.size != math.prod(self.dims):
            message.fail(f"shape {list(self.dims)} takes {math.prod(self.dims)} numbers, but there are {self.size}")

    @property
    def _plain(self) -> bool:
        return super()._plain and self._size == 4

    def _decode(self) -> np.ndarray:
        """The numbers where they do not lie in one piece."""
        spans = self._message.fixed_spans(self._number, self._size)
        return np.frombuffer(b"".join(self._message.source.data[a:b] for a, b in spans), self._file_dtype)
