"""float16 and bfloat16 networks: computed in float32, and rounded where the graph says so.

ONNX Runtime's processor code has no bfloat16 convolution. It has the Cast, so the oracle is the network in float32 with
casts to bfloat16 and back behind each node, run by ONNX Runtime.
"""

from __future__ import annotations

import itertools

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from numpyvgg import ArgumentError, InferenceSession
from numpyvgg.files.tensor import to_bfloat16

TYPES = {"float16": (TensorProto.FLOAT16, np.float16), "bfloat16": (TensorProto.BFLOAT16, ml_dtypes.bfloat16)}
X = np.random.default_rng(0).standard_normal((2, 3, 16, 16)).astype(ml_dtypes.bfloat16).astype(np.float32)


def network():
    """A small network in float32 whose weights any of the types can hold."""
    random, tensors = np.random.default_rng(1), []

    def weight(name, *shape):
        values = random.normal(0, 0.3, shape).astype(ml_dtypes.bfloat16).astype(np.float32)
        tensors.append(numpy_helper.from_array(values, name))
        return name

    nodes = [
        helper.make_node("Conv", ["x", weight("w1", 8, 3, 3, 3), weight("b1", 8)], ["c1"], pads=[1] * 4),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("MaxPool", ["r1"], ["p1"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["p1", weight("w2", 8, 1, 3, 3)], ["c2"], group=8),
        helper.make_node("Sigmoid", ["c2"], ["s2"]),
        helper.make_node("Mul", ["c2", "s2"], ["m2"]),
        helper.make_node("GlobalAveragePool", ["m2"], ["g2"]),
        helper.make_node("Flatten", ["g2"], ["f2"]),
        helper.make_node("Gemm", ["f2", weight("w3", 5, 8), weight("b3", 5)], ["l3"], transB=1),
        helper.make_node("Softmax", ["l3"], ["y"], axis=1),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 16, 16])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 5])]
    graph = helper.make_graph(nodes, "g", inputs, outputs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def in_half(model, name):
    """The network with all its tensors of the type."""
    data_type, dtype = TYPES[name]
    half = onnx.ModelProto.FromString(model.SerializeToString())
    for tensor in half.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(dtype), tensor.name))
    for value in (*half.graph.input, *half.graph.output):
        value.type.tensor_type.elem_type = data_type
    return half


def with_casts(model, name):
    """The network in float32 with each node's output rounded to the type."""
    rounded = onnx.ModelProto.FromString(model.SerializeToString())
    nodes = list(rounded.graph.node)
    del rounded.graph.node[:]
    for node in nodes:
        output = node.output[0]
        node.output[0] = f"{output}_single"
        rounded.graph.node.extend(
            [
                node,
                helper.make_node("Cast", [node.output[0]], [f"{output}_half"], to=TYPES[name][0]),
                helper.make_node("Cast", [f"{output}_half"], [output], to=TensorProto.FLOAT),
            ]
        )
    return rounded


def by_onnxruntime(model, outputs=None):
    options = onnxruntime.SessionOptions()  # its optimisation drops casts
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model.SerializeToString(), options).run(outputs, {"x": X})


@pytest.mark.parametrize("name", TYPES)
def test_a_network_computes_in_float32_and_rounds_behind_each_node(name):
    model = network()
    tensors = ["c1", "p1", "c2", "m2", "g2", "l3", "y"]
    session = InferenceSession(in_half(model, name))
    assert session.get_inputs()[0].type == session.get_outputs()[0].type == f"tensor({name})"
    ours = session.run(tensors, {"x": X.astype(np.float16) if name == "float16" else X})
    rounded = with_casts(model, name)
    rounded.graph.output.extend(onnx.ValueInfoProto(name=tensor) for tensor in tensors[:-1])
    for tensor, a, b in zip(tensors, ours, by_onnxruntime(rounded, tensors), strict=True):
        assert a.dtype == (np.float16 if name == "float16" else np.float32)
        a = a.astype(np.float32)
        assert np.array_equal(a, a.astype(TYPES[name][1]).astype(np.float32)), tensor
        last_place = {"float16": 2.0**-10, "bfloat16": 2.0**-7}[name] * np.abs(b)
        assert np.abs(a - b).max() <= 2 * last_place.max(), tensor
        assert np.mean(a == b) > 0.9, tensor  # what differs sat between two numbers
    (single,) = by_onnxruntime(model)
    assert np.abs(ours[-1].astype(np.float32) - single).max() > 0, "nothing was rounded"


