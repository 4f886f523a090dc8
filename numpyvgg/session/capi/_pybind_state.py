"""The same names as `onnxruntime_pybind11_state`: programs import them from either."""

from numpyvgg.session.capi.onnxruntime_pybind11_state import *  # noqa: F403
