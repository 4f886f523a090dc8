"""A photograph made into what a network takes, as the network's `Preparation` says."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ArgumentError, ImageError
from ..files.caffe import read_mean
from ..zoo.preparation import Preparation
from .resampling import resized

if TYPE_CHECKING:
    from PIL import Image


def tensors(image: Image.Image | np.ndarray, preparation: Preparation) -> np.ndarray:
    """A photograph's views as a network takes them.

    Parameters
    ----------
    image : PIL.Image.Image, or ndarray, uint8 [H, W, 3]
        Mode RGB, any size; see `numpyvgg.photo.images.load_image`. A face crop, where the network is about faces.
    preparation : Preparation

    Returns
    -------
    ndarray, float32 [V, 3, H, W]
        V is 1, or 10 for the ten-crop view. Resized bilinearly, with the average of all pixels that fall together where
        the image shrinks.

    Raises
    ------
    ImageError
        It is no image of mode RGB, or has no pixels.
    ArgumentError, ModelFormatError
        The mean image has another size, or cannot be read.
    """
    _check(image)
    height, width = preparation.size
    pixels = resized(image, (width, height)).astype(np.float32)  # [height, width, RGB]
    if preparation.channels == "bgr":
        pixels = pixels[:, :, ::-1]
    values = pixels.transpose(2, 0, 1)  # [3, height, width]
    mean = _mean_image(preparation.mean_file, values.shape) if preparation.mean_file else None
    if mean is None:
        views = _views(values - _by_channel(preparation.mean or (0.0,)), preparation)
    elif preparation.mean_resized:
        views = _views(values, preparation) - resized_bilinearly(mean, preparation.input_size)
    else:
        views = _views(values - mean, preparation)
    if preparation.scale:
        views = views * _by_channel(preparation.scale)
    return np.ascontiguousarray(views)


def _check(image: Any) -> None:
    """Refuse what is no image of mode RGB; `load_image` makes one of anything that can be one."""
    if isinstance(image, np.ndarray):
        right = image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8 and image.size > 0
        what = f"an array of {image.dtype} {list(image.shape)}"
    else:
        mode, sides = getattr(image, "mode", None), getattr(image, "size", None)
        right = mode == "RGB" and isinstance(sides, tuple) and 0 not in sides
        what = f"an image of mode {mode}, {sides}" if isinstance(mode, str) else f"a {type(image).__name__}"
    if not right:
        raise ImageError(f"an RGB image with pixels is needed, not {what}: give what load_image returns")


def _by_channel(numbers: tuple[float, ...]) -> np.ndarray:
    return np.array(numbers, np.float32)[:, None, None]  # [3, 1, 1], or [1, 1, 1]


def _views(values: np.ndarray, preparation: Preparation) -> np.ndarray:
    """``[3, height, width]`` -> the middle ``[1, 3, H, W]``, or ten crops ``[10, 3, H, W]``."""
    (height, width), (rows, columns) = preparation.size, preparation.input_size
    down, right = height - rows, width - columns  # how far a crop can be moved
    middle = down // 2, right // 2
    corners = [(0, 0), (0, right), (down, 0), (down, right)]
    places = [middle] if preparation.views == "centre" else [*corners, middle]
    views = [values[:, top : top + rows, left : left + columns] for top, left in places]
    if preparation.views == "ten-crop":
        views += [view[:, :, ::-1] for view in views]
    return np.stack(views)


def resized_bilinearly(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An image ``[C, h, w]`` at another size ``[C, H, W]``, each pixel from the four nearest, without smoothing."""
    for axis, side in zip((1, 2), size, strict=True):
        last = image.shape[axis] - 1
        at = ((np.arange(side) + 0.5) * image.shape[axis] / side - 0.5).clip(0, last)
        low = at.astype(int)
        part = (at - low).astype(np.float32).reshape(-1, 1) if axis == 1 else (at - low).astype(np.float32)
        before, after = image.take(low, axis), image.take(np.minimum(low + 1, last), axis)
        image = before + (after - before) * part
    return image


def _mean_image(path: str, shape: tuple[int, ...]) -> np.ndarray:
    mean = _read_mean(path)
    if mean.shape != shape:
        raise ArgumentError(f"{path}: a mean image of {list(mean.shape)} for images of {list(shape)}; give --size")
    return mean


@lru_cache(maxsize=8)
def _read_mean(path: str) -> np.ndarray:
    """A mean image, ``[3, height, width]`` in BGR order; read once."""
    return read_mean(path).astype(np.float32)
