"""How large rounding errors usually are in a sum: the variance of its partial sums, at sampled outputs.

The bounds of `bounds` must hold for every output and every order of the sum, so a correct runtime stays far below them
in long sums (a thousandth of the bound in VGG-16's fc6), and short numbers hide in between. The same model, evaluated
on the data instead of at its worst, is sharper.

**Theory.** Adding up ``s_1, s_2, ...`` rounds each partial sum once, by ``|d| <= u |s_i|``, and each product once.
Within a binade an error is uniform in +- half a unit in the last place, hence of variance at most ``(u s_i)^2 / 3``.
If errors are independent with mean zero (Higham & Mary 2019), the sum's has the variance

    sigma^2 = u^2 / 3 * (sum of s_i^2 + sum of p_i^2),

p_i being the products. The terms are taken in their order and in the reverse one, and the larger sigma counts; blocked
sums meet fewer and smaller partial sums. Over S outputs, S * z^2 = sum (error / sigma)^2 then is at most chi-squared
with S degrees of freedom, and exceeds ``S + 2 sqrt(S t) + 2 t`` with probability below exp(-t) (Laurent & Massart 2000,
lemma 1): for S = 256 and the chance `bounds.FAILURE`, z stays below 1.26.

**Equal terms** round alike, all up or all down, and the model fails. What a plain loop in float32 makes of the very
terms is tried as well, and where it errs more than sigma, that is what counts.

Source
------
B. Laurent and P. Massart, "Adaptive Estimation of a Quadratic Functional by Model Selection", The Annals of Statistics
28(5), 2000. The others are those of `bounds`.
"""

from __future__ import annotations

import math

import numpy as np

from .. import operators
from ..files.onnx import Node
from .bounds import FAILURE, unit_roundoff

_SAMPLES = 256


def usual_share(node: Node, error: np.ndarray, x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None) -> float:
    """z as a share of what chance explains; beyond 1 the errors are too large. 0 where it cannot be said.

    Parameters
    ----------
    node : Node
        A Conv of one group or a Gemm.
    error : ndarray
        Of the node's output.
    x, weight, bias : ndarray
        Its inputs.
    """
    rng = np.random.default_rng(0)
    index = np.unravel_index(rng.integers(0, error.size, _SAMPLES), error.shape)
    terms = _of_conv(node, x, weight, index) if node.op_type == "Conv" else _of_gemm(node, x, weight, index)
    if bias is not None:
        added = np.broadcast_to(bias.reshape(-1, 1, 1) if node.op_type == "Conv" else bias, error.shape)[index]
        terms = np.concatenate([terms, added[:, None].astype(np.float64)], axis=1)
    sigma = np.sqrt(np.maximum(_variance(terms), _variance(terms[:, ::-1])))
    seen = sigma > np.finfo(np.float32).tiny
    if not seen.any():
        return 0.0
    loop = np.add.accumulate(terms.astype(np.float32), axis=1)[:, -1] - terms.sum(axis=1)
    z, of_loop = (_root_mean_square(values[seen] / sigma[seen]) for values in (error[index], loop))
    count, t = int(seen.sum()), -math.log(FAILURE)
    limit = math.sqrt((count + 2 * math.sqrt(count * t) + 2 * t) / count)
    return z / (limit * max(1.0, of_loop))


def _of_conv(node: Node, x: np.ndarray, weight: np.ndarray, index: tuple[np.ndarray, ...]) -> np.ndarray:
    """The products of some outputs of a convolution.  [S, C * kh * kw]"""
    n, m, i, j = index
    (kh, kw), attributes = weight.shape[2:], node.attributes
    (sh, sw), (dh, dw) = (tuple(attributes.get(key) or (1, 1)) for key in ("strides", "dilations"))
    auto_pad = attributes.get("auto_pad", "NOTSET")
    pads = operators.resolve_pads(x.shape[2:], (kh, kw), (sh, sw), attributes.get("pads"), (dh, dw), auto_pad)
    padded = np.pad(x, ((0, 0), (0, 0), (pads[0], pads[2]), (pads[1], pads[3])))
    rows, columns = i[:, None] * sh + np.arange(kh) * dh, j[:, None] * sw + np.arange(kw) * dw
    channels = np.arange(x.shape[1])[None, :, None, None]
    patches = padded[n[:, None, None, None], channels, rows[:, None, :, None], columns[:, None, None, :]]
    return (patches.astype(np.float64) * weight[m]).reshape(len(n), -1)


def _of_gemm(node: Node, x: np.ndarray, weight: np.ndarray, index: tuple[np.ndarray, ...]) -> np.ndarray:
    """The products of some outputs of a Gemm.  [S, K]"""
    a = x.T if node.attributes.get("transA", 0) else x
    b = weight if node.attributes.get("transB", 0) else weight.T
    return a[index[0]].astype(np.float64) * b[index[1]]


def _variance(terms: np.ndarray) -> np.ndarray:
    """Of the rounding errors of each row's sum, in this order."""
    partial = np.square(np.add.accumulate(terms, axis=1)[:, 1:]).sum(axis=1) + np.square(terms).sum(axis=1)
    return unit_roundoff(np.dtype(np.float32)) ** 2 / 3 * partial


def _root_mean_square(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))
