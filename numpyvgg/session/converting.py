"""A Caffe network as the bytes of an ONNX file that computes the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..errors import UnsupportedModelError
from ..files.caffe import CaffeModel
from ..files.onnx import Node
from ..files.write import onnx_file
from .inference import InferenceSession

#: The IR version that came with operator set 13 (ONNX 1.8)
IR_VERSION = 7


def onnx_pieces(model: CaffeModel) -> tuple[int, Iterator[bytes | memoryview]]:
    """The ONNX file of a Caffe network: its size in bytes, and the bytes piece by piece.

    Raises
    ------
    UnsupportedModelError
        ONNX has no operator for one of its layers, or the file does not say how large the input is.
    """
    foreign = [node for node in model.nodes if node.domain]
    if foreign:
        raise UnsupportedModelError(f"{model.path}: ONNX has no counterpart of {', '.join(map(str, foreign[:3]))}")
    shapes = _shapes(model)
    return onnx_file(
        [_with_explicit_pads(node, shapes) if node.op_type == "MaxPool" else node for node in model.nodes],
        [model.initializers.stored(name) for name in model.initializers],
        model.inputs,
        [replace(value, shape=("N", *shapes[value.name][1:])) for value in model.outputs],
        graph_name=model.graph_name or Path(model.path).stem,
        producer="numpyvgg",
        ir_version=IR_VERSION,
        opset=model.opset,
    )


def _shapes(model: CaffeModel) -> dict[str, tuple[int, ...]]:
    """The shapes of what goes into poolings and comes out of them and of the network, in a run of one image."""
    feed = {}
    for value in model.inputs:
        sizes = [size for size in (value.shape or (None,))[1:] if isinstance(size, int)]
        if len(sizes) != len(value.shape or ()) - 1:
            raise UnsupportedModelError(
                f"{model.path}: does not say how large its input {value.name!r} is: give the prototxt too"
            )
        feed[value.name] = np.zeros((1, *sizes), np.float32)
    pooled = [name for node in model.nodes if node.op_type == "MaxPool" for name in (node.inputs[0], node.outputs[0])]
    wanted = list(dict.fromkeys([value.name for value in model.outputs] + pooled))
    results = InferenceSession(model).run(wanted, feed)
    return {name: array.shape for name, array in zip(wanted, results, strict=True)}


def _with_explicit_pads(node: Node, shapes: dict[str, tuple[int, ...]]) -> Node:
    """A pooling that rounds up as one that rounds down, with as much more padding at the ends.

    Runtimes do not agree on what rounding up comes to where the last window would lie in the padding.
    """
    sizes, counts = shapes[node.inputs[0]][2:], shapes[node.outputs[0]][2:]
    kernel, strides, begins = (node.attributes[key][:2] for key in ("kernel_shape", "strides", "pads"))
    spans = [(count - 1) * stride + size for count, stride, size in zip(counts, strides, kernel, strict=True)]
    ends = [max(span - size - begin, 0) for span, size, begin in zip(spans, sizes, begins, strict=True)]
    return replace(node, attributes={**node.attributes, "pads": [*begins, *ends], "ceil_mode": 0})
