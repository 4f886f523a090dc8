"""The command line: one sub-command a module in this folder, and one place where errors become a line.

A command's module has `add_arguments(parser)` and `run(args) -> int` (the exit code); its docstring is the help text.
Modules are imported when their command is asked for, so that `numpyvgg predict` does not wait for matplotlib.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from ..errors import NumpyVggError
from ..version import __version__

#: sub-command -> what it does, in the order in which help lists them
COMMANDS: dict[str, str] = {
    "demo": "run a photograph through a full-size network with random weights",
    "predict": "tell age and gender from photographs",
    "align": "find faces, turn them upright, crop them as the networks want them",
    "inspect": "show what is in a network's file",
    "explain": "show what each layer makes of a photograph, and where the answer comes from",
    "models": "list the published networks, and which of them are on this machine",
    "fetch": "bring published networks to this machine",
    "bench": "measure this package against the other systems that are installed",
    "parity": "hold another runtime to rounding theory, layer by layer; write golden tensors",
}


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, as all of this package's are."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"numpyvgg: {message}; see `{self.prog} --help`\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; errors that a user can mend are one line on stderr and exit code 2."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = _Parser(prog="numpyvgg", description="VGG-16 face-age networks in plain NumPy.")
    parser.add_argument("--version", action="version", version=f"numpyvgg {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    try:
        for name, summary in COMMANDS.items():
            subparser = subparsers.add_parser(name, help=summary, description=summary)
            if arguments[:1] == [name]:
                command = importlib.import_module(f"{__package__}.{name}")
                command.add_arguments(subparser)
        args = parser.parse_args(arguments)
        code = command.run(args)
        sys.stdout.flush()
        return code
    except NumpyVggError as error:
        print(f"numpyvgg: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output, such as `head`, has gone: nothing left to say
        _close_output()
        return 141
    except MemoryError as error:
        print(f"numpyvgg: out of memory: {error}", file=sys.stderr)
        return 2
    except OSError as error:  # a full disk under our output, say
        _close_output()
        print(f"numpyvgg: {error}", file=sys.stderr)
        return 2


def _close_output() -> None:
    """Let what is still buffered go nowhere, so that Python does not fail on it once more at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
