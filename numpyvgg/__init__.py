"""VGG-16 face-age networks in plain NumPy: from the bytes of the ONNX file to an age."""

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
from .photo.predictor import Prediction, Predictor, predict
from .session import InferenceSession, SessionOptions
from .version import __version__
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
