"""Kill workers, the scheduler or the command of `numpyvgg score --dask` at random moments, and resume it to its end.

    python tools/kill_scores.py worker --kills 30

A run is begun in a cluster of a scheduler and two workers. One of them, or the command, gets SIGKILL after a random
time, until the run has ended; then the next run begins. What each wrote is held, byte for byte, against an undisturbed
run in one process. The network is a tiny one, so that a run is mostly the work of the command and the cluster.
"""

from __future__ import annotations

import argparse
import csv
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
import psutil
from kill_runs import write_photographs
from onnx import TensorProto, helper, numpy_helper

FILES = ("predictions.csv", "errors.csv", "scores.json", "unused.csv", "predictions.parquet")
SECONDS = 120  # in which a run that nobody disturbs any more must end


def write_network(path: Path) -> None:
    """A network of ages that looks at the mean colour of 16 x 16 pixels."""
    weight = np.random.default_rng(0).normal(0, 0.02, (3, 101)).astype(np.float32)
    nodes = [
        helper.make_node("GlobalAveragePool", ["image"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("Gemm", ["flat", "weight"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["prob"], axis=1),
    ]
    inputs = [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, 16, 16])]
    outputs = [helper.make_tensor_value_info("prob", TensorProto.FLOAT, ["N", 101])]
    graph = helper.make_graph(nodes, "colour", inputs, outputs, [numpy_helper.from_array(weight, "weight")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def write_list(photographs: Path, count: int) -> None:
    with (photographs / "list.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "age", "gender", "subject"])
        rows.writerows([f"{i:05}.jpg", 20 + i % 60, "fm"[i % 2], i // 4] for i in range(count))


class Cluster:
    """A scheduler and two workers, each of them with a nanny that starts it anew."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = str(free.getsockname()[1])
        self.processes: list[subprocess.Popen[bytes]] = []

    @property
    def address(self) -> str:
        return f"tcp://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, or start it anew where a part is dead."""
        if self.processes and all(process.poll() is None for process in self.processes):
            return
        self.stop()
        scheduler = ["scheduler", "--host", "127.0.0.1", "--port", self.port, "--no-dashboard"]
        workers = f"worker {self.address} --nworkers 2 --nthreads 1 --no-dashboard --death-timeout 30".split()
        self.processes = [
            subprocess.Popen(
                [sys.executable, "-m", "dask", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            for words in (scheduler, workers)
        ]

    def kill(self, victim: str, rng: random.Random) -> bool:
        """Kill the scheduler or one of the workers -> whether there was one."""
        scheduler, nannies = self.processes
        if victim == "scheduler":
            alive = scheduler.poll() is None
            scheduler.kill()
            scheduler.wait()
            return alive
        workers = [p for p in psutil.Process(nannies.pid).children() if "spawn_main" in " ".join(p.cmdline())]
        if workers:
            rng.choice(workers).kill()
        return bool(workers)

    def stop(self) -> None:
        for process in self.processes:
            family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
            process.kill()
            process.wait()
            for child in family:
                child.kill()


def command(photographs: Path, output: Path, *options: str) -> list[str]:
    network = ["--model", str(photographs / "net.onnx"), "--labels", "age"]
    words = ["score", "csv", str(photographs / "list.csv"), "-o", str(output), *network, *options]
    return [sys.executable, "-m", "numpyvgg", *words]


def run_to_its_end(
    photographs: Path, output: Path, cluster: Cluster, args: argparse.Namespace, kills: int
) -> tuple[int, int]:
    """One run, disturbed at most so often, resumed until it has ended -> how often, and how often between shards."""
    done, inside, rng = 0, 0, args.rng
    while True:
        cluster.start()
        options = ["--resume"] if (output / "manifest.json").exists() else []
        words = command(photographs, output, "--dask", cluster.address, *options)
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        while process.poll() is None:
            try:
                process.wait(rng.uniform(0, args.seconds) if done < kills else SECONDS)
            except subprocess.TimeoutExpired:
                assert done < kills, "the run does not end"
                if args.victim != "command" and not cluster.kill(args.victim, rng):
                    continue  # the nanny has not started another worker yet
                if args.victim == "command":
                    process.kill()
                    process.wait()
                done += 1
                inside += any((output / "shards").glob("*.json")) and not (output / "predictions.csv").exists()
        assert process.stderr is not None
        said = process.stderr.read().decode()
        if process.returncode == 1:  # some photographs are broken
            return done, inside
        assert process.returncode in (0, 2, -9), said  # shards are left; the scheduler is gone; killed
        assert process.returncode != 2 or "scheduler" in said or "worker" in said, said


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("victim", choices=("worker", "scheduler", "command"))
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--photographs", type=int, default=5120)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.rng, kills, inside, runs, differing = random.Random(args.seed), 0, 0, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        photographs, reference, cluster = Path(folder) / "photographs", Path(folder) / "reference", Cluster()
        write_photographs(photographs, args.photographs)
        write_list(photographs, args.photographs)
        write_network(photographs / "net.onnx")
        subprocess.run(command(photographs, reference), capture_output=True)
        try:
            began = time.perf_counter()
            run_to_its_end(photographs, Path(folder) / "undisturbed", cluster, args, 0)
            args.seconds = time.perf_counter() - began
            while kills < args.kills:
                output = Path(folder) / str(runs)
                done, between = run_to_its_end(photographs, output, cluster, args, args.kills - kills)
                kills, inside = kills + done, inside + between
                differing += any((output / name).read_bytes() != (reference / name).read_bytes() for name in FILES)
                shutil.rmtree(output)
                runs += 1
                print(f"run {runs}: {kills} of {args.kills} kills, {differing} differ", file=sys.stderr, flush=True)
        finally:
            cluster.stop()
    print(
        f"{args.victim}: {kills} kills in {runs} runs over {args.photographs} photographs, each of {args.seconds:.0f} s"
    )
    print(f"undisturbed; {inside} of them after the first shard and before the last; {differing} runs differ by a byte")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
