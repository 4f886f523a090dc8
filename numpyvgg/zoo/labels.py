"""What a network's outputs mean: years, genders, groups of ages, or classes without a name.

The number of classes does not say it. Food-101 has 101 classes that are no years, and of two classes either may be the
women. So a network has labels only where it is one that this package knows, or where its user says what they are.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import ArgumentError
from ..files.source import read_small

#: What a user may call the labels, besides the path of a file with a label a line
NAMED_LABELS = ("age", "gender", "gender-male-first")


@dataclass(frozen=True)
class Labels:
    """The meaning of a network's classes.

    Attributes
    ----------
    kind : {"age", "gender", "age_group", "class"}
        ``"age"``: each class is a year of life, and the answer is the expected value over all of them. The others: the
        answer is the most probable class.
    names : tuple of str
        One for each class, an age's years included; empty where nobody knows.
    """

    kind: str = "class"
    names: tuple[str, ...] = ()

    @property
    def years(self) -> list[float]:
        """Of an age: the years that the classes stand for."""
        return [float(name) for name in self.names]

    def name(self, index: int) -> str:
        """What a class is called: ``class 7`` where nobody knows."""
        return self.names[index] if self.names else f"class {index}"

    def __str__(self) -> str:
        if self.kind == "age":
            return f"age, years {self.names[0]} to {self.names[-1]}" if self.names else "age in years"
        return ", ".join(f"{index} {name}" for index, name in enumerate(self.names)) or "unknown"


def ages(classes: int) -> Labels:
    """Years from 0 on."""
    return Labels("age", tuple(map(str, range(classes))))


UNKNOWN = Labels()
GENDER = Labels("gender", ("female", "male"))
MALE_FIRST = Labels("gender", ("male", "female"))


def labels_for(given: str | os.PathLike[str] | tuple[str, ...] | Labels, classes: int, network: str) -> Labels:
    """The labels that a user gives a network.

    Parameters
    ----------
    given : {"age", "gender", "gender-male-first"}, path, tuple of str or Labels
        A path is that of a text file (UTF-8) with a label a line, in the order of the classes.
    classes : int
        How many the network has; one is a regression, which can only be an age.
    network : str
        For errors.

    Raises
    ------
    ArgumentError
        The file cannot be read, or there are more or fewer labels than classes.
    """
    if isinstance(given, Labels):
        labels = given
    elif not isinstance(given, str | os.PathLike | Sequence) or isinstance(given, bytes):
        raise ArgumentError(
            f"labels {given!r} of {network}: give {', '.join(NAMED_LABELS)}, the path of a file with a label a line, "
            "or a tuple of names"
        )
    elif given == "age":
        labels = ages(classes) if classes > 1 else Labels("age")
    elif given in ("gender", "gender-male-first"):
        labels = GENDER if given == "gender" else MALE_FIRST
    else:
        labels = Labels("class", _names(given))
    regression = classes == 1 and labels.kind == "age"
    if not regression and labels.names and len(labels.names) != classes:
        shown = given if isinstance(given, str | os.PathLike) else labels
        raise ArgumentError(f"labels {shown}: {len(labels.names)} labels for the {classes} outputs of {network}")
    return labels


#: Bytes of a file of labels; ImageNet's 21,841 names have a quarter of it
_LARGEST = 2_000_000


def _names(given: str | os.PathLike[str] | tuple[str, ...]) -> tuple[str, ...]:
    if not isinstance(given, str | os.PathLike):
        return tuple(map(str, given))
    try:
        lines = read_small(given, _LARGEST).decode("utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no text in UTF-8"
        raise ArgumentError(
            f"labels {os.fspath(given)}: cannot be read: {reason}; give {', '.join(NAMED_LABELS)} or a file with a "
            "label a line"
        ) from None
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise ArgumentError(f"labels {os.fspath(given)}: the file has no lines")
    return tuple(line.strip() for line in lines)
