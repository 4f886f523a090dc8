"""ONNX Runtime's exceptions, each also one of this package's: a program may catch either.

A program written for onnxruntime catches ``onnxruntime.capi.onnxruntime_pybind11_state.InvalidArgument`` and its like;
one written for this package catches `NumpyVggError` and its kinds.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from ..errors import (
    ArgumentError,
    InternalError,
    MissingModelError,
    ModelFormatError,
    NumpyVggError,
    UnsupportedModelError,
    reported_as_ours,
)


class Fail(NumpyVggError):
    """What ONNX Runtime raises where nothing more special fits, types and shapes that do not go together among it."""


class NoSuchFile(MissingModelError):
    """The model's file does not exist."""


class InvalidGraph(ModelFormatError, Fail):
    """The file is damaged, or its graph is none."""


class NotImplemented(UnsupportedModelError):
    """The network has operators, types or sizes that are not available."""


class InvalidArgument(ArgumentError):
    """An input, a name or an option is not what the network asks for."""


class RuntimeException(InternalError):
    """Something went wrong inside of the runtime."""


class InvalidProtobuf(ModelFormatError):
    """ONNX Runtime's name for a file that is none; here that is `InvalidGraph`, which programs catch beside it."""


class NoModel(NumpyVggError):
    """Never raised here."""


class EngineError(NumpyVggError):
    """Never raised here."""


class ModelLoaded(NumpyVggError):
    """Never raised here."""


class EPFail(NumpyVggError):
    """Never raised here: there is one provider."""


_KINDS = {
    MissingModelError: NoSuchFile,
    ModelFormatError: InvalidGraph,
    UnsupportedModelError: NotImplemented,
    ArgumentError: InvalidArgument,
    InternalError: RuntimeException,
}


@contextlib.contextmanager
def as_onnxruntime(place: object) -> Iterator[None]:
    """Raise what goes wrong inside under ONNX Runtime's name for it; what nobody foresaw is this package's fault."""
    try:
        with reported_as_ours(place):
            yield
    except NumpyVggError as error:
        kind = _KINDS.get(type(error))
        if kind is None:
            raise
        raise kind(str(error)).with_traceback(error.__traceback__) from error.__cause__
