"""Batch normalisation folded into the convolution before it.

At inference it multiplies each channel by a constant and adds another, so that

    s (W x + b - mean) + beta  =  (s W) x + (s (b - mean) + beta)    with    s = gamma / sqrt(var + epsilon)

is a convolution again. Folding happens once, in float64.
"""

from __future__ import annotations

import numpy as np

from ..files.onnx import Node
from ..operators import normalization
from .graph import Graph


def why_not_folded(graph: Graph, node: Node, channels: int) -> str | None:
    """What keeps a BatchNormalization from being a factor and an offset for each channel; None where nothing does.

    No weight is looked at.
    """
    if node.attributes.get("training_mode", 0) or not node.attributes.get("spatial", 1):
        return f"{node} normalises by the batch, or each pixel by itself"
    if not isinstance(node.attributes.get("epsilon", 1e-5), float):
        return f"{node} has epsilon {node.attributes['epsilon']!r}"
    for name in node.inputs[1:5]:
        shape = graph.constant_shape(name)
        if shape != (channels,):
            return f"{node}: {name!r} has shape {list(shape) if shape else shape}, not [{channels}]"
    return None if len(node.inputs) == 5 else f"{node} has {len(node.inputs)} inputs, not 5"


def factor_and_offset(graph: Graph, node: Node) -> tuple[np.ndarray, np.ndarray]:
    """Batch normalisation as ``factor * x + offset``, float64 [C] each."""
    scale, B, mean, var = (np.asarray(graph.constant(name)) for name in node.inputs[1:5])
    return normalization(scale, B, mean, var, node.attributes.get("epsilon", 1e-5))


def by_channel(operand: np.ndarray, channels: int, axes: int = 2) -> np.ndarray | None:
    """What an image [N, C, H, W] is multiplied by, or has added, as float64 [C] or [1].

    None where it is not one number for each channel, nor one for all. A signal has 1 of the `axes` behind the channels,
    a volume 3.
    """
    if operand.ndim > 2 + axes:
        return None
    if operand.size != 1 and (operand.ndim <= axes or operand.shape[-1 - axes] != channels or operand.size != channels):
        return None
    return operand.reshape(-1).astype(np.float64)


def fold(
    weight: np.ndarray, bias: np.ndarray | None, factor: np.ndarray, offset: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """A convolution's weight [M, ...] and bias [M] with ``factor * y + offset`` done to its output; float64."""
    ones = (1,) * (weight.ndim - 1)
    bias = np.zeros(len(weight)) if bias is None else bias
    return weight.astype(np.float64) * factor.reshape(-1, *ones), factor * bias + offset
