"""The shape of every result, from the shapes that go in: in Python's integers, before NumPy is asked for anything.

One rule an operator, named and parameterised as the operator is. An input is a tuple of its sizes, None for one that is
not known yet, as long as a network is only looked at; an input whose numbers decide the shape is an array of them. A
rule returns the shape of the result, or a list of shapes where there are several, and raises `ArgumentError` for what
does not go together. Where work needs more room than the result, as padded images do, it says so by `Needing`.

Source: the shape inference of https://onnx.ai/onnx/operators/ and what ONNX Runtime refuses.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import Any, NoReturn

import numpy as np

from .. import layers
from ..errors import ArgumentError
from .convolution import transposed_sizes
from .moving import range_length, sliced
from .resizing import targets

Size = int | None
Shape = tuple[Size, ...]


class Needing(list[Shape]):
    """Shapes of results, and the shape of what has to be held besides them."""

    def __init__(self, results: Sequence[Shape], scratch: Shape):
        super().__init__(results)
        self.scratch = scratch


# ---------------------------------------------------------------------- sizes that may be unknown


def refuse(reason: str) -> NoReturn:
    raise ArgumentError(reason)


def product(sizes: Sequence[Size]) -> Size:
    """The product of sizes; None where one is unknown."""
    return None if None in sizes else math.prod(sizes)  # type: ignore[arg-type]


def agree(a: Size, b: Size, what: str) -> Size:
    """The size that both are; either may be unknown."""
    if a is not None and b is not None and a != b:
        refuse(f"{what}: {a} and {b} are not the same")
    return b if a is None else a


def show(shape: Shape) -> list[Any]:
    return ["?" if size is None else size for size in shape]


def broadcast(*shapes: Shape) -> Shape:
    """What shapes come to, aligned at their ends, sizes of 1 stretched."""
    result: list[Size] = []
    for sizes in zip_longest(*(shape[::-1] for shape in shapes), fillvalue=1):
        large = {size for size in sizes if size is not None and size != 1}
        if len(large) > 1:
            refuse(f"shapes {', '.join(str(show(shape)) for shape in shapes)} do not broadcast")
        result.append(large.pop() if large else None if None in sizes else 1)
    return tuple(result[::-1])


def broadcast_to(shape: Shape, target: Shape, name: str) -> None:
    """Refuse a shape that broadcasting does not stretch to another."""
    pairs = zip(shape[::-1], target[::-1], strict=False)
    if len(shape) > len(target) or any(size not in (None, 1, wanted) and wanted is not None for size, wanted in pairs):
        refuse(f"{name} of shape {show(shape)} does not broadcast to {show(target)}")


def axis_of(axis: int, rank: int, name: str = "axis") -> int:
    """An axis counted from the front."""
    if not -rank <= axis < rank:
        refuse(f"{name} {axis} is outside of the {rank} axes that there are")
    return axis % rank


def axes_of(axes: Any, rank: int) -> list[int]:
    """Axes counted from the front, each at most once."""
    found = [axis_of(axis, rank, "axes:") for axis in integers(axes, "axes")]
    if len(set(found)) < len(found):
        refuse(f"axes {found}: an axis is there twice")
    return found


def integers(values: Any, name: str) -> list[int]:
    """A list of integers, be it an attribute or a tensor of one axis."""
    if isinstance(values, np.ndarray):
        if values.ndim != 1:
            refuse(f"{name} has shape {list(values.shape)}, and has to be a list")
        return [int(value) for value in values]
    return list(values)


def single(value: np.ndarray, name: str) -> Any:
    """The one number of a tensor."""
    if value.size != 1:
        refuse(f"{name} has shape {list(value.shape)}, and has to be one number")
    return value.reshape(()).item()


def vector(shape: Shape, size: Size, name: str) -> None:
    """Refuse what is not one number for each of `size`."""
    if len(shape) != 1:
        refuse(f"{name} has shape {show(shape)}, and has to be a list")
    agree(shape[0], size, f"sizes of {name} and of the channels")


# ---------------------------------------------------------------------- element by element


def Unary(X: Shape, **attributes: Any) -> Shape:
    return X


def _first(input: Shape, target_type: Shape, **attributes: Any) -> Shape:
    return input


def Broadcast(*inputs: Shape, axis: int | None = None, **attributes: Any) -> Shape:
    if axis is not None:  # below operator set 7: B's sizes are those of A from an axis on
        A, B = inputs
        axis = axis_of(axis, len(A)) if A else 0
        if axis + len(B) > len(A):
            refuse(f"shapes {show(A)}, {show(B)} do not broadcast from axis {axis} on")
        inputs = A, (*B, *[1] * (len(A) - axis - len(B)))
    return broadcast(*inputs)


def PRelu(X: Shape, slope: Shape) -> Shape:
    if len(slope) == 1 and len(X) > 2 and slope != X[-1:] and slope[0] != 1:  # below operator set 7: one a channel
        agree(slope[0], X[1], "numbers of slopes and of channels")
        return X
    broadcast_to(slope, X, "slope")
    return X


def Clip(input: Shape, min: Any = (), max: Any = (), **attributes: Any) -> Shape:
    for name, bound in (("min", min), ("max", max)):
        if isinstance(bound, tuple) and product(bound) not in (None, 1):
            refuse(f"{name} has shape {show(bound)}, and has to be one number")
    return input


# ---------------------------------------------------------------------- convolution and pooling


def _window(
    X: Shape,
    kernel_shape: Sequence[Size],
    strides: Sequence[int] | None,
    pads: Sequence[int] | None,
    dilations: Sequence[int] | None,
    auto_pad: str,
    ceil_mode: int = 0,
) -> tuple[list[Size], list[Size]]:
    """How often a window fits along each axis, and the size of the padded image."""
    rank = len(X) - 2
    if rank < 1 or len(kernel_shape) != rank:
        refuse(f"a window of {len(kernel_shape)} axes does not go with an input of shape {show(X)}")
    strides, dilations, pads = strides or [1] * rank, dilations or [1] * rank, pads or [0] * (2 * rank)
    for name, values, count in (("strides", strides, rank), ("dilations", dilations, rank), ("pads", pads, 2 * rank)):
        if len(values) != count:
            refuse(f"{name} has {len(values)} numbers where {count} are needed")
    out: list[Size] = []
    padded: list[Size] = []
    for i, (size, kernel) in enumerate(zip(X[2:], kernel_shape, strict=True)):
        if size is None or kernel is None:
            out.append(None)
            padded.append(None)
        elif auto_pad.startswith("SAME"):
            out.append(-(-size // strides[i]))
            padded.append(size + dilations[i] * kernel)
        else:
            before, after = (0, 0) if auto_pad == "VALID" else (pads[i], pads[rank + i])
            out.append(layers.output_size(size, kernel, strides[i], before, after, dilations[i], bool(ceil_mode)))
            padded.append(size + before + after)
    return out, padded


def Conv(
    X: Shape,
    W: Shape,
    B: Shape | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Sequence[int] | None = None,
    group: int = 1,
    kernel_shape: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> Needing:
    if len(W) != len(X):
        refuse(f"weight {show(W)} does not fit input {show(X)}")
    if 0 in W[2:]:
        refuse(f"weight {show(W)} has kernels without a pixel")
    for wanted, size in zip(kernel_shape or (), W[2:], strict=False):
        agree(wanted, size, f"kernel_shape {kernel_shape} and weight {show(W)}")
    filters, channels = W[:2]
    if filters is not None and filters % group:
        refuse(f"{filters} filters do not make {group} groups")
    agree(X[1], None if channels is None else channels * group, f"channels of input {show(X)} and weight {show(W)}")
    if B is not None:
        vector(B, filters, "B")
    out, padded = _window(X, kernel_shape or W[2:], strides, pads, dilations, auto_pad)
    return Needing([(X[0], filters, *out)], (X[0], X[1], *padded))


def ConvTranspose(
    X: Shape,
    W: Shape,
    B: Shape | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Sequence[int] | None = None,
    group: int = 1,
    kernel_shape: Sequence[int] | None = None,
    output_padding: Sequence[int] | None = None,
    output_shape: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> Shape | Needing:
    rank = len(X) - 2
    if rank < 1 or len(W) != len(X):
        refuse(f"weight {show(W)} does not fit input {show(X)}")
    lists = {"strides": strides, "dilations": dilations, "output_padding": output_padding, "kernel_shape": kernel_shape}
    for name, values, count in (*((name, values, rank) for name, values in lists.items()), ("pads", pads, 2 * rank)):
        if values and len(values) != count:
            refuse(f"{name} has {len(values)} numbers where {count} are needed")
    if output_shape and len(output_shape) not in (rank, rank + 2):
        refuse(f"output_shape {output_shape} has not the {rank} axes of the image")
    for wanted, size in zip(kernel_shape or (), W[2:], strict=False):
        agree(wanted, size, f"kernel_shape {kernel_shape} and weight {show(W)}")
    agree(X[1], W[0], f"channels of input {show(X)} and weight {show(W)}")
    if W[0] is not None and W[0] % group:
        refuse(f"{W[0]} channels do not make {group} groups")
    filters = None if W[1] is None else W[1] * group
    if B is not None:
        vector(B, filters, "B")
    if None in (*X[2:], *W[2:]):
        return (X[0], filters, *[None] * rank)
    strides, dilations = strides or [1] * rank, dilations or [1] * rank
    image: Any = X[2:]
    kernel: Any = W[2:]
    sizes, _ = transposed_sizes(
        image,
        kernel,
        strides,
        pads,
        dilations,
        auto_pad,
        output_padding,
        output_shape,
    )
    if min(sizes) < 1:
        refuse(f"nothing is left: the image would be {sizes}")
    return Needing([(X[0], filters, *sizes)], (X[0], filters, *W[2:], *X[2:]))


def _pooled(X: Shape, *, output_count: int = 1, ceil_mode: int = 0, **attributes: Any) -> Needing:
    kernel_shape, pads = attributes["kernel_shape"], attributes.get("pads")
    dilations = attributes.get("dilations")
    auto_pad = attributes.get("auto_pad", "NOTSET")
    out, padded = _window(X, kernel_shape, attributes.get("strides"), pads, dilations, auto_pad, ceil_mode)
    if auto_pad in ("NOTSET", "") and any(pad >= k for pad, k in zip(pads or (), [*kernel_shape] * 2, strict=False)):
        refuse(f"pads {pads} are not smaller than kernel_shape {kernel_shape}: a window would see padding alone")
    return Needing([(*X[:2], *out)] * output_count, (*X[:2], *_trimmed(X, out, padded, attributes)))


def _trimmed(X: Shape, out: list[Size], padded: list[Size], attributes: dict[str, Any]) -> list[Size]:
    """What `windows` keeps of a padded image: less where most of the window sees padding alone."""
    rank = len(X) - 2
    strides, dilations = (attributes.get(key) or [1] * rank for key in ("strides", "dilations"))
    return [
        None if size is None or n is None else min(around, size + 2 * (n - 1) * stride + 3 * dilation)
        for size, n, around, stride, dilation in zip(X[2:], out, padded, strides, dilations, strict=True)
    ]


def GlobalPool(X: Shape, **attributes: Any) -> Shape:
    if len(X) < 2:
        refuse(f"input {show(X)} has no channels")
    return (*X[:2], *[1] * (len(X) - 2))


# ---------------------------------------------------------------------- normalisation


def BatchNormalization(
    X: Shape,
    scale: Shape,
    B: Shape,
    mean: Shape,
    var: Shape,
    *,
    spatial: int = 1,
    output_count: int = 1,
    **attributes: Any,
) -> list[Shape]:
    channels = X[1] if len(X) > 1 else 1
    for name, shape in (("scale", scale), ("B", B), ("mean", mean), ("var", var)):
        if spatial:
            vector(shape, channels, name)
        else:
            agree(product(shape), product(X[1:]), f"sizes of {name} and of an image")
    return [X, *[mean, var, mean, var][: output_count - 1]]


def InstanceNormalization(input: Shape, scale: Shape, B: Shape, **attributes: Any) -> Shape:
    if len(input) < 3:
        refuse(f"input {show(input)} has no pixels: an instance has three axes and more")
    vector(scale, input[1], "scale")
    vector(B, input[1], "B")
    return input


def LayerNormalization(
    X: Shape, Scale: Shape, B: Shape | None = None, *, axis: int = -1, output_count: int = 1, **attributes: Any
) -> list[Shape]:
    axis = axis_of(axis, len(X))
    for name, shape in (("Scale", Scale), ("B", B)):
        if shape is not None:
            broadcast_to(shape, X, name)
    statistics = (*X[:axis], *[1] * (len(X) - axis))
    return [X, statistics, statistics][:output_count]


def RMSNormalization(X: Shape, scale: Shape, *, axis: int = -1, **attributes: Any) -> Shape:
    axis_of(axis, len(X))
    broadcast_to(scale, X, "scale")
    return X


def GroupNormalization(X: Shape, scale: Shape, bias: Shape, *, num_groups: int, **attributes: Any) -> Shape:
    if len(X) < 2:
        refuse(f"input {show(X)} has no channels")
    if X[1] is not None and X[1] % num_groups:
        refuse(f"{X[1]} channels do not make {num_groups} groups")
    each = X[1] if "stash_type" in attributes or scale != (num_groups,) else num_groups  # below operator set 21
    vector(scale, each, "scale")
    vector(bias, each, "bias")
    return X


def MeanVarianceNormalization(X: Shape, *, axes: Sequence[int] | None = None) -> Shape:
    axes_of(axes or (0, 2, 3), len(X))
    return X


def LRN(X: Shape, *, size: int, **attributes: Any) -> Shape:
    if len(X) < 3:
        refuse(f"input {show(X)} has no channels and pixels")
    return X


def Dropout(data: Shape, ratio: Any = (), training_mode: Shape = (), *, output_count: int = 1, **a: Any) -> list[Shape]:
    for name, shape in (("ratio", ratio), ("training_mode", training_mode)):
        if isinstance(shape, tuple) and product(shape) not in (None, 1):
            refuse(f"{name} has shape {show(shape)}, and has to be one number")
    return [data] * output_count


def Along(input: Shape, *, axis: int = -1, **attributes: Any) -> Shape:
    if input or axis != 1:  # one number, and the default of old
        axis_of(axis, len(input))
    return input


# ---------------------------------------------------------------------- products


def MatMul(A: Shape, B: Shape) -> Shape:
    if not A or not B:
        refuse(f"there is no product of {show(A)} and {show(B)}")
    agree(A[-1], B[-2] if len(B) > 1 else B[0], f"inner sizes of {show(A)} and {show(B)}")
    return (*broadcast(A[:-2], B[:-2]), *A[-2:-1], *(B[-1:] if len(B) > 1 else ()))


def Gemm(A: Shape, B: Shape, C: Shape | None = None, *, transA: int = 0, transB: int = 0, **attributes: Any) -> Shape:
    if len(A) != 2 or len(B) != 2:
        refuse(f"{show(A)} and {show(B)}: both have to be matrices")
    (M, K), (L, N) = A[:: -1 if transA else 1], B[:: -1 if transB else 1]
    agree(K, L, f"inner sizes of {show(A)} and {show(B)}")
    if C is not None:
        broadcast_to(C, (M, N), "C")
    return M, N


def Einsum(*Inputs: Shape, equation: str) -> Shape:
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(Inputs):
        refuse(f"equation {equation!r} speaks of {len(terms)} inputs, not of {len(Inputs)}")
    sizes: dict[str, Size] = {}
    wide: list[Shape] = []  # what "..." stands for in each term
    for term, shape in zip(terms, Inputs, strict=True):
        before, dots, after = term.partition("...")
        if len(before + after) > len(shape) or (not dots and len(before) != len(shape)):
            refuse(f"term {term!r} of the equation does not go with {show(shape)}")
        rest = len(shape) - len(after)
        wide.append(shape[len(before) : rest] if dots else ())
        within: dict[str, Size] = {}  # a diagonal does not broadcast
        for letter, size in (*zip(before, shape, strict=False), *zip(after, shape[rest:], strict=True)):
            if not letter.isalpha() or not letter.isascii():
                refuse(f"equation {equation!r} has {letter!r}, which is no letter")
            within[letter] = agree(within.get(letter), size, f"sizes of {letter!r} in {term!r}")
            known = sizes.get(letter, 1)
            sizes[letter] = size if known == 1 else known if size == 1 else agree(known, size, f"sizes of {letter!r}")
    if not arrow:
        letters = "".join(term.replace("...", "") for term in terms)
        right = "..." * ("..." in left) + "".join(sorted(c for c in sizes if letters.count(c) == 1))
    before, dots, after = right.partition("...")
    if not set(before + after) <= set(sizes) or len(set(before + after)) < len(before + after):
        refuse(f"equation {equation!r}: {right!r} is no result of {left!r}")
    return (*(sizes[c] for c in before), *(broadcast(*wide) if dots else ()), *(sizes[c] for c in after))


def Det(X: Shape) -> Shape:
    if len(X) < 2:
        refuse(f"{show(X)} is no matrix")
    agree(X[-2], X[-1], f"rows and columns of {show(X)}")
    return X[:-2]


# ---------------------------------------------------------------------- along axes


def Reduce(
    data: Shape, axes: Any = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0, **attributes: Any
) -> Shape:
    chosen = [] if axes is None else axes_of(axes, len(data))
    if not chosen:
        if noop_with_empty_axes:
            return data
        chosen = list(range(len(data)))
    if keepdims:
        return tuple(1 if i in chosen else size for i, size in enumerate(data))
    return tuple(size for i, size in enumerate(data) if i not in chosen)


def ArgReduce(data: Shape, *, axis: int = 0, keepdims: int = 1, **attributes: Any) -> Shape:
    axis = axis_of(axis, len(data))
    if data[axis] == 0:
        refuse(f"axis {axis} of {show(data)} is empty: it has no largest and no smallest element")
    return Reduce(data, [axis], keepdims=keepdims)


def CumSum(x: Shape, axis: Any, **attributes: Any) -> Shape:
    axis_of(single(axis, "axis"), len(x))
    return x


def TopK(
    X: Shape, K: Any = None, *, k: int | None = None, axis: int = -1, output_count: int = 2, **a: Any
) -> list[Shape]:
    axis = axis_of(axis, len(X))
    count = k if k is not None else single(K, "K")
    size = X[axis]
    if count < 0 or (size is not None and count > size):
        refuse(f"K is {count}, and axis {axis} of {show(X)} has not so many")
    return [(*X[:axis], count, *X[axis + 1 :])] * 2


# ---------------------------------------------------------------------- moving


def Flatten(input: Shape, *, axis: int = 1) -> Shape:
    if not -len(input) <= axis <= len(input):
        refuse(f"axis {axis} is outside of the {len(input)} axes that there are")
    axis += len(input) if axis < 0 else 0
    return product(input[:axis]), product(input[axis:])


def Reshape(data: Shape, shape: Any, *, allowzero: int = 0) -> Shape:
    wanted: list[Size] = list(integers(shape, "shape"))
    if any(size is not None and size < -1 for size in wanted) or wanted.count(-1) > 1:
        refuse(f"shape {wanted}: no size is negative, but for one -1 that stands for what is left")
    if allowzero and 0 in wanted and -1 in wanted:
        refuse(f"shape {wanted}: -1 is undefined beside a 0")
    for i, size in enumerate(wanted):
        if size == 0 and not allowzero:
            if i >= len(data):
                refuse(f"shape {wanted}: 0 copies a size, and {show(data)} has none at place {i}")
            wanted[i] = data[i]
    return _with_rest(data, wanted)


def _with_rest(data: Shape, wanted: list[Size]) -> Shape:
    """The shape with its -1 filled in."""
    count, known = product(data), product([size for size in wanted if size != -1])
    if count is None or known is None:
        return tuple(None if size == -1 else size for size in wanted)
    if -1 in wanted:
        if known == 0 or count % known:
            refuse(f"{count} elements of {show(data)} do not make {wanted}")
        wanted[wanted.index(-1)] = count // known
    elif known != count:
        refuse(f"{count} elements of {show(data)} do not make {show(tuple(wanted))}")
    return tuple(wanted)


def Transpose(data: Shape, *, perm: Sequence[int] | None = None) -> Shape:
    perm = range(len(data))[::-1] if perm is None else perm
    if sorted(perm) != list(range(len(data))):
        refuse(f"perm {list(perm)} is no order of the axes of {show(data)}")
    return tuple(data[i] for i in perm)


def Squeeze(data: Shape, axes: Any = None) -> Shape | None:
    if axes is None:
        return None if None in data else tuple(size for size in data if size != 1)
    chosen = axes_of(axes, len(data))
    for axis in chosen:
        agree(data[axis], 1, f"axis {axis} of {show(data)}, which shall go, and 1")
    return tuple(size for i, size in enumerate(data) if i not in chosen)


def Unsqueeze(data: Shape, axes: Any) -> Shape:
    axes = integers(np.atleast_1d(axes), "axes")  # ONNX Runtime takes one number for a list of one here, and here alone
    chosen = axes_of(axes, len(data) + len(axes))
    rest = iter(data)
    return tuple(1 if i in chosen else next(rest) for i in range(len(data) + len(chosen)))


def Concat(*inputs: Shape, axis: int = 1) -> Shape:
    first = inputs[0]
    axis = axis_of(axis, len(first))
    result: list[Size] = list(first)
    for shape in inputs[1:]:
        if len(shape) != len(first):
            refuse(f"{show(first)} and {show(shape)} have not the same number of axes")
        result = [
            size if i == axis else agree(size, other, f"sizes of {show(first)} and {show(shape)} along axis {i}")
            for i, (size, other) in enumerate(zip(result, shape, strict=True))
        ]
    along = [shape[axis] for shape in inputs]
    result[axis] = None if None in along else sum(along)  # type: ignore[arg-type]
    return tuple(result)


def Split(
    input: Shape, split: Any = None, *, axis: int = 0, num_outputs: int | None = None, output_count: int
) -> list[Shape]:
    axis = axis_of(axis, len(input))
    size = input[axis]
    if num_outputs is not None and (num_outputs != output_count or split is not None):
        refuse(f"num_outputs {num_outputs} does not go with {output_count} outputs or with a list of parts")
    parts: list[Size] = [None] * output_count
    if split is not None:
        parts = list(integers(split, "split"))
        if len(parts) != output_count or min(parts, default=0) < 0:  # type: ignore[type-var, operator]
            refuse(f"parts {parts} do not go with {output_count} outputs")
        agree(size, sum(parts), f"axis {axis} of {show(input)} and the sum of its parts {parts}")  # type: ignore[arg-type]
    elif size is not None:
        part = -(-size // output_count)
        parts = [max(min(part, size - i * part), 0) for i in range(output_count)]
        if num_outputs is None and size % output_count:
            refuse(f"axis {axis} of {show(input)} does not make {output_count} equal parts")
    return [(*input[:axis], part, *input[axis + 1 :]) for part in parts]


def Slice(data: Shape, starts: Any, ends: Any, axes: Any = None, steps: Any = None) -> Shape:
    starts, ends = integers(starts, "starts"), integers(ends, "ends")
    chosen = axes_of(range(len(starts)) if axes is None else axes, len(data))
    steps = [1] * len(starts) if steps is None else integers(steps, "steps")
    if not len(starts) == len(ends) == len(chosen) == len(steps):
        refuse(f"there are {len(starts)} starts, {len(ends)} ends, {len(chosen)} axes and {len(steps)} steps")
    if 0 in steps:
        refuse("a step is 0")
    result = list(data)
    for axis, *bounds in zip(chosen, starts, ends, steps, strict=True):
        size = data[axis]
        result[axis] = None if size is None else len(sliced(size, *bounds))
    return tuple(result)


def Gather(data: Shape, indices: Shape, *, axis: int = 0) -> Shape:
    axis = axis_of(axis, len(data))
    return (*data[:axis], *indices, *data[axis + 1 :])


def Expand(input: Shape, shape: Any) -> Shape:
    wanted = integers(shape, "shape")
    if any(size < 0 for size in wanted):
        refuse(f"shape {wanted} has a negative size")
    return broadcast(input, tuple(wanted))


def Tile(input: Shape, repeats: Any, tiles: Any = None, **attributes: Any) -> Shape:
    times = integers(repeats, "repeats")
    if len(times) != len(input) or any(count < 0 for count in times):
        refuse(f"repeats {times}: one number, not negative, is needed for each axis of {show(input)}")
    return tuple(None if size is None else size * count for size, count in zip(input, times, strict=True))


def One(data: Shape) -> Shape:
    return ()


def ShapeOf(data: Shape, *, start: int = 0, end: int | None = None) -> Shape:
    return (len(range(len(data))[start:end]),)


def ConstantOfShape(input: Any, *, value: np.ndarray | None = None) -> Shape:
    if value is not None and value.size != 1:
        refuse(f"value has shape {list(value.shape)}, and has to be one number")
    return Expand((), input)


def Pad(data: Shape, pads: Any = None, constant_value: Any = (), axes: Any = None, **attributes: Any) -> Shape:
    pads = integers(attributes["paddings"] if pads is None else pads, "pads")
    chosen = list(range(len(data))) if axes is None else axes_of(axes, len(data))
    if len(pads) != 2 * len(chosen):
        refuse(f"pads has {len(pads)} numbers where {2 * len(chosen)} are needed")
    if isinstance(constant_value, tuple) and product(constant_value) not in (None, 1):
        refuse(f"constant_value has shape {show(constant_value)}, and has to be one number")
    result = list(data)
    for i, axis in enumerate(chosen):
        size, around = data[axis], (pads[i], pads[len(chosen) + i])
        if size is not None:
            _check_pad(size, around, attributes.get("mode", "constant"))
            result[axis] = size + sum(around)
    return tuple(result)


def _check_pad(size: int, around: tuple[int, int], mode: str) -> None:
    kept = size + sum(min(pad, 0) for pad in around)
    if size + sum(around) < 0 or (kept < 0 and mode != "constant"):
        refuse(f"pads {around} crop more than the {size} that there are")
    if mode == "reflect" and max(around) >= max(kept, 1):
        refuse(f"pads {around} reflect more than the {kept} elements beside the border")
    if mode != "constant" and kept == 0 and max(around) > 0:
        refuse(f"pads {around} in mode {mode!r} have nothing to repeat")


def Range(start: np.ndarray, limit: np.ndarray, delta: np.ndarray, **attributes: Any) -> Shape:
    for name, value in (("start", start), ("limit", limit), ("delta", delta)):
        single(value, name)
    return (range_length(start, limit, delta),)


def _image(input: Shape, what: str) -> tuple[Size, Size, Size, Size]:
    if len(input) != 4:
        refuse(f"{what} has shape {show(input)}, and has to be a batch of images with four axes")
    return input


def _divided(size: Size, by: int, what: str) -> Size:
    if size is not None and size % by:
        refuse(f"{what}: {size} does not divide by {by}")
    return None if size is None else size // by


def DepthToSpace(input: Shape, *, blocksize: int, mode: str = "DCR") -> Shape:
    n, channels, height, width = _image(input, "input")
    grown = tuple(None if size is None else size * blocksize for size in (height, width))
    return (n, _divided(channels, blocksize**2, "channels"), *grown)


def SpaceToDepth(input: Shape, *, blocksize: int, mode: str = "DCR") -> Shape:
    n, channels, height, width = _image(input, "input")
    depth = None if channels is None else channels * blocksize**2
    return n, depth, _divided(height, blocksize, "rows"), _divided(width, blocksize, "columns")


def Trilu(input: Shape, k: Shape = (), **attributes: Any) -> Shape:
    if len(input) < 2:
        refuse(f"{show(input)} is no matrix")
    if k is not None and product(k) not in (None, 1):
        refuse(f"k has shape {show(k)}, and has to be one number")
    return input


def EyeLike(input: Shape, **attributes: Any) -> Shape:
    if len(input) != 2:
        refuse(f"{show(input)} is no matrix")
    return input


def ReverseSequence(input: Shape, sequence_lens: Shape, *, batch_axis: int = 1, time_axis: int = 0) -> Shape:
    if len(input) < 2 or sorted((batch_axis, time_axis)) != [0, 1]:
        refuse(f"batch_axis {batch_axis} and time_axis {time_axis} have to be 0 and 1, in either order")
    vector(sequence_lens, input[batch_axis], "sequence_lens")
    return input


# ---------------------------------------------------------------------- indexing


def GatherElements(data: Shape, indices: Shape, *, axis: int = 0) -> Shape:
    _beside(data, indices, axis, "indices")
    return indices


def _beside(data: Shape, indices: Shape, axis: int, name: str) -> None:
    """Indices have the data's axes, and along all but one no more than the data."""
    axis = axis_of(axis, len(data))
    fits = all(
        a is None or b is None or a <= b or i == axis for i, (a, b) in enumerate(zip(indices, data, strict=False))
    )
    if len(indices) != len(data) or not fits:
        refuse(f"{name} of shape {show(indices)} do not lie in data of shape {show(data)}")


