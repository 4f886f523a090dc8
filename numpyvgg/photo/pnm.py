"""PPM and PGM, which need no decoder: a header of four words, and then the numbers.

Source: the manual pages ppm(5) and pgm(5) of Netpbm. Magic P2 and P5 are grey, P3 and P6 red, green, blue; P2 and P3
are written as text.
"""

from __future__ import annotations

import re

import numpy as np

from ..errors import ImageError, MissingExtraError
from .decode import LARGEST, opened
from .formats import identify

#: Magic, width, height, and the number that stands for white; a comment may stand between any two of them
_HEADER = re.compile(rb"P([2356])" + rb"(?:\s*#[^\n]*\n|\s)+(\d{1,9})" * 3 + rb"(?:#[^\n]*\n)?\s")


def read_pnm(source: str | bytes, name: str) -> np.ndarray:
    """A photograph as PPM or PGM.

    Parameters
    ----------
    source : str or bytes
        A path, or what is in a file.
    name : str
        What errors call it.

    Returns
    -------
    ndarray, uint8 [H, W, 3]

    Raises
    ------
    MissingExtraError
        It is of a format that needs Pillow.
    ImageError
        It is no photograph, is cut off, or too large.
    """
    with opened(source, name) as file:
        data = file.read(1 << 12)
        kind, reason = identify(data[:64], name)
        if not kind:
            raise ImageError(f"{name}: {reason}")
        header = _HEADER.match(data)
        if kind != "PPM" or not header:
            raise MissingExtraError(f"{name}: {kind} needs Pillow: pip install pillow; without it PPM and PGM are read")
        magic, width, height, white = (int(number) for number in header.groups())
        if not 0 < width * height <= LARGEST or not 0 < white < 65536:
            raise ImageError(f"{name}: cannot be read: {width} x {height} pixels with values up to {white}")
        count = width * height * (3 if magic in (3, 6) else 1)
        size = 2 if white > 255 else 1
        body = data[header.end() :] + file.read(count * size if magic > 3 else 8 * count)
    values = np.frombuffer(body, ">u2" if size == 2 else np.uint8, min(count, len(body) // size))
    if magic < 4:
        values = _numbers(body, name)[:count]
    if len(values) < count:
        raise ImageError(f"{name}: cannot be read: the file is cut off, and a part of the photograph is missing")
    if white != 255:
        values = (np.minimum(values, white).astype(np.float64) * 255 / white + 0.5).astype(np.uint8)
    return np.repeat(values.reshape(height, width, -1), 3 // (count // (width * height)), axis=2).astype(np.uint8)


def _numbers(text: bytes, name: str) -> np.ndarray:
    try:
        return np.array(re.sub(rb"#[^\n]*", b"", text).split(), np.int64)
    except ValueError:
        raise ImageError(f"{name}: cannot be read: there is something else than numbers among its pixels") from None
