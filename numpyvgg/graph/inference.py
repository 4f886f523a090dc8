"""Which nodes do nothing when a network answers, and what nodes mean that were exported for training.

A network is run for its answers here, as ONNX Runtime runs it by default. Dropout hands its input on: that is what it
does at inference by its definition, and what runtimes do with one that says `training_mode` too, unless the caller
feeds that flag with each run. Below operator set 7 a flag `is_test` says whether BatchNormalization and Dropout are
run for answers; its default, 0, is a relic of training that converters left behind, and nobody honours it.
"""

from __future__ import annotations

import warnings

import numpy as np

from ..files.onnx import Node
from .graph import Graph


def does_nothing(graph: Graph, node: Node) -> bool:
    """Whether a node's first output is its first input, whatever that is: the same shape, the same numbers.

    A Cast between floating-point types is no such node: it rounds.
    """
    if node.op_type == "Identity":
        return True
    if node.op_type == "Dropout":
        return len(node.inputs) < 3 or not node.inputs[2] or graph.is_fixed(node.inputs[2])
    return node.op_type == "Pad" and not np.any(pads_of(graph, node))


def pads_of(graph: Graph, node: Node) -> list[int] | None:
    """A Pad node's pads, all beginnings and then all ends; None where they are computed, or for certain axes only."""
    pads = node.attributes.get("pads", node.attributes.get("paddings"))
    if pads is None and len(node.inputs) > 1 and not any(node.inputs[3:]):
        value = graph.constant(node.inputs[1])
        return None if value is None else value.ravel().tolist()
    return pads


def warn_of_training(graph: Graph) -> None:
    """Say once that a network was exported for training, and what is done with it here."""
    training = [
        node
        for node in graph.nodes
        if node.op_type == "Dropout" and len(node.inputs) > 2 and np.any(graph.constant(node.inputs[2]))
    ]
    if training:
        others = f" and {len(training) - 1} more" if len(training) > 1 else ""
        warnings.warn(
            f"{graph.model.path}: exported for training: {training[0]}{others} would drop at random; here, as in ONNX "
            "Runtime by default, they hand on what they get",
            stacklevel=3,
        )
