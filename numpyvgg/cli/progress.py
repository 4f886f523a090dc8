"""How far a long run has come, on stderr: a bar on a terminal, elsewhere a line a minute; and how it is stopped."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from ..text import progress_bar

#: Seconds between two lines where there is no terminal
EVERY = 60.0


class Progress:
    """Counts photographs and errors, and tells the rate and the time that is left.

    Parameters
    ----------
    total : int
        Photographs to come.
    of : int, optional
        As many there are with those that an earlier run has answered.
    """

    def __init__(self, total: int, of: int | None = None):
        self.total, self.done, self.errors = total, 0, 0
        self.of = total if of is None else of
        self._begin = self._told = time.monotonic()
        self._bar = progress_bar(total=total, unit="image", delay=1)

    def step(self, failed: bool) -> None:
        """Count one photograph."""
        self.done += 1
        self.errors += failed
        self._bar.update(1)
        if failed:
            self._bar.set_description(f"{self.errors} errors")
        now = time.monotonic()
        if not sys.stderr.isatty() and now - self._told >= EVERY:
            self._told = now
            print(f"numpyvgg: {self}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Take the bar away."""
        self._bar.__exit__(None, None, None)

    @property
    def rate(self) -> float:
        """Photographs a second."""
        return self.done / max(time.monotonic() - self._begin, 1e-9)

    @property
    def summary(self) -> str:
        """What came of them all."""
        before = self.of - self.total
        if not self.total:
            return f"all {before} photographs are answered already"
        seconds = time.monotonic() - self._begin
        errors = f", {self.errors} errors" if self.errors else ""
        already = f" ({before} more were answered already)" if before else ""
        return (
            f"{self.done} of {self.total} photographs{already}{errors} in {_clock(seconds)}, {self.rate:.1f} a second"
        )

    def __str__(self) -> str:
        left = (self.total - self.done) / max(self.rate, 1e-9)
        errors = f", {self.errors} errors" if self.errors else ""
        return f"{self.done} of {self.total} photographs{errors}, {self.rate:.1f} a second, {_clock(left)} left"


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {seconds:02} s" if minutes else f"{seconds} s"


class Stop:
    """Whether the run has been asked to end: what is being computed is then finished and written.

    Attributes
    ----------
    event : threading.Event
    signal : int
        By which signal; 0: by none.
    """

    def __init__(self) -> None:
        self.event, self.signal = threading.Event(), 0

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Heed Ctrl-C and SIGTERM by ending soon; a second one ends at once."""
        before: dict[signal.Signals, Any] = {}
        with contextlib.suppress(ValueError):  # signals reach the main thread only, and this may be another
            for number in (signal.SIGINT, signal.SIGTERM):
                before[number] = signal.signal(number, self._ask)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _ask(self, number: int, frame: object) -> None:
        if self.event.is_set():
            raise KeyboardInterrupt
        self.signal = number
        self.event.set()
