"""What opening a network costs, in time and memory, beside the `onnx` package.

Each reader runs in a process of its own, in turns; the first round warms the file cache and does not count.

    python tools/measure_opening.py age.onnx
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys

from numpyvgg.text import table

READERS = {
    "numpyvgg.read_onnx": "from numpyvgg import read_onnx as read",
    "onnx.load": "from onnx import load as read",
    "onnx.load, to_array of each": (
        "from onnx import load, numpy_helper\n"
        "def read(path):\n"
        "    return [numpy_helper.to_array(t) for t in load(path).graph.initializer]"
    ),
}
# VmRSS counts the pages of the file that have been touched, as well as memory of one's own.
MEASURE = """
import sys, time
def memory():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmRSS"))
before, begin = memory(), time.perf_counter()
model = read(sys.argv[1])
print(time.perf_counter() - begin, memory() - before)
"""


def measure(setup: str, path: str) -> tuple[float, float]:
    """(milliseconds, megabytes) of one call in a fresh process, imports not counted."""
    command = [sys.executable, "-c", setup + MEASURE, path]
    seconds, kilobytes = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return float(seconds) * 1e3, int(kilobytes) * 1024 / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path")
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    results: dict[str, list[tuple[float, float]]] = {name: [] for name in READERS}
    for number in range(args.rounds + 1):
        for name, setup in READERS.items():
            result = measure(setup, args.path)
            if number:
                results[name].append(result)
    rows = []
    for name, values in results.items():
        times, memory = zip(*values, strict=True)
        spread = f"{min(times):.1f} to {max(times):.1f}"
        rows.append([name, f"{statistics.median(times):.1f}", spread, f"{statistics.median(memory):.1f}"])
    print(table(["reader", "ms", "spread", "MB more"], rows, "<>>>"))


if __name__ == "__main__":
    main()
