"""Each of Caffe's layers as the ONNX nodes that do the same.

One function a layer type, by `LAYERS`; the parameters' names and defaults are caffe.proto's, the attributes' are
ONNX's (operator set 13). Where the two differ in meaning, the function says so.

Source: https://caffe.berkeleyvision.org/tutorial/layers.html and each layer's code,
https://github.com/BVLC/caffe/tree/master/src/caffe/layers
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .graph import Graph
from .net import Layer
from .schema import ENUMS, Fields

END = np.iinfo(np.int64).max  # of a Slice that goes on to the last one


def convolution(layer: Layer, graph: Graph) -> None:
    window = _window(layer, layer.parameters("convolution_param"))
    graph.node(layer, "Conv", [graph.bottom(layer), *_filters(layer, graph)], **window)


def deconvolution(layer: Layer, graph: Graph) -> None:
    window = _window(layer, layer.parameters("convolution_param"))
    graph.node(layer, "ConvTranspose", [graph.bottom(layer), *_filters(layer, graph)], **window)


def _window(layer: Layer, p: Fields) -> dict[str, Any]:
    if p.get("axis", 1) != 1:
        raise layer.refuse(f"axis {p.get('axis', 1)}; only 1, the channels, is known here")
    return {
        "kernel_shape": _pair(layer, p, "kernel_size", "kernel", 0, least=1),
        "strides": _pair(layer, p, "stride", "stride", 1, least=1),
        "pads": _pair(layer, p, "pad", "pad", 0) * 2,
        "dilations": _pair(layer, p, "dilation", "dilation", 1, least=1),
        "group": p.get("group", 1),
    }


def _pair(layer: Layer, p: Fields, both: str, each: str, default: int, least: int = 0) -> list[int]:
    """A size along height and width: one number for both, a list, or each under its own name (``kernel_h``)."""
    if f"{each}_h" in p or f"{each}_w" in p:
        sizes = [p.get(f"{each}_h", default), p.get(f"{each}_w", default)]
    else:
        sizes = p.all(both) or [default]
    if len(sizes) > 2:
        raise layer.refuse(f"{both} {sizes}: only images of two axes are known here")
    if not all(least <= size < 1 << 31 for size in sizes):
        raise layer.refuse(f"{both} {sizes[0]}, which is less than {least}" if sizes else "no sizes")
    return [sizes[0], sizes[-1]]


def _filters(layer: Layer, graph: Graph) -> list[str]:
    """The weight and the bias [M]: [M, C / group, kH, kW] of a convolution, [C, M / group, kH, kW] of its opposite."""
    p = layer.parameters("convolution_param")
    kernel = _pair(layer, p, "kernel_size", "kernel", 0, least=1)
    group, filters = p.get("group", 1), p.get("num_output", 0)
    if group < 1 or filters < 1 or filters % group:
        raise layer.refuse(f"num_output {filters} in {group} groups")
    if layer.type == "Convolution":
        weight = graph.weight(layer, "W", 0, (filters, None, *kernel))
    else:
        weight = graph.weight(layer, "W", 0, (None, filters // group, *kernel))
    return [weight, *_bias(layer, graph, p, filters)]


def _bias(layer: Layer, graph: Graph, p: Fields, count: int) -> list[str]:
    return [graph.weight(layer, "b", 1, (count,))] if p.get("bias_term", True) else []


def pooling(layer: Layer, graph: Graph) -> None:
    """Caffe rounds the number of windows up, where others round down; an average counts the padding as pixels."""
    p = layer.parameters("pooling_param")
    method = p.get("pool", 0)
    if method not in (0, 1):
        raise layer.refuse("stochastic pooling is for training")
    kind = ("MaxPool", "AveragePool")[method]
    if p.get("global_pooling", False):
        graph.node(layer, f"Global{kind}", [graph.bottom(layer)])
        return
    kernel = _pair(layer, p, "kernel_size", "kernel", 0, least=1)
    pads = _pair(layer, p, "pad", "pad", 0)
    if any(pad >= size for pad, size in zip(pads, kernel, strict=True)):
        raise layer.refuse(f"pad {pads} for windows of {kernel}: some would lie outside the image")
    extra: dict[str, Any] = {"count_include_pad": 1} if method and any(pads) else {}
    graph.node(
        layer,
        kind,
        [graph.bottom(layer)],
        kernel_shape=kernel,
        strides=_pair(layer, p, "stride", "stride", 1, least=1),
        pads=pads * 2,
        ceil_mode=int(p.get("round_mode", 0) == ENUMS["RoundMode"]["CEIL"]),
        **extra,
    )


def inner_product(layer: Layer, graph: Graph) -> None:
    """Caffe takes the pixels of all channels as they come, C x H x W; a Gemm wants a row."""
    p = layer.parameters("inner_product_param")
    if p.get("axis", 1) != 1:
        raise layer.refuse(f"axis {p.get('axis', 1)}; only 1, everything but the batch, is known here")
    units, transpose = p.get("num_output", 0), p.get("transpose", False)
    if units < 1:
        raise layer.refuse(f"num_output {units}")
    weight = graph.weight(layer, "W", 0, (None, units) if transpose else (units, None))
    flat = graph.helper(layer, "Flatten", [graph.bottom(layer)], "flatten", axis=1)
    graph.node(layer, "Gemm", [flat, weight, *_bias(layer, graph, p, units)], transB=int(not transpose))


def lrn(layer: Layer, graph: Graph) -> None:
    """Local response normalisation, x / (k + alpha / n * sum of squares) ** beta, across n channels as in ONNX.

    Within a channel, n is the number of pixels of a window, and Caffe has 1 for k.
    """
    p = layer.parameters("lrn_param")
    size, alpha, beta, k = p.get("local_size", 5), p.get("alpha", 1.0), p.get("beta", 0.75), p.get("k", 1.0)
    if size < 1 or size % 2 == 0:
        raise layer.refuse(f"local_size {size}: Caffe wants an odd one")
    x = graph.bottom(layer)
    if p.get("norm_region", 0) == ENUMS["NormRegion"]["ACROSS_CHANNELS"]:
        graph.node(layer, "LRN", [x], size=size, alpha=alpha, beta=beta, bias=k)
        return
    square = graph.helper(layer, "Mul", [x, x], "square")
    window = {"kernel_shape": [size, size], "strides": [1, 1], "pads": [size // 2] * 4, "count_include_pad": 1}
    mean = graph.helper(layer, "AveragePool", [square], "mean", **window)
    scaled = graph.helper(layer, "Mul", [mean, graph.constant(layer, "alpha", alpha)], "scaled")
    shifted = graph.helper(layer, "Add", [scaled, graph.constant(layer, "k", 1.0)], "shifted")
    factor = graph.helper(layer, "Pow", [shifted, graph.constant(layer, "beta", -beta)], "factor")
    graph.node(layer, "Mul", [x, factor])


def relu(layer: Layer, graph: Graph) -> None:
    slope = layer.parameters("relu_param").get("negative_slope", 0.0)
    if slope:
        graph.node(layer, "LeakyRelu", [graph.bottom(layer)], alpha=slope)
    else:
        graph.node(layer, "Relu", [graph.bottom(layer)])


def prelu(layer: Layer, graph: Graph) -> None:
    shared = layer.parameters("prelu_param").get("channel_shared", False)
    slope = graph.weight(layer, "slope", 0, (1, 1, 1) if shared else (None, 1, 1))
    graph.node(layer, "PRelu", [graph.bottom(layer), slope])


def elu(layer: Layer, graph: Graph) -> None:
    graph.node(layer, "Elu", [graph.bottom(layer)], alpha=layer.parameters("elu_param").get("alpha", 1.0))


def softmax(layer: Layer, graph: Graph) -> None:
    graph.node(layer, "Softmax", [graph.bottom(layer)], axis=layer.parameters("softmax_param").get("axis", 1))


def same_name(op_type: str) -> Callable[[Layer, Graph], None]:
    """A layer without parameters that ONNX has too, under this name."""

    def convert(layer: Layer, graph: Graph) -> None:
        graph.node(layer, op_type, [graph.bottom(layer)])

    return convert


def concat(layer: Layer, graph: Graph) -> None:
    p = layer.parameters("concat_param")
    graph.node(layer, "Concat", graph.bottoms(layer), axis=p.get("axis", p.get("concat_dim", 1)))


def eltwise(layer: Layer, graph: Graph) -> None:
    """A product, a sum with coefficients, or the maximum of blobs of one shape."""
    p = layer.parameters("eltwise_param")
    operation, coeff, bottoms = p.get("operation", 1), p.all("coeff"), graph.bottoms(layer)
    if operation not in ENUMS["EltwiseOp"].values() or (coeff and (operation != 1 or len(coeff) != len(bottoms))):
        raise layer.refuse(f"operation {operation} with {len(coeff)} coefficients for {len(bottoms)} blobs")
    for i, factor in enumerate(coeff):
        if factor != 1:
            factors = graph.constant(layer, f"coeff_{i}", factor)
            bottoms[i] = graph.helper(layer, "Mul", [bottoms[i], factors], f"scaled_{i}")
    op_type = ("Mul", "Add", "Max")[operation]
    for i in range(2, len(bottoms)):  # Mul and Add take two at a time
        if op_type != "Max":
            bottoms[:2] = [graph.helper(layer, op_type, bottoms[:2], f"partial_{i}")]
    graph.node(layer, op_type, bottoms)


def batch_norm(layer: Layer, graph: Graph) -> None:
    """(x - mean) / sqrt(variance + eps); Caffe keeps both multiplied by a third number, the weight of its averages."""
    p = layer.parameters("batch_norm_param")
    if len(layer.blobs) != 3:
        raise layer.refuse(f"{len(layer.blobs)} blobs, not 3 (mean, variance, factor)")
    mean, variance, factor = graph.values(layer)
    by = mean.dtype.type(1 / factor[0] if len(factor) and factor[0] else 0)
    arrays = {
        "scale": np.ones_like(mean),
        "bias": np.zeros_like(mean),
        "mean": mean * by,
        "variance": variance * by,
    }
    names = [graph.constant(layer, key, array) for key, array in arrays.items()]
    graph.node(layer, "BatchNormalization", [graph.bottom(layer), *names], epsilon=p.get("eps", 1e-5))


def scale(layer: Layer, graph: Graph) -> None:
    """x * gamma + beta, one of each for a channel; gamma may be another blob, [N, C], instead of a weight."""
    p = layer.parameters("scale_param")
    x = graph.bottom(layer)
    if len(layer.bottom) > 1:
        if p.get("axis", 1) != 0:
            raise layer.refuse(f"two blobs along axis {p.get('axis', 1)}; only 0, [N, C], is known here")
        shape = graph.constant(layer, "shape", np.array([0, -1, 1, 1], np.int64))
        factors = graph.helper(layer, "Reshape", [graph.bottom(layer, 1), shape], "factors")
    else:
        _per_channel(layer, p)
        factors = graph.weight(layer, "gamma", 0, (None, 1, 1))
    if not p.get("bias_term", False):
        graph.node(layer, "Mul", [x, factors])
        return
    beta = graph.weight(layer, "beta", 2 - len(layer.bottom), (None, 1, 1))
    graph.node(layer, "Add", [graph.helper(layer, "Mul", [x, factors], "scaled"), beta])


def bias(layer: Layer, graph: Graph) -> None:
    _per_channel(layer, layer.parameters("bias_param"))
    graph.node(layer, "Add", [graph.bottom(layer), graph.weight(layer, "beta", 0, (None, 1, 1))])


def _per_channel(layer: Layer, p: Fields) -> None:
    if p.get("axis", 1) != 1 or p.get("num_axes", 1) != 1:
        raise layer.refuse(f"axis {p.get('axis', 1)}, num_axes {p.get('num_axes', 1)}; only channels are known here")


def power(layer: Layer, graph: Graph) -> None:
    """(shift + scale * x) ** power."""
    p = layer.parameters("power_param")
    factor, shift, exponent = p.get("scale", 1.0), p.get("shift", 0.0), p.get("power", 1.0)
    x = graph.helper(layer, "Mul", [graph.bottom(layer), graph.constant(layer, "scale", factor)], "scaled")
    if exponent == 1:
        graph.node(layer, "Add", [x, graph.constant(layer, "shift", shift)])
        return
    x = graph.helper(layer, "Add", [x, graph.constant(layer, "shift", shift)], "shifted")
    graph.node(layer, "Pow", [x, graph.constant(layer, "power", exponent)])


def flatten(layer: Layer, graph: Graph) -> None:
    p = layer.parameters("flatten_param")
    if p.get("axis", 1) != 1 or p.get("end_axis", -1) not in (-1, 3):
        raise layer.refuse(
            f"axis {p.get('axis', 1)} to {p.get('end_axis', -1)}; only everything but the batch is known"
        )
    graph.node(layer, "Flatten", [graph.bottom(layer)], axis=1)


def reshape(layer: Layer, graph: Graph) -> None:
    """0 keeps a size and -1 is what remains, in Caffe as in ONNX."""
    p = layer.parameters("reshape_param")
    if p.get("axis", 0) != 0 or p.get("num_axes", -1) != -1:
        raise layer.refuse("only some of the axes are reshaped")
    sizes = np.array(p.message("shape").all("dim"), np.int64)
    if len(sizes) and sizes[0] > 0:
        sizes[0] = -1 if -1 not in sizes else 0  # the batch, which is the caller's to choose
    graph.node(layer, "Reshape", [graph.bottom(layer), graph.constant(layer, "shape", sizes)])


def slices(layer: Layer, graph: Graph) -> None:
    """Pieces along an axis: cut at `slice_point`, or all of one size."""
    p = layer.parameters("slice_param")
    axis, points = p.get("axis", p.get("slice_dim", 1)), p.all("slice_point")
    x = graph.bottom(layer)
    if not points:
        graph.node(layer, "Split", [x], tops=len(layer.top), axis=axis)
        return
    if len(points) != len(layer.top) - 1:
        raise layer.refuse(f"{len(points)} slice points for {len(layer.top)} tops")
    axes = graph.constant(layer, "axis", np.array([axis], np.int64))
    edges = [graph.constant(layer, f"edge_{i}", np.array([at], np.int64)) for i, at in enumerate([0, *points, END])]
    for i in range(len(layer.top)):
        graph.node(layer, "Slice", [x, edges[i], edges[i + 1], axes], top=i)


def split(layer: Layer, graph: Graph) -> None:
    """The same blob under several names: in ONNX a tensor may be read as often as one likes."""
    graph.current.update(dict.fromkeys(layer.top, graph.bottom(layer)))


def unknown(layer: Layer, graph: Graph) -> None:
    """A node of Caffe's own: whatever runs or reads the graph refuses it by its name."""
    graph.node(layer, layer.type, graph.bottoms(layer), tops=max(len(layer.top), 1), domain="caffe")


LAYERS: dict[str, Callable[[Layer, Graph], None]] = {
    "AbsVal": same_name("Abs"),
    "BatchNorm": batch_norm,
    "Bias": bias,
    "Concat": concat,
    "Convolution": convolution,
    "Deconvolution": deconvolution,
    "Dropout": same_name("Dropout"),
    "ELU": elu,
    "Eltwise": eltwise,
    "Flatten": flatten,
    "InnerProduct": inner_product,
    "LRN": lrn,
    "PReLU": prelu,
    "Pooling": pooling,
    "Power": power,
    "ReLU": relu,
    "Reshape": reshape,
    "Scale": scale,
    "Sigmoid": same_name("Sigmoid"),
    "Slice": slices,
    "Softmax": softmax,
    "Split": split,
    "TanH": same_name("Tanh"),
}