def GatherND(data: Shape, indices: Shape, *, batch_dims: int = 0) -> Shape | None:
    if not indices or not data or not 0 <= batch_dims < min(len(data), len(indices)):
        refuse(f"batch_dims {batch_dims} does not go with data {show(data)} and indices {show(indices)}")
    for a, b in zip(data[:batch_dims], indices[:batch_dims], strict=True):
        agree(a, b, "sizes of the batch")
    if indices[-1] is None:
        return None
    if not 1 <= indices[-1] <= len(data) - batch_dims:
        refuse(f"indices {show(indices)} have {indices[-1]} places for {len(data) - batch_dims} axes")
    return (*indices[:-1], *data[batch_dims + indices[-1] :])


def ScatterElements(data: Shape, indices: Shape, updates: Shape, *, axis: int = 0, **attributes: Any) -> Shape:
    _beside(data, indices, axis, "indices")
    if len(updates) != len(indices):
        refuse(f"updates {show(updates)} and indices {show(indices)} are not of one shape")
    for a, b in zip(indices, updates, strict=True):
        agree(a, b, f"sizes of indices {show(indices)} and updates {show(updates)}")
    return data


def ScatterND(data: Shape, indices: Shape, updates: Shape, **attributes: Any) -> Shape:
    wanted = GatherND(data, indices)
    if wanted is not None:
        if len(wanted) != len(updates):
            refuse(f"updates {show(updates)} have not the shape {show(wanted)}")
        for a, b in zip(wanted, updates, strict=True):
            agree(a, b, f"sizes of updates {show(updates)} and {show(wanted)}")
    return data


