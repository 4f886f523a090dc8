"""Hold another runtime's layers against the exact ones, with a tolerance that rounding theory derives."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

import numpy as np

from ..errors import ArgumentError, printable
from ..files.onnx import OnnxModel
from ..files.source import open_plain
from ..parity import compare
from ..parity.baseline import growth, growth_text
from ..parity.bisect import bisect
from ..parity.golden import read_golden, write_golden
from ..parity.junit import junit_xml
from ..parity.precision import PRECISIONS
from ..parity.result import Parity, parity_records, parity_table
from ..parity.runtimes import RUNTIMES, open_runtime
from ..parity.selftest import self_test, self_test_records, self_test_table
from ..photo.images import SIZE, load_image, to_tensor
from ..zoo import open_model
from .output import check_file, check_folder, json_text, named, written

#: Comparisons with the names of their runtimes
Named = list[tuple[str, Parity]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="NAME|PATH", help="a published network or a file")
    parser.add_argument("images", metavar="IMAGE", nargs="*", help="photographs; one image of noise when left out")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--against",
        metavar="RUNTIME|MODULE:FUNCTION|PATH",
        action="append",
        help=f"{', '.join(RUNTIMES)}, a function of yours, or golden tensors (a folder, .npz, .safetensors); twice for "
        "two runtimes; exit code 1 if not explained, 3 if one cannot tell",
    )
    what.add_argument(
        "--write", metavar="DIR", type=named, help="write every layer's input and output as golden tensors"
    )
    what.add_argument(
        "--self-test",
        action="store_true",
        help="make known faults in each layer and say which of them would be seen; exit code 1 if the judge is wrong",
    )
    parser.add_argument(
        "--precision", choices=PRECISIONS, default="float32", help="what the runtime computes in (%(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    also = parser.add_argument_group("with --against")
    also.add_argument("--junit", metavar="FILE", type=named, help="write JUnit's XML, too: a test case for each layer")
    also.add_argument(
        "--page", metavar="FILE", type=named, help="write an HTML page, too: where errors are, and how large"
    )
    also.add_argument(
        "--baseline", metavar="JSON", type=named, help="what --json printed before: say how drifts have grown"
    )
    also.add_argument(
        "--bisect",
        metavar="DIR",
        type=named,
        help="of a runtime that is not explained, write the smallest graph and input that still fail",
    )


def run(args: argparse.Namespace) -> int:
    _check(args)
    model = open_model(args.model)
    if args.write:
        print(printable(str(write_golden(model, _inputs(model, args.images), args.write))))
        return 0
    if args.self_test:
        return _self_test(model, args)
    baseline = _read_json(args.baseline) if args.baseline else None
    parities = list(zip(args.against, _compare(model, args), strict=True))
    remarks = [growth_text(growth(parity, baseline)) if args.baseline else "" for _, parity in parities]
    _print(parities, remarks, args)
    _write(model, parities, remarks, args)
    if args.bisect:
        _bisect(model, args)
    verdicts = {parity.verdict for _, parity in parities}
    return 1 if "not explained" in verdicts else 3 if "cannot tell" in verdicts else 0


def _check(args: argparse.Namespace) -> None:
    """Refuse what cannot be done before any work."""
    if args.write:
        check_folder("--write", args.write)
    for option in ("junit", "page", "baseline", "bisect"):
        if getattr(args, option) and not args.against:
            raise ArgumentError(f"--{option} goes with --against")
    for option, suffix in (("junit", ".xml"), ("page", ".html")):
        if getattr(args, option):
            check_file(f"--{option}", getattr(args, option), [suffix], [args.model, args.baseline or "", *args.images])
    if args.bisect:
        if len(args.against) > 1 or args.against[0] not in RUNTIMES:
            raise ArgumentError("--bisect needs a runtime that can load the parts of a network: --against one of them")
        check_folder("--bisect", args.bisect)


def _print(parities: Named, remarks: list[str], args: argparse.Namespace) -> None:
    if args.json:
        records = [parity_records(parity) for _, parity in parities]
        print(json_text(records[0] if len(records) == 1 else records, indent=2))
        return
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    others = ["ours"] if len(parities) == 1 else args.against[::-1]
    tables = [parity_table(parity, colour, other) for (_, parity), other in zip(parities, others, strict=True)]
    print("\n\n".join("\n".join(filter(None, pair)) for pair in zip(tables, remarks, strict=True)))


def _write(model: OnnxModel, parities: Named, remarks: list[str], args: argparse.Namespace) -> None:
    """The files that were asked for."""
    name = Path(model.path).name
    if args.junit:
        with written("--junit", args.junit) as file:
            file.write(junit_xml([(f"{name} in {runtime}", parity) for runtime, parity in parities]))
    if args.page:
        from ..report.parity import render

        page = render(name, [(*named, remark) for named, remark in zip(parities, remarks, strict=True)])
        with written("--page", args.page) as file:
            file.write(page.encode())


def _bisect(model: OnnxModel, args: argparse.Namespace) -> None:
    runtime, x = args.against[0], _inputs(model, args.images)
    found = bisect(model, x, lambda part, x: open_runtime(runtime, part, x), Path(args.bisect), args.precision)
    if found is None:
        print("--bisect: no part of the network fails by itself")
        return
    case, layer = found
    nodes = ", ".join(node.op_type for node in case.nodes)
    print(printable(f"{Path(args.bisect, 'model.onnx')}: {nodes} on {list(case.x.shape)}: {layer.verdict}"))


def _read_json(path: str) -> object:
    try:
        with os.fdopen(open_plain(path), "rb") as file:
            return json.load(file)
    except (OSError, ValueError) as error:
        raise ArgumentError(f"--baseline {path}: not JSON: {error}") from None


def _self_test(model: OnnxModel, args: argparse.Namespace) -> int:
    if args.precision != "float32":
        raise ArgumentError(f"--self-test makes faults of float32: --precision {args.precision} does not go with it")
    tried = [each for image in _inputs(model, args.images) for each in self_test(model, image[None])]
    print(json_text(self_test_records(tried), indent=2) if args.json else self_test_table(tried))
    return int(any(each.wrong for each in tried))


def _compare(model: OnnxModel, args: argparse.Namespace) -> list[Parity]:
    """What `--against` names, held against the exact layers; of two, each with the other's drift beside its own."""
    if len(args.against) > 2 or len(set(args.against)) < len(args.against):
        raise ArgumentError("--against takes one runtime, or two different ones")
    golden = [name for name in args.against if name not in RUNTIMES and ":" not in name]
    if golden and len(args.against) > 1:
        raise ArgumentError(f"--against {golden[0]}: golden tensors are compared by themselves")
    if golden:
        return [_against_golden(model, golden[0], args)]
    x = _inputs(model, args.images)
    runs = [open_runtime(name, model, x[:1]) for name in args.against]
    if len(runs) == 1:
        return [compare(model, x, runs[0], precision=args.precision)]
    return [compare(model, x, run, other, precision=args.precision) for run, other in (runs, runs[::-1])]


def _against_golden(model: OnnxModel, folder: str, args: argparse.Namespace) -> Parity:
    if not Path(folder).exists():
        raise ArgumentError(
            f"--against {folder}: no such folder, no module:function, and the runtimes are {', '.join(RUNTIMES)}"
        )
    if args.images:
        raise ArgumentError("golden tensors bring their own inputs: leave the images out")
    names = [value.name for value in model.inputs]
    images = [image for tensors in read_golden(model, folder) for image in _one_by_one(tensors, names[0])]
    batches = iter(images)
    x = {name: np.concatenate([_as_float32(name, tensors[name]) for tensors in images]) for name in names}
    return compare(model, x if len(x) > 1 else x[names[0]], lambda _: next(batches), precision=args.precision)


def _as_float32(name: str, array: np.ndarray) -> np.ndarray:
    """An input that was saved as float64 or as whole numbers, where float32 holds the same."""
    single = array.astype(np.float32)
    if not np.array_equal(single, array, equal_nan=array.dtype.kind == "f"):
        raise ArgumentError(f"the input {name!r} was saved as {array.dtype}, and float32 does not hold its numbers")
    return single


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
