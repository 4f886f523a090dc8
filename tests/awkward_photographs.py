"""Makers of awkward image files, byte by byte where no library would write them."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence

import numpy as np
from PIL import Image

_TYPES = {"B": 1, "H": 3, "I": 4}


def tiff_page(pixels: bytes, size: tuple[int, int], tags: dict[int, tuple[str, Sequence[int]]]) -> dict:
    """One page of a TIFF: width, height and one strip are added to its tags; each tag is a type and its numbers."""
    width, height = size
    common = {256: ("I", [width]), 257: ("I", [height]), 278: ("I", [height]), 279: ("I", [len(pixels)])}
    return {"pixels": pixels, "tags": {**common, 259: ("H", [1]), 277: ("H", [1]), **tags}}


def tiff(*pages: dict, order: str = "<") -> bytes:
    """A TIFF file of pages, in a byte order."""
    out = bytearray({"<": b"II*\0", ">": b"MM\0*"}[order] + bytes(4))
    link = 4
    for page in pages:
        strip = len(out)
        out += page["pixels"] + b"\0" * (len(page["pixels"]) % 2)
        tags = sorted({**page["tags"], 273: ("I", [strip])}.items())
        values = []
        for tag, (kind, numbers) in tags:
            data = struct.pack(f"{order}{len(numbers)}{kind}", *numbers)
            if len(data) > 4:
                place = struct.pack(f"{order}I", len(out))
                out += data + b"\0" * (len(data) % 2)
                data = place
            values.append(struct.pack(f"{order}HHI", tag, _TYPES[kind], len(numbers)) + data.ljust(4, b"\0"))
        struct.pack_into(f"{order}I", out, link, len(out))
        out += struct.pack(f"{order}H", len(values)) + b"".join(values)
        link = len(out)
        out += bytes(4)
    return bytes(out)


def grey_tiff(
    values: np.ndarray, bits: int, signed: bool = False, white_is_zero: bool = False, deflate: bool = False, order="<"
) -> bytes:
    """A grey TIFF of so many bits, of integers [H, W] in the range of its type."""
    height, width = values.shape
    if bits == 12:
        pairs = values.reshape(-1, 2).astype(np.uint32)
        packed = pairs[:, 0] << 12 | pairs[:, 1]
        pixels = np.stack([packed >> 16, packed >> 8 & 255, packed & 255], axis=1).astype(np.uint8).tobytes()
    else:
        pixels = values.astype(f"{order}{'i' if signed else 'u'}{bits // 8}").tobytes()
    tags = {258: ("H", [bits]), 262: ("H", [0 if white_is_zero else 1]), 339: ("H", [2 if signed else 1])}
    if deflate:
        pixels, tags[259] = zlib.compress(pixels), ("H", [8])
    return tiff(tiff_page(pixels, (width, height), tags), order=order)


def colour_tiff(pixels: np.ndarray, extra: Sequence[int] | None) -> bytes:
    """A TIFF of uint8 or uint16 samples [H, W, samples]; `extra` is tag 338, left out where None."""
    height, width, samples = pixels.shape
    bits = 8 * pixels.itemsize
    named = {262: ("H", [2 if samples > 2 else 1]), 277: ("H", [samples]), 258: ("H", [bits] * samples)}
    if extra is not None:
        named[338] = ("H", list(extra))
    return tiff(tiff_page(pixels.astype(f"<u{pixels.itemsize}").tobytes(), (width, height), named))


def bmp32(pixels: np.ndarray, header: int = 108) -> bytes:
    """A BMP of 32 bits with a mask for alpha, of uint8 RGBA [H, W, 4]; header 108 is version 4, 124 version 5."""
    height, width, _ = pixels.shape
    body = pixels[::-1, :, [2, 1, 0, 3]].tobytes()
    info = struct.pack("<IiiHHIIiiII", header, width, height, 1, 32, 3, len(body), 2835, 2835, 0, 0)
    masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    info = (info + masks + b"BGRs").ljust(header, b"\0")
    return struct.pack("<2sIHHI", b"BM", 14 + header + len(body), 0, 0, 14 + header) + info + body


def tga(pixels: np.ndarray, alpha_bits: int, attributes: int | None = None, run_length: bool = False) -> bytes:
    """A TGA of 32 bits of uint8 RGBA [H, W, 4]; `attributes` is the type in the extension area of TGA 2.0."""
    height, width, _ = pixels.shape
    bgra = pixels[:, :, [2, 1, 0, 3]]
    body = bgra.tobytes()
    if run_length:  # packets of one pixel each, which the format allows
        body = b"".join(b"\0" + pixel.tobytes() for pixel in bgra.reshape(-1, 4))
    head = struct.pack(
        "<BBBHHBHHHHBB", 0, 0, 10 if run_length else 2, 0, 0, 0, 0, 0, width, height, 32, 0x20 | alpha_bits
    )
    if attributes is None:
        return head + body
    area = struct.pack("<H", 495) + bytes(492) + bytes([attributes])
    return head + body + area + struct.pack("<II", len(head + body), 0) + b"TRUEVISION-XFILE.\0"


def png_chunk(kind: bytes, content: bytes, wrong_crc: bool = False) -> bytes:
    crc = zlib.crc32(kind + content) ^ wrong_crc
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)


def png(image: Image.Image, *chunks: bytes) -> bytes:
    """A PNG with chunks of one's own behind its header."""
    file = io.BytesIO()
    image.save(file, "PNG")
    data = file.getvalue()
    return data[:33] + b"".join(chunks) + data[33:]


def exif(orientation: bytes, *entries: bytes, extra: bytes = b"") -> bytes:
    """EXIF, little-endian: IFD0 of ready-made entries of 12 bytes, the orientation's first."""
    listed = [orientation, *entries]
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, len(listed)) + b"".join(listed) + bytes(4) + extra


def jpeg_with(segment: bytes, image: Image.Image, **options) -> bytes:
    """A JPEG with a segment APP1 behind its beginning."""
    file = io.BytesIO()
    image.save(file, "JPEG", **options)
    data = file.getvalue()
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + data[2:]
