"""Other runtimes with all their tensors exposed: one function each, which also show how to write the next.

An adapter takes the model and one image, loads the model, and returns a function that runs it: from an image
[1, C, H, W] to a dictionary of tensors by their names in the graph, as many as it can get at. Three kinds are here:

- The runtime reads ONNX and can give any output of the graph. `with_all_outputs` makes every tensor one, without
  surgery: a protobuf message followed by another one of its kind *is* their merger, lists append, so a `ModelProto`
  that holds nothing but outputs is written behind the model's own bytes, whatever they are. See `_onnxruntime`.
- It is a library of operations. `_node_by_node` walks the graph with a table of them. See `_pytorch`.
- It has a format of its own, which has to be written. See `_ncnn`.

What an adapter does not know it need not do: tensors that are missing, in another layout or under a node's name are
dealt with later. To use one of your own, give ``--against module:function``, where `function` takes an image.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ArgumentError, MissingExtraError, NumpyVggError
from ..files.caffe import CaffeModel
from ..files.onnx import OnnxModel, ValueInfo
from ..files.source import Source
from ..files.write import bytes_field, value_info_proto
from ..operators import resolve_pads
from ..session.converting import onnx_pieces
from .compare import Runtime
from .graph import ParityGraph
from .operations import operation


def with_all_outputs(model: OnnxModel, x: np.ndarray) -> bytes:
    """The model's file with every tensor an output of the graph, but for those that a node only moves.

    Parameters
    ----------
    model : OnnxModel
        Read from a path; a Caffe network is converted.
    x : ndarray
        Its input; shapes follow from it.
    """
    graph = ParityGraph(model)
    already = {output.name for output in model.outputs}
    outputs = b"".join(  # OpenCV insists on type and shape
        bytes_field(12, value_info_proto(ValueInfo(name, "float32", value.shape)))
        for node, name, value in graph.forward(x, np.float32)
        if name not in already and value.dtype.kind == "f" and not operation(model, node).moves
    )
    pieces = onnx_pieces(model)[1] if isinstance(model, CaffeModel) else [Source.open(model.path).data[:]]
    return b"".join([*pieces, bytes_field(7, outputs)])  # joined from the map: one copy, not two


def _onnxruntime(model: OnnxModel, x: np.ndarray, level: str = "ALL") -> Runtime:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    name = "ORT_DISABLE_ALL" if level == "NONE" else f"ORT_ENABLE_{level}"
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, name)
    # The bytes come without their path; weights outside the file are still found beside it.
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(_folder(model)))
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # its threads would slow ours down
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(with_all_outputs(model, x), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda x: dict(zip(names, session.run(names, {model.inputs[0].name: x}), strict=True))


def _openvino(model: OnnxModel, x: np.ndarray, precision: str | None = None) -> Runtime:
    import openvino

    core = openvino.Core()
    config = {"INFERENCE_PRECISION_HINT": precision} if precision else {}
    compiled = core.compile_model(core.read_model(with_all_outputs(model, x)), "CPU", config)

    def run(x: np.ndarray) -> dict[str, np.ndarray]:
        results = compiled(x)
        return {name: results[output] for output in compiled.outputs for name in output.get_names()}

    return run


def _opencv(model: OnnxModel, x: np.ndarray, winograd: bool = True) -> Runtime:
    import cv2

    net = cv2.dnn.readNetFromONNX(np.frombuffer(with_all_outputs(model, x), np.uint8))
    net.enableWinograd(winograd)
    names = net.getUnconnectedOutLayersNames()

    def run(x: np.ndarray) -> dict[str, np.ndarray]:
        net.setInput(x)
        return dict(zip(names, net.forward(names), strict=True))

    return run


def _folder(model: OnnxModel) -> Path:
    return Path(model.path).resolve().parent


def _tract(model: OnnxModel, x: np.ndarray) -> Runtime:
    import tract

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        path.write_bytes(with_all_outputs(model, x))
        loaded = tract.onnx().load(str(path))
    for i in range(loaded.input_count()):
        loaded.set_input_fact(i, ",".join(map(str, x.shape)) + ",f32")
    loaded.analyse()
    names = [loaded.output_name(i) for i in range(loaded.output_count())]
    runnable = loaded.into_model().into_runnable()
    return lambda x: {name: value.to_numpy() for name, value in zip(names, runnable.run([x]), strict=True)}


def _mnn(model: OnnxModel, x: np.ndarray) -> Runtime:
    import MNN

    with tempfile.TemporaryDirectory() as folder:
        source, converted = Path(folder, "model.onnx"), Path(folder, "model.mnn")
        source.write_bytes(with_all_outputs(model, x))
        # It prints; and MNN.tools, which would be the front door, installs a package when it is imported.
        command = [sys.executable, "-c", "import sys, _tools; _tools.mnnconvert(sys.argv)", "-f", "ONNX"]
        command += ["--modelFile", str(source), "--MNNModel", str(converted), "--bizCode", "numpyvgg"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        interpreter = MNN.Interpreter(str(converted))
    session = interpreter.createSession({"backend": "CPU", "precision": "high"})

    def tensor(array: np.ndarray) -> Any:
        return MNN.Tensor(array.shape, MNN.Halide_Type_Float, array, MNN.Tensor_DimensionType_Caffe)

    def run(x: np.ndarray) -> dict[str, np.ndarray]:
        interpreter.getSessionInput(session).copyFrom(tensor(np.ascontiguousarray(x)))
        interpreter.runSession(session)
        found = {}
        for name, output in interpreter.getSessionOutputAll(session).items():
            host = tensor(np.zeros(output.getShape(), np.float32))
            output.copyToHostTensor(host)
            found[name] = np.array(host.getNumpyData()).reshape(output.getShape())
        return found

    return run


def _reference(model: OnnxModel, x: np.ndarray) -> Runtime:
    import onnx
    from onnx.reference import ReferenceEvaluator

    evaluator = ReferenceEvaluator(onnx.load_from_string(with_all_outputs(model, x)))
    return lambda x: dict(zip(evaluator.output_names, evaluator.run(None, {model.inputs[0].name: x}), strict=True))


# ---------------------------------------------------------------------- libraries of operations


def _node_by_node(
    model: OnnxModel, table: Mapping[str, Callable[..., Any]], convert: Callable[[np.ndarray], Any]
) -> Runtime:
    """Run a graph with somebody's operations: each gets the node's attributes and its inputs."""
    graph = ParityGraph(model)
    if unknown := sorted({node.op_type for node in graph.nodes} - set(table)):
        raise ArgumentError(f"the adapter has no {', '.join(unknown)}; it has {', '.join(table)}")
    computed = {name for node in graph.nodes for name in node.outputs} | set(graph.inputs)
    names = {name for node in graph.nodes for name in node.inputs if name and name not in computed}
    fixed = {name: convert(np.array(graph.fixed(name))) for name in names}

    def run(x: np.ndarray) -> dict[str, Any]:
        values = {**fixed, graph.inputs[0]: convert(x)}
        for node in graph.nodes:
            inputs = [values[name] if name else None for name in node.inputs]
            values[node.outputs[0]] = table[node.op_type](node.attributes, *inputs)
        return {node.outputs[0]: values[node.outputs[0]] for node in graph.nodes}

    return run


def _window(attributes: Mapping[str, Any], x: Any, kernel: tuple[int, ...]) -> tuple[Any, ...]:
    """A window's strides, dilations and pads: all beginnings, then all ends."""
    strides, dilations = (tuple(attributes.get(key) or [1] * len(kernel)) for key in ("strides", "dilations"))
    auto_pad = attributes.get("auto_pad", "NOTSET")
    return strides, dilations, resolve_pads(x.shape[2:], kernel, strides, attributes.get("pads"), dilations, auto_pad)


