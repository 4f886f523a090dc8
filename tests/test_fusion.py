"""What follows a convolution is done in its step, and the answers stay those of the parts, and ONNX Runtime's."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from numpyvgg import InferenceSession, SessionOptions

#: Nodes from tensor "s" to tensor "y".
ACTIVATIONS = {
    "Relu": [helper.make_node("Relu", ["s"], ["y"])],
    "Clip": [helper.make_node("Clip", ["s", "low", "six"], ["y"])],
    "Clip from below": [helper.make_node("Clip", ["s", "low"], ["y"])],
    "Clip from above": [helper.make_node("Clip", ["s", "", "six"], ["y"])],
    "LeakyRelu": [helper.make_node("LeakyRelu", ["s"], ["y"], alpha=0.2)],
    "LeakyRelu, its default": [helper.make_node("LeakyRelu", ["s"], ["y"])],
    "Sigmoid": [helper.make_node("Sigmoid", ["s"], ["y"])],
    "HardSigmoid": [helper.make_node("HardSigmoid", ["s"], ["y"], alpha=0.3, beta=0.4)],
    "HardSigmoid, its defaults": [helper.make_node("HardSigmoid", ["s"], ["y"])],
    "HardSwish": [helper.make_node("HardSwish", ["s"], ["y"])],
    "x * Sigmoid(x)": [helper.make_node("Sigmoid", ["s"], ["t"]), helper.make_node("Mul", ["t", "s"], ["y"])],
    "x * HardSigmoid(x)": [helper.make_node("HardSigmoid", ["s"], ["t"]), helper.make_node("Mul", ["s", "t"], ["y"])],
}
CONVOLUTIONS = {
    "1x1": ((32, 16, 1, 1), {}),
    "depthwise": ((16, 1, 3, 3), {"group": 16, "pads": [1] * 4}),
    "3x3": ((32, 16, 3, 3), {"pads": [1] * 4}),
    "stride 2": ((32, 16, 3, 3), {"pads": [1] * 4, "strides": [2, 2]}),
}


def network(convolution, after, shape_of_other=None):
    """Conv, perhaps an Add of tensor "other", and nodes from "s" to "y"."""
    shape, attributes = CONVOLUTIONS[convolution]
    rng = np.random.default_rng(0)
    weights = {"w": rng.normal(size=shape) * 0.3, "b": rng.normal(size=shape[0])}
    weights |= {"low": np.float32(-0.5), "six": np.float32(6)}
    tensors = [onnx.numpy_helper.from_array(np.asarray(array, np.float32), name) for name, array in weights.items()]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 16, "H", "W"])]
    nodes = [helper.make_node("Conv", ["x", "w", "b"], ["s" if shape_of_other is None else "conv"], **attributes)]
    if shape_of_other is not None:
        inputs.append(helper.make_tensor_value_info("other", TensorProto.FLOAT, [None] * len(shape_of_other)))
        nodes.append(helper.make_node("Add", ["other", "conv"], ["s"]))
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    graph = helper.make_graph([*nodes, *after], "graph", inputs, outputs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def answers(model, feed, conv, threads=1, names=("y",)):
    options = SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("numpyvgg.conv", conv)
    session = InferenceSession(model, options)
    return dict(zip(names, session.run(list(names), feed), strict=True)), session


def steps(session):
    """How many steps the session's only run took."""
    (planned,) = session._steps.values()
    return len(planned)


