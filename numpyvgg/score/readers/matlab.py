"""Benchmarks whose labels are in a MATLAB file (level 5, read by SciPy): IMDB and WIKI, CACD2000."""

from __future__ import annotations

import datetime
import math
import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import ArgumentError, MissingExtraError
from ...files.source import open_plain
from ..table import Box, Row, Table
from .names import cacd_names

#: MATLAB counts days from the year 0, Python from the year 1
_MATLAB_DAYS = 366


def structure(file: Path, columns: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The columns of the one struct in a file that has them all.

    Raises
    ------
    MissingExtraError
        SciPy is not installed.
    ArgumentError
        The file cannot be read, or holds no such struct.
    """
    try:
        from scipy.io import loadmat
    except ImportError:
        raise MissingExtraError(f"{file}: reading it needs SciPy: pip install scipy") from None
    try:
        stream = os.fdopen(open_plain(file), "rb")
    except OSError as error:
        raise ArgumentError(f"{file}: cannot be read: {error.strerror or error}") from None
    try:
        with stream:
            variables = loadmat(stream)
    except Exception as error:  # zlib, OSError, struct.error ...: of a file that is damaged in any way
        raise ArgumentError(f"{file}: cannot be read as a MATLAB file: {error}; fetch it again") from None
    for value in variables.values():
        if isinstance(value, np.ndarray) and set(columns) <= set(value.dtype.names or ()) and value.size == 1:
            found = {name: np.ravel(value.flat[0][name]) for name in value.dtype.names}
            if len({len(found[name]) for name in columns}) == 1:
                return found
    raise ArgumentError(f"{file}: holds no struct with the fields {', '.join(columns)}, all of one length")


def _text(cell: Any) -> str:
    """The string in a cell; a cell may be an array of one, or of none."""
    cells = np.ravel(cell)
    return str(cells[0]) if cells.size else ""


def _number(cell: Any) -> float:
    """The number in a cell; NaN where it holds none, or several."""
    cells = np.ravel(cell)
    if cells.size != 1 or cells.dtype.kind == "c":
        return math.nan
    try:
        return float(cells[0])
    except (TypeError, ValueError):
        return math.nan


# ---------------------------------------------------------------------- IMDB and WIKI

_FIELDS = ("dob", "photo_taken", "full_path", "gender", "face_location", "face_score", "second_face_score")
#: The names of both: the person, the date of birth (unpadded in IMDB), the year of the photograph
_NAME = re.compile(r"(?:.*/)?(nm\d+|\d+)(?:_rm\d+)?_(\d+)-(\d+)-(\d+)_(\d+)\.jpg")


def birthday(datenum: float) -> datetime.date | None:
    """The day that MATLAB's number stands for; None before the year 1 and after 9999."""
    try:
        return datetime.date.fromordinal(int(datenum) - _MATLAB_DAYS)
    except (ValueError, OverflowError):
        return None


def age_in_july(born: datetime.date, year: int) -> int:
    """Years of age on 1 July of the year in which the photograph was taken: the authors' rule."""
    return year - born.year - (born.month >= 7)


def imdb(path: Path, protocol: str) -> Table:
    """IMDB: ``imdb.mat``, whose photographs lie beside it in 100 folders."""
    return _imdb_wiki(path, "imdb.mat", protocol)


def wiki(path: Path, protocol: str) -> Table:
    """WIKI: ``wiki.mat``, in the same form."""
    return _imdb_wiki(path, "wiki.mat", protocol)


def _imdb_wiki(path: Path, name: str, protocol: str) -> Table:
    file = path / name if path.is_dir() else path
    table = Table(file.parent)
    columns = structure(file, _FIELDS)
    cropped = file.parent.resolve().name.endswith("_crop")
    for i in range(len(columns["dob"])):
        row = {field: _number(columns[field][i]) for field in _FIELDS}
        image = _text(columns["full_path"][i])
        if table.repeats(image):
            continue
        born, year = birthday(row["dob"]), int(np.nan_to_num(row["photo_taken"]))
        box = None if cropped else _box(columns["face_location"][i])
        reason = _unusable(image, born, year, row, protocol)
        if not reason and box is None and not cropped:
            reason = "no box of the face (face_location)"
        if reason or born is None:
            table.leave_out(image, reason)
            continue
        gender = {0.0: "female", 1.0: "male"}.get(row["gender"], "")
        match = _NAME.fullmatch(image)
        table.add(Row(image, age_in_july(born, year), gender=gender, subject=match[1] if match else "", box=box))
    table.remarks.append("age: on 1 July of the photograph's year, as the authors count it")
    how = (
        "photographs are cropped already (the folder ends in _crop)"
        if cropped
        else "faces are cut out at face_location"
    )
    table.remarks.append(how)
    table.remarks.append(
        "there is no official test split; the networks named imdb-wiki were trained on these photographs"
    )
    return table


def _unusable(image: str, born: datetime.date | None, year: int, row: dict[str, float], protocol: str) -> str:
    """Why a row is left out; "" where it is not."""
    if born is None:
        return "a date of birth before the year 1"
    match = _NAME.fullmatch(image)
    if match is None:
        return "a name that is not PERSON_BIRTHDAY_YEAR.jpg"
    if tuple(map(int, match.groups()[1:])) != (born.year, born.month, born.day, year):
        return "dates that are others in its name than in its row"
    age = age_in_july(born, year)
    if not 0 <= age <= 100:
        return "an age below 0" if age < 0 else "an age above 100"
    if protocol == "all":
        return ""
    if not math.isfinite(row["face_score"]):
        return "no face was found (face_score is not finite)"
    if row["face_score"] < 1.0:
        return "a face_score below 1"
    if not math.isnan(row["second_face_score"]):
        return "a second face (second_face_score)"
    return "" if row["gender"] in (0, 1) else "no gender"


def _box(cell: Any) -> Box | None:
    """MATLAB's pixels begin at 1, and the last one belongs to the box."""
    sides = [_number(side) for side in np.ravel(cell)]
    if len(sides) != 4 or not np.isfinite(sides).all() or sides[2] < sides[0] or sides[3] < sides[1]:
        return None
    return sides[0] - 1, sides[1] - 1, sides[2], sides[3]


# ---------------------------------------------------------------------- CACD2000


def cacd(path: Path, protocol: str) -> Table:
    """CACD2000: ``celebrity2000_meta.mat``; ranks 1 and 2 validate, 3 to 5 test, the others train."""
    file = path / "celebrity2000_meta.mat"
    if not file.exists():
        return cacd_names(path)
    columns = structure(file, ("age", "identity", "rank", "name"))
    table, others = Table(path / "CACD2000" if (path / "CACD2000").is_dir() else path), 0
    for i in range(len(columns["age"])):
        image = _text(columns["name"][i])
        age, rank, person = (_number(columns[name][i]) for name in ("age", "rank", "identity"))
        split = "val" if rank <= 2 else "test" if rank <= 5 else "train"
        if math.isnan(rank):
            table.leave_out(image, "a rank that is no number")
        elif split != protocol:
            others += 1
        elif not table.repeats(image):
            table.add(Row(image, age, subject=f"{person:.0f}" if math.isfinite(person) else ""))
    table.remarks.append(
        f"split: {protocol}, by rank (1 and 2 val, 3 to 5 test, others train); {others} rows of others"
    )
    return table
