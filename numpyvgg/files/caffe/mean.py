"""Caffe's mean images: a ``.binaryproto`` is one BlobProto."""

from __future__ import annotations

import os

import numpy as np

from ...errors import ModelFormatError, reported_as_ours
from ..kinds import refuse
from ..source import Source, path_name
from ..wire import Message
from .binary import read_blob


def read_mean(path: str | os.PathLike[str]) -> np.ndarray:
    """Read a mean image.

    Parameters
    ----------
    path : path
        Of a ``.binaryproto``.

    Returns
    -------
    ndarray float32 [C, H, W]
        In the order of channels in which the network was trained, for Caffe's own tools B, G, R; values 0 to 255.

    Raises
    ------
    ModelFormatError
        The file is missing, damaged, or no mean image.

    Examples
    --------
    >>> read_mean("mean.binaryproto").mean(axis=(1, 2))  # doctest: +SKIP
    array([ 78.42633,  87.76891, 114.89584], dtype=float32)
    """
    with reported_as_ours(path_name(path)):
        return _read_mean(Source.open(path))


def _read_mean(source: Source) -> np.ndarray:
    try:
        mean = read_blob(Message.root(source, "BlobProto"), "the mean")
    except ModelFormatError:
        refuse(source, "a mean image (.binaryproto)")
        raise
    shape = mean.dims[1:] if len(mean.dims) == 4 and mean.dims[0] == 1 else mean.dims
    if len(shape) != 3 or 0 in shape:
        refuse(source, "a mean image (.binaryproto)")
        raise ModelFormatError(f"{source.name}: a mean image has channels, height and width; this is {list(mean.dims)}")
    return mean.array().reshape(shape)
