"""Lines of CSV that stay valid, and harmless in a spreadsheet, for every name that a file can have."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Sequence

from ..errors import printable

#: With these, spreadsheets begin a formula (OWASP, "CSV injection"); the wide ones are those of East Asian keyboards
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def csv_path(path: str) -> str:
    """A path as it stands in a cell of CSV: the same file, but never a spreadsheet's formula."""
    return os.path.join(os.curdir, path) if path.startswith(_FORMULA) else path


def csv_line(cells: Sequence[object], in_file: bool = False) -> str:
    """A row of CSV without its line end; text that a spreadsheet would compute gets an apostrophe before it.

    On a terminal control characters are escaped, as in all that is printed there; in a file they are kept, quoted.
    `in_file` says that the row is for a file, whatever standard output is.
    """
    plain = printable if sys.stdout.isatty() and not in_file else str
    harmless = [plain(_as_text(cell)) if isinstance(cell, str) else cell for cell in cells]
    # Python before 3.12.3 quotes a line break in a name only where it is a part of the line end.
    return csv.writer(_Line(), lineterminator="\r\n").writerow(harmless)[:-2]


def line_bytes(line: str) -> bytes:
    """A line as it stands in a file: names are written with the very bytes that they have."""
    return f"{line}\n".encode("utf-8", "surrogateescape")


def _as_text(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


class _Line:
    """What the csv module writes a row to, in order to have it back as a string."""

    def write(self, line: str) -> str:
        return line
