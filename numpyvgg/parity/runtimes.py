"""Intermediate tensors of other runtimes, without surgery on the file.

A protobuf message followed by another one of its kind *is* their merger: lists append. So every tensor becomes an
output of the graph when a `ModelProto` that holds nothing but outputs is written behind the model's own bytes,
whatever they are.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ArgumentError, MissingExtraError, NumpyVggError
from ..files.onnx import OnnxModel, ValueInfo
from ..files.source import Source
from ..files.write import bytes_field, value_info_proto
from .compare import Runtime
from .graph import ParityGraph
from .operations import operation


def with_all_outputs(model: OnnxModel, x: np.ndarray) -> bytes:
    """The model's file with every tensor an output of the graph, but for those that a node only moves.

    Parameters
    ----------
    model : OnnxModel
        Read from a path.
    x : ndarray
        Its input; shapes follow from it.
    """
    graph = ParityGraph(model)
    already = {output.name for output in model.outputs}
    outputs = b"".join(  # OpenCV insists on type and shape
        bytes_field(12, value_info_proto(ValueInfo(node.outputs[0], "float32", value.shape)))
        for node, value in graph.forward(x, np.float32)
        if node.outputs[0] not in already and not operation(model, node).moves
    )
    return b"".join([Source.open(model.path).data, bytes_field(7, outputs)])  # joined from the map: one copy, not two


def _onnxruntime(model: OnnxModel, x: np.ndarray) -> Runtime:
    import onnxruntime

    options = onnxruntime.SessionOptions()
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


def _openvino_f32(model: OnnxModel, x: np.ndarray) -> Runtime:
    return _openvino(model, x, "f32")


def _opencv(model: OnnxModel, x: np.ndarray) -> Runtime:
    import cv2

    net = cv2.dnn.readNetFromONNX(np.frombuffer(with_all_outputs(model, x), np.uint8))
    names = net.getUnconnectedOutLayersNames()

    def run(x: np.ndarray) -> dict[str, np.ndarray]:
        net.setInput(x)
        return dict(zip(names, net.forward(names), strict=True))

    return run


def _folder(model: OnnxModel) -> Path:
    return Path(model.path).resolve().parent


#: name on the command line -> (what makes it, the package to install)
RUNTIMES: dict[str, tuple[Callable[[OnnxModel, np.ndarray], Runtime], str]] = {
    "onnxruntime": (_onnxruntime, "onnxruntime"),
    "openvino": (_openvino, "openvino"),
    "openvino-f32": (_openvino_f32, "openvino"),
    "opencv": (_opencv, "opencv-python-headless"),
}


def open_runtime(name: str, model: OnnxModel, x: np.ndarray) -> Runtime:
    """Load a model into another runtime, all its tensors exposed.

    Parameters
    ----------
    name : str
        One of `RUNTIMES`. ``openvino`` computes in what it chooses, bfloat16 where the processor has it.
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
    if name not in RUNTIMES:
        raise ArgumentError(f"no runtime is called {name!r}; there are {', '.join(RUNTIMES)}")
    make, package = RUNTIMES[name]
    try:
        runtime = make(model, x)
    except ImportError:
        raise MissingExtraError(f"comparing with {name} needs {package}: pip install {package}") from None
    except NumpyVggError:
        raise
    except Exception as error:  # each has exceptions of its own, derived from nothing in particular
        raise _refusal(name, model, error) from None

    def run(x: np.ndarray) -> Any:
        try:
            return runtime(x)
        except Exception as error:
            raise _refusal(name, model, error) from None

    return run


def _refusal(name: str, model: OnnxModel, error: Exception) -> ArgumentError:
    reason = " ".join(str(error).split())
    return ArgumentError(f"{model.path}: {name} does not run it: {reason[:300]}")
