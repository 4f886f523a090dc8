"""Measure this package against the other systems that are installed."""

from __future__ import annotations

import argparse
import sys
from importlib.util import find_spec

from ..bench.measure import installed, measure, table_rows
from ..errors import MissingExtraError, whole_number
from ..files.onnx import read_onnx
from ..kernels import MOST_THREADS
from ..kernels.threads import available_cores
from ..text import table
from ..vgg.recognise import recognise
from ..zoo import find
from .output import check_file, json_text, named, written


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="NAME|PATH", help="a VGG network in an ONNX file")
    parser.add_argument("--systems", metavar="NAME", nargs="+", help="beginnings of names; all that are installed")
    parser.add_argument("--threads", type=int, default=available_cores(), help="for every system; default: all cores")
    parser.add_argument("--rounds", type=int, default=7, help="how often each system has its turn (7)")
    parser.add_argument("--json", metavar="FILE", type=named, help="also write every measured time here")


def run(args: argparse.Namespace) -> int:
    args.path = str(find(args.path))
    recognise(read_onnx(args.path))  # what is no VGG network is turned away here, not by each system
    whole_number("--threads", args.threads, 1, MOST_THREADS)
    whole_number("--rounds", args.rounds, 1)
    systems = installed(args.systems)
    if any(system.package != "numpyvgg" for system in systems) and not find_spec("onnx"):
        raise MissingExtraError("the others run on copies that onnx makes: pip install onnx, or --systems numpyvgg")
    if args.json:
        check_file("--json", args.json)
    result = measure(args.path, systems, args.threads, args.rounds, progress=_show)
    _show("")
    machine = result["machine"]
    print(f"{machine['date']}, {machine['cpu']}, {args.threads} threads, float32; medians of alternating runs")
    kernels = {record["blas"] for record in result["systems"].values() if record["blas"]}
    print(f"Python {machine['python']}, NumPy {machine['numpy']}; BLAS: {'; '.join(sorted(kernels))}")
    header, lines = table_rows(result)
    print(table(header, lines, "<>>>>>>><"))
    if args.json:
        with written("--json", args.json) as file:
            file.write(json_text(result, indent=1).encode())
    return 0


def _show(text: str) -> None:
    """What is being measured, on one line of a terminal."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
