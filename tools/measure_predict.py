"""What `numpyvgg predict` makes of many photographs: its speed beside ONNX Runtime's, its memory, its complaints.

    python tools/measure_predict.py speed age.onnx [gender.onnx]   # the whole command, beside ONNX Runtime
    python tools/measure_predict.py memory small                   # 10,000 small photographs: peak, and growth
    python tools/measure_predict.py mixed small                    # files of seven formats, some of them broken

`speed` runs the two in turn, each in a process of its own, and prints medians and their ratio. The script is what a
user of ONNX Runtime would write: open the networks, then for each photograph decode, resize, run, print. It wants a
machine on which nothing else runs.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from PIL import Image

PORTRAIT = Path(__file__).parents[1] / "numpyvgg" / "data" / "eileen_collins.jpg"
FORMATS = {"JPEG": "RGB", "PNG": "RGBA", "GIF": "P", "BMP": "L", "TIFF": "I;16", "WEBP": "RGB", "PPM": "RGB"}
SIZES = ((64, 48), (480, 640), (3000, 4000))

#: What a user of ONNX Runtime writes; the arguments are the threads, a folder, and networks as paths of their files
SCRIPT = """
import sys
from pathlib import Path
import numpy as np, onnxruntime
from PIL import Image

threads, folder, *networks = sys.argv[1:]
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = int(threads)
options.log_severity_level = 3
sessions = [onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"]) for path in networks]
for path in sorted(Path(folder).iterdir()):
    image = Image.open(path).convert("RGB")
    for session in sessions:
        given = session.get_inputs()[0]
        height, width = given.shape[2:]
        pixels = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR), np.float32)
        if height == 224:
            x = pixels[:, :, ::-1]
        else:
            x = (pixels - np.array([122.781998, 117.000999, 104.297997], np.float32)) / np.float32(256)
        (p,) = session.run(None, {given.name: np.ascontiguousarray(x.transpose(2, 0, 1))[None]})
        print(path, p[0] @ np.arange(len(p[0])) if len(p[0]) > 2 else p[0].argmax())
"""


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


def write_portraits(folder: Path, count: int, side: int) -> None:
    """So many crops of the portrait, each a little elsewhere, as JPEG."""
    folder.mkdir(parents=True)
    portrait, rng = Image.open(PORTRAIT), np.random.default_rng(0)
    for i in range(count):
        left, top = (int(v) for v in rng.integers(100, 180, 2))
        portrait.crop((left, top, left + 150, top + 150)).resize((side, side)).save(folder / f"{i:05}.jpg", quality=90)


def predict(photographs: Path, models: list[str], *options: str) -> list[str]:
    """The command, as it is typed; ages first, genders second."""
    known = {"small", "age-small", "gender-small"}
    names = [word for model in models for word in ("--model", model)]
    labels = (
        []
        if known.intersection(models)
        else [w for _, label in zip(models, ("age", "gender"), strict=False) for w in ("--labels", label)]
    )
    return [sys.executable, "-m", "numpyvgg", "predict", str(photographs), *names, *labels, *options]


def files_of(models: list[str]) -> list[str]:
    """The networks' files, as ONNX Runtime is given them."""
    from numpyvgg.photo.predictor import SMALL_MODELS
    from numpyvgg.zoo import find

    return [str(find(name)) for model in models for name in (SMALL_MODELS if model == "small" else (model,))]


def speed(models: list[str], count: int, side: int, rounds: int, threads: int) -> None:
    """Print medians of the two systems' whole commands, in seconds, and their ratio."""
    seconds: dict[str, list[float]] = {"numpyvgg": [], "onnxruntime": []}
    with tempfile.TemporaryDirectory() as folder:
        photographs, script = Path(folder) / "photographs", Path(folder) / "script.py"
        write_portraits(photographs, count, side)
        script.write_text(SCRIPT)
        commands = {
            "numpyvgg": predict(photographs, models, "--csv"),
            "onnxruntime": [sys.executable, str(script), str(threads), str(photographs), *files_of(models)],
        }
        for _ in range(rounds):
            for system, command in commands.items():
                begin = time.perf_counter()
                subprocess.run(command, check=True, capture_output=True)
                seconds[system].append(time.perf_counter() - begin)
    medians = {system: statistics.median(times) for system, times in seconds.items()}
    for system, median in medians.items():
        times = ", ".join(f"{value:.2f}" for value in seconds[system])
        print(f"{system}: {median:.2f} s, {count / median:.1f} photographs a second ({times})")
    print(f"numpyvgg : onnxruntime = {medians['numpyvgg'] / medians['onnxruntime']:.3f} of the time")


def memory(models: list[str], count: int, side: int) -> None:
    """Print the peak of a run's memory, and by how much it grows between its 1000th photograph and its last."""
    with tempfile.TemporaryDirectory() as folder:
        photographs, output = Path(folder) / "photographs", Path(folder) / "ages.jsonl"
        write_portraits(photographs, count, side)
        process = subprocess.Popen(predict(photographs, models, "-o", str(output)), stderr=subprocess.DEVNULL)
        at: dict[int, float] = {}
        resident = peak = 0.0
        while process.poll() is None:
            status = Path(f"/proc/{process.pid}/status").read_text()
            sizes = {line.split(":")[0]: int(line.split()[1]) / 1e3 for line in status.splitlines() if "kB" in line}
            resident, peak = sizes.get("VmRSS", resident), sizes.get("VmHWM", peak)
            answered = output.read_bytes().count(b"\n") if output.exists() else 0
            at[answered] = resident
            time.sleep(0.2)
        first = next((size for answered, size in sorted(at.items()) if answered >= count // 10), 0.0)
    print(f"{count} photographs: peak {peak:.0f} MB; {first:.0f} MB at a tenth of them, {resident:.0f} MB at the end")


def mixed(models: list[str]) -> None:
    """Print how many of 200 mixed files are answered, and whether each broken one is named."""
    with tempfile.TemporaryDirectory() as folder:
        photographs = Path(folder) / "photographs"
        unreadable = write_mixed(photographs, count=200, broken=20, sizes=SIZES)
        begin = time.perf_counter()
        process = subprocess.Popen(
            predict(photographs, models, "--json"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        complaints: list[str] = []
        assert process.stdout is not None
        assert process.stderr is not None
        listener = threading.Thread(target=lambda error: complaints.append(error.read()), args=(process.stderr,))
        listener.start()
        answers = sum("answers" in json.loads(line) for line in process.stdout)
        listener.join()
        code, seconds = process.wait(), time.perf_counter() - begin
    named = sum(f"{path}: " in complaints[0] for path in unreadable)
    print(f"{answers} answers, {named} of {len(unreadable)} broken files named, exit code {code}, {seconds:.0f} s")


def main() -> None:
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package is compiled, once
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["speed", "memory", "mixed"])
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--photographs", type=int, help="speed: 64; memory: 10,000")
    parser.add_argument("--side", type=int, help="their pixels along each side; speed: 600; memory: 150")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    if args.what == "speed":
        speed(args.models, args.photographs or 64, args.side or 600, args.rounds, args.threads)
    elif args.what == "memory":
        memory(args.models, args.photographs or 10_000, args.side or 150)
    else:
        mixed(args.models)


if __name__ == "__main__":
    main()
