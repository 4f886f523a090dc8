"""What a file is, by its content, for errors that say which other kind of file it is.

Of five small files called ``.caffemodel`` that were met in public repositories none was one: web pages, a placeholder,
a program. Of a Caffe network the content is asked only when it cannot be read: its name may begin with any bytes.
"""

from __future__ import annotations

import re

from ..errors import ModelFormatError
from .source import Source

#: What `refuse` calls the file that ONNX's reader wants
ONNX = "an ONNX file"
#: First bytes -> what such a file is, and what to do with it
_STARTS = {
    b"\x89HDF": ("an HDF5 file", "Caffe's HDF5 snapshots are not read here: save the network in its binary form"),
    b"\x1f\x8b": ("a gzip archive", "unpack it first"),
    b"PK\x03\x04": ("a zip archive", "unpack it first"),
    b"\xff\xd8\xff": ("a JPEG image", ""),
    b"\x89PNG": ("a PNG image", ""),
    b"GIF8": ("a GIF image", ""),
    b"BM": ("a BMP image", ""),
    b"II*\0": ("a TIFF image, or a camera's raw file", ""),
    b"MM\0*": ("a TIFF image, or a camera's raw file", ""),
    b"RIFF": ("a WebP image or a film", ""),
    b"%PDF": ("a PDF", ""),
    b"\x93NUMPY": ("a NumPy array", ""),
    b"\x80\x02": ("a Python pickle", ""),
}
#: The same for texts: a pattern of what they have
_TEXTS = {
    r"\A<\s*ir_version\s*:": (
        "ONNX's text form",
        "make the binary form: `onnx.save(onnx.parser.parse_model(text), path)`",
    ),
    r"\Aversion https://git-lfs": ("a Git LFS pointer", "fetch the file that it points to: `git lfs pull`"),
    r"(?i)\A<(!doctype|html|head|\?xml|!--)": ("a web page", "download the file itself, by the page's raw link"),
    r"(?m)^\s*(layers?|input|input_dim|name)\s*[:{]": ("a network's definition", "the weights are in a .caffemodel"),
    r"(?m)\A#!|^(import \w+|from [\w.]+ import|def \w+\(|class \w+)": ("a program", ""),
    r"": ("a text file", ""),
}


def is_text(source: Source) -> bool:
    """Whether the file is a text: no control characters among its first bytes."""
    return not re.search(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]", bytes(source.data[:2048]))


def refuse(source: Source, wanted: str, a_text: bool = False) -> None:
    """Raise the error that says what a file is instead of `wanted`; nothing happens where that is not known.

    `a_text`: a text is wanted, and one that is no known kind of another is left to its reader's error.
    """
    head = bytes(source.data[:2048])
    kind, mend = next((what for start, what in _STARTS.items() if head.startswith(start)), ("", ""))
    if not head:
        kind = "empty"
    elif not kind and is_text(source):
        text = head.decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
        kind, mend = next(what for pattern, what in _TEXTS.items() if re.search(pattern, text))
        kind = "" if a_text and kind in ("a network's definition", "a text file") else kind
    elif not kind and head[:1] == b"\x08" and wanted != ONNX:
        kind, mend = "an ONNX file, or no model at all", "give it a name that ends in .onnx"
    elif head[4:8] == b"ftyp":
        kind = "a HEIC or AVIF image, or a film"
    elif head[4:8] == b"ORTM":  # the name of a FlatBuffers file
        kind, mend = "a file in ONNX Runtime's own format (.ort)", "take the .onnx file that it was made of"
    if kind:
        raise ModelFormatError(f"{source.name}: byte 0: this is {kind}, not {wanted}{mend and '; '}{mend}")
