"""Fully connected layers at the speed of memory.

**Idea.** For one image a fully connected layer uses each weight once: VGG's fc6 is 411 MB to read for 103 million
multiply-adds, and memory, not arithmetic, sets the pace. One core cannot draw all that the memory gives, so threads
take blocks of rows::

    y[n, m] = sum over k of weight[m, k] * x[n, k]  +  bias[m]        for the rows m of one block

For a batch a block serves all images before the next is read, as one matrix product. That is arithmetic rather than
memory, and wants more rows.

**Weights in a file.** For a single image nothing is gained by keeping 411 MB: in the first pass a block is copied from
the file into a small array (for one image, one that stays in the core's cache), used, and freed. That also takes care
of floats that a file holds at any byte, which NumPy would copy as a whole before each product. A network that is used
again wants its weights as arrays, since the copies of blocks cost it a third more time: in the second pass each block
stays where it was copied to, layer by layer, where there is room (`memory.Budget`).

`np.dot` and not `np.matmul`: for such thin products only the former releases the GIL.
"""

from __future__ import annotations

import math
import threading
from contextlib import suppress

import numpy as np

from ..layers import StoredWeight
from .memory import Budget
from .threads import Scratch, Workers

BLOCK = 1 << 20  # bytes of weight in one block: half of a common L2, and large against the cost of a call
BATCH_ROWS = 128  # of weight in a block that serves several images


class Linear:
    """A fully connected layer's weight ``[M, K]``, in a file or in memory, and its bias ``[M]``."""

    method = "row blocks"

    def __init__(
        self, weight: np.ndarray | StoredWeight, bias: np.ndarray | None, dtype: np.dtype, budget: Budget | None = None
    ):
        self.bias = bias
        self._budget = budget or Budget()
        self._dtype = dtype
        self.weight = np.require(weight, dtype, "A") if isinstance(weight, np.ndarray) else weight
        self._passes = 0
        self._lock = threading.Lock()

    def room(self) -> np.ndarray | None:
        """In the second pass an array for the weight, where there is room for it; the pass fills and keeps it."""
        with self._lock:
            self._passes += 1
            if self._passes != 2 or isinstance(self.weight, np.ndarray):
                return None
            if self._budget.has_room(math.prod(self.weight.shape) * self._dtype.itemsize):
                with suppress(MemoryError):  # it can still be read from the file
                    return np.empty(self.weight.shape, self._dtype)
        return None


def linear(x: np.ndarray, fc: Linear, dtype: np.dtype, workers: Workers, scratch: Scratch) -> np.ndarray:
    """``x @ weight.T + bias``: ``[N, K] -> [N, M]``."""
    n, weight = len(x), fc.weight
    outputs, inputs = weight.shape
    kept = fc.room() if n else None
    source = np.ascontiguousarray(x.reshape(n, inputs), dtype)
    y = np.empty((n, outputs), dtype)
    rows = max(1, BLOCK // (inputs * dtype.itemsize)) if n == 1 else BATCH_ROWS

    def block(number: int) -> None:
        part = slice(number * rows, min((number + 1) * rows, outputs))
        some = _rows(weight, part, scratch).astype(dtype, copy=False)
        if kept is not None:
            kept[part] = some
        if n == 1:
            np.dot(some, source[0], out=y[0, part])
        else:
            y[:, part] = np.dot(source, some.T)

    workers.run(block, -(-outputs // rows) if n else 0)
    if kept is not None:
        fc.weight = kept
    return y if fc.bias is None else np.add(y, fc.bias, out=y)


def _rows(weight: np.ndarray | StoredWeight, part: slice, scratch: Scratch) -> np.ndarray:
    """Some rows of the weight, where they are or copied."""
    if isinstance(weight, np.ndarray):
        return weight[part]
    copied = scratch.array("weight", (part.stop - part.start, weight.shape[1]), weight.dtype)
    weight.read(part.start, copied)
    return copied
