"""A model's nodes as a graph: which node makes each tensor, in which order they can run, and which tensors are fixed.

A tensor is *fixed* if the file alone tells its value: it is an initializer, or all that its node reads is fixed, or it
is the shape of something whose shape is fixed. Exporters write weights down behind Identity, Transpose or Cast nodes,
and sizes behind long chains of shape arithmetic; to fold them is to compute them once, when somebody asks, with the
very functions that a session would run.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from .. import operators
from ..errors import ModelFormatError, NumpyVggError
from ..files.onnx import Node, OnnxModel, constant_value
from ..files.tensor import StoredTensor, to_bfloat16
from .bfloat16 import bfloat16_tensors


class Graph:
    """A model's graph.

    Parameters
    ----------
    model : OnnxModel
    overridden : collection of str
        Initializers whose values the caller gives at each run; nothing that depends on them is fixed.
    max_bytes : int, optional
        The largest tensor that folding may make; see `operators.Operator`.

    Attributes
    ----------
    model : OnnxModel
    producers : dict of str to Node
        Tensor -> the node that computes it.
    nodes : list of Node
        In dependency order, each after those that it reads from; in the file's order wherever that will do.
    bfloat16 : frozenset of str
        The tensors that are bfloat16 by the graph: arrays of float32 here, to be rounded once they are computed.

    Raises
    ------
    ModelFormatError
        The graph has a cycle, or a tensor that comes from nowhere or from two nodes.
    """

    def __init__(self, model: OnnxModel, overridden: Collection[str] = (), max_bytes: int | None = None):
        self.model = model
        self._max_bytes = max_bytes
        self.overridden = frozenset(overridden)
        self.producers = self._find_producers()
        self.nodes = self._in_order()
        self.bfloat16 = bfloat16_tensors(model, self.nodes)
        self._foldable = self._find_foldable()
        self._values: dict[str, np.ndarray] = {}

    def _find_producers(self) -> dict[str, Node]:
        given = {value.name for value in self.model.inputs} | set(self.model.initializers)
        producers: dict[str, Node] = {}
        for node in self.model.nodes:
            if node.op_type == "Constant" and not node.domain and (len(node.outputs) != 1 or node.inputs):
                has = f"{len(node.inputs)} inputs and {len(node.outputs)} outputs"
                raise ModelFormatError(f"{self.model.path}: {node} has {has}; a constant has no input and one output")
            for name in filter(None, node.outputs):
                if name in producers or name in given:
                    raise ModelFormatError(f"{self.model.path}: {node} computes {name!r}, which exists already")
                producers[name] = node
        for node in self.model.nodes:
            for name in filter(None, node.inputs):
                if name not in producers and name not in given:
                    raise ModelFormatError(f"{self.model.path}: {node} reads {name!r}, which nothing computes")
        return producers

    def _in_order(self) -> list[Node]:
        """Depth first, with a stack of our own: a chain of nodes may be longer than Python's."""
        ordered: list[Node] = []
        done: dict[int, bool] = {}  # False: begun
        for root in self.model.nodes:
            stack = [root]
            while stack:
                node = stack[-1]
                if done.get(id(node)):
                    stack.pop()
                    continue
                done[id(node)] = False
                before = [self.producers[name] for name in node.inputs if name in self.producers]
                waiting = [producer for producer in before if not done.get(id(producer))]
                if not waiting:
                    done[id(node)] = True
                    ordered.append(stack.pop())
                elif any(done.get(id(producer)) is False for producer in waiting):
                    raise ModelFormatError(f"{self.model.path}: {node} waits for its own output")
                else:
                    stack.extend(reversed(waiting))
        return ordered

    def knows(self, name: str) -> bool:
        """Whether a tensor of this name exists."""
        return (
            name in self.producers
            or name in self.model.initializers
            or any(name == value.name for value in self.model.inputs)
        )

    # ------------------------------------------------------------------ what is fixed

    def _find_foldable(self) -> frozenset[str]:
        """The tensors that nodes compute from nothing but what is fixed."""
        fixed = set(self.model.initializers) - self.overridden
        shapes = {value.name: value.shape for value in self.model.inputs}
        foldable = set()
        for node in self.nodes:
            of_input = node.op_type == "Shape" and node.inputs and shapes.get(node.inputs[0])
            known = of_input and all(isinstance(size, int) and size >= 0 for size in of_input)
            if not node.domain and (known or all(name in fixed for name in filter(None, node.inputs))):
                names = [name for name in node.outputs if name]
                fixed.update(names)
                foldable.update(names)
        return frozenset(foldable)

    def is_fixed(self, name: str) -> bool:
        """Whether the file alone tells the tensor's value."""
        return name in self._foldable or (name in self.model.initializers and name not in self.overridden)

    def constant(self, name: str) -> np.ndarray | None:
        """The value of a tensor that is fixed, folded when first asked for; None where it is not.

        Raises
        ------
        ModelFormatError
            A node on the way to it cannot be computed.
        """
        if name in self._values:
            return self._values[name]
        if not self.is_fixed(name):
            return None
        waiting = [name] if name in self._foldable else []
        while waiting:
            tensor = waiting[-1]
            if tensor in self._values or tensor not in self._foldable:
                waiting.pop()
                continue
            node = self.producers[tensor]
            missing = [source for source in node.inputs if source in self._foldable and source not in self._values]
            if missing:
                waiting += missing
            else:
                self._fold(node)
        return self._values[name] if name in self._values else self.model.initializers[name]

    def _fold(self, node: Node) -> None:
        try:
            if node.op_type == "Constant":
                self._values[node.outputs[0]] = constant_value(node)
                return
            with np.errstate(all="ignore"):  # infinities and NaN are values
                outputs = operators.bind(node, self.model, self._max_bytes)(*self._inputs(node))
        except (NumpyVggError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise ModelFormatError(f"{self.model.path}: {node} cannot be computed: {error}") from None
        for name, value in zip(node.outputs, outputs if isinstance(outputs, tuple) else (outputs,), strict=False):
            self._values[name] = to_bfloat16(value) if name in self.bfloat16 else np.asarray(value)

    def _inputs(self, node: Node) -> list[np.ndarray | None]:
        if node.op_type == "Shape" and not self.is_fixed(node.inputs[0]):
            (sizes,) = (value.shape or () for value in self.model.inputs if value.name == node.inputs[0])
            shape = [size for size in sizes if isinstance(size, int)]
            return [np.broadcast_to(np.float32(0), shape)]  # its values do not matter, and take no memory
        return [self._known(name) if name else None for name in node.inputs]

    def _known(self, name: str) -> np.ndarray:
        return self._values[name] if name in self._values else self.model.initializers[name]

    def constant_shape(self, name: str) -> tuple[int, ...] | None:
        """The shape of a tensor that is fixed; an initializer's is known without making the array."""
        stored = self.stored(name)
        if stored is not None:
            return stored.dims
        value = self.constant(name)
        return None if value is None else value.shape

    def stored(self, name: str) -> StoredTensor | None:
        """How a fixed tensor lies in the file, where it lies there: an initializer, perhaps behind Identity nodes.

        PyTorch writes equal tensors once and hands them on through Identity.
        """
        while name in self._foldable and self.producers[name].op_type == "Identity":
            name = self.producers[name].inputs[0]
        fixed = name in self.model.initializers and name not in self.overridden
        return self.model.initializers.stored(name) if fixed else None
