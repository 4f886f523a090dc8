"""Plain text for people: tables and numbers with units."""

from __future__ import annotations

from collections.abc import Sequence


def table(header: Sequence[str], rows: Sequence[Sequence[object]], right: str = "") -> str:
    """Columns as wide as their widest cell.

    Parameters
    ----------
    header : sequence of str
    rows : sequence of sequences
        Cells are shown by `str`; None is an empty cell.
    right : str
        For each column ``>`` (numbers) or ``<`` (words, the default).
    """
    cells = [list(header), *[["" if cell is None else str(cell) for cell in row] for row in rows]]
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
