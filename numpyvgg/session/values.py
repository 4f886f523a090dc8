"""Values that stay where they are between runs, under ONNX Runtime's names: on the CPU, an array is just that."""

from __future__ import annotations

import ctypes
import math
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ArgumentError, reported_as_argument, whole_number
from ..files.tensor import dtype_name

if TYPE_CHECKING:
    from .inference import InferenceSession

_ONNX_NAMES = {"float32": "float", "float64": "double", "object": "string"}


def type_name(dtype: str | None) -> str:
    """A NumPy dtype as ONNX Runtime spells it."""
    return f"tensor({_ONNX_NAMES.get(dtype, dtype)})" if dtype else "unknown"


def _dtype(element_type: Any) -> np.dtype:
    """A NumPy type, or a TensorProto.DataType's number."""
    name = dtype_name(element_type) if isinstance(element_type, int) else element_type
    if name is None:
        raise ArgumentError(f"there is no element type {element_type} in NumPy")
    with reported_as_argument(f"element type {element_type!r}"):
        return np.dtype(name)


def _element_type(array: np.ndarray) -> int | None:
    """The TensorProto.DataType of an array; None where ONNX has none."""
    name = "object" if array.dtype.kind in "US" else array.dtype.name
    return next((number for number in range(1, 16) if dtype_name(number) == name), None)


class OrtDevice:
    """Where a value lies: the CPU."""

    def __init__(self, device_type: str = "cpu", device_id: int = 0):
        if device_type != "cpu":
            raise ArgumentError(f"there is no device {device_type!r} here: NumPy computes on the CPU")
        self._type, self._id = device_type, device_id

    @staticmethod
    def make(device_type: str, device_id: int = 0) -> OrtDevice:
        return OrtDevice(device_type, device_id)

    def device_type(self) -> str:
        return self._type

    def device_id(self) -> int:
        return self._id


class OrtValue:
    """An array with ONNX Runtime's methods."""

    def __init__(self, array: np.ndarray):
        if not isinstance(array, np.ndarray | np.generic):
            raise ArgumentError(f"an OrtValue is made of an array, not of a {type(array).__name__}")
        self._array = np.asarray(array)

    @staticmethod
    def ortvalue_from_numpy(numpy_obj: np.ndarray, device_type: str = "cpu", device_id: int = 0) -> OrtValue:
        """The array itself, not a copy of it."""
        OrtDevice(device_type, device_id)
        with reported_as_argument("an OrtValue"):
            return OrtValue(np.asarray(numpy_obj))

    @staticmethod
    def ortvalue_from_shape_and_type(
        shape: Sequence[int], element_type: Any = np.float32, device_type: str = "cpu", device_id: int = 0
    ) -> OrtValue:
        """An array of that shape, for a result to be put into; its numbers are zeros."""
        OrtDevice(device_type, device_id)
        with reported_as_argument(f"an OrtValue of shape {shape!r}"):
            return OrtValue(np.zeros(tuple(shape), _dtype(element_type)))

    def numpy(self) -> np.ndarray:
        return self._array

    def shape(self) -> list[int]:
        return list(self._array.shape)

    def data_type(self) -> str:
        return type_name("object" if self._array.dtype.kind in "US" else self._array.dtype.name)

    def element_type(self) -> int:
        """The TensorProto.DataType."""
        number = _element_type(self._array)
        if number is None:
            raise ArgumentError(f"there is no element type in ONNX for NumPy's {self._array.dtype}")
        return number

    def tensor_size_in_bytes(self) -> int:
        return self._array.nbytes

    def data_ptr(self) -> int:
        return self._array.ctypes.data

    def device_name(self) -> str:
        return "cpu"

    def has_value(self) -> bool:
        return True

    def is_tensor(self) -> bool:
        return True

    def is_sparse_tensor(self) -> bool:
        return False

    def is_tensor_sequence(self) -> bool:
        return False

    def update_inplace(self, np_arr: np.ndarray) -> None:
        """Put other numbers of the same shape and type in."""
        _put(np_arr, self._array, "an OrtValue")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self._array, dtype) if copy else np.asarray(self._array, dtype)


