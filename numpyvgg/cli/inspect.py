"""Show what is in a network's file: each layer with its shape, parameters, multiply-adds, bytes and storage."""

from __future__ import annotations

import argparse
import math
from dataclasses import asdict
from typing import Any

from ..errors import UnsupportedModelError, printable
from ..files.onnx import OnnxModel
from ..text import human_bytes, shape_text, table
from ..vgg.layer import Layer
from ..vgg.recognise import recognise
from ..zoo import open_model
from .output import json_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="NAME|PATH", help="a published network, an ONNX file or a Caffe model")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(args: argparse.Namespace) -> int:
    model = open_model(args.path)
    try:
        layers, _ = recognise(model)
    except UnsupportedModelError as error:
        _print_tensors(model, str(error), args.json)
        return 0
    if args.json:
        print(json_text({**_header(model), "layers": [_layer_record(layer) for layer in layers]}, indent=2))
        return 0
    print(printable(str(model)))
    print(layer_table(layers))
    return 0


def layer_table(layers: list[Layer]) -> str:
    """The layers and their totals as text."""
    rows: list[list[object]] = [
        [
            layer.name,
            layer.op_type,
            shape_text(layer.output_shape),
            f"{layer.parameters:,}" if layer.parameters else None,
            f"{layer.multiply_adds / 1e6:,.1f} M" if layer.multiply_adds else None,
            human_bytes(4 * layer.parameters) if layer.parameters else None,
            layer.storage,
        ]
        for layer in layers
    ]
    parameters = sum(layer.parameters for layer in layers)
    multiply_adds = sum(layer.multiply_adds for layer in layers)
    total = f"{multiply_adds / 1e6:,.1f} M"
    rows.append(["total", None, None, f"{parameters:,}", total, human_bytes(4 * parameters), None])
    header = ["layer", "operator", "output", "parameters", "multiply-adds", "as float32", "stored as"]
    return table(header, rows, "<<>>>><")


def _header(model: OnnxModel) -> dict[str, Any]:
    return {
        "path": model.path,
        "producer": model.producer,
        "ir_version": model.ir_version,
        "opset_imports": model.opset_imports,
        "inputs": [asdict(value) for value in model.inputs],
        "outputs": [asdict(value) for value in model.outputs],
    }


def _layer_record(layer: Layer) -> dict[str, Any]:
    return {
        "name": layer.name,
        "layer": layer.title,
        "operator": layer.op_type,
        "output_shape": layer.output_shape,
        "parameters": layer.parameters,
        "multiply_adds": layer.multiply_adds,
        "bytes": 4 * layer.parameters,
        "storage": layer.storage,
    }


def _print_tensors(model: OnnxModel, why: str, as_json: bool) -> None:
    """A network that is not a VGG: its tensors as they are stored, and the first node that differs."""
    stored = [model.initializers.stored(name) for name in model.initializers]
    if as_json:
        tensors = [{"name": t.name, "shape": t.dims, "dtype": t.dtype.name, "storage": t.storage} for t in stored]
        print(json_text({**_header(model), "not_vgg": why, "tensors": tensors}, indent=2))
        return
    print(printable(str(model)))
    rows = [[t.name, shape_text(t.dims), t.dtype.name, f"{math.prod(t.dims):,}", t.storage] for t in stored]
    print(table(["tensor", "shape", "type", "numbers", "stored as"], rows, "<><><"))
    print(printable(why))
