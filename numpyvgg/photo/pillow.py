"""Pillow, where it is installed.

It decodes every format there is, and its filters are compiled. A browser has a decoder of its own, and some machines
have NumPy alone: there photographs are arrays, PPM or PGM, and `resampling` does what Pillow's filters do.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType

from ..errors import MissingExtraError


@cache
def pillow() -> ModuleType | None:
    """The module `PIL.Image`; None where Pillow is not installed."""
    try:
        from PIL import Image
    except ImportError:
        return None
    return Image


def required(what: str) -> ModuleType:
    """The module `PIL.Image`.

    Raises
    ------
    MissingExtraError
        Pillow is not installed; `what` needs it.
    """
    module = pillow()
    if module is None:
        raise MissingExtraError(f"{what} needs Pillow: pip install pillow")
    return module
