"""Stand-in networks: seeded random weights in the shapes of the published networks, for where those cannot be had.

A random network is a poor stand-in unless its weights are scaled with care. With weights drawn in the usual way (He et
al. 2015: variance 2 / fan_in) every photograph gets much the same answer: each ReLU leaves a positive mean behind, the
mean is the same for all photographs, and thirteen convolutions later it is most of what is left. So the filters of the
fully connected layers sum to zero over their input channels, and see only what differs from channel to channel. If z is
a standard normal variable, the variance that gets through such a layer is

    Var(relu(z)) = 1/2 - 1/(2 pi) = 0.341

and weights of variance 1 / (0.341 fan_in) keep the signal at unit variance. Zero sums in every layer would set
photographs apart even better, but they make the network chaotic (Poole et al. 2016): rounding errors then grow like any
other difference, tenfold here, and a stand-in for comparing runtimes must not do that.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

#: Simonyan & Zisserman 2015, table 1: the number of 3x3 convolutions in each of the five blocks
CONVOLUTIONS = {"A": (1, 1, 2, 2, 2), "B": (2, 2, 2, 2, 2), "D": (2, 2, 3, 3, 3), "E": (2, 2, 4, 4, 4)}
#: the same table: the number of filters in each block, and of units in fc6 and fc7
FILTERS = (64, 128, 256, 512, 512)
UNITS = 4096

_PIXEL_MEAN = np.array([103.939, 116.779, 123.68])  # of ImageNet in BGR order, the mean of the VGG authors' release
_PIXEL_STD = 60.0
_RELU_VARIANCE = 0.5 - 0.5 / math.pi
_LOGIT_STD = 0.35  # for each nat of log(classes): more classes need larger logits for a few of them to stand out
_BIAS_STD = 0.05


def layer_shapes(configuration: str = "D", width: float = 1.0, classes: int = 101) -> dict[str, tuple[int, ...]]:
    """The weight shape of every layer, in the order of the forward pass.

    Parameters
    ----------
    configuration : {"A", "B", "D", "E"}
        VGG-11, 13, 16 or 19, named as in Simonyan & Zisserman 2015.
    width : float
        Multiplies the number of filters and units: 1 for the published size, 1/16 for a network that tests can hurry
        through.
    classes : int
        Rows of the last layer, two at least.

    Returns
    -------
    dict
        ``{"conv1_1": (64, 3, 3, 3), ..., "fc8": (101, 4096)}``
    """
    shapes: dict[str, tuple[int, ...]] = {}
    channels = 3
    for block, (count, filters) in enumerate(zip(CONVOLUTIONS[configuration], FILTERS, strict=True), start=1):
        for i in range(1, count + 1):
            shapes[f"conv{block}_{i}"] = (_scaled(filters, width), channels, 3, 3)
            channels = _scaled(filters, width)
    units = _scaled(UNITS, width)
    shapes["fc6"] = (units, channels * 7 * 7)
    shapes["fc7"] = (units, units)
    shapes["fc8"] = (classes, units)
    return shapes


def standin_weights(
    configuration: str = "D", width: float = 1.0, classes: int = 101, seed: int = 0
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Random weights that answer differently to different photographs, one layer at a time.

    Photographs of the published networks' input contract (BGR, 0..255, no mean subtracted) get distributions with a
    handful of likely classes; neighbouring classes get similar probabilities, as neighbouring ages do.

    Parameters
    ----------
    configuration, width, classes
        As in `layer_shapes`.
    seed : int
        The same seed gives the same weights.

    Yields
    ------
    name : str
        ``"conv1_1"`` to ``"fc8"``.
    weight : ndarray, float32
        ``[M, C, 3, 3]`` or ``[M, K]``.
    bias : ndarray, float32
        ``[M]``
    """
    shapes = layer_shapes(configuration, width, classes)
    for layer, (name, shape) in enumerate(shapes.items()):
        rng = np.random.default_rng([seed, layer])
        bias = _BIAS_STD * rng.standard_normal(shape[0])
        weight = rng.standard_normal((shape[0], math.prod(shape[1:])), dtype=np.float32)
        fan_in = weight.shape[1]
        if name == "conv1_1":
            weight *= np.float32(1 / (_PIXEL_STD * math.sqrt(fan_in)))
            bias -= weight.reshape(-1, 3, 9).sum(axis=2) @ _PIXEL_MEAN
        elif len(shape) == 4:
            weight *= np.float32(math.sqrt(2 / fan_in))
        else:
            if name == "fc8":
                weight = _alike_neighbours(weight)
            planes = weight.reshape(shape[0], -1, 7 * 7 if name == "fc6" else 1)  # [M, channels, positions]
            planes -= planes.mean(axis=1, keepdims=True)
            gain = max(1.0, _LOGIT_STD * math.log(classes)) if name == "fc8" else 1.0
            weight *= np.float32(gain / math.sqrt(_RELU_VARIANCE * fan_in))
        yield name, weight.reshape(shape), bias.astype(np.float32)


def _scaled(size: int, width: float) -> int:
    """A layer's size under a width multiple; two channels at least, for one alone would sum to zero."""
    return max(2, round(size * width))


def _alike_neighbours(weight: np.ndarray) -> np.ndarray:
    """Blur the rows over a sixteenth of the classes and give them their length back.  [M, K] -> [M, K]"""
    index = np.arange(len(weight))
    blur = np.exp(-0.5 * ((index[:, None] - index) / (len(weight) / 16)) ** 2)
    blur /= np.linalg.norm(blur, axis=1, keepdims=True)
    return blur.astype(np.float32) @ weight
