"""What this process takes of its machine: all that it may, or a share where others beside it do the same work."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Share:
    """Set it before networks are opened; it is the whole process's.

    Attributes
    ----------
    cores : int or None
        How many threads compute; None: as many as the process may use cores.
    memory : {None, "small", "fast"} or int
        What `memory.Budget` takes where nobody says. ``"small"`` leaves weights in their file, where they can be read
        at each pass, so that all processes of a machine have them once: in the system's page cache.
    """

    cores: int | None = None
    memory: str | int | None = None


SHARE = Share()