def _pytorch(model: OnnxModel, x: np.ndarray) -> Runtime:
    import torch
    from torch.nn import functional

    def conv(a: Any, x: Any, weight: Any, bias: Any = None) -> Any:
        strides, dilations, (top, left, bottom, right) = _window(a, x, weight.shape[2:])
        padded = functional.pad(x, (left, right, top, bottom))
        return functional.conv2d(padded, weight, bias, strides, 0, dilations, a.get("group", 1))

    def max_pool(a: Any, x: Any) -> Any:
        strides, _, (top, left, bottom, right) = _window(a, x, tuple(a["kernel_shape"]))
        padded = functional.pad(x, (left, right, top, bottom), value=-np.inf)
        return functional.max_pool2d(padded, a["kernel_shape"], strides, ceil_mode=bool(a.get("ceil_mode", 0)))

    table: dict[str, Callable[..., Any]] = {
        "Conv": conv,
        "MaxPool": max_pool,
        "Gemm": lambda a, x, w, b=None: functional.linear(x, w if a.get("transB", 0) else w.T, b),
        "Relu": lambda a, x: functional.relu(x),
        "Softmax": lambda a, x: functional.softmax(x, a.get("axis", -1)),
        "Flatten": lambda a, x: x.flatten(1),
        "Reshape": lambda a, x, shape: x.reshape(shape.tolist()),
        "Dropout": lambda a, x, *rest: x,
        "Add": lambda a, x, y: x + y,
        "Mul": lambda a, x, y: x * y,
    }
    run: Runtime = torch.no_grad()(_node_by_node(model, table, torch.from_numpy))
    return run


