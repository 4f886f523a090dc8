"""The order of axes in which runtimes hand tensors over, where it is not the graph's."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


def fit(values: np.ndarray, exact: np.ndarray) -> tuple[np.ndarray, str]:
    """A runtime's tensor in the graph's layout, and what had to be done to it; as it came where nothing fits.

    Parameters
    ----------
    values : ndarray
    exact : ndarray [N, C, ...]
        What it should be. Where several layouts have its shape (all axes as long), the nearest is meant.
    """
    fitting = [(array, remark) for array, remark in _layouts(values, exact.shape) if array.shape == exact.shape]
    if len(fitting) < 2:
        return fitting[0] if fitting else (values, "")
    with np.errstate(all="ignore"):
        distances = [float(np.abs(array - exact).sum()) for array, _ in fitting]
    return fitting[int(np.argmin(distances))]  # the first of several, and of NaN


def _layouts(values: np.ndarray, shape: tuple[int, ...]) -> Iterator[tuple[np.ndarray, str]]:
    yield values, ""
    if values.ndim > 2:
        yield np.moveaxis(values, -1, 1), "handed over with its channels last"
    batch = values[None]
    if batch.shape != values.shape:
        yield batch, "handed over without the batch axis"
        yield np.moveaxis(batch, -1, 1), "handed over without the batch axis, its channels last"
    if values.shape != shape and [n for n in values.shape if n != 1] == [n for n in shape if n != 1]:
        yield values.reshape(shape), f"handed over as {list(values.shape)}"
