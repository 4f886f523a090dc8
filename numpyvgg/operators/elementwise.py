"""Arithmetic, comparison and conversion, element by element with broadcasting."""

from __future__ import annotations

import math

import numpy as np

from ..errors import ArgumentError, UnsupportedModelError
from ..files.tensor import BFLOAT16, dtype_name, to_bfloat16
from .error_function import erf


def Clip_1(input: np.ndarray, *, min: float = -math.inf, max: float = math.inf) -> np.ndarray:
    return np.minimum(np.maximum(input, input.dtype.type(min)), input.dtype.type(max))


def Clip_11(input: np.ndarray, min: np.ndarray | None = None, max: np.ndarray | None = None) -> np.ndarray:
    output = input if min is None else np.maximum(input, min)
    return output if max is None else np.minimum(output, max)


def Exp_1(input: np.ndarray) -> np.ndarray:
    return np.exp(input)


def Log_1(input: np.ndarray) -> np.ndarray:
    return np.log(input)


def Sqrt_1(X: np.ndarray) -> np.ndarray:
    return np.sqrt(X)


def Neg_1(X: np.ndarray) -> np.ndarray:
    return np.negative(X)


def Abs_1(X: np.ndarray) -> np.ndarray:
    return np.abs(X)


def Reciprocal_1(X: np.ndarray) -> np.ndarray:
    return X.dtype.type(1) / X


def Floor_1(X: np.ndarray) -> np.ndarray:
    return np.floor(X)


def Ceil_1(X: np.ndarray) -> np.ndarray:
    return np.ceil(X)


def _along(A: np.ndarray, B: np.ndarray, axis: int | None) -> np.ndarray:
    """B shaped for the broadcasting below opset 7: its dimensions match those of A from `axis` on."""
    if axis is None or not B.ndim:
        return B
    return B.reshape(*B.shape, *[1] * (A.ndim - axis % A.ndim - B.ndim))


def Add_1(A: np.ndarray, B: np.ndarray, *, axis: int | None = None, broadcast: int = 0) -> np.ndarray:
    return A + _along(A, B, axis)


