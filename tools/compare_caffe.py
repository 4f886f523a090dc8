"""Hold seeded Caffe networks against OpenCV's importer and ONNX Runtime: the figures of docs/levi-hassner.md.

    pip install scikit-image matplotlib "opencv-python-headless<5"
    python tools/compare_caffe.py           # every layer, on twenty photographs
    python tools/compare_caffe.py --time    # one image with two threads, beside OpenCV

Networks and files are written by the tests' own writer, with Google's protobuf and the field numbers of caffe.proto.
The photographs are nineteen that scikit-image bundles, and Matplotlib's. For the times each system has processes of
its own, in turns.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import matplotlib
import numpy as np
import onnxruntime
import skimage.data
from PIL import Image

from numpyvgg import InferenceSession, ModelFormatError, cli
from numpyvgg.files.caffe import read_caffe
from numpyvgg.photo.images import load_image
from numpyvgg.photo.tensors import tensors
from numpyvgg.session import SessionOptions
from numpyvgg.text import table
from numpyvgg.zoo import PUBLISHED as ZOO
from numpyvgg.zoo.adience import GOOGLENET, LEVI_HASSNER

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from caffe_networks import PUBLISHED, levi_hassner
from caffe_writer import Writer
from test_caffe_networks import changed, differences, pixels_first
from zoo_googlenet import zoo_googlenet

PHOTOGRAPHS = (
    "astronaut", "brick", "camera", "cat", "cell", "clock", "coffee", "coins", "colorwheel", "grass", "gravel", "horse",
    "hubble_deep_field", "immunohistochemistry", "moon", "page", "retina", "rocket", "text",
)  # fmt: skip
SYSTEMS = ("numpyvgg, im2col", "numpyvgg, Winograd", "OpenCV")


def photographs() -> list[Image.Image]:
    """Twenty, in RGB."""
    images = [Image.fromarray(getattr(skimage.data, name)()).convert("RGB") for name in PHOTOGRAPHS]
    return [*images, load_image(Path(matplotlib.get_data_path(), "sample_data", "grace_hopper.jpg"))]


def images(size: int) -> np.ndarray:
    """The photographs as these networks take them: float32 ``[20, 3, size, size]``, BGR less a mean."""
    preparation = LEVI_HASSNER["opencv"] if size == 227 else GOOGLENET
    stacked = np.concatenate([tensors(image, preparation) for image in photographs()])
    assert len({image.tobytes() for image in stacked}) == len(stacked)
    return stacked


def networks() -> Iterator[tuple[str, Writer]]:
    for name, classes in (("levi-age", 8), ("levi-gender", 2)):
        for form in ("old", "new"):
            yield f"{name}, {'V1' if form == 'old' else 'V2'}", levi_hassner(classes, form=form, shapes=form)
    for name, build in PUBLISHED.items():
        yield f"{name}, narrow", build()


def compare(writer: Writer, folder: Path) -> list[str]:
    """Layers, the largest difference of one (of its largest value) and of the probabilities; and ONNX Runtime's."""
    x = images(writer.shapes["data"][-1])
    path = writer.write(folder)
    model = read_caffe(path, path.with_suffix(".prototxt"))
    relative, difference, prob = differences(model, writer, x)
    worst = max(relative, key=lambda name: relative[name])
    converted = folder / "net.onnx"
    assert cli.main(["convert", str(path), str(path.with_suffix(".prototxt")), str(converted)]) == 0
    theirs, ours = onnxruntime.InferenceSession(converted), InferenceSession(model)
    apart = max(
        float(np.abs(theirs.run(None, {"data": one})[0] - ours.run(None, {"data": one})[0]).max()) for one in x[:, None]
    )
    largest = f"{relative[worst]:.1e} ({worst})"
    return [str(len(relative)), largest, f"{difference:.1e}", f"{apart:.1e}", f"{prob.max():.2f}"]


def googlenet(name: str) -> list[str]:
    """The zoo's network rebuilt: its bytes, and the largest difference from ONNX Runtime."""
    network = ZOO[name]
    data = zoo_googlenet(network.file, network.classes).SerializeToString()
    theirs, ours = onnxruntime.InferenceSession(data), InferenceSession(data)
    feeds = [{"input": image[None]} for image in images(224)]
    pairs = [(theirs.run(None, feed)[0], ours.run(None, feed)[0]) for feed in feeds]
    apart = max(float(np.abs(a - b).max()) for a, b in pairs)
    return [name, f"{len(data):,} of {network.size:,}", f"{apart:.1e}"]


