"""VGG-16 face-age networks in plain NumPy: from the bytes of the ONNX file to an age.

The network is imported at once; photographs, sessions and networks by name when they are first asked for, so that a
program's first answer comes sooner.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .errors import (
    ArgumentError,
    FetchError,
    ImageError,
    InternalError,
    MissingExtraError,
    ModelFormatError,
    NumpyVggError,
    UnsupportedModelError,
)
from .files.onnx import OnnxModel, read_onnx
from .version import __version__
from .vgg.network import VGG, VGG16

if TYPE_CHECKING:
    from .photo.predictor import Prediction, Predictor, predict
    from .session import InferenceSession, SessionOptions

__all__ = [
    "VGG",
    "VGG16",
    "ArgumentError",
    "FetchError",
    "ImageError",
    "InferenceSession",
    "InternalError",
    "MissingExtraError",
    "ModelFormatError",
    "NumpyVggError",
    "OnnxModel",
    "Prediction",
    "Predictor",
    "SessionOptions",
    "UnsupportedModelError",
    "__version__",
    "predict",
    "read_onnx",
]

_HOMES = {
    "photo.predictor": ("Prediction", "Predictor", "predict"),
    "session": ("InferenceSession", "SessionOptions"),
}
_ROOMS = ("photo", "session", "zoo")


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return import_module(f".{name}", __name__)
    for home, names in _HOMES.items():
        if name in names:
            value = globals()[name] = getattr(import_module(f".{home}", __name__), name)
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_ROOMS})
