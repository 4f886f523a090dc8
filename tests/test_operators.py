"""Each operator is held to ONNX Runtime on cases that hypothesis draws: shapes, axes, attributes.

Ten each time, other ones each time; ``NUMPYVGG_CASES=200`` draws more.
"""

from __future__ import annotations

import math
import os

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from numpyvgg import InferenceSession
from numpyvgg.operators.error_function import erf

cases = settings(
    max_examples=int(os.environ.get("NUMPYVGG_CASES", "10")),
    deadline=None,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)
QUIET = onnxruntime.SessionOptions()
QUIET.log_severity_level, QUIET.intra_op_num_threads = 4, 1


def run_both(op_type, inputs, attributes=None, *, opset=18, outputs=1, fixed=False):
    """What onnxruntime and this package answer; None in `inputs` is left out; `fixed`: the others lie in the file."""
    names = ["" if array is None else f"x{i}" for i, array in enumerate(inputs)]
    node = helper.make_node(op_type, names, [f"y{i}" for i in range(outputs)], **(attributes or {}))
    arrays = {name: np.asarray(array) for name, array in zip(names, inputs, strict=True) if name}
    weights = {name: arrays.pop(name) for name in list(arrays)[1:]} if fixed else {}
    values = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in arrays.items()
    ]
    graph = helper.make_graph([node], "g", values, [onnx.ValueInfoProto(name=name) for name in node.output])
    graph.initializer.extend(onnx.numpy_helper.from_array(array, name) for name, array in weights.items())
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8).SerializeToString()
    theirs = onnxruntime.InferenceSession(model, QUIET).run(None, arrays)
    return InferenceSession(model).run(None, arrays), theirs


def hold(op_type, inputs, attributes=None, *, rtol=1e-4, atol=1e-5, **options):
    for a, b in zip(*run_both(op_type, inputs, attributes, **options), strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)


def shapes(least=1, most=4, largest=5):
    return st.lists(st.integers(1, largest), min_size=least, max_size=most).map(tuple)


seeds = st.integers(0, 10**6)


def numbers(shape, seed, dtype=np.float32, low=-3.0, high=3.0):
    rng = np.random.default_rng(seed)
    if np.dtype(dtype) == bool:
        return rng.integers(0, 2, shape).astype(bool)
    if np.dtype(dtype).kind in "iu":
        return rng.integers(int(low), int(high) + 1, shape).astype(dtype)
    return rng.uniform(low, high, shape).astype(dtype)


# ---------------------------------------------------------------------- element by element

UNARY = dict.fromkeys(
    [
        "Abs",
        "Atan",
        "Asinh",
        "Ceil",
        "Cos",
        "Cosh",
        "Erf",
        "Exp",
        "Floor",
        "Identity",
        "Neg",
        "Round",
        "Sign",
        "Sin",
        "Sinh",
    ],
    (-3, 3),
)
UNARY |= dict.fromkeys(
    ["Relu", "Sigmoid", "Softplus", "Softsign", "Tanh", "Elu", "Selu", "Celu", "LeakyRelu", "HardSigmoid"], (-20, 20)
)
UNARY |= dict.fromkeys(["HardSwish", "Mish", "ThresholdedRelu", "Gelu", "Shrink", "Swish"], (-20, 20))
UNARY |= {"Acos": (-1, 1), "Asin": (-1, 1), "Acosh": (1, 9), "Atanh": (-0.99, 0.99), "Tan": (-1.5, 1.5)}
UNARY |= {"Log": (0.01, 9), "Sqrt": (0, 9), "Reciprocal": (0.1, 9)}


@pytest.mark.parametrize("op_type", UNARY)
@cases
@given(shape=shapes(), seed=seeds, alpha=st.none() | st.floats(0.125, 2, width=32), data=st.data())
def test_one_number_at_a_time(op_type, shape, seed, alpha, data):
    attributes = {}
    if alpha is not None and op_type in ("Elu", "Selu", "Celu", "LeakyRelu", "HardSigmoid", "ThresholdedRelu"):
        attributes["alpha"] = alpha
    if op_type == "Gelu":
        attributes["approximate"] = data.draw(st.sampled_from(["none", "tanh"]))
    if op_type == "Shrink" and alpha:
        attributes |= {"lambd": alpha, "bias": alpha / 2}
    hold(
        op_type, [numbers(shape, seed, np.float32, *UNARY[op_type])], attributes, opset=24 if op_type == "Swish" else 20
    )


