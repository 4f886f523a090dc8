"""A layer of a VGG network, and the four networks that layers may make up."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..errors import ArgumentError, reported_as_argument
from ..files.tensor import RowReader
from ..layers import Operations

#: Simonyan & Zisserman 2015, table 1: the number of 3x3 convolutions in each of the five blocks
CONFIGURATIONS = {"A": (1, 1, 2, 2, 2), "B": (2, 2, 2, 2, 2), "D": (2, 2, 3, 3, 3), "E": (2, 2, 4, 4, 4)}
INPUT_SHAPE = (3, 224, 224)
#: How many images go through which blocks together. Where pixels are many, one: its outputs stay in the cache, and in
#: memory that the process has already. Where filters are many, each that is read serves several.
IMAGES_AT_ONCE = ((1, slice(0, 3)), (16, slice(3, 5)))
Weights = tuple[np.ndarray, np.ndarray]


class FileWeight:
    """A weight, as a matrix [M, all the rest], that lies in a file: rows of it, or the whole as an array that is kept.

    Attributes
    ----------
    shape : tuple of int
    dtype : np.dtype
    bias : callable
        Gives the bias [M] that goes with it.
    """

    def __init__(self, rows: RowReader, array: Callable[[], np.ndarray], bias: Callable[[], np.ndarray]):
        self.shape, self.dtype = rows.shape, rows.dtype
        self.read, self.give_back = rows.read, rows.give_back
        self.array, self.bias = array, bias


@dataclass(frozen=True)
class Layer:
    """One operation of the network.

    Attributes
    ----------
    title : str
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
    stored : FileWeight, optional
        The weight where it lies; None where the file holds it transposed or in a form that has to be decoded.
    method : str
        How it is computed, once a network is made of it: ``im2col``, ``Winograd F(4x4, 3x3)``, ``row blocks`` (of a
        fully connected layer), ``textbook``.
    """

    title: str
    name: str
    output: str
    op_type: str
    output_shape: tuple[int, ...]
    weight_shape: tuple[int, ...] = ()
    storage: str = ""
    batch_norm: bool = False
    load: Callable[..., Weights] | None = field(default=None, repr=False)
    stored: FileWeight | None = field(default=None, repr=False)
    method: str = ""

    @property
    def kind(self) -> str:
        """``conv``, ``relu``, ``pool``, ``fc`` or ``prob``."""
        return self.title.rstrip("_0123456789")

    @property
    def block(self) -> int:
        """Which of the five blocks of convolutions it is in; 6, 7 and 8 with the fully connected layers, 0: softmax."""
        number = self.title.removeprefix(self.kind).partition("_")[0]
        return int(number or 0)

    @property
    def images_at_once(self) -> int:
        """Of a layer in one of the five blocks: how many images go through it together."""
        return next(count for count, blocks in IMAGES_AT_ONCE if self.block - 1 in range(5)[blocks])

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
    counts = tuple(sum(layer.kind == "conv" and layer.block == block for layer in layers) for block in range(1, 6))
    (name,) = (name for name, wanted in CONFIGURATIONS.items() if wanted == counts)
    return f"{name}, bn" if any(layer.batch_norm for layer in layers) else name


def summary(layers: list[Layer]) -> str:
    """A network's depth, configuration and cost, in a line."""
    parameters = sum(layer.parameters for layer in layers)
    multiply_adds = sum(layer.multiply_adds for layer in layers)
    depth = sum(layer.load is not None for layer in layers)
    return (
        f"VGG-{depth}, configuration {configuration(layers)}: {parameters:,} parameters, "
        f"{multiply_adds / 1e9:.2f} G multiply-adds an image"
    )


def prepare(layers: list[Layer], ops: Operations) -> tuple[list[Layer], list[Any]]:
    """Hand each layer's weights to the operations -> the layers with their `method`, and what is to be handed back."""
    named, prepared = [], []
    for layer in layers:
        weights: Any = None
        if layer.kind == "conv":
            assert layer.load is not None
            weights = ops.prepare_conv(*layer.load(), pads=(1, 1, 1, 1))
            if layer.stored is not None:
                layer.stored.give_back()  # most operations have rearranged the weight, and need the file no more
        elif layer.kind == "fc":
            assert layer.load is not None
            weights = ops.prepare_linear(*((layer.stored, layer.stored.bias()) if layer.stored else layer.load()))
        named.append(replace(layer, method=getattr(weights, "method", "textbook")) if layer.load else layer)
        prepared.append(weights)
    return named, prepared


def grouped(layers: list[Layer], prepared: list[Any]) -> tuple[list[list[Any]], list[Any]]:
    """What was prepared -> that of the convolutions of each block, and that of the fully connected layers."""
    pairs = list(zip(layers, prepared, strict=True))
    blocks = [[conv for layer, conv in pairs if layer.kind == "conv" and layer.block == block] for block in range(1, 6)]
    return blocks, [fc for layer, fc in pairs if layer.kind == "fc"]


def in_parts(run: Callable[..., np.ndarray], x: np.ndarray, at_once: int, *args: Any) -> np.ndarray:
    """What a function makes of so many images at a time, as one array."""
    parts = [run(x[start : start + at_once], *args) for start in range(0, max(len(x), 1), at_once)]
    return np.concatenate(parts) if len(parts) > 1 else parts[0]


def check_images(x: np.ndarray, input_shape: tuple[int, ...]) -> np.ndarray:
    """Turn away what is no batch of images, with the mend where one can guess it."""
    with reported_as_argument("images"):
        x = np.asarray(x)
    if x.shape[1:] != input_shape or x.ndim != 4:
        mend = ""
        if x.shape == input_shape:
            mend = "; a single image needs a batch axis: x[None]"
        elif x.ndim == 4 and x.shape[1:] == (*input_shape[1:], input_shape[0]):
            mend = "; channels come before rows: x.transpose(0, 3, 1, 2)"
        wanted = f"[N, {', '.join(map(str, input_shape))}]"
        raise ArgumentError(f"the network takes {wanted}, not {list(x.shape)}{mend}")
    if x.dtype.kind not in "fiu":
        raise ArgumentError(f"the network takes real numbers, not {x.dtype}")
    return x
