"""Shards computed in this process, one after another."""

from __future__ import annotations

import platform
import threading
import time
from collections.abc import Callable, Iterable

from .scorer import Scorer
from .shards import Run, Shard


def compute(
    run: Run, scorer: Scorer, shards: Iterable[Shard], progress: Callable[[bool], None], stop: threading.Event
) -> None:
    """Answer shards and write them.

    Parameters
    ----------
    run : Run
    scorer : Scorer
    shards : iterable of Shard
        Those to answer.
    progress : callable
        Called for each photograph with whether it could not be answered.
    stop : threading.Event
        Once it is set, the shard in work is given up, and no other begun.
    """
    paths, boxes = run.table.paths, [row.box for row in run.table.rows]
    for shard in shards:
        began, rows = time.perf_counter(), slice(shard.first, shard.stop)
        columns = scorer(paths[rows], boxes[rows], stop, progress)
        if stop.is_set():
            return
        run.write(shard, columns, time.perf_counter() - began, platform.node())
