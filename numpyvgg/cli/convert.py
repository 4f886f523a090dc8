"""Write a Caffe network as an ONNX file that computes the same, for runtimes that read nothing else."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..errors import ArgumentError, UnsupportedModelError, printable
from ..files.caffe import CaffeModel, Transform, read_caffe
from ..files.onnx import Node
from ..files.write import onnx_file
from ..session import InferenceSession
from ..text import human_bytes
from ..zoo import open_model
from .output import check_file, written

#: The IR version that came with operator set 13 (ONNX 1.8)
IR_VERSION = 7


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("caffemodel", metavar="NAME|CAFFEMODEL", help="a published network, or a file with weights")
    parser.add_argument("prototxt", metavar="PROTOTXT", nargs="?", help="its layers, where they are other ones")
    parser.add_argument("onnx", metavar="ONNX", help="the file to write; its name ends in .onnx")


def run(args: argparse.Namespace) -> int:
    check_file("ONNX", args.onnx, suffixes=[".onnx"], inputs=[args.caffemodel, args.prototxt or ""])
    model = read_caffe(args.caffemodel, args.prototxt) if args.prototxt else open_model(args.caffemodel)
    if not isinstance(model, CaffeModel):
        raise ArgumentError(f"{args.caffemodel}: not a Caffe network; an ONNX file need not be converted")
    size, pieces = onnx_pieces(model)
    with written("ONNX", args.onnx) as file:
        for piece in pieces:
            file.write(piece)
    inputs = ", ".join(f"{value.name} {list(value.shape or ())}" for value in model.inputs)
    outputs = ", ".join(value.name for value in model.outputs)
    summary = f"{len(model.nodes)} nodes, {human_bytes(size)}, opset {model.opset}: {inputs} -> {outputs}"
    print(printable(f"{args.onnx}: {summary}"))
    if model.transform is not None:
        print(printable(f"Trained on images prepared so, which an ONNX file does not say: {_said(model.transform)}"))
    return 0


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


def _said(transform: Transform) -> str:
    parts = [
        f"mean {', '.join(f'{value:g}' for value in transform.mean_value)}" if transform.mean_value else "",
        f"mean image {transform.mean_file}" if transform.mean_file else "",
        f"scale {transform.scale:g}" if transform.scale != 1 else "",
        f"crop {transform.crop_size}" if transform.crop_size else "",
    ]
    return "; ".join(filter(None, parts)) or "values 0 to 255, BGR"
