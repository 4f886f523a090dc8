"""Write a Caffe network as an ONNX file that computes the same, for runtimes that read nothing else."""

from __future__ import annotations

import argparse

from ..errors import ArgumentError, printable
from ..files.caffe import CaffeModel, Transform, read_caffe
from ..session.converting import onnx_pieces
from ..text import human_bytes
from ..zoo import open_model
from .output import check_file, written


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


def _said(transform: Transform) -> str:
    parts = [
        f"mean {', '.join(f'{value:g}' for value in transform.mean_value)}" if transform.mean_value else "",
        f"mean image {transform.mean_file}" if transform.mean_file else "",
        f"scale {transform.scale:g}" if transform.scale != 1 else "",
        f"crop {transform.crop_size}" if transform.crop_size else "",
    ]
    return "; ".join(filter(None, parts)) or "values 0 to 255, BGR"
