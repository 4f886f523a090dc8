"""One tensor of an ONNX file: every form in which its numbers can be stored, and the array they become.

ONNX stores a tensor in two forms, in up to a dozen fields. ``raw_data`` (or a file beside the model) is memory as
it is, little-endian. The typed fields, ``float_data`` and its siblings, are protobuf's repeated numbers: floats and
doubles packed in one field are memory as it is too, integers are varints and have to be decoded.

Source: TensorProto in https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import numpy as np

from ..errors import UnsupportedModelError
from .wire import Message, Source

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
_STRING, _FLOAT16, _BFLOAT16 = 8, 10, 16
_FIELD_NAMES = {
    _FLOAT_DATA: "float_data",
    _INT32_DATA: "int32_data",
    _STRING_DATA: "string_data",
    _INT64_DATA: "int64_data",
    _RAW_DATA: "raw_data",
    _DOUBLE_DATA: "double_data",
    _UINT64_DATA: "uint64_data",
}


def dtype_name(data_type: int) -> str | None:
    """NumPy's name for a TensorProto.DataType; None where it has no such type."""
    if data_type not in _TYPES or data_type == _BFLOAT16:
        return None
    return np.dtype(_TYPES[data_type][1] or object).name


class StoredTensor:
    """A tensor as it lies in a file: its shape, its type, and where its numbers are.

    Attributes
    ----------
    name : str
    dims : tuple of int
    dtype : np.dtype
        Of the array that it becomes: native byte order, float32 for bfloat16, object for strings.
    storage : str
        The field that holds the numbers (``raw_data``, ``float_data``, ...), or ``external:FILE``.
    raw : ndarray of uint8, or None
        The numbers' bytes, little-endian, on the file's own memory and aligned by accident only; None where they are
        encoded (varints, more than one field) and have to be decoded to be used.
    """

    def __init__(self, message: Message, folder: Path | None):
        self._message = message
        self.name = message.text(8)
        message.place += f" {self.name!r}"
        self.dims = self._read_dims()
        self._type = message.integer(2)
        if self._type not in _TYPES:
            raise UnsupportedModelError(
                f"{message.source.name}: in {message.place}: data type {self._type} has no counterpart in NumPy"
            )
        type_name, file_dtype, self._field = _TYPES[self._type]
        self._file_dtype = np.dtype(file_dtype or object)
        self.dtype = np.dtype(np.float32) if self._type == _BFLOAT16 else self._file_dtype.newbyteorder("=")
        if message.has(3):
            message.fail("is a segment of a larger tensor, which ONNX never specified")
        self._source = message.source
        self._span: tuple[int, int] | None = None
        if message.integer(14) == 1:
            self._source, self._span, self.storage = _external_data(message, folder)
        else:
            number = _RAW_DATA if message.has(_RAW_DATA) else self._field
            self.storage = _FIELD_NAMES[number]
            self._span = self._find_span(number)
        self._check_size(type_name)

    def _read_dims(self) -> tuple[int, ...]:
        dims = tuple(self._message.integers(1))
        if any(dim < 0 for dim in dims):
            self._message.fail(f"shape {list(dims)} has a negative dimension")
        return dims

    def _find_span(self, number: int) -> tuple[int, int] | None:
        """The bytes of the numbers, where they lie in one piece and in the form in which memory has them."""
        if number == _RAW_DATA:
            if self._type == _STRING:
                self._message.fail("strings cannot be stored as raw_data")
            return self._message.span(number)
        if number in (_FLOAT_DATA, _DOUBLE_DATA):
            spans = self._message.fixed_spans(number, 4 if number == _FLOAT_DATA else 8)
            return spans[0] if len(spans) == 1 else None
        return None

    def _check_size(self, type_name: str) -> None:
        """Hold the shape against the numbers that are there; nothing is allocated before."""
        wanted = 1
        for dim in self.dims:
            wanted *= dim
        if self._span is not None:
            start, end = self._span
            if end - start != wanted * self._file_dtype.itemsize:
                self._message.fail(
                    f"shape {list(self.dims)} of {type_name} takes {wanted * self._file_dtype.itemsize} bytes, "
                    f"but {self.storage} holds {end - start}",
                    start if self._source is self._message.source else None,
                )
            return
        count = self._count()
        if count != wanted:
            self._message.fail(f"shape {list(self.dims)} takes {wanted} numbers, but {self.storage} holds {count}")

    def _count(self) -> int:
        """How many elements the encoded fields hold."""
        if self._field == _STRING_DATA:
            return len(self._message.spans(_STRING_DATA))
        if self._field in (_FLOAT_DATA, _DOUBLE_DATA):
            size = 4 if self._field == _FLOAT_DATA else 8
            total = sum(end - start for start, end in self._message.fixed_spans(self._field, size))
            return total // self._file_dtype.itemsize if total % self._file_dtype.itemsize == 0 else -1
        return len(self._message.integer_array(self._field))

    # ------------------------------------------------------------------ as arrays

    @property
    def raw(self) -> np.ndarray | None:
        return None if self._span is None else self._source.view(*self._span)

    @property
    def aligned(self) -> bool:
        """Whether NumPy can compute on the file's own bytes without copying them first."""
        raw = self.raw
        return raw is not None and raw.ctypes.data % self._file_dtype.alignment == 0

    def view(self) -> np.ndarray:
        """The tensor on the file's own bytes, aligned or not, for callers that copy it block by block.

        Where memory has another form than the file (encoded, bfloat16, a big-endian host) there is nothing to view,
        and the result is that of `array`.
        """
        raw = self.raw
        if raw is None or not self._plain:
            return self.array()
        return raw.view(self._file_dtype).reshape(self.dims)

    @property
    def _plain(self) -> bool:
        """Whether memory has the numbers, where they lie in one piece, in the same form as the file."""
        return self._type != _BFLOAT16 and sys.byteorder == "little"

    def rows(self, shape: tuple[int, ...]) -> Rows | None:
        """The tensor as a matrix of that shape to be read row by row; None where its numbers have to be decoded."""
        if self._span is None or not self._plain:
            return None
        return Rows(self._source, self._span, shape, self._file_dtype)

    def array(self) -> np.ndarray:
        """The tensor as a read-only array that NumPy can compute on: a view of the file where it can be one.

        Returns
        -------
        ndarray
            Aligned, native byte order, shape `dims`, dtype `dtype`.
        """
        if self._span is None:
            values = self._decode()
        else:
            raw = self._source.view(*self._span) if self.aligned else self._source.copy(*self._span)
            values = raw.view(self._file_dtype)
        if self._type == _BFLOAT16:
            values = (values.astype(np.uint32) << 16).view(np.float32)
        values = values.astype(self.dtype, copy=False).reshape(self.dims)
        values.flags.writeable = False
        return values

    def _decode(self) -> np.ndarray:
        """The numbers of the typed fields that memory has in another form: flat, in the file's dtype."""
        message = self._message
        if self._field == _STRING_DATA:
            return np.array(message.texts(_STRING_DATA), object)
        if self._field in (_FLOAT_DATA, _DOUBLE_DATA):
            spans = message.fixed_spans(self._field, 4 if self._field == _FLOAT_DATA else 8)
            return np.frombuffer(b"".join(message.source.data[a:b] for a, b in spans), self._file_dtype)
        integers = message.integer_array(self._field)
        bits = np.uint16 if self._type == _FLOAT16 else self._file_dtype
        return integers.astype(bits).view(self._file_dtype)


