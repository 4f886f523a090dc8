"""What a runtime is said to compute in, as opposed to what its tensors happen to be stored in.

A float32 result stays one when it is handed over as float64, as a list or as JSON; one that was computed in bfloat16
does not become float16 by being stored so. So the precision is named by whoever compares, and tolerances follow from
it: `factors` says how weights and inputs are rounded before they are multiplied, `sums` in what products are added.

A layer in short factors is judged against the exact sum of the products of *rounded* factors, not with a wider bound:
rounding to nearest is a function, and so is cutting off; a kernel that rounds in another way is another kernel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ArgumentError, reported_as_argument


@dataclass(frozen=True)
class Precision:
    """How a runtime computes.

    Attributes
    ----------
    name : str
    sums : np.dtype
        In what products are summed up.
    factors : int
        Bits of the significand to which factors are rounded; 0 where they are not.
    inputs : bool
        Whether inputs are rounded so, too, and not only weights.
    stored : bool
        Whether outputs are rounded to `factors` bits.
    truncated : bool
        Whether the other bits are cut off; else factors are rounded to nearest.
    """

    name: str
    sums: np.dtype
    factors: int = 0
    inputs: bool = True
    stored: bool = False
    truncated: bool = False

    @property
    def roundoff(self) -> float:
        """The largest relative error of a rounded factor; 0 where none is rounded."""
        return 2.0 ** (self.truncated - self.factors) if self.factors else 0.0

    def rounded(self, x: np.ndarray) -> np.ndarray:
        """Factors as they are multiplied, in float64."""
        return truncate_to(x, self.factors) if self.truncated else round_to(x, self.factors)


_F32, _F64, _F16 = (np.dtype(t) for t in (np.float32, np.float64, np.float16))

#: By the names that `compare` and the command line take.
PRECISIONS = {
    precision.name: precision
    for precision in (
        Precision("float32", _F32),
        Precision("float64", _F64),
        Precision("tf32", _F32, 11),  # products of 11 bits, float32 sums and storage
        Precision("bfloat16", _F32, 8, stored=True),
        Precision("float16", _F32, 11, stored=True),
        Precision("tf32-truncated", _F32, 11, truncated=True),
        Precision("bfloat16-truncated", _F32, 8, stored=True, truncated=True),
        Precision("bfloat16-weights", _F32, 8, inputs=False),
        Precision("float16-weights", _F32, 11, inputs=False),
        Precision("float16-sums", _F16, 11, stored=True),
    )
}


def find_precision(name: str) -> Precision:
    """The precision of that name.

    Raises
    ------
    ArgumentError
        There is none.
    """
    if name not in PRECISIONS:
        raise ArgumentError(f"no precision is called {name!r}; there are {', '.join(PRECISIONS)}")
    return PRECISIONS[name]


def round_to(x: np.ndarray, bits: int) -> np.ndarray:
    """The nearest numbers with a significand of so many bits, in float64."""
    x = x.astype(np.float64, copy=False)
    head = x * (2.0 ** (53 - bits) + 1)  # Veltkamp's split: subtracting nearly the same number leaves the leading bits
    return head - (head - x)


def truncate_to(x: np.ndarray, bits: int) -> np.ndarray:
    """Numbers with all but so many bits of their significand cut off, in float64."""
    significand, exponent = np.frexp(x.astype(np.float64, copy=False))
    return np.ldexp(np.trunc(np.ldexp(significand, bits)), exponent - bits)


def as_float64(values: Any, name: str) -> np.ndarray:
    """Anybody's floats in float64: NumPy's, ml_dtypes', PyTorch's (of any device and dtype), lists of them.

    Raises
    ------
    ArgumentError
        They are no floats.
    """
    if hasattr(values, "detach"):  # a PyTorch tensor may require gradients, be on a GPU, or be bfloat16
        values = values.detach().cpu().double() if values.is_floating_point() else values.cpu()
    with reported_as_argument(f"the runtime returned {name!r}"):
        array = np.asarray(values)
    if array.dtype.kind not in "fV" or (array.dtype.kind == "V" and array.dtype.names):
        raise ArgumentError(f"the runtime returned {name!r} as {array.dtype}, not as floats")
    try:
        return array.astype(np.float64, copy=False)
    except (TypeError, ValueError):
        raise ArgumentError(f"the runtime returned {name!r} as {array.dtype}, not as floats") from None
