"""Shards computed by a Dask cluster: by the cores of this machine, or by whatever workers have joined a scheduler.

    command     hands out a few shards at a time, and writes what comes back, as `compute` does
    scheduler   knows of the shards that are out, and of no others: its memory does not depend on how many there are
    workers     open the networks once, as they join, and answer for photographs by their paths

Only the command writes, so workers need the photographs and the networks, and not the folder of the run. A worker that
dies costs the shards that it had, which the scheduler gives to another. When the scheduler dies, whatever was written
stays, and the run goes on with ``--resume``.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import pickle
import platform
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from ..errors import ArgumentError, MissingExtraError, NumpyVggError
from ..kernels.memory import memory_limit
from ..kernels.process import SHARE
from ..kernels.threads import available_cores
from .scorer import Columns, Scorer
from .shards import Run, Shard
from .table import Box

try:
    from distributed import Client, KilledWorker, LocalCluster, WorkerPlugin, get_worker, wait
    from distributed.client import CancelledError, Future
except ImportError as error:
    raise MissingExtraError(f"--dask needs {error.name}: pip install distributed") from None

#: Shards that are out for each thread of the workers: one in work, one waiting
AHEAD = 2
#: Seconds in which the scheduler has to answer, and the first worker to join
PATIENCE = 30
#: Bytes of a worker beside its networks: Python, NumPy, photographs, what a pass computes
_BESIDE = 300_000_000


class OpenNetworks(WorkerPlugin):
    """Opens the networks in each worker, once, as it joins.

    A worker computes with as many threads as Dask says that it has. The weights of fully connected layers (VGG-16's are
    494 MB of its 539) stay in the file, so that the workers of a machine share them in its page cache.
    """

    def __init__(self, scorer: Scorer):
        self.scorer = scorer

    def setup(self, worker: Any) -> None:
        SHARE.cores, SHARE.memory = worker.state.nthreads, "small"
        self.scorer.open()


def packed(paths: list[str], boxes: list[Box | None]) -> bytes:
    """A shard's photographs, for `answer`: a tenth of them as lists.

    The scheduler keeps its last thousand messages to each worker for diagnosis; of lists that would be 30 MB a worker.
    """
    return zlib.compress(pickle.dumps((paths, boxes)))


def answer(plugin: str, photographs: bytes) -> tuple[Columns, float, str]:
    """What a worker does with a shard -> the answers, the seconds that they took, and where."""
    began = time.perf_counter()
    opened: Any = get_worker().plugins[plugin]
    columns = opened.scorer(*pickle.loads(zlib.decompress(photographs)))
    return columns, time.perf_counter() - began, platform.node()


def compute(
    run: Run,
    scorer: Scorer,
    shards: Iterable[Shard],
    progress: Callable[[bool], None],
    stop: threading.Event,
    address: str = "",
) -> None:
    """Have shards answered by a cluster, and write them; as `compute.compute`.

    Parameters
    ----------
    address : str
        The scheduler's; by default a cluster of this machine's cores is started, and ended.

    Raises
    ------
    ArgumentError
        There is no scheduler, it has no workers, or it is gone.
    NumpyVggError
        A worker cannot open the networks, or has others under their names.
    """
    try:
        with _cluster(address, scorer) as client, _opened(client, scorer) as plugin:
            _compute(run, shards, progress, stop, client, plugin)
    except (CancelledError, OSError) as error:  # what distributed raises once it has lost the scheduler
        raise ArgumentError(
            f"--dask {address}: lost the scheduler ({type(error).__name__}); --resume goes on"
        ) from None


def _compute(
    run: Run,
    shards: Iterable[Shard],
    progress: Callable[[bool], None],
    stop: threading.Event,
    client: Client,
    plugin: str,
) -> None:
    paths, boxes = [os.path.abspath(path) for path in run.table.paths], [row.box for row in run.table.rows]
    waiting, out = iter(shards), dict[Future, Shard]()
    asked, threads = 0.0, 0
    while not stop.is_set():
        if client.status != "running":
            raise CancelledError
        if time.monotonic() - asked > 1:  # workers come and go
            asked, threads = time.monotonic(), sum(client.nthreads().values())
        for shard in islice(waiting, max(AHEAD * threads - len(out), 0)):
            rows = slice(shard.first, shard.stop)
            out[client.submit(answer, plugin, packed(paths[rows], boxes[rows]), pure=False)] = shard
        if not out:
            return
        with contextlib.suppress(TimeoutError):  # half a second, so that Ctrl-C is heeded
            for future in wait(list(out), timeout=0.5, return_when="FIRST_COMPLETED").done:
                _write(run, out.pop(future), future, progress)


def _write(run: Run, shard: Shard, future: Future, progress: Callable[[bool], None]) -> None:
    """Write what came of a shard; one whose workers died again and again is left for ``--resume``."""
    try:
        columns, seconds, host = future.result()
    except KilledWorker:
        return
    run.write(shard, columns, seconds, host)
    failed = sum(bool(error) for error in columns["error"])
    for number in range(len(shard)):
        progress(number < failed)


# ---------------------------------------------------------------------- the cluster


@contextlib.contextmanager
def _cluster(address: str, scorer: Scorer) -> Iterator[Client]:
    """A client of the scheduler at an address, or of a cluster of this machine's cores."""
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what it has to say ends up in our errors
    with contextlib.ExitStack() as stack:
        if address:
            try:
                client = stack.enter_context(Client(address, timeout=PATIENCE))
            except (OSError, ValueError) as error:
                raise ArgumentError(f"--dask {address}: no scheduler answers there: {error}") from None
        else:
            processes, threads = shared_out(scorer)
            local = LocalCluster(
                n_workers=processes, threads_per_worker=threads, dashboard_address=None, silence_logs=logging.CRITICAL
            )
            client = stack.enter_context(Client(stack.enter_context(local)))
        try:
            client.wait_for_workers(1, timeout=PATIENCE)
        except TimeoutError:
            raise ArgumentError(f"--dask {address}: no worker has joined in {PATIENCE} s") from None
        yield client


@contextlib.contextmanager
def _opened(client: Client, scorer: Scorer) -> Iterator[str]:
    """The networks in all workers, present and to come -> the name of the plugin that has them there."""
    name = f"numpyvgg-{hashlib.sha256(pickle.dumps(scorer)).hexdigest()[:16]}"  # two runs may share a cluster
    try:
        client.register_plugin(OpenNetworks(scorer), name=name)
    except NumpyVggError as error:
        raise type(error)(f"a worker cannot open the networks: {error}") from None
    try:
        yield name
    finally:
        if client.status == "running":  # else the scheduler is gone, and its workers with it
            client.unregister_worker_plugin(name)


def shared_out(scorer: Scorer) -> tuple[int, int]:
    """How many worker processes this machine gets, and of how many threads each.

    A process a core, since in Python processes do not wait for each other; fewer with more threads where the machine's
    memory has no room for so many times the networks.
    """
    cores, files = available_cores(), {network.model.path for network in scorer.open().networks.values()}
    size = sum(Path(path).stat().st_size for path in files) + _BESIDE
    processes = max(1, min(cores, int(0.75 * memory_limit() / size)))
    return processes, cores // processes
