"""Answers in a file that survives whatever ends the run: whole rows, flushed, and where to go on.

Beside ``ages.csv`` lies ``ages.csv.run.json``: what answers (version, networks, preparations, method), and how many
bytes of ``ages.csv`` are whole photographs. A run that goes on (``--resume``) cuts what lies behind them, skips the
photographs that are answered, and is refused where something else would answer. What cannot be read is listed in
``ages.csv.errors.csv``, and tried again by each run.

Parquet cannot be appended to: its rows gather as JSON lines in ``ages.parquet.rows.jsonl``, and become the file when
the run ends, in whichever way it is given the time to.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ..errors import ArgumentError, MissingExtraError, NumpyVggError
from ..files.lines import csv_line, csv_path, line_bytes
from ..photo.predictor import Prediction
from .output import check_file, json_text, written
from .rows import Csv, JsonLines, column_types, records

FORMATS = (".csv", ".jsonl", ".parquet")
#: Rows of Parquet that are converted together
_GROUP = 10_000


class Results:
    """Where the answers of a run are written.

    Parameters
    ----------
    path : path
        Its suffix, one of `FORMATS`, says the format.
    settings : dict
        Of what answers, in words; a run that goes on has to have the same.
    top : int
        As ``--top``.
    faces : bool
        Whether faces are looked for.

    Raises
    ------
    ArgumentError
        The file was begun by another network, preparation, version or way.
    """

    def __init__(self, path: Path, settings: dict[str, Any], top: int, faces: bool):
        self.path, self.settings = path, settings
        self.format = path.suffix.lower()
        self.errors = path.with_name(f"{path.name}.errors.csv")
        self._state = state_of(path)
        self._rows = path.with_name(f"{path.name}.rows.jsonl") if self.format == ".parquet" else path
        self._csv, self._json, self._top = Csv(top, faces), JsonLines(top), top
        self._types = column_types(top, faces)
        self.error_count = 0
        self.done: set[str] = set()
        whole = self._whole_bytes()
        # Without a buffer: it would hold what a full disk refused, and write it where the file ends by then.
        self._file = open(self._rows, "a+b", buffering=0)  # noqa: SIM115  (see `close`)
        self._hold()
        self.errors.unlink(missing_ok=True)
        self._file.truncate(whole)
        try:
            self.done.update(self._answered())
        except (ValueError, KeyError, TypeError, csv.Error):
            raise self._changed() from None
        self._file.seek(0, os.SEEK_END)
        self._write_state()
        if self.format == ".csv" and not whole:
            self._append([csv_line(self._csv.columns, in_file=True)])

    # ------------------------------------------------------------------ going on

    def _whole_bytes(self) -> int:
        """How many bytes of the rows are whole; refuses a file that is not this run's."""
        if not self._state.exists():
            return 0
        settings, whole = _read_state(self.path)
        difference = _difference(settings, self.settings)
        if difference:
            raise ArgumentError(
                f"--resume {self.path}: was begun {difference}: go on as it was begun, or give another -o"
            )
        if self.format == ".parquet" and not self._rows.exists():
            self._unpack()
            return self._rows.stat().st_size
        if not self._rows.exists():
            return 0
        with self._rows.open("rb") as file:
            file.seek(max(whole - 1, 0))
            if whole and file.read(1) != b"\n":  # it is shorter, or its rows end elsewhere
                raise self._changed()
        return whole

    def _hold(self) -> None:
        """Keep a second run from writing to the same file, until this one ends, in whichever way."""
        try:
            import fcntl

            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise ArgumentError(
                f"-o {self.path}: another run writes to it: wait for its end, or name another"
            ) from None
        except (ImportError, OSError):  # Windows, or a file system without locks
            return

    def _changed(self) -> ArgumentError:
        return ArgumentError(
            f"--resume {self.path}: was changed after it was written; give another -o, or remove it and {self._state}"
        )

    def _answered(self) -> Iterator[str]:
        """The photographs that have rows."""
        with self._rows.open("rb") as file:
            if self.format == ".csv":
                lines = (line.decode("utf-8", "surrogateescape") for line in file)
                yield from (row["image"] for row in csv.DictReader(lines))
            else:
                yield from (json.loads(line)["image"] for line in file)

    def _name(self, path: str) -> str:
        """A photograph's name as the format can have it: Parquet's text is UTF-8, and CSV no spreadsheet's formula."""
        if self.format == ".parquet":
            return path.encode("utf-8", "backslashreplace").decode()
        return csv_path(path) if self.format == ".csv" else path

    def is_done(self, path: str) -> bool:
        """Whether a photograph has been answered."""
        return self._name(path) in self.done

    @staticmethod
    def method_of(path: Path) -> str | None:
        """How convolutions were computed by the run that is to go on; None where there is none."""
        return _read_state(path)[0]["conv"] if state_of(path).exists() else None

    def __str__(self) -> str:
        return f"{self.path}, errors in {self.errors}" if self.error_count else str(self.path)

    # ------------------------------------------------------------------ writing

    def write(self, path: str, predictions: Sequence[Prediction]) -> None:
        """Append a photograph's rows: all of them, on the disk before the next photograph's."""
        if self.format == ".csv":
            lines: Iterable[str] = self._csv.rows(path, predictions, in_file=True)
        elif self.format == ".jsonl":
            lines = self._json.lines(path, predictions)
        else:
            lines = (json_text(self._flat(record)) for record in records(self._name(path), predictions, self._top))
        self._append(lines)
        self._write_state()

    def _flat(self, record: dict[str, Any]) -> dict[str, Any]:
        """A row in the columns' types."""
        return {
            name: json_text(value) if isinstance(value, list) else self._name(value) if name == "network" else value
            for name, value in record.items()
            if name in self._csv.columns
        }

    def write_error(self, path: str, error: NumpyVggError) -> None:
        """Append to the file of errors."""
        with self._writing(), self.errors.open("ab") as file:
            if not self.error_count:
                file.write(line_bytes(csv_line(["image", "error"], in_file=True)))
            file.write(line_bytes(csv_line([csv_path(path), str(error)], in_file=True)))
        self.error_count += 1

    def _append(self, lines: Iterable[str]) -> None:
        end, data = self._file.tell(), b"".join(map(line_bytes, lines))
        try:
            with self._writing():
                while data:
                    data = data[self._file.write(data) :]
        except ArgumentError:
            self._file.truncate(end)
            raise

    def _write_state(self) -> None:
        """Say how many bytes are whole, in a file that is whole itself."""
        part = self._state.with_name(f"{self._state.name}.part")
        with self._writing():
            part.write_text(json_text({"settings": self.settings, "bytes": self._file.tell()}, indent=1))
            os.replace(part, self._state)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """What the system refuses, a full disk say, becomes our error; `--resume` cuts what is not whole."""
        try:
            yield
        except OSError as error:
            raise ArgumentError(f"-o {self.path}: cannot be written: {error.strerror}; --resume goes on") from None

    def close(self, finished: bool) -> None:
        """Close the file; of Parquet, make it."""
        if self.format == ".parquet":
            self._pack()
        self._file.close()
        if self.format == ".parquet" and finished:
            self._rows.unlink()

    # ------------------------------------------------------------------ Parquet

    def _pack(self) -> None:
        pyarrow, parquet = _pyarrow()
        schema = pyarrow.schema([(name, getattr(pyarrow, kind)()) for name, kind in self._types.items()])
        with (
            self._rows.open("rb") as lines,
            written("-o", self.path) as out,
            parquet.ParquetWriter(out, schema) as writer,
        ):
            rows: list[dict[str, Any]] = []
            for line in lines:
                rows.append(json.loads(line))
                if len(rows) == _GROUP:
                    writer.write_table(pyarrow.Table.from_pylist(rows, schema))
                    rows = []
            writer.write_table(pyarrow.Table.from_pylist(rows, schema))

    def _unpack(self) -> None:
        """The rows of a file that an earlier run finished, as the lines that they were."""
        _, parquet = _pyarrow()
        try:
            with parquet.ParquetFile(self.path) as packed, self._writing(), self._rows.open("wb") as file:
                for batch in packed.iter_batches(_GROUP):
                    file.writelines(line_bytes(json_text(row)) for row in batch.to_pylist())
        except (OSError, ValueError):  # it is gone, or no Parquet
            self._rows.unlink(missing_ok=True)
            raise self._changed() from None


