"""Tell age and gender from photographs of faces."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import Any

from ..dex import Answer, answer, load_image, to_tensor
from ..text import table
from ..vgg16 import VGG16


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images", metavar="IMAGE", nargs="+", help="photographs, cropped to the face")
    parser.add_argument("--model", metavar="PATH", required=True, help="an ONNX file")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(args: argparse.Namespace) -> int:
    net = VGG16.from_onnx(args.model)
    answers = [answer(net(to_tensor(load_image(path)))[0]) for path in args.images]
    if args.json:
        records = [_record(path, args.model, given) for path, given in zip(args.images, answers, strict=True)]
        print(json.dumps(records, indent=2))
    else:
        print(table(["photograph", "answer"], list(zip(args.images, answers, strict=True))))
    return 0


def _record(path: str, model: str, given: Answer) -> dict[str, Any]:
    return {"image": path, "model": model, **asdict(given), "probabilities": given.probabilities.tolist()}