def _jax(model: OnnxModel, x: np.ndarray) -> Runtime:
    import jax

    def conv(a: Any, x: Any, weight: Any, bias: Any = None) -> Any:
        strides, dilations, (top, left, bottom, right) = _window(a, x, weight.shape[2:])
        pads, groups = [(top, bottom), (left, right)], a.get("group", 1)
        y = jax.lax.conv_general_dilated(
            x, weight, strides, pads, rhs_dilation=dilations, feature_group_count=groups, precision="highest"
        )
        return y if bias is None else y + bias[:, None, None]

    def max_pool(a: Any, x: Any) -> Any:
        strides, _, (top, left, bottom, right) = _window(a, x, tuple(a["kernel_shape"]))
        pads = [(0, 0), (0, 0), (top, bottom), (left, right)]
        return jax.lax.reduce_window(x, -np.inf, jax.lax.max, (1, 1, *a["kernel_shape"]), (1, 1, *strides), pads)

    def gemm(a: Any, x: Any, weight: Any, bias: Any = 0) -> Any:
        return jax.numpy.dot(x, weight.T if a.get("transB", 0) else weight, precision="highest") + bias

    table: dict[str, Callable[..., Any]] = {
        "Conv": conv,
        "MaxPool": max_pool,
        "Gemm": gemm,
        "Relu": lambda a, x: jax.nn.relu(x),
        "Softmax": lambda a, x: jax.nn.softmax(x, a.get("axis", -1)),
        "Flatten": lambda a, x: x.reshape(x.shape[0], -1),
        "Reshape": lambda a, x, shape: x.reshape(np.asarray(shape).tolist()),
        "Dropout": lambda a, x, *rest: x,
        "Add": lambda a, x, y: x + y,
        "Mul": lambda a, x, y: x * y,
    }
    return _node_by_node(model, table, jax.numpy.asarray)


# ---------------------------------------------------------------------- a format of its own


def _ncnn_layer(op_type: str, a: Mapping[str, Any], x: Any, weight: np.ndarray | None) -> str:
    """A layer in ncnn's text format: its type, and its numbered parameters."""
    if op_type == "Conv" and weight is not None:
        (sy, sx), (dy, dx), (top, left, bottom, right) = _window(a, x, weight.shape[2:])
        sizes = f"0={len(weight)} 1={weight.shape[3]} 11={weight.shape[2]} 2={dx} 12={dy} 3={sx} 13={sy}"
        return f"Convolution {sizes} 4={left} 14={top} 15={right} 16={bottom} 6={weight.size}"
    if op_type == "MaxPool":
        (sy, sx), _, (top, left, bottom, right) = _window(a, x, tuple(a["kernel_shape"]))
        (ky, kx), mode = a["kernel_shape"], 0 if a.get("ceil_mode", 0) else 1
        return f"Pooling 0=0 1={kx} 11={ky} 2={sx} 12={sy} 3={left} 13={top} 14={right} 15={bottom} 5={mode}"
    if op_type == "Gemm" and weight is not None:
        return f"InnerProduct 0={len(weight)} 2={weight.size}"
    return {"Relu": "ReLU", "Softmax": "Softmax 0=0 1=1"}[op_type]


