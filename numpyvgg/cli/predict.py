"""Tell age and gender from photographs of faces."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from itertools import groupby
from pathlib import Path

from ..errors import ArgumentError, NumpyVggError, printable
from ..photo.folders import find_photographs
from ..photo.images import load_image
from ..photo.predictor import DEX_MODELS, SMALL_MODELS, WINOGRAD_FROM, Prediction, Predictor, default_models
from ..text import human_bytes, write_line
from ..version import __version__
from ..zoo import PUBLISHED
from . import drawing, finding, preparing
from .output import exit_code, named_path
from .progress import Progress, Stop
from .results import FORMATS, Results, check_output
from .rows import Csv, JsonLines, Text, Writer

#: Photographs of one kind that a remark names
NAMED = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images", metavar="IMAGE", nargs="+", help="photographs cropped to the face, folders or globs")
    parser.add_argument("--faces", action="store_true", help="photographs not cropped: find the faces, answer for each")
    finding.add_arguments(parser, "with --faces: ")
    parser.add_argument(
        "--draw", metavar="FILE|DIR", type=named_path, help="with --faces: draw them and the answers on the photographs"
    )
    parser.add_argument(
        "--model",
        metavar="NAME|PATH",
        action="append",
        help=f"a network, more than once for several; default: those fetched of {' and '.join(DEX_MODELS)}, "
        "else small: the two bundled ones",
    )
    preparing.add_arguments(parser)
    parser.add_argument("--top", metavar="N", type=int, help="show the N most probable classes, and a chart")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON lines: one object a photograph")
    form.add_argument("--csv", action="store_true", help="print CSV: one row for each photograph and network")
    form.add_argument(
        "-o", "--output", metavar="FILE", type=named_path, help=f"write the answers to a file: {', '.join(FORMATS)}"
    )
    parser.add_argument("--resume", action="store_true", help="with -o: go on where an earlier run ended")


def run(args: argparse.Namespace) -> int:
    if args.top is not None and args.top < 1:
        raise ArgumentError(f"--top {args.top}: give a number of classes, 1 or more")
    args.top = args.top or 0
    found = find_photographs(args.images)
    paths = found.paths
    _check_output(args, paths)
    finding.check(args)
    drawings = drawing.drawings(args.draw, paths) if args.draw else {}
    find = finding.finder(args) if args.faces else False
    predictor, notes = _open(args)
    begun = Results.method_of(args.output) if args.resume else None
    conv = begun or predictor.method(len(paths))  # a run that goes on computes as it began
    sink: Results | Printed = _results(args, predictor, conv) if args.output else Printed(args)
    todo = [path for path in paths if not sink.is_done(path)]
    progress, stop = Progress(len(todo), len(paths)), Stop()
    with stop.listening() if args.output else nullcontext():
        answered = _after(notes, predictor.many(todo, find, conv=conv, stop=stop.event))
        enlarged = _write(answered, sink, drawings, progress)
        sink.close(finished=not stop.signal)
    rule = _rule(conv, begun is not None)
    for remark in (_summary(sink, progress, rule), enlarged.remark, found.remark):
        if remark:
            print(printable(f"numpyvgg: {remark}"), file=sys.stderr)
    if stop.signal:
        print("numpyvgg: stopped; go on with --resume", file=sys.stderr)
        return 128 + stop.signal
    return exit_code(progress.errors, len(paths))


def _rule(conv: str, resumed: bool) -> str:
    """How convolutions were computed, and why so."""
    if resumed:
        return f"convolutions by {conv}, as when it was begun"
    photographs = f"from {WINOGRAD_FROM} photographs on" if conv == "winograd" else f"below {WINOGRAD_FROM} photographs"
    return f"convolutions by {conv}, as always {photographs}"


def _open(args: argparse.Namespace) -> tuple[Predictor, list[str]]:
    """The networks, and what their user should know."""
    models = args.model or default_models()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        predictor = Predictor(models, labels=args.labels, **preparing.said(args))
    notes = [str(warning.message) for warning in told]
    if not args.model and models == SMALL_MODELS:
        size = human_bytes(sum(PUBLISHED[name].size for name in DEX_MODELS))
        notes.append(
            f"the small networks answer, for tightly cropped faces; for those of the paper: "
            f"numpyvgg fetch {' '.join(DEX_MODELS)} ({size} together); for eight groups of ages in 24 MB: "
            f"--model age-googlenet"
        )
    notes += [note for network in predictor.networks.values() for note in network.notes]
    return predictor, list(dict.fromkeys(notes))


def _results(args: argparse.Namespace, predictor: Predictor, conv: str) -> Results:
    """The file of answers, of this network, computed so."""
    settings = {
        "version": __version__,
        "networks": {
            name: {"weights": each.fingerprint, "preparation": str(each.preparation), "labels": str(each.labels)}
            for name, each in predictor.networks.items()
        },
        "options": {**finding.said(args), **({"--top": str(args.top)} if args.top else {})},
        "conv": conv,
    }
    return Results(args.output, settings, args.top, args.faces)


def _after(notes: Sequence[str], predictions: Iterator[Prediction]) -> Iterator[Prediction]:
    """The predictions; the notes are said on stderr before the first answer, and not where there is none."""
    said = False
    for prediction in predictions:
        if not prediction.error and not said:
            said = True
            for note in notes:
                write_line(printable(f"numpyvgg: {note}"), file=sys.stderr)
        yield prediction


def _write(
    answered: Iterator[Prediction], sink: Results | Printed, drawings: dict[str, Path], progress: Progress
) -> Enlarged:
    """Write what is said of each photograph -> those that were too small."""
    enlarged = Enlarged()
    for path, group in groupby(answered, key=lambda prediction: prediction.source):
        predictions = list(group)
        error = predictions[0].error
        if error:
            sink.write_error(path, error)
        else:
            sink.write(path, predictions)
            enlarged.look(path, predictions[0])
            if path in drawings:
                drawing.draw(drawings[path], load_image(path), predictions)  # held until now it would fill memory
        progress.step(failed=error is not None)
    progress.close()
    return enlarged


def _summary(sink: Results | Printed, progress: Progress, rule: str) -> str:
    """What came of a run."""
    if isinstance(sink, Results):
        return f"{sink}: {progress.summary}; {rule}" if progress.total else f"{sink}: {progress.summary}"
    if progress.errors and progress.of > 1:
        return f"{progress.errors} of {progress.of} images could not be read"
    return ""


class Enlarged:
    """Photographs that have fewer pixels than a network looks at: they are answered, and remarked."""

    def __init__(self) -> None:
        self._first: list[str] = []
        self._count = 0

    def look(self, path: str, prediction: Prediction) -> None:
        """Remember a photograph if it is one of those."""
        sides = [preparation.size for preparation in prediction.preparations.values()]
        if any(prediction.size[0] < width or prediction.size[1] < height for height, width in sides):
            self._count += 1
            if self._count <= NAMED:
                self._first.append(f"{path} ({prediction.size[0]}x{prediction.size[1]})")

    @property
    def remark(self) -> str:
        """One line about them; "" where there are none."""
        if not self._count:
            return ""
        named = ", ".join([*self._first, *(["..."] if self._count > NAMED else [])])
        return f"{self._count} with fewer pixels than the networks look at, enlarged: {named}"


class Printed:
    """Answers on standard output, and errors on the other."""

    def __init__(self, args: argparse.Namespace):
        top = args.top
        self._writer: Writer = JsonLines(top) if args.json else Csv(top, args.faces) if args.csv else Text(top)

    def is_done(self, path: str) -> bool:
        """What was printed before is not known."""
        return False

    def write(self, path: str, predictions: Sequence[Prediction]) -> None:
        for line in self._writer.lines(path, predictions):
            write_line(line)

    def write_error(self, path: str, error: NumpyVggError) -> None:
        write_line(f"numpyvgg: {error}", file=sys.stderr)

    def close(self, finished: bool) -> None:
        """Nothing is left to do."""


def _check_output(args: argparse.Namespace, paths: Sequence[str]) -> None:
    """Raise the `ArgumentError` that says why answers cannot be written, before any work is done."""
    if args.resume and not args.output:
        raise ArgumentError("--resume goes on with a file: add -o FILE")
    if args.output:
        check_output(args.output, args.resume, paths)
