"""Each benchmark's layout, read into the one table: `delimited`, `names`, `matlab`, `adience`.

A reader takes the path of a folder or a file and the protocol, and gives a `Table`. What it leaves out it counts.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ...errors import ArgumentError
from ...files.source import path_name
from ..table import Table
from . import adience, delimited, matlab, names


@dataclass(frozen=True)
class Format:
    """A benchmark's layout.

    Attributes
    ----------
    title : str
        What the benchmark is called.
    read : callable
        Takes a path and a protocol.
    protocols : tuple of str
        Splits, labels and rules that can be chosen, the default one first.
    cropped : bool
        Whether its photographs are cropped to the face.
    """

    title: str
    read: Callable[[Path, str], Table]
    protocols: tuple[str, ...] = ("all",)
    cropped: bool = True


FORMATS = {
    "csv": Format("a table", delimited.csv_table),
    "imdb": Format("IMDB", matlab.imdb, ("clean", "all")),
    "wiki": Format("WIKI", matlab.wiki, ("clean", "all")),
    "lap2015": Format("ChaLearn LAP 2015", delimited.lap2015, cropped=False),
    "lap2016": Format("ChaLearn LAP 2016", delimited.lap2016, ("test", "valid", "train"), cropped=False),
    "appa-real": Format(
        "APPA-REAL", delimited.appa_real, ("test", "valid", "train", "test-real", "valid-real", "train-real")
    ),
    "fgnet": Format("FG-NET", names.fgnet, ("cross-database",), cropped=False),
    "morph2": Format("MORPH II", delimited.morph2, cropped=False),
    "agedb": Format("AgeDB", names.agedb, cropped=False),
    "utkface": Format("UTKFace", names.utkface),
    "adience": Format("Adience", adience.adience, ("levi-hassner", "mivolo")),
    "cacd": Format("CACD2000", matlab.cacd, ("test", "val", "train"), cropped=False),
    "afad": Format("AFAD", names.afad),
    "megaage": Format("MegaAge-Asian", names.megaage, ("test", "train")),
    "fairface": Format("FairFace", delimited.fairface, ("val", "train")),
}


def read(form: str, path: str | os.PathLike[str], protocol: str | None = None) -> Table:
    """Read a benchmark.

    Parameters
    ----------
    form : str
        One of `FORMATS`.
    path : path
        The folder that its archive unpacks to, or its file of labels.
    protocol : str, optional
        Which split, labels or rule; by default the first of the format's.

    Raises
    ------
    ArgumentError
        There is no such format or protocol, the labels cannot be read, or no row can be used.
    MissingExtraError
        The labels are a MATLAB file, and SciPy is not installed.
    """
    if not isinstance(form, str) or form not in FORMATS:
        raise ArgumentError(f"format {form!r} does not exist; there are {', '.join(FORMATS)}")
    known = FORMATS[form]
    protocol = known.protocols[0] if protocol is None else protocol
    if protocol not in known.protocols:
        raise ArgumentError(f"protocol {protocol!r} does not exist for {form}; there are {', '.join(known.protocols)}")
    name = path_name(path)
    if not os.path.exists(name):
        raise ArgumentError(f"{name or 'an empty path'}: there is no such file or folder")
    table = known.read(Path(path), protocol)
    if not table.rows:
        reason = f": {table.unused[0][0]}: {table.unused[0][1]}" if table.unused else ": there are no rows"
        raise ArgumentError(f"{name}: none of {len(table.unused)} rows can be used{reason}")
    return table
