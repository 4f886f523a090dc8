"""VGG-16 face-age networks in plain NumPy: from the bytes of the ONNX file to an age.

Everything is imported by its name when it is first asked for, NumPy too: so a program's first answer comes sooner, and
the command can be interrupted from its first moment on.
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
from .version import __version__

if TYPE_CHECKING:
    from .files.onnx import OnnxModel, read_onnx
    from .photo.predictor import Prediction, Predictor, predict
    from .session import InferenceSession, SessionOptions
    from .vgg.network import VGG, VGG16

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
    "files.onnx": ("OnnxModel", "read_onnx"),
    "vgg.network": ("VGG", "VGG16"),
    "photo.predictor": ("Prediction", "Predictor", "predict"),
    "session": ("InferenceSession", "SessionOptions"),
}
_ROOMS = ("files", "graph", "kernels", "layers", "operators", "photo", "session", "vgg", "zoo")


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