def _ncnn(model: OnnxModel, x: np.ndarray, **options: bool) -> Runtime:
    """A chain of layers; `options` are ncnn.Option's."""
    import ncnn

    graph, blob = ParityGraph(model), "input"
    values = {graph.inputs[0]: x, **{name: value for _, name, value in graph.forward(x, np.float32)}}
    names: dict[str, str] = {}
    layers, weights = ["Input input 0 1 input"], b""
    for node in graph.nodes:
        if node.op_type in ("Flatten", "Reshape", "Dropout"):
            continue
        arrays = [np.asarray(graph.fixed(name), np.float32) for name in node.inputs[1:]]
        weight = arrays[0].T if node.op_type == "Gemm" and not node.attributes.get("transB", 0) else (*arrays, None)[0]
        kind, *numbers = _ncnn_layer(node.op_type, node.attributes, values[node.inputs[0]], weight).split()
        if weight is not None:
            numbers.append(f"{5 if kind == 'Convolution' else 1}={int(len(arrays) > 1)}")
            weights += bytes(4) + weight.tobytes() + b"".join(array.tobytes() for array in arrays[1:])
        top = names[node.outputs[0]] = f"blob{len(names)}"
        layers.append(" ".join([kind, top, "1", "1", blob, top, *numbers]))
        blob = top
    net = ncnn.Net()
    for key in ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_storage", "int8_inference"):
        setattr(net.opt, f"use_{key}", False)
    for key, value in options.items():
        setattr(net.opt, key, value)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "net.bin").write_bytes(weights)
        text = "\n".join(["7767517", f"{len(layers)} {len(layers)}", *layers, ""])
        Path(folder, "net.param").write_text(text, encoding="ascii")
        net.load_param(str(Path(folder, "net.param")))
        net.load_model(str(Path(folder, "net.bin")))

    def run(x: np.ndarray) -> dict[str, np.ndarray]:
        extractor, pixels = net.create_extractor(), np.ascontiguousarray(x[0])
        extractor.input("input", ncnn.Mat(pixels))  # which owns nothing, and is read when tensors are asked for
        return {name: np.array(extractor.extract(blob)[1])[None] for name, blob in names.items()}

    return run


#: name on the command line -> (what makes it, the package to install)
RUNTIMES: dict[str, tuple[Callable[[OnnxModel, np.ndarray], Runtime], str]] = {
    "onnxruntime": (_onnxruntime, "onnxruntime"),
    "onnxruntime-extended": (partial(_onnxruntime, level="EXTENDED"), "onnxruntime"),
    "onnxruntime-basic": (partial(_onnxruntime, level="BASIC"), "onnxruntime"),
    "onnxruntime-none": (partial(_onnxruntime, level="NONE"), "onnxruntime"),
    "openvino": (_openvino, "openvino"),
    "openvino-f32": (partial(_openvino, precision="f32"), "openvino"),
    "opencv": (_opencv, "opencv-python-headless"),
    "opencv-plain": (partial(_opencv, winograd=False), "opencv-python-headless"),
    "tract": (_tract, "tract"),
    "mnn": (_mnn, "MNN"),
    "ncnn": (_ncnn, "ncnn"),
    "pytorch": (_pytorch, "torch"),
    "jax": (_jax, "jax"),
    "onnx.reference": (_reference, "onnx"),
}


def open_runtime(name: str, model: OnnxModel, x: np.ndarray) -> Runtime:
    """Load a model into another runtime, all its tensors exposed.

    Parameters
    ----------
    name : str
        One of `RUNTIMES`, or ``module:function`` of a function that takes an image and returns the runtime's tensors.
        ``openvino`` computes in what it chooses, bfloat16 where the processor has it.
    model : OnnxModel
        Read from a path.
    x : ndarray
        One image.

    Raises
    ------
    MissingExtraError
        The runtime is not installed.
    ArgumentError
        There is no such runtime here, or it does not take the model.
    """
    if ":" in name:
        return _caught(name, model, _function(name))
    if name not in RUNTIMES:
        raise ArgumentError(f"no runtime is called {name!r}; there are {', '.join(RUNTIMES)}, and module:function")
    make, package = RUNTIMES[name]
    try:
        runtime = make(model, x)
    except ImportError:
        raise MissingExtraError(f"comparing with {name} needs {package}: pip install {package}") from None
    except NumpyVggError:
        raise
    except Exception as error:  # each has exceptions of its own, derived from nothing in particular
        raise _refusal(name, model, error) from None

    return _caught(name, model, runtime)


def _function(name: str) -> Runtime:
    """What ``module:function`` names; modules in the current folder are found, too."""
    module, _, attribute = name.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found: Runtime = getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        raise ArgumentError(f"{name}: {error}") from None
    except AttributeError:
        raise ArgumentError(f"{name}: the module {module} has no {attribute}") from None
    if not callable(found):
        raise ArgumentError(f"{name}: is no function")
    return found


def _caught(name: str, model: OnnxModel, runtime: Runtime) -> Runtime:
    def run(x: Any) -> Any:
        try:
            return runtime(x)
        except Exception as error:
            raise _refusal(name, model, error) from None

    return run


def _refusal(name: str, model: OnnxModel, error: Exception) -> ArgumentError:
    reason = " ".join(str(error).split())
    return ArgumentError(f"{model.path}: {name} does not run it: {type(error).__name__}: {reason[:300]}")
