"""One tensor of an ONNX file: every form in which its numbers can be stored, and the array they become.

ONNX stores a tensor in two forms, in up to a dozen fields. ``raw_data`` (or a file beside the model) is memory as
it is, little-endian. The typed fields, ``float_data`` and its siblings, are protobuf's repeated numbers: floats and
doubles packed in one field are memory as it is too, integers are varints and have to be decoded.

Source: TensorProto in https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from ..errors import UnsupportedModelError
from .external import ExternalFiles, external_data
from .source import Source
from .wire import Message

#: TensorProto.DataType -> (ONNX's name, NumPy's dtype in the file, the field that holds it when raw_data does not).
#: int32_data also carries the smaller types, and the bit patterns of the 16-bit floats.
_FLOAT_DATA, _INT32_DATA, _STRING_DATA, _INT64_DATA, _RAW_DATA, _DOUBLE_DATA, _UINT64_DATA = 4, 5, 6, 7, 9, 10, 11
_TYPES: dict[int, tuple[str, str | None, int]] = {
    1: ("FLOAT", "<f4", _FLOAT_DATA),
    2: ("UINT8", "<u1", _INT32_DATA),
    3: ("INT8", "<i1", _INT32_DATA),
    4: ("UINT16", "<u2", _INT32_DATA),
    5: ("INT16", "<i2", _INT32_DATA),
    6: ("INT32", "<i4", _INT32_DATA),
    7: ("INT64", "<i8", _INT64_DATA),
    8: ("STRING", None, _STRING_DATA),
    9: ("BOOL", "|b1", _INT32_DATA),
    10: ("FLOAT16", "<f2", _INT32_DATA),
    11: ("DOUBLE", "<f8", _DOUBLE_DATA),
    12: ("UINT32", "<u4", _UINT64_DATA),
    13: ("UINT64", "<u8", _UINT64_DATA),
    14: ("COMPLEX64", "<c8", _FLOAT_DATA),
    15: ("COMPLEX128", "<c16", _DOUBLE_DATA),
    16: ("BFLOAT16", "<u2", _INT32_DATA),  # the upper half of a float32; NumPy has no such type
}
_STRING, _FLOAT16, BFLOAT16 = 8, 10, 16
_FIELD_NAMES = {
    _FLOAT_DATA: "float_data",
    _INT32_DATA: "int32_data",
    _STRING_DATA: "string_data",
    _INT64_DATA: "int64_data",
    _RAW_DATA: "raw_data",
    _DOUBLE_DATA: "double_data",
    _UINT64_DATA: "uint64_data",
}


#: Dimensions that an array of NumPy can have
MOST_DIMENSIONS = 64 if int(np.__version__.split(".")[0]) >= 2 else 32


@cache
def dtype_name(data_type: int) -> str | None:
    """NumPy's name for a TensorProto.DataType; None where it has no such type."""
    if data_type not in _TYPES or data_type == BFLOAT16:
        return None
    return np.dtype(_TYPES[data_type][1] or object).name


