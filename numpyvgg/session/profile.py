"""How long each step of each run took, as a Chrome trace (chrome://tracing, https://ui.perfetto.dev).

The events are named as ONNX Runtime names them. Source: "Trace Event Format", https://chromium.googlesource.com/catapult
"""

from __future__ import annotations

import json
import os
import threading
import time
from datetime import datetime
from typing import Any

from ..errors import ArgumentError


class Profile:
    """Events that are collected until the profile is written."""

    def __init__(self) -> None:
        self.start = time.perf_counter_ns()
        self._events: list[dict[str, Any]] = []

    def add(self, name: str, begin: int, category: str = "Node", **arguments: str) -> None:
        """Something that began at `begin` (time.perf_counter_ns) and ends now."""
        now = time.perf_counter_ns()
        self._events.append(
            {
                "cat": category,
                "pid": os.getpid(),
                "tid": threading.get_ident(),
                "dur": (now - begin) // 1000,  # microseconds
                "ts": (begin - self.start) // 1000,
                "ph": "X",
                "name": name,
                "args": arguments,
            }
        )

    def write(self, prefix: str) -> str:
        """Write the events to a file of its own and return its name."""
        name = f"{prefix}_{datetime.now():%Y-%m-%d_%H-%M-%S_%f}.json"
        try:
            with open(name, "w", encoding="utf-8") as file:
                json.dump(self._events, file, indent=0)
        except (OSError, ValueError) as error:  # ValueError: a NUL character
            reason = getattr(error, "strerror", None) or error
            raise ArgumentError(f"{name}: cannot be written: {reason}; see profile_file_prefix") from None
        return name
