"""Measure this package against others on the same network, machine and images.

Each system runs in a process of its own, in which nothing else is loaded; some go on spinning after a run, and would
slow whatever came next in the same one. Rounds alternate between the systems, so that a machine that slows down slows
all of them. The first run of each turn is not counted.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..errors import ArgumentError

PINNING = ("OPENBLAS_", "MKL_", "OMP_", "GOTO_", "BLIS_", "VECLIB_", "NVPL_", "KMP_")
#: kernels in float32 differ by some 1e-5 of a probability here (docs/speed.md); in tf32, bf16 or fp16 by 1e-3 and more
REDUCED = 2e-4
WORKER = Path(__file__).with_name("worker.py")


@dataclass(frozen=True)
class System:
    """A system that can be measured: its name in tables, its function in `worker`, its package."""

    name: str
    function: str
    package: str
    module: str
    plain: bool = False  # wants a file whose initializers are not listed as inputs


SYSTEMS = (
    System("numpyvgg im2col", "numpyvgg_im2col", "numpyvgg", "numpyvgg"),
    System("numpyvgg winograd", "numpyvgg_winograd", "numpyvgg", "numpyvgg"),
    System("onnxruntime", "onnxruntime", "onnxruntime", "onnxruntime"),
    System("openvino f32", "openvino", "openvino", "openvino"),
    System("opencv dnn", "opencv", "opencv-python-headless", "cv2", plain=True),
    System("ncnn", "ncnn", "ncnn", "ncnn"),
    System("mnn", "mnn", "MNN", "MNN"),
    System("pytorch", "pytorch", "torch", "torch"),
    System("onnx.reference", "onnx_reference", "onnx", "onnx"),
)


def installed(names: Sequence[str] | None = None) -> list[System]:
    """The systems that are here, or those of them that are named by the beginnings of their names.

    Raises
    ------
    ArgumentError
        A name is that of no installed system.
    """
    here = [system for system in SYSTEMS if find_spec(system.module)]
    if not names:
        return here
    for name in names:
        if not any(system.name.startswith(name) for system in here):
            known = ", ".join(repr(system.name) for system in here)
            packages = {system.package for system in SYSTEMS if system.name.startswith(name)}
            mend = f": pip install {' '.join(sorted(packages))}" if packages else ""
            raise ArgumentError(f"no installed system is called {name!r}{mend}; there are {known}")
    return [system for system in here if any(system.name.startswith(name) for name in names)]


class Worker:
    """A measured process; `first` is its report on the first answer, `seconds` what later runs took."""

    def __init__(self, system: System, path: str, threads: int, batch: int):
        environment = {key: value for key, value in os.environ.items() if not key.startswith(PINNING)}
        environment["PYTHONPATH"] = os.pathsep.join(
            [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
        )
        command = [sys.executable, str(WORKER), system.function, path, str(threads), str(batch)]
        self._began = time.perf_counter()
        self._process = subprocess.Popen(
            command,
            env=environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self.seconds: list[float] = []
        self.first = self._read()
        self.cold = time.perf_counter() - self._began

    def _read(self) -> Any:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with suppress(ValueError):  # what a system prints of its own
                return json.loads(line)
        return None

    def turn(self, runs: int) -> None:
        """Some runs, of which the first warms up."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{runs + 1}\n")
        self._process.stdin.flush()
        self.seconds += (self._read() or [])[1:]
        time.sleep(0.1)  # until threads that still spin have gone to sleep

    def close(self) -> dict[str, Any]:
        """End the process: its last report."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        report = self._read()
        self._process.wait()
        return report or {}

    def stop(self) -> None:
        """End the process, whatever it is doing."""
        self._process.kill()
        self._process.wait()


def variant(path: str, folder: str, plain: bool, any_batch: bool) -> str:
    """A copy of an ONNX file as a system wants it; the file itself, where it is that already.

    Parameters
    ----------
    plain : bool
        Initializers are not listed as inputs.
    any_batch : bool
        A batch of 1 that the file fixes, for its input, its output and in each Reshape, becomes free.
    """
    import onnx

    model = onnx.load(path)
    before = model.SerializeToString()
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in tensors]
    if any_batch:
        for value in (*inputs, *model.graph.output):
            value.type.tensor_type.shape.dim[0].dim_param = "N"
        for node in model.graph.node:
            if node.op_type == "Reshape" and node.input[1] in tensors:
                shape = onnx.numpy_helper.to_array(tensors[node.input[1]]).copy()
                shape[0] = -1
                tensors[node.input[1]].CopyFrom(onnx.numpy_helper.from_array(shape, node.input[1]))
    if plain:
        del model.graph.input[:]
        model.graph.input.extend(inputs)
        model.ir_version = max(model.ir_version, 4)
    if model.SerializeToString() == before:
        return path
    copy = str(Path(folder) / f"{'plain' if plain else 'listed'}-{'any' if any_batch else 'one'}.onnx")
    onnx.save(model, copy)
    return copy


def measure(
    path: str,
    systems: Sequence[System],
    threads: int,
    rounds: int,
    batches: Sequence[int] = (1, 16),
    progress: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Measure all systems.

    Returns
    -------
    dict
        ``machine`` and, under ``systems``, a record of each: ``load``, ``cold`` (process start to answer) in seconds,
        ``peak`` in bytes, ``answer`` (probabilities of one image of noise), and for each batch size the seconds an
        image of every counted run.
    """
    records: dict[str, Any] = {system.name: {"version": _version(system.package)} for system in systems}
    with tempfile.TemporaryDirectory() as folder:
        peers = [system for system in systems if system.package != "numpyvgg"]  # which take the file as it is
        paths = {system.name: path for system in systems}
        plain = variant(path, folder, plain=True, any_batch=False) if any(system.plain for system in peers) else path
        paths |= {system.name: plain for system in peers if system.plain}
        for i in range(3):
            for system in systems:
                progress(f"cold start {i + 1} of 3: {system.name}")
                worker = Worker(system, paths[system.name], threads, 1)
                record = records[system.name]
                if worker.first is None:
                    record["failed"] = True
                else:
                    record.setdefault("cold", []).append(worker.cold)
                    record.setdefault("load", []).append(worker.first["load"])
                    record["peak"] = max(worker.first["peak"], record.get("peak", 0))
                    record["answer"] = worker.first["answer"]
                record["blas"] = worker.close().get("blas", "")
        for batch in batches:
            if batch > 1 and peers:
                kinds = {plain: variant(path, folder, plain, any_batch=True) for plain in {s.plain for s in peers}}
                paths |= {system.name: kinds[system.plain] for system in peers}
            _measure_batch(systems, paths, records, threads, batch, rounds, progress)
    return {"machine": machine(), "threads": threads, "systems": records}