def Add_7(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    return A + B


def Sub_1(A: np.ndarray, B: np.ndarray, *, axis: int | None = None, broadcast: int = 0) -> np.ndarray:
    return A - _along(A, B, axis)


def Sub_7(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    return A - B


def Mul_1(A: np.ndarray, B: np.ndarray, *, axis: int | None = None, broadcast: int = 0) -> np.ndarray:
    return A * _along(A, B, axis)


def Mul_7(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    return A * B


def Div_1(A: np.ndarray, B: np.ndarray, *, axis: int | None = None, broadcast: int = 0) -> np.ndarray:
    return Div_7(A, _along(A, B, axis))


def Div_7(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    if A.dtype.kind == "f":
        return A / B
    if not B.all():
        raise ArgumentError("an integer is divided by 0")
    return (A - np.fmod(A, B)) // B  # integers round towards zero, as in C


def Pow_1(X: np.ndarray, Y: np.ndarray, *, axis: int | None = None, broadcast: int = 0) -> np.ndarray:
    return Pow_7(X, _along(X, Y, axis))


def Pow_7(X: np.ndarray, Y: np.ndarray) -> np.ndarray:
    if X.dtype.kind in "iu" and Y.dtype.kind == "i" and Y.size and Y.min() < 0:
        Y = Y.astype(np.float64)  # NumPy has no such power of integers; the result is cut off, as in C
    return np.power(X, Y).astype(X.dtype, copy=False)


def Sum_1(*data_0: np.ndarray) -> np.ndarray:
    total = data_0[0]
    for array in data_0[1:]:
        total = total + array
    return total


def Max_1(*data_0: np.ndarray) -> np.ndarray:
    largest = data_0[0]
    for array in data_0[1:]:
        largest = np.maximum(largest, array)
    return largest


def Min_1(*data_0: np.ndarray) -> np.ndarray:
    smallest = data_0[0]
    for array in data_0[1:]:
        smallest = np.minimum(smallest, array)
    return smallest


def Cast_1(input: np.ndarray, *, to: str) -> np.ndarray:
    names = {"FLOAT": "float32", "DOUBLE": "float64"}
    return _cast(input, names.get(to, to.lower()))


def Cast_6(input: np.ndarray, *, to: int, saturate: int = 1, round_mode: str = "up") -> np.ndarray:
    if to == BFLOAT16:
        return to_bfloat16(_cast(input, "float32"))
    name = dtype_name(to)
    if name is None:
        raise UnsupportedModelError(f"there is no data type {to} in NumPy to cast to")
    return _cast(input, name)


def _cast(input: np.ndarray, name: str) -> np.ndarray:
    if name == "object":  # ONNX's strings
        return input.astype(str).astype(object)
    if input.dtype == object and name == "bool":
        raise UnsupportedModelError("strings are not cast to bool")
    try:
        return input.astype(name)
    except (TypeError, ValueError, OverflowError) as error:
        raise ArgumentError(f"a string is no {name}: {error}") from None


def Equal_1(A: np.ndarray, B: np.ndarray, *, axis: int | None = None, broadcast: int = 0) -> np.ndarray:
    return np.equal(A, _along(A, B, axis))


def Equal_7(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    return np.equal(A, B)


def Greater_7(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    return np.greater(A, B)


def Less_7(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    return np.less(A, B)


def Not_1(X: np.ndarray) -> np.ndarray:
    return np.logical_not(X)


def Where_9(condition: np.ndarray, X: np.ndarray, Y: np.ndarray) -> np.ndarray:
    return np.where(condition, X, Y)


def Sin_7(input: np.ndarray) -> np.ndarray:
    return np.sin(input)


def Cos_7(input: np.ndarray) -> np.ndarray:
    return np.cos(input)


def Tan_7(input: np.ndarray) -> np.ndarray:
    return np.tan(input)


def Asin_7(input: np.ndarray) -> np.ndarray:
    return np.arcsin(input)


def Acos_7(input: np.ndarray) -> np.ndarray:
    return np.arccos(input)


def Atan_7(input: np.ndarray) -> np.ndarray:
    return np.arctan(input)


def Sinh_9(input: np.ndarray) -> np.ndarray:
    return np.sinh(input)


def Cosh_9(input: np.ndarray) -> np.ndarray:
    return np.cosh(input)


def Asinh_9(input: np.ndarray) -> np.ndarray:
    return np.arcsinh(input)


def Acosh_9(input: np.ndarray) -> np.ndarray:
    return np.arccosh(input)


def Atanh_9(input: np.ndarray) -> np.ndarray:
    return np.arctanh(input)


def Erf_9(input: np.ndarray) -> np.ndarray:
    return erf(input)


def Sign_9(input: np.ndarray) -> np.ndarray:
    return np.sign(input)


def Round_11(X: np.ndarray) -> np.ndarray:
    return np.rint(X)  # halves to the even neighbour


def IsNaN_9(X: np.ndarray) -> np.ndarray:
    return np.isnan(X)


def IsInf_10(X: np.ndarray, *, detect_negative: int = 1, detect_positive: int = 1) -> np.ndarray:
    return np.isinf(X) & (((X < 0) & bool(detect_negative)) | ((X > 0) & bool(detect_positive)))


def Mod_10(A: np.ndarray, B: np.ndarray, *, fmod: int = 0) -> np.ndarray:
    if A.dtype.kind == "f" and not fmod:
        raise ArgumentError("floating-point numbers have a remainder with fmod=1 only")
    return Mod_28(A, B, fmod=fmod)


def Mod_28(A: np.ndarray, B: np.ndarray, *, fmod: int = 0) -> np.ndarray:
    if A.dtype.kind in "iu" and not B.all():
        raise ArgumentError("an integer is divided by 0")
    return np.fmod(A, B) if fmod else np.mod(A, B)


def Mean_1(*data_0: np.ndarray) -> np.ndarray:
    return Sum_1(*data_0) / data_0[0].dtype.type(len(data_0))


def BitwiseAnd_18(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    return np.bitwise_and(A, B)


def BitwiseOr_18(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    return np.bitwise_or(A, B)


def BitwiseXor_18(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    return np.bitwise_xor(A, B)


def BitwiseNot_18(X: np.ndarray) -> np.ndarray:
    return np.bitwise_not(X)


def CastLike_15(input: np.ndarray, target_type: np.ndarray, *, saturate: int = 1, round_mode: str = "up") -> np.ndarray:
    return _cast(input, "object" if target_type.dtype.kind in "OUS" else target_type.dtype.name)


def And_1(A: np.ndarray, B: np.ndarray, *, axis: int | None = None, broadcast: int = 0) -> np.ndarray:
    return np.logical_and(A, _along(A, B, axis))


def And_7(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    return np.logical_and(A, B)


def Or_1(A: np.ndarray, B: np.ndarray, *, axis: int | None = None, broadcast: int = 0) -> np.ndarray:
    return np.logical_or(A, _along(A, B, axis))


def Or_7(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    return np.logical_or(A, B)


def Xor_1(A: np.ndarray, B: np.ndarray, *, axis: int | None = None, broadcast: int = 0) -> np.ndarray:
    return np.logical_xor(A, _along(A, B, axis))


def Xor_7(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    return np.logical_xor(A, B)


def Greater_1(A: np.ndarray, B: np.ndarray, *, axis: int | None = None, broadcast: int = 0) -> np.ndarray:
    return np.greater(A, _along(A, B, axis))


def Less_1(A: np.ndarray, B: np.ndarray, *, axis: int | None = None, broadcast: int = 0) -> np.ndarray:
    return np.less(A, _along(A, B, axis))


def GreaterOrEqual_12(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    return np.greater_equal(A, B)


def LessOrEqual_12(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    return np.less_equal(A, B)