def NonZero(X: Shape) -> Shape:
    return max(len(X), 1), None


def Compress(input: Shape, condition: Shape, *, axis: int | None = None) -> Shape:
    if len(condition) != 1:
        refuse(f"condition has shape {show(condition)}, and has to be a list")
    if axis is None:
        return (None,)
    axis = axis_of(axis, len(input))
    return (*input[:axis], None, *input[axis + 1 :])


def OneHot(indices: Shape, depth: np.ndarray, values: Shape, *, axis: int = -1) -> Shape:
    vector(values, 2, "values")
    count = int(single(depth, "depth"))
    if count < 1:
        refuse(f"depth is {count}, and has to be at least 1")
    axis = axis_of(axis, len(indices) + 1)
    return (*indices[:axis], count, *indices[axis:])


# ---------------------------------------------------------------------- resizing and detection


def Resize(
    X: Shape,
    roi: Any = None,
    scales: Any = None,
    sizes: Any = None,
    *,
    axes: Sequence[int] | None = None,
    **attributes: Any,
) -> Shape | None:
    if None in X:
        return None
    for name, values in (("scales", scales), ("sizes", sizes)):
        if values is not None and np.ndim(values) != 1:
            refuse(f"{name} is no list of numbers, one for each axis")
    scales, sizes = (None if values is None or not len(values) else np.asarray(values) for values in (scales, sizes))
    if (scales is None) == (sizes is None):
        refuse("there have to be scales or sizes, and not both")
    if axes is not None:
        axes = axes_of(axes, len(X))
    policy = attributes.get("keep_aspect_ratio_policy", "stretch")
    crop = attributes.get("coordinate_transformation_mode") == "tf_crop_and_resize"
    if attributes.get("antialias") and attributes.get("mode", "nearest") == "nearest":
        refuse("antialias goes with linear and cubic, not with nearest")
    found = tuple(target.size for target in targets(X, scales, sizes, roi, axes, policy, crop))  # type: ignore[arg-type]
    if 0 in X and 0 not in found:
        refuse(f"{show(X)} has no elements to make {list(found)} of")
    return found


