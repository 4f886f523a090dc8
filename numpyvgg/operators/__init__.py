"""ONNX operators beyond the textbook's: one function each, named and parameterised as the specification has them.

``Softmax_13`` is Softmax as defined from operator set 13 on, until a higher number supersedes it; where the definition
of today only adds types or optional inputs to an older one, there is one function with the oldest number. Positional
parameters are the node's inputs (None where it leaves one out), keyword parameters its attributes under their own
names, with the specification's defaults. A function that can have several outputs takes `output_count`.

Arrays come in any dtype and are never changed; what comes out may be a view of what came in.

This room, by what the operators do: `elementwise`, `activations`, `attention`, `convolution` and `pooling` (on
`windows`), `normalizations`, `products`, `reductions`, `moving`, `indexing`, `resizing`, `detection`. `signatures` is
the table of what each may be given, `shapes` has a rule for what shape comes out, `checked` holds every call to both.
It imports from `files`, `layers` and `kernels`.

Source: https://onnx.ai/onnx/operators/, each operator's page with its history.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ..errors import UnsupportedModelError
from ..files.onnx import Node, OnnxModel
from . import (
    activations,
    attention,
    convolution,
    detection,
    elementwise,
    indexing,
    moving,
    normalizations,
    pooling,
    products,
    reductions,
    resizing,
)
from .checked import Facts, Operator
from .normalizations import normalization
from .windows import resolve_pads

__all__ = ["NEWEST_OPSET", "Facts", "Operator", "bind", "find", "normalization", "resolve_pads"]

_ROOMS = (
    elementwise,
    activations,
    attention,
    convolution,
    pooling,
    normalizations,
    products,
    reductions,
    moving,
    indexing,
    resizing,
    detection,
)

#: The newest operator set that the functions here have been held against, by the `onnx` package's own test cases.
NEWEST_OPSET = 28


def find(op_type: str, opset: int) -> Callable[..., Any] | None:
    """The function for an operator as a given operator set defines it; None where there is none."""
    versions = [since for since in _VERSIONS.get(op_type, {}) if since <= opset]
    return _VERSIONS[op_type][max(versions)] if versions else None


def bind(node: Node, model: OnnxModel, max_bytes: int | None = None) -> Operator:
    """What a node calls: its operator's function with the attributes filled in, which checks what it is given.

    Raises
    ------
    UnsupportedModelError
        There is no such operator, or the node's inputs or attributes are not those of the model's operator set.
    ModelFormatError
        An attribute is not what the operator allows.
    """
    function = find(node.op_type, model.opset)
    if function is None or node.domain:
        raise UnsupportedModelError(f"{model.path}: {node}: the operator is not available in set {model.opset}")
    return Operator(node, model.path, function, max_bytes)


def _versions() -> dict[str, dict[int, Callable[..., Any]]]:
    """Operator -> the operator set from which on -> its function, read off the modules' names."""
    versions: dict[str, dict[int, Callable[..., Any]]] = {}
    for module in _ROOMS:
        for name, function in vars(module).items():
            if match := re.fullmatch(r"([A-Z][A-Za-z0-9]*)_(\d+)", name):
                versions.setdefault(match[1], {})[int(match[2])] = function
    return versions


_VERSIONS = _versions()
