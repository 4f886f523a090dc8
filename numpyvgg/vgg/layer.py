"""A layer of a VGG network as tables and reports see it, and the four networks that layers may make up."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ..files.tensor import Rows

#: Simonyan & Zisserman 2015, table 1: the number of 3x3 convolutions in each of the five blocks
CONFIGURATIONS = {"A": (1, 1, 2, 2, 2), "B": (2, 2, 2, 2, 2), "D": (2, 2, 3, 3, 3), "E": (2, 2, 4, 4, 4)}
INPUT_SHAPE = (3, 224, 224)
Weights = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Layer:
    """One operation of the network, for tables and reports.

    Attributes
    ----------
    place : str
        Its name in the literature: ``conv3_2``, ``relu3_2``, ``pool3``, ``fc6``, ``prob``.
    name, output : str
        The node's name and its output tensor's name, in the file's words. Where two nodes are one layer (a convolution
        and its batch normalisation, MatMul and Add) those of the second.
    op_type : str
        The node's: ``Conv``, ``Relu``, ``MaxPool``, ``Gemm``, ``MatMul`` or ``Softmax``; the first's where it is two.
    output_shape : tuple of int
        For one image, without the batch axis.
    weight_shape : tuple of int
        Convolutions: ``[M, C, 3, 3]``; fully connected layers: ``[M, K]``; empty for the others.
    storage : str
        How the file holds the weight: ``float_data``, ``raw_data``, ..., and whether it is aligned.
    batch_norm : bool
        Whether a batch normalisation is folded into the weights.
    load : callable
        Gives the weight and the bias ``[M]``; until then they stay in the file. The weight may lie there unaligned;
        ``load(aligned=True)`` makes an aligned copy of such a one, keeps it, and gives the file's pages back.
    rows : Rows, optional
        The weight ``[M, all the rest]`` for callers that read it in blocks; None where the file holds it transposed
        or in a form that has to be decoded.
    method : str
        How it is computed, once a network is made of it: ``im2col``, ``Winograd F(4x4, 3x3)``, ``rows`` (of a fully
        connected layer), ``textbook``.
    """

    place: str
    name: str
    output: str
    op_type: str
    output_shape: tuple[int, ...]
    weight_shape: tuple[int, ...] = ()
    storage: str = ""
    batch_norm: bool = False
    load: Callable[..., Weights] | None = field(default=None, repr=False)
    rows: Rows | None = field(default=None, repr=False)
    method: str = ""

    @property
    def parameters(self) -> int:
        """Numbers that were learnt: weights, and one bias for each output channel (after folding)."""
        return math.prod(self.weight_shape) + self.weight_shape[0] if self.weight_shape else 0

    @property
    def multiply_adds(self) -> int:
        """Multiplications (each with its addition) for one image, counted as the definition has them."""
        pixels = math.prod(self.output_shape[1:])  # 1 for a fully connected layer
        return math.prod(self.weight_shape) * pixels if self.weight_shape else 0


def configuration(layers: list[Layer]) -> str:
    """Which of `CONFIGURATIONS` the layers are: ``"D"``, or ``"D, bn"`` where batch normalisations are folded in."""
    places = [layer.place for layer in layers]
    counts = tuple(sum(place.startswith(f"conv{block}_") for place in places) for block in range(1, 6))
    (name,) = (name for name, wanted in CONFIGURATIONS.items() if wanted == counts)
    return f"{name}, bn" if any(layer.batch_norm for layer in layers) else name