def Upsample(X: Shape, scales: Any, **attributes: Any) -> Shape | None:
    return Resize(X, None, scales)


def GridSample(X: Shape, grid: Shape, **attributes: Any) -> Shape:
    rank = len(X) - 2
    if rank < 1 or len(grid) != len(X):
        refuse(f"grid {show(grid)} does not go with input {show(X)}")
    agree(grid[-1], rank, "coordinates of the grid and axes of the image")
    if 0 in X[2:]:
        refuse(f"input {show(X)} has no pixels")
    return (agree(X[0], grid[0], "sizes of the batch"), X[1], *grid[1:-1])


def RoiAlign(
    X: Shape, rois: Shape, batch_indices: Shape, *, output_height: int = 1, output_width: int = 1, **attributes: Any
) -> Shape:
    _, channels, _, _ = _image(X, "input")
    if len(rois) != 2:
        refuse(f"rois has shape {show(rois)}, and has to be a list of regions")
    agree(rois[1], 4, "numbers of a region, and")
    vector(batch_indices, rois[0], "batch_indices")
    return rois[0], channels, output_height, output_width


def NonMaxSuppression(boxes: Shape, scores: Shape, *limits: Shape, **attributes: Any) -> Shape:
    if len(boxes) != 3 or len(scores) != 3:
        refuse(f"boxes {show(boxes)} and scores {show(scores)} have to have three axes")
    agree(boxes[0], scores[0], "sizes of the batch")
    agree(boxes[1], scores[2], "numbers of boxes and of scores")
    agree(boxes[2], 4, "numbers of a box, and")
    for limit in limits:
        if limit is not None and product(limit) not in (None, 1):
            refuse(f"a limit has shape {show(limit)}, and has to be one number")
    return None, 3


