"""Which photographs paths, globs and folders stand for, and what else lies there."""

from __future__ import annotations

import glob
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import ArgumentError
from .formats import PHOTO_SUFFIXES, is_raw

#: Names of files of one kind that `Found.remark` gives
_NAMED = 3


@dataclass(frozen=True)
class Found:
    """The photographs to look at, and the files in their folders that are none.

    Attributes
    ----------
    paths : list of str
        In order, each once.
    skipped : list of str
        Of files in folders that are no photographs by their names; of folders that may not be read, or are links.
    """

    paths: list[str]
    skipped: list[str]

    @property
    def remark(self) -> str:
        """One line about what was skipped, by kind with a few names each; "" where nothing was."""
        kinds = defaultdict(list)
        for path in self.skipped:
            kinds[_kind(path)].append(os.path.basename(path))
        if not kinds:
            return ""
        said = [f"{len(names)} {kind} ({_few(names)})" for kind, names in sorted(kinds.items())]
        return f"skipped {len(self.skipped)} that are no photographs: {'; '.join(said)}"


def find_photographs(patterns: Sequence[str]) -> Found:
    """The photographs that paths, globs and folders stand for.

    Of a folder, what has a photograph's suffix, in it and below it; notes of macOS (``._*``) are none. A path that
    does not exist stays as it is, so that it is reported as unreadable in its turn.

    Raises
    ------
    ArgumentError
        A folder holds no photograph; nothing matches a pattern; a name is empty.
    """
    found: dict[str, None] = {}
    skipped: dict[str, None] = {}
    for pattern in patterns:
        for match in _matches(pattern):
            if not os.path.isdir(match):
                found[match] = None
                continue
            photographs, others = _in_folder(match)
            if not photographs:
                remark = Found([], others).remark
                raise ArgumentError(f"{match}: there is no photograph in this folder{f'; {remark}' if remark else ''}")
            found.update(dict.fromkeys(photographs))
            skipped.update(dict.fromkeys(others))
    return Found(list(found), [path for path in skipped if path not in found])


def _matches(pattern: str) -> list[str]:
    if not pattern:
        raise ArgumentError("a photograph's name is empty")
    if os.path.exists(pattern) or not glob.has_magic(pattern):
        return [pattern]
    matches = sorted(glob.glob(pattern, recursive=True))
    if not matches:
        raise ArgumentError(f"{pattern}: there is no such file, and nothing matches this pattern")
    return matches


def _in_folder(folder: str) -> tuple[list[str], list[str]]:
    """Photographs and all else in a folder and below it, each sorted."""
    photographs: list[str] = []
    others: list[str] = []
    unreadable: list[OSError] = []
    for place, folders, names in os.walk(folder, onerror=unreadable.append):
        folders.sort()
        others += [path for name in folders if os.path.islink(path := os.path.join(place, name))]
        for name in sorted(names):
            path = os.path.join(place, name)
            is_photograph = (
                os.path.splitext(name)[1].lower() in PHOTO_SUFFIXES
                and not name.startswith("._")
                and os.path.isfile(path)
            )
            (photographs if is_photograph else others).append(path)
    return photographs, others + [str(error.filename) for error in unreadable]


def _kind(path: str) -> str:
    """What a file that was skipped is, in a few words."""
    name = os.path.basename(path)
    suffix = os.path.splitext(name)[1].lower()
    if name.startswith("._"):
        return "notes of macOS"
    if os.path.islink(path) and os.path.isdir(path):
        return "links to folders, which are not followed"
    if os.path.islink(path) and not os.path.exists(path):
        return "links to nowhere"
    if os.path.isdir(path):
        return "folders that cannot be read"
    if not os.path.isfile(path):
        return "that are no files, but pipes or devices"
    if is_raw(suffix):
        return f"raw files {suffix}, to be developed first"
    return f"{suffix} files" if suffix else "files without a suffix"


def _few(names: list[str]) -> str:
    return ", ".join([*names[:_NAMED], *(["..."] if len(names) > _NAMED else [])])
