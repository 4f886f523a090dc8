"""The names that programs reach for inside of onnxruntime: exceptions, and what its compiled module exposes."""

from numpyvgg.session.capi import _pybind_state, onnxruntime_inference_collection, onnxruntime_pybind11_state

__all__ = ["_pybind_state", "onnxruntime_inference_collection", "onnxruntime_pybind11_state"]
