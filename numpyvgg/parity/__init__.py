"""Compare a runtime with the exact network, layer by layer, with a tolerance that rounding theory derives.

>>> from numpyvgg.parity import assert_parity, compare
>>> print(compare("net.onnx", x, my_runtime))  # doctest: +SKIP

`bounds` has the theory, `winograd` what it says about Winograd kernels, `operations` what each operator computes,
`judge` and `compare` apply them, `result` holds and prints what they found, `runtimes` gets tensors out of ONNX
Runtime, OpenVINO and OpenCV, `golden` writes and reads them.
"""

from .compare import assert_parity, compare
from .result import LayerParity, Parity

__all__ = ["LayerParity", "Parity", "assert_parity", "compare"]
