"""What `numpyvgg predict` does with a folder of mixed files, some of them broken: answers, complaints, memory.

python tools/measure_predict.py age.onnx gender.onnx
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from PIL import Image

FORMATS = {"JPEG": "RGB", "PNG": "RGBA", "GIF": "P", "BMP": "L", "TIFF": "I;16", "WEBP": "RGB", "PPM": "RGB"}
SIZES = ((64, 48), (480, 640), (3000, 4000))


def write_mixed(folder: Path, count: int, broken: int, sizes: tuple[tuple[int, int], ...] = SIZES[:1]) -> list[str]:
    """`count` files of seven formats and modes, in two folders, of which the last `broken` cannot be read -> those."""
    (folder / "below").mkdir(parents=True)
    rng = np.random.default_rng(0)
    unreadable = []
    for i in range(count):
        form, mode = list(FORMATS.items())[i % len(FORMATS)]
        path = (folder / "below" if i % 2 else folder) / f"{i:03}.{form.lower()}"
        pixels = rng.integers(0, 256, (*sizes[i % len(sizes)], 3), dtype=np.uint8)
        if mode == "I;16":
            Image.fromarray(pixels[..., 0].astype(np.uint16) * 257).save(path, form)
        else:
            Image.fromarray(pixels).convert(mode).save(path, form)
        if i >= count - broken:
            data = path.read_bytes()
            path.write_bytes([b"", b"not an image", data[: len(data) // 3], bytes(len(data))][i % 4])
            unreadable.append(str(path))
    (folder / "notes.txt").write_text("no image, and no business of ours")
    return unreadable


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        photos = Path(folder) / "photos"
        unreadable = write_mixed(photos, count=200, broken=20, sizes=SIZES)
        options = [option for model in args.models for option in ("--model", model)]
        command = [sys.executable, "-m", "numpyvgg", "predict", str(photos), *options, "--json"]
        begin = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        answers, complaints = 0, ""
        memory: list[float] = []  # resident, in MB, after each answer

        def complain() -> None:
            nonlocal complaints
            assert process.stderr is not None
            complaints = process.stderr.read()

        listener = threading.Thread(target=complain)
        listener.start()
        assert process.stdout is not None
        for _ in process.stdout:
            answers += 1
            status = Path(f"/proc/{process.pid}/status").read_text()
            memory.append(next(int(line.split()[1]) / 1e3 for line in status.splitlines() if line.startswith("VmRSS")))
        listener.join()
        code, seconds = process.wait(), time.perf_counter() - begin
    named = sum(f"{path}: " in complaints for path in unreadable)
    tenths = [f"{statistics.median(memory[i : i + 18]):.0f}" for i in range(0, len(memory), 18)]
    print(f"{answers} answers, {named} of {len(unreadable)} broken files named, exit code {code}, {seconds:.0f} s")
    print(f"memory in MB, the median of each tenth of the run: {' '.join(tenths)}; the most: {max(memory):.0f}")


if __name__ == "__main__":
    main()
