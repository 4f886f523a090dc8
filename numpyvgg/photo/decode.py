"""A file's bytes -> a decoded Pillow image: only of formats that are photographs', within limits, and whole.

Files of this kind come from strangers, and decoders are asked for what a header of a few bytes says. So the format is
told from the bytes and only its own decoder is asked; the number of pixels is held against a limit before anything is
decoded; and of what is larger than `WHOLE` pixels, a JPEG is decoded at half its width and height at once.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import io
import logging
import os
import re
import threading
import warnings
import zlib
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any

from ..errors import ImageError, MissingImageError
from ..files.source import open_plain, read_pipe
from .formats import identify

if TYPE_CHECKING:  # Pillow takes longer to import than a network takes to load
    from PIL import Image

#: Pillow logs some faults of files, which Python prints where no program has asked for them
logging.getLogger("PIL").addHandler(logging.NullHandler())
#: Pixels beyond which a photograph is not read at all; the largest that telephones take have 200 million
LARGEST = 256_000_000
#: The same for formats whose decoders hold an image several times over, or (TIFF) have a limit of their own
_LARGEST_OF = {"WEBP": 25_000_000, "AVIF": 50_000_000, "HEIF": 50_000_000, "TIFF": 175_000_000}
#: Pixels beyond which a photograph is read at half its width and height
WHOLE = 64_000_000
#: Pixels of a JPEG 2000 beyond which it is decoded at a half, a quarter, ... of its width and height
_WHOLE_JPEG2000 = 16_000_000
#: Bytes that a decoder may hold beside the image
_WORKSPACE = 300_000_000
#: Pages of a TIFF that are looked at for one that is no thumbnail
_PAGES = 100


def decode(source: str | bytes, name: str, at_least: int | None = None) -> tuple[Image.Image, bool, tuple[int, int]]:
    """Decode a photograph.

    Parameters
    ----------
    source : str or bytes
        A path, or what is in a file.
    name : str
        What errors call it.
    at_least : int, optional
        Pixels along each side that a JPEG has to keep; as many times as that leaves, it is halved.

    Returns
    -------
    image : PIL.Image.Image
        Loaded, in the mode that its file has; with the tags of its file, where it has some.
    opaque : bool
        Whether the file says that its fourth channel is no transparency, though Pillow calls it alpha.
    size : (int, int)
        Width and height of the photograph, which may be decoded at less.

    Raises
    ------
    ImageError
        It is no photograph, is damaged or cut off, or larger than the limits.
    """
    with opened(source, name) as file, _quiet():
        kind, reason = identify(file.read(64), name)
        if not kind:
            raise ImageError(f"{name}: {reason}")
        file.seek(0)
        try:
            return _load(kind, file, name, at_least)
        except (ImageError, MemoryError):
            raise
        except Exception as error:  # decoders of damaged files raise whatever they stumble over
            mend = "; save it as PNG or JPEG" if kind == "TIFF" and isinstance(error, SyntaxError) else ""
            raise ImageError(f"{name}: cannot be read: {getattr(error, 'strerror', None) or error}{mend}") from None


# ---------------------------------------------------------------------- opening


def opened(source: str | bytes, name: str) -> IO[bytes]:
    """A photograph's bytes as a file that can be sought in; never waits for somebody to write into a pipe."""
    if isinstance(source, bytes):
        return io.BytesIO(source)
    try:
        piped = read_pipe(source)
        return os.fdopen(open_plain(source), "rb") if piped is None else io.BytesIO(piped)
    except FileNotFoundError:
        mend = "; for the standard input, give /dev/stdin" if name == "-" else ""
        raise MissingImageError(f"{name}: No such file{mend}") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL character
        raise ImageError(f"{name}: cannot be read: {getattr(error, 'strerror', None) or error}") from None


class _Quiet:
    """Silences the decoders' warnings while at least one thread decodes; two nested `catch_warnings` would not end."""

    def __init__(self) -> None:
        self._lock, self._inside = threading.Lock(), 0

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._kept: Any = warnings.catch_warnings()
                self._kept.__enter__()
                warnings.simplefilter("ignore")
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if self._inside == 0:
                    self._kept.__exit__(None, None, None)


_quiet = _Quiet()


# ---------------------------------------------------------------------- decoding


