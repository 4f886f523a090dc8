"""Find the faces in photographs, turn them upright, and write them as the networks' input."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..errors import ImageError, printable
from ..photo.faces.search import Face
from ..photo.folders import find_photographs
from ..photo.images import load_image
from ..photo.pillow import required
from ..text import progress_bar, write_line
from . import finding
from .output import check_folder, exit_code, named_path, names_for, written


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images", metavar="IMAGE", nargs="+", help="photographs, folders or globs")
    parser.add_argument("-o", "--output", metavar="DIR", type=named_path, required=True, help="folder for the crops")
    finding.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    found = find_photographs(args.images)
    paths = found.paths
    places = names_for(paths, lambda name: Path(name).stem, str)
    for folder in {args.output, *(args.output / place.parent for place in places)}:
        check_folder("-o", folder)
    required("a crop as PNG")
    find = finding.finder(args)
    unreadable = 0
    for path, place in progress_bar(list(zip(paths, places, strict=True)), unit="image"):
        try:
            faces = find(load_image(path), path)
        except ImageError as error:
            unreadable += 1
            write_line(f"numpyvgg: {error}", file=sys.stderr)
            continue
        for face in faces:
            crop = args.output / f"{place}-{face.number}.png"
            _write(crop, face)
            which = f"face {face.number} of {face.count}, " if face.found else ""
            write_line(printable(f"{path}: {which}{face}: {crop}"))
    if found.remark:
        print(printable(f"numpyvgg: {found.remark}"), file=sys.stderr)
    if unreadable and len(paths) > 1:
        print(f"numpyvgg: {unreadable} of {len(paths)} images could not be read", file=sys.stderr)
    return exit_code(unreadable, len(paths))


def _write(path: Path, face: Face) -> None:
    with written("-o", path) as file:
        required("a crop as PNG").fromarray(face.crop).save(file, "PNG")
