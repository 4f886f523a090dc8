"""Options of the commands that find faces, the same in all of them."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..errors import ArgumentError
from ..photo.faces.detectors import DETECTOR_HELP, load_detector
from ..photo.faces.search import Face, align_faces, choose

if TYPE_CHECKING:
    from PIL import Image


def add_arguments(parser: argparse.ArgumentParser, where: str = "", one: bool = False) -> None:
    """Add them; `where` says when they count, `one` that the command takes one face."""
    parser.add_argument("--detector", metavar="NAME|PATH", help=f"{where}{DETECTOR_HELP}")
    parser.add_argument(
        "--min-size",
        metavar="PIXELS",
        type=float,
        help=f"{where}leave out smaller faces; default: a 32nd of the longest side, 20 or more. Small faces take time",
    )
    many = "largest or the N-th largest" if one else "all faces (the default), the largest, or the N-th largest"
    parser.add_argument("--face", metavar="largest|N" if one else "all|largest|N", help=f"{where}{many}")


def check(args: argparse.Namespace) -> None:
    """Raise the `ArgumentError` that says that an option needs --faces."""
    for option in ("detector", "min_size", "face", "draw"):
        if getattr(args, option, None) is not None and not args.faces:
            raise ArgumentError(f"--{option.replace('_', '-')} is for finding faces: add --faces")


def said(args: argparse.Namespace) -> dict[str, str]:
    """The options that decide which faces are answered for, as they were given; without what is the default."""
    if not args.faces:
        return {}
    given = {
        "--detector": "" if args.detector == "mtcnn" else args.detector,
        "--face": "" if args.face == "all" else args.face,
        "--min-size": f"{args.min_size:g}" if args.min_size else "",
    }
    return {"--faces": "", **{option: value for option, value in given.items() if value}}


def finder(args: argparse.Namespace) -> Callable[[Image.Image, str], list[Face]]:
    """What finds the faces of a photograph, given with its name, as the options say.

    Raises
    ------
    ArgumentError
        `--face` is none of those; `--min-size` is too small.
    """
    which = 1 if args.face == "largest" else None if args.face in (None, "all") else _number(args.face)
    if args.min_size is not None and not 12 <= args.min_size < math.inf:
        raise ArgumentError(f"--min-size {args.min_size:g}: the smallest face that can be found has 12 pixels")
    detector = load_detector(args.detector or "mtcnn")

    def find(photo: Image.Image, name: str) -> list[Face]:
        return choose(align_faces(photo, detector, min_size=args.min_size), which, name)

    return find


def _number(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentError(f"--face {text}: give all, largest, or a number, 1 for the largest face")
    return int(text)
