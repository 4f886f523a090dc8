"""Standard output and error that take every text, whatever their encoding, and that are always there.

A file name may hold characters that the output's encoding lacks, or bytes that are no characters at all. Neither may
end a run over a thousand photographs: what cannot be written as it is, is written in ASCII.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import sys

#: How signs that this package prints are written where there is no such sign
_IN_ASCII = {"±": "+-"}
_ERRORS = "numpyvgg-ascii"


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    """Replace what cannot be encoded: known signs by ASCII ones, all else by Python's escapes (``\\udce9``)."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    characters = error.object[error.start : error.end]
    return "".join(_IN_ASCII.get(c) or c.encode("unicode_escape").decode() for c in characters), error.end


codecs.register_error(_ERRORS, _in_ascii)


def prepare_streams() -> None:
    """Make stdout and stderr accept every text; where they are closed or missing, drop it."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None or getattr(stream, "closed", False):
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  (open until the program ends)
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ERRORS)


def abandon_output() -> None:
    """Drop what is still buffered: its reader has gone or its disk is full, and Python would fail on it once more."""
    with contextlib.suppress(OSError, ValueError):  # a stream without a descriptor buffers nothing
        descriptor = os.open(os.devnull, os.O_WRONLY)
        os.dup2(descriptor, sys.stdout.fileno())
        os.close(descriptor)
