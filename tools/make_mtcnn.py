"""Make models/mtcnn-{p,r,o}net.onnx from the arrays in the PyPI package mtcnn 1.0.0.

    pip download --no-deps mtcnn==1.0.0
    pip install onnx joblib lz4
    python tools/make_mtcnn.py mtcnn-1.0.0-py3-none-any.whl models

The arrays are joblib's pickles, which run code when they are read: the wheel's hash is checked before. Nothing but the
order of axes changes: convolutions from [H, W, C, M] to ONNX's [M, C, H, W], the first fully connected layer from rows
that count width, height, channel to channel, height, width. Layers have the names of the paper's own definitions.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

WHEEL_SHA256 = "0a96b4868e56db9ae984449519642be6dba03240e608a67e928ebb47833e9144"
#: of each network: filters (count, kernel) and the pooling window after them, units of the first fully connected
#: layer (None: the network is convolutional throughout), its outputs in the order of their arrays, input size
NETWORKS: dict[str, tuple[list[tuple[int, int, int]], int | None, dict[str, int], tuple[int | str, int | str]]] = {
    "pnet": ([(10, 3, 2), (16, 3, 0), (32, 3, 0)], None, {"offsets": 4, "probabilities": 2}, ("H", "W")),
    "rnet": ([(28, 3, 3), (48, 3, 3), (64, 2, 0)], 128, {"offsets": 4, "probabilities": 2}, (24, 24)),
    "onet": (
        [(32, 3, 3), (64, 3, 3), (64, 3, 2), (128, 2, 0)],
        256,
        {"offsets": 4, "landmarks": 10, "probabilities": 2},
        (48, 48),
    ),
}


class Graph:
    """Nodes and arrays, each layer named by its kind and number."""

    def __init__(self, arrays: list[np.ndarray]):
        self.nodes: list[onnx.NodeProto] = []
        self.arrays = iter(arrays)
        self.initializers: list[onnx.TensorProto] = []

    def array(self, name: str, change: Callable[[np.ndarray], np.ndarray] | None = None) -> str:
        """The next array, under this name."""
        value = next(self.arrays)
        value = change(value) if change else value
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(value, np.float32), name))
        return name

    def node(self, op_type: str, name: str, inputs: list[str], output: str | None = None, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op_type, inputs, [output or name], name, **attributes))
        return output or name


def network(name: str, arrays: list[np.ndarray]) -> onnx.ModelProto:
    """One of the three networks; `arrays` as Keras orders them: kernel, bias, slopes, layer by layer."""
    convolutions, units, outputs, size = NETWORKS[name]
    graph, x = Graph(arrays), "input"
    for number, (_, kernel, pool) in enumerate(convolutions, start=1):
        x = graph.node("Conv", f"conv{number}", [x, *_weights(graph, f"conv{number}")], kernel_shape=[kernel, kernel])
        # slopes [1, 1, C] -> [C, 1, 1]
        x = graph.node("PRelu", f"prelu{number}", [x, graph.array(f"prelu{number}_slope", lambda a: a.T)])
        if pool:  # Caffe counts a window that begins inside the image, as ceil_mode does
            x = graph.node("MaxPool", f"pool{number}", [x], kernel_shape=[pool, pool], strides=[2, 2], ceil_mode=1)
    number = len(convolutions) + 1
    if units:
        x = graph.node("Flatten", "flatten", [x])
        channels = convolutions[-1][0]
        layer = f"conv{number}"  # as the paper's definitions call it, though it is fully connected
        x = graph.node("Gemm", layer, [x, *_weights(graph, layer, channels)], transB=1)
        x = graph.node("PRelu", f"prelu{number}", [x, graph.array(f"prelu{number}_slope")])
        number += 1
    for place, output in enumerate(outputs, start=1):
        layer, softmax = f"conv{number}-{place}", output == "probabilities"
        weights = _weights(graph, layer)
        y = layer if softmax else output
        kind: dict[str, Any] = {"transB": 1} if units else {"kernel_shape": [1, 1]}
        graph.node("Gemm" if units else "Conv", layer, [x, *weights], y, **kind)
        if softmax:
            graph.node("Softmax", "prob1", [y], output, axis=1)
    return _model(name, graph, outputs, size, fully_connected=units is not None)


def _weights(graph: Graph, layer: str, channels: int | None = None) -> list[str]:
    """Weight and bias of a layer, as ONNX has them; `channels` of what is flattened, where rows are to be reordered."""

    def change(weight: np.ndarray) -> np.ndarray:
        if weight.ndim == 4:
            return weight.transpose(3, 2, 0, 1)  # [H, W, C, M] -> [M, C, H, W]
        if channels is None:
            return weight.T  # [K, M] -> [M, K]
        side = round((len(weight) / channels) ** 0.5)
        return weight.reshape(side, side, channels, -1).transpose(3, 2, 1, 0).reshape(weight.shape[1], -1)  # from W H C

    return [graph.array(f"{layer}_W", change), graph.array(f"{layer}_B")]


def _model(
    name: str, graph: Graph, outputs: dict[str, int], size: tuple[int | str, int | str], fully_connected: bool
) -> onnx.ModelProto:
    def value(label: str, channels: int, spatial: tuple[int | str, ...]) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(label, TensorProto.FLOAT, ["N", channels, *spatial])

    last = () if fully_connected else ("H_out", "W_out")
    made = helper.make_graph(
        graph.nodes,
        name,
        [value("input", 3, size)],
        [value(output, channels, last) for output, channels in outputs.items()],
        graph.initializers,
        doc_string="MTCNN (Zhang, Zhang, Li, Qiao 2016); weights of the PyPI package mtcnn 1.0.0, (c) 2019-2024 "
        "Ivan de Paz Centeno, MIT licence",
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 13)], producer_name="tools/make_mtcnn.py")
    model.ir_version = 7
    onnx.checker.check_model(model, full_check=True)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("folder", type=Path)
    args = parser.parse_args()
    content = args.wheel.read_bytes()
    if hashlib.sha256(content).hexdigest() != WHEEL_SHA256:
        raise SystemExit(f"{args.wheel}: not the wheel of mtcnn 1.0.0 that this was written for")
    with zipfile.ZipFile(io.BytesIO(content)) as wheel:
        for name in NETWORKS:
            arrays = joblib.load(io.BytesIO(wheel.read(f"mtcnn/assets/weights/{name}.lz4")))
            path = args.folder / f"mtcnn-{name}.onnx"
            path.write_bytes(network(name, arrays).SerializeToString(deterministic=True))
            print(path, path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())


if __name__ == "__main__":
    main()
