"""Work that threads do ahead of the one who needs it; where no thread can be started, that one does it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")


class Call(Generic[Result]):
    """A call that is made once, by whoever comes first: a thread that is free, or the one who needs the result."""

    def __init__(self, function: Callable[[], Result]) -> None:
        self._function = function
        self._unclaimed = threading.Lock()
        self._future: Future[Result] = Future()

    def make(self) -> None:
        """Make the call, unless somebody else does."""
        if self._unclaimed.acquire(blocking=False):
            try:
                self._future.set_result(self._function())
            except BaseException as error:
                self._future.set_exception(error)

    def result(self) -> Result:
        """What the call returns; what it raises is raised."""
        self.make()
        return self._future.result()


class Ahead:
    """Threads that make calls in their order; leaving this context ends them, with the calls that they are at.

    Parameters
    ----------
    threads : int
        How many; fewer, or none, where the system lets no more be started, such as a browser's Python.
    name : str
        What the threads are called.
    """

    def __init__(self, threads: int, name: str) -> None:
        self._calls: SimpleQueue[Call[Any] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        with suppress(RuntimeError):
            for number in range(threads):
                thread = threading.Thread(target=_work, args=(self._calls,), name=f"{name}-{number}", daemon=True)
                thread.start()
                self._threads.append(thread)

    def call(self, function: Callable[[], Result]) -> Call[Result]:
        """Have a function called soon."""
        call = Call(function)
        if self._threads:
            self._calls.put(call)
        return call

    def __enter__(self) -> Ahead:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(Empty):  # nobody needs what has not been begun
            while True:
                self._calls.get_nowait()
        for _ in self._threads:
            self._calls.put(None)
        for thread in self._threads:
            thread.join()


def _work(calls: SimpleQueue[Call[Any] | None]) -> None:
    while (call := calls.get()) is not None:
        call.make()
        del call  # or its result would be held until the next one comes
