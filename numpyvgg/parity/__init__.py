"""Compare a runtime with the exact network, layer by layer, with a tolerance that rounding theory derives.

>>> from numpyvgg.parity import assert_parity, compare
>>> print(compare("net.onnx", x, my_runtime))  # doctest: +SKIP

`bounds` has the theory, `winograd` what it says about Winograd kernels, `operations` what each operator computes,
`judge` and `compare` apply them, `runtimes` gets tensors out of ONNX Runtime, OpenVINO and OpenCV, `golden` writes
and reads them.
"""

from .compare import LayerParity, Parity, assert_parity, compare

__all__ = ["LayerParity", "Parity", "assert_parity", "compare"]
