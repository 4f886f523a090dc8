"""A file's bytes, mapped into memory, under the name that errors give them.

Whoever names a file may name a pipe that nobody writes to, or a device; opening one must not wait. So files are opened
here, without waiting, and refused when what was opened is something else: asking first and opening then would leave a
moment to put another thing in its place.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import stat
import weakref
from typing import overload

import numpy as np

from ..errors import ArgumentError, MissingModelError, ModelFormatError

_FLAGS = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NONBLOCK", "O_NOCTTY", "O_BINARY"))
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
#: Bytes of a file that cannot be mapped beyond which it is read by ranges
_READ_WHOLE = 32 << 20
_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}


def path_name(path: object) -> str:
    """A path as text, for errors.

    Raises
    ------
    ArgumentError
        It is no path.
    """
    if not isinstance(path, str | os.PathLike):
        raise ArgumentError(f"a path is needed, not {type(path).__name__}")
    return os.fsdecode(path)


def open_plain(path: str | os.PathLike[str], *, folder: int | None = None, follow: bool = True) -> int:
    """Open a plain file for reading, and nothing else, without ever waiting.

    Parameters
    ----------
    path : path
    folder : int, optional
        The descriptor of an open folder that `path` is relative to.
    follow : bool
        Whether the file may be reached by a symbolic link (in the path's last part).

    Returns
    -------
    int
        A file descriptor; the caller closes it.

    Raises
    ------
    OSError, ValueError
        It cannot be opened, is no plain file, or has a NUL character in its name.
    """
    descriptor = os.open(path, _FLAGS | (0 if follow else _NOFOLLOW), dir_fd=folder)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, f"this is {_KINDS.get(stat.S_IFMT(mode), 'something else')}, not a file")
    return descriptor


def read_small(path: str | os.PathLike[str], limit: int) -> bytes:
    """All of a small plain file.

    Raises
    ------
    OSError, ValueError
        As `open_plain`; or there are more bytes than `limit`.
    """
    with os.fdopen(open_plain(path), "rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"this has more than the {limit} bytes that such a file may have")
    return content


def read_pipe(path: str | os.PathLike[str]) -> bytes | None:
    """What comes through a pipe of the user's own shell, ``/dev/stdin`` or ``/dev/fd/N``; None for any other path.

    Into these somebody writes, so reading them does not wait for ever as a pipe with a name of its own could.
    """
    name = os.fsdecode(path)
    if name != "/dev/stdin" and os.path.dirname(name) not in ("/dev/fd", "/proc/self/fd"):
        return None
    with open(name, "rb") as file:
        return None if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else file.read()


class FileBytes:
    """The bytes of an open file that cannot be mapped, as a read-only sequence: a slice is read when it is asked for.

    In a browser that is a file of the user's disk, of which the tab need not hold a copy.

    Parameters
    ----------
    name : str
        What errors call it.
    descriptor : int
        It may be closed afterwards.
    """

    _BLOCK = 1 << 14

    def __init__(self, name: str, descriptor: int):
        self._name, self._size = name, os.fstat(descriptor).st_size
        self._descriptor = os.dup(descriptor)
        self._block: tuple[int, bytes] = 0, b""  # where the last single byte was read, and what is around it
        weakref.finalize(self, os.close, self._descriptor)

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, place: int) -> int: ...
    @overload
    def __getitem__(self, place: slice) -> bytes: ...
    def __getitem__(self, place: int | slice) -> int | bytes:
        if isinstance(place, slice):
            start, stop, _ = place.indices(self._size)
            return self._read(start, max(stop - start, 0))
        place += self._size if place < 0 else 0
        if not 0 <= place < self._size:
            raise IndexError(place)
        start, block = self._block
        if not start <= place < start + len(block):
            start = place - place % self._BLOCK
            block = self._read(start, min(self._BLOCK, self._size - start))
            self._block = start, block
        return block[place - start]

    def _read(self, start: int, size: int) -> bytes:
        pieces = []
        while size:
            try:
                piece = os.pread(self._descriptor, size, start)  # one call reads 2 GB at most
            except OSError as error:
                raise ModelFormatError(f"{self._name}: byte {start}: {error.strerror}") from None
            if not piece:
                raise ModelFormatError(f"{self._name}: byte {start}: the file has become shorter since it was opened")
            pieces.append(piece)
            start, size = start + len(piece), size - len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


class Source:
    """Bytes and the name that errors give them.

    Parameters
    ----------
    name : str
        The file's path as the user wrote it, or a description such as ``<bytes>``.
    data : bytes-like, or FileBytes
        The bytes; a memory map stays a memory map.

    Attributes
    ----------
    charged : int
        How much memory the structure read from it takes so far, in bytes; see `wire.LARGEST_STRUCTURE`.
    """

    def __init__(self, name: str, data: bytes | mmap.mmap | FileBytes):
        self.name = name
        self.data = data if isinstance(data, FileBytes) else memoryview(data).toreadonly()
        self.charged = 0
        self._map = data if isinstance(data, mmap.mmap) else None

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Source:
        """Map a file into memory, read-only; nothing is read yet.

        Raises
        ------
        ModelFormatError
            The path is missing (`MissingModelError`), empty, unreadable, or a folder, a pipe or a device.
        """
        name = path_name(path)
        try:
            if (piped := read_pipe(path)) is not None:
                return cls(name, piped)
            descriptor = open_plain(path)
        except FileNotFoundError as error:
            raise MissingModelError(f"{name or 'an empty path'}: {error.strerror}") from None
        except (OSError, ValueError) as error:  # ValueError: a NUL character in the path
            raise ModelFormatError(f"{name}: {getattr(error, 'strerror', None) or error}") from None
        try:
            return cls.map(name, descriptor)
        finally:
            os.close(descriptor)

    @classmethod
    def map(cls, name: str, descriptor: int) -> Source:
        """Map an open file; see `open`. Where the system cannot map it, it is read, and a large one by ranges."""
        size = os.fstat(descriptor).st_size
        if size == 0:
            raise ModelFormatError(f"{name}: byte 0: the file is empty")
        try:
            return cls(name, mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ))
        except (OSError, ValueError):  # some file systems of networks, containers and browsers
            if size > _READ_WHOLE and hasattr(os, "pread"):
                return cls(name, FileBytes(name, descriptor))
            with os.fdopen(os.dup(descriptor), "rb") as file:
                return cls(name, file.read())

    def __len__(self) -> int:
        return len(self.data)

    def is_aligned(self, start: int, alignment: int) -> bool:
        """Whether what begins at `start` can be computed on where it lies; what is read by ranges lies nowhere."""
        if isinstance(self.data, FileBytes):
            return False
        return np.frombuffer(self.data, np.uint8).ctypes.data % alignment == -start % alignment

    def view(self, start: int, end: int) -> np.ndarray:
        """The bytes from `start` to `end` as a read-only uint8 array on the source's own memory, where it has one."""
        return np.frombuffer(self.data[start:end], np.uint8)

    def copy(self, start: int, end: int) -> np.ndarray:
        """The bytes from `start` to `end` as a uint8 array of its own, aligned for any dtype."""
        copied = np.empty(end - start, np.uint8)
        self.read(start, copied)
        return copied

    def read(self, start: int, out: np.ndarray) -> None:
        """Copy the bytes from `start` on into a uint8 array.

        In pieces, and the pages of the map that have been read are given back at once: otherwise a file's pages and
        their copy would both count towards the process's memory.
        """
        step = 16 << 20
        for offset in range(0, len(out), step):
            stop = min(offset + step, len(out))
            out[offset:stop] = self.view(start + offset, start + stop)
            self.give_back(start + offset, start + stop)

    def give_back(self, start: int, end: int) -> None:
        """Free the map's pages that lie in this range; the system reads them again when they are used again."""
        if self._map is not None and hasattr(mmap, "MADV_DONTNEED"):  # where there is no such call, the system decides
            first = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
            if end > first:
                with contextlib.suppress(OSError):  # of a program that has locked its memory
                    self._map.madvise(mmap.MADV_DONTNEED, first, end - first)
