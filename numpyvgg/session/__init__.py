"""Any network made of the operators here, through ONNX Runtime's own interface.

A program written for onnxruntime runs without it by changing its import:

    import numpyvgg.session as onnxruntime

What a program asks for that would change results if ignored (a GPU alone, a profile, an optimised copy of the model)
is refused with a reason; docs/session.md lists what is accepted, ignored and refused.

This room: `plan` (from a graph to the steps of a run), `inference` (the session), `options`. It imports from `files`,
`kernels`, `operators` and `graph`.
"""

from ..version import __version__
from .inference import InferenceSession, NodeArg
from .options import (
    ExecutionMode,
    GraphOptimizationLevel,
    RunOptions,
    SessionOptions,
    get_all_providers,
    get_available_providers,
    get_device,
    set_default_logger_severity,
)

__all__ = [
    "ExecutionMode",
    "GraphOptimizationLevel",
    "InferenceSession",
    "NodeArg",
    "RunOptions",
    "SessionOptions",
    "__version__",
    "get_all_providers",
    "get_available_providers",
    "get_device",
    "set_default_logger_severity",
]
