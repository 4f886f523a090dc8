"""The command line: one sub-command a module in this folder, and one place where errors become a line.

A command's module has `add_arguments(parser)` and `run(args) -> int` (the exit code); its docstring is the help text.
Modules are imported when their command is asked for, so that `numpyvgg predict` does not wait for matplotlib.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from ..errors import ArgumentError, InternalError, NumpyVggError, printable
from ..version import __version__
from .streams import abandon_output, prepare_streams

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

#: sub-command -> what it does, in the order in which help lists them
COMMANDS: dict[str, str] = {
    "demo": "tell age and gender of a photograph, and run it through a full-size network with random weights",
    "predict": "tell age and gender from photographs",
    "align": "find faces, turn them upright, crop them as the networks want them",
    "inspect": "show what is in a network's file",
    "explain": "show what each layer makes of a photograph, and where the answer comes from",
    "convert": "write a Caffe network as an ONNX file",
    "models": "list the published networks, and which of them are on this machine",
    "fetch": "bring published networks to this machine",
    "score": "score networks on a benchmark, from its labels to the field's measures",
    "bench": "measure this package against the other systems that are installed",
    "check": "hold a function of your own to an exercise of the lesson",
    "parity": "hold another runtime to rounding theory, layer by layer; write golden tensors",
}


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, as all of this package's are."""

    def error(self, message: str) -> NoReturn:
        raise ArgumentError(f"{message}; see `{self.prog} --help`")

    def _print_message(self, message: str, file: SupportsWrite[str] | None = None) -> None:
        (file or sys.stderr).write(message)  # argparse's own is silent where a disk is full


def script() -> NoReturn:
    """What `numpyvgg` and ``python -m numpyvgg`` call: a process of its own, which ends with the command."""
    code = main()
    gc.freeze()  # all memory goes back to the system: looking through it for garbage takes a tenth of a second
    sys.exit(code)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command -> the exit code. Whatever goes wrong is one line on stderr, and code 2.

    With ``NUMPYVGG_TRACEBACK=1`` in the environment the line is preceded by Python's traceback.
    """
    prepare_streams()
    try:
        code = _run(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output, such as `head`, has gone: nothing left to say
        abandon_output()
        return 141
    except Exception as error:
        if os.environ.get("NUMPYVGG_TRACEBACK"):
            traceback.print_exc()
        if isinstance(error, OSError) and not isinstance(error, NumpyVggError):
            abandon_output()
        with contextlib.suppress(OSError):  # stderr may be the stream that is full
            print(f"numpyvgg: {_line(error)}", file=sys.stderr, flush=True)
        return 2


def _run(arguments: list[str]) -> int:
    parser = _Parser(prog="numpyvgg", description="VGG-16 face-age networks in plain NumPy.")
    parser.add_argument("--version", action="version", version=f"numpyvgg {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    first = next((word for word in arguments if word != "--"), "")
    for name, summary in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=summary, description=summary)
        if name == first:
            command = importlib.import_module(f"{__package__}.{name}")
            command.add_arguments(subparser)
    try:
        args, unknown = parser.parse_known_args(arguments)
        if unknown:
            subparsers.choices[args.command].error(f"unrecognized arguments: {' '.join(unknown)}")
    except SystemExit as done:  # after --help
        return int(done.code or 0)
    except ArgumentError as error:
        files = [word for word in arguments if word.startswith("-") and os.path.isfile(word)]
        mend = f"; for the file {files[0]}, write ./{files[0]}: a dash begins an option" if files else ""
        raise ArgumentError(f"{error}{mend}") from None
    return command.run(args)


def _line(error: Exception) -> str:
    """What an error says, as one line."""
    text = printable(str(error))
    if isinstance(error, InternalError):
        return f"{text}; NUMPYVGG_TRACEBACK=1 shows where"
    if isinstance(error, NumpyVggError):
        return text
    if isinstance(error, MemoryError):
        return f"out of memory: {text}"
    if isinstance(error, OSError):  # a full disk under our output, say
        return printable(f"{error.filename or 'the output'}: {error.strerror or error}")
    kind = type(error).__name__
    return (
        f"a fault of numpyvgg, which did not foresee this: {kind}: {text}; please report it (NUMPYVGG_TRACEBACK=1 "
        "shows where)"
    )
