"""A decoded image of any mode -> red, green and blue of 8 bits, as people see it.

An image is worked on in bands of rows, so that a poster costs its own size and little beside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ImageError
from .decode import WHOLE

if TYPE_CHECKING:
    from PIL import Image

_WITH_ALPHA = ("RGBA", "LA", "PA", "La", "RGBa")
#: Pixels that are worked on together
_BAND = 1 << 20


#: In an image's `info`: the photograph's size, and the image's own, which another image made of it has not
_SIZES = "numpyvgg sizes"


def photograph_size(image: Image.Image | np.ndarray) -> tuple[int, int]:
    """Width and height of the photograph that an image was loaded from, which may have been made smaller by that."""
    if isinstance(image, np.ndarray):
        return image.shape[1], image.shape[0]
    size, own = image.info.get(_SIZES, (image.size, image.size))
    return size if own == image.size else image.size


def reduction(image: Image.Image | np.ndarray) -> int:
    """How many pixels of the photograph one pixel of the image stands for, along each side; see `photograph_size`."""
    return 1 if isinstance(image, np.ndarray) else round(photograph_size(image)[0] / image.width)


def to_rgb(image: Image.Image, name: str, opaque: bool = False, size: tuple[int, int] | None = None) -> Image.Image:
    """An image in mode RGB, upright, without the tags of its file.

    Parameters
    ----------
    image : PIL.Image.Image
        Loaded. What its file says of the meaning of its values is taken from it.
    name : str
        What errors call it.
    opaque : bool
        Whether its alpha channel is none.
    size : (int, int), optional
        Of an image that was decoded for this, and is nobody else's: width and height of the photograph, of which it may
        have been made smaller; see `photograph_size`.

    Returns
    -------
    PIL.Image.Image
        Transparent parts show white, unless that would be all; what has more than 64 million pixels comes out at half
        its width and height. What this function has made is given back as it is.

    Raises
    ------
    ImageError
        It has no pixels, or numbers of which nobody says what is white.
    """
    from PIL import Image

    if 0 in image.size:
        raise ImageError(f"{name}: an image of {image.width} x {image.height} has no pixels")
    width, height = size or photograph_size(image)
    factor = 1 if image.width * image.height <= WHOLE else 2
    if image.info.keys() == {_SIZES} and image.mode == "RGB" and factor == 1:
        return image
    if image.mode == "RGB" and "transparency" not in image.info and factor == 1:
        rgb = image if size else image.copy()
    else:
        to_grey, paint = _grey(image, name), _paint(image, opaque)
        rgb = Image.new("RGB", (-(-image.width // factor), -(-image.height // factor)))
        for top, band in _bands(image):
            band = paint(to_grey(band))
            rgb.paste(band if factor == 1 else band.reduce(factor), (0, top // factor))
    orientation = _orientation(image)
    method = _TURNS.get(orientation)
    upright = rgb if method is None else rgb.transpose(Image.Transpose[method])
    upright.info.clear()  # or it would be turned once more by whoever reads it again
    on_its_side = 5 <= orientation <= 8
    upright.info[_SIZES] = ((height, width) if on_its_side else (width, height)), upright.size
    return upright


def _bands(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """The image in bands of an even number of rows, with the row that each begins at."""
    rows = max(2, _BAND // image.width & ~1)
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


# ---------------------------------------------------------------------- orientation


#: EXIF 2.32, tag 0x0112: what a viewer has to do, by Pillow's names
_TURNS = {
    2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE",
    6: "ROTATE_270", 7: "TRANSVERSE", 8: "ROTATE_90",
}  # fmt: skip


def _orientation(image: Image.Image) -> int:
    """The one number of EXIF (or XMP) that is needed; 1, upright, where it cannot be read."""
    try:
        value: Any = image.getexif().get(0x0112, 1)
    except Exception:  # a parser of strangers' data, for a number that a photograph can do without
        return 1
    if isinstance(value, bytes | tuple) and value:  # stored as BYTE, or with more numbers than one
        value = value[0]
    return value if isinstance(value, int) else 1


# ---------------------------------------------------------------------- depth


def _grey(image: Image.Image, name: str) -> Callable[[Image.Image], Image.Image]:
    """What makes 8 bits of an image of more, by what its file says of black and white."""
    from PIL import Image

    tags = getattr(image, "tag_v2", {}) if image.format == "TIFF" else {}
    signed = tags.get(339, (1,))[0] == 2
    if image.mode == "L" and signed:  # Pillow shows the two's complement
        return lambda band: band.point([(value + 128) % 256 for value in range(256)])
    if image.mode != "I" and not image.mode.startswith("I;16"):
        if image.mode == "F":
            raise ImageError(f"{name}: holds floating-point values without a scale; convert it to 8 or 16 bits first")
        return lambda band: band
    if image.mode == "I" and image.format not in ("TIFF", "PNG", "PPM"):
        raise ImageError(f"{name}: holds integers of 32 bits without a scale; convert it to 8 or 16 bits first")
    bits = min(tags.get(258, (16,))[0], 32)
    low, drop = -(1 << bits - 1) if signed else 0, max(bits - 16, 0)
    shades = np.linspace(0, 255, 1 << bits - drop).round().astype(np.uint8)
    if tags.get(262) == 0:  # WhiteIsZero
        shades = shades[::-1]

    def to_grey(band: Image.Image) -> Image.Image:
        values = np.asarray(band)
        if bits == 32 and not signed:
            values = values.view(np.uint32)
        if low or drop:  # of 32 bits the upper half decides
            values = (values.astype(np.int64) - low) >> drop
        return Image.fromarray(shades.take(values, mode="clip"))

    return to_grey


# ---------------------------------------------------------------------- transparency


def _paint(image: Image.Image, is_opaque: bool) -> Callable[[Image.Image], Image.Image]:
    """What puts a band on white where it is transparent, and makes it RGB.

    Many programs leave the fourth channel at zero, so an image that would be transparent everywhere is not transparent.
    """
    from PIL import Image

    def opaque(band: Image.Image) -> Image.Image:
        band.info.pop("transparency", None)
        if band.mode == "La":  # Pillow converts it to LA alone
            return band.getchannel(0).convert("RGB")
        if band.mode == "RGBa":
            return Image.merge("RGB", band.split()[:3])
        return band.convert("RGB")

    def on_white(band: Image.Image) -> Image.Image:
        band = band.convert("LA").convert("RGBA") if band.mode == "La" else band.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", band.size, "white"), band).convert("RGB")

    transparent = image.mode in _WITH_ALPHA or ("transparency" in image.info and image.mode in ("1", "L", "P", "RGB"))
    if not transparent or is_opaque:
        return opaque
    return on_white if any(_alpha(band).getextrema()[1] for _, band in _bands(image)) else opaque


def _alpha(band: Image.Image) -> Image.Image:
    band = band if band.mode in _WITH_ALPHA else band.convert("RGBA")
    return band.getchannel(band.getbands()[-1])
