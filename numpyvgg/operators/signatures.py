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
from ..files.functions import Reference

_TABLE = """
Abs                 X:number -> Y:number
Acos                input:float -> output:float
Acosh               input:float -> output:float
Add                 A:number B:number -> C:number
And                 A:bool B:bool -> C:bool
ArgMax              data:number -> reduced:int64
ArgMin              data:number -> reduced:int64
Asin                input:float -> output:float
Asinh               input:float -> output:float
Atan                input:float -> output:float
Atanh               input:float -> output:float
Attention           Q:float K:float V:float2 attn_mask:ordered? past_key:float? past_value:float2? \
                    nonpad_kv_seqlen:int64? -> Y:float present_key:float? present_value:float2? qk_matmul_output:float?
AveragePool         X:float -> Y:float
BatchNormalization  X:float scale:float2 B:float2 mean:float3 var:float3 -> \
                    Y:float running_mean:float3? running_var:float3? saved_mean:float? saved_var:float?
BitwiseAnd          A:integer B:integer -> C:integer
BitwiseNot          X:integer -> Y:integer
BitwiseOr           A:integer B:integer -> C:integer
BitwiseXor          A:integer B:integer -> C:integer
Cast                input:any -> output:any2
CastLike            input:any target_type:any2 -> output:any2
Ceil                X:float -> Y:float
Celu                X:float -> Y:float
Clip                input:number min:number? max:number? -> output:number
Compress            input:any condition:bool -> output:any
Concat              inputs:any* -> concat_result:any
ConstantOfShape     input:int64= -> output:any
Conv                X:float W:float B:float? -> Y:float
ConvTranspose       X:float W:float B:float? -> Y:float
Cos                 input:float -> output:float
Cosh                input:float -> output:float
CumSum              x:number axis:index= -> y:number
DepthToSpace        input:any -> output:any
Det                 X:float -> Y:float
Div                 A:number B:number -> C:number
Dropout             data:float ratio:float2? training_mode:bool? -> output:float mask:any?
Einsum              Inputs:number* -> Output:number
Elu                 X:float -> Y:float
Equal               A:any B:any -> C:bool
Erf                 input:float -> output:float
Exp                 input:float -> output:float
Expand              input:any shape:int64= -> output:any
EyeLike             input:any -> output:any2
Flatten             input:any -> output:any
Floor               X:float -> Y:float
Gather              data:any indices:index -> output:any
GatherElements      data:any indices:index -> output:any
GatherND            data:any indices:int64 -> output:any
Gelu                X:float -> Y:float
Gemm                A:number B:number C:number? -> Y:number
GlobalAveragePool   X:float -> Y:float
GlobalLpPool        X:float -> Y:float
GlobalMaxPool       X:float -> Y:float
Greater             A:number B:number -> C:bool
GreaterOrEqual      A:number B:number -> C:bool
GridSample          X:any grid:float -> Y:any
GroupNormalization  X:float scale:float bias:float -> Y:float
HardSigmoid         X:float -> Y:float
HardSwish           X:float -> Y:float
Hardmax             input:float -> output:float
Identity            input:any -> output:any
InstanceNormalization  input:float scale:float B:float -> output:float
IsInf               X:float -> Y:bool
IsNaN               X:float -> Y:bool
LRN                 X:float -> Y:float
LayerNormalization  X:float Scale:float B:float? -> Y:float Mean:float32? InvStdDev:float32?
LeakyRelu           X:float -> Y:float
Less                A:number B:number -> C:bool
LessOrEqual         A:number B:number -> C:bool
Log                 input:float -> output:float
LogSoftmax          input:float -> output:float
LpNormalization     input:float -> output:float
LpPool              X:float -> Y:float
MatMul              A:number B:number -> Y:number
Max                 data_0:number* -> max:number
MaxPool             X:pooled -> Y:pooled Indices:int64?
Mean                data_0:float* -> mean:float
MeanVarianceNormalization  X:float -> Y:float
Min                 data_0:number* -> min:number
Mish                X:float -> Y:float
Mod                 A:number B:number -> C:number
Mul                 A:number B:number -> C:number
Neg                 X:signed -> Y:signed
NonMaxSuppression   boxes:float32 scores:float32 max_output_boxes_per_class:int64? \
                    iou_threshold:float32? score_threshold:float32? -> selected_indices:int64
NonZero             X:any -> Y:int64
Not                 X:bool -> Y:bool
OneHot              indices:number depth:number2= values:any -> output:any
Or                  A:bool B:bool -> C:bool
PRelu               X:number slope:number -> Y:number
Pad                 data:any pads:int64= constant_value:any? axes:index=? -> output:any
Pow                 X:number Y:number2 -> Z:number
RMSNormalization    X:float scale:float2 -> Y:float2
Range               start:number= limit:number= delta:number= -> output:number
Reciprocal          X:float -> Y:float
ReduceL1            data:number axes:int64=? -> reduced:number
ReduceL2            data:number axes:int64=? -> reduced:number
ReduceLogSum        data:number axes:int64=? -> reduced:number
ReduceLogSumExp     data:number axes:int64=? -> reduced:number
ReduceMax           data:ordered axes:int64=? -> reduced:ordered
ReduceMean          data:number axes:int64=? -> reduced:number
ReduceMin           data:ordered axes:int64=? -> reduced:ordered
ReduceProd          data:number axes:int64=? -> reduced:number
ReduceSum           data:number axes:int64=? -> reduced:number
ReduceSumSquare     data:number axes:int64=? -> reduced:number
Relu                X:signed -> Y:signed
Reshape             data:any shape:int64= -> reshaped:any
Resize              X:any roi:float=? scales:float32=? sizes:int64=? -> Y:any
ReverseSequence     input:any sequence_lens:int64 -> Y:any
RoiAlign            X:float rois:float batch_indices:int64 -> Y:float
Round               X:float -> Y:float
Scatter             data:any indices:index updates:any -> output:any
ScatterElements     data:any indices:index updates:any -> output:any
ScatterND           data:any indices:int64 updates:any -> output:any
Selu                X:float -> Y:float
Shape               data:any -> shape:int64
Shrink              input:number -> output:number
Sigmoid             X:float -> Y:float
Sign                input:number -> output:number
Sin                 input:float -> output:float
Sinh                input:float -> output:float
Size                data:any -> size:int64
Slice               data:any starts:index= ends:index= axes:index=? steps:index=? -> output:any
Softmax             input:float -> output:float
Softplus            X:float -> Y:float
Softsign            input:float -> output:float
SpaceToDepth        input:any -> output:any
Split               input:any split:int64=? -> outputs:any*
Sqrt                X:float -> Y:float
Squeeze             data:any axes:int64=? -> squeezed:any
Sub                 A:number B:number -> C:number
Sum                 data_0:float* -> sum:float
Swish               X:float -> Y:float
Tan                 input:float -> output:float
Tanh                input:float -> output:float
ThresholdedRelu     X:float -> Y:float
Tile                input:any repeats:int64= -> output:any
TopK                X:number K:int64= -> Values:number Indices:int64
Transpose           data:any -> transposed:any
Trilu               input:any k:int64? -> output:any
Unsqueeze           data:any axes:int64= -> expanded:any
Upsample            X:any scales:float32= -> Y:any
Where               condition:bool X:any Y:any -> output:any
Xor                 A:bool B:bool -> C:bool
"""