def check_output(path: Path, resume: bool, inputs: Sequence[str]) -> None:
    """Refuse, before any work, a file that answers cannot go to.

    Raises
    ------
    ArgumentError
        It cannot be written, is a photograph, or is there already and cannot be gone on with.
    MissingExtraError
        It is Parquet, and pyarrow is not installed.
    """
    check_file("-o", path, FORMATS, inputs)
    if path.exists() and not path.is_file():
        raise ArgumentError(f"-o {path}: cannot be written: that is a pipe or a device, and answers go to a file")
    if path.suffix.lower() == ".parquet":
        _pyarrow()
    state = state_of(path)
    if state.exists() and not resume:
        raise ArgumentError(f"-o {path}: is there already: --resume goes on, or remove it and {state}")
    if not state.exists() and path.exists() and path.stat().st_size:
        what = "was not written by `numpyvgg predict -o`" if resume else "is there already"
        raise ArgumentError(f"-o {path}: {what}: give another name, or remove it")


def state_of(path: Path) -> Path:
    """The file beside `path` that says what answers, and how far it has come."""
    return path.with_name(f"{path.name}.run.json")


def _read_state(path: Path) -> tuple[dict[str, Any], int]:
    """What answered, and how many bytes of the rows are whole."""
    state = state_of(path)
    try:
        read = json.loads(state.read_bytes())
        settings, whole = read["settings"], int(read["bytes"])
        parts = [settings["options"], *settings["networks"].values()]
        sound = isinstance(settings["conv"], str) and all(isinstance(part, dict) for part in parts)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        sound = False
    if not sound:
        raise ArgumentError(f"--resume {path}: {state} is damaged; give another -o, or remove both")
    return settings, whole


def _difference(theirs: dict[str, Any], ours: dict[str, Any]) -> str:
    """In what two runs differ, as "this, not that"; nothing where they do not."""
    names = [list(settings["networks"]) for settings in (theirs, ours)]
    if names[0] != names[1]:
        return f"by {', '.join(names[0])}, not by {', '.join(names[1])}"
    for name in names[0]:
        for what, value in ours["networks"][name].items():
            other = theirs["networks"][name].get(what)
            if other != value:
                return f"with {'another' if what == 'preparation' else 'other'} {what} of {name}: {other}, not {value}"
    both = theirs["options"] | ours["options"]
    differing = [option for option in both if theirs["options"].get(option) != ours["options"].get(option)]
    if differing:
        option = "--faces" if "--faces" in differing else differing[0]  # without it the others say nothing
        return f"{_with(option, theirs['options'])}, not {_with(option, ours['options'])}"
    if theirs.get("version") != ours["version"]:
        return f"by version {theirs.get('version')}, not by {ours['version']}"
    return ""


def _with(option: str, options: dict[str, str]) -> str:
    """An option as it was given, or that it was not."""
    return f"with {option} {options[option]}".rstrip() if option in options else f"without {option}"


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingExtraError(
            "Parquet needs pyarrow: pip install 'numpyvgg[parquet]'; or write .csv or .jsonl"
        ) from None
    return pyarrow, pyarrow.parquet
