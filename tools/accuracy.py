"""Errors of the probabilities against float64, for im2col, Winograd and ONNX Runtime, by kind of image.

python tools/accuracy.py age.onnx

Of each image the largest error of any probability counts; the table has the largest of those, and their root mean
square, since a largest value of few depends on chance. The truth is the textbook's operations in float64.
"""

import argparse
from collections.abc import Callable, Iterable

import numpy as np
import onnxruntime
import skimage.data
from PIL import Image

from numpyvgg import VGG
from numpyvgg.photo.images import load_image, to_tensor
from numpyvgg.text import table

Run = Callable[[np.ndarray], np.ndarray]
PHOTOGRAPHS = ("astronaut", "camera", "cat", "coffee", "coins", "rocket", "moon", "brick", "grass")


def pictures(portrait: str) -> dict[str, np.ndarray]:
    """Images of several kinds ``[N, 3, 224, 224]``, 0..255."""
    rng = np.random.default_rng(0)
    photographs = [load_image(portrait)]
    photographs += [Image.fromarray(getattr(skimage.data, name)()).convert("RGB") for name in PHOTOGRAPHS]
    faces = [Image.fromarray((face * 255).astype(np.uint8)).convert("RGB") for face in skimage.data.lfw_subset()[:8]]
    y, x = np.mgrid[:224, :224]
    checkerboards = [(x // side + y // side) % 2 for side in (1, 2, 3, 4, 7, 16, 32, 112)]
    planes = [np.zeros((224, 224)), np.ones((224, 224)), x > 111, y > 111, x % 2, y % 2, rng.random((224, 224)) < 0.5]
    return {
        "photographs": np.concatenate([to_tensor(image) for image in photographs]),
        "small faces, enlarged": np.concatenate([to_tensor(image) for image in faces]),
        "noise": rng.integers(0, 256, (8, 3, 224, 224)).astype(np.float32),
        "checkerboards": _saturated(checkerboards),
        "black and white": _saturated(planes),
    }


def _saturated(masks: list[np.ndarray]) -> np.ndarray:
    """Masks as images of 0 and 255 in all channels."""
    return np.stack([np.broadcast_to(np.float32(255) * mask.astype(np.float32), (3, 224, 224)) for mask in masks])


def errors(images: np.ndarray, exact: Run, runs: Iterable[Run]) -> np.ndarray:
    """The largest error of any probability, ``[images, runs]``."""
    return np.array([[np.abs(run(x) - wanted).max() for run in runs] for x in images[:, None] for wanted in [exact(x)]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path")
    parser.add_argument("--portrait", default="numpyvgg/data/eileen_collins.jpg")
    args = parser.parse_args()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(args.path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    exact = VGG.from_onnx(args.path, conv="textbook", dtype="float64")
    systems: dict[str, Run] = {
        "im2col": VGG.from_onnx(args.path, conv="im2col"),
        "Winograd": VGG.from_onnx(args.path, conv="winograd"),
        "ONNX Runtime": lambda x: session.run(None, {name: x})[0],
    }
    kinds = {kind: errors(images, exact, systems.values()) for kind, images in pictures(args.portrait).items()}
    kinds["all"] = np.concatenate(list(kinds.values()))
    rows = [
        [f"{kind} ({len(found)})", *(f"{e:.1e}" for e in (*found.max(0), *np.sqrt(np.square(found).mean(0))))]
        for kind, found in kinds.items()
    ]
    header = ["images", *(f"{name}, largest" for name in systems), *(f"{name}, rms" for name in systems)]
    print(table(header, rows, "<>>>>>>"))


if __name__ == "__main__":
    main()
