"""ONNX files, written: the values that `read_onnx` gives, as the bytes that protobuf's own writers make of them.

Each function below writes one message of onnx.proto, its fields in the order of their numbers; repeated numbers stand
one by one, except where onnx.proto has them packed. `onnx_file` writes a whole model piece by piece: its size is known
before the first weight is asked for, and no two weights need be in memory together.

Sources: https://protobuf.dev/programming-guides/encoding/ and https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np

from .onnx import Node, ValueInfo
from .tensor import dtype_name
from .wire import FIXED32, LENGTH, VARINT

# ---------------------------------------------------------------------- the wire format


def varint(value: int) -> bytes:
    """Encode an integer; negative ones in two's complement of 64 bits, as the format has it."""
    value &= (1 << 64) - 1
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def integer_field(number: int, value: int) -> bytes:
    """Encode an int32, int64, bool or enum field."""
    return varint(number << 3 | VARINT) + varint(value)


def single_field(number: int, value: float) -> bytes:
    """Encode a float field."""
    return varint(number << 3 | FIXED32) + struct.pack("<f", value)


def length_prefix(number: int, length: int) -> bytes:
    """Encode the head of a string, bytes, message or packed field whose `length` bytes the caller writes after it."""
    return varint(number << 3 | LENGTH) + varint(length)


def bytes_field(number: int, value: bytes | str) -> bytes:
    """Encode a string, bytes or message field, or the already packed values of a repeated one."""
    value = value.encode() if isinstance(value, str) else value
    return length_prefix(number, len(value)) + value


def packed_varints(numbers: Iterable[int]) -> bytes:
    """The payload of a packed repeated integer field."""
    return b"".join(map(varint, numbers))


# ---------------------------------------------------------------------- messages

_DATA_TYPES = {name: number for number in range(1, 17) if (name := dtype_name(number))}  # TensorProto.DataType
_FLOAT_DATA, _INT64_DATA, _NAME, _RAW_DATA = 4, 7, 8, 9  # fields of TensorProto


def tensor_proto(name: str, array: np.ndarray) -> bytes:
    """An array as a TensorProto, its numbers in raw_data."""
    before, after = _around(name, array.dtype, array.shape, _RAW_DATA)
    return b"".join([before, _little_endian(array), after])


def _around(name: str, dtype: np.dtype, dims: Sequence[int], field: int) -> tuple[bytes, bytes]:
    """What stands before and after a tensor's numbers, where `field` holds them as memory does."""
    head, name_field = _type_and_dims(dtype, dims), bytes_field(_NAME, name)
    numbers = length_prefix(field, math.prod(dims) * dtype.itemsize)
    return (head + numbers, name_field) if field < _NAME else (head + name_field + numbers, b"")


def _type_and_dims(dtype: np.dtype, dims: Sequence[int]) -> bytes:
    return b"".join(integer_field(1, size) for size in dims) + integer_field(2, _DATA_TYPES[dtype.name])


def _little_endian(array: np.ndarray) -> memoryview:
    """An array's bytes in the order that files have."""
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(-1).view(np.uint8).data


def value_info_proto(value: ValueInfo) -> bytes:
    """Name, element type and shape of a graph's input, of its output, or of a value in between; type and rank known."""
    assert value.dtype is not None
    assert value.shape is not None
    shape = b"".join(bytes_field(1, _dimension(size)) for size in value.shape)
    tensor_type = integer_field(1, _DATA_TYPES[value.dtype]) + bytes_field(2, shape)
    return bytes_field(1, value.name) + bytes_field(2, bytes_field(1, tensor_type))


def _dimension(size: int | str | None) -> bytes:
    if size is None:
        return b""
    return bytes_field(2, size) if isinstance(size, str) else integer_field(1, size)


def node_proto(node: Node) -> bytes:
    """One operation of the graph."""
    fields = [bytes_field(1, name) for name in node.inputs] + [bytes_field(2, name) for name in node.outputs]
    fields += [bytes_field(3, node.name), bytes_field(4, node.op_type)]
    return b"".join(fields + [bytes_field(5, attribute_proto(*item)) for item in node.attributes.items()])


def attribute_proto(name: str, value: float | str | Sequence[int]) -> bytes:
    """An attribute of a node: a float, int, str, or list of int; its field 20 says which."""
    if isinstance(value, float):
        field, kind = single_field(2, value), 1
    elif isinstance(value, int):
        field, kind = integer_field(3, value), 2
    elif isinstance(value, str):
        field, kind = bytes_field(4, value), 3
    else:
        field, kind = b"".join(integer_field(8, number) for number in value), 7
    return bytes_field(1, name) + field + integer_field(20, kind)


# ---------------------------------------------------------------------- a whole file


class Tensor(Protocol):
    """What is to become an initializer; a `StoredTensor` of another file will do."""

    @property
    def name(self) -> str: ...
    @property
    def dims(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype: ...
    def array(self) -> np.ndarray: ...


def onnx_file(
    nodes: Sequence[Node],
    tensors: Sequence[Tensor],
    inputs: Sequence[ValueInfo],
    outputs: Sequence[ValueInfo],
    *,
    values: Sequence[ValueInfo] = (),
    graph_name: str,
    producer: str,
    ir_version: int,
    opset: int,
) -> tuple[int, Iterator[bytes | memoryview]]:
    """A model's file: how many bytes it takes, and those bytes, piece by piece.

    Parameters
    ----------
    nodes : sequence of Node
        Each reads only what the graph, or a node before it, has made.
    tensors : sequence of Tensor
        The initializers: float32 becomes packed ``float_data``, int64 ``int64_data``, anything else ``raw_data``. Each
        is asked for its array when its turn comes; int64 ones at once, for their size depends on their numbers.
    inputs, outputs, values : sequence of ValueInfo
        Of the graph, and of what its nodes make in between.
    graph_name, producer : str
    ir_version, opset : int

    Returns
    -------
    size : int
    pieces : iterator of bytes-like
    """
    before = b"".join(bytes_field(1, node_proto(node)) for node in nodes) + bytes_field(2, graph_name)
    initializers = [(tensor, *_initializer(tensor)) for tensor in tensors]
    after = b"".join(
        bytes_field(number, value_info_proto(value))
        for number, group in ((11, inputs), (12, outputs), (13, values))
        for value in group
    )
    size = len(before) + sum(len(head) + count + len(tail) for _, head, count, tail in initializers) + len(after)
    start = integer_field(1, ir_version) + bytes_field(2, producer) + length_prefix(7, size)
    end = bytes_field(8, integer_field(2, opset))

    def pieces() -> Iterator[bytes | memoryview]:
        yield start + before
        for tensor, head, count, tail in initializers:
            yield head
            if count:
                yield _little_endian(tensor.array())
            yield tail
        yield after + end

    return len(start) + size + len(end), pieces()


def _initializer(tensor: Tensor) -> tuple[bytes, int, bytes]:
    """The bytes before a tensor's numbers in the graph, how many bytes those take, and the bytes after them."""
    if tensor.dtype == np.int64:
        numbers = bytes_field(_INT64_DATA, packed_varints(tensor.array().ravel().tolist()))
        whole = _type_and_dims(tensor.dtype, tensor.dims) + numbers + bytes_field(_NAME, tensor.name)
        return bytes_field(5, whole), 0, b""
    field = _FLOAT_DATA if tensor.dtype == np.float32 else _RAW_DATA
    before, after = _around(tensor.name, tensor.dtype, tensor.dims, field)
    count = math.prod(tensor.dims) * tensor.dtype.itemsize
    return length_prefix(5, len(before) + count + len(after)) + before, count, after