def to_bfloat16(values: np.ndarray) -> np.ndarray:
    """Numbers rounded to the nearest bfloat16, ties to even, as float32: NumPy has no such type."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    rounded = (bits + (0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).view(np.float32)
    return np.where(np.isnan(values), np.float32(np.nan), rounded).reshape(np.shape(values))


@dataclass(frozen=True)
class StoredTensor:
    """A tensor as it lies in a file: its shape, its type, and where its numbers are.

    Attributes
    ----------
    name : str
    dims : tuple of int
    file_dtype : np.dtype
        Of the numbers in the file: little-endian; uint16 for bfloat16, object for strings.
    dtype : np.dtype
        Of the array that it becomes: native byte order, float32 for bfloat16, object for strings.
    storage : str
        The field that holds the numbers (``raw_data``, ``float_data``, ...), or ``external:FILE``.
    source : Source
        The file that holds the numbers.
    span : (start, end), or None
        Where they lie in it; None where they are encoded (varints, strings, more than one field).
    decode : callable, or None
        Makes a flat array of `file_dtype` of numbers that are encoded.
    """

    name: str
    dims: tuple[int, ...]
    file_dtype: np.dtype
    dtype: np.dtype
    storage: str
    source: Source
    span: tuple[int, int] | None
    decode: Callable[[], np.ndarray] | None = None

    @property
    def bfloat16(self) -> bool:
        """Whether the numbers are bfloat16, of which float32 is made."""
        return self.dtype == np.float32 and self.file_dtype.kind == "u"

    @property
    def raw(self) -> np.ndarray | None:
        """The numbers' bytes on the file's own memory, aligned by accident only; None where they are encoded."""
        return None if self.span is None else self.source.view(*self.span)

    @property
    def aligned(self) -> bool:
        """Whether NumPy can compute on the file's own bytes without copying them first."""
        return self.span is not None and self.source.is_aligned(self.span[0], self.file_dtype.alignment)

    @property
    def _plain(self) -> bool:
        """Whether memory has the numbers, where they lie in one piece, in the same form as the file."""
        return self.dtype == self.file_dtype and self.dtype != np.bool_

    def view(self) -> np.ndarray:
        """The tensor on the file's own bytes, aligned or not, for callers that copy it block by block.

        Where memory has another form than the file (encoded, bfloat16, a big-endian host) there is nothing to view,
        and the result is that of `array`.
        """
        raw = self.raw
        if raw is None or not self._plain:
            return self.array()
        return raw.view(self.file_dtype).reshape(self.dims)

    def row_reader(self, shape: tuple[int, ...]) -> RowReader | None:
        """The tensor as a matrix of that shape to be read row by row; None where its numbers have to be decoded."""
        if self.span is None or not self._plain:
            return None
        return RowReader(self.source, self.span, shape, self.file_dtype)

    def array(self) -> np.ndarray:
        """The tensor as a read-only array that NumPy can compute on: a view of the file where it can be one.

        Returns
        -------
        ndarray
            Aligned, native byte order, shape `dims`, dtype `dtype`.
        """
        if self.span is None:
            assert self.decode is not None
            values = self.decode()
        else:
            raw = self.source.view(*self.span) if self.aligned else self.source.copy(*self.span)
            values = raw.view(self.file_dtype)
        if self.dtype == np.bool_:
            values = values.view(np.uint8) != 0  # NumPy computes with the byte, and a file may have any
        elif self.bfloat16:
            values = (values.astype(np.uint32) << 16).view(np.float32)
        values = values.astype(self.dtype, copy=False).reshape(self.dims)
        values.flags.writeable = False
        return values


class RowReader:
    """A matrix in a file that is larger than one would like to hold in memory.

    Attributes
    ----------
    shape : tuple of int
    dtype : np.dtype
    """

    def __init__(self, source: Source, span: tuple[int, int], shape: tuple[int, ...], dtype: np.dtype):
        self._source, self._span = source, span
        self.shape, self.dtype = shape, dtype

    def read(self, first: int, out: np.ndarray) -> None:
        """Copy the rows from `first` on into a C-contiguous array ``[rows, columns]``; their pages are given back."""
        start = self._span[0] + first * out.shape[1] * self.dtype.itemsize
        self._source.read(start, out.reshape(-1).view(np.uint8))

    def give_back(self) -> None:
        """Let all of the file's pages go that the matrix lies on."""
        self._source.give_back(*self._span)


# ---------------------------------------------------------------------- from TensorProto


