"""Write stand-in networks with the `onnx` package, in every layout that converters and exporters produce.

The weights come from `numpyvgg.vgg.standin`; how they are written down is this tool's business, and `onnx.checker` has
the last word on each file. Tests import `Layout` and `standin_model` and use small widths:

    python tools/make_standin.py age.onnx                                # the published networks' layout
    python tools/make_standin.py small.onnx --width 0.125 --opset 22 --storage raw --no-initializers-as-inputs
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, OperatorSetIdProto, TensorProto, ValueInfoProto, helper

from numpyvgg.files.write import length_prefix
from numpyvgg.vgg.layer import CONFIGURATIONS
from numpyvgg.vgg.standin import standin_weights

NO_OPS = ("Dropout", "Reshape", "Pad", "Identity")
STORAGES = ("float_data", "raw", "external")
FLATTENS = ("Reshape", "Flatten", "Constant")
HEADS = ("Gemm", "MatMul", "Conv")
POOLS = ("AveragePool", "GlobalAveragePool")


@dataclasses.dataclass(frozen=True)
class Layout:
    """How a network is written down; the defaults are the published files' ways, to the byte."""

    opset: int = 11
    storage: str = "float_data"  # or "raw", "external"
    initializers_as_inputs: bool = False  # the custom below IR version 4
    no_ops: Sequence[str] = ("Dropout", "Reshape")  # of NO_OPS; Reshape is the one before fc7 and before fc8
    ceil_mode: bool = False  # needs opset 10
    auto_pad: bool = False  # auto_pad="NOTSET" spelled out on Conv and MaxPool
    flatten: str = "Reshape"  # before fc6; "Flatten", or "Constant": a Reshape whose shape is a Constant node
    head: str = "Gemm"  # or "Conv": fc6 as a 7x7 and fc7 and fc8 as 1x1 convolutions; or "MatMul" with an Add
    pool: str | None = None  # "AveragePool": a 1x1 one before fc6; "GlobalAveragePool": after fc8, head "Conv" only
    batch_norm: bool = False
    softmax: bool = True
    batch: int | str = 1  # a string is a symbolic dimension
    alignment: int | None = None  # of every weight's bytes: their address in the file, modulo 4


