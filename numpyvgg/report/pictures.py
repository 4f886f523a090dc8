"""Arrays as pictures that a page can carry inside itself: data URIs of PNG and JPEG."""

from __future__ import annotations

import base64
import io

import matplotlib
import numpy as np
from PIL import Image

#: colours of "raises the score" and "lowers the score", as the page's style sheet has them
RAISES, LOWERS = (222, 96, 40), (38, 108, 206)
#: 256 colours, R G B R G B ...: zero is dark, and steps that are equal in number look equal
_PALETTE = matplotlib.colormaps["magma"](np.arange(256), bytes=True)[:, :3].ravel().tolist()


def data_uri(image: Image.Image, kind: str = "png") -> str:
    """A picture as the text of a link: ``data:image/png;base64,...``; `kind` is "png" or "jpeg"."""
    stream = io.BytesIO()
    image.save(stream, kind, **({"quality": 88} if kind == "jpeg" else {"optimize": True}))
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode()}"


def photograph(image: Image.Image, longest: int) -> str:
    """A photograph of at most `longest` pixels a side."""
    image = image.copy()
    image.thumbnail((longest, longest))
    return data_uri(image, "jpeg")


def values(array: np.ndarray, high: float, longest: int = 112) -> str:
    """A matrix [H, W] in colours, 0 to `high`; averaged down if larger than `longest`, one pixel a number if not."""
    scaled = array * (255 / max(high, 1e-12))
    image = Image.fromarray(scaled.clip(0, 255).round().astype(np.uint8))
    factor = -(-max(image.size) // longest)
    if factor > 1:
        image = image.reduce(factor)
    image.putpalette(_PALETTE)  # from shades of grey to a picture whose colours are looked up
    return data_uri(image)


def tinted(array: np.ndarray, colour: tuple[float, float, float]) -> str:
    """One channel [H, W] of values 0..255 as light of one colour."""
    rgb = array[..., None] * np.array(colour)
    return data_uri(Image.fromarray(rgb.clip(0, 255).astype(np.uint8)), "jpeg")


def colour(rgb: np.ndarray) -> Image.Image:
    """Values 0..255, [3, H, W] in RGB order, as a picture."""
    return Image.fromarray(rgb.transpose(1, 2, 0).clip(0, 255).round().astype(np.uint8))


def filter_picture(weight: np.ndarray, largest: float) -> str:
    """A filter [3, kH, kW] (RGB order) as a picture: zero is mid-grey, `largest` is full."""
    return data_uri(colour(127.5 + 127.5 * weight / largest))


def signed_overlay(array: np.ndarray, side: int) -> str:
    """A signed matrix to lay over a picture: warm where positive, cool where negative, clear where zero."""
    matrix = Image.fromarray(array.astype(np.float32))
    large = np.asarray(matrix.resize((side, side), Image.Resampling.BICUBIC))
    strength = np.abs(large) / max(float(np.abs(array).max()), 1e-12)
    rgba = np.empty((side, side, 4), np.uint8)
    rgba[..., :3] = np.where((large > 0)[..., None], RAISES, LOWERS)
    rgba[..., 3] = (strength.clip(0, 1) * 205).astype(np.uint8)
    return data_uri(Image.fromarray(rgba))
