"""Run a photograph through a full-size network with random weights, beside ONNX Runtime where that is installed."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import numpy as np

from ..errors import ModelFormatError, NumpyVggError, printable
from ..files.cache import cache_folder
from ..files.onnx import read_onnx
from ..photo.answers import expected_age
from ..photo.images import load_image, to_tensor
from ..text import human_bytes, table
from ..vgg.network import VGG16
from ..vgg.standin import write_standin
from .inspect import layer_table

RUNS = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("image", metavar="IMAGE", nargs="?", help="a photograph; left out: NASA's of Eileen Collins")


def run(args: argparse.Namespace) -> int:
    image = load_image(args.image or (resources.files("numpyvgg") / "data" / "eileen_collins.jpg").read_bytes())
    path = _standin()

    begin = time.perf_counter()
    try:
        model = read_onnx(path)
    except ModelFormatError as error:
        raise NumpyVggError(f"{error}; delete the file, and it is made anew") from None
    opened = time.perf_counter() - begin
    net = VGG16.from_onnx(model)
    print(layer_table(net.layers))
    size = human_bytes(path.stat().st_size)
    print(f"\n{printable(str(net))}\nopened {printable(str(path))} ({size}) in {opened * 1e3:.1f} ms")

    x = to_tensor(image)
    rows = [_timed("numpyvgg", lambda: net(x))]
    rows += _onnxruntime(path, x)
    print(f"\n{printable(args.image or 'Eileen Collins, photographed by NASA')}:\n")
    cells = [[name, f"{seconds * 1e3:.0f} ms", expected_age(p[0])] for name, seconds, p in rows]
    print(table(["computed by", "one image", "answer"], cells, "<>"))
    if len(rows) == 2:
        largest = abs(rows[0][2] - rows[1][2]).max()
        print(f"\nLargest difference of any of the {net.classes} probabilities (float32): {largest:.1e}")
    print(
        "\nThe network has the published one's shape but random weights: this age is nobody's."
        "\n`numpyvgg fetch age-imdb-wiki` gets the trained one if this machine is online."
    )
    return 0


def _standin() -> Path:
    """The full-size stand-in's file, made when it is not there yet."""
    path = cache_folder() / "standin-age.onnx"
    if not path.exists():
        print(f"Making a network with random weights, once: {printable(str(path))} (539 MB)")
        try:
            write_standin(path)
        except OSError as error:
            raise NumpyVggError(
                f"{path}: cannot be written: {error.strerror}; set NUMPYVGG_CACHE to choose another folder"
            ) from None
    return path


def _timed(name: str, compute: Callable[[], np.ndarray]) -> tuple[str, float, np.ndarray]:
    """Name, median time of one call once warm (in seconds), and the result."""
    compute()
    seconds = []
    for _ in range(RUNS):
        begin = time.perf_counter()
        result = compute()
        seconds.append(time.perf_counter() - begin)
    return name, float(np.median(seconds)), result


def _onnxruntime(path: Path, x: np.ndarray) -> list[tuple[str, float, np.ndarray]]:
    """The same by ONNX Runtime; nothing where it is not installed."""
    try:
        import onnxruntime
    except ImportError:
        return []
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # it warns of every initializer that is listed as an input
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return [_timed(f"onnxruntime {onnxruntime.__version__}", lambda: session.run(None, {name: x})[0])]
