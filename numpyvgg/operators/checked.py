"""An operator as a node of a graph calls it: its attributes filled in, and all that it is given looked at first.

The same checks serve twice: when a network is opened, on what its graph tells of types and shapes, and before each
call, on the arrays themselves. Nothing that a file says reaches NumPy before the shape and the memory of every result
are known.
"""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Callable, Sequence
from functools import cache, lru_cache, partial
from typing import Any, NamedTuple

import numpy as np

from ..errors import ArgumentError, ModelFormatError, UnsupportedModelError
from ..files.onnx import Node
from ..files.tensor import BFLOAT16, dtype_name
from ..kernels.memory import memory_limit
from . import shapes
from .shapes import Shape, refuse
from .signatures import SIGNATURES, Slot, check_attribute

#: What NumPy can address: axes, and bytes.
MOST_AXES = 32 if np.lib.NumpyVersion(np.__version__) < "2.0.0" else 64
#: Numbers in an input that decides a shape; more than two for each axis mean nothing.
_MOST_NUMBERS = 2 * MOST_AXES


def default_max_bytes() -> int:
    """Half of the memory that this process may use: a result is made from something that is in memory too."""
    return memory_limit() // 2


_signature = cache(inspect.signature)  # of each function once: a network calls few functions many times


@lru_cache(1 << 10)  # a network has few kinds of nodes, however many nodes
def _misfit(function: Callable[..., Any], inputs: int, attributes: tuple[str, ...]) -> str:
    """Why a function cannot be called with so many inputs and attributes of these names; "" where it can."""
    try:
        _signature(function).bind(*[None] * inputs, **dict.fromkeys(attributes))
    except TypeError as error:
        return str(error)
    return ""


class Facts(NamedTuple):
    """What is known of a tensor; None is what is not known (yet)."""

    dtype: str | None = None
    shape: Shape | None = None
    value: np.ndarray | None = None


