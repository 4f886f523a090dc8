"""Hold a function of your own to an exercise of the lesson (docs/lesson/exercises.md).

The file is Python and is run. Without a file the task is printed, without a number the list of exercises.
"""

from __future__ import annotations

import argparse
import os
import runpy
import sys
import textwrap
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import ArgumentError, printable
from ..lesson import EXERCISES, check, find
from ..lesson import exercise as judging
from ..text import table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("number", metavar="N", nargs="?", type=int, help="the exercise's number")
    parser.add_argument(
        "file", metavar="FILE", nargs="?", help="a Python file with your function, under the exercise's name"
    )


def run(args: argparse.Namespace) -> int:
    if args.number is None:
        rows = [[number, one.signature, one.chapter, one.minutes] for number, one in EXERCISES.items()]
        print(table(["exercise", "function", "read before", "minutes"], rows, "><<>"))
        return 0
    exercise = find(args.number)
    if args.file is None:
        print(f"exercise {args.number}: def {exercise.signature}\n{textwrap.fill(exercise.task, 100)}")
        return 0
    with _ended(args.file):
        verdict = check(args.number, _function(args.file, exercise.name))
    print(verdict)
    return 0 if verdict.passed else 1


@contextmanager
def _ended(path: str) -> Iterator[None]:
    """End the program where a file can be stopped in no other way: it sleeps, or catches whatever stops it."""

    def end() -> None:
        print(f"numpyvgg: {printable(path)}: does not end, and cannot be stopped", file=sys.stderr, flush=True)
        os._exit(2)

    timer = threading.Timer(3 * judging.SECONDS, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _function(path: str, name: str) -> Any:
    """Run a learner's file -> what it defines under that name.

    Raises
    ------
    ArgumentError
        It is no Python, raises, does not end, or defines no such name.
    """
    if not Path(path).is_file():
        raise ArgumentError(f"{path}: there is no such file")
    try:
        with judging.limited(judging.SECONDS):
            names = runpy.run_path(path, run_name="exercise")
    except SyntaxError as error:
        raise ArgumentError(f"{path}: line {error.lineno}: {error.msg}") from error
    except judging.TimeIsUp as error:
        reason = f"is where it was stopped after {judging.SECONDS:g} s; is there a loop without an end?"
        raise ArgumentError(f"{path}: line {_line(error, path)} {reason}") from None
    except (Exception, SystemExit) as error:
        raise ArgumentError(f"{path}: line {_line(error, path)} raises {type(error).__name__}: {error}") from error
    if name not in names:
        raise ArgumentError(f"{path}: defines no {name}; the exercise's function has that name")
    return names[name]


def _line(error: BaseException, path: str) -> int | str:
    """The file's own line that an error comes from."""
    lines = (frame.lineno for frame in reversed(traceback.extract_tb(error.__traceback__)) if frame.filename == path)
    return next(lines, None) or "?"
