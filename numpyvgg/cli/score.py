"""Score networks on a benchmark: read its labels, answer for its photographs, write the field's measures."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from ..errors import ArgumentError, MissingExtraError, printable
from ..files.cache import written_whole
from ..score import FORMATS, Scorer, read
from ..score.compute import compute
from ..score.scores import Answers, collect, scores
from ..score.shards import Run, Shard, manifest_of
from ..score.table import Table
from ..text import table as columns
from . import preparing
from .output import check_folder, json_text, named_path
from .progress import Progress, Stop


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("format", metavar="FORMAT", choices=FORMATS, help=f"the benchmark's: {', '.join(FORMATS)}")
    parser.add_argument(
        "path", metavar="PATH", type=named_path, help="the folder of its archive, or its file of labels"
    )
    parser.add_argument(
        "-o", "--output", metavar="DIR", type=named_path, required=True, help="the folder for predictions and scores"
    )
    parser.add_argument(
        "--model", metavar="NAME|PATH", action="append", help="a network, more than once for several; as for predict"
    )
    parser.add_argument("--protocol", metavar="NAME", help="which split, labels or rule; see docs/scoring.md")
    parser.add_argument("--faces", action="store_true", help="look for the largest face, where FORMAT would not")
    parser.add_argument("--shard", metavar="I/N", type=_share, help="answer every N-th shard from the I-th on (1 to N)")
    parser.add_argument(
        "--dask",
        metavar="ADDRESS",
        nargs="?",
        const="",
        type=_address,
        help="answer by Dask: the scheduler's address, tcp://HOST:8786, or none for processes on this machine's cores",
    )
    parser.add_argument("--resume", action="store_true", help="go on where an earlier run in DIR ended")
    preparing.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    table = read(args.format, args.path, args.protocol)
    check_folder("-o", args.output)
    run = _finished(args, table) or _answered(args, table)
    if isinstance(run, int):
        return run
    run.merge()
    answers = collect(len(table.rows), run.manifest["settings"]["networks"], run.answers())
    result = scores(table, run.manifest, answers, Counter(error for _, _, error in run.errors()))
    with written_whole(args.output / "scores.json") as file:
        file.write(json_text(result, indent=1).encode())
    _write_page(args.output / "report.html", table, result, answers)
    print(_text(result))
    return 1 if result["errors"] else 0


def _finished(args: argparse.Namespace, table: Table) -> Run | None:
    """The run in the folder where all of it is answered, and no network is named: it needs none."""
    if not args.resume or args.model or not (args.output / "manifest.json").exists():
        return None
    run = Run(args.output, table, {**_what(args), "settings": manifest_of(args.output)["settings"]})
    if not all(map(run.is_done, run.shards)):
        return None
    run.go_on()
    _say(run, f"all {len(table.rows)} photographs are answered already; no network is opened")
    return run


def _answered(args: argparse.Namespace, table: Table) -> Run | int:
    """The run once all of it is answered; else the exit code."""
    run = _open(args, table, scorer := _scorer(args, table))
    share, shares = args.shard or (1, 1)
    mine = run.shards[share - 1 :: shares]
    todo = [shard for shard in mine if not run.is_done(shard)]
    if not todo:
        _say(run, f"all {sum(map(len, mine))} photographs are answered already")
    signal = _answer(run, scorer, todo, args.dask) if todo else 0
    missing = sum(not run.is_done(shard) for shard in run.shards)
    if signal or missing:
        print(f"numpyvgg: {missing} of {len(run.shards)} shards are left; go on with --resume", file=sys.stderr)
        return 128 + signal if signal else 0
    return run


def _say(run: Run, what: str) -> None:
    print(printable(f"numpyvgg: {run.folder}: {what}"), file=sys.stderr)


def _share(text: str) -> tuple[int, int]:
    """``2/8``: the second of eight."""
    words = text.split("/")
    if len(words) != 2 or not all(word.isdecimal() for word in words) or not 1 <= int(words[0]) <= int(words[1]):
        raise argparse.ArgumentTypeError(f"{text!r}: give I/N with I from 1 to N, as 2/8")
    return int(words[0]), int(words[1])


def _address(text: str) -> str:
    if text and "://" not in text:
        raise argparse.ArgumentTypeError(f"{text!r}: give the scheduler's address, as tcp://HOST:8786")
    return text


def _scorer(args: argparse.Namespace, table: Table) -> Scorer:
    boxes = any(row.box for row in table.rows)
    faces = args.faces or not (FORMATS[args.format].cropped or boxes)
    return Scorer(args.model, args.labels, faces=faces, **preparing.said(args))


def _what(args: argparse.Namespace) -> dict[str, Any]:
    """What is scored, for the manifest."""
    return {"format": args.format, "protocol": args.protocol or FORMATS[args.format].protocols[0]}


def _open(args: argparse.Namespace, table: Table, scorer: Scorer) -> Run:
    """The folder of the run, begun or found as it was begun."""
    settings = scorer.settings(boxes=any(row.box for row in table.rows))
    for note in dict.fromkeys(scorer.notes):
        print(printable(f"numpyvgg: {note}"), file=sys.stderr)
    run = Run(args.output, table, {**_what(args), "settings": settings})
    if not (args.output / "manifest.json").exists():
        run.begin()
    elif args.resume or args.shard:  # the jobs of an array begin in any order, in one folder
        run.go_on()
    else:
        raise ArgumentError(f"-o {args.output}: holds a run already: add --resume, or give another folder")
    return run


def _answer(run: Run, scorer: Scorer, todo: list[Shard], dask: str | None) -> int:
    """Answer shards, here or by Dask -> the signal that ended it, or 0."""
    progress, stop = Progress(sum(map(len, todo))), Stop()
    with stop.listening():
        if dask is None:
            compute(run, scorer, todo, progress.step, stop.event)
        else:
            from ..score import cluster

            cluster.compute(run, scorer, todo, progress.step, stop.event, dask)
    progress.close()
    _say(run, progress.summary)
    return stop.signal


def _write_page(path: Path, table: Table, result: dict[str, Any], answers: dict[str, Answers]) -> None:
    """The scores as a page, where Jinja is installed."""
    try:
        from ..score.page import render
    except MissingExtraError as error:
        print(f"numpyvgg: {error}", file=sys.stderr)
        return
    with written_whole(path) as file:
        file.write(render(table, result, answers).encode())


# ---------------------------------------------------------------------- for people


def _text(result: dict[str, Any]) -> str:
    """The scores as a table, what others published beside them, and what a reader has to know."""
    rows: list[list[object]] = []
    for network in result["networks"]:
        for each in network["measures"]:
            interval = "" if each["low"] is None else f"{each['low']:.3f} to {each['high']:.3f}"
            folds = "" if each["fold_mean"] is None else f"{each['fold_mean']:.3f} ± {each['standard_error']:.3f}"
            value = f"{each['value']:.3f}"
            rows.append([network["network"], each["measure"], value, each["unit"], interval, folds, each["n"]])
    header = ["network", "measure", "value", "unit", "95 %", "mean of folds", "N"]
    lines = [columns(header, rows, right="<<><>>>"), *_published(result["published"])]
    counts = {"errors": "not answered", "unused": "left out of the list", "lost_labels": "label not used"}
    for key, what in counts.items():
        lines += [printable(f"{what}: {each['n']}: {each['reason']}") for each in result[key]]
    return "\n".join([*lines, *map(printable, result["remarks"])])


def _published(figures: list[dict[str, Any]]) -> list[str]:
    """Others' figures as a table, and below it where each is from and why it does not compare."""
    if not figures:
        return []
    origins = [f"{figure['source']}: {figure['remark']}" for figure in figures]
    numbers = {origin: f"[{number}]" for number, origin in enumerate(dict.fromkeys(origins), start=1)}
    rows = [
        [figure["model"], figure["measure"], f"{figure['value']:.3f}", numbers[origin]]
        for figure, origin in zip(figures, origins, strict=True)
    ]
    below = [f"{number} {origin}" for origin, number in numbers.items()]
    return ["", columns(["published", "measure", "value", "from"], rows, right="<<><"), *below, ""]
