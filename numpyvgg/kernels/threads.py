"""Threads that take strips, and what they need: cores, cache sizes, scratch memory, a BLAS that keeps to one thread.

NumPy releases the GIL (the interpreter's lock) inside copies, arithmetic on arrays and matrix products, so Python
threads that each take a strip of an image keep all cores busy, in every step. BLAS's own threads would only help in the
products, and leave copies, ReLU and pooling to one core; those of NumPy's BLAS are switched off while ours run.
"""

from __future__ import annotations

import math
import os
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Any

import numpy as np

from .process import SHARE

_AVX512_KERNELS = ("SkylakeX", "Cooperlake", "Sapphirerapids", "SapphireRapids")  # OpenBLAS's names of them


def available_cores() -> int:
    """Cores that this process may use: its share, else its affinity, and its container's quota where that is less."""
    if SHARE.cores:
        return SHARE.cores
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


def strips_in_cache(height: int, row_bytes: int) -> list[slice]:
    """Cut an image's rows into strips that take the core's L2 at most, in pairs, since pooling takes them so.

    Shorter ones would be nearer, but a call of NumPy takes a microsecond. What is larger than a quarter of the L2 is at
    least two strips, so that two threads have something to do.
    """
    size, cache = height * row_bytes, cache_bytes(2)
    strips = max(-(-size // cache), 2 if size > cache // 4 else 1)
    rows = max(2, -(-height // strips) // 2 * 2)
    return [slice(first, min(first + rows, height)) for first in range(0, height, rows)]


def _numpy_blas() -> list[Any]:
    """Controllers of the BLAS that NumPy calls; other packages, such as SciPy, may bring their own, which are not ours.

    None without threadpoolctl: BLAS then keeps its own number of threads, and ours get in each other's way.

    NumPy's wheels have it in NumPy's own folder or the ``numpy.libs`` beside it. Elsewhere NumPy uses the system's:
    whatever is loaded.
    """
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        return []
    loaded = ThreadpoolController().select(user_api="blas").lib_controllers
    folder = os.path.realpath(np.__path__[0])
    homes = (folder + os.sep, f"{folder}.libs{os.sep}")
    return [library for library in loaded if os.path.realpath(library.filepath).startswith(homes)] or loaded


@cache
def blas_is_tuned() -> bool:
    """Whether NumPy's matrix products are those of a BLAS made for this processor.

    threadpoolctl knows such libraries by name. Where it finds none (macOS's Accelerate, a browser, Debian's reference
    BLAS) a product is timed: a tuned one does tens of billions of operations a second, a loop in C or Fortran one.
    """
    if _numpy_blas():
        return True
    a = np.ones((192, 192), np.float32)
    times = []
    for _ in range(3):
        began = time.perf_counter()
        a @ a
        times.append(time.perf_counter() - began)
    return 2 * 192**3 / min(times) > 6e9


@cache
def small_products_are_direct() -> bool:
    """Whether BLAS computes small products straight from their operands, without rearranging these first.

    OpenBLAS does on processors with AVX-512. With AVX2 it rearranges whatever the size, and the larger product wins.
    """
    return any(getattr(library, "architecture", "") in _AVX512_KERNELS for library in _numpy_blas())


class _OneBlasThread:
    """A context in which NumPy's BLAS uses one thread; the last to leave restores what the first found.

    BLAS has one setting for the whole process, so networks at work in several threads of a program share this one
    object, which counts them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._libraries: list[Any] | None = None
        self._found: list[int] = []
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._leave_parent)

    def _leave_parent(self) -> None:
        """In a forked child none of the parent's threads is at work, nor will it ever leave."""
        self._lock = threading.Lock()
        if self._inside:
            self._inside = 0
            self._set(self._found)

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                if self._libraries is None:  # looking through the loaded libraries takes milliseconds
                    self._libraries = _numpy_blas()
                self._found = [library.num_threads for library in self._libraries]
                self._set([1] * len(self._libraries))
            self._inside += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._set(self._found)

    def _set(self, threads: list[int]) -> None:
        assert self._libraries is not None
        for library, count in zip(self._libraries, threads, strict=True):
            # From threadpoolctl 3.8 on only the thread that set the first limit can set others; ours come and go.
            let_any_thread = getattr(library, "clear_controlling_thread", lambda force: None)
            let_any_thread(force=True)
            library.set_num_threads(count)
            let_any_thread(force=True)


one_blas_thread = _OneBlasThread()


class Scratch(threading.local):
    """Arrays that a thread uses again and again: fresh memory costs a page fault for every 4 KB."""

    def __init__(self) -> None:
        self._memory: dict[str, np.ndarray] = {}

    def array(self, name: str, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """An uninitialised array; the next one of that name, in the same thread, takes its place."""
        count = math.prod(shape) * dtype.itemsize
        if name not in self._memory or self._memory[name].size < count:
            self._memory.pop(name, None)  # before the larger one is made, which may take its place
            self._memory[name] = np.empty(count, np.uint8)
        return self._memory[name][:count].view(dtype).reshape(shape)

    def spaced(self, name: str, count: int, length: int, dtype: np.dtype) -> np.ndarray:
        """The same, as rows with a cache line between them: a power of two apart, all would fall on the same lines."""
        return self.array(name, (count, length + 64 // dtype.itemsize), dtype)[:, :length]


class Tickets:
    """The numbers from 0 to ``count - 1``, each handed to exactly one iterating thread."""

    def __init__(self, count: int) -> None:
        self._lock = threading.Lock()
        self._next, self._count = 0, count

    def __iter__(self) -> Tickets:
        return self

    def __next__(self) -> int:
        with self._lock:
            if self._next == self._count:
                raise StopIteration
            self._next += 1
            return self._next - 1

    def close(self) -> None:
        """Hand out no more."""
        with self._lock:
            self._next = self._count


class Workers:
    """A pool of threads that share out numbered tasks.

    A network has a dozen convolutions of a few milliseconds each, and all threads meet after each of them: starting and
    ending a round takes half as long here as with `concurrent.futures`, whose futures nobody needs.

    Parameters
    ----------
    threads : int
        How many work at a time, the calling one among them.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._starting = threading.Lock()
        self._rounds: SimpleQueue[_Round | None] = SimpleQueue()
        self._helpers = 0
        self._process = 0

    def run(self, task: Callable[[int], None], count: int) -> None:
        """Call ``task(0)`` to ``task(count - 1)``, in no particular order; an error in one of them is raised."""
        if min(self.threads, count) <= 1:
            with one_blas_thread:
                for number in range(count):
                    task(number)
            return
        this = _Round(task, count)
        self._start()
        helpers = min(self._helpers, count - 1)
        with one_blas_thread:
            for _ in range(helpers):
                self._rounds.put(this)
            this.work()
            for _ in range(helpers):
                this.ended.get()
        error, this.error = this.error, None
        try:
            if error is not None:
                raise error
        finally:
            del error  # which remembers this frame: with each holding the other, the round's arrays would live on

    def _start(self) -> None:
        """Start the helpers, once, and as many as the system lets; they end with this object."""
        with self._starting:
            if self._process == os.getpid():  # a forked child has none of its parent's threads
                return
            self._rounds, self._helpers, self._process = SimpleQueue(), 0, os.getpid()
            with suppress(RuntimeError):  # a browser's Python has no threads
                for number in range(1, self.threads):
                    name = f"numpyvgg-{number}"
                    threading.Thread(target=_help, args=(self._rounds,), name=name, daemon=True).start()
                    weakref.finalize(self, self._rounds.put, None).atexit = False  # some work until the very end
                    self._helpers = number


class _Round:
    """Tasks that several threads take in turn; `ended` gets an entry from each helper."""

    def __init__(self, task: Callable[[int], None], count: int) -> None:
        self._task = task
        self._errors = np.geterr()  # NumPy's warnings are a setting of each thread; helpers take the caller's
        self._numbers = Tickets(count)
        self.ended: SimpleQueue[None] = SimpleQueue()
        self.error: BaseException | None = None

    def work(self) -> None:
        """Take tasks until none are left, or one has failed."""
        try:
            with np.errstate(**self._errors):
                for number in self._numbers:
                    self._task(number)
        except BaseException as error:
            self.error = self.error or error
            self._numbers.close()


def _help(rounds: SimpleQueue[_Round | None]) -> None:
    """What a helper does; it holds on to nothing between two rounds."""
    while (this := rounds.get()) is not None:
        this.work()
        this.ended.put(None)
        del this