class _Graph:
    """A chain of nodes under construction: `top` is the name of the value that the next node reads."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.nodes: list[NodeProto] = []
        self.tensors: list[TensorProto] = []
        self.top = "input"

    def add(self, op_type: str, name: str, *inputs: str, **attributes: Any) -> None:
        """Append a node that reads `top` and then `inputs`."""
        self.nodes.append(helper.make_node(op_type, [self.top, *inputs], [f"{name}_Y"], name=name, **attributes))
        self.top = f"{name}_Y"

    def tensor(self, name: str, array: np.ndarray) -> str:
        """Store an initializer and return its name."""
        # Floats go in through their wire bytes: onnx.helper would go through a Python list of 134 million numbers.
        tensor = TensorProto(name=name, dims=array.shape, data_type=helper.np_dtype_to_tensor_dtype(array.dtype))
        if array.dtype == np.float32 and self.layout.storage == "float_data":
            data = array.astype("<f4").tobytes()
            tensor.MergeFromString(length_prefix(4, len(data)) + data)  # field 4: packed float_data
        elif array.dtype == np.float32 or self.layout.storage == "raw":
            tensor.raw_data = array.astype(array.dtype.newbyteorder("<")).tobytes()
        else:
            tensor.int64_data.extend(array.tolist())
        self.tensors.append(tensor)
        return name

    def conv(self, name: str, weight: np.ndarray, bias: np.ndarray, pad: int) -> None:
        """A convolution with strides 1, and a zero Pad before it where the layout has such."""
        if pad and name.endswith("_1") and "Pad" in self.layout.no_ops:
            self._zero_pad(f"{name}_pad")
        window = {"kernel_shape": weight.shape[2:], "strides": [1, 1], "pads": [pad] * 4, "dilations": [1, 1]}
        tensors = self.tensor(f"{name}_W", weight), self.tensor(f"{name}_b", bias)
        self.add("Conv", name, *tensors, group=1, **window, **self._auto_pad())

    def batch_norm(self, name: str, rng: np.random.Generator, channels: int) -> None:
        """A batch normalisation with statistics of its own that changes the signal by some tens of per cent."""
        var = rng.uniform(0.5, 2.0, channels)
        values = {
            "scale": np.sqrt(var) * rng.uniform(0.8, 1.2, channels),
            "B": 0.1 * rng.standard_normal(channels),
            "mean": 0.1 * rng.standard_normal(channels),
            "var": var,
        }
        tensors = [self.tensor(f"{name}_{key}", value.astype(np.float32)) for key, value in values.items()]
        opset = self.layout.opset
        old: dict[str, Any] = {"is_test": 1} if opset < 7 else {}  # inference, by an attribute that opset 7 dropped
        if opset < 6:
            old["consumed_inputs"] = [0, 0, 0, 1, 1]
        self.add("BatchNormalization", name, *tensors, epsilon=1e-5, **old)

    def max_pool(self, name: str) -> None:
        """The 2x2 pooling with stride 2 that ends a block."""
        ceil_mode = {"ceil_mode": 1} if self.layout.ceil_mode and self.layout.opset >= 10 else {}
        window = {"kernel_shape": [2, 2], "strides": [2, 2], "pads": [0] * 4}
        self.add("MaxPool", name, **window, **ceil_mode, **self._auto_pad())
        if "Identity" in self.layout.no_ops:
            self.add("Identity", f"{name}_identity")

    def flatten(self, name: str, form: str, features: int) -> None:
        """[N, C, H, W] -> [N, C * H * W]"""
        if form == "Flatten":
            self.add("Flatten", f"{name}_Flatten", axis=1)
            return
        batch = -1 if isinstance(self.layout.batch, str) else self.layout.batch
        shape = np.array([batch, features], dtype=np.int64)
        if form == "Constant":
            value = helper.make_tensor(f"{name}_value", TensorProto.INT64, [2], shape.tolist())
            self.nodes.append(helper.make_node("Constant", [], [f"{name}_shape"], name=f"{name}_constant", value=value))
        else:
            self.tensor(f"{name}_shape", shape)
        self.add("Reshape", f"{name}_Reshape", f"{name}_shape")

    def dense(self, name: str, weight: np.ndarray, bias: np.ndarray) -> None:
        """A fully connected layer, in the layout's form."""
        layout = self.layout
        if layout.head == "Conv":
            side = 7 if name == "fc6" else 1
            self.conv(name, weight.reshape(len(weight), -1, side, side), bias, pad=0)
            return
        if name == "fc6":
            self.flatten(name, layout.flatten, weight.shape[1])
        elif "Reshape" in layout.no_ops:
            self.flatten(name, "Reshape", weight.shape[1])
        if layout.head == "MatMul":
            old = {"broadcast": 1} if layout.opset < 7 else {}
            self.add("MatMul", f"{name}_MatMul", self.tensor(f"{name}_W", np.ascontiguousarray(weight.T)))
            self.add("Add", f"{name}_Add", self.tensor(f"{name}_B", bias), **old)
        else:
            old = {"broadcast": 1} if layout.opset < 7 else {}
            tensors = self.tensor(f"{name}_W", weight), self.tensor(f"{name}_B", bias)
            self.add("Gemm", f"{name}_Gemm", *tensors, alpha=1.0, beta=1.0, transA=0, transB=1, **old)

    def relu(self, name: str) -> None:
        """max(x, 0)"""
        old = {"consumed_inputs": [0]} if self.layout.opset < 6 else {}
        self.add("Relu", name, **old)

    def dropout(self, name: str) -> None:
        """A Dropout that drops nothing at inference; its ratio moved from an attribute to an input at opset 12."""
        if "Dropout" not in self.layout.no_ops:
            return
        if self.layout.opset >= 12:
            self.add("Dropout", name, self.tensor(f"{name}_ratio", np.array(0.5, dtype=np.float32)))
        else:
            old = {"is_test": 1} if self.layout.opset < 7 else {}
            self.add("Dropout", name, ratio=0.5, **old)

    def _zero_pad(self, name: str) -> None:
        if self.layout.opset >= 11:
            self.add("Pad", name, self.tensor(f"{name}_pads", np.zeros(8, dtype=np.int64)))
        else:
            self.add("Pad", name, pads=[0] * 8)

    def _auto_pad(self) -> dict[str, str]:
        return {"auto_pad": "NOTSET"} if self.layout.auto_pad else {}


