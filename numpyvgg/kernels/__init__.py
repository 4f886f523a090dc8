"""The operations of a forward pass made fast: the same methods as `numpyvgg.layers.Textbook`, other means.

Seven ideas, a file each: `im2col` (convolution as a matrix product, in strips that stay in the cache), `winograd` (a
quarter of the multiplications), `depthwise` (a filter for each channel), `finishing` (what follows, while a strip is in
the cache), `pixelwise` (what needs no product, in strips too), `fully_connected` (weights read once, at memory speed)
and `threads` (who does it); `images` is how an image lies in memory between two convolutions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from ..errors import ArgumentError, whole_number
from ..layers import Activation, Operations, StoredWeight, Textbook
from . import depthwise, fully_connected, im2col, pixelwise, winograd
from .depthwise import DepthwiseConv
from .finishing import Finish, finish_in_place, relu
from .fully_connected import Linear
from .im2col import Im2colConv
from .memory import Budget, keep_freed_memory
from .threads import Scratch, Workers, available_cores, blas_is_tuned
from .winograd import WinogradConv

Conv = Im2colConv | DepthwiseConv | WinogradConv

_LARGE = 32 << 20  # bytes; below, asking the system how much memory is left would be felt

#: How convolutions are computed: by the kernels, or by the definitions in `layers`.
METHODS = ("im2col", "winograd", "textbook")
#: Threads beyond which starting them would take longer than any network's work
MOST_THREADS = 1024


def default_method() -> str:
    """How convolutions are computed where nobody says.

    By im2col, whose rounding is the smaller, if NumPy's products are a tuned BLAS's; by Winograd, with a quarter of the
    products, if not.
    """
    return "im2col" if blas_is_tuned() else "winograd"


def operations(
    conv: str | None, threads: int | None, dtype: np.dtype | str, memory: str | int | None = None
) -> Operations:
    """The operations set that computes convolutions by a method of `METHODS`.

    Where none is named it is `default_method`'s. `memory` is for `memory.Budget`.

    Raises
    ------
    ArgumentError
        There is no such method, number of threads, dtype or budget.
    """
    conv = conv or default_method()
    if conv not in METHODS:
        raise ArgumentError(f"conv={conv!r} does not exist; there are {', '.join(map(repr, METHODS))}")
    if str(dtype) not in ("float32", "float64"):
        raise ArgumentError(f"dtype={dtype!r} does not exist; there are 'float32' and 'float64'")
    if threads is not None:
        threads = whole_number("threads", threads, 1, MOST_THREADS)
    budget = Budget(memory)
    return Textbook(dtype) if conv == "textbook" else Kernels(conv, threads, dtype, budget)


class Kernels:
    """The fast operations.

    Results do not depend on the number of threads, and the fused operations give what their parts give, bit for bit.

    Parameters
    ----------
    conv : {"im2col", "winograd"}
        How convolutions are computed. `"winograd"` transforms filters in advance, for layers that it serves (3x3,
        stride 1, no dilation, no groups, 16 channels and more); the others run by im2col.
    threads : int, optional
        How many; by default the cores that this process may use.
    dtype : dtype
        What everything is computed in.
    budget : Budget, optional
        Which weights may be kept in memory.
    """

    def __init__(
        self,
        conv: str = "im2col",
        threads: int | None = None,
        dtype: np.dtype | str = "float32",
        budget: Budget | None = None,
    ):
        self.dtype = np.dtype(dtype)
        self._budget = budget or Budget()
        self._conv = conv
        self._workers = Workers(threads or available_cores())
        self._scratch = Scratch()
        keep_freed_memory()

    def __str__(self) -> str:
        threads = self._workers.threads
        return f"{self._conv}, {threads} thread{'s' if threads > 1 else ''}, {self._budget}"

    def prepare_conv(
        self,
        weight: np.ndarray,
        bias: np.ndarray | None,
        strides: Sequence[int] = (1, 1),
        pads: Sequence[int] = (0, 0, 0, 0),
        dilations: Sequence[int] = (1, 1),
        group: int = 1,
    ) -> Conv:
        """Arrange the weights ``[M, C / group, kH, kW]`` for their kernel; the result's `method` names it."""
        bias = bias if bias is None else np.array(bias, self.dtype)
        winograds = self._conv == "winograd" and winograd.serves(weight, strides, dilations, group)
        self._budget.require(
            math.prod(weight.shape) * self.dtype.itemsize * (4 if winograds else 1), "a layer's filters"
        )
        if winograds:
            return winograd.prepare(weight, bias, tuple(pads), self.dtype, self._workers, self._scratch)
        window = tuple(strides), tuple(pads), tuple(dilations)
        if depthwise.serves(weight, group):
            return depthwise.prepare(weight, bias, *window, self.dtype)
        return im2col.prepare(weight, bias, *window, group, self.dtype, self._workers, self._scratch)

    def prepare_linear(self, weight: np.ndarray | StoredWeight, bias: np.ndarray | None) -> Linear:
        """Leave the weight ``[M, K]`` where it is, in a file if need be; an array that is not aligned is copied."""
        return Linear(weight, bias if bias is None else np.array(bias, self.dtype), self.dtype, self._budget)

    def conv2d(
        self,
        x: np.ndarray,
        conv: Conv,
        addend: np.ndarray | None = None,
        activation: Activation | None = None,
        border: bool = True,
    ) -> np.ndarray:
        """Convolution and bias, perhaps an addend and an activation: ``[N, C, H, W] -> [N, M, outH, outW]``.

        With `border` a convolution that reads the result finds its padding there, without one a convolution of 1x1
        finds a matrix: see `images`.

        Raises
        ------
        ArgumentError
            Shapes do not fit.
        """
        return self._convolve(x, conv, Finish(activation, addend, border=border))

    def conv_relu(self, x: np.ndarray, conv: Conv) -> np.ndarray:
        """Convolution, bias and ReLU."""
        return self._convolve(x, conv, Finish(relu))

    def conv_relu_pool(self, x: np.ndarray, conv: Conv) -> np.ndarray:
        """Convolution, bias, ReLU and 2x2 max pooling with stride 2."""
        return self._convolve(x, conv, Finish(relu, pool=True))

    def pixelwise(
        self, function: Callable[..., np.ndarray], arrays: Sequence[np.ndarray], border: bool = True
    ) -> np.ndarray:
        """``function(*arrays)`` on all threads, where no pixel depends on another; see `pixelwise.pixelwise`."""
        return pixelwise.pixelwise(function, arrays, border, self._workers)

    def max_pool(
        self,
        x: np.ndarray,
        kernel_shape: Sequence[int],
        strides: Sequence[int],
        pads: Sequence[int],
        dilations: Sequence[int],
        out_size: Sequence[int],
        border: bool = True,
    ) -> np.ndarray:
        """Max pooling on all threads, see `pixelwise.max_pool`."""
        window = kernel_shape, strides, pads, dilations
        return pixelwise.max_pool(x, *window, out_size, border, self._workers, self._scratch)

    def linear(self, x: np.ndarray, fc: Linear) -> np.ndarray:
        """``x @ weight.T + bias``: ``[N, K] -> [N, M]``."""
        return fully_connected.linear(x, fc, self.dtype, self._workers, self._scratch)

    def linear_relu(self, x: np.ndarray, fc: Linear) -> np.ndarray:
        """The same and ReLU."""
        y = self.linear(x, fc)
        return np.maximum(y, y.dtype.type(0), out=y)

    def _convolve(self, x: np.ndarray, conv: Conv, then: Finish) -> np.ndarray:
        if x.shape[1] != conv.channels:
            raise ArgumentError(f"a convolution of {conv.channels} channels does not fit input {list(x.shape)}")
        if x.nbytes > _LARGE:  # its output may be as large
            self._budget.require(x.nbytes, f"the output of a convolution of {[*x.shape]}")
        if isinstance(conv, WinogradConv):
            own = then.addend is None and then.activation in (None, relu)
            y = winograd.convolve(x, conv, own and then.activation is relu, then.pool, self._workers, self._scratch)
            return y if own else finish_in_place(y, then, self._workers)
        kernel = im2col if isinstance(conv, Im2colConv) else depthwise
        return kernel.convolve(x, conv, then, self._workers, self._scratch)
