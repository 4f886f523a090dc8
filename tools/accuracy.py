"""Largest error of any probability against float64, for im2col, Winograd and ONNX Runtime, by kind of image.

python tools/accuracy.py age.onnx
"""

import argparse

import numpy as np
import onnxruntime

from numpyvgg import VGG
from numpyvgg.dex import load_image, to_tensor
from numpyvgg.text import table


def pictures(photograph: str) -> dict[str, list[np.ndarray]]:
    """At least 20 images of four kinds, each ``[3, 224, 224]``, 0..255."""
    rng = np.random.default_rng(0)
    face = to_tensor(load_image(photograph))[0]
    y, x = np.mgrid[:224, :224]
    planes = [np.full((3, 224, 224), value, np.float32) for value in (0, 255)]
    halves = [np.broadcast_to(np.float32(255) * (axis > 111), (3, 224, 224)) for axis in (x, y)]
    return {
        "noise": [rng.integers(0, 256, (3, 224, 224)).astype(np.float32) for _ in range(6)],
        "photographs": [
            face,
            face[:, :, ::-1],
            face[:, ::-1],
            np.roll(face, 60, 1),
            255 - face,
            np.rot90(face, 1, (1, 2)),
        ],
        "checkerboards": [
            np.broadcast_to(np.float32(255) * ((x // side + y // side) % 2), (3, 224, 224)) for side in (1, 2, 4, 7, 16)
        ],
        "black and white": [*planes, *halves, (rng.random((3, 224, 224)) < 0.5).astype(np.float32) * 255],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path")
    parser.add_argument("--photograph", default="numpyvgg/data/eileen_collins.jpg")
    args = parser.parse_args()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(args.path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    exact = VGG.from_onnx(args.path, dtype="float64")
    nets = {conv: VGG.from_onnx(args.path, conv=conv) for conv in ("im2col", "winograd")}
    rows, worst = [], [0.0, 0.0, 0.0]
    for kind, images in pictures(args.photograph).items():
        errors = [0.0, 0.0, 0.0]
        for image in images:
            x = np.ascontiguousarray(image[None], np.float32)
            answers = [net(x) for net in nets.values()] + [session.run(None, {name: x})[0]]
            wanted = exact(x)
            errors = [max(e, float(abs(a - wanted).max())) for e, a in zip(errors, answers, strict=True)]
        worst = [max(pair) for pair in zip(worst, errors, strict=True)]
        rows.append([f"{kind} ({len(images)})", *(f"{e:.1e}" for e in errors)])
    rows.append(["all", *(f"{e:.1e}" for e in worst)])
    print(table(["images", "im2col", "Winograd", "ONNX Runtime"], rows, "<>>>"))


if __name__ == "__main__":
    main()
