"""Benchmarks whose labels are in a text with columns: any CSV, ChaLearn LAP, APPA-REAL, MORPH II, FairFace.

A column is found by its name, of which several are known. Where a text has no line of names, the benchmark says which
column is which, and the scores say that this was taken on trust.
"""

from __future__ import annotations

import codecs
import csv
import os
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from io import TextIOWrapper
from pathlib import Path

from ...errors import ArgumentError
from ...files.source import open_plain
from ..table import COLUMNS, Box, Row, Table, gender_of, number_of

#: Other names of the table's columns, lower case, in published lists
NAMES: dict[str, tuple[str, ...]] = {
    "image": ("image", "file_name", "filename", "file", "path", "photo"),
    "age": ("age", "mean", "apparent_age_avg"),
    "std": ("std", "stdv", "stddev", "apparent_age_std"),
    **{name: (name,) for name in ("gender", "group", "race", "fold", "subject", "box")},
}
#: Four columns that are a box together, as IMDB-Clean has them
CORNERS = ("x_min", "y_min", "x_max", "y_max")
Record = dict[str, str]


def records(
    file: Path,
    table: Table,
    names: Mapping[str, Sequence[str]],
    unnamed: Sequence[str] = (),
    delimiters: str = ",;\t",
    required: Sequence[str] = ("image",),
) -> Iterator[Record]:
    """The rows of a text, by the names of the table's columns.

    Parameters
    ----------
    file : Path
    table : Table
        Gets the remark which columns were used, and the lines that have other numbers of cells.
    names : mapping of str to sequence of str
        For each column of the table, what it may be called.
    unnamed : sequence of str
        The columns of a text that has no line of names; without it such a text is refused.
    required : sequence of str
        The columns without which a text is refused, `image` among them.

    Raises
    ------
    ArgumentError
        The text cannot be read, has no column of images or two of one name, or leaves a quotation mark open.
    """
    try:
        with open_text(file) as stream:
            first = stream.readline()
            delimiter = max(delimiters, key=first.count)
            cells = next(csv.reader([first], delimiter=delimiter), [])
            columns = _columns(file, cells, names)
            missing = [name for name in required if name not in columns]
            if missing:
                if not unnamed:
                    wanted = " or ".join(names[missing[0]])
                    named = textwrap.shorten(", ".join(cells), 80, placeholder=" ...")
                    raise ArgumentError(f"{file}: its first line names no column {wanted}, but {named}")
                columns = {name: place for place, name in enumerate(unnamed)}
                stream.seek(0)
                table.remarks.append(f"{file.name} names no columns: they were taken as {', '.join(unnamed)}")
            else:
                used = ", ".join(f"{cells[place]} as {name}" for name, place in columns.items())
                table.remarks.append(f"columns of {file.name}: {used}")
            for number, row in enumerate(csv.reader(stream, delimiter=delimiter, strict=True), start=1):
                if len(row) > max(columns.values()) and not row[columns["image"]].strip():
                    table.leave_out(f"{file.name}, row {number}", "a row that names no image")
                elif len(row) > max(columns.values()):
                    yield {name: row[place].strip() for name, place in columns.items()}
                elif row:
                    table.leave_out(f"{file.name}, row {number}", "a row with fewer cells than there are columns")
    except csv.Error as error:
        raise ArgumentError(f"{file}: cannot be read: {error}; is a quotation mark left open?") from None
    except OSError as error:
        raise ArgumentError(f"{file}: cannot be read: {error.strerror or error}") from None


def open_text(file: Path) -> TextIOWrapper:
    """Open a text; one that no text with columns can be is refused by what it is."""
    binary = os.fdopen(open_plain(file), "rb")
    start = binary.read(512)
    binary.seek(0)
    if b"\0" in start:
        binary.close()
        if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise ArgumentError(f"{file}: is a text in UTF-16: save it as UTF-8")
        raise ArgumentError(f"{file}: is a photograph or another binary file, and no text with columns")
    return TextIOWrapper(binary, encoding="utf-8-sig", errors="surrogateescape", newline="")


