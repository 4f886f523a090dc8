"""From a photograph to the tensor that the networks take.

The DEX networks take ``float32 [N, 3, 224, 224]``, values 0..255 with no mean subtracted, channels in the order blue
green red, of an image that has been resized to 224x224 without regard to its proportions.
"""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ArgumentError, ImageError

if TYPE_CHECKING:  # Pillow takes longer to import than a network takes to load
    from PIL import Image

SIZE = 224
CHANNELS = ("bgr", "rgb")


def load_image(source: str | os.PathLike[str] | np.ndarray | Image.Image) -> Image.Image:
    """A photograph as people see it: upright, 8 bits, red green blue.

    Parameters
    ----------
    source : path, Pillow image, or ndarray of uint8 ([H, W], [H, W, 3] or [H, W, 4], RGB order)

    Returns
    -------
    PIL.Image.Image
        Mode RGB. Turned as its EXIF orientation says; 16-bit values divided by 257; what is transparent shows white;
        of an animation the first frame.

    Raises
    ------
    ImageError
        There is no such file, or nothing in it that Pillow can decode.
    """
    from PIL import Image, ImageOps

    if isinstance(source, np.ndarray):
        source = _image_from_array(source)
    if isinstance(source, Image.Image):
        return _to_rgb(ImageOps.exif_transpose(source), "<image>")
    name = os.fspath(source)
    try:
        with warnings.catch_warnings():
            # Pillow itself refuses images twice the size of those that it warns of
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(name) as image:
                return _to_rgb(ImageOps.exif_transpose(image), name)
    except ImageError:
        raise
    except Image.UnidentifiedImageError:
        raise ImageError(f"{name}: not an image of a kind that Pillow knows") from None
    except Exception as error:  # decoders of damaged files raise whatever they stumble over
        raise ImageError(f"{name}: cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _image_from_array(pixels: np.ndarray) -> Image.Image:
    from PIL import Image

    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or pixels.shape[2:] not in ((), (3,), (4,)):
        raise ImageError(
            f"an image must be uint8 [H, W], [H, W, 3] or [H, W, 4], not {pixels.dtype} {list(pixels.shape)}"
        )
    if 0 in pixels.shape:
        raise ImageError(f"an image of shape {list(pixels.shape)} has no pixels")
    return Image.fromarray(pixels)


def _to_rgb(image: Image.Image, name: str) -> Image.Image:
    from PIL import Image

    if image.mode == "I" or image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image).clip(0, 65535) / 257).round().astype(np.uint8))
    elif image.mode == "F":
        raise ImageError(f"{name}: holds floating-point values without a scale; convert it to 8 or 16 bits first")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def to_tensor(image: Image.Image, channels: str = "bgr") -> np.ndarray:
    """A photograph as the networks take it.

    Parameters
    ----------
    image : PIL.Image.Image
        Mode RGB, any size; see `load_image`. A face crop: the networks see nothing else (see `numpyvgg.photo.faces`).
    channels : {"bgr", "rgb"}
        The order that the network was trained with. The published ones take BGR (their page says so, though its own
        sample script feeds RGB).

    Returns
    -------
    ndarray, float32 [1, 3, 224, 224]
        Values 0..255. Resized bilinearly, with the average of all pixels that fall together where the image shrinks.
    """
    from PIL import Image

    if channels not in CHANNELS:
        raise ArgumentError(f"channels={channels!r} does not exist; there are 'bgr' and 'rgb'")
    resized = image.resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    pixels = np.asarray(resized, np.float32)  # [224, 224, RGB]
    if channels == "bgr":
        pixels = pixels[:, :, ::-1]
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))[None]  # [1, 3, 224, 224]
