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
        help=f"{', '.join(RUNTIMES)}, or golden tensors; exit code 1 if not explained",
    )
    what.add_argument("--write", metavar="DIR", help="write every layer's input and output as golden tensors")
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
    return 0 if parity.explained else 1


def _compare(model: OnnxModel, args: argparse.Namespace) -> Parity:
    if args.against in RUNTIMES:
        if is_caffe(args.model):
            raise ArgumentError(
                f"{args.model}: a Caffe model, which {args.against} does not open; compare golden tensors"
            )
        x = _inputs(model, args.images)
        return compare(model, x, open_runtime(args.against, model, x[:1]))
    if not Path(args.against).exists():
        raise ArgumentError(f"--against {args.against}: no such folder, and the runtimes are {', '.join(RUNTIMES)}")
    if args.images:
        raise ArgumentError("golden tensors bring their own inputs: leave the images out")
    golden = read_golden(model, args.against)
    batches = iter(golden)
    x = np.concatenate([tensors[model.inputs[0].name] for tensors in golden])
    return compare(model, x, lambda _: next(batches))


def _inputs(model: OnnxModel, images: list[str]) -> np.ndarray:
    """The photographs as a batch; without any, noise in the range of pixels."""
    shape = [size if isinstance(size, int) else 1 for size in model.inputs[0].shape or ()]
    if not images:
        return np.random.default_rng(0).integers(0, 256, (1, *shape[1:])).astype(np.float32)
    if shape[1:] != [3, SIZE, SIZE]:
        raise ArgumentError(f"{model.path}: takes {shape[1:]}, not photographs of [3, {SIZE}, {SIZE}]; leave them out")
    return np.concatenate([to_tensor(load_image(path)) for path in images])