def _columns(file: Path, cells: Sequence[str], names: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Where each of the table's columns is, by the names in the first line."""
    lower = [cell.strip().lower() for cell in cells]
    for name in (known for all_names in names.values() for known in all_names):
        if lower.count(name) > 1:
            raise ArgumentError(f"{file}: two columns are called {name}: name or remove one of them")
    found = {name: [lower.index(known) for known in all_names if known in lower] for name, all_names in names.items()}
    return {name: places[0] for name, places in found.items() if places}


def read_records(file: Path, table: Table, rows: Iterator[Record]) -> Table:
    """Add rows to a table: of each image the first."""
    for record in rows:
        image = os.path.normpath(_plain(record["image"]))
        if table.repeats(image):
            continue
        wrong = [name for name in ("age", "std") if record.get(name) and number_of(record[name]) is None]
        box = _box(record)
        if wrong:
            table.leave_out(image, f"its {wrong[0]} is no number")
        elif box is None and ("box" in record or CORNERS[0] in record):
            table.leave_out(image, "no box of the face: left, top, right, bottom are needed")
        else:
            gender = gender_of(record.get("gender", ""))
            if record.get("gender") and not gender:
                table.lost[f"gender {record['gender']!r} is neither female nor male"] += 1
            words = {name: _plain(record.get(name, "")) for name in ("group", "race", "fold", "subject")}
            age, std = (number_of(record.get(name, "")) for name in ("age", "std"))
            table.add(Row(image, age, std, gender, box=box, **words))
    return table


def _plain(cell: str) -> str:
    """A cell without the apostrophe that keeps spreadsheets from computing it."""
    return cell[1:] if cell[:1] == "'" and cell[1:2] in tuple("=+-@") else cell


def _box(record: Record) -> Box | None:
    text = record.get("box") or " ".join(record.get(corner, "") for corner in CORNERS)
    sides = [number_of(word) for word in text.replace(",", " ").replace(";", " ").split()]
    known = [side for side in sides if side is not None]
    if len(sides) != 4 or len(known) != 4 or known[2] <= known[0] or known[3] <= known[1]:
        return None
    return known[0], known[1], known[2], known[3]


# ---------------------------------------------------------------------- the formats


def csv_table(path: Path, protocol: str) -> Table:
    """Any benchmark as a table with the columns of `Row`, images relative to the file's folder; extra columns stay."""
    table = Table(path.parent)
    if path.is_dir():
        raise ArgumentError(f"{path}: is a folder: give the file that has the columns {', '.join(COLUMNS)}")
    return read_records(path, table, records(path, table, {**NAMES, **{corner: (corner,) for corner in CORNERS}}))


def lap2015(path: Path, protocol: str) -> Table:
    """ChaLearn LAP 2015: a text of image, mean and deviation, whose layout no source describes."""
    table = Table(path.parent)
    if path.is_dir():
        raise ArgumentError(f"{path}: is a folder: give the file of labels (image, mean, standard deviation)")
    return read_records(path, table, records(path, table, NAMES, unnamed=("image", "age", "std")))


def lap2016(path: Path, protocol: str) -> Table:
    """ChaLearn LAP 2016: ``{train,valid,test}_gt.csv``, image,mean,stdv; images beside it, or in the split's folder."""
    table, file = Table(path), path / f"{protocol}_gt.csv"
    split = protocol if (path / protocol).is_dir() else ""
    rows = records(file, table, NAMES, unnamed=("image", "age", "std"))
    return read_records(file, table, ({**row, "image": os.path.join(split, row["image"])} for row in rows))


def appa_real(path: Path, protocol: str) -> Table:
    """APPA-REAL: ``gt_avg_{split}.csv``; the faces that come cropped with 40 % margin where they are there."""
    split, _, kind = protocol.partition("-")
    table, file = Table(path), path / f"gt_avg_{split}.csv"
    names = {**NAMES, "age": ("real_age",), "std": ()} if kind == "real" else NAMES
    rows = []
    for row in records(file, table, names):
        image = os.path.join(split, row["image"])
        crop = f"{image}_face.jpg"
        rows.append({**row, "image": crop if os.path.exists(path / crop) else image})
    cropped = sum(row["image"].endswith("_face.jpg") for row in rows)
    table.remarks.append(f"{cropped} of {len(rows)} images are the set's own crops (_face.jpg)")
    return read_records(file, table, iter(rows))


def morph2(path: Path, protocol: str) -> Table:
    """MORPH II: ``morph_2008_nonCommercial.csv``, or a path of another of its lists."""
    file = path / "morph_2008_nonCommercial.csv" if path.is_dir() else path
    table = Table(file.parent)
    names = {"image": ("photo",), "age": ("age",), "gender": ("gender",), "race": ("race",), "subject": ("id_num",)}
    return read_records(file, table, records(file, table, names))


def fairface(path: Path, protocol: str) -> Table:
    """FairFace: ``fairface_label_{train,val}.csv``; its ages are groups: 0-2, 3-9, 10-19 ... more than 70."""
    table, file = Table(path), path / f"fairface_label_{protocol}.csv"
    names = {"image": ("file",), "group": ("age",), "gender": ("gender",), "race": ("race",)}
    return read_records(file, table, records(file, table, names))
