"""Any network made of the operators here, through ONNX Runtime's own interface.

A program written for onnxruntime runs without it by changing its import:

    import numpyvgg.session as onnxruntime

What a program asks for that would change results if ignored (an optimised copy of the model, operators compiled for
ONNX Runtime) is refused with a reason; docs/session.md lists what is accepted, ignored and refused.

This room: `plan` (from a graph to the steps of a run, `checking` their types and shapes), `inference` (the session),
`options`, `values` (OrtValue, IOBinding), `profile`, `exceptions`, `converting` (a Caffe network as ONNX); `capi` has
names that programs reach for inside of onnxruntime. It imports from `files`, `kernels`, `operators` and `graph`.
"""

from ..files.onnx import ModelMetadata
from ..version import __version__
from . import capi
from .inference import InferenceSession, NodeArg
from .options import (
    ExecutionMode,
    GraphOptimizationLevel,
    RunOptions,
    SessionOptions,
    disable_telemetry_events,
    enable_telemetry_events,
    get_all_providers,
    get_available_providers,
    get_build_info,
    get_device,
    get_version_string,
    preload_dlls,
    set_default_logger_severity,
    set_default_logger_verbosity,
    set_seed,
)
from .values import IOBinding, OrtDevice, OrtValue

__all__ = [
    "ExecutionMode",
    "GraphOptimizationLevel",
    "IOBinding",
    "InferenceSession",
    "ModelMetadata",
    "NodeArg",
    "OrtDevice",
    "OrtValue",
    "RunOptions",
    "SessionOptions",
    "__version__",
    "capi",
    "disable_telemetry_events",
    "enable_telemetry_events",
    "get_all_providers",
    "get_available_providers",
    "get_build_info",
    "get_device",
    "get_version_string",
    "preload_dlls",
    "set_default_logger_severity",
    "set_default_logger_verbosity",
    "set_seed",
]