def read_tensor(message: Message, files: ExternalFiles | None) -> StoredTensor:
    """Find a TensorProto's numbers, and hold its shape against them; nothing is allocated.

    Parameters
    ----------
    message : Message
    files : ExternalFiles, optional
        Where external data is; None where the model has no folder.

    Raises
    ------
    ModelFormatError
        The shape is no shape, or not that of the numbers that are there; external data cannot be had.
    UnsupportedModelError
        NumPy does not have its type.
    """
    name = message.text(8)
    message.place += f" {name!r}"
    data_type = message.integer(2)
    if data_type not in _TYPES:
        raise UnsupportedModelError(
            f"{message.source.name}: in {message.place}: data type {data_type} has no counterpart in NumPy"
        )
    type_name, type_code, number = _TYPES[data_type]
    file_dtype = np.dtype(type_code or object)
    dtype = np.dtype(np.float32) if data_type == BFLOAT16 else file_dtype.newbyteorder("=")
    dims = checked_shape(message, message.integers(1), file_dtype.itemsize)
    if message.has(3):
        message.fail("is a segment of a larger tensor, which ONNX never specified")
    if message.integer(14) == 1:
        source, span, storage = external_data(message, files)
    elif raw := message.span(_RAW_DATA):
        source, span, storage = message.source, raw, _FIELD_NAMES[_RAW_DATA]
    else:
        return typed_tensor(message, number, name, dims, file_dtype, dtype, _FIELD_NAMES[number])
    if data_type == _STRING:
        message.fail(f"strings cannot be stored as {storage}")
    start, end = span
    size = math.prod(dims) * file_dtype.itemsize
    if end - start != size:
        position = start if source is message.source else None
        reason = f"shape {list(dims)} of {type_name} takes {size} bytes, but {storage} holds {end - start}"
        message.fail(reason, position)
    return StoredTensor(name, dims, file_dtype, dtype, storage, source, span)


def typed_tensor(
    message: Message,
    number: int,
    name: str,
    dims: tuple[int, ...],
    file_dtype: np.dtype,
    dtype: np.dtype,
    storage: str,
) -> StoredTensor:
    """A tensor whose numbers are in one of a message's typed fields: where they lie, or how they are decoded.

    Raises
    ------
    ModelFormatError
        There are not as many numbers as the shape takes.
    """
    span = None
    decode: Callable[[], np.ndarray] | None
    width = file_dtype.itemsize // (2 if file_dtype.kind == "c" else 1)
    if file_dtype.hasobject:
        held, decode = message.count(number), lambda: np.fromiter(message.texts(number), object, held)
    elif file_dtype.kind in "fc" and width >= 4:
        numbers, span = message.fixed_count(number, width), message.fixed_span(number, width)
        held = numbers * width // file_dtype.itemsize if numbers * width % file_dtype.itemsize == 0 else -1
        decode = None if span else lambda: _gathered(message, number, width, file_dtype, held)
    else:
        held, decode = message.integer_count(number), lambda: _decoded(message, number, file_dtype, held)
    if held != math.prod(dims):
        message.fail(f"shape {list(dims)} takes {math.prod(dims)} numbers, but {storage} holds {max(held, 0)}")
    return StoredTensor(name, dims, file_dtype, dtype, storage, message.source, span, decode)


def checked_shape(message: Message, dims: Sequence[int], itemsize: int) -> tuple[int, ...]:
    """Numbers from a file as a shape that NumPy can have."""
    if len(dims) > MOST_DIMENSIONS:
        message.fail(f"a shape of {len(dims)} dimensions, where an array has at most {MOST_DIMENSIONS}")
    if any(dim < 0 for dim in dims):
        message.fail(f"shape {list(dims)} has a negative dimension")
    if math.prod(dim for dim in dims if dim) * max(itemsize, 1) > sys.maxsize:  # zeros do not make NumPy accept it
        message.fail(f"shape {list(dims)} is beyond what a machine can address")
    return tuple(dims)


def _gathered(message: Message, number: int, width: int, dtype: np.dtype, count: int) -> np.ndarray:
    """Floats that do not lie in one piece."""
    values = np.empty(count, dtype)
    numbers, first = values.view(np.uint8).reshape(-1, width), 0
    for piece in message.fixed_pieces(number, width):
        numbers[first : first + len(piece)] = piece
        first += len(piece)
    return values


def _decoded(message: Message, number: int, dtype: np.dtype, count: int) -> np.ndarray:
    """Integers, the bits of 16-bit floats among them, from varints."""
    values = np.empty(count, dtype)
    numbers, first = values.view("<u2") if dtype.kind == "f" else values, 0
    for piece in message.integer_pieces(number):
        numbers[first : first + len(piece)] = piece.astype(numbers.dtype)
        first += len(piece)
    return values
