"""Measure this package against the other systems that are installed."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from ..bench import installed, measure, rows
from ..errors import ArgumentError
from ..kernels.threads import available_cores
from ..text import table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="PATH", help="an ONNX file that holds a VGG network")
    parser.add_argument("--systems", metavar="NAME", nargs="+", help="beginnings of names; all that are installed")
    parser.add_argument("--threads", type=int, default=available_cores(), help="for every system; default: all cores")
    parser.add_argument("--rounds", type=int, default=7, help="how often each system has its turn")
    parser.add_argument("--json", metavar="FILE", help="also write every measured time here")


def run(args: argparse.Namespace) -> int:
    if not Path(args.path).is_file():
        raise ArgumentError(f"{args.path}: there is no such file")
    if args.threads < 1 or args.rounds < 1:
        raise ArgumentError("--threads and --rounds are at least 1")
    result = measure(args.path, installed(args.systems), args.threads, args.rounds, progress=_show)
    _show("")
    machine = result["machine"]
    print(f"{machine['date']}, {machine['cpu']}, {args.threads} threads, float32; medians of alternating runs")
    kernels = {record["blas"] for record in result["systems"].values() if record["blas"]}
    print(f"Python {machine['python']}, NumPy {machine['numpy']}; BLAS: {'; '.join(sorted(kernels))}")
    header, lines = rows(result)
    print(table(header, lines, "<>>>>>>>"))
    if args.json:
        Path(args.json).write_text(json.dumps(result, indent=1))
    return 0


def _show(text: str) -> None:
    """What is being measured, on one line of a terminal."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
