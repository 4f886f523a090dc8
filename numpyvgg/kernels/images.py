"""Images between two convolutions: channels last, inside a border of zeros.

**Idea.** To a caller an image batch is ``[N, C, H, W]``. In memory the channels of a pixel lie side by side, so that a
copy moves whole runs of channels and a matrix product yields them in place; and the image lies inside a border of
zeros, so that the next convolution finds its padding there and nothing is copied between two layers::

    memory [N, rows, columns, C]                rows    = 4 * floor(H / 4) + 6
    image  = memory[:, 1:H+1, 1:W+1, :]         columns = 4 * floor(W / 4) + 6     (room for whole tiles of 4)

An image that only convolutions without padding read has no border. Its pixels are then the rows of a matrix, which a
convolution of 1x1 multiplies as it lies.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ..layers import output_size


class Image(np.ndarray):
    """An array ``[N, C, H, W]`` that remembers the bordered memory it lies in, if any; views and copies forget it."""

    memory: np.ndarray | None = None


def new_image(n: int, channels: int, height: int, width: int, dtype: np.dtype, border: bool = True) -> Image:
    """An image that is yet to be written, and to be finished with `clear_border`."""
    if not border:
        return np.empty((n, height, width, channels), dtype).transpose(0, 3, 1, 2).view(Image)
    memory = np.empty((n, (height // 4 + 1) * 4 + 2, (width // 4 + 1) * 4 + 2, channels), dtype)
    image = memory[:, 1 : height + 1, 1 : width + 1].transpose(0, 3, 1, 2).view(Image)
    image.memory = memory
    return image


def whole_tiles(image: Image, tiles_h: int, tiles_w: int, side: int) -> np.ndarray:
    """Its pixels as tiles ``[N, tilesH, side, tilesW, side, C]``, of which the last may reach into the border."""
    assert image.memory is not None
    inside = image.memory[:, 1 : 1 + tiles_h * side, 1 : 1 + tiles_w * side]
    return inside.reshape(len(inside), tiles_h, side, tiles_w, side, inside.shape[-1])


@lru_cache(1 << 10)  # a network asks for the same few at each image
def window_sizes(
    height: int,
    width: int,
    kernel_shape: tuple[int, ...],
    strides: tuple[int, ...],
    pads: tuple[int, ...],
    dilations: tuple[int, ...],
) -> tuple[int, int, int, int]:
    """Output's height and width, and how many rows and columns of the padded image its windows see."""
    sizes = [
        output_size(size, kernel_shape[i], strides[i], pads[i], pads[2 + i], dilations[i])
        for i, size in enumerate((height, width))
    ]
    seen = [(sizes[i] - 1) * strides[i] + (kernel_shape[i] - 1) * dilations[i] + 1 for i in (0, 1)]
    return sizes[0], sizes[1], seen[0], seen[1]


def clear_border(image: Image) -> None:
    """Set everything around the pixels to zero, where there is a border."""
    if image.memory is None:
        return
    height, width = image.shape[2:]
    image.memory[:, 0] = image.memory[:, height + 1 :] = 0
    image.memory[:, :, 0] = image.memory[:, :, width + 1 :] = 0


def padded(
    x: np.ndarray, pads: tuple[int, ...], rows: int, columns: int, dtype: np.dtype, planar: bool = False
) -> np.ndarray:
    """The image with its padding, channels last; copied only where it does not lie in memory so already.

    Parameters
    ----------
    x : ndarray [N, C, H, W]
    pads : tuple of int
        (top, left, bottom, right)
    rows, columns : int
        Size of the result, padding included; what lies beyond the image is zero.
    planar : bool
        Whether each channel shall lie in memory as a plane of its own, which suits copies where there are few.

    Returns
    -------
    ndarray [N, rows, columns, C]
    """
    top, left = pads[:2]
    n, channels = x.shape[:2]
    memory = x.memory if isinstance(x, Image) and x.dtype == dtype else None
    if memory is not None and max(top, left) <= 1 and not planar:
        view = memory[:, 1 - top : 1 - top + rows, 1 - left : 1 - left + columns]
        if view.shape[1:3] == (rows, columns):
            return view
    if rows <= x.shape[2] and columns <= x.shape[3] and not (top or left or planar) and x.dtype == dtype:
        view = x[:, :, :rows, :columns].transpose(0, 2, 3, 1).view(np.ndarray)
        if view.strides[2:] == (channels * view.itemsize, view.itemsize):
            return view
    if planar:
        view = np.zeros((n, channels, rows, columns), dtype).transpose(0, 2, 3, 1)
    else:
        view = np.zeros((n, rows, columns, channels), dtype)
    inside = x[:, :, : rows - top, : columns - left].transpose(0, 2, 3, 1)  # strides may leave the last pixels unseen
    view[:, top : top + inside.shape[1], left : left + inside.shape[2]] = inside
    return view
