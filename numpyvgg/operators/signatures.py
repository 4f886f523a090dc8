"""The table of signatures: of which types each operator's inputs, outputs and attributes may be, and in which range.

A row reads ``Operator  inputs -> outputs``, each input and output as ``name:types``. What has the same word after the
colon has the same type within a node, whichever of the word's types that is (``float2`` is a word of its own, of the
same types as ``float``). ``?`` marks what may be left out, ``*`` what may be there any number of times, ``=`` an input
whose numbers decide the result's shape. Operator sets differ in how many of a row's inputs there are, in which
attributes, and in what used to be an attribute: that is what the functions' parameters say.

Source: the type constraints of https://onnx.ai/onnx/operators/, for the types that NumPy has.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..errors import ArgumentError

_TABLE = """
Abs                 X:number -> Y:number
Add                 A:number B:number -> C:number
ArgMax              data:number -> reduced:int64
AveragePool         X:float -> Y:float
BatchNormalization  X:float scale:float2 B:float2 mean:float3 var:float3 -> \
                    Y:float running_mean:float3? running_var:float3? saved_mean:float? saved_var:float?
Cast                input:any -> output:any2
Ceil                X:float -> Y:float
Clip                input:number min:number? max:number? -> output:number
Concat              inputs:any* -> concat_result:any
ConstantOfShape     input:int64= -> output:any
Conv                X:float W:float B:float? -> Y:float
Div                 A:number B:number -> C:number
Dropout             data:float ratio:float2? training_mode:bool? -> output:float mask:any?
Elu                 X:float -> Y:float
Equal               A:any B:any -> C:bool
Exp                 input:float -> output:float
Expand              input:any shape:int64= -> output:any
Flatten             input:any -> output:any
Floor               X:float -> Y:float
Gather              data:any indices:index -> output:any
Gemm                A:number B:number C:number? -> Y:number
GlobalAveragePool   X:float -> Y:float
GlobalMaxPool       X:float -> Y:float
Greater             A:number B:number -> C:bool
HardSigmoid         X:float -> Y:float
HardSwish           X:float -> Y:float
Identity            input:any -> output:any
InstanceNormalization  input:float scale:float B:float -> output:float
LRN                 X:float -> Y:float
LeakyRelu           X:float -> Y:float
Less                A:number B:number -> C:bool
Log                 input:float -> output:float
LogSoftmax          input:float -> output:float
MatMul              A:number B:number -> Y:number
Max                 data_0:number* -> max:number
MaxPool             X:pooled -> Y:pooled Indices:int64?
Min                 data_0:number* -> min:number
Mul                 A:number B:number -> C:number
Neg                 X:signed -> Y:signed
Not                 X:bool -> Y:bool
PRelu               X:number slope:number -> Y:number
Pad                 data:any pads:int64= constant_value:any? axes:index=? -> output:any
Pow                 X:number Y:number2 -> Z:number
Reciprocal          X:float -> Y:float
ReduceMean          data:number axes:int64=? -> reduced:number
ReduceSum           data:number axes:int64=? -> reduced:number
Relu                X:signed -> Y:signed
Reshape             data:any shape:int64= -> reshaped:any
Shape               data:any -> shape:int64
Sigmoid             X:float -> Y:float
Size                data:any -> size:int64
Slice               data:any starts:index= ends:index= axes:index=? steps:index=? -> output:any
Softmax             input:float -> output:float
Split               input:any split:int64=? -> outputs:any*
Sqrt                X:float -> Y:float
Squeeze             data:any axes:int64=? -> squeezed:any
Sub                 A:number B:number -> C:number
Sum                 data_0:float* -> sum:float
Tanh                input:float -> output:float
Tile                input:any repeats:int64= -> output:any
Transpose           data:any -> transposed:any
Unsqueeze           data:any axes:int64= -> expanded:any
Where               condition:bool X:any Y:any -> output:any
"""

_FLOATS = ("float16", "float32", "float64")
_SIGNED = (*_FLOATS, "int8", "int16", "int32", "int64")
_NUMBERS = (*_SIGNED, "uint8", "uint16", "uint32", "uint64")

#: A word of the table -> the NumPy dtypes it stands for; object is ONNX's string.
TYPES: dict[str, tuple[str, ...]] = {
    "float": _FLOATS,
    "signed": _SIGNED,
    "number": _NUMBERS,
    "pooled": (*_FLOATS, "int8", "uint8"),
    "index": ("int32", "int64"),
    "int64": ("int64",),
    "bool": ("bool",),
    "any": (*_NUMBERS, "bool", "object", "complex64", "complex128"),
}


class Allowed(NamedTuple):
    """What an attribute may be: a number within a range (each number of a list), or one of some words."""

    least: float = -math.inf
    most: float = math.inf
    words: tuple[str, ...] = ()

    def refuse(self, value: Any) -> str | None:
        """What is wrong with a value; None where nothing is."""
        if self.words:
            return None if value in self.words else f"is {value!r}, not one of {', '.join(filter(None, self.words))}"
        for number in value if isinstance(value, list) else [value]:
            if not self.least <= number <= self.most:
                return f"is {value}, and has to be {self._range()}"
        return None

    def _range(self) -> str:
        if self.most < math.inf:
            return f"{self.least:.0f} or {self.most:.0f}" if self.most - self.least == 1 else f"at most {self.most:.0f}"
        return f"at least {self.least:.0f}"


_FLAG, _POSITIVE, _NOT_NEGATIVE = Allowed(0, 1), Allowed(1), Allowed(0)

#: Attribute, or Operator.attribute -> what it may be. Axes and lengths of lists, which depend on ranks: see `shapes`.
RANGES: dict[str, Allowed] = {
    "auto_pad": Allowed(words=("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID", "")),
    "allowzero": _FLAG,
    "broadcast": _FLAG,
    "ceil_mode": _FLAG,
    "count_include_pad": _FLAG,
    "dilations": _POSITIVE,
    "group": _POSITIVE,
    "is_test": _FLAG,
    "keepdims": _FLAG,
    "kernel_shape": _POSITIVE,
    "noop_with_empty_axes": _FLAG,
    "num_outputs": _POSITIVE,
    "saturate": _FLAG,
    "select_last_index": _FLAG,
    "size": _POSITIVE,
    "spatial": _FLAG,
    "storage_order": _FLAG,
    "strides": _POSITIVE,
    "training_mode": _FLAG,
    "transA": _FLAG,
    "transB": _FLAG,
    "Pad.mode": Allowed(words=("constant", "reflect", "edge", "wrap")),
    "AveragePool.pads": _NOT_NEGATIVE,
    "MaxPool.pads": _NOT_NEGATIVE,
}

#: How a parameter's annotation is written -> the Python types of an attribute's value.
_PYTHON_TYPES: dict[str, tuple[type, str]] = {
    "int": (int, "an int"),
    "float": (float, "a float"),
    "str": (str, "a string"),
    "np.ndarray": (np.ndarray, "a tensor"),
}


def check_attribute(op_type: str, name: str, value: Any, annotation: str) -> None:
    """Whether an attribute has the type that the operator's parameter has, and lies in its range.

    Raises
    ------
    ArgumentError
    """
    wanted = annotation.removesuffix(" | None")
    if wanted == "Ints":
        words, fits = "a list of ints", isinstance(value, list) and all(isinstance(number, int) for number in value)
    else:
        kind, words = _PYTHON_TYPES[wanted]
        fits = isinstance(value, kind)
    if not fits:
        raise ArgumentError(f"attribute {name!r} is {_kind_of(value)}, not {words}")
    allowed = RANGES.get(f"{op_type}.{name}") or RANGES.get(name)
    if allowed and (reason := allowed.refuse(value)):
        raise ArgumentError(f"attribute {name!r} {reason}")


def _kind_of(value: Any) -> str:
    for kind, words in (*_PYTHON_TYPES.values(), (bytes, "bytes that are no text")):
        if isinstance(value, kind):
            return words
    return "a list" if isinstance(value, list) else "a graph"


@dataclass(frozen=True)
class Slot:
    """An input or output of a row."""

    name: str
    word: str
    optional: bool = False
    variadic: bool = False
    decides_shape: bool = False

    @property
    def types(self) -> tuple[str, ...]:
        return TYPES[self.word.rstrip("23456789") if self.word not in TYPES else self.word]


@dataclass(frozen=True)
class Signature:
    """A row of the table."""

    inputs: tuple[Slot, ...]
    outputs: tuple[Slot, ...]

    def slot(self, side: tuple[Slot, ...], index: int) -> Slot:
        """The input or output at a position; the last one may stand for many."""
        return side[min(index, len(side) - 1)]

    def most(self, side: tuple[Slot, ...]) -> float:
        return math.inf if side[-1].variadic else len(side)


def _parse(text: str) -> tuple[Slot, ...]:
    slots = []
    for item in text.split():
        name, _, word = item.partition(":")
        plain = word.rstrip("?*=")
        marks = word[len(plain) :]
        slots.append(Slot(name, plain, "?" in marks, "*" in marks, "=" in marks))
    return tuple(slots)


def _read_table() -> dict[str, Signature]:
    rows = {}
    for line in filter(None, _TABLE.splitlines()):
        op_type, _, rest = line.partition(" ")
        inputs, _, outputs = rest.partition("->")
        rows[op_type] = Signature(_parse(inputs), _parse(outputs))
    return rows


#: Operator -> its row.
SIGNATURES = _read_table()
