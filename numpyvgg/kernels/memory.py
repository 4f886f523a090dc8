"""How much memory this process may use: what the machine has, the container grants, or `ulimit` allows."""

from __future__ import annotations

import os
import sys
from functools import cache
from pathlib import Path

#: Where nothing tells: what 32 bits and a browser's Python can address at most.
_UNTOLD = 1 << 32


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
