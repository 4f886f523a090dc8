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

A file may come from anybody, and 10 MB can hold five million fields. So the walk keeps no object for each: fields of
one number that follow one another are one `Run`, however many they are, and are walked again when they are asked for.
What is made of them (names, numbers, messages) is counted against `LARGEST_STRUCTURE`; tensors are not, being arrays.

Source: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import NoReturn

import numpy as np

from ..errors import ModelFormatError
from .source import Source

VARINT, FIXED64, LENGTH, GROUP, END_GROUP, FIXED32 = range(6)
_KINDS = ("a varint", "8 bytes", "a length and bytes", "a group", "the end of a group", "4 bytes")
_U64 = (1 << 64) - 1

#: Memory that may be made of a file's structure, in bytes: of all names, messages and numbers outside of tensors. It is
#: what safetensors allows its header, and enough for some 35,000 nodes; the largest networks that people exchange have
#: about ten thousand.
LARGEST_STRUCTURE = 100_000_000
#: What one of them takes in Python, roughly and rather too much
_MESSAGE, _TEXT, _NUMBER = 400, 80, 60
#: Runs of fields that one message may have: writers put a repeated field's values one after another
_MOST_RUNS = 10_000
#: After so many fields of a run, the next ones are looked at together
_LONG_RUN = 64
#: Groups inside of groups, as deep as protobuf's own readers go
_DEEPEST_GROUP = 100
#: Bytes that are decoded together
_PIECE = 1 << 18


class Run:
    """Fields of one number and wire type that follow one another.

    Attributes
    ----------
    kind : int
        Their wire type.
    first : int
        Where the first field begins, with its key.
    head : int
        Bytes of the key, the same in each.
    start, end : int
        Of the last field's value.
    count : int
        How many fields there are.
    """

    __slots__ = ("count", "end", "first", "head", "kind", "start")

    def __init__(self, kind: int, first: int, head: int, start: int, end: int):
        self.kind = kind
        self.first = first
        self.head = head
        self.start = start
        self.end = end
        self.count = 1

    def extend(self, source: Source, last: int, limit: int) -> None:
        """Add the fields that follow and are written as the last one, which begins at `last`, many at a time.

        Numbers that are not packed can be a run of millions; walking from one to the next in Python takes seconds.
        """
        window, count = 1 << 10, 1
        while count:
            stop = min(self.end + window, limit)
            look = _varints_after if self.kind == VARINT else _equals_after
            count, size, value = look(source, last, self.start, self.end, stop)
            if count:
                last, self.start, self.end = last + size, self.end + value, self.end + size
                self.count += count
            window = min(4 * window, _PIECE)


_NO_RUN = Run(-1, 0, 0, 0, 0)


