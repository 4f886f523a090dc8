"""Tell age and gender of a photograph's faces, then run it through a full-size network with random weights.

Beside ONNX Runtime, where that is installed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import numpy as np

from ..errors import ModelFormatError, NumpyVggError, printable
from ..files.onnx import read_onnx
from ..photo.answers import expected_age
from ..photo.images import load_image, to_tensor
from ..photo.predictor import SMALL_MODELS, Predictor
from ..text import human_bytes, table
from ..vgg.network import VGG16
from .inspect import layer_table
from .standin import standin

RUNS = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("image", metavar="IMAGE", nargs="?", help="a photograph; left out: NASA's of Eileen Collins")


def run(args: argparse.Namespace) -> int:
    image = load_image(args.image or (resources.files("numpyvgg") / "data" / "eileen_collins.jpg").read_bytes())
    name = printable(args.image or "Eileen Collins, photographed by NASA")
    for prediction in Predictor(SMALL_MODELS).faces(image):
        print(f"{name}: {prediction}")
    print("That is what two small trained networks say, which are bundled.\n")

    path = standin("standin-age.onnx", 1, "539 MB")
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
    print(f"\n{name}:\n")
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


def _timed(name: str, compute: Callable[[], np.ndarray]) -> tuple[str, float, np.ndarray]:
    """Name, median time of one call once warm (in seconds), and the result."""
    for _ in range(2):  # the first reads the weights from the disk, the second may keep them in memory
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
