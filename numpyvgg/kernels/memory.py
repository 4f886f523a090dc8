"""How much memory this process may use and does use, and which weights may stay in it.

What there is to use is what the machine has, the container grants, or `ulimit` allows, whichever is least. A system
that runs out of it does not refuse: it ends the process. So a network asks before it keeps something.
"""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress
from functools import cache
from numbers import Integral
from pathlib import Path

import numpy as np

from ..errors import ArgumentError
from ..text import human_bytes
from .process import SHARE

#: Where nothing tells: what 32 bits and a browser's Python can address at most.
_UNTOLD = 1 << 32


#: Share of the memory there is that weights may fill up to; the rest is for images, results and the program.
_FILL = 0.75


class Budget:
    """Whether there is room to keep weights in memory that could also be read from the file at each pass.

    Parameters
    ----------
    memory : {None, "small", "fast"} or int
        None: they are kept if what the process holds then stays below three quarters of `memory_limit`. ``"fast"``:
        always. ``"small"``: never. A number: as None, with that many bytes in place of the limit.

    Raises
    ------
    ArgumentError
        It is none of these.
    """

    def __init__(self, memory: str | int | None = None):
        memory = SHARE.memory if memory is None else memory
        number = isinstance(memory, Integral) and not isinstance(memory, bool) and memory > 0
        if memory not in (None, "small", "fast") and not number:
            raise ArgumentError(f"memory={memory!r}: 'small', 'fast', or a number of bytes is needed")
        self.memory = memory

    def __str__(self) -> str:
        if isinstance(self.memory, str):
            return f"memory {self.memory}"
        return f"memory up to {human_bytes(self.limit)}"

    @property
    def limit(self) -> int:
        """What the process may use, in bytes."""
        return self.memory if isinstance(self.memory, int) else memory_limit()

    def has_room(self, size: int) -> bool:
        """Whether weights of so many bytes may be kept."""
        if isinstance(self.memory, str):
            return self.memory == "fast"
        return memory_in_use() + size <= _FILL * self.limit

    def require(self, size: int, purpose: str) -> None:
        """Raise a MemoryError that says so where so many bytes more are not to be had at all."""
        if memory_in_use() + size > self.limit:
            raise MemoryError(
                f"{purpose} takes {human_bytes(size)}, and of {human_bytes(self.limit)} that this process may use "
                f"{human_bytes(memory_in_use())} are taken"
            )


@cache
def keep_freed_memory() -> None:
    """Have the C library keep what is freed for the next array, once a process.

    A network makes the same large arrays at each run. glibc returns their memory to the system, and each page of 4 KB
    that comes back costs a page fault. It stops doing so for arrays no larger than the largest that was freed, up to
    32 MB (mallopt(3), M_MMAP_THRESHOLD). This one is never written, so no memory is behind it.
    """
    with suppress(MemoryError):
        np.empty(31 << 20, np.uint8)


def memory_in_use() -> int:
    """What this process holds that could not be read again from a file, in bytes; 0 where nothing tells."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    found = re.search(r"^RssAnon:\s+(\d+) kB", status, re.MULTILINE)
    return 1024 * int(found[1]) if found else 0


@cache
def memory_limit() -> int:
    """The smallest of the limits that hold for this process, in bytes.

    The machine's memory; the control group's limit, version 2 or 1, with those of the groups it is in (a container's
    ``--memory``); the limit on the address space.
    """
    return min([_machine() or _UNTOLD, sys.maxsize, *_control_groups(), *_address_space()])


def _machine() -> int | None:
    if sys.platform == "win32":
        return _windows_machine()
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def _windows_machine() -> int | None:
    import ctypes

    class Status(ctypes.Structure):  # MEMORYSTATUSEX
        _fields_ = (
            ("length", ctypes.c_ulong),
            ("load", ctypes.c_ulong),
            ("total", ctypes.c_ulonglong),
            *((name, ctypes.c_ulonglong) for name in ("a", "b", "c", "d", "e", "f")),
        )

    status = Status(length=ctypes.sizeof(Status))
    kernel32 = ctypes.windll.kernel32  # type: ignore[attr-defined, unused-ignore]
    return status.total if kernel32.GlobalMemoryStatusEx(ctypes.byref(status)) else None


def _control_groups(proc: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> list[int]:
    """The limits of the process's control group and of all groups around it."""
    try:
        lines = proc.read_text().splitlines()
    except OSError:
        return []
    limits = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        mount, name = (root / "memory", "memory.limit_in_bytes") if controllers else (root, "memory.max")
        group = mount / path.lstrip("/")
        # In a container the path may be the host's; the group itself is then the root that is mounted.
        for folder in (group, *group.parents):
            if folder == mount or mount in folder.parents:
                limits += _number(folder / name)
    return limits


def _number(file: Path) -> list[int]:
    try:
        text = file.read_text().strip()
    except OSError:
        return []
    return [int(text)] if text.isdigit() else []  # "max" is no limit


def _address_space() -> list[int]:
    try:
        import resource
    except ImportError:  # Windows
        return []
    soft = resource.getrlimit(resource.RLIMIT_AS)[0]
    return [] if soft == resource.RLIM_INFINITY else [soft]