def standin_model(
    layout: Layout | None = None,
    *,
    configuration: str = "D",
    width: float = 1 / 16,
    classes: int = 101,
    seed: int = 0,
    graph_name: str = "standin.onnx",
) -> ModelProto:
    """A VGG with the weights of `numpyvgg.vgg.standin.standin_weights`, written down in `layout`.

    Parameters
    ----------
    layout : Layout, optional
        How it is written down; external data is decided by `write_standin`, for it needs a folder.
    configuration, width, classes, seed
        As in `numpyvgg.vgg.standin.standin_weights`.
    graph_name : str
        The published files have their own.

    Returns
    -------
    onnx.ModelProto
    """
    layout = layout or Layout()
    graph = _Graph(layout)
    rng = np.random.default_rng([seed, 1000])
    weights = standin_weights(configuration, width, classes, seed)
    if "Identity" in layout.no_ops:
        graph.add("Identity", "input_identity")
    block = "1"
    for name, weight, bias in weights:
        if not name.startswith(f"conv{block}"):
            if block <= "5":
                graph.max_pool(f"pool{block}")
            if block == "5" and layout.pool == "AveragePool":
                graph.add("AveragePool", "avgpool", kernel_shape=[1, 1], strides=[1, 1])
            block = name[4] if name.startswith("conv") else "6"
        _add_layer(graph, f"fc8-{classes}" if name == "fc8" else name, weight, bias, rng)
    outputs = [layout.batch, classes]
    if layout.head == "Conv":
        if layout.pool == "GlobalAveragePool":
            graph.add("GlobalAveragePool", "global_pool")
        graph.flatten("prob", layout.flatten, classes)
    if layout.softmax:
        graph.add("Softmax", "prob", axis=1)
    return _model(graph, outputs, graph_name)


def _add_layer(graph: _Graph, name: str, weight: np.ndarray, bias: np.ndarray, rng: np.random.Generator) -> None:
    if name.startswith("conv"):
        graph.conv(name, weight, bias, pad=1)
        if graph.layout.batch_norm:
            graph.batch_norm(f"{name}_bn", rng, len(bias))
    else:
        graph.dense(name, weight, bias)
    if not name.startswith("fc8"):
        graph.relu(f"relu{name.removeprefix('conv').removeprefix('fc')}")
    if name in ("fc6", "fc7"):
        graph.dropout(f"drop{name[2]}")


def _model(graph: _Graph, output_shape: Sequence[int | str], name: str) -> ModelProto:
    layout = graph.layout
    inputs = [helper.make_tensor_value_info("input", TensorProto.FLOAT, [layout.batch, 3, 224, 224])]
    if layout.initializers_as_inputs:
        inputs += [helper.make_tensor_value_info(t.name, t.data_type, list(t.dims)) for t in graph.tensors]
    outputs = [helper.make_tensor_value_info(graph.top, TensorProto.FLOAT, list(output_shape))]
    opsets = [OperatorSetIdProto(version=layout.opset)]
    ir_version = helper.find_min_ir_version_for(opsets)
    if not layout.initializers_as_inputs:
        ir_version = max(ir_version, 4)
    model = helper.make_model(
        helper.make_graph(graph.nodes, name, inputs, outputs, value_info=_values(graph, inputs, outputs)),
        opset_imports=opsets,
        ir_version=ir_version,
        producer_name="caffe",
    )
    model.graph.initializer.extend(graph.tensors)
    if layout.alignment is not None and layout.storage != "external":
        _align(model, layout.alignment)
    return model


def _values(
    graph: _Graph, inputs: Sequence[ValueInfoProto], outputs: Sequence[ValueInfoProto]
) -> Sequence[ValueInfoProto]:
    """What the nodes make in between, with their shapes, as far as `onnx` can tell; it need not see the weights."""
    shapes = [tensor for tensor in graph.tensors if tensor.data_type == TensorProto.INT64]
    weights = [
        helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
        for tensor in graph.tensors
        if tensor.data_type != TensorProto.INT64
    ]
    skeleton = helper.make_graph(graph.nodes, "skeleton", [*inputs[:1], *weights], outputs, initializer=shapes)
    opsets = [helper.make_opsetid("", graph.layout.opset)]
    return onnx.shape_inference.infer_shapes(helper.make_model(skeleton, opset_imports=opsets)).graph.value_info