@pytest.mark.thorough
@pytest.mark.parametrize("conv", ["im2col", "winograd"])
@pytest.mark.parametrize("convolution", CONVOLUTIONS)
@pytest.mark.parametrize("residual", [False, True])
def test_activations_and_residuals_are_done_in_the_convolutions_step_bit_for_bit(convolution, residual, conv):
    filters = CONVOLUTIONS[convolution][0][0]
    size = (7, 9) if convolution != "stride 2" else (4, 5)
    rng = np.random.default_rng(1)
    for name, nodes in ACTIVATIONS.items():
        model = network(convolution, nodes, (2, filters, *size) if residual else None)
        feed = {"x": rng.normal(size=(2, 16, 7, 9)).astype(np.float32) * 4}
        if residual:
            feed["other"] = rng.normal(size=(2, filters, *size)).astype(np.float32)
        fused, session = answers(model, feed, conv)
        assert steps(session) == 1, name
        parts, session = answers(model, feed, conv, names=("s", *(["conv"] if residual else []), "y"))
        assert steps(session) > 1, name
        np.testing.assert_array_equal(fused["y"], parts["y"], err_msg=name)
        threaded, _ = answers(model, feed, conv, threads=3)
        np.testing.assert_array_equal(fused["y"], threaded["y"], err_msg=name)
        expected = onnxruntime.InferenceSession(model.SerializeToString()).run(None, feed)[0]
        rounding = 1e-5 * np.abs(parts["s"]).max()  # no activation here is steeper than 1.5
        np.testing.assert_allclose(fused["y"], expected, rtol=0, atol=rounding, err_msg=name)


def test_infinities_and_nan_pass_through_as_in_onnxruntime():
    x = np.zeros((1, 16, 2, 5), np.float32)
    x[0, 0, 0, :3] = np.inf, -np.inf, np.nan
    for name, nodes in ACTIVATIONS.items():
        model = network("depthwise", nodes)  # which multiplies each number by itself alone
        tensors = {tensor.name: tensor for tensor in model.graph.initializer}
        weight = np.zeros((16, 1, 3, 3), np.float32)
        weight[:, :, 1, 1] = 1
        tensors["w"].CopyFrom(onnx.numpy_helper.from_array(weight[:, :, 1:2, 1:2].copy(), "w"))
        del model.graph.node[0].attribute[:]
        model.graph.node[0].attribute.append(helper.make_attribute("group", 16))
        fused, _ = answers(model, {"x": x}, "im2col")
        parts, _ = answers(model, {"x": x}, "im2col", names=("s", "y"))
        np.testing.assert_array_equal(fused["y"], parts["y"], err_msg=name)


@pytest.mark.parametrize("shape", [(1, 32, 1, 1), (7, 9), (2, 32, 7, 1), (1, 1, 32, 7, 9)])
def test_a_sum_that_broadcasts_is_that_of_the_specification(shape):
    model = network("1x1", ACTIVATIONS["Relu"], shape)
    rng = np.random.default_rng(1)
    feed = {"x": rng.normal(size=(2, 16, 7, 9)).astype(np.float32)}
    feed["other"] = rng.normal(size=shape if shape[-3:] != (32, 7, 9) else (3, 1, 32, 7, 9)).astype(np.float32)
    expected = onnxruntime.InferenceSession(model.SerializeToString()).run(None, feed)[0]
    np.testing.assert_allclose(answers(model, feed, "im2col")[0]["y"], expected, rtol=1e-4, atol=1e-5)


def test_a_residual_that_is_computed_later_or_used_elsewhere_is_waited_for():
    """Two branches that read each other's sums: whichever order the nodes have, the answer is the same."""
    rng = np.random.default_rng(1)
    weights = {name: rng.normal(size=(16, 16, 1, 1)).astype(np.float32) for name in ("w", "v")}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"]),
        helper.make_node("Conv", ["x", "v"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["sum"]),
        helper.make_node("Relu", ["sum"], ["relu"]),
        helper.make_node("Sigmoid", ["relu"], ["gate"]),
        helper.make_node("Mul", ["gate", "sum"], ["y"]),  # no gate of its own argument: that is relu, not sum
    ]
    x = rng.normal(size=(1, 16, 5, 5)).astype(np.float32)
    for order in (nodes, nodes[::-1], [nodes[1], nodes[0], *nodes[2:]]):
        inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 16, 5, 5])]
        outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
        tensors = [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()]
        graph = helper.make_graph(order, "graph", inputs, outputs, tensors)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        sum_ = np.einsum("mc,nchw->nmhw", (weights["w"] + weights["v"])[:, :, 0, 0].astype(float), x)
        expected = sum_ / (1 + np.exp(-np.maximum(sum_, 0)))
        np.testing.assert_allclose(answers(model, {"x": x}, "im2col")[0]["y"], expected, rtol=1e-4, atol=1e-5)