_FLOATS = ("float16", "float32", "float64")
_SIGNED = (*_FLOATS, "int8", "int16", "int32", "int64")
_NUMBERS = (*_SIGNED, "uint8", "uint16", "uint32", "uint64")

#: A word of the table -> the NumPy dtypes it stands for; object is ONNX's string.
TYPES: dict[str, tuple[str, ...]] = {
    "float": _FLOATS,
    "signed": _SIGNED,
    "number": _NUMBERS,
    "integer": ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    "ordered": (*_NUMBERS, "bool"),
    "pooled": (*_FLOATS, "int8", "uint8"),
    "float32": ("float32",),
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
        if 0 < self.least < 1:
            return "greater than 0"
        return f"at least {self.least:.0f}"


_FLAG, _POSITIVE, _NOT_NEGATIVE = Allowed(0, 1), Allowed(1), Allowed(0)

#: Attribute, or Operator.attribute -> what it may be. Axes and lengths of lists, which depend on ranks: see `shapes`.
RANGES: dict[str, Allowed] = {
    "auto_pad": Allowed(words=("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID", "")),
    "allowzero": _FLAG,
    "broadcast": _FLAG,
    "align_corners": _FLAG,
    "antialias": _FLAG,
    "blocksize": _POSITIVE,
    "ceil_mode": _FLAG,
    "center_point_box": _FLAG,
    "coordinate_transformation_mode": Allowed(
        words=(
            "half_pixel",
            "half_pixel_symmetric",
            "pytorch_half_pixel",
            "align_corners",
            "asymmetric",
            "tf_crop_and_resize",
        )
    ),
    "count_include_pad": _FLAG,
    "dilations": _POSITIVE,
    "detect_negative": _FLAG,
    "detect_positive": _FLAG,
    "exclude_outside": _FLAG,
    "exclusive": _FLAG,
    "fmod": _FLAG,
    "group": _POSITIVE,
    "is_causal": _FLAG,
    "is_test": _FLAG,
    "keepdims": _FLAG,
    "k": _NOT_NEGATIVE,
    "keep_aspect_ratio_policy": Allowed(words=("stretch", "not_larger", "not_smaller")),
    "kernel_shape": _POSITIVE,
    "kv_num_heads": _POSITIVE,
    "largest": _FLAG,
    "left_window_size": Allowed(-1),
    "nearest_mode": Allowed(words=("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")),
    "noop_with_empty_axes": _FLAG,
    "num_groups": _POSITIVE,
    "num_outputs": _POSITIVE,
    "output_height": _POSITIVE,
    "output_padding": _NOT_NEGATIVE,
    "output_shape": _POSITIVE,
    "output_width": _POSITIVE,
    "p": _POSITIVE,
    "padding_mode": Allowed(words=("zeros", "border", "reflection")),
    "q_num_heads": _POSITIVE,
    "qk_matmul_output_mode": Allowed(0, 3),
    "reduction": Allowed(words=("none", "add", "mul", "max", "min")),
    "reverse": _FLAG,
    "right_window_size": Allowed(-1),
    "sampling_ratio": _NOT_NEGATIVE,
    "saturate": _FLAG,
    "select_last_index": _FLAG,
    "size": _POSITIVE,
    "sorted": _FLAG,
    "spatial": _FLAG,
    "storage_order": _FLAG,
    "strides": _POSITIVE,
    "training_mode": _FLAG,
    "transA": _FLAG,
    "transB": _FLAG,
    "upper": _FLAG,
    "Attention.scale": Allowed(math.nextafter(0, 1)),  # the operator takes its root
    "DepthToSpace.mode": Allowed(words=("DCR", "CRD")),
    "EyeLike.k": Allowed(),
    "Gelu.approximate": Allowed(words=("none", "tanh")),
    "GridSample.mode": Allowed(words=("bilinear", "linear", "nearest", "bicubic", "cubic")),
    "LpNormalization.p": Allowed(1, 2),
    "LpPool.pads": _NOT_NEGATIVE,
    "Pad.mode": Allowed(words=("constant", "reflect", "edge", "wrap")),
    "Resize.mode": Allowed(words=("nearest", "linear", "cubic")),
    "RoiAlign.coordinate_transformation_mode": Allowed(words=("half_pixel", "output_half_pixel")),
    "RoiAlign.mode": Allowed(words=("avg", "max")),
    "SpaceToDepth.mode": Allowed(words=("DCR", "CRD")),
    "Upsample.mode": Allowed(words=("nearest", "linear", "bilinear")),
    "AveragePool.pads": _NOT_NEGATIVE,
    "Conv.pads": _NOT_NEGATIVE,
    "ConvTranspose.pads": _NOT_NEGATIVE,
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
    if isinstance(value, Reference):
        return "that of a function's call, outside of a function"
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
        return TYPES[self.word if self.word in TYPES else self.word[:-1]]


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
