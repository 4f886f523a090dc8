"""Hold another runtime's layers against the exact ones, with a tolerance that rounding theory derives."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import numpy as np

from ..errors import ArgumentError, printable
from ..files.caffe import is_caffe
from ..files.onnx import OnnxModel
from ..parity import compare
from ..parity.golden import read_golden, write_golden
from ..parity.precision import PRECISIONS
from ..parity.result import Parity, parity_records, parity_table
from ..parity.runtimes import RUNTIMES, open_runtime
from ..photo.images import SIZE, load_image, to_tensor
from ..zoo import open_model
from .output import check_folder, json_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="NAME|PATH", help="a published network or a file")
    parser.add_argument("images", metavar="IMAGE", nargs="*", help="photographs; one image of noise when left out")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--against",
        metavar="RUNTIME|DIR",
        action="append",
        help=f"{', '.join(RUNTIMES)}, or golden tensors; exit code 1 if not explained, 3 if one cannot tell",
    )
    what.add_argument("--write", metavar="DIR", help="write every layer's input and output as golden tensors")
    parser.add_argument(
        "--precision", choices=PRECISIONS, default="float32", help="what the runtime computes in (%(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(args: argparse.Namespace) -> int:
    model = open_model(args.model)
    if args.write:
        check_folder("--write", args.write)
        print(printable(str(write_golden(model, _inputs(model, args.images), args.write))))
        return 0
    parity = _compare(model, args)
    if args.json:
        print(json_text(parity_records(parity), indent=2))
    else:
        print(parity_table(parity, colour=sys.stdout.isatty() and "NO_COLOR" not in os.environ))
    return {"explained": 0, "not explained": 1, "cannot tell": 3}[parity.verdict]


def _compare(model: OnnxModel, args: argparse.Namespace) -> Parity:
    against, *others = args.against
    if others:
        raise ArgumentError("--against is given more than once: one runtime at a time")
    if against in RUNTIMES:
        if is_caffe(args.model):
            raise ArgumentError(f"{args.model}: a Caffe model, which {against} does not open; compare golden tensors")
        x = _inputs(model, args.images)
        return compare(model, x, open_runtime(against, model, x[:1]), precision=args.precision)
    if not Path(against).exists():
        raise ArgumentError(f"--against {against}: no such folder, and the runtimes are {', '.join(RUNTIMES)}")
    if args.images:
        raise ArgumentError("golden tensors bring their own inputs: leave the images out")
    name = model.inputs[0].name
    images = [image for tensors in read_golden(model, against) for image in _one_by_one(tensors, name)]
    batches = iter(images)
    x = np.concatenate([tensors[name] for tensors in images])
    return compare(model, x, lambda _: next(batches), precision=args.precision)


def _one_by_one(tensors: dict[str, np.ndarray], name: str) -> list[dict[str, np.ndarray]]:
    """A data set of a batch as one data set for each image of it."""
    count = len(tensors[name]) if tensors[name].ndim else 0
    if odd := [key for key, array in tensors.items() if array.ndim == 0 or len(array) != count]:
        raise ArgumentError(f"{name!r} is a batch of {count}, and {odd[0]!r} is not: {list(tensors[odd[0]].shape)}")
    return [{key: array[i : i + 1] for key, array in tensors.items()} for i in range(count)]


def _inputs(model: OnnxModel, images: list[str]) -> np.ndarray:
    """The photographs as a batch; without any, noise in the range of pixels."""
    shape = [size if isinstance(size, int) else 1 for size in model.inputs[0].shape or ()]
    if not images:
        return np.random.default_rng(0).integers(0, 256, (1, *shape[1:])).astype(np.float32)
    if shape[1:] != [3, SIZE, SIZE]:
        raise ArgumentError(f"{model.path}: takes {shape[1:]}, not photographs of [3, {SIZE}, {SIZE}]; leave them out")
    return np.concatenate([to_tensor(load_image(path)) for path in images])
