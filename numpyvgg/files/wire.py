"""Protocol buffers' wire format: walk the fields of a buffer without copying it, and check every length.

A message is a row of fields. Each begins with a varint, ``number << 3 | wire type``; the wire type says how the value
is written:

====  ===================  ==============================================================
type  written as           used for
====  ===================  ==============================================================
0     varint               integers, enums, bool: 7 bits a byte, the high bit says "more"
1     8 bytes              double, fixed64
2     length, then bytes   strings, bytes, messages in messages, packed repeated numbers
3, 4  a group's two ends   nothing that is used today; skipped
5     4 bytes              float, fixed32
====  ===================  ==============================================================

There is no index and no end mark, so a reader walks from field to field, and a message inside another is the same again
within the bytes of one field. `Message` does one such walk, keeps *where* each value lies, and converts a value when it
is asked for: 500 MB of weights are one entry in a dictionary until somebody wants them.

Source: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
from collections.abc import Iterable
from typing import NoReturn

import numpy as np

from ..errors import ModelFormatError

VARINT, FIXED64, LENGTH, GROUP, END_GROUP, FIXED32 = range(6)
_KINDS = ("a varint", "8 bytes", "a length and bytes", "a group", "the end of a group", "4 bytes")
_U64 = (1 << 64) - 1


class Source:
    """Bytes and the name that errors give them.

    Parameters
    ----------
    name : str
        The file's path as the user wrote it, or a description such as ``<bytes>``.
    data : bytes-like
        The bytes; a memory map stays a memory map.
    """

    def __init__(self, name: str, data: bytes | mmap.mmap):
        self.name = name
        self.data = memoryview(data).toreadonly()
        self._map = data if isinstance(data, mmap.mmap) else None

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Source:
        """Map a file into memory, read-only; nothing is read yet.

        Raises
        ------
        ModelFormatError
            The path is missing, a directory, empty or unreadable.
        """
        name = os.fspath(path)
        try:
            with open(path, "rb") as file:
                return cls.map(name, file.fileno())
        except (OSError, ValueError) as error:  # ValueError: a NUL character in the path
            raise ModelFormatError(f"{name}: {getattr(error, 'strerror', None) or error}") from None

    @classmethod
    def map(cls, name: str, descriptor: int) -> Source:
        """Map an open file; see `open`."""
        if os.fstat(descriptor).st_size == 0:
            raise ModelFormatError(f"{name}: byte 0: the file is empty")
        return cls(name, mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ))

    def __len__(self) -> int:
        return len(self.data)

    def view(self, start: int, end: int) -> np.ndarray:
        """The bytes from `start` to `end` as a read-only uint8 array on the source's own memory."""
        return np.frombuffer(self.data[start:end], np.uint8)

    def copy(self, start: int, end: int) -> np.ndarray:
        """The bytes from `start` to `end` as a uint8 array of its own, aligned for any dtype."""
        copied = np.empty(end - start, np.uint8)
        self.read(start, copied)
        return copied

    def read(self, start: int, out: np.ndarray) -> None:
        """Copy the bytes from `start` on into a uint8 array.

        In pieces, and the pages of the map that have been read are given back at once: otherwise a file's pages and
        their copy would both count towards the process's memory.
        """
        step = 16 << 20
        for offset in range(0, len(out), step):
            stop = min(offset + step, len(out))
            out[offset:stop] = self.view(start + offset, start + stop)
            self.give_back(start + offset, start + stop)

    def give_back(self, start: int, end: int) -> None:
        """Free the map's pages that lie in this range; the system reads them again when they are used again."""
        if self._map is not None and hasattr(mmap, "MADV_DONTNEED"):  # where there is no such call, the system decides
            first = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
            if end > first:
                with contextlib.suppress(OSError):  # of a program that has locked its memory
                    self._map.madvise(mmap.MADV_DONTNEED, first, end - first)


