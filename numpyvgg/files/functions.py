"""Functions that a file defines for itself: each call of one stands for the nodes of its body.

PyTorch's exporter of 2023 wrote every operator of its own as such a function, and whole modules.

Source: FunctionProto in onnx.proto, and https://onnx.ai/onnx/repo-docs/IR.html, "Functions".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..errors import ModelFormatError

if TYPE_CHECKING:
    from .onnx import Node

#: What a node or an initializer takes in memory, in bytes, beside its names and numbers: see `Message.charge`
NODE = 1000
_NAME = 100  # likewise a name, beside its letters
_DEEPEST = 100  # calls within calls; modules lie a dozen deep


@dataclass(frozen=True)
class Reference:
    """In a function's body, an attribute whose value is the call's attribute of this name."""

    name: str


@dataclass(frozen=True)
class Function:
    """A function's body, the names of its tensors, and the attributes that a call may leave out."""

    domain: str
    name: str
    inputs: list[str]
    outputs: list[str]
    nodes: list[Node]
    defaults: dict[str, Any]


def inlined(
    path: str, nodes: Sequence[Node], functions: Mapping[tuple[str, str], Function], charge: Callable[[int], object]
) -> list[Node]:
    """The nodes with the bodies of functions in place of their calls.

    Parameters
    ----------
    path : str
        The file, for errors.
    nodes : sequence of Node
    functions : mapping of (domain, name) to Function
    charge : callable
        Is told the bytes that a call's nodes take, and refuses too many: functions that call functions multiply.

    Raises
    ------
    ModelFormatError
        A function calls itself, or others too deep, or a call does not fit its function.
    """
    done: list[Node] = []
    taken = dict.fromkeys((name for node in nodes for name in (*node.inputs, *node.outputs)), 0)
    waiting: list[tuple[Node, tuple[tuple[str, str], ...]]] = [(node, ()) for node in reversed(nodes)]
    while waiting:
        node, within = waiting.pop()
        key = node.domain, node.op_type
        function = functions.get(key)
        if function is None:
            done.append(node)
            continue
        if key in within:
            raise ModelFormatError(f"{path}: {node}: the function calls itself")
        if len(within) == _DEEPEST:
            raise ModelFormatError(f"{path}: {node}: functions call functions, more than {_DEEPEST} deep")
        if len(node.inputs) > len(function.inputs) or len(node.outputs) > len(function.outputs):
            raise ModelFormatError(
                f"{path}: {node} has {len(node.inputs)} inputs and {len(node.outputs)} outputs, and the function takes "
                f"{len(function.inputs)} and gives {len(function.outputs)}"
            )
        names = sum(1 + len(inner.inputs) + len(inner.outputs) for inner in function.nodes)
        charge(NODE * len(function.nodes) + (_NAME + len(_place(node))) * names)
        waiting += [(inner, (*within, key)) for inner in reversed(_body(node, function, taken))]
    return done


def _place(call: Node) -> str:
    return call.name or ", ".join(call.outputs)


def _fresh(name: str, taken: dict[str, int]) -> str:
    """The name, or with a number that makes it one that nobody has `taken`; the last number is kept beside it."""
    fresh = name
    while fresh in taken:
        taken[name] += 1
        fresh = f"{name}'{taken[name]}"
    taken[fresh] = 0
    return fresh


def _body(call: Node, function: Function, taken: dict[str, int]) -> list[Node]:
    """The function's nodes on the call's tensors; the others get names of their own."""
    place = _place(call)
    names = {"": "", **dict.fromkeys(function.inputs, ""), **dict(zip(function.inputs, call.inputs, strict=False))}
    names |= {inner: outer for inner, outer in zip(function.outputs, call.outputs, strict=False) if outer}
    for name in (name for node in function.nodes for name in (*node.outputs, *node.inputs)):
        if name not in names:
            names[name] = _fresh(f"{place}/{name}", taken)
    given = {**function.defaults, **call.attributes}
    return [
        replace(
            node,
            name=f"{place}/{node.name}" if node.name else "",
            inputs=[names[name] for name in node.inputs],
            outputs=[names[name] for name in node.outputs],
            attributes={
                key: given[value.name] if isinstance(value, Reference) else value
                for key, value in node.attributes.items()
                if not isinstance(value, Reference) or value.name in given
            },
        )
        for node in function.nodes
    ]