class IOBinding:
    """Inputs and outputs that are bound once and used in many runs."""

    def __init__(self, session: InferenceSession):
        self._session = session
        self.inputs: dict[str, np.ndarray] = {}
        self.outputs: dict[str, np.ndarray | None] = {}  # where a result goes; None: to an array of its own
        self.results: list[np.ndarray] = []

    def bind_cpu_input(self, name: str, arr_on_cpu: np.ndarray) -> None:
        self.inputs[name] = arr_on_cpu

    def bind_ortvalue_input(self, name: str, ortvalue: OrtValue) -> None:
        self.inputs[name] = _array_of(ortvalue)

    def bind_input(
        self, name: str, device_type: str, device_id: int, element_type: Any, shape: Sequence[int], buffer_ptr: int
    ) -> None:
        """An array that lies at an address, as other libraries' tensors give it."""
        OrtDevice(device_type, device_id)
        self.inputs[name] = _array_at(buffer_ptr, shape, element_type)

    def bind_output(
        self,
        name: str,
        device_type: str = "cpu",
        device_id: int = 0,
        element_type: Any = None,
        shape: Sequence[int] | None = None,
        buffer_ptr: int | None = None,
    ) -> None:
        OrtDevice(device_type, device_id)
        self.outputs[name] = None if buffer_ptr is None else _array_at(buffer_ptr, shape or (), element_type)

    def bind_ortvalue_output(self, name: str, ortvalue: OrtValue) -> None:
        self.outputs[name] = _array_of(ortvalue)

    def keep(self, results: Sequence[np.ndarray]) -> None:
        """Put the results of a run where they are bound to."""
        self.results = []
        for (name, place), result in zip(self.outputs.items(), results, strict=True):
            if place is not None:
                _put(result, place, f"output {name!r}")
            self.results.append(result if place is None else place)

    def get_outputs(self) -> list[OrtValue]:
        return [OrtValue(result) for result in self.results]

    def copy_outputs_to_cpu(self) -> list[np.ndarray]:
        return list(self.results)

    def clear_binding_inputs(self) -> None:
        self.inputs.clear()

    def clear_binding_outputs(self) -> None:
        self.outputs.clear()

    def synchronize_inputs(self) -> None:
        """Nothing is under way between two calls."""

    def synchronize_outputs(self) -> None:
        """Nothing is under way between two calls."""


def _put(values: Any, place: np.ndarray, what: str) -> None:
    """Put numbers into an array of the same shape and type."""
    if not isinstance(values, np.ndarray):
        raise ArgumentError(f"{what} takes an array, not a {type(values).__name__}")
    if place.shape != values.shape or place.dtype != values.dtype:
        raise ArgumentError(
            f"{what}: {values.dtype}{list(values.shape)} does not go into {place.dtype}{list(place.shape)}"
        )
    if not place.flags.writeable:
        raise ArgumentError(f"{what}: the array that it is to go into is read-only")
    place[...] = values


def _array_of(value: Any) -> np.ndarray:
    if not isinstance(value, OrtValue):
        raise ArgumentError(f"an OrtValue is bound here, not a {type(value).__name__}")
    return value.numpy()


def _array_at(address: int, shape: Sequence[int], element_type: Any) -> np.ndarray:
    dtype = _dtype(element_type)
    if dtype.hasobject:
        raise ArgumentError("texts are no numbers that lie at an address: bind an array")
    address = whole_number("buffer_ptr", address, 1, sys.maxsize)
    with reported_as_argument(f"shape {shape!r}"):
        size = math.prod(whole_number("dimension", side, 0) for side in shape) * dtype.itemsize
    memory = (ctypes.c_byte * size).from_address(address)
    return np.ctypeslib.as_array(memory).view(dtype).reshape(tuple(shape))