def _measure_batch(
    systems: Sequence[System],
    paths: dict[str, str],
    records: dict[str, Any],
    threads: int,
    batch: int,
    rounds: int,
    progress: Callable[[str], None],
) -> None:
    with ExitStack() as stack:
        workers = {}
        for system in systems:
            if batch > 1 and system.function == "onnx_reference":
                continue  # minutes a run, and the same for each image
            progress(f"batch {batch}: opening {system.name}")
            worker = Worker(system, paths[system.name], threads, batch)
            stack.callback(worker.stop)
            if worker.first is not None:
                workers[system.name] = worker
        for i in range(rounds if batch == 1 else max(2, rounds // 3)):
            for name, worker in workers.items():
                progress(f"batch {batch}: round {i + 1} of {rounds}: {name}")
                if name != "onnx.reference" or i == 0:
                    worker.turn(3 if batch == 1 and name != "onnx.reference" else 1)
        for name, worker in workers.items():
            records[name][f"batch {batch}"] = [seconds / batch for seconds in worker.seconds]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def machine() -> dict[str, Any]:
    """What was measured on, and when."""
    cpu = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return {
        "date": time.strftime("%Y-%m-%d"),
        "cpu": cpu,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "numpy": _version("numpy"),
    }


def _off_by(answer: list[float] | None, reference: list[float] | None) -> str:
    if not answer or not reference:
        return ""
    far = max(abs(theirs - ours) / ours for theirs, ours in zip(answer, reference, strict=True) if ours > 1e-6)
    return f"{far:.0e}" + (": reduced precision" if far > REDUCED else "")


def table_rows(result: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """The result as a table: a header and a row for each system.

    Ratios are of one warm image to ours; "off by" is the largest relative difference of a probability to ours by
    im2col (or whatever is there of ours). More than `REDUCED` is no float32 any more, whatever the system was asked.
    """
    systems = result["systems"]
    ours = next((r["batch 1"] for name, r in systems.items() if name == "numpyvgg winograd" and r.get("batch 1")), None)
    reference = next((r["answer"] for name, r in systems.items() if "numpyvgg" in name and "answer" in r), None)
    header = [
        "system",
        "load s",
        "cold s",
        "peak MB",
        "1 image ms",
        "quartiles",
        "to winograd",
        "batch of 16, ms each",
        "off by",
    ]
    table = []
    for name, record in systems.items():
        one, many = record.get("batch 1"), record.get("batch 16")
        table.append(
            [
                f"{name} {record['version']}".strip(),
                f"{statistics.median(record['load']):.2f}" if "load" in record else "failed",
                f"{statistics.median(record['cold']):.2f}" if "cold" in record else "",
                f"{record['peak'] / 1e6:.0f}" if "peak" in record else "",
                f"{statistics.median(one) * 1e3:.1f}" if one else "",
                " .. ".join(f"{q * 1e3:.0f}" for q in statistics.quantiles(one, n=4)[::2]) if one and one[1:] else "",
                f"{statistics.median(one) / statistics.median(ours):.2f}" if one and ours else "",
                f"{statistics.median(many) * 1e3:.1f}" if many else "",
                _off_by(record.get("answer"), reference),
            ]
        )
    return header, table