def _load(kind: str, file: IO[bytes], name: str, at_least: int | None) -> tuple[Image.Image, bool, tuple[int, int]]:
    if kind == "TIFF":
        _silence_libtiff()
    if kind == "PNG":
        file = io.BytesIO(_needed_chunks(file.read()))
    image = _plugin(kind, name)(file, name)
    if kind == "TIFF":
        _turn_to_photograph(image, name)
        mend_byte_order(image)
        _mend_palette(image)
    _check_size(kind, image, name)
    size = image.size
    if kind == "JPEG":
        _check_scans(image, file, name)
        if image.width * image.height > WHOLE:
            image.draft(None, (image.width // 2, image.height // 2))
        elif at_least:
            image.draft(None, (at_least, at_least))
    if kind == "JPEG2000":
        halvings = 0
        while (image.width >> halvings) * (image.height >> halvings) > _WHOLE_JPEG2000:
            halvings += 1
        image.reduce = halvings
    try:
        image.load()
    except OSError as error:
        if kind != "JPEG" or "truncated" not in str(error):
            raise
        image = _jpeg_without_end(file, name)
    opaque = tiff_is_opaque(image) or (kind == "TGA" and not _tga_has_alpha(file))
    return image, opaque, size if kind in ("JPEG", "JPEG2000") else image.size


def _plugin(kind: str, name: str) -> Any:
    """Pillow's class for a format; asked for directly, since `Image.open` has a limit of its own for all formats."""
    from PIL import Image

    if kind == "HEIF":
        try:
            from pillow_heif import HeifImageFile
        except ImportError:
            raise ImageError(
                f"{name}: a HEIC photograph: pip install pillow-heif, which reads them, or save it as JPEG"
            ) from None
        return HeifImageFile
    if kind == "JPEG":  # not what is registered, which reads the index of further images that telephones append
        from PIL.JpegImagePlugin import JpegImageFile

        return JpegImageFile
    Image.preinit()
    if kind not in Image.OPEN:
        Image.init()
    if kind not in Image.OPEN:  # AVIF is in Pillow since 11.3, and not in every build of it
        raise ImageError(f"{name}: this Pillow does not read {kind}: pip install --upgrade pillow, or save it as JPEG")
    return Image.OPEN[kind][0]


def _check_size(kind: str, image: Any, name: str) -> None:
    """Refuse an image that takes more memory than photographs do, before it is decoded."""
    pixels = image.width * image.height
    largest = _LARGEST_OF.get(kind, LARGEST)
    if pixels > largest:
        raise ImageError(
            f"{name}: {image.width} x {image.height} pixels; of {kind} files at most {largest // 1_000_000} megapixels "
            "are read: save it smaller, or as JPEG"
        )
    if kind == "TIFF":
        tags = image.tag_v2
        rows = min(tags.get(323) or tags.get(278) or image.height, image.height)  # of a tile, or of a strip
        width = tags.get(322) or image.width
        _check_workspace(rows * width * sum(tags.get(258, (8,))) // 8, name, "strips")
        there, wanted = len(tags.get(324) or tags.get(273, ())), -(-image.width // width) * -(-image.height // rows)
        if there < wanted:  # what is missing would be black
            raise ImageError(f"{name}: cannot be read: the file has {there} of its {wanted} strips or tiles: cut off?")


def _check_workspace(size: int, name: str, what: str) -> None:
    if size > _WORKSPACE:
        raise ImageError(
            f"{name}: decoding its {what} takes {size // 1_000_000} MB beside the image, more than the limit of "
            f"{_WORKSPACE // 1_000_000} MB: save it smaller, or as an ordinary JPEG"
        )


# ---------------------------------------------------------------------- JPEG


def _check_scans(image: Any, file: IO[bytes], name: str) -> None:
    """A JPEG in several scans, such as a progressive one, is held in memory as coefficients: two bytes for each."""
    if image.info.get("progressive") or _components_of_first_scan(file) < len(image.layer):
        factors = [across * down for _, across, down, _ in image.layer]
        _check_workspace(2 * image.width * image.height * sum(factors) // max(factors), name, "scans")


def _components_of_first_scan(file: IO[bytes]) -> int:
    """How many components the first scan has; 0 where it is not found."""
    file.seek(2)
    while len(marker := file.read(4)) == 4 and marker[0] == 0xFF:
        if marker[1] == 0xDA:
            return file.read(1)[0]
        if marker[1] == 0xFF:  # a fill byte
            file.seek(-3, os.SEEK_CUR)
        else:
            file.seek(int.from_bytes(marker[2:], "big") - 2, os.SEEK_CUR)
    return 0


def _jpeg_without_end(file: IO[bytes], name: str) -> Image.Image:
    """A JPEG whose end is missing, if all pixels are there.

    It gets an end of our own, behind two different fillings: where a pixel was missing, they would show.
    """
    from PIL import ImageChops

    file.seek(0)
    data = file.read().rstrip(b"\xff")  # the first half of the mark of the end
    images = []
    for filling in (b"\0", b"\x55"):
        image = _plugin("JPEG", name)(io.BytesIO(data + filling * 64 + b"\xff\xd9"), name)
        if image.width * image.height > WHOLE:
            image.draft(None, (image.width // 2, image.height // 2))
        image.load()
        images.append(image)
    if ImageChops.difference(*images).getbbox():
        raise ImageError(f"{name}: cannot be read: the file is cut off, and a part of the photograph is missing")
    return images[0]


# ---------------------------------------------------------------------- PNG


_XMP, _PROFILE = b"XML:com.adobe.xmp\0", b"Raw profile type "


def _needed_chunks(data: bytes) -> bytes:
    """A PNG without what is not needed for its pixels: texts, profiles, damaged chunks.

    A text of megabytes, or with a wrong check sum, is no reason to refuse a photograph. Of XMP the orientation stays.
    """
    kept, at = [data[:8]], 8
    while at + 12 <= len(data):
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        chunk = data[at : at + size + 12]
        content = chunk[8:-4]
        at += size + 12
        needed = kind[:1].isupper() or kind in (b"tRNS", b"eXIf")  # upper case: critical (PNG specification, 5.4)
        if content.startswith(_PROFILE) and size < 1 << 20:
            needed = True
        if needed and (kind[:1].isupper() or chunk[-4:] == zlib.crc32(kind + content).to_bytes(4, "big")):
            kept.append(chunk)
        elif kind == b"iTXt" and content.startswith(_XMP):
            kept.append(_xmp_chunk(content))
    return b"".join(kept) + data[at:]


def _xmp_chunk(content: bytes) -> bytes:
    """A chunk of XMP that says the orientation, and nothing else; b"" where none is said."""
    match = re.search(rb'tiff:Orientation(="|>)[1-8]', content)
    if not match:
        return b""
    content = _XMP + b"\0\0\0\0" + match.group()
    crc = zlib.crc32(b"iTXt" + content)
    return len(content).to_bytes(4, "big") + b"iTXt" + content + crc.to_bytes(4, "big")


# ---------------------------------------------------------------------- TIFF


def _turn_to_photograph(image: Any, name: str) -> None:
    """Turn to the first page that is no thumbnail; cameras' raw files have such a page only in their own encoding."""
    for page in range(_PAGES):
        try:
            image.seek(page)
        except Exception:  # no more pages, or one in a camera's own encoding
            break
        reduced = image.tag_v2.get(254, 0) & 0b101 or image.tag_v2.get(255) == 2  # bit 0: a thumbnail; bit 2: a mask
        if not reduced:
            return
    raise ImageError(
        f"{name}: a raw file, or one of which only a thumbnail can be read: develop it first, and save it as JPEG"
    )


@functools.cache
def _silence_libtiff() -> None:
    """Take from libtiff the function that prints to stderr; what is wrong with a file is said by our errors."""
    from PIL import Image

    with contextlib.suppress(AttributeError, OSError):  # where Pillow has it built in, there is no such name
        ctypes.CDLL(Image.core.__file__).TIFFSetErrorHandler(None)


def _mend_palette(image: Any) -> None:
    """Old programs wrote the 16-bit colours of a palette with 8 bits, which would all be black."""
    from PIL import ImagePalette

    colours = image.tag_v2.get(320, ())
    if image.mode == "P" and colours and max(colours) < 256:
        count = len(colours) // 3  # all reds, then all greens, then all blues
        rows = zip(colours[:count], colours[count : 2 * count], colours[2 * count : 3 * count], strict=True)
        image.palette = ImagePalette.raw("RGB", bytes(value for row in rows for value in row))


def mend_byte_order(image: Any) -> None:
    """Where libtiff decodes, it gives numbers in the machine's own order, which Pillow forgets of signed ones."""
    for at, tile in enumerate(getattr(image, "tile", ())):
        codec, extents, offset, arguments = tile
        if codec == "libtiff":
            arguments = (re.sub(r"^(I;16|I;32)B?S$", r"\1NS", arguments[0]), *arguments[1:])
            image.tile[at] = getattr(tile, "_make", tuple)((codec, extents, offset, arguments))


def tiff_is_opaque(image: Image.Image) -> bool:
    """Whether a TIFF's last channel is not said to be alpha, by ExtraSamples (tag 338) of 1 or 2."""
    return image.format == "TIFF" and getattr(image, "tag_v2", {}).get(338, (0,))[0] not in (1, 2)


# ---------------------------------------------------------------------- TGA


def _tga_has_alpha(file: IO[bytes]) -> bool:
    """By the extension area of TGA 2.0 where there is one (attributes type 3 or 4), else by the descriptor's bits."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - 26, 0))
    footer = file.read(26)
    if footer[8:24] == b"TRUEVISION-XFILE" and (area := int.from_bytes(footer[:4], "little")) and area + 495 <= size:
        file.seek(area + 494)
        return file.read(1)[0] in (3, 4)
    file.seek(17)
    return bool(file.read(1)[0] & 0x0F)
