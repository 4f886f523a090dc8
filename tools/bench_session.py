"""Time networks in `numpyvgg.InferenceSession`, ONNX Runtime and onnx.reference: ResNet-50, VGG-19, the small networks.

    python tools/bench_session.py [--networks resnet50 vgg19 age-small gender-small] [--rounds 3]

The large networks have random weights and are written to the cache folder. Each measurement is a process of its own,
since ONNX Runtime's threads spin after a run and slow whatever runs next; the systems take turns, and the best warm
time of all rounds counts. Variables that pin BLAS kernels (OPENBLAS_CORETYPE) are not passed on.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from make_standin import Layout, write_standin
from onnx import TensorProto, helper

from numpyvgg.files.cache import cache_folder
from numpyvgg.text import table
from numpyvgg.zoo import BUNDLED

SYSTEMS = ("numpyvgg", "onnxruntime", "onnx.reference")
#: ResNet-50, He et al. 2016, table 1: blocks and inner filters of each stage
STAGES = ((3, 64), (4, 128), (6, 256), (3, 512))


class ResNet50:
    """The network's graph, layer by layer, with random weights that keep the signal's size."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: list[onnx.TensorProto] = []

    def add(self, op_type: str, inputs: list[str], arrays: tuple[np.ndarray, ...] = (), **attributes: Any) -> str:
        """Append a node that reads tensors and then arrays -> the name of what it computes."""
        output = f"{op_type}_{len(self.nodes)}"
        names = [f"{output}_{i}" for i in range(len(arrays))]
        self.tensors += [
            onnx.numpy_helper.from_array(a.astype(np.float32), n) for a, n in zip(arrays, names, strict=True)
        ]
        self.nodes.append(helper.make_node(op_type, inputs + names, [output], name=output, **attributes))
        return output

    def conv(self, x: str, channels: int, filters: int, kernel: int, stride: int = 1, gain: float = 1.0) -> str:
        """Convolution and batch normalisation."""
        weight = self.rng.standard_normal((filters, channels, kernel, kernel)) * (2 / (channels * kernel**2)) ** 0.5
        pads, strides = [kernel // 2] * 4, [stride] * 2
        x = self.add("Conv", [x], (weight,), kernel_shape=[kernel] * 2, pads=pads, strides=strides)
        one, zero = np.ones(filters), np.zeros(filters)
        return self.add("BatchNormalization", [x], (gain * one, zero, zero, one))

    def block(self, x: str, channels: int, inner: int, stride: int) -> str:
        """A bottleneck: 1x1, 3x3, 1x1, and the shortcut around them."""
        y = self.add("Relu", [self.conv(x, channels, inner, 1)])
        y = self.add("Relu", [self.conv(y, inner, inner, 3, stride)])
        y = self.conv(y, inner, 4 * inner, 1, gain=0.25)
        shortcut = x if channels == 4 * inner else self.conv(x, channels, 4 * inner, 1, stride)
        return self.add("Relu", [self.add("Add", [y, shortcut])])

    def model(self) -> onnx.ModelProto:
        """The whole network."""
        x = self.add("Relu", [self.conv("input", 3, 64, 7, 2)])
        x = self.add("MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
        channels = 64
        for stage, (blocks, inner) in enumerate(STAGES):
            for i in range(blocks):
                x = self.block(x, channels, inner, 2 if stage and i == 0 else 1)
                channels = 4 * inner
        x = self.add("Flatten", [self.add("GlobalAveragePool", [x])])
        x = self.add("Gemm", [x], (self.rng.standard_normal((1000, channels)) / 45, np.zeros(1000)), transB=1)
        x = self.add("Softmax", [x], axis=1)
        inputs = [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, 224, 224])]
        outputs = [helper.make_tensor_value_info(x, TensorProto.FLOAT, ["N", 1000])]
        graph = helper.make_graph(self.nodes, "resnet50", inputs, outputs, self.tensors)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def model_path(network: str) -> Path:
    """The network's file, which is written where it is not there."""
    if network in BUNDLED:
        return BUNDLED[network].path
    path = cache_folder() / "bench" / f"{network}.onnx"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        if network == "resnet50":
            part.write_bytes(ResNet50().model().SerializeToString())
        else:
            layout = Layout(opset=17, storage="raw", initializers_as_inputs=False, no_ops=(), flatten="Flatten")
            write_standin(part, layout, configuration="E", width=1.0, classes=1000)
        part.replace(path)
    return path


def open_network(system: str, path: Path, threads: int, conv: str) -> Callable[[dict[str, np.ndarray]], np.ndarray]:
    """The network in one of the systems, as a function."""
    if system == "onnx.reference":
        session: Any = importlib.import_module(system).ReferenceEvaluator(str(path))
    else:
        runtime = importlib.import_module("numpyvgg.session" if system == "numpyvgg" else system)
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        if system == "numpyvgg":
            options.add_session_config_entry("numpyvgg.conv", conv)
        session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda feed: session.run(None, feed)[0]


def measure(system: str, network: str, threads: int, seconds: float, conv: str) -> None:
    """Print the best warm time of some seconds, and the answer's largest numbers, as JSON."""
    path = model_path(network)
    name, size = ("images", BUNDLED[network].preparation.size[0]) if network in BUNDLED else ("input", 224)
    feed = {name: np.random.default_rng(0).uniform(-0.5, 0.5, (1, 3, size, size)).astype(np.float32)}
    run = open_network(system, path, threads, conv)
    answer, begin = run(feed), time.perf_counter()
    times: list[float] = []
    while not times or time.perf_counter() - begin < seconds:
        start = time.perf_counter()
        run(feed)
        times.append(time.perf_counter() - start)
    print(json.dumps({"best": min(times), "answer": answer.ravel().tolist()}))


def main() -> int:
    """Take turns, then print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=["resnet50", "vgg19", *BUNDLED])
    parser.add_argument("--systems", nargs="+", default=list(SYSTEMS), choices=SYSTEMS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--conv", default="im2col", help="in numpyvgg: im2col or winograd")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--measure", metavar="SYSTEM", help=argparse.SUPPRESS)  # what the child processes are told
    args = parser.parse_args()
    if args.measure:
        measure(args.measure, args.networks[0], args.threads, args.seconds, args.conv)
        return 0
    environment = {key: value for key, value in os.environ.items() if not key.startswith("OPENBLAS_")}
    rows = []
    for network in args.networks:
        model_path(network)
        found: dict[str, list[dict[str, Any]]] = {system: [] for system in args.systems}
        for _ in range(args.rounds):
            for system in args.systems:
                command = [sys.executable, __file__, "--measure", system, "--networks", network]
                command += ["--threads", str(args.threads), "--seconds", str(args.seconds), "--conv", args.conv]
                done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
                found[system].append(json.loads(done.stdout.splitlines()[-1]))
        best = {system: min(one["best"] for one in results) for system, results in found.items()}
        answers = [np.array(results[0]["answer"]) for results in found.values()]
        apart = max(float(abs(answers[0] - answer).max()) for answer in answers)
        rows.append([network, *(f"{best[system] * 1e3:.1f} ms" for system in args.systems), f"{apart:.0e}"])
    print(table(["network", *args.systems, "largest difference"], rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
