"""Compare a runtime with the exact network, layer by layer, with a tolerance that rounding theory derives.

>>> from numpyvgg.parity import assert_parity, compare
>>> print(compare("net.onnx", x, my_runtime))  # doctest: +SKIP

`bounds` has the theory of sums; `operations` says what each operator computes; `layer` puts both together for a node
with a runtime's own inputs. `judge` holds what the runtime made of them to that, with the tests of `sums`, the other
kernels of `winograd` and `excuses`, and the `layouts` that runtimes hand over. `compare` goes through a network,
`spread` judges what no bound can, `result` holds and prints what was found. `runtimes` gets tensors out of other
runtimes, `golden` writes and reads them. `selftest` makes faults and asks which of them would be seen. For build
servers: `junit`, `baseline`, `fixture` (pytest), and `bisect`, which cuts down what fails.
"""

from .compare import assert_parity, compare
from .result import LayerParity, Parity

__all__ = ["LayerParity", "Parity", "assert_parity", "compare"]