def test_rounding_to_bfloat16_is_that_of_ml_dtypes():
    bits = np.random.default_rng(0).integers(0, 1 << 32, 1 << 16, np.uint64).astype(np.uint32)
    bits[: 1 << 12] = (bits[: 1 << 12] & 0xFFFF0000) | 0x8000  # ties
    values = np.concatenate([bits.view(np.float32), np.float32([np.inf, -np.inf, np.nan, 0, -0.0, 3.4e38])])
    with np.errstate(invalid="ignore"):  # NaN of all kinds
        expected = values.astype(ml_dtypes.bfloat16).astype(np.float32)
    ours = to_bfloat16(values)
    np.testing.assert_array_equal(ours, expected)
    assert np.array_equal(np.signbit(ours[~np.isnan(ours)]), np.signbit(expected[~np.isnan(expected)]))


@pytest.mark.parametrize("fixed", [False, True], ids=["fed", "folded"])
def test_a_cast_to_bfloat16_rounds(fixed):
    """Weights may lie in the file as float32, to be rounded when the network is opened."""
    casts = [
        helper.make_node("Cast", ["x"], ["half"], to=TensorProto.BFLOAT16),
        helper.make_node("Add", ["half", "half"], ["sum"]),
        helper.make_node("Cast", ["sum"], ["y"], to=TensorProto.FLOAT),
    ]
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [3])
    graph = helper.make_graph(casts, "g", [] if fixed else [value], [onnx.ValueInfoProto(name="y")])
    x = np.float32([1 / 3, 1 + 2**-8, -1e30])
    if fixed:
        graph.initializer.append(numpy_helper.from_array(x, "x"))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (y,) = InferenceSession(model).run(None, {} if fixed else {"x": x})
    half = x.astype(ml_dtypes.bfloat16)
    assert np.array_equal(y, (half + half).astype(np.float32))


def test_a_bfloat16_input_takes_float32_and_ml_dtypes():
    session = InferenceSession(in_half(network(), "bfloat16"))
    answers = [session.run(None, {"x": x})[0] for x in (X, X.astype(ml_dtypes.bfloat16), X + np.float32(1e-5) * X)]
    for a, b in itertools.pairwise(answers):
        assert np.array_equal(a, b)
    with pytest.raises(ArgumentError, match=r"actual tensor\(double\)"):
        session.run(None, {"x": X.astype(np.float64)})


@pytest.mark.parametrize("op_type", ["MatMul", "ReduceSum", "ReduceMean", "Softmax", "CumSum", "LpNormalization"])
def test_sums_of_float16_are_rounded_once(op_type):
    """A sum of 4,096 numbers in float16 would be off by several units in the last place."""
    x = np.random.default_rng(0).uniform(0, 1, (2, 4096)).astype(np.float16)
    more = {"MatMul": [x.T.copy()], "ReduceSum": [np.array([1])], "CumSum": [np.array(1)]}.get(op_type, [])
    attributes = {"ReduceMean": {"axes": [1]}}.get(op_type, {})

    def run(dtype):
        arrays = [a.astype(dtype) if a.dtype == np.float16 else a for a in [x, *more]]
        names = [f"x{i}" for i in range(len(arrays))]
        values = [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
            for name, a in zip(names, arrays, strict=True)
        ]
        node = helper.make_node(op_type, names, ["y"], **attributes)
        graph = helper.make_graph([node], "g", values, [onnx.ValueInfoProto(name="y")])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        return InferenceSession(model).run(None, dict(zip(names, arrays, strict=True)))[0]

    exact = run(np.float64)
    half_of_last_place = np.spacing(exact.astype(np.float16)).astype(np.float64) / 2
    assert np.all(np.abs(run(np.float16).astype(np.float64) - exact) <= 1.01 * half_of_last_place)
