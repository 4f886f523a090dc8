"""From a photograph to the tensor that the networks take.

The DEX networks take ``float32 [N, 3, 224, 224]``, values 0..255 with no mean subtracted, channels in the order blue
green red, of an image that has been resized to 224x224 without regard to its proportions.
"""

from __future__ import annotations

import os
import re
from typing import IO, TYPE_CHECKING, Any, cast

import numpy as np

from ..errors import ArgumentError, ImageError, MissingImageError, NumpyVggError, whole_number
from ..zoo.preparation import CHANNELS, Preparation
from .decode import decode, mend_byte_order, tiff_is_opaque
from .pillow import pillow, required
from .pixels import to_rgb
from .pnm import read_pnm
from .tensors import tensors

if TYPE_CHECKING:  # Pillow takes longer to import than a network takes to load
    from PIL import Image

SIZE = 224


def load_image(
    source: str | os.PathLike[str] | bytes | IO[bytes] | np.ndarray | Image.Image, at_least: int | None = None
) -> Image.Image:
    """A photograph as people see it: upright, 8 bits, red green blue.

    Parameters
    ----------
    source : path, bytes, binary file, Pillow image, or ndarray of uint8 ([H, W], [H, W, 3] or [H, W, 4], RGB order)
        bytes are a file's contents; a file is read from where it stands to its end.
    at_least : int, optional
        Pixels along each side that are needed: a JPEG may be decoded at a half, a quarter or an eighth of its width and
        height if as many are left, which takes a fraction of the time.

    Returns
    -------
    PIL.Image.Image, or ndarray, uint8 [H, W, 3], where Pillow is not installed
        Mode RGB. Turned as its EXIF orientation says; values of more than 8 bits scaled by what the file says of black
        and white; what is transparent shows white; of an animation the first frame. Of a photograph with more than 64
        million pixels half the width and height; `pixels.photograph_size` tells the whole.

    Raises
    ------
    MissingImageError
        There is no such file; also a `FileNotFoundError`.
    ImageError
        It is no photograph, or is damaged, cut off, or larger than the limits in `numpyvgg.photo.decode`.
    MissingExtraError
        It needs Pillow, which is not installed: all but arrays, PPM and PGM do.
    """
    if at_least is not None:
        at_least = whole_number("at_least", at_least, 1)
    Image = pillow()
    if isinstance(source, np.ndarray):
        _check_array(source)
        if Image is None:
            return _rgb_array(source)
        source = Image.fromarray(source)
    name = _name(source)
    try:
        if Image is None:
            return cast(Any, read_pnm(_content(source, name), name))
        if isinstance(source, Image.Image):
            mend_byte_order(source)
            source.load()
            return to_rgb(source, name, tiff_is_opaque(source))
        image, opaque, size = decode(_content(source, name), name, at_least)
        return to_rgb(image, name, opaque, size)
    except (NumpyVggError, MemoryError):
        raise
    except Exception as error:  # of an image that is closed, or was opened from a damaged file
        raise ImageError(f"{name}: cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _name(source: object) -> str:
    """What errors call a photograph."""
    if isinstance(source, str | os.PathLike):
        return os.fsdecode(source)
    named = getattr(source, "name", None) or getattr(source, "filename", None)
    return named if isinstance(named, str) else f"<{type(source).__name__}>"


def _content(source: Any, name: str) -> str | bytes:
    """A path, or what is in a file."""
    if isinstance(source, str | os.PathLike):
        if re.match(r"[a-z][a-z0-9+.-]+://", name, re.IGNORECASE) and not os.path.exists(name):
            raise MissingImageError(f"{name}: an address, not a file: download it first")
        return name
    content = source.read() if hasattr(source, "read") else source
    if not isinstance(content, bytes | bytearray | memoryview):
        raise ImageError(f"{name}: cannot be read: give a path, bytes, a binary file, a Pillow image or an array")
    return bytes(content)


def _check_array(pixels: np.ndarray) -> None:
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or pixels.shape[2:] not in ((), (3,), (4,)):
        raise ImageError(
            f"an image must be uint8 [H, W], [H, W, 3] or [H, W, 4], not {pixels.dtype} {list(pixels.shape)}"
        )
    if 0 in pixels.shape:
        raise ImageError(f"an image of shape {list(pixels.shape)} has no pixels")


def _rgb_array(pixels: np.ndarray) -> Any:
    """An array as red, green, blue; what is transparent needs Pillow."""
    if pixels.shape[2:] == (4,) and pixels[:, :, 3].min() < 255:
        required("an array with transparent pixels")
    return np.repeat(pixels[:, :, None], 3, axis=2) if pixels.ndim == 2 else np.ascontiguousarray(pixels[:, :, :3])


def to_tensor(image: Image.Image | np.ndarray, channels: str = "bgr") -> np.ndarray:
    """A photograph as the networks take it.

    Parameters
    ----------
    image : PIL.Image.Image, or ndarray, uint8 [H, W, 3]
        Mode RGB, any size; see `load_image`. A face crop: the networks see nothing else (see `numpyvgg.photo.faces`).
    channels : {"bgr", "rgb"}
        The order that the network was trained with. The published ones take BGR (their page says so, though its own
        sample script feeds RGB).

    Returns
    -------
    ndarray, float32 [1, 3, 224, 224]
        Values 0..255. Resized bilinearly, with the average of all pixels that fall together where the image shrinks.
    """
    if channels not in CHANNELS:
        raise ArgumentError(f"channels={channels!r} does not exist; there are 'bgr' and 'rgb'")
    return tensors(image, Preparation(size=(SIZE, SIZE), channels=channels))
