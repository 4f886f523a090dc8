"""What follows a convolution, done to each strip of its output while that is in the core's cache.

**Idea.** A layer's output is megabytes: bias, residual, activation and pooling as passes over the whole of it would
each read it from memory and write it back. On a strip they are read from the cache, and only the last result leaves::

    y = activation(pool(product) + bias + addend)

Pooling comes first: rounding and max never change the order of two numbers, so the result is the same to the last bit
as in the textbook's order, for a quarter of the additions.

NumPy's loops are quick where both operands lie side by side in memory, for a whole row of pixels at a time. So the bias
is repeated for each pixel of a row, and ReLU is the maximum with a row of zeros: with a scalar it takes four times as
long, since that loop has no vector instructions.

Sources: leaky ReLU is A. Maas et al., "Rectifier Nonlinearities Improve Neural Network Acoustic
Models", 2013; x * sigmoid(x) is S. Elfwing et al.'s SiLU, 2017, and its piecewise linear neighbour A. Howard et al.'s
hard swish, "Searching for MobileNetV3", 2019.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..layers import Activation
from .images import Image, new_image
from .threads import Workers, strips_in_cache


@dataclass(frozen=True)
class Finish:
    """What follows a convolution.

    Attributes
    ----------
    activation : callable, optional
    addend : ndarray [N, M, outH, outW], optional
        Added before the activation: a residual connection.
    pool : bool
        2x2 max pooling with stride 2; then there is no addend, and the activation grows with its argument.
    border : bool
        Whether the output shall lie in a border of zeros, for a convolution that reads it with padding.
    """

    activation: Activation | None = None
    addend: np.ndarray | None = None
    pool: bool = False
    border: bool = True

    def of(self, image: int, filters: slice = slice(None)) -> Finish:
        """The same for one image, and some filters of it: its addend is ``[outH, outW, M]``."""
        return self if self.addend is None else replace(self, addend=self.addend[image, filters].transpose(1, 2, 0))


def new_output(n: int, filters: int, out_h: int, out_w: int, then: Finish, dtype: np.dtype) -> tuple[Image, np.ndarray]:
    """An image that a convolution's output goes to, and the same as ``[N, outH, outW, M]`` for `finish`."""
    y = new_image(n, filters, *((out_h // 2, out_w // 2) if then.pool else (out_h, out_w)), dtype, then.border)
    return y, y.transpose(0, 2, 3, 1).view(np.ndarray)


def by_pixel(bias: np.ndarray | None, out_w: int) -> np.ndarray | None:
    """A bias ``[M]`` for each pixel of a row, ``[outW, M]``."""
    return None if bias is None else bias[None].repeat(out_w, axis=0)


def finish(product: np.ndarray, target: np.ndarray, first: int, bias: np.ndarray | None, then: Finish) -> None:
    """Take a strip from the product to its place in the output, through all that follows.

    Parameters
    ----------
    product : ndarray [rows, outW, M]
        Overwritten.
    target : ndarray [outH, outW, M]
        With pooling half as high and wide.
    first : int
        The strip's first row, before pooling; even, with pooling.
    bias : ndarray [at least outW, M], optional
    then : Finish
        Its addend, if any, is that of the image and the filters at hand: ``[outH, outW, M]``.
    """
    if then.pool:
        first, pairs, out_w = first // 2, len(product) // 2, product.shape[1] // 2 * 2
        product = np.maximum(product[0 : 2 * pairs : 2], product[1 : 2 * pairs : 2], out=product[:pairs])
        product = np.maximum(product[:, 0:out_w:2], product[:, 1:out_w:2], out=product[:, : out_w // 2])
    destination = target[first : first + len(product)]
    terms = [bias[: product.shape[1]]] if bias is not None else []
    if then.addend is not None:
        terms.append(then.addend[first : first + len(product)])
    for term in terms:
        last = then.activation is None and term is terms[-1]
        np.add(product, term, out=destination if last else product)
    if then.activation is not None:
        then.activation(product, destination)
    elif not terms:
        np.copyto(destination, product)


def finish_in_place(y: Image, then: Finish, workers: Workers) -> Image:
    """Addend and activation of an output that is in its place already."""
    target = y.transpose(0, 2, 3, 1).view(np.ndarray)
    n, out_h, out_w, filters = target.shape
    strips = strips_in_cache(out_h, out_w * filters * target.itemsize)

    def strip(number: int) -> None:
        image, part = number // len(strips), strips[number % len(strips)]
        finish(target[image, part].copy(), target[image], part.start, None, then.of(image))

    workers.run(strip, n * len(strips))
    return y


# ---------------------------------------------------------------------- activations, in the arithmetic of `operators`


def relu(x: np.ndarray, out: np.ndarray) -> None:
    """max(x, 0)"""
    np.maximum(x, np.zeros(x.shape[1:], x.dtype), out=out)


def clip(low: float, high: float, x: np.ndarray, out: np.ndarray) -> None:
    """min(max(x, low), high)"""
    np.clip(x, x.dtype.type(low), x.dtype.type(high), out=out)


def leaky_relu(alpha: float, x: np.ndarray, out: np.ndarray) -> None:
    """The larger of x and alpha x; alpha is between 0 and 1."""
    np.multiply(x, x.dtype.type(alpha), out=out)
    np.maximum(x, out, out=out)


def sigmoid(x: np.ndarray, out: np.ndarray) -> None:
    """1 / (1 + exp(-x))"""
    np.negative(x, out=out)
    np.exp(out, out=out)
    out += out.dtype.type(1)
    np.reciprocal(out, out=out)


def swish(x: np.ndarray, out: np.ndarray) -> None:
    """x sigmoid(x)"""
    sigmoid(x, out)
    out *= x


def hard_sigmoid(alpha: float, beta: float, x: np.ndarray, out: np.ndarray) -> None:
    """Alpha x + beta, cut off at 0 and 1"""
    np.multiply(x, x.dtype.type(alpha), out=out)
    out += out.dtype.type(beta)
    clip(0, 1, out, out)


def hard_swish(alpha: float, beta: float, x: np.ndarray, out: np.ndarray) -> None:
    """X times its hard sigmoid."""
    hard_sigmoid(alpha, beta, x, out)
    out *= x
