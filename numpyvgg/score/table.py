"""The one table that every benchmark is read into: a row for each photograph, with whatever is known of it."""

from __future__ import annotations

import hashlib
import math
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path

from ..errors import ArgumentError
from ..files.lines import csv_line, csv_path, line_bytes
from ..photo.folders import find_photographs

#: Oldest age that is believed, in years
OLDEST = 122.0
_GENDERS = {"f": "female", "m": "male", "female": "female", "male": "male", "woman": "female", "man": "male"}

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Row:
    """One photograph with its labels; what is not known is None or empty.

    Attributes
    ----------
    image : str
        The path of the photograph, in the table's folder.
    age, std : float or None
        In years; of an age that people guessed, the mean and the standard deviation of their guesses.
    gender : {"female", "male", ""}
    group, race : str
        The group of ages, and the group of people, in the benchmark's own words.
    fold, subject : str
        The fold of a cross-validation, and the person, who may be in several photographs.
    box : tuple of float or None
        The face: left, top, right, bottom in pixels of the photograph, through the pixels (the first covers 0 to 1).
    """

    image: str
    age: float | None = None
    std: float | None = None
    gender: str = ""
    group: str = ""
    race: str = ""
    fold: str = ""
    subject: str = ""
    box: Box | None = None

    def cells(self) -> list[object]:
        """The row as cells of CSV, in the order of `COLUMNS`."""
        box = "" if self.box is None else " ".join(f"{side:.9g}" for side in self.box)
        numbers = ["" if number is None else f"{number:.9g}" for number in (self.age, self.std)]
        return [csv_path(self.image), *numbers, self.gender, self.group, self.race, self.fold, self.subject, box]


COLUMNS = tuple(each.name for each in fields(Row))


@dataclass
class Table:
    """A benchmark's photographs, and what of its list could not be used.

    Attributes
    ----------
    folder : Path
        Which the rows' images are in.
    rows : list of Row
    unused : list of (str, str)
        What the list has and the table has not, each with its reason.
    lost : Counter of str
        Labels of rows in the table that could not be used, by reason.
    remarks : list of str
        What a reader of the scores has to know: which columns were taken for what, which rule was used.
    edges : tuple of float
        The youngest age of each group, where the protocol cuts ages into groups; empty: the group that is nearest.
    """

    folder: Path
    rows: list[Row] = field(default_factory=list)
    unused: list[tuple[str, str]] = field(default_factory=list)
    lost: Counter[str] = field(default_factory=Counter)
    remarks: list[str] = field(default_factory=list)
    edges: tuple[float, ...] = ()
    _seen: set[str] = field(default_factory=set, repr=False)

    def leave_out(self, what: str, reason: str) -> None:
        """Count something that cannot be used under its reason."""
        self.unused.append((what, reason))

    def repeats(self, image: str) -> bool:
        """Whether an earlier row has this image; it is then left out."""
        if image in self._seen:
            self.leave_out(image, "an image that an earlier row has")
            return True
        self._seen.add(image)
        return False

    def add(self, row: Row) -> None:
        """Add a row; one that says nothing, or something impossible, is left out."""
        if row.age is not None and not 0 <= row.age <= OLDEST:
            self.leave_out(row.image, f"an age that is impossible: not from 0 to {OLDEST:g}")
        elif row.std is not None and not 0 <= row.std < math.inf:
            self.leave_out(row.image, "a standard deviation that is impossible")
        elif row.age is None and not row.gender and not row.group:
            self.leave_out(row.image, "no label")
        else:
            self.rows.append(row)

    @property
    def paths(self) -> list[str]:
        """Of all images, in the order of the rows."""
        return [os.path.join(self.folder, row.image) for row in self.rows]

    def lines(self) -> Iterator[bytes]:
        """The table as lines of CSV."""
        header: list[object] = [*COLUMNS]
        for cells in (header, *(row.cells() for row in self.rows)):
            yield line_bytes(csv_line(cells, in_file=True))

    def sha256(self) -> str:
        """Of the lines: two tables are the same where this is."""
        digest = hashlib.sha256()
        for line in self.lines():
            digest.update(line)
        return digest.hexdigest()


def gender_of(text: str) -> str:
    """``female`` or ``male`` for the words and letters that lists have; "" for anything else."""
    return _GENDERS.get(text.strip().lower(), "")


def number_of(text: str) -> float | None:
    """A cell's number; None where it has none."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def photographs(table: Table) -> list[str]:
    """The photographs in the table's folder and below it, as rows have them; other files are left out by their kind."""
    if not table.folder.is_dir():
        raise ArgumentError(f"{table.folder}: there is no such folder")
    found = find_photographs([str(table.folder)])
    for path in found.skipped:
        table.leave_out(os.path.relpath(path, table.folder), "not a photograph by its name")
    return [os.path.relpath(path, table.folder) for path in found.paths]