@cases
@given(shape=shapes(), seed=seeds, negative=st.integers(0, 1), positive=st.integers(0, 1))
def test_what_is_no_number(shape, seed, negative, positive):
    x = numbers(shape, seed)
    rng = np.random.default_rng(seed)
    x = np.where(rng.random(shape) < 0.5, x, rng.choice([np.nan, np.inf, -np.inf], shape)).astype(np.float32)
    hold("IsNaN", [x])
    hold("IsInf", [x], {"detect_negative": negative, "detect_positive": positive})


broadcast_pairs = shapes().flatmap(
    lambda full: st.tuples(
        *[st.lists(st.booleans(), min_size=len(full), max_size=len(full)), st.integers(0, len(full))]
    ).map(lambda cut: (full, tuple(1 if one else size for one, size in zip(cut[0], full, strict=True))[cut[1] :]))
)
TYPES = {
    name: [np.float32, np.int64, np.int32, np.float64]
    for name in ["Add", "Sub", "Mul", "Div", "Max", "Min", "Greater", "Less"]
}
TYPES |= {name: [np.float32, np.int64, np.int32] for name in ["GreaterOrEqual", "LessOrEqual"]}
TYPES |= {"Equal": [np.float32, np.int64, bool], "And": [bool], "Or": [bool], "Xor": [bool]}
TYPES |= {"Sum": [np.float32], "Mean": [np.float32], "Mod": [np.int64, np.int32], "PRelu": [np.float32]}


@pytest.mark.thorough
@pytest.mark.parametrize("op_type", TYPES)
@cases
@given(pair=broadcast_pairs, seed=seeds, swap=st.booleans(), data=st.data())
def test_two_numbers_at_a_time(op_type, pair, seed, swap, data):
    dtype = data.draw(st.sampled_from(TYPES[op_type]))
    a, b = (numbers(shape, seed + i, dtype) for i, shape in enumerate(pair))
    if op_type in ("Div", "Mod"):
        b = np.where(b == 0, 2, b).astype(dtype)
    hold(op_type, [b, a] if swap and op_type not in ("Div", "Mod", "PRelu") else [a, b])


@cases
@given(pair=broadcast_pairs, seed=seeds)
def test_powers_remainders_and_choices(pair, seed):
    a, b = (numbers(shape, seed + i, low=0.1) for i, shape in enumerate(pair))
    hold("Pow", [a, b])
    hold("Pow", [a, np.rint(b).astype(np.int64)])
    hold("Mod", [numbers(pair[0], seed), b], {"fmod": 1})
    hold("Where", [numbers(pair[1], seed, bool), a, b])


@cases
@given(
    shape=shapes(0), seed=seeds, low=st.none() | st.floats(-2, 0, width=32), high=st.none() | st.floats(0, 2, width=32)
)
def test_clip(shape, seed, low, high):
    hold("Clip", [numbers(shape, seed), *(None if x is None else np.float32(x) for x in (low, high))])


@cases
@given(
    shape=shapes(),
    seed=seeds,
    types=st.tuples(*[st.sampled_from([np.float32, np.float64, np.float16, np.int64, np.int32, np.uint8, bool])] * 2),
)
def test_cast(shape, seed, types):
    x = numbers(shape, seed, types[0], 0, 100)
    hold("Cast", [x], {"to": helper.np_dtype_to_tensor_dtype(np.dtype(types[1]))})
    hold("CastLike", [x, np.zeros(1, types[1])])


def test_the_error_function_is_pythons_to_the_last_digits():
    x = np.concatenate([np.linspace(-7, 7, 20001), [0, 1e-300, -1e-9, np.inf, -np.inf, np.nan]])
    exact = np.array([math.erf(value) for value in x])
    np.testing.assert_allclose(erf(x), exact, rtol=1e-13, atol=0)
    np.testing.assert_allclose(erf(x.astype(np.float32)), exact.astype(np.float32), rtol=2e-7, atol=0)


# ---------------------------------------------------------------------- along axes

REDUCTIONS = (
    "ReduceSum ReduceMean ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceSumSquare ReduceLogSum ReduceLogSumExp"
)


