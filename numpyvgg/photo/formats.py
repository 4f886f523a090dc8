"""What kind of file the first bytes tell of: a photograph's format, or what people have instead, with the mend.

The formats are those that people photograph with and pass photographs on in. Others that Pillow knows stay closed: an
EPS starts an interpreter on a stranger's program, and forty rarely used decoders are forty ways to be attacked.
"""

from __future__ import annotations

import os
import re

#: Pillow's names of the formats that are read, in words
WORDS = "JPEG, PNG, WebP, HEIC, AVIF, TIFF, BMP, GIF, JPEG 2000, PNM, TGA or ICO"
_BEGINNINGS = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"\xff\x4f\xff\x51": "JPEG2000",
    b"\0\0\0\x0cjP  \r\n\x87\n": "JPEG2000",
    b"\0\0\1\0": "ICO",
}
#: of the files whose first box is ``ftyp``; what else is in such a box is a film
_BRANDS = {
    b"avif": "AVIF",
    b"avis": "AVIF",
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"mif2"), "HEIF"),
}
_RAW = "a camera's raw file: develop it first, or take the JPEG beside it"
#: What people have instead of a photograph
_OTHERS = {
    b"%PDF": "a PDF: export the photograph in it as JPEG",
    b"%!PS": "an EPS drawing: export it as PNG",
    b"\xc5\xd0\xd3\xc6": "an EPS drawing: export it as PNG",
    b"8BPS": "a Photoshop file: export it as JPEG or PNG",
    b"\xff\x0a": "a JPEG XL: convert it to JPEG, as `djxl` does without loss",
    b"\0\0\0\x0cJXL ": "a JPEG XL: convert it to JPEG, as `djxl` does without loss",
    b"\0\5\x16\7": "macOS's notes about a photograph (._), not the photograph",
    b"version https://git-lfs": "a Git LFS pointer, not the file it points to: fetch that (git lfs pull)",
    b"PK\3\4": "a zip archive: unpack it first",
    b"\x1f\x8b": "a gzip archive: unpack it first",
    **dict.fromkeys((b"FUJIFILMCCD-RAW", b"IIU\0", b"IIRO", b"IIRS", b"MMOR", b"\0MRM", b"FOVb"), _RAW),
    **dict.fromkeys((b"\x1aE\xdf\xa3", b"\0\0\1\xba", b"FLV", b"OggS"), "a film"),
}
_RAW_SUFFIXES = (
    *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".kdc", ".mef", ".mos", ".mrw"),
    *(".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"),
)
_TGA_SUFFIXES = (".tga", ".icb", ".vda", ".vst")
#: Of files that are looked for in folders
PHOTO_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".heic", ".heif", ".hif", ".avif"),
    *(".tif", ".tiff", ".bmp", ".dib", ".gif", ".jp2", ".j2k", ".jpx", ".ppm", ".pgm", ".pbm", ".pnm", ".ico"),
    *_TGA_SUFFIXES,
)


def identify(head: bytes, name: str) -> tuple[str, str]:
    """The format of a file.

    Parameters
    ----------
    head : bytes
        The first 64 bytes of the file, or all.
    name : str
        Of the file: TGA has no beginning of its own, and raw files look like TIFF.

    Returns
    -------
    (str, str)
        Pillow's name of the format and "", or "" and what the file is instead.
    """
    if not head:
        return "", "the file is empty"
    suffix = os.path.splitext(name)[1].lower()
    if is_raw(suffix) or (head[:4] == b"II*\0" and head[8:10] == b"CR"):  # the latter: Canon's TIFF
        return "", _RAW
    found = next((form for beginning, form in _BEGINNINGS.items() if head.startswith(beginning)), "")
    if not found and head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        found = "WEBP"
    if not found and re.match(rb"P[1-6][\s#]", head):
        found = "PPM"
    if not found and head[4:8] == b"ftyp":
        return _identify_brand(head)
    other = next((words for beginning, words in _OTHERS.items() if head.startswith(beginning)), "")
    if not found and not other and suffix in _TGA_SUFFIXES:
        found = "TGA"
    if found or other:
        return found, other
    if head.lstrip()[:1] == b"<":
        return "", "a web page or a drawing (SVG), not a photograph"
    return "", f"not an image of a kind that is read here ({WORDS})"


def is_raw(suffix: str) -> bool:
    """Whether a lower-case suffix is one of a camera's raw files."""
    return suffix in _RAW_SUFFIXES


def _identify_brand(head: bytes) -> tuple[str, str]:
    """HEIC, AVIF or what else has a box ``ftyp``: by the major brand, then by those that it is compatible with."""
    size = min(int.from_bytes(head[:4], "big"), len(head))
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, size, 4))]
    if brands[0] == b"crx ":
        return "", _RAW
    known = [_BRANDS[brand] for brand in brands if brand in _BRANDS]
    if brands[0] in _BRANDS:
        return ("AVIF" if "AVIF" in known else known[0]), ""
    return "", "a film"