class Message:
    """One protobuf message: where each of its fields lies, and typed access to them by field number.

    Parameters
    ----------
    source : Source
    place : str
        Where in the file this message is, in its own words: ``graph.node[3]``. Errors quote it.
    spans : sequence of (start, end)
        The message's bytes. A message field that occurs twice is the concatenation of both (the wire format defines
        merging so), hence more than one span.

    Raises
    ------
    ModelFormatError
        A field is cut off, longer than what holds it, or of a wire type that does not exist.

    Notes
    -----
    Absent fields read as protobuf's defaults: 0, "", empty. Where a singular field occurs more than once the last one
    wins; repeated ones append, packed and unpacked alike. Unknown fields are walked over.
    """

    def __init__(self, source: Source, place: str, spans: Iterable[tuple[int, int]]):
        self.source = source
        self.place = place
        #: field number -> [(wire type, start, end)] of its bytes; for a varint (wire type, value, end)
        self._fields: dict[int, list[tuple[int, int, int]]] = {}
        for start, end in spans:
            self._walk(start, end)

    @classmethod
    def root(cls, source: Source, place: str) -> Message:
        """The message that fills the whole source."""
        return cls(source, place, [(0, len(source))])

    def fail(self, reason: str, position: int | None = None) -> NoReturn:
        """Raise the `ModelFormatError` that names the file, the byte and the place in the message tree."""
        byte = "" if position is None else f"byte {position}, "
        raise ModelFormatError(f"{self.source.name}: {byte}in {self.place}: {reason}")

    # ------------------------------------------------------------------ the walk

    def _walk(self, position: int, end: int) -> None:
        data, fields = self.source.data, self._fields
        open_groups: list[int] = []
        while position < end:
            at = position
            key = data[position]
            if key < 0x80:  # nearly always; opening a model is this loop
                position += 1
            else:
                key, position = self._varint(position, end)
            number, kind = key >> 3, key & 7
            if kind == LENGTH:
                size, position = self._varint(position, end)
                field = (kind, position, position + size)
                position += size
            elif kind == VARINT:
                value, position = self._varint(position, end)
                field = (kind, value, position)
            elif kind in (FIXED32, FIXED64):
                field = (kind, position, position + (4 if kind == FIXED32 else 8))
                position = field[2]
            elif kind == GROUP:
                open_groups.append(number)
                continue
            elif kind == END_GROUP and open_groups and open_groups[-1] == number:
                open_groups.pop()
                continue
            else:
                self.fail(f"field {number} has wire type {kind}, which cannot stand here", at)
            if position > end:
                length = field[2] - field[1]
                self.fail(f"field {number} is {length} bytes long, but only {end - field[1]} are left; cut off?", at)
            if number == 0:
                self.fail("field number 0, which does not exist", at)
            if not open_groups:
                fields.setdefault(number, []).append(field)
        if open_groups:
            self.fail(f"the group of field {open_groups[-1]} does not end", end)

    def _varint(self, position: int, end: int) -> tuple[int, int]:
        """An unsigned varint at `position` -> (value, position after it)."""
        data, start, value = self.source.data, position, 0
        if position < end and data[position] < 0x80:
            return data[position], position + 1
        for shift in range(0, 70, 7):
            if position >= end:
                self.fail("a number runs past the end", start)
            byte = data[position]
            position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & _U64, position
        self.fail("a varint of more than 10 bytes", start)

    # ------------------------------------------------------------------ one value

    def has(self, number: int) -> bool:
        """Whether the field occurs at all."""
        return number in self._fields

    def which(self, *numbers: int) -> int | None:
        """Of the members of a oneof, the one that is set: the last that occurs."""
        present = [number for number in numbers if number in self._fields]
        return max(present, key=lambda number: self._fields[number][-1][2], default=None)

    def _occurrences(self, number: int, *kinds: int) -> list[tuple[int, int, int]]:
        fields = self._fields.get(number, [])
        for kind, start, _ in fields:
            if kind not in kinds:
                wanted = " or ".join(_KINDS[k] for k in kinds)
                self.fail(f"field {number} is {_KINDS[kind]} where {wanted} belongs", None if kind == VARINT else start)
        return fields

    def integer(self, number: int, default: int = 0) -> int:
        """The value of an int32, int64, bool or enum field, as a signed number."""
        fields = self._occurrences(number, VARINT)
        value = fields[-1][1] if fields else default
        return value - (1 << 64) if value >= 1 << 63 else value

    def single(self, number: int, default: float = 0.0) -> float:
        """The value of a float field."""
        fields = self._occurrences(number, FIXED32)
        return struct.unpack_from("<f", self.source.data, fields[-1][1])[0] if fields else default

    def span(self, number: int) -> tuple[int, int] | None:
        """Start and end of the bytes of a string, bytes or message field; None where it is absent."""
        fields = self._occurrences(number, LENGTH)
        return fields[-1][1:] if fields else None

    def text(self, number: int) -> str:
        """The value of a string field."""
        span = self.span(number)
        return self._decode(number, *span) if span else ""

    def message(self, number: int, name: str) -> Message:
        """A message field; empty where it is absent. `name` is added to the place."""
        spans = [(start, end) for _, start, end in self._occurrences(number, LENGTH)]
        return Message(self.source, f"{self.place}.{name}", spans)

    # ------------------------------------------------------------------ repeated values

    def messages(self, number: int, name: str) -> list[Message]:
        """Each of a repeated message field."""
        return [
            Message(self.source, f"{self.place}.{name}[{i}]", [(start, end)])
            for i, (_, start, end) in enumerate(self._occurrences(number, LENGTH))
        ]

    def spans(self, number: int) -> list[tuple[int, int]]:
        """Start and end of each of a repeated string or bytes field."""
        return [(start, end) for _, start, end in self._occurrences(number, LENGTH)]

    def texts(self, number: int) -> list[str]:
        """Each of a repeated string field."""
        return [self._decode(number, start, end) for start, end in self.spans(number)]

    def integers(self, number: int) -> list[int]:
        """A repeated integer field, packed or not, as signed numbers; for the short lists of shapes and attributes."""
        fields = self._occurrences(number, VARINT, LENGTH)
        if all(kind == VARINT for kind, _, _ in fields):
            return [value - (1 << 64) if value >= 1 << 63 else value for _, value, _ in fields]
        return self.integer_array(number).tolist()

    def integer_array(self, number: int) -> np.ndarray:
        """The same as an int64 array, for the long ones."""
        parts = [
            np.array([start], np.uint64) if kind == VARINT else self._packed_varints(start, end)
            for kind, start, end in self._occurrences(number, VARINT, LENGTH)
        ]
        return (np.concatenate(parts) if parts else np.empty(0, np.uint64)).view(np.int64)

    def fixed_spans(self, number: int, size: int) -> list[tuple[int, int]]:
        """Where the numbers of a repeated float (`size` 4) or double (8) field lie; one span when packed once."""
        fields = self._occurrences(number, FIXED32 if size == 4 else FIXED64, LENGTH)
        for _, start, end in fields:
            if (end - start) % size:
                self.fail(f"field {number} holds {end - start} bytes, no multiple of {size}", start)
        return [(start, end) for _, start, end in fields]

    def _packed_varints(self, start: int, end: int) -> np.ndarray:
        """All varints between two bytes, decoded together: uint64 [count]."""
        data = self.source.view(start, end)
        if len(data) == 0:
            return np.empty(0, np.uint64)
        lasts = np.flatnonzero(data < 0x80)  # a varint ends at the first byte without the "more" bit
        if data[-1] >= 0x80:
            self.fail("a number runs past the end", end - 1)
        firsts = np.concatenate([[0], lasts[:-1] + 1])
        if (lasts - firsts).max() >= 10:
            self.fail("a varint of more than 10 bytes", start + int(firsts[(lasts - firsts).argmax()]))
        shifts = 7 * (np.arange(len(data)) - np.repeat(firsts, lasts - firsts + 1))
        return np.bitwise_or.reduceat((data & 0x7F).astype(np.uint64) << shifts.astype(np.uint64), firsts)

    def _decode(self, number: int, start: int, end: int) -> str:
        try:
            return str(self.source.data[start:end], "utf-8")
        except UnicodeDecodeError:
            self.fail(f"field {number} is not UTF-8 text", start)


# ---------------------------------------------------------------------- writing


def varint(value: int) -> bytes:
    """Encode an integer; negative ones in two's complement of 64 bits, as the format has it."""
    value &= _U64
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