class Rows:
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


# ---------------------------------------------------------------------- external data


def _external_data(message: Message, folder: Path | None) -> tuple[Source, tuple[int, int], str]:
    """Find the bytes of a tensor that lies in a file of its own, beside the model -> (source, span, storage).

    A model may come from a stranger, so the file must lie in the model's folder by its real path, be a plain file, no
    symbolic link and no second name of another file (hard link): else a model could read whatever its user can
    (CVE-2022-25882, CVE-2024-27318). Offset and length must lie in the file. Keys that are not known are passed over.
    """
    entries = {m.text(1): m.text(2) for m in message.messages(13, "external_data")}
    location = entries.get("location", "")
    if folder is None:
        message.fail(f"its numbers are in another file ({location!r}), which can only be found from a model's path")
    root = folder.resolve()
    path = root / location.replace("\0", "..")  # no name holds a NUL
    if not location or os.path.isabs(location) or path.resolve() != path or root not in path.parents:
        message.fail(f"external data at {location!r} is not a plain path inside the model's folder")
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0))
    except (OSError, ValueError) as error:
        message.fail(f"external data {str(path)!r} cannot be opened: {getattr(error, 'strerror', None) or error}")
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            message.fail(f"external data {str(path)!r} is not a plain file with one name; copy it into place")
        source = Source.map(str(path), descriptor)
    finally:
        os.close(descriptor)
    offset = _external_number(message, entries, "offset", 0)
    length = _external_number(message, entries, "length", len(source) - offset)
    if offset + length > len(source):
        message.fail(f"external data ends at byte {offset + length} of {location!r}, which has {len(source)}")
    return source, (offset, offset + length), f"external:{location}"


def _external_number(message: Message, entries: dict[str, str], key: str, default: int) -> int:
    text = entries.get(key, str(max(default, 0)))
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        message.fail(f"external data has {key} {text!r}, which is no byte count")
    return int(text)
