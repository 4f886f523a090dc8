"""Benchmarks whose labels are in the names of the photographs, or in texts beside them line by line."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from ...errors import ArgumentError
from ..table import Row, Table, gender_of, number_of, photographs
from .delimited import open_text

_JPEG = r"\.jpe?g"
_RACES = ("White", "Black", "Asian", "Indian", "other")


def _by_name(path: Path, pattern: str, form: str, row: Callable[[str, re.Match[str]], Row]) -> Table:
    """A row for each photograph in a folder whose path ends as the pattern says; the others are left out."""
    table = Table(path)
    compiled = re.compile(rf"(?:.*[/\\])?{pattern}", re.IGNORECASE | re.DOTALL)
    for image in photographs(table):
        match = compiled.fullmatch(image)
        if match:
            table.add(row(image, match))
        else:
            table.leave_out(image, f"its name is not {form}")
    return table


def fgnet(path: Path, protocol: str) -> Table:
    """FG-NET: ``001A02.JPG`` is person 1 at the age of 2; ``010A07a`` is another photograph of the same."""
    return _by_name(
        path,
        rf"(\d{{3}})A(\d{{2}})[a-z]?{_JPEG}",
        "PERSON A AGE, as 001A02.JPG",
        lambda image, match: Row(image, float(match[2]), subject=match[1]),
    )


def agedb(path: Path, protocol: str) -> Table:
    """AgeDB: ``{number}_{name}_{age}_{m or f}.jpg``; names may have spaces."""
    return _by_name(
        path,
        rf"\d+_(.+)_(\d+)_([mf]){_JPEG}",
        "NUMBER_NAME_AGE_GENDER, as 1_MariaCallas_35_f.jpg",
        lambda image, match: Row(image, float(match[2]), gender=gender_of(match[3]), subject=match[1]),
    )


def utkface(path: Path, protocol: str) -> Table:
    """UTKFace: ``{age}_{gender}_{race}_{date}.jpg``, aligned ones ``.jpg.chip.jpg``; gender 0 is male, 1 female."""
    table = _by_name(
        path,
        rf"(\d+)_([01])_([0-4])_\d+{_JPEG}(?:\.chip{_JPEG})?",
        "AGE_GENDER_RACE_DATE: gender or race is missing",
        lambda image, match: Row(
            image, float(match[1]), gender=("male", "female")[int(match[2])], race=_RACES[int(match[3])]
        ),
    )
    table.remarks.append(
        "ages of UTKFace were estimated by DEX and then checked by people: a DEX figure is partly circular"
    )
    return table


def afad(path: Path, protocol: str) -> Table:
    """AFAD: ``{age}/{111 for male, 112 for female}/{id}-{number}.jpg``."""
    return _by_name(
        path,
        rf"(\d+)[/\\](11[12])[/\\](\d+)-\d+{_JPEG}",
        "AGE/GENDER/ID-NUMBER, as 18/111/1234-0.jpg",
        lambda image, match: Row(
            image, float(match[1]), gender="male" if match[2] == "111" else "female", subject=match[3]
        ),
    )


def cacd_names(path: Path) -> Table:
    """CACD2000 without its celebrity2000_meta.mat: ``{age}_{name}_{number}.jpg``, which no source confirms."""
    table = _by_name(
        path,
        rf"(\d+)_(.+)_\d+{_JPEG}",
        "AGE_NAME_NUMBER, as 53_Robin_Williams_0001.jpg",
        lambda image, match: Row(image, float(match[1]), subject=match[2]),
    )
    table.remarks.append("ages and persons were taken from names, AGE_NAME_NUMBER: celebrity2000_meta.mat is not there")
    return table


def megaage(path: Path, protocol: str) -> Table:
    """MegaAge-Asian: ``list/{split}_name.txt`` and ``list/{split}_age.txt``, line by line; images in ``{split}/``."""
    table = Table(path)
    names, ages = (_lines(path / "list" / f"{protocol}_{what}.txt") for what in ("name", "age"))
    if len(names) != len(ages):
        raise ArgumentError(
            f"{path / 'list'}: {len(names)} names and {len(ages)} ages of {protocol}: they do not match"
        )
    for name, text in zip(names, ages, strict=True):
        age = number_of(text)
        if age is None:
            table.leave_out(f"{protocol}/{name}", "an age that is no number")
        elif not table.repeats(f"{protocol}/{name}"):
            table.add(Row(f"{protocol}/{name}", age))
    return table


def _lines(file: Path) -> list[str]:
    try:
        with open_text(file) as stream:
            return [line.strip() for line in stream.read().splitlines() if line.strip()]
    except OSError as error:
        raise ArgumentError(f"{file}: cannot be read: {error.strerror or error}") from None
