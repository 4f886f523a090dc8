"""Threads that take strips, and what they need: cores, cache sizes, scratch memory, a BLAS that keeps to one thread.

NumPy gives up the interpreter's lock inside copies, arithmetic on arrays and matrix products, so Python threads that
each take a strip of an image keep all cores busy, in every step. BLAS's own threads would only help in the products,
and leave copies, ReLU and pooling to one core; they are switched off while ours run.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController


def available_cores() -> int:
    """Cores that this process may use: its affinity, and its container's quota where that is less."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows have no affinity
        cores = os.cpu_count() or 1
    return max(1, int(min(cores, _container_quota())))


def _container_quota(root: Path = Path("/sys/fs/cgroup")) -> float:
    """Cores' worth of time that control groups grant this process; infinity without a limit."""
    for quota_file, period_file in (("cpu.max", None), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        try:
            words = (root / quota_file).read_text().split()  # "max 100000", "150000 100000", or one number below v2
            words += (root / period_file).read_text().split() if period_file else []
            quota, period = float(words[0]), float(words[1])
        except (OSError, ValueError, IndexError):
            continue
        if quota > 0 and period > 0:
            return quota / period
    return float("inf")


@cache
def cache_bytes(level: int) -> int:
    """Size of one core's data cache, as Linux tells it; elsewhere a size that current cores exceed."""
    for index in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
        try:
            kind, size = (index / "type").read_text().strip(), (index / "size").read_text().strip()
            if int((index / "level").read_text()) == level and kind != "Instruction" and size.endswith("K"):
                return int(size[:-1]) * 1024
        except (OSError, ValueError):
            continue
    return {1: 32 * 1024, 2: 1024 * 1024}[level]


class _OneBlasThread:
    """A context in which BLAS uses one thread; the last to leave restores what the first found.

    BLAS has one setting for the whole process, so networks at work in several threads of a program share this one
    object, which counts them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._controller: ThreadpoolController | None = None
        self._limit: Any = None

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                if self._controller is None:  # looking through the loaded libraries takes milliseconds
                    self._controller = ThreadpoolController().select(user_api="blas")
                self._let_any_thread_set()
                self._limit = self._controller.limit(limits=1)
            self._inside += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._let_any_thread_set()
                self._limit.restore_original_limits()
                self._let_any_thread_set()

    def _let_any_thread_set(self) -> None:
        """From threadpoolctl 3.8 on only the thread that set the first limit can set others; ours come and go."""
        assert self._controller is not None
        for library in self._controller.lib_controllers:
            if hasattr(library, "clear_controlling_thread"):
                library.clear_controlling_thread(force=True)


one_blas_thread = _OneBlasThread()


class Scratch(threading.local):
    """Arrays that a thread uses again and again: fresh memory costs a page fault for every 4 KB."""

    def __init__(self) -> None:
        self._memory: dict[str, np.ndarray] = {}

    def array(self, name: str, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """An uninitialised array; the next one of that name, in the same thread, takes its place."""
        count = math.prod(shape) * dtype.itemsize
        memory = self._memory.get(name)
        if memory is None or memory.size < count:
            self._memory[name] = memory = np.empty(count, np.uint8)
        return memory[:count].view(dtype).reshape(shape)

    def rows(self, name: str, count: int, length: int, dtype: np.dtype) -> np.ndarray:
        """The same, as rows that begin a cache line apart: at a power of two, all would fall on the same lines."""
        return self.array(name, (count, length + 64 // dtype.itemsize), dtype)[:, :length]


class Workers:
    """A pool of threads that share out numbered tasks.

    Parameters
    ----------
    threads : int
        How many work at a time, the calling one among them.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._pool: ThreadPoolExecutor | None = None
        self._process = 0

    def run(self, task: Callable[[int], None], count: int) -> None:
        """Call ``task(0)`` to ``task(count - 1)``, in no particular order; an error in one of them is raised."""
        lock = threading.Lock()
        following = 0

        def work() -> None:
            nonlocal following
            while True:
                with lock:
                    i, following = following, following + 1
                if i >= count:
                    return
                task(i)

        with one_blas_thread:
            helpers = min(self.threads, count) - 1
            futures = [self._executor().submit(work) for _ in range(helpers)]
            try:
                work()
            finally:
                wait(futures)
            for future in futures:
                future.result()

    def _executor(self) -> ThreadPoolExecutor:
        if self._pool is None or self._process != os.getpid():  # a forked child has none of its parent's threads
            self._pool, self._process = ThreadPoolExecutor(self.threads - 1, "numpyvgg"), os.getpid()
        return self._pool
