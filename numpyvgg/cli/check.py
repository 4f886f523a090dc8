"""Hold a function of your own to an exercise of the lesson (docs/lesson/exercises.md).

The file is Python and is run. Without a file the task is printed, without a number the list of exercises.
"""

from __future__ import annotations

import argparse
import runpy
import textwrap
import traceback
from pathlib import Path
from typing import Any

from ..errors import ArgumentError
from ..lesson import EXERCISES, check, find
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
    verdict = check(args.number, _function(args.file, exercise.name))
    print(verdict)
    return 0 if verdict.passed else 1


def _function(path: str, name: str) -> Any:
    """Run a learner's file -> what it defines under that name.

    Raises
    ------
    ArgumentError
        It is no Python, raises, or defines no such name.
    """
    if not Path(path).is_file():
        raise ArgumentError(f"{path}: there is no such file")
    try:
        names = runpy.run_path(path, run_name="exercise")
    except SyntaxError as error:
        raise ArgumentError(f"{path}: line {error.lineno}: {error.msg}") from error
    except (Exception, SystemExit) as error:
        line = next((f.lineno for f in reversed(traceback.extract_tb(error.__traceback__)) if f.filename == path), "?")
        raise ArgumentError(f"{path}: line {line} raises {type(error).__name__}: {error}") from error
    if name not in names:
        raise ArgumentError(f"{path}: defines no {name}; the exercise's function has that name")
    return names[name]