def _equals_after(source: Source, first: int, start: int, end: int, stop: int) -> tuple[int, int, int]:
    """How many fields follow that have the last one's key and length -> (count, size, where the last value begins)."""
    size = end - first
    fields = source.view(end, end + (stop - end) // size * size).reshape(-1, size)
    count = _leading((fields[:, : start - first] == source.view(first, start)).all(axis=1))
    return count, count * size, (count - 1) * size + start - first


def _varints_after(source: Source, first: int, start: int, end: int, stop: int) -> tuple[int, int, int]:
    """The same for numbers: of the varints that follow, every second must be the key, in one byte."""
    data = source.view(end, stop)
    ends = np.flatnonzero(data < 0x80)
    keys, values = ends[0::2][: len(ends) // 2], ends[1::2]
    begins = np.append(0, values[:-1] + 1)[: len(values)]
    count = _leading((keys == begins) & (data[keys] == source.data[first]) & (values - keys <= 10))
    return (count, int(values[count - 1]) + 1, int(keys[count - 1]) + 1) if count else (0, 0, 0)


def _leading(flags: np.ndarray) -> int:
    """How many are true before the first that is not."""
    return len(flags) if flags.all() else int(flags.argmin())


class Message:
    """One protobuf message: where each of its fields lies, and typed access to them by field number.

    Parameters
    ----------
    source : Source
    place : str
        Where in the file this message is, in its own words: ``graph.node[3]``. Errors quote it.
    spans : iterable of (start, end)
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

    __slots__ = ("_runs", "_turns", "place", "source")

    def __init__(self, source: Source, place: str, spans: Iterable[tuple[int, int]]):
        self.source = source
        self.place = place
        self._runs: dict[int, list[Run]] = {}
        self._turns = 0  # how often another field, or a group, came next
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

    def charge(self, size: int) -> None:
        """Count the memory of what is made of the file's structure; beyond `LARGEST_STRUCTURE` the file is refused."""
        self.source.charged += size
        if self.source.charged > LARGEST_STRUCTURE:
            self.fail(
                f"the file's structure (nodes, names, numbers outside of tensors) would take more than "
                f"{LARGEST_STRUCTURE // 10**6} MB of memory"
            )

    # ------------------------------------------------------------------ the walk

    def _walk(self, position: int, end: int) -> None:
        data, runs, turns = self.source.data, self._runs, self._turns
        groups: list[int] = []  # that are open
        last_key, last = -1, _NO_RUN
        while position < end and turns <= _MOST_RUNS:
            first = position
            key = data[position]
            if key < 0x80:  # nearly always; opening a model is this loop
                position += 1
            else:
                key, position = self._varint(position, end)
            kind, start = key & 7, position
            head = position - first
            if kind == LENGTH:
                if position < end and (size := data[position]) < 0x80:
                    start = position + 1
                else:
                    size, start = self._varint(position, end)
                position = start + size
            elif kind == VARINT:
                if position < end and data[position] < 0x80:
                    position += 1
                else:
                    _, position = self._varint(position, end)
            elif kind == FIXED32:
                position += 4
            elif kind == FIXED64:
                position += 8
            else:
                self._group(key, groups, first)
                turns += 1
                continue
            if position > end or key < 8:
                self._bad_field(key, first, start, position, end)
            if groups:
                continue
            if key == last_key and first == last.end and head == last.head:
                last.start, last.end, last.count = start, position, last.count + 1
                if last.count % _LONG_RUN == 0:
                    last.extend(self.source, first, end)
                    position = last.end
                continue
            last_key, last = key, Run(kind, first, head, start, position)
            runs.setdefault(key >> 3, []).append(last)
            turns += 1
        self._turns = turns
        if turns > _MOST_RUNS:
            self.fail(f"more than {_MOST_RUNS} fields in turns, where a writer puts equal ones together", position)
        if groups:
            self.fail(f"the group of field {groups[-1]} does not end", end)

    def _group(self, key: int, groups: list[int], position: int) -> None:
        """Enter or leave a group; what is in one is stepped over."""
        number, kind = key >> 3, key & 7
        if kind == GROUP:
            groups.append(number)
            if len(groups) > _DEEPEST_GROUP:
                self.fail(f"groups inside of groups, more than {_DEEPEST_GROUP} deep", position)
        elif kind == END_GROUP and groups and groups[-1] == number:
            groups.pop()
        else:
            self.fail(f"field {number} has wire type {kind}, which cannot stand here", position)

    def _bad_field(self, key: int, position: int, start: int, stop: int, end: int) -> NoReturn:
        if key < 8:
            self.fail("field number 0, which does not exist", position)
        self.fail(f"field {key >> 3} is {stop - start} bytes long, but only {end - start} are left; cut off?", position)

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
        return number in self._runs

    def which(self, *numbers: int) -> int | None:
        """Of the members of a oneof, the one that is set: the last that occurs."""
        present = [number for number in numbers if number in self._runs]
        return max(present, key=lambda number: self._runs[number][-1].end, default=None)

    def _of(self, number: int, *kinds: int) -> list[Run]:
        """The runs of a field, which must be written in one of these ways."""
        runs = self._runs.get(number)
        if runs is None:
            return []
        for run in runs:
            if run.kind not in kinds:
                wanted = " or ".join(_KINDS[kind] for kind in kinds)
                self.fail(f"field {number} is {_KINDS[run.kind]} where {wanted} belongs", run.first)
        return runs

    def integer(self, number: int, default: int = 0) -> int:
        """The value of an int32, int64, bool or enum field, as a signed number."""
        runs = self._of(number, VARINT)
        return _signed(self._varint(runs[-1].start, runs[-1].end)[0]) if runs else default

    def single(self, number: int, default: float = 0.0) -> float:
        """The value of a float field."""
        runs = self._of(number, FIXED32)
        return struct.unpack("<f", self.source.data[runs[-1].start : runs[-1].end])[0] if runs else default

    def span(self, number: int) -> tuple[int, int] | None:
        """Start and end of the bytes of a string, bytes or message field; None where it is absent."""
        runs = self._of(number, LENGTH)
        return (runs[-1].start, runs[-1].end) if runs else None

    def text(self, number: int) -> str:
        """The value of a string field."""
        span = self.span(number)
        return self._decode(number, *span) if span else ""

    def message(self, number: int, name: str) -> Message:
        """A message field; empty where it is absent. `name` is added to the place."""
        return Message(self.source, f"{self.place}.{name}", self.spans(number))

    # ------------------------------------------------------------------ repeated values

    def count(self, number: int) -> int:
        """How often the field occurs."""
        return sum(run.count for run in self._runs.get(number, []))

    def spans(self, number: int) -> Iterator[tuple[int, int]]:
        """Start and end of each of a repeated string, bytes or message field."""
        for run in self._of(number, LENGTH):
            yield from self._each(run)

    def _each(self, run: Run) -> Iterator[tuple[int, int]]:
        """Walk over a run of fields with lengths once more -> start and end of each value."""
        if run.count == 1:
            yield run.start, run.end
            return
        end = run.first
        for _ in range(run.count):
            size, start = self._varint(end + run.head, run.end)
            end = start + size
            yield start, end

    def messages(self, number: int, name: str) -> Iterator[Message]:
        """Each of a repeated message field."""
        self.charge(_MESSAGE * self.count(number))
        for i, span in enumerate(self.spans(number)):
            yield Message(self.source, f"{self.place}.{name}[{i}]", [span])

    def texts(self, number: int) -> list[str]:
        """Each of a repeated string field."""
        self.charge(_TEXT * self.count(number))
        return [self._decode(number, start, end) for start, end in self.spans(number)]

    def byte_strings(self, number: int) -> list[bytes]:
        """Each of a repeated bytes field."""
        self.charge(_TEXT * self.count(number))
        values = []
        for start, end in self.spans(number):
            self.charge(end - start)
            values.append(bytes(self.source.data[start:end]))
        return values

    def integers(self, number: int) -> list[int]:
        """A repeated integer field, packed or not, as signed numbers; for the short lists of shapes and attributes."""
        numbers: list[int] = []
        for position, end, keyed in self._numbers(number, VARINT):
            values = []
            while position < end:
                value, position = self._varint(position, end)
                values.append(_signed(value))
                self.charge(_NUMBER)
            numbers += values[1::2] if keyed else values
        return numbers

    def singles(self, number: int) -> list[float]:
        """A repeated float field, packed or not; for the short lists of attributes."""
        self.charge(_NUMBER * self.fixed_count(number, 4))
        pieces = self.fixed_pieces(number, 4)
        return [value for piece in pieces for (value,) in struct.iter_unpack("<f", piece.tobytes())]

    # ------------------------------------------------------------------ the numbers of tensors

    def _numbers(self, number: int, kind: int) -> Iterator[tuple[int, int, bool]]:
        """Where a repeated field's numbers lie -> start, end, whether the field's key stands before each of them.

        Packed numbers are one field, bytes with a length; others are a run of fields.
        """
        for run in self._of(number, kind, LENGTH):
            if run.kind == LENGTH:
                self.charge(_NUMBER * run.count)
                yield from ((start, end, False) for start, end in self._each(run))
            else:
                yield run.first, run.end, True

    def integer_count(self, number: int) -> int:
        """How many integers a repeated field holds: a varint ends at the byte that has no "more" bit."""
        total = sum(run.count for run in self._of(number, VARINT, LENGTH) if run.kind == VARINT)
        for start, end, keyed in self._numbers(number, VARINT):
            if not keyed and end > start:
                if self.source.data[end - 1] >= 0x80:
                    self.fail("a number runs past the end", end - 1)
                pieces = (self.source.view(at, min(at + _PIECE, end)) for at in range(start, end, _PIECE))
                total += sum(int(np.count_nonzero(piece < 0x80)) for piece in pieces)
        return total

    def integer_pieces(self, number: int) -> Iterator[np.ndarray]:
        """The integers of a repeated field as int64 arrays of at most a few hundred thousand each."""
        for position, end, keyed in self._numbers(number, VARINT):
            while position < end:
                values, position = self._varints(position, end, keyed)
                yield values

    def _varints(self, start: int, end: int, keyed: bool) -> tuple[np.ndarray, int]:
        """Many varints decoded together -> (int64 [count], position after them); `keyed`: the keys are left out."""
        data = self.source.view(start, min(start + _PIECE, end))
        lasts = np.flatnonzero(data < 0x80)
        lasts = lasts[: len(lasts) // 2 * 2] if keyed else lasts
        firsts = np.concatenate([[0], lasts[:-1] + 1])
        lengths = lasts - firsts + 1
        if len(lasts) == 0 or lengths.max() > 10:
            self.fail("a varint of more than 10 bytes", start)
        if keyed:
            firsts, lengths = firsts[1::2], lengths[1::2]
        values = np.zeros(len(firsts), np.uint64)
        for i in range(lengths.max()):  # the i-th byte of each that has so many
            longer = np.flatnonzero(lengths > i)
            values[longer] |= (data[firsts[longer] + i] & 0x7F).astype(np.uint64) << np.uint64(7 * i)
        return values.view(np.int64), start + int(lasts[-1]) + 1

    def fixed_count(self, number: int, size: int) -> int:
        """How many numbers of 4 or 8 bytes a repeated field holds."""
        return sum((end - start) // (head + size) for start, end, head in self._fixed(number, size))

    def fixed_pieces(self, number: int, size: int) -> Iterator[np.ndarray]:
        """The numbers of a repeated float (`size` 4) or double (8) field, as in the file: uint8 [count, size] each."""
        for start, end, head in self._fixed(number, size):
            yield self.source.view(start, end).reshape(-1, head + size)[:, head:]

    def _fixed(self, number: int, size: int) -> Iterator[tuple[int, int, int]]:
        """Where they lie, and the bytes of the key before each."""
        for start, end, keyed in self._numbers(number, FIXED32 if size == 4 else FIXED64):
            head = self._varint(start, end)[1] - start if keyed else 0
            if (end - start) % (head + size):
                self.fail(f"field {number} holds {end - start} bytes, no multiple of {size}", start)
            yield start, end, head

    def fixed_span(self, number: int, size: int) -> tuple[int, int] | None:
        """Where those numbers lie, if that is in one piece."""
        runs = self._of(number, FIXED32 if size == 4 else FIXED64, LENGTH)
        return (runs[0].start, runs[0].end) if len(runs) == 1 and runs[0].count == 1 else None

    def _decode(self, number: int, start: int, end: int) -> str:
        self.charge(end - start)
        try:
            return str(self.source.data[start:end], "utf-8")
        except UnicodeDecodeError:
            self.fail(f"field {number} is not UTF-8 text", start)


def _signed(value: int) -> int:
    """Two's complement of 64 bits, as negative numbers are written."""
    return value - (1 << 64) if value >= 1 << 63 else value
