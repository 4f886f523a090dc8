"""The classes of onnxruntime's Python part."""

from numpyvgg.session.inference import InferenceSession, NodeArg
from numpyvgg.session.values import IOBinding, OrtValue

__all__ = ["IOBinding", "InferenceSession", "NodeArg", "OrtValue"]
