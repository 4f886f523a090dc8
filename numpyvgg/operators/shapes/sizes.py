"""Sizes that may be unknown, and what rules ask of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any, NoReturn

import numpy as np

from ...errors import ArgumentError

Size = int | None
Shape = tuple[Size, ...]


class Needing(list[Shape]):
    """Shapes of results, and the shape of what has to be held besides them."""

    def __init__(self, results: Sequence[Shape], scratch: Shape):
        super().__init__(results)
        self.scratch = scratch


def refuse(reason: str) -> NoReturn:
    raise ArgumentError(reason)


def product(sizes: Sequence[Size]) -> Size:
    """The product of sizes; None where one is unknown."""
    return None if None in sizes else math.prod(sizes)  # type: ignore[arg-type]


def agree(a: Size, b: Size, what: str) -> Size:
    """The size that both are; either may be unknown."""
    if a is not None and b is not None and a != b:
        refuse(f"{what}: {a} and {b} are not the same")
    return b if a is None else a


def show(shape: Shape) -> list[Any]:
    return ["?" if size is None else size for size in shape]


def broadcast(*shapes: Shape) -> Shape:
    """What shapes come to, aligned at their ends, sizes of 1 stretched."""
    result: list[Size] = []
    for sizes in zip_longest(*(shape[::-1] for shape in shapes), fillvalue=1):
        large = {size for size in sizes if size is not None and size != 1}
        if len(large) > 1:
            refuse(f"shapes {', '.join(str(show(shape)) for shape in shapes)} do not broadcast")
        result.append(large.pop() if large else None if None in sizes else 1)
    return tuple(result[::-1])


def broadcast_to(shape: Shape, target: Shape, name: str) -> None:
    """Refuse a shape that broadcasting does not stretch to another."""
    pairs = zip(shape[::-1], target[::-1], strict=False)
    if len(shape) > len(target) or any(size not in (None, 1, wanted) and wanted is not None for size, wanted in pairs):
        refuse(f"{name} of shape {show(shape)} does not broadcast to {show(target)}")


def axis_of(axis: int, rank: int, name: str = "axis") -> int:
    """An axis counted from the front."""
    if not -rank <= axis < rank:
        refuse(f"{name} {axis} is outside of the {rank} axes that there are")
    return axis % rank


def axes_of(axes: Any, rank: int) -> list[int]:
    """Axes counted from the front, each at most once."""
    found = [axis_of(axis, rank, "axes:") for axis in integers(axes, "axes")]
    if len(set(found)) < len(found):
        refuse(f"axes {found}: an axis is there twice")
    return found


def integers(values: Any, name: str) -> list[int]:
    """A list of integers, be it an attribute or a tensor of one axis."""
    if isinstance(values, np.ndarray):
        if values.ndim != 1:
            refuse(f"{name} has shape {list(values.shape)}, and has to be a list")
        return [int(value) for value in values]
    return list(values)


def single(value: np.ndarray, name: str) -> Any:
    """The one number of a tensor."""
    if value.size != 1:
        refuse(f"{name} has shape {list(value.shape)}, and has to be one number")
    return value.reshape(()).item()


def vector(shape: Shape, size: Size, name: str) -> None:
    """Refuse what is not one number for each of `size`."""
    if len(shape) != 1:
        refuse(f"{name} has shape {show(shape)}, and has to be a list")
    agree(shape[0], size, f"sizes of {name} and of the channels")


def image(input: Shape, what: str) -> tuple[Size, Size, Size, Size]:
    if len(input) != 4:
        refuse(f"{what} has shape {show(input)}, and has to be a batch of images with four axes")
    return input
