"""Fully connected layers at the speed of memory.

**Idea.** For one image a fully connected layer uses each weight once: VGG's fc6 is 411 MB to read for 103 million
multiply-adds, and memory, not arithmetic, sets the pace. One core cannot draw all that the memory gives, so threads
take blocks of rows::

    y[n, m] = sum over k of weight[m, k] * x[n, k]  +  bias[m]        for the rows m of one block

For a batch the same block serves all images before the next is read, as one matrix product.

**Unaligned weights.** A file may hold its floats at any byte, and NumPy then copies a whole array before each product.
Here a block's bytes are copied into a small aligned array that stays in the core's cache; the weight is never held
twice. A network that is made for repeated use (``conv="winograd"``) copies it once instead.

`np.dot` and not `np.matmul`: for such thin products only the former gives up the interpreter's lock.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .threads import Scratch, Workers

BLOCK = 1 << 20  # bytes of weight in one block: half of a common L2, and large against the cost of a call


@dataclass(frozen=True)
class Linear:
    """A fully connected layer's weight ``[M, K]``, perhaps unaligned, and its bias ``[M]``."""

    weight: np.ndarray
    bias: np.ndarray | None
    method = "rows"


def linear(x: np.ndarray, fc: Linear, dtype: np.dtype, workers: Workers, scratch: Scratch) -> np.ndarray:
    """``x @ weight.T + bias``: ``[N, K] -> [N, M]``."""
    n, (outputs, inputs) = len(x), fc.weight.shape
    source = np.ascontiguousarray(x.reshape(n, inputs).T, dtype)  # [K, N]
    y = np.empty((outputs, n), dtype)
    rows = max(1, BLOCK // (inputs * dtype.itemsize))

    def block(number: int) -> None:
        part = slice(number * rows, (number + 1) * rows)
        weight = fc.weight[part]
        if not weight.flags.aligned:
            aligned = scratch.array("weight", weight.shape, weight.dtype)
            np.copyto(aligned.view(np.uint8), weight.view(np.uint8))
            weight = aligned
        weight = weight.astype(dtype, copy=False)
        if n == 1:
            np.dot(weight, source[:, 0], out=y[part, 0])
        else:
            np.dot(weight, source, out=y[part])

    workers.run(block, -(-outputs // rows) if n else 0)
    return y.T + fc.bias if fc.bias is not None else y.T.copy()
