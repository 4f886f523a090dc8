"""Exercises about a network's file: varints, fields, weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..files import write
from .exercise import Exercise

Cases = Iterator[tuple[Any, ...]]
WALKTHROUGH = "walkthrough 1"


def read_varint(data: bytes, position: int) -> tuple[int, int]:
    """A number of protobuf's begins at data[position]: seven bits a byte, the lowest first; the high bit of a byte
    says that another follows. Return the number and the position after it.
    """
    value, shift = 0, 0
    while data[position] >= 0x80:
        value |= (data[position] & 0x7F) << shift
        position, shift = position + 1, shift + 7
    return value | data[position] << shift, position + 1


def write_varint(value: int) -> bytes:
    """The other way: the bytes of a number, as few as possible."""
    return write.varint(value)


def find_field(message: bytes, number: int) -> bytes:
    """A message is a row of fields. Each begins with a varint, field number << 3 | wire type. Type 0 is followed by a
    varint, type 2 by a length (a varint) and so many bytes; there are no others here. Return the bytes of the field of
    that number, which is of type 2.
    """
    position = 0
    while True:
        key, position = read_varint(message, position)
        value, position = read_varint(message, position)
        if key & 7 == 2:
            if key >> 3 == number:
                return message[position : position + value]
            position += value


def read_weights(raw_data: bytes, dims: list[int]) -> np.ndarray:
    """A tensor's raw_data: float32, the lowest byte first, the last axis fastest. Return an array of shape dims."""
    return np.frombuffer(raw_data, "<f4").reshape(dims)


# ---------------------------------------------------------------------- what is tried


def _numbers(rng: np.random.Generator) -> Iterator[int]:
    """Small numbers, then those around a multiple of seven bits, then any."""
    yield from (0, 1, 127, 128, 300, 16383, 16384)
    bits = 7
    while True:
        bits = min(bits + 1, 62)
        yield int(rng.integers(1 << bits))


def _varints(rng: np.random.Generator) -> Cases:
    for value in _numbers(rng):
        before = rng.bytes(int(rng.integers(3)))
        yield before + write.varint(value) + rng.bytes(2), len(before)


def _values(rng: np.random.Generator) -> Cases:
    return ((value,) for value in _numbers(rng))


def _messages(rng: np.random.Generator) -> Cases:
    """A few fields, one of them a number; the string that is looked for may be longer than 127 bytes."""
    longest = 3
    while True:
        longest = min(longest + 8, 300)
        numbers = [int(number) for number in rng.permutation(np.arange(1, 20))[:4]]
        wanted = numbers[int(rng.integers(4))]
        most = [longest if number == wanted else min(longest, 20) for number in numbers]
        fields = [write.bytes_field(n, rng.bytes(int(rng.integers(1, m)))) for n, m in zip(numbers, most, strict=True)]
        fields.insert(int(rng.integers(4)), write.integer_field(21, int(rng.integers(1, 1000))))
        yield b"".join(fields), wanted


def _tensors(rng: np.random.Generator) -> Cases:
    side = 1
    while True:
        side = min(side + 1, 5)
        dims = [int(size) for size in rng.integers(1, side + 1, 4)]
        yield rng.standard_normal(dims).astype("<f4").tobytes(), dims


# ---------------------------------------------------------------------- known mistakes


def _groups(data: bytes, position: int) -> tuple[list[int], int]:
    """A varint's groups of seven bits, and the position after it."""
    end = read_varint(data, position)[1]
    return [byte & 0x7F for byte in data[position:end]], end


def _joined(groups: list[int], bits: int = 7) -> int:
    return sum(group << bits * i for i, group in enumerate(groups))


def _first_byte(data: bytes, position: int) -> tuple[int, int]:
    return data[position] & 0x7F, position + 1


def _most_first(data: bytes, position: int) -> tuple[int, int]:
    groups, end = _groups(data, position)
    return _joined(groups[::-1]), end


def _high_bits_kept(data: bytes, position: int) -> tuple[int, int]:
    end = read_varint(data, position)[1]
    value = 0
    for i, byte in enumerate(data[position:end]):
        value |= byte << 7 * i
    return value, end


def _eight_bits(data: bytes, position: int) -> tuple[int, int]:
    groups, end = _groups(data, position)
    return _joined(groups, bits=8), end


def _length_returned(data: bytes, position: int) -> tuple[int, int]:
    value, end = read_varint(data, position)
    return value, end - position


def _groups_of(value: int) -> list[int]:
    return _groups(write.varint(value), 0)[0]


def _written(groups: list[int]) -> bytes:
    """Groups as bytes, the high bit set in all but the last."""
    return bytes([group | 0x80 for group in groups[:-1]] + groups[-1:])


def _short_lengths(message: bytes, number: int) -> bytes:
    """Takes every length for one byte."""
    position = 0
    while True:
        key, position = read_varint(message, position)
        if key & 7 == 2:
            size, position = message[position], position + 1
            if key >> 3 == number:
                return message[position : position + size]
            position += size
        else:
            position = read_varint(message, position)[1]


def _with_length(message: bytes, number: int) -> bytes:
    value = find_field(message, number)
    return write.varint(len(value)) + value


def _next_string(message: bytes, number: int) -> bytes:
    """The first string, whatever its number."""
    position = 0
    while True:
        key, position = read_varint(message, position)
        value, position = read_varint(message, position)
        if key & 7 == 2:
            return message[position : position + value]


EXERCISES = [
    Exercise(
        read_varint,
        WALKTHROUGH,
        15,
        _varints,
        {
            "the number goes on while the high bit of its bytes is set; you read one byte.": _first_byte,
            "the first byte has the lowest seven bits; yours are put together the other way round.": _most_first,
            "the high bit says that another byte follows and is no part of the number: mask it.": _high_bits_kept,
            "a byte carries seven bits of the number, so each moves by seven, not eight.": _eight_bits,
            "return the position after the number, not how many bytes it has.": _length_returned,
        },
    ),
    Exercise(
        write_varint,
        WALKTHROUGH,
        15,
        _values,
        {
            "zero has a byte too: 0x00.": lambda value: write.varint(value) if value else b"",
            "the lowest seven bits come first; yours come last.": lambda value: _written(_groups_of(value)[::-1]),
            "all bytes but the last have their high bit set; yours have none.": lambda value: bytes(_groups_of(value)),
            "the last byte's high bit is clear, since nothing follows it.": lambda value: bytes(
                group | 0x80 for group in _groups_of(value)
            ),
        },
    ),
    Exercise(
        find_field,
        WALKTHROUGH,
        30,
        _messages,
        {
            "a length is a varint, and those of 128 and more have two bytes; you read one.": _short_lengths,
            "return the bytes that follow the length, without it.": _with_length,
            "you return the first field of type 2, whatever its number is.": _next_string,
        },
    ),
    Exercise(
        read_weights,
        "walkthrough 2",
        5,
        _tensors,
        {
            "the lowest byte comes first: little-endian, '<f4'.": lambda raw_data, dims: np.frombuffer(
                raw_data, ">f4"
            ).reshape(dims),
            "the last axis is the fastest, as in NumPy; yours makes the first one fastest.": lambda raw_data, dims: (
                np.frombuffer(raw_data, "<f4").reshape(dims, order="F")
            ),
            "the shape is dims as it stands; yours is reversed.": lambda raw_data, dims: np.frombuffer(
                raw_data, "<f4"
            ).reshape(dims[::-1]),
            "the numbers have shape dims: reshape them.": lambda raw_data, dims: np.frombuffer(raw_data, "<f4"),
        },
    ),
]