class Operator:
    """A node's function, checked.

    Parameters
    ----------
    node : Node
    path : str
        The file, for errors.
    function : callable
        What the node's operator means in the graph's operator set.
    max_bytes : int, optional
        The largest result that may be made; half of the memory that there is when left out.

    Attributes
    ----------
    function : callable
        What is called once its arrays are found right.
    reads : list of int
        Which inputs' numbers, not just shapes, decide the shape of the result.

    Raises
    ------
    UnsupportedModelError
        The node's inputs or attributes are not those of the graph's operator set.
    ModelFormatError
        An attribute has another type than the operator says, or lies outside of its range.
    """

    def __init__(self, node: Node, path: str, function: Callable[..., Any], max_bytes: int | None = None):
        self._node, self._path = node, path
        self._max_bytes = default_max_bytes() if max_bytes is None else max_bytes
        self._row = SIGNATURES[node.op_type]
        attributes = {key: value for key, value in node.attributes.items() if key != "consumed_inputs"}
        self._check_node(function, attributes)
        if "output_count" in _signature(function).parameters:
            attributes["output_count"] = len(node.outputs)
        self.function = partial(function, **attributes)
        self._rule = partial(shapes.rule(node.op_type), **attributes)
        self._slots = [self._row.slot(self._row.inputs, i) for i in range(len(node.inputs))]
        self.reads = [i for i, slot in enumerate(self._slots) if slot.decides_shape and node.inputs[i]]
        self._computes = any(slot.word.startswith(("float", "number")) for slot in self._row.outputs)  # or moves only
        self._checked: Any = None  # what was found right the last time
        self._halves: list[bool] = []  # which results are to be rounded to float16
        self._empty: list[Facts] = []  # its results, where none has a number

    def _check_node(self, function: Callable[..., Any], attributes: dict[str, Any]) -> None:
        node, signature = self._node, _signature(function)
        count = {"output_count": 1} if "output_count" in signature.parameters else {}
        if misfit := _misfit(function, len(node.inputs), (*attributes, *count)):
            raise UnsupportedModelError(f"{self._path}: {node} does not fit its operator set as known here: {misfit}")
        try:
            for key, value in attributes.items():
                check_attribute(node.op_type, key, value, signature.parameters[key].annotation)
            least = sum(not slot.optional for slot in self._row.outputs)
            most = self._row.most(self._row.outputs) if count else least
            if not least <= len(node.outputs) <= most:
                refuse(f"it has {len(node.outputs)} outputs, and its operator gives {most}")
            if self._row.inputs[-1].variadic and not node.inputs:
                refuse("it has no inputs")
            for i, name in enumerate(node.inputs):
                if not name and not self._row.slot(self._row.inputs, i).optional:
                    refuse(f"its input {self._row.slot(self._row.inputs, i).name!r} is left out")
        except ArgumentError as error:
            raise ModelFormatError(f"{self._path}: {node}: {error}") from None

    # ------------------------------------------------------------------ what comes out, before it does

    def infer(self, inputs: Sequence[Facts | None]) -> list[Facts]:
        """Types and shapes of the results, from what is known of the inputs (None: left out).

        Raises
        ------
        ArgumentError
            Types or shapes do not go together.
        UnsupportedModelError
            A result would be too large.
        """
        types = self._types(inputs)
        found = self._shapes(inputs)
        results = []
        for i in range(len(self._node.outputs)):
            dtype = self._result_type(self._row.slot(self._row.outputs, i), types)
            shape = found[i] if found else None
            if shape is not None:
                self._check_room(shape, dtype)
            results.append(Facts(dtype, shape))
        if isinstance(found, shapes.Needing):
            self._check_room(found.scratch, results[0].dtype)
        return results

    def _types(self, inputs: Sequence[Facts | None]) -> dict[str, str]:
        """The type that each word of the row stands for in this node."""
        types: dict[str, str] = {}
        for slot, facts in zip(self._slots, inputs, strict=False):
            if facts is None or facts.dtype is None:
                continue
            if facts.dtype not in slot.types:
                refuse(f"input {slot.name!r} is {facts.dtype}, not one of {', '.join(slot.types)}")
            if types.setdefault(slot.word, facts.dtype) != facts.dtype:
                refuse(f"input {slot.name!r} is {facts.dtype}, and has to be {types[slot.word]} as the others are")
        return types

    def _result_type(self, slot: Slot, types: dict[str, str]) -> str | None:
        if slot.word in types:
            return types[slot.word]
        if len(slot.types) == 1:
            return slot.types[0]
        attributes = self._node.attributes
        if self._node.op_type == "ConstantOfShape":
            return attributes["value"].dtype.name if "value" in attributes else "float32"
        if self._node.op_type == "EyeLike" and "dtype" not in attributes:
            return types.get("any")
        wanted = attributes.get("dtype", attributes.get("to"))
        if wanted == BFLOAT16:
            return "float32"
        return dtype_name(wanted) if isinstance(wanted, int) else None

    def _shapes(self, inputs: Sequence[Facts | None]) -> list[Shape] | None:
        """The results' shapes; None where what is known does not tell."""
        arguments: list[Any] = []
        for slot, facts in zip(self._slots, inputs, strict=False):
            if facts is None:
                arguments.append(None)
                continue
            known = facts.value if slot.decides_shape else facts.shape
            if known is None:
                return None
            if slot.decides_shape and known.size > max(_MOST_NUMBERS, len(self._node.outputs)):  # type: ignore[union-attr]
                refuse(f"input {slot.name!r} has {known.size} numbers; there are never so many axes")  # type: ignore[union-attr]
            arguments.append(known)
        while arguments and arguments[-1] is None:
            arguments.pop()
        found = self._rule(*arguments)
        return found if isinstance(found, list) or found is None else [found]

    def _check_room(self, shape: Shape, dtype: str | None) -> None:
        if len(shape) > MOST_AXES:
            raise UnsupportedModelError(f"a result would have {len(shape)} axes, and NumPy has at most {MOST_AXES}")
        if None in shape:
            return
        itemsize = np.dtype(dtype or np.uint8).itemsize
        size = math.prod(shape) * itemsize  # type: ignore[arg-type]
        if size > self._max_bytes or math.prod(filter(None, shape)) * itemsize > sys.maxsize:
            raise UnsupportedModelError(
                f"a result of shape {list(shape)} would take {size / 1e9:.3g} GB, more than max_bytes="
                f"{self._max_bytes} allows"
            )

    # ------------------------------------------------------------------ on arrays

    def check(self, *arrays: np.ndarray | None) -> None:
        """Whether the operator can be run on these arrays; raises as `infer` does."""
        seen: list[Any] = [None if array is None else (array.shape, array.dtype) for array in arrays]
        for i in self.reads:
            seen.append(arrays[i].tobytes())  # type: ignore[union-attr]
        if seen != self._checked:
            facts = [None if array is None else Facts(_name(array), array.shape, array) for array in arrays]
            results = self.infer(facts)
            none = all(one.dtype and one.shape and 0 in one.shape and None not in one.shape for one in results)
            self._empty = results if none else []
            self._halves = [one.dtype == "float16" for one in results] if self._computes else []
            self._checked = seen

    def __call__(self, *arrays: np.ndarray | None) -> Any:
        self.check(*arrays)
        if self._empty:  # nothing to compute, and NumPy knows no largest of no numbers
            made = tuple(np.empty(one.shape, one.dtype) for one in self._empty)  # type: ignore[arg-type, type-var]
            return made if len(made) > 1 else made[0]
        if any(self._halves):
            return self._in_single(arrays)
        return self.function(*arrays)

    def _in_single(self, arrays: Sequence[np.ndarray | None]) -> Any:
        """Compute on float16 in float32, and round once at the end."""
        single = [a.astype(np.float32) if a is not None and a.dtype == np.float16 else a for a in arrays]
        results = self.function(*single)
        results = results if isinstance(results, tuple) else (results,)
        rounded = [y.astype(np.float16) if half else y for y, half in zip(results, self._halves, strict=True)]
        return tuple(rounded) if len(rounded) > 1 else rounded[0]


def _name(array: np.ndarray) -> str:
    return "object" if array.dtype.kind in "OUS" else array.dtype.name