def _align(model: ModelProto, alignment: int) -> None:
    """Give each weight's bytes the wanted address modulo 4, by doc_strings in front of them that push them along."""
    floats = [tensor for tensor in model.graph.initializer if tensor.data_type == TensorProto.FLOAT and tensor.dims]
    pushers: list[NodeProto | TensorProto] = [model.graph.node[0], *floats[:-1]]
    for pusher in pushers:
        pusher.doc_string = "."
    settled = False
    while not settled:  # a push may lengthen a length field, and push further than meant
        file, position, pushed = model.SerializeToString(), 0, 0
        for tensor, pusher in zip(floats, pushers, strict=True):
            start = np.array(tensor.float_data[:16], "<f4").tobytes() or tensor.raw_data[:64]
            position = file.index(start, position)
            push = (alignment - position - pushed) % 4
            pusher.doc_string += "." * push
            pushed += push
        settled = not pushed


def write_standin(
    path: str | Path,
    layout: Layout | None = None,
    *,
    configuration: str = "D",
    width: float = 1 / 16,
    classes: int = 101,
    seed: int = 0,
) -> Path:
    """Write `standin_model` to `path`, its weights beside it as ``<path>.data`` where the layout asks for that.

    Returns
    -------
    Path
        Of the file, which `onnx.checker` has accepted.
    """
    path, layout = Path(path), layout or Layout()
    model = standin_model(
        layout, configuration=configuration, width=width, classes=classes, seed=seed, graph_name=path.name
    )
    if layout.storage == "external":
        _move_out(model, path.with_name(f"{path.name}.data"), layout.alignment or 0)
    path.write_bytes(model.SerializeToString())
    onnx.checker.check_model(path)
    return path


def _move_out(model: ModelProto, data_path: Path, alignment: int) -> None:
    """Move the float weights to a file of their own, each at an address of the wanted alignment."""
    with data_path.open("wb") as data_file:
        for tensor in model.graph.initializer:
            if tensor.data_type != TensorProto.FLOAT or not tensor.dims:
                continue
            data_file.write(bytes((alignment - data_file.tell()) % 4))
            where = {"location": data_path.name, "offset": data_file.tell(), "length": len(tensor.raw_data)}
            data_file.write(tensor.raw_data)
            tensor.ClearField("raw_data")
            tensor.data_location = TensorProto.EXTERNAL
            for key, value in where.items():
                tensor.external_data.add(key=key, value=str(value))


def main(argv: Sequence[str] | None = None) -> int:
    """The command line: one option for each choice of `Layout` and of the network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    parser.add_argument("--configuration", choices=tuple(CONFIGURATIONS), default="D")
    parser.add_argument("--width", type=float, default=1.0, help="multiple of the published width")
    parser.add_argument("--classes", type=int, default=101)
    parser.add_argument("--seed", type=int, default=0)
    default = Layout()
    parser.add_argument("--opset", type=int, choices=range(5, 23), default=default.opset, metavar="5..22")
    parser.add_argument("--storage", choices=STORAGES, default=default.storage)
    parser.add_argument("--no-ops", nargs="*", choices=NO_OPS, default=default.no_ops)
    parser.add_argument("--flatten", choices=FLATTENS, default=default.flatten)
    parser.add_argument("--head", choices=HEADS, default=default.head)
    parser.add_argument("--pool", choices=POOLS, default=default.pool)
    parser.add_argument("--batch", type=lambda text: int(text) if text.isdigit() else text, default=default.batch)
    parser.add_argument("--alignment", type=int, choices=range(4), default=default.alignment)
    for name in ("initializers_as_inputs", "ceil_mode", "auto_pad", "batch_norm", "softmax"):
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, action=argparse.BooleanOptionalAction, default=getattr(default, name))
    args = vars(parser.parse_args(argv))
    layout = Layout(**{field.name: args.pop(field.name) for field in dataclasses.fields(Layout)})
    print(write_standin(args.pop("path"), layout, **args))
    return 0


if __name__ == "__main__":
    sys.exit(main())
