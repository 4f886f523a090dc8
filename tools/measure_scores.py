"""Half a million photographs through `numpyvgg.score.cluster`, with a table lookup in place of a network.

    python tools/measure_scores.py --rows 500000

A scheduler and two workers of one thread are processes of their own; this one hands out the shards, writes and merges
them. Printed: rows a second, what each process holds as the run goes on, and where the time of a shard goes.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
from kill_scores import Cluster

from numpyvgg.score import cluster
from numpyvgg.score.scores import collect, scores
from numpyvgg.score.shards import Run
from numpyvgg.score.table import Row, Table


class Lookup:
    """A `Scorer` whose answer is in the photograph's name, ``00/000123.jpg``: the number modulo 100."""

    def open(self) -> None:
        pass

    def __call__(self, paths: list[str], boxes: object) -> dict[str, list[Any]]:
        n = len(paths)
        return {
            "row": list(range(n)),
            "image": paths,
            "network": ["lookup"] * n,
            "kind": ["age"] * n,
            "expected": [float(int(path[-10:-4]) % 100) for path in paths],
            "standard_deviation": [6.0] * n,
            "label": [""] * n,
            "probability": [None] * n,
            "error": [""] * n,
        }


class Watched(Run):
    """A run that notes how long its writing takes and its workers took, and what each process holds."""

    processes: dict[str, psutil.Process]

    def write(self, shard, columns, seconds, host):  # type: ignore[no-untyped-def]
        began = time.perf_counter()
        super().write(shard, columns, seconds, host)
        self.writing += time.perf_counter() - began
        self.answering += seconds
        self.written += 1
        if self.written * 5 % len(self.shards) < 5:
            held = {name: f"{process.memory_info().rss / 1e6:.0f} MB" for name, process in self.processes.items()}
            print(f"after {self.written} of {len(self.shards)} shards", held, flush=True)

    def watch(self, processes: dict[str, psutil.Process]) -> None:
        self.processes, self.writing, self.answering, self.written = processes, 0.0, 0.0, 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=500_000)
    rows = parser.parse_args().rows
    table = Table(
        Path("/photographs"),
        [Row(f"{i % 100:02}/{i:06}.jpg", float(i % 100), subject=str(i // 25)) for i in range(rows)],
    )
    what = {"version": "", "faces": "none", "networks": {"lookup": {"kind": "age", "classes": []}}}
    machine = Cluster()
    with tempfile.TemporaryDirectory() as folder:
        try:
            machine.start()
            run = Watched(Path(folder), table, {"format": "csv", "protocol": "all", "settings": what})
            run.begin()
            with cluster.Client(machine.address, timeout=60) as client:
                client.wait_for_workers(2, timeout=60)
                pids = {
                    f"worker {i}": pid for i, pid in enumerate(client.run(lambda: __import__("os").getpid()).values())
                }
            pids |= {"scheduler": machine.processes[0].pid, "command": psutil.Process().pid}
            run.watch({name: psutil.Process(pid) for name, pid in pids.items()})
            before, began = run.processes["scheduler"].cpu_times(), time.perf_counter()
            cluster.compute(run, Lookup(), run.shards, lambda failed: None, threading.Event(), machine.address)  # type: ignore[arg-type]
            seconds, after = time.perf_counter() - began, run.processes["scheduler"].cpu_times()
        finally:
            machine.stop()
        each = 1000 / len(run.shards)
        print(
            f"{rows} rows in {seconds:.1f} s, {rows / seconds:.0f} a second, {seconds * each:.1f} ms a shard, of which"
        )
        print(
            f"  writing {run.writing * each:.1f} ms, lookup {run.answering * each:.1f} ms, the scheduler's processor "
            f"{(sum(after[:2]) - sum(before[:2])) * each:.1f} ms"
        )
        began = time.perf_counter()
        run.merge()
        merged = time.perf_counter()
        result = scores(table, run.manifest, collect(rows, ["lookup"], run.answers()), Counter())
        print(
            f"merged in {merged - began:.1f} s, scored in {time.perf_counter() - merged:.1f} s; peak "
            f"{psutil.Process().memory_info().rss / 1e6:.0f} MB; mae {result['networks'][0]['measures'][0]['value']}"
        )


if __name__ == "__main__":
    main()