def sizes(name: str, folder: Path) -> list[str]:
    """Numbers of a network's weights, and what its published file has beside them."""
    model = read_caffe(levi_hassner(ZOO[name].classes, form="old", shapes="old").write(folder))
    numbers = sum(math.prod(model.initializers.stored(key).dims) for key in model.initializers)
    return [name, f"{numbers:,}", f"{ZOO[name].size:,}", f"{ZOO[name].size - 4 * numbers:,}"]


def mistakes(folder: Path) -> Iterator[list[str]]:
    """How far off the mistakes are that others made: at which layer, of its largest value."""
    writer, x = levi_hassner(), images(227)[:1]
    model = read_caffe(writer.write(folder))
    try:
        InferenceSession(changed(model, "MaxPool", ceil_mode=0)).run(None, {"data": x})
    except ModelFormatError as error:
        yield ["poolings rounded down", f"refused: {str(error).partition('net.caffemodel: ')[2]}"]
    for what, wrong, layer in (
        ("alpha not divided by the channels", changed(model, "LRN", alpha=5e-4), "norm1"),
        ("weights of fc6 for pixels first", pixels_first(model), "fc6"),
    ):
        yield [what, f"{differences(wrong, writer, x)[0][layer]:.2f} at {layer}"]


# ---------------------------------------------------------------------- times


def opened(system: str, path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """A network in one of the systems, with two threads."""
    if system == "OpenCV":
        cv2.setNumThreads(2)
        net = cv2.dnn.readNetFromCaffe(str(path.with_suffix(".prototxt")), str(path))

        def run(x: np.ndarray) -> np.ndarray:
            net.setInput(x)
            return net.forward()

        return run
    options = SessionOptions()
    options.intra_op_num_threads = 2
    options.add_session_config_entry("numpyvgg.conv", system.rpartition(" ")[2].lower())
    session = InferenceSession(path, options)
    return lambda x: session.run(None, {"data": x})[0]


def measure(system: str, path: Path, size: int) -> None:
    """Print milliseconds: to the first answer, and of each later one for a second."""
    x = images(size)[:1]
    begin = time.perf_counter()
    run = opened(system, path)
    run(x)
    first = time.perf_counter() - begin
    times: list[float] = []
    while sum(times) < 1:
        start = time.perf_counter()
        run(x)
        times.append(time.perf_counter() - start)
    print(json.dumps([first * 1e3, statistics.median(times) * 1e3]))


def times(name: str, writer: Writer, folder: Path, rounds: int = 7) -> list[str]:
    path = writer.write(folder)
    found: dict[str, list[Any]] = {system: [] for system in SYSTEMS}
    environment = {key: value for key, value in os.environ.items() if not key.startswith("OPENBLAS_")}
    for _ in range(rounds):
        for system, values in found.items():
            command = [sys.executable, __file__, "--measure", system, str(path), str(writer.shapes["data"][-1])]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
            values.append(json.loads(done.stdout))
    cells = []
    for values in found.values():
        first, warm = zip(*values, strict=True)
        spread = f"{min(warm):.1f} to {max(warm):.1f}"
        cells += [f"{statistics.median(first):.0f}", f"{statistics.median(warm):.1f} ({spread})"]
    return [name, *cells]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--time", action="store_true")
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)  # what the child processes are told
    args = parser.parse_args()
    if args.measure:
        system, path, size = args.measure
        return measure(system, Path(path), int(size))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if args.time:
            header = ["network", *(f"{system}: {what}" for system in SYSTEMS for what in ("first, ms", "warm, ms"))]
            return print(table(header, [times("levi-age", levi_hassner(form="old", shapes="old"), folder)]))
        rows = [[name, *compare(writer, folder)] for name, writer in networks()]
        header = ["network", "layers", "largest of a layer", "prob", "converted, ONNX Runtime", "most sure"]
        print(table(header, rows, "<><>>>"))
        print(
            table(["network", "bytes", "ONNX Runtime"], [googlenet(f"{kind}-googlenet") for kind in ("age", "gender")])
        )
        print(
            table(
                ["network", "weights", "bytes", "beside them"], [sizes(f"levi-{k}", folder) for k in ("age", "gender")]
            )
        )
        print(table(["mistake", "seen"], list(mistakes(folder))))
    return None


if __name__ == "__main__":
    main()
