"""Plain text for people: tables and numbers with units."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from .errors import printable

if TYPE_CHECKING:
    from tqdm import tqdm


def table(header: Sequence[str], rows: Sequence[Sequence[object]], right: str = "") -> str:
    """Columns as wide as their widest cell.

    Parameters
    ----------
    header : sequence of str
    rows : sequence of sequences
        Cells are shown by `str`, control characters escaped (`errors.printable`); None is an empty cell.
    right : str
        For each column ``>`` (numbers) or ``<`` (words, the default).
    """
    cells = [list(header), *[["" if cell is None else printable(str(cell)) for cell in row] for row in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    sides = right.ljust(len(header), "<")
    lines = ["  ".join(f"{c:{s}{w}}" for c, s, w in zip(row, sides, widths, strict=True)).rstrip() for row in cells]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def human_bytes(count: int) -> str:
    """A number of bytes in decimal units: ``411.0 MB``."""
    size, units = float(count), ["kB", "MB", "GB", "TB"]
    if size < 1000:
        return f"{count} B"
    while size >= 1000 and units:
        size, unit = size / 1000, units.pop(0)
    return f"{size:.1f} {unit}"


def shape_text(shape: Sequence[object]) -> str:
    """``64 x 224 x 224``."""
    return " x ".join(map(str, shape))


def _blocks() -> str:
    """Characters of nine heights, from nothing to full, that the terminal can show."""
    blocks = " ▁▂▃▄▅▆▇█"
    try:
        blocks.encode(getattr(sys.stdout, "encoding", None) or "ascii")  # None: a program without a console
    except UnicodeEncodeError:  # a terminal that has letters only
        blocks = " .:-=+*#@"
    return blocks


def sparkline(heights: Iterable[float]) -> str:
    """One character for each height; the tallest is a full block."""
    return bar_chart(heights, 1)[0]


def bar_chart(heights: Iterable[float], lines: int) -> list[str]:
    """Vertical bars, one character wide, on so many lines of text; the tallest reaches the top."""
    blocks = _blocks()
    values = np.fromiter(heights, float)
    eighths = np.rint(values / max(values.max(initial=0), 1e-300) * lines * 8).astype(int)
    rows = [(eighths - 8 * line).clip(0, 8) for line in reversed(range(lines))]
    return ["".join(blocks[eighth] for eighth in row) for row in rows]


class _NoBar:
    """What progress looks like where nobody sees it, or tqdm is not installed."""

    def __init__(self, iterable: Iterable[Any] | None = None):
        self._iterable = iterable

    def __iter__(self) -> Iterator[Any]:
        return iter(self._iterable or ())

    def __enter__(self) -> _NoBar:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def update(self, by: int = 1) -> None:
        pass

    def set_description(self, description: str) -> None:
        pass


def progress_bar(iterable: Iterable[Any] | None = None, **options: Any) -> tqdm | _NoBar:
    """A bar on stderr while something long goes on, where stderr is a terminal; the options are tqdm's."""
    if sys.stderr is None or not sys.stderr.isatty():
        return _NoBar(iterable)
    try:
        from tqdm import tqdm  # not above: a tenth of the time from a program's start to its first answer
    except ImportError:
        return _NoBar(iterable)

    tqdm.monitor_interval = 0  # its own thread, which a browser's Python cannot start
    return tqdm(iterable, **options)


def write_line(line: str, file: TextIO | None = None) -> None:
    """Print a line, on stdout by default; the bars of a terminal stay below it."""
    tqdm = sys.modules.get("tqdm")
    if tqdm is not None:
        tqdm.tqdm.write(line, file)
    else:
        print(line, file=file)