#: Operators whose rule is not named as they are.
_SHARED: dict[Callable[..., Any], str] = {
    Unary: "Abs Acos Acosh Asin Asinh Atan Atanh BitwiseNot Cast Ceil Celu Cos Cosh Elu Erf Exp Floor Gelu HardSigmoid "
    "HardSwish Identity IsInf IsNaN LeakyRelu Log Mish Neg Not Reciprocal Relu Round Selu Shrink Sigmoid Sign Sin Sinh "
    "Softplus Softsign Sqrt Swish Tan Tanh ThresholdedRelu",
    Broadcast: "Add And BitwiseAnd BitwiseOr BitwiseXor Div Equal Greater GreaterOrEqual Less LessOrEqual Max "
    "Mean Min Mod Mul Or Pow Sub Sum Where Xor",
    _first: "CastLike",
    _pooled: "AveragePool LpPool MaxPool",
    GlobalPool: "GlobalAveragePool GlobalLpPool GlobalMaxPool",
    Along: "Hardmax LogSoftmax LpNormalization Softmax",
    Reduce: "ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum "
    "ReduceSumSquare",
    ArgReduce: "ArgMax ArgMin",
    One: "Size",
    ScatterElements: "Scatter",
    ShapeOf: "Shape",
}
_RULES = {op_type: rule for rule, names in _SHARED.items() for op_type in names.split()}


def rule(op_type: str) -> Callable[..., Any]:
    """The rule of an operator."""
    return _RULES[op_type] if op_type in _RULES else globals()[op_type]