@pytest.mark.thorough
@pytest.mark.parametrize("op_type", REDUCTIONS.split())
@cases
@given(
    shape=shapes(),
    seed=seeds,
    keepdims=st.integers(0, 1),
    noop=st.integers(0, 1),
    data=st.data(),
)
def test_reductions(op_type, shape, seed, keepdims, noop, data):
    low = 0.1 if op_type == "ReduceLogSum" else -3
    axes = data.draw(st.none() | st.lists(st.integers(0, len(shape) - 1), min_size=1, unique=True))
    assume(axes or not noop or op_type in ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin"))
    flip = data.draw(st.booleans())
    array = None if axes is None else np.array([a - len(shape) if flip else a for a in axes])
    attributes = {"keepdims": keepdims, "noop_with_empty_axes": noop}
    hold(op_type, [numbers(shape, seed, low=low), array], attributes)


@pytest.mark.parametrize("op_type", ["Softmax", "LogSoftmax", "Hardmax", "LpNormalization"])
@cases
@given(
    shape=shapes(),
    seed=seeds,
    opset=st.sampled_from([11, 13]),
    p=st.sampled_from([1, 2]),
    data=st.data(),
)
def test_along_one_axis(op_type, shape, seed, opset, p, data):
    attributes = {"axis": data.draw(st.integers(-len(shape), len(shape) - 1))}
    if op_type == "LpNormalization":
        attributes["p"] = p
    hold(op_type, [numbers(shape, seed)], attributes, opset=opset)


@cases
@given(
    shape=shapes(),
    seed=seeds,
    keepdims=st.integers(0, 1),
    last=st.integers(0, 1),
    data=st.data(),
)
def test_arg_max_arg_min_top_k_and_running_sums(shape, seed, keepdims, last, data):
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    x = numbers(shape, seed, np.int64).astype(np.float32)  # with equals among them
    for op_type in ("ArgMax", "ArgMin"):
        hold(op_type, [x], {"axis": axis, "keepdims": keepdims, "select_last_index": last})
    k = data.draw(st.integers(1, shape[axis]))
    hold("TopK", [x, np.array([k])], {"axis": axis, "largest": keepdims}, outputs=2)
    hold("CumSum", [x, np.array(axis)], {"exclusive": keepdims, "reverse": last})


# ---------------------------------------------------------------------- windows


@cases
@given(
    rank=st.integers(1, 3),
    group=st.integers(1, 2),
    seed=seeds,
    bias=st.booleans(),
    auto_pad=st.sampled_from(["NOTSET", "NOTSET", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"]),
    data=st.data(),
)
def test_transposed_convolution(rank, group, seed, bias, auto_pad, data):
    def each(low, high, count=rank):
        return data.draw(st.lists(st.integers(low, high), min_size=count, max_size=count))

    kernel, strides, dilations, sizes = each(1, 3), each(1, 3), each(1, 2), each(1, 5)
    attributes = {"strides": strides, "group": group}
    attributes["output_padding"] = [min(extra, s - 1) for extra, s in zip(each(0, 2), strides, strict=True)]
    if auto_pad != "NOTSET":
        attributes["auto_pad"] = auto_pad
    else:
        attributes |= {"dilations": dilations, "pads": each(0, 1, 2 * rank)}
        whole = zip(sizes, strides, dilations, kernel, strict=True)
        assume(all((n - 1) * s + d * (k - 1) + 1 > 2 for n, s, d, k in whole))
    x = numbers((2, 2 * group, *sizes), seed)
    w = numbers((2 * group, 3, *kernel), seed + 1)
    b = numbers((3 * group,), seed + 2) if bias else None
    hold("ConvTranspose", [x, w, b][: 3 if bias else 2], attributes, atol=1e-4)


@cases
@given(seed=seeds, kernel=st.integers(1, 3), stride=st.integers(1, 3), data=st.data())
def test_transposed_convolution_to_a_given_size(seed, kernel, stride, data):
    sizes = data.draw(st.tuples(*[st.integers(2, 5)] * 2))
    shape = [stride * (n - 1) + data.draw(st.integers(1, kernel + stride - 1)) for n in sizes]
    attributes = {"strides": [stride] * 2, "output_shape": shape}
    hold("ConvTranspose", [numbers((1, 2, *sizes), seed), numbers((2, 3, kernel, kernel), seed)], attributes, atol=1e-4)


@cases
@given(
    rank=st.sampled_from([1, 3]),
    group=st.sampled_from([1, 2]),
    seed=seeds,
    fixed=st.booleans(),
    data=st.data(),
)
def test_convolution_along_one_axis_and_three(rank, group, seed, fixed, data):
    def each(low, high, count=rank):
        return data.draw(st.lists(st.integers(low, high), min_size=count, max_size=count))

    attributes = {"strides": each(1, 2), "dilations": each(1, 2), "pads": each(0, 2, 2 * rank), "group": group}
    w = numbers((4, 4 // group, *each(1, 3)), seed)
    hold("Conv", [numbers((2, 4, *each(5, 7)), seed), w, numbers((4,), seed)], attributes, atol=1e-4, fixed=fixed)


@cases
@given(seed=seeds, p=st.integers(1, 3), data=st.data())
def test_lp_pooling(seed, p, data):
    kernel = data.draw(st.tuples(*[st.integers(1, 3)] * 2))
    pads = [data.draw(st.integers(0, k - 1)) for k in kernel * 2]
    attributes = {
        "kernel_shape": kernel,
        "strides": data.draw(st.tuples(*[st.integers(1, 2)] * 2)),
        "p": p,
        "pads": pads,
    }
    hold("LpPool", [numbers((1, 2, 6, 7), seed)], attributes)
    hold("GlobalLpPool", [numbers((1, 2, 6, 7), seed)], {"p": p})


@cases
@given(
    rank=st.integers(1, 3),
    seed=seeds,
    auto_pad=st.sampled_from(["NOTSET", "NOTSET", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"]),
    ceil_mode=st.integers(0, 1),
    counted=st.integers(0, 1),
    data=st.data(),
)
def test_pooling(rank, seed, auto_pad, ceil_mode, counted, data):
    def each(low, high, count=rank):
        return data.draw(st.lists(st.integers(low, high), min_size=count, max_size=count))

    kernel, strides, dilations = each(1, 3), each(1, 3), each(1, 2)
    attributes = {"kernel_shape": kernel, "strides": strides, "ceil_mode": ceil_mode}
    if auto_pad != "NOTSET":
        attributes |= {"auto_pad": auto_pad, "ceil_mode": 0}
        assume(auto_pad == "VALID" or all(k >= s for k, s in zip(kernel, strides, strict=True)))  # else refused there
    else:
        attributes |= {"dilations": dilations, "pads": [data.draw(st.integers(0, k - 1)) for k in kernel * 2]}
    x = numbers((2, 3, *each(5, 8)), seed)
    hold("MaxPool", [x], attributes, outputs=2 if auto_pad == "NOTSET" else 1)
    attributes["count_include_pad"] = counted and not ceil_mode  # beyond the padding, versions count differently
    hold("AveragePool", [x], attributes, opset=19)
    hold("GlobalAveragePool", [x])
    hold("GlobalMaxPool", [x])


# ---------------------------------------------------------------------- products


@cases
@given(pair=broadcast_pairs, sizes=st.tuples(*[st.integers(1, 5)] * 3), seed=seeds, vectors=st.booleans())
def test_matrix_products(pair, sizes, seed, vectors):
    m, k, n = sizes
    stacks = [numbers((*lead, *shape), seed) for lead, shape in zip(pair, ((m, k), (k, n)), strict=True)]
    hold("MatMul", stacks)
    if vectors:
        hold("MatMul", [stacks[0], numbers((k,), seed)])
        hold("MatMul", [numbers((k,), seed), stacks[1]])
    hold("Det", [numbers((*pair[1], m, m), seed)], opset=11, rtol=1e-3, atol=1e-3)


@cases
@given(
    sizes=st.tuples(*[st.integers(1, 6)] * 3),
    seed=seeds,
    transposed=st.tuples(*[st.integers(0, 1)] * 2),
    factors=st.tuples(*[st.sampled_from([0.0, 0.5, 1.0])] * 2),
    fixed=st.booleans(),
    data=st.data(),
)
def test_gemm(sizes, seed, transposed, factors, fixed, data):
    m, k, n = sizes
    a, b = ((k, m) if transposed[0] else (m, k)), ((n, k) if transposed[1] else (k, n))
    c = data.draw(st.sampled_from([None, (n,), (1, n), (m, 1), (m, n), (1,), ()]))
    attributes = {"transA": transposed[0], "transB": transposed[1], "alpha": factors[0], "beta": factors[1]}
    inputs = [numbers(a, seed), numbers(b, seed + 1), *([] if c is None else [numbers(c, seed + 2)])]
    hold("Gemm", inputs, attributes, fixed=fixed)


# ---------------------------------------------------------------------- normalisation


@cases
@given(
    shape=shapes(2, 4),
    seed=seeds,
    bias=st.booleans(),
    epsilon=st.sampled_from([1e-5, 1e-2]),
    data=st.data(),
)
def test_layer_normalization(shape, seed, bias, epsilon, data):
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    inner = shape[axis:]
    inputs = [numbers(shape, seed), numbers(inner, seed + 1), numbers(inner, seed + 2)]
    hold(
        "LayerNormalization",
        inputs[: 3 if bias else 2],
        {"axis": axis, "epsilon": epsilon},
        outputs=3,
        atol=1e-4,
        rtol=1e-3,
    )


@cases
@given(
    sizes=st.tuples(*[st.integers(1, 4)] * 5),
    shared=st.integers(1, 3),
    seed=seeds,
    mask=st.sampled_from([None, np.float32, bool]),
    data=st.data(),
)
def test_attention(sizes, shared, seed, mask, data):
    batch, heads, size, queries, more = sizes
    flat, causal, past = (data.draw(st.booleans()) for _ in range(3))
    attributes = {"is_causal": int(causal), "softcap": data.draw(st.sampled_from([0.0, 2.0]))}
    attributes |= data.draw(st.sampled_from([{}, {"scale": 0.3}]))
    inputs = [numbers((batch, shared * heads, queries, size), seed)]
    inputs += [numbers((batch, heads, queries, length), seed + length) for length in (size, size + 1)]
    if flat:
        inputs = [x.swapaxes(1, 2).reshape(batch, queries, -1) for x in inputs]
        attributes |= {"q_num_heads": shared * heads, "kv_num_heads": heads}
    keys = queries + (more if past else 0)
    seen = None if mask is None else numbers((queries, keys), seed + 9, mask)
    if mask is bool:
        seen[:, 0] = True  # ONNX Runtime gives a mean for a query that sees nothing, the specification zero
    inputs.append(seen)
    inputs += [numbers((batch, heads, more, length), seed + length) for length in (size, size + 1)] if past else []
    hold("Attention", inputs, attributes, opset=23, outputs=3 if past else 1)


@cases
@given(groups=st.integers(1, 3), each=st.integers(1, 3), spatial=shapes(1, 2), seed=seeds)
def test_group_and_instance_normalization(groups, each, spatial, seed):
    channels = groups * each
    x = numbers((2, channels, *spatial), seed)
    scale, bias = numbers((channels,), seed + 1), numbers((channels,), seed + 2)
    hold("GroupNormalization", [x, scale, bias], {"num_groups": groups}, opset=21, atol=1e-3, rtol=1e-3)
    hold("InstanceNormalization", [x, scale, bias], {"epsilon": 1e-2}, atol=1e-4)
    if len(spatial) == 2:
        hold("LRN", [x], {"size": 3, "alpha": 0.1})
    hold("BatchNormalization", [x, scale, bias, bias, np.abs(scale) + 0.1], opset=15, atol=1e-4)
    hold("MeanVarianceNormalization", [x], {"axes": [0, *range(2, x.ndim)]}, opset=13, atol=1e-3, rtol=1e-3)
    hold("Dropout", [x], opset=13)
    hold("RMSNormalization", [x, numbers(spatial[-1:], seed)], opset=23)


# ---------------------------------------------------------------------- moving and indexing


@cases
@given(shape=shapes(1, 3), seed=seeds, data=st.data())
def test_gathering_and_scattering(shape, seed, data):
    rank = len(shape)
    axis = data.draw(st.integers(-rank, rank - 1))
    x, rng = numbers(shape, seed), np.random.default_rng(seed)
    hold("Gather", [x, rng.integers(-shape[axis], shape[axis], data.draw(shapes(0, 2, 3)))], {"axis": axis})
    small = tuple(data.draw(st.integers(1, size)) for size in shape)
    indices = rng.integers(-shape[axis], shape[axis], small)
    hold("GatherElements", [x, indices], {"axis": axis})
    one = np.moveaxis(np.argsort(rng.random(shape), axis), 0, 0)[tuple(map(slice, small))]  # no place twice
    reduction = data.draw(st.sampled_from(["none", "add", "mul", "max", "min"]))
    inputs = [x, one if reduction == "none" else indices, numbers(small, seed + 1)]
    hold("ScatterElements", inputs, {"axis": axis, "reduction": reduction})
    depth = data.draw(st.integers(1, rank))
    places = np.stack([rng.integers(-size, size, (2, 3)) for size in shape[:depth]], -1)
    hold("GatherND", [x, places])
    if reduction != "none":
        hold("ScatterND", [x, places, numbers((2, 3, *shape[depth:]), seed)], {"reduction": reduction})
    single = np.array([[size - 1 for size in shape[:depth]]])
    hold("ScatterND", [x, single, numbers((1, *shape[depth:]), seed)])


@cases
@given(batch=st.integers(1, 3), shape=shapes(2, 3), seed=seeds)
def test_gather_nd_with_a_batch(batch, shape, seed):
    rng = np.random.default_rng(seed)
    places = np.stack([rng.integers(0, size, (batch, 2)) for size in shape[:1]], -1)
    hold("GatherND", [numbers((batch, *shape), seed), places], {"batch_dims": 1})


@cases
@given(
    shape=shapes(2, 4),
    seed=seeds,
    k=st.integers(-6, 6),
    upper=st.integers(0, 1),
    b=st.integers(1, 3),
)
def test_triangles_blocks_and_the_like(shape, seed, k, upper, b):
    hold("Trilu", [numbers(shape, seed), np.array(k)], {"upper": upper})
    hold("EyeLike", [numbers(shape[:2], seed)], {"k": k})
    hold("NonZero", [numbers(shape, seed, np.int64)])
    mode = ["DCR", "CRD"][upper]
    hold("DepthToSpace", [numbers((1, 2 * b * b, 2, 3), seed)], {"blocksize": b, "mode": mode})
    hold("SpaceToDepth", [numbers((1, 2, 2 * b, 3 * b), seed)], {"blocksize": b})
    hold("OneHot", [numbers((2, 3), seed, np.int64), np.array([4]), np.float32([0, 1])], {"axis": -1 - upper})
    hold("Compress", [numbers(shape, seed), numbers((shape[0],), seed, bool)], {"axis": 0})


@cases
@given(shape=shapes(2, 4), seed=seeds, data=st.data())
def test_bits_shapes_and_sequences(shape, seed, data):
    x, y = numbers(shape, seed, np.int32, -100, 100), numbers(shape, seed + 1, np.int32, -100, 100)
    for op_type in ("BitwiseAnd", "BitwiseOr", "BitwiseXor"):
        hold(op_type, [x, y])
    hold("BitwiseNot", [x])
    hold("Not", [numbers(shape, seed, bool)])
    start, end = (data.draw(st.integers(-5, 5)) for _ in range(2))
    hold("Shape", [x], {"start": start, "end": end})
    hold("Size", [x])
    hold("ConstantOfShape", [np.array(shape)], {"value": numpy_helper.from_array(np.int64([seed]))})
    batch = data.draw(st.integers(0, 1))
    lengths = [data.draw(st.integers(1, shape[1 - batch])) for _ in range(shape[batch])]
    hold("ReverseSequence", [x, np.array(lengths)], {"batch_axis": batch, "time_axis": 1 - batch})
    axis = data.draw(st.integers(0, len(shape) - 1))
    places = np.argsort(np.random.default_rng(seed).random(shape), axis)
    hold("Scatter", [x, places, y], {"axis": axis}, opset=10)


@cases
@given(
    start=st.integers(-5, 5), count=st.integers(0, 6), step=st.sampled_from([-3, -1, 1, 2]), part=st.floats(0.1, 0.9)
)
def test_ranges(start, count, step, part):
    for dtype in (np.int64, np.float32):
        limit = start + count * step if dtype == np.int64 else start + (count + part) * step
        hold("Range", [np.array(value, dtype) for value in (start, limit, step)])


@cases
@given(
    shape=shapes(1, 4),
    seed=seeds,
    mode=st.sampled_from(["constant", "edge", "reflect", "wrap"]),
    data=st.data(),
)
def test_padding_and_cropping(shape, seed, mode, data):
    low = -1 if mode == "constant" else 0
    ends = [
        data.draw(st.integers(low, 0 if mode == "reflect" and size == 1 else size - 1 if mode == "reflect" else 3))
        for size in shape * 2
    ]
    assume(all(size + a + b > 0 for size, a, b in zip(shape, ends, ends[len(shape) :], strict=False)))
    value = np.float32(7) if mode == "constant" else None
    hold(
        "Pad", [numbers(shape, seed), np.array(ends), value][: 3 if mode == "constant" else 2], {"mode": mode}, opset=19
    )


@cases
@given(shape=shapes(1, 4), seed=seeds, data=st.data())
def test_slicing_splitting_and_shaping(shape, seed, data):
    x, rank = numbers(shape, seed), len(shape)
    axes = data.draw(st.lists(st.integers(0, rank - 1), min_size=1, unique=True))
    ends = [data.draw(st.lists(st.integers(-9, 9), min_size=len(axes), max_size=len(axes))) for _ in range(2)]
    steps = data.draw(st.lists(st.sampled_from([-2, -1, 1, 2, 3]), min_size=len(axes), max_size=len(axes)))
    hold("Slice", [x, *map(np.array, ends), np.array(axes), np.array(steps)])
    axis = data.draw(st.integers(-rank, rank - 1))
    first = data.draw(st.integers(0, shape[axis]))
    hold("Split", [x, np.array([first, shape[axis] - first])], {"axis": axis}, outputs=2)
    hold("Concat", [x, x, x[:1] if axis in (0, -rank) else x], {"axis": axis})
    hold("Tile", [x, np.array(data.draw(st.lists(st.integers(0, 3), min_size=rank, max_size=rank)))])
    hold("Expand", [x, np.array([2, *[1] * rank])])
    hold("Transpose", [x], {"perm": data.draw(st.permutations(range(rank)))})
    hold("Unsqueeze", [x, np.array(data.draw(st.lists(st.integers(0, rank), min_size=1, max_size=2, unique=True)))])
    hold("Flatten", [x], {"axis": data.draw(st.integers(-rank, rank))})
    hold("Reshape", [x, np.array([0, -1])])
    hold("Squeeze", [x[None], np.array([0])])


EQUATIONS = [
    "ij,jk->ik",
    "bij,bjk->bik",
    "bhqd,bhkd->bhqk",
    "ij->ji",
    "ii->i",
    "i,j->ij",
    "...ij,...jk->...ik",
    "ij,ij->",
]


@cases
@given(equation=st.sampled_from(EQUATIONS), seed=seeds, data=st.data())
def test_einsum(equation, seed, data):
    sizes = {letter: data.draw(st.integers(1, 4)) for letter in "bhqdkij"}
    terms = equation.partition("->")[0].split(",")
    arrays = [
        numbers([2] * term.startswith("...") + [sizes[c] for c in term if c.isalpha()], seed + i)
        for i, term in enumerate(terms)
    ]
    hold("Einsum", arrays, {"equation": equation})


# ---------------------------------------------------------------------- resizing and detection

COORDINATES = ["half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric"]


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@cases
@given(
    shape=st.tuples(st.integers(1, 2), st.integers(1, 2), st.integers(2, 7), st.integers(2, 7)),
    seed=seeds,
    by_size=st.booleans(),
    coordinates=st.sampled_from(COORDINATES),
    nearest=st.sampled_from(["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]),
    outside=st.integers(0, 1),
    data=st.data(),
)
def test_resize(mode, shape, seed, by_size, coordinates, nearest, outside, data):
    attributes = {"mode": mode, "coordinate_transformation_mode": coordinates}
    if mode == "nearest":
        attributes["nearest_mode"] = nearest
    if mode == "cubic":
        attributes |= {"exclude_outside": outside, "cubic_coeff_a": [-0.75, -0.5][outside]}
    if by_size:
        sizes = [*shape[:2], *data.draw(st.tuples(*[st.integers(1, 15)] * 2))]
        inputs = [None, None, np.array(sizes)]
    else:
        scales = data.draw(st.tuples(*[st.sampled_from([0.5, 0.6, 1, 1.5, 2, 2.7, 3])] * 2))
        inputs = [None, np.float32([1, 1, *scales])]
    hold("Resize", [numbers(shape, seed), *inputs], attributes, opset=19)


@pytest.mark.parametrize("mode", ["linear", "cubic"])
@cases
@given(
    size=st.tuples(*[st.integers(4, 9)] * 2), out=st.tuples(*[st.integers(2, 9)] * 2), seed=seeds, outside=st.booleans()
)
def test_resize_with_antialias(mode, size, out, seed, outside):
    attributes = {"mode": mode, "antialias": 1, "axes": [2, 3], "exclude_outside": int(outside)}
    attributes["coordinate_transformation_mode"] = "half_pixel"
    hold(
        "Resize", [numbers((1, 2, *size), seed), None, None, np.array(out)], attributes, opset=19, rtol=1e-3, atol=1e-4
    )


@cases
@given(
    policy=st.sampled_from(["stretch", "not_larger", "not_smaller"]),
    out=st.tuples(*[st.integers(2, 9)] * 2),
    seed=seeds,
)
def test_resize_within_a_policy(policy, out, seed):
    attributes = {"mode": "linear", "axes": [2, 3], "keep_aspect_ratio_policy": policy}
    hold("Resize", [numbers((1, 1, 4, 6), seed), None, None, np.array(out)], attributes, opset=19)


@cases
@given(
    shape=st.tuples(*[st.integers(1, 4)] * 4),
    seed=seeds,
    scales=st.tuples(*[st.sampled_from([1, 1.5, 2, 3])] * 2),
    mode=st.sampled_from(["nearest", "linear"]),
)
def test_upsample(shape, seed, scales, mode):
    hold("Upsample", [numbers(shape, seed), np.float32([1, 1, *scales])], {"mode": mode}, opset=9)


@cases
@given(
    seed=seeds,
    roi=st.tuples(*[st.floats(-0.2, 0.4)] * 2, *[st.floats(0.6, 1.2)] * 2),
    mode=st.sampled_from(["nearest", "linear"]),
)
def test_resize_of_a_crop(seed, roi, mode):
    attributes = {"mode": mode, "coordinate_transformation_mode": "tf_crop_and_resize", "extrapolation_value": 9.0}
    region = np.float32([0, 0, *roi[:2], 1, 1, *roi[2:]])
    hold("Resize", [numbers((1, 1, 5, 6), seed), region, None, np.array([1, 1, 4, 7])], attributes, opset=13)


@cases
@given(
    seed=seeds,
    mode=st.sampled_from(["linear", "nearest", "cubic"]),
    padding=st.sampled_from(["zeros", "border", "reflection"]),
    corners=st.integers(0, 1),
    size=st.tuples(*[st.integers(2, 6)] * 2),
)
def test_grid_sample(seed, mode, padding, corners, size):
    grid = numbers((2, 3, 4, 2), seed + 1, low=-1.4, high=1.4)
    attributes = {"mode": mode, "padding_mode": padding, "align_corners": corners}
    hold("GridSample", [numbers((2, 2, *size), seed), grid], attributes, opset=20, atol=1e-4)


@cases
@given(
    seed=seeds,
    mode=st.sampled_from(["avg", "max"]),
    half=st.sampled_from(["half_pixel", "output_half_pixel"]),
    ratio=st.integers(0, 3),
    out=st.tuples(*[st.integers(1, 4)] * 2),
)
def test_roi_align(seed, mode, half, ratio, out):
    corner = numbers((3, 2), seed, low=-2, high=5)
    rois = np.concatenate([corner, corner + numbers((3, 2), seed + 1, low=0.5, high=6)], 1)
    attributes = {"mode": mode, "sampling_ratio": ratio, "spatial_scale": 0.7, "output_height": out[0]}
    attributes |= {"output_width": out[1], "coordinate_transformation_mode": half}
    inputs = [numbers((2, 2, 6, 7), seed), rois, np.array([0, 1, 0])]
    hold("RoiAlign", inputs, attributes, atol=1e-4)


@cases
@given(
    seed=seeds,
    count=st.integers(1, 12),
    center=st.integers(0, 1),
    iou=st.floats(0, 0.9),
    least=st.none() | st.floats(0, 1),
)
def test_non_max_suppression(seed, count, center, iou, least):
    corner = numbers((2, count, 2), seed, low=0, high=1)
    boxes = np.concatenate([corner, corner + numbers((2, count, 2), seed + 1, low=0.1, high=1)], 2)
    scores = numbers((2, 2, count), seed + 2, low=0, high=1)
    limits = [np.array([4]), np.float32([iou]), None if least is None else np.float32([least])]
    inputs = [boxes, scores, *limits]
    hold("NonMaxSuppression", inputs[: 4 if least is None else 5], {"center_point_box": center})
