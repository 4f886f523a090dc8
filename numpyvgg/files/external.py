"""Tensors whose numbers lie in files of their own, beside the model.

A model may come from a stranger, and must not be able to read whatever its user can (CVE-2022-25882, CVE-2024-27318,
CVE-2026-27489). So the file must lie in the model's folder: each folder on the way is opened by its name in the one
before, symbolic links are not followed, and what was opened must be a plain file with no second name (a hard link).
Nothing is checked first and opened later, so nothing can be put in its place in between.

One kind of link is followed: Hugging Face keeps a model and its data under their hashes in one folder, ``blobs``, and
links both from another. Where the model itself was reached by such a link, its data may lie in the same ``blobs``.

Source: https://github.com/onnx/onnx/blob/main/docs/ExternalData.md
"""

from __future__ import annotations

import errno
import os
from pathlib import Path, PurePath

from .source import Source, open_plain
from .wire import Message

_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0)
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
#: Whether files can be opened by their names in an open folder: not on Windows
_RELATIVE = os.open in os.supports_dir_fd and bool(_NOFOLLOW)
_LINK = (errno.ELOOP, errno.EMLINK, errno.ENOTDIR)  # what systems say where a symbolic link is not to be followed


class ExternalFiles:
    """The files beside a model; each is mapped once.

    Parameters
    ----------
    model : path
        Of the model.
    """

    def __init__(self, model: str | os.PathLike[str]):
        self._model = Path(model)
        self._sources: dict[str, Source] = {}

    def __getitem__(self, location: str) -> Source:
        """The file at a path that is relative to the model's folder.

        Raises
        ------
        OSError
            It cannot be opened, or is not plainly inside the folder; `strerror` says why.
        """
        if location not in self._sources:
            path = PurePath(location)
            if not path.parts or path.anchor or ".." in path.parts or "\0" in location:
                raise OSError(errno.EPERM, "is not a plain path inside the model's folder")
            descriptor = self._open(path)
            try:
                if os.fstat(descriptor).st_nlink > 1:
                    raise OSError(errno.EPERM, "is not a plain file with one name; copy it into place")
                self._sources[location] = Source.map(str(self._model.parent / path), descriptor)
            finally:
                os.close(descriptor)
        return self._sources[location]

    def _open(self, path: PurePath) -> int:
        folder, real = self._model.parent, Path(os.path.realpath(self._model))
        try:
            return _open_inside(folder, path)
        except FileNotFoundError:
            if not self._model.is_symlink():
                raise
            return _open_inside(real.parent, path)  # a link to the model alone: its data is where the model is
        except OSError as error:
            target = Path(os.path.realpath(folder / path))
            if error.errno not in _LINK or target == Path(os.path.realpath(folder)) / path:
                raise
            if self._model.is_symlink() and real.parent.name == "blobs" and target.parent == real.parent:
                return _open_inside(real.parent, PurePath(target.name))
            raise OSError(
                errno.ELOOP, f"is, or lies behind, a symbolic link, to {str(target)!r}: put a copy of the file there"
            ) from None


def _open_inside(folder: Path, path: PurePath) -> int:
    """Open a file by a path inside a folder, following no link on the way -> descriptor."""
    if not _RELATIVE:
        whole = folder / path
        if os.path.normcase(os.path.realpath(whole)) != os.path.normcase(Path(os.path.realpath(folder)) / path):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        return open_plain(whole, follow=False)
    descriptor = os.open(folder, _FOLDER)
    try:
        for part in path.parts[:-1]:
            inner = os.open(part, _FOLDER | _NOFOLLOW, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        return open_plain(path.parts[-1], folder=descriptor, follow=False)
    finally:
        os.close(descriptor)


def external_data(message: Message, files: ExternalFiles | None) -> tuple[Source, tuple[int, int], str]:
    """Find the bytes of a TensorProto that lie in another file -> (source, span, storage).

    Offset and length must lie in that file. Keys that are not known are passed over.
    """
    entries = {entry.text(1): entry.text(2) for entry in message.messages(13, "external_data")}
    location = entries.get("location", "")
    if files is None:
        message.fail(f"its numbers are in another file ({location!r}), which can only be found from a model's path")
    try:
        source = files[location]
    except OSError as error:
        message.fail(f"external data {location!r} cannot be used: {error.strerror or error}")
    offset = _number(message, entries, "offset", 0)
    length = _number(message, entries, "length", len(source) - offset)
    if offset + length > len(source):
        message.fail(f"external data ends at byte {offset + length} of {location!r}, which has {len(source)}")
    return source, (offset, offset + length), f"external:{location}"


def _number(message: Message, entries: dict[str, str], key: str, default: int) -> int:
    text = entries.get(key, str(max(default, 0)))
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        message.fail(f"external data has {key} {text!r}, which is no byte count")
    return int(text)
