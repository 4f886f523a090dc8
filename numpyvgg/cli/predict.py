"""Tell age and gender from photographs of faces."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

from ..errors import ArgumentError, ImageError, printable
from ..photo.folders import find_photographs
from ..photo.images import load_image
from ..photo.predictor import DEX_MODELS, SMALL_MODELS, Predictor, default_models
from ..text import human_bytes, progress_bar
from ..zoo import PUBLISHED
from . import drawing, finding, preparing
from .rows import Csv, JsonLines, Text, Writer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images", metavar="IMAGE", nargs="+", help="photographs cropped to the face, folders or globs")
    parser.add_argument("--faces", action="store_true", help="photographs not cropped: find the faces, answer for each")
    finding.add_arguments(parser, "with --faces: ")
    parser.add_argument(
        "--draw", metavar="FILE|DIR", type=Path, help="with --faces: draw them and the answers on the photographs"
    )
    parser.add_argument(
        "--model",
        metavar="NAME|PATH",
        action="append",
        help=f"a network, more than once for several; default: those fetched of {' and '.join(DEX_MODELS)}, "
        "else small: the two bundled ones",
    )
    preparing.add_arguments(parser)
    parser.add_argument("--top", metavar="N", type=int, default=0, help="show the N most probable classes, and a chart")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON lines: one object a photograph")
    form.add_argument("--csv", action="store_true", help="print CSV: one row for each photograph and network")


def run(args: argparse.Namespace) -> int:
    if args.top < 0:
        raise ArgumentError(f"--top {args.top}: give a number of classes, 1 or more")
    found = find_photographs(args.images)
    paths = found.paths
    finding.check(args)
    drawings = drawing.drawings(args.draw, paths) if args.draw else {}
    models = args.model or default_models()
    if not args.model and models == SMALL_MODELS:
        size = human_bytes(sum(PUBLISHED[name].size for name in DEX_MODELS))
        print(
            f"numpyvgg: the small networks answer, for tightly cropped faces; for those of the paper: "
            f"numpyvgg fetch {' '.join(DEX_MODELS)} ({size} together); for eight groups of ages in 24 MB: "
            f"--model age-googlenet",
            file=sys.stderr,
        )
    predictor = Predictor(models, labels=args.labels, **preparing.said(args))
    for note in dict.fromkeys(note for network in predictor.networks.values() for note in network.notes):
        print(printable(f"numpyvgg: {note}"), file=sys.stderr)
    writer: Writer = JsonLines(args.top) if args.json else Csv(args.top, args.faces) if args.csv else Text(args.top)
    find = finding.finder(args) if args.faces else None
    unreadable = 0
    for path in progress_bar(paths, unit="image"):
        try:
            image = load_image(path)
            predictions = predictor.faces(image, faces=find(image, path)) if find else [predictor(image)]
        except ImageError as error:
            unreadable += 1
            tqdm.write(f"numpyvgg: {error}", file=sys.stderr)
            continue
        for line in writer.lines(path, predictions):
            tqdm.write(line)
        if drawings:
            drawing.draw(drawings[path], image, predictions)
    if found.remark:
        print(printable(f"numpyvgg: {found.remark}"), file=sys.stderr)
    if unreadable:
        print(f"numpyvgg: {unreadable} of {len(paths)} images could not be read", file=sys.stderr)
    return 1 if unreadable else 0
