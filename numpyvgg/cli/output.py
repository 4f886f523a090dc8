"""What commands write: files that are checked before the work and appear whole, and lines of CSV and JSON.

Every option that names a file or a folder to write (``-o``, ``--draw``, ``--write``, ``--json FILE``) goes through
`check_file` or `check_folder` before any work, and through `written` after it. Every line of CSV and JSON goes through
`csv_line` (`files.lines`) and `json_text`, which stay valid for every name that a file can have.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import ArgumentError
from ..files.cache import written_whole

# ---------------------------------------------------------------------- files


def named(text: str) -> str:
    """What an option names, for argparse; an empty name, as of a variable that is not set, is none."""
    if not text:
        raise argparse.ArgumentTypeError("the name is empty")
    return text


def named_path(text: str) -> Path:
    """As `named`, as a path: an empty one would be the folder that one is in."""
    return Path(named(text))


def check_file(
    option: str, path: str | os.PathLike[str], suffixes: Collection[str] = (), inputs: Iterable[str] = ()
) -> None:
    """Refuse, before any work, a file that could not be written after it.

    Parameters
    ----------
    option : str
        How the user named it: ``--draw``.
    path : path
    suffixes : collection of str
        With which its name may end, lower case and with the dot; empty: any.
    inputs : iterable of str
        Files that are read, and that it must not overwrite.

    Raises
    ------
    ArgumentError
        It is a folder, an input, in a folder that is missing or may not be written, or has another suffix.
    """
    name = os.fspath(path)
    reason = _not_a_new_file(name, inputs)
    if not reason and suffixes and Path(name).suffix.lower() not in suffixes:
        reason = f"its name does not end in {' or '.join(sorted(suffixes))}"
    if reason:
        raise ArgumentError(f"{option} {name}: cannot be written: {reason}")


def _not_a_new_file(name: str, inputs: Iterable[str]) -> str:
    """Why a file cannot be written, or ""."""
    folder = os.path.dirname(name) or os.curdir
    if os.path.isdir(name) or not name:
        return "that is a folder"
    if not os.path.isdir(folder):
        return f"there is no folder {folder}"
    if os.path.exists(name):
        if any(os.path.exists(other) and os.path.samefile(name, other) for other in inputs):
            return "that is the input itself"
        if not os.access(name, os.W_OK):
            return "the file there may not be changed"
        if not os.path.isfile(name):
            return ""  # a device, such as /dev/stdout
    return _unwritable(folder)


def check_folder(option: str, path: str | os.PathLike[str]) -> None:
    """Make a folder for results, and refuse one that cannot be made or written to; see `check_file`."""
    name = os.fspath(path)
    reason = "that is a file" if os.path.exists(name) and not os.path.isdir(name) else ""
    if not reason:
        try:
            os.makedirs(name or os.curdir, exist_ok=True)
            reason = _unwritable(name or os.curdir)
        except (OSError, ValueError) as error:  # ValueError: a NUL character
            reason = getattr(error, "strerror", None) or str(error)
    if reason:
        raise ArgumentError(f"{option} {name}: cannot be written: {reason}")


def names_for(paths: Sequence[str], *ways: Callable[[str], str]) -> list[Path]:
    """A place in a folder of results for what becomes of each file.

    By the first of the ways to name it that gives each its own: side by side, or else in folders, as the files lie
    below the deepest one that holds them all.

    Raises
    ------
    ArgumentError
        Two files would have the same place.
    """
    folders, clash = _folders(paths), (0, 0)
    for way in ways:
        for among in ([""] * len(paths), folders):
            places = [Path(folder, way(os.path.basename(path))) for path, folder in zip(paths, among, strict=True)]
            first: dict[str, int] = {}
            for number, place in enumerate(places):
                clash = first.setdefault(str(place).casefold(), number), number  # some file systems know no case
                if clash[0] != number:
                    break
            else:
                return places
    one, other = clash
    raise ArgumentError(f"{paths[one]} and {paths[other]} would both be {places[other]}: name two folders")


def _folders(paths: Sequence[str]) -> list[str]:
    """The folder of each file, below the deepest one that holds them all."""
    folders = [os.path.dirname(os.path.abspath(path)) for path in paths]
    try:
        common = os.path.commonpath(folders)
    except ValueError:  # on several drives
        return [""] * len(paths)
    return [os.path.relpath(folder, common) for folder in folders]


def _unwritable(folder: str) -> str:
    """Why no file can be made in a folder, or ""; asked by making one, since permissions do not say everything."""
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        return f"{folder}: {error.strerror or error}"
    return ""


@contextlib.contextmanager
def written(option: str, path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file for writing that appears whole or not at all; whatever the disk says is an `ArgumentError`."""
    name = os.fspath(path)
    try:
        if os.path.exists(name) and not os.path.isfile(name):
            with open(name, "wb") as file:  # a device cannot be replaced by a new file
                yield file
        else:
            with written_whole(Path(os.path.realpath(name))) as file:  # of a symbolic link, the file behind it
                yield file
    except (OSError, ValueError) as error:  # ValueError: a NUL character
        reason = getattr(error, "strerror", None) or error
        raise ArgumentError(f"{option} {name}: cannot be written: {reason}") from None


def exit_code(errors: int, photographs: int) -> int:
    """0; 1 where some photographs could not be read; 2, as for any mistake, where that was the only one."""
    return 0 if not errors else 2 if photographs == 1 else 1


# ---------------------------------------------------------------------- lines


def json_text(value: Any, indent: int | None = None) -> str:
    """A value as JSON in ASCII, valid for names that are no UTF-8 too (``\\udc..``); null for what is no number."""
    try:
        return json.dumps(value, indent=indent, allow_nan=False)
    except ValueError:  # JSON has no infinities, and nothing that is no number
        return json.dumps(_without_nan(value), indent=indent, allow_nan=False)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
