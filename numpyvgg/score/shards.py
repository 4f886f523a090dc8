"""A run of scores as files: a manifest, shards that are written whole, and what they are merged into.

    DIR/manifest.json        what is scored by what; a run that goes on has to have the same
    DIR/list.csv             the table; DIR/unused.csv what was left out of it, with reasons
    DIR/shards/00000.csv     answers for the first rows; 00000.errors.csv what could not be answered;
    DIR/shards/00000.json    what the shard holds, with the hashes of both: written last, the mark of being done
    DIR/predictions.csv, errors.csv, predictions.parquet (with pyarrow)   all shards together

A shard is the same rows in whichever process, so a run can be killed at any moment and by any means: what has no mark,
or not the bytes that its mark says, is computed again.
"""

from __future__ import annotations

import csv
import datetime
import hashlib
import json
import platform
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from ..errors import ArgumentError
from ..files.cache import sweep, written_whole
from ..files.lines import csv_line, csv_path, line_bytes
from .scorer import Columns
from .table import COLUMNS as LABELS
from .table import Table

#: Rows of a shard: what is lost at most when a process dies, in minutes of the full-size network
SHARD_SIZE = 256
ANSWERS = ("network", "kind", "expected", "standard_deviation", "label", "probability")
ERRORS = ("row", "image", "error")
#: Rows that are converted to Parquet together
_GROUP = 10_000


@dataclass(frozen=True)
class Shard:
    """Rows of the table that are answered together: from `first` up to, and not including, `stop`."""

    number: int
    first: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.first


