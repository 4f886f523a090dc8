"""The steps of tools/check_other_machines.sh: networks are made here, answer on the machines, and are judged here.

python other_machines.py prepare FOLDER [--full-size PATH]
python other_machines.py answer FOLDER MACHINE
python other_machines.py judge FOLDER MACHINE...
"""

from __future__ import annotations

import argparse
import platform
import struct
import sys
import time
from pathlib import Path

import numpy as np

import numpyvgg


def prepare(folder: Path, full_size: Path | None) -> None:
    """Write thin networks in three of the layouts that occur, their input, and what ONNX Runtime answers here."""
    import onnxruntime
    from make_standin import Layout, write_standin

    folder.mkdir(parents=True, exist_ok=True)
    x = np.random.default_rng(0).integers(0, 256, (1, 3, 224, 224)).astype(np.float32)
    np.save(folder / "x.npy", x)
    for name, layout in {
        "float_data": Layout(),
        "raw_unaligned": Layout(storage="raw", alignment=1),
        "external": Layout(storage="external", opset=17, initializers_as_inputs=False),
    }.items():
        write_standin(folder / f"{name}.onnx", layout)
    if full_size and not (folder / "full_size.onnx").exists():
        (folder / "full_size.onnx").symlink_to(full_size.resolve())
    for network in sorted(folder.glob("*.onnx")):
        (answer,) = onnxruntime.InferenceSession(str(network)).run(None, {"input": x})
        np.save(folder / f"{network.stem}.onnxruntime.npy", answer)


def answer(folder: Path, machine: str) -> None:
    """Run every network as a VGG, and the thin ones as a session too."""
    print(f"{platform.machine()}, {sys.byteorder}-endian, {8 * struct.calcsize('P')} bits, NumPy {np.__version__}")
    x = np.load(folder / "x.npy")
    for network in sorted(folder.glob("*.onnx")):
        kinds = {"vgg": _as_vgg} if network.stem == "full_size" else {"vgg": _as_vgg, "session": _as_session}
        for kind, run in kinds.items():
            begin = time.perf_counter()
            np.save(folder / f"{network.stem}.{machine}.{kind}.npy", run(network, x))
            print(f"  {network.stem}, {kind}: {time.perf_counter() - begin:.0f} s", flush=True)


def _as_vgg(network: Path, x: np.ndarray) -> np.ndarray:
    return numpyvgg.VGG16.from_onnx(network)(x)


def _as_session(network: Path, x: np.ndarray) -> np.ndarray:
    return numpyvgg.InferenceSession(network).run(None, {"input": x})[0]


def judge(folder: Path, machines: list[str]) -> int:
    """Print each machine's differences and bounds -> how many answers are beyond theirs.

    The bound is `numpyvgg.parity`'s for an output alone: how far passes of our own in random orders are from the exact
    network, times Student's t. It is one for the root mean square over the classes.
    """
    beyond = 0
    print("| network | machine | as | largest difference from ONNX Runtime | from the exact network, rms | bound |")
    print("|---|---|---|---:|---:|---:|")
    for network in sorted(folder.glob("*.onnx")):
        exact, limit = _exact_and_limit(network, np.load(folder / "x.npy"))
        runtime = np.load(folder / f"{network.stem}.onnxruntime.npy")
        for machine in machines:
            for path in sorted(folder.glob(f"{network.stem}.{machine}.*.npy")):
                values, kind = np.load(path), path.stem.rpartition(".")[2]
                error = float(np.sqrt(np.mean((values - exact) ** 2)))
                beyond += not error <= limit
                apart = abs(values - runtime).max()
                print(f"| {network.stem} | {machine} | {kind} | {apart:.1e} | {error:.1e} | {limit:.1e} |")
    return beyond


def _exact_and_limit(network: Path, x: np.ndarray) -> tuple[np.ndarray, float]:
    """The output in float64, and how far from it a float32 pass may be; kept beside the network, as it takes long."""
    from numpyvgg.parity.bounds import student
    from numpyvgg.parity.graph import ParityGraph
    from numpyvgg.parity.precision import find_precision
    from numpyvgg.parity.spread import PASSES, spreads

    kept = network.with_suffix(".exact.npz")
    if not kept.exists() or kept.stat().st_mtime < network.stat().st_mtime:
        model = numpyvgg.read_onnx(network)
        graph, output = ParityGraph(model), model.outputs[0].name
        (exact,) = (value for _, name, value in graph.forward(x, np.float64) if name == output)
        spread = spreads(graph, x, {output: exact}, find_precision("float32"))[output]
        rounded = float(np.finfo(np.float32).eps) * float(np.sqrt(np.mean(exact**2)))
        np.savez(kept, exact=exact, limit=student(PASSES) * spread + rounded)
    with np.load(kept) as arrays:
        return arrays["exact"], float(arrays["limit"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("prepare", "answer", "judge"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("machines", metavar="MACHINE", nargs="*")
    parser.add_argument("--full-size", metavar="PATH", type=Path, help="a network of full size to run too")
    args = parser.parse_args()
    if args.step == "prepare":
        prepare(args.folder, args.full_size)
    elif args.step == "answer":
        answer(args.folder, *args.machines)
    else:
        sys.exit(1 if judge(args.folder, args.machines) else 0)
