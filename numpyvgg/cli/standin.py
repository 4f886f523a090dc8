"""A network with random weights in the cache folder, for commands that show how one works before any is fetched."""

from __future__ import annotations

import sys
from pathlib import Path

from ..errors import NumpyVggError, printable
from ..files.cache import cache_folder
from ..vgg.standin import write_standin


def standin(name: str, width: float, size: str) -> Path:
    """The stand-in's file of this name, made when it is not there yet.

    Parameters
    ----------
    name : str
    width : float
        Share of VGG-16's channels that it has.
    size : str
        Of the file, in words.

    Raises
    ------
    NumpyVggError
        It cannot be written; the message says how to choose another folder.
    """
    path = cache_folder() / name
    if not path.exists():
        print(f"numpyvgg: making a network with random weights, once: {printable(str(path))} ({size})", file=sys.stderr)
        try:
            write_standin(path, width=width)
        except OSError as error:
            raise NumpyVggError(
                f"{path}: cannot be written: {error.strerror}; set NUMPYVGG_CACHE to choose another folder"
            ) from None
    return path