class Run:
    """The folder of a run.

    Parameters
    ----------
    folder : Path
    table : Table
    what : dict
        What is scored by what, for the manifest: format, protocol, settings of the scorer.
    shard_size : int
        Rows of a shard.
    """

    def __init__(self, folder: Path, table: Table, what: dict[str, Any], shard_size: int = SHARD_SIZE):
        self.folder, self.table = folder, table
        self.manifest = {**what, "rows": len(table.rows), "list": table.sha256(), "shard_size": shard_size}
        bounds = range(0, len(table.rows), shard_size)
        ends = (min(first + shard_size, len(table.rows)) for first in bounds)
        self.shards = [Shard(number, first, end) for number, (first, end) in enumerate(zip(bounds, ends, strict=True))]

    def begin(self) -> None:
        """Write the manifest and the lists."""
        (self.folder / "shards").mkdir(parents=True, exist_ok=True)
        _write(self.folder / "list.csv", self.table.lines())
        unused = (_line([csv_path(what), reason]) for what, reason in self.table.unused)
        _write(self.folder / "unused.csv", [_line(["what", "reason"]), *unused])
        now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        begun = {"at": now, "host": platform.node()}
        _write(self.folder / "manifest.json", [json.dumps({**self.manifest, "begun": begun}, indent=1).encode()])

    def go_on(self) -> None:
        """Refuse to go on with what was begun in another way.

        Raises
        ------
        ArgumentError
            The manifest cannot be read, or says something else; the message says in what.
        """
        difference = next(differences(manifest_of(self.folder), self.manifest), "")
        if difference:
            raise ArgumentError(f"{self.folder}: was begun with {difference}; give another folder, or the same again")

    # ------------------------------------------------------------------ shards

    def _paths(self, shard: Shard) -> tuple[Path, Path, Path]:
        stem = self.folder / "shards" / f"{shard.number:05}"
        return tuple(stem.with_suffix(suffix) for suffix in (".csv", ".errors.csv", ".json"))  # type: ignore[return-value]

    def is_done(self, shard: Shard) -> bool:
        """Whether a shard has its mark, and the bytes that the mark says."""
        *parts, mark = self._paths(shard)
        try:
            hashes = json.loads(mark.read_bytes())["sha256"]
            return hashes == [hashlib.sha256(part.read_bytes()).hexdigest() for part in parts]
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def write(self, shard: Shard, columns: Columns, seconds: float, host: str) -> None:
        """Write a shard's answers, and its mark last: among others, how many seconds they took, and where."""
        answers, errors = [_line(["row", *ANSWERS])], [_line(ERRORS)]
        reasons: dict[str, int] = {}
        for i, (row, error) in enumerate(zip(columns["row"], columns["error"], strict=True)):
            number = shard.first + row
            if error:
                errors.append(_line([number, csv_path(self.table.rows[number].image), error]))
                reasons[error] = reasons.get(error, 0) + 1
            else:
                cells = [columns[name][i] for name in ANSWERS]
                answers.append(
                    _line([number, csv_path(cells[0]), *("" if cell is None else cell for cell in cells[1:])])
                )
        *parts, mark = self._paths(shard)
        hashes = [_write(part, lines) for part, lines in zip(parts, (answers, errors), strict=True)]
        stats = {
            "rows": len(shard),
            "answered": len(shard) - len(errors) + 1,
            "errors": reasons,
            "seconds": round(seconds, 3),
            "host": host,
            "sha256": hashes,
        }
        _write(mark, [json.dumps(stats, indent=1).encode()])

    def answers(self) -> Iterator[list[str]]:
        """The cells of every answer, in order, once all shards are done: row and `ANSWERS`."""
        for shard in self.shards:
            yield from _rows(self._paths(shard)[0])

    def errors(self) -> Iterator[list[str]]:
        """The cells of every error, once all shards are done: `ERRORS`."""
        for shard in self.shards:
            yield from _rows(self._paths(shard)[1])

    # ------------------------------------------------------------------ merging

    def merge(self) -> None:
        """Write the shards, once all are done, as one table of answers, labels first, and one of errors."""
        for folder in (self.folder, self.folder / "shards"):
            sweep(folder)
        rows = self.table.rows
        header = [_line([*LABELS, *ANSWERS])]
        lines = (_line([*rows[int(row)].cells(), *cells]) for row, *cells in self.answers())
        _write(self.folder / "predictions.csv", chain(header, lines))
        _write(self.folder / "errors.csv", chain([_line(ERRORS)], map(_line, self.errors())))
        self._write_parquet()

    def _write_parquet(self) -> None:
        """The same as Parquet, where pyarrow is installed."""
        try:
            import pyarrow
            from pyarrow import parquet
        except ImportError:
            return
        numbers = {"age", "std", "expected", "standard_deviation", "probability"}
        types = {name: pyarrow.float64() if name in numbers else pyarrow.string() for name in (*LABELS, *ANSWERS)}
        schema = pyarrow.schema(types)
        with (
            (self.folder / "predictions.csv").open("rb") as source,
            written_whole(self.folder / "predictions.parquet") as file,
            parquet.ParquetWriter(file, schema) as writer,
        ):
            records = csv.DictReader(line.decode("utf-8", "backslashreplace") for line in source)
            while batch := list(islice(records, _GROUP)):
                columns = {name: [record[name] for record in batch] for name in types}
                columns.update((name, [float(cell) if cell else None for cell in columns[name]]) for name in numbers)
                writer.write_table(pyarrow.table(columns, schema))


def manifest_of(folder: Path) -> dict[str, Any]:
    """What a run was begun with.

    Raises
    ------
    ArgumentError
        The folder has no manifest, or a damaged one.
    """
    path = folder / "manifest.json"
    try:
        manifest = json.loads(path.read_bytes())
        del manifest["begun"]
        return manifest
    except OSError as error:
        raise ArgumentError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError):
        raise ArgumentError(f"{path}: is damaged: remove it, and begin in a new folder") from None


def differences(theirs: object, ours: object, place: str = "") -> Iterator[str]:
    """In what two manifests differ, in words."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key in dict.fromkeys((*theirs, *ours)):
            yield from differences(theirs.get(key), ours.get(key), f"{key}{' of ' if place else ''}{place}")
    elif theirs != ours:
        yield f"{place} {theirs}, not {ours}"


def _line(cells: Iterable[object]) -> bytes:
    return line_bytes(csv_line(list(cells), in_file=True))


def _write(path: Path, lines: Iterable[bytes]) -> str:
    """Write a file whole -> the sha256 of its bytes."""
    digest = hashlib.sha256()
    try:
        with written_whole(path, sweeps=False) as file:
            for line in lines:
                digest.update(line)
                file.write(line)
    except OSError as error:
        raise ArgumentError(f"{path}: cannot be written: {error.strerror or error}; --resume goes on") from None
    return digest.hexdigest()


def _rows(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        return list(csv.reader(file))[1:]
