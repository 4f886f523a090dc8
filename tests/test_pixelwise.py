"""Pooling, and operations of each pixel by itself, give in strips on all threads what they give as a whole."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from numpyvgg import InferenceSession, SessionOptions, layers
from numpyvgg.kernels import Kernels


@settings(max_examples=150, deadline=None)
@given(
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    kernel_shape=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    dilations=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    pads=st.tuples(*[st.integers(0, 3)] * 4),
    ceil_mode=st.booleans(),
    between_convolutions=st.booleans(),
)
def test_max_pooling_in_two_directions_is_that_of_the_definition(
    size, kernel_shape, strides, dilations, pads, ceil_mode, between_convolutions
):
    kernels = Kernels(threads=2)
    x = np.random.default_rng(0).normal(size=(2, 3, *size)).astype(np.float32)
    if between_convolutions:
        x = kernels.conv2d(x, kernels.prepare_conv(np.eye(3, dtype=np.float32)[:, :, None, None], None))
    sizes = [
        size[i] + pads[i] + pads[2 + i] - dilations[i] * (kernel_shape[i] - 1) - 1 for i in (0, 1)
    ]  # room beyond the first window
    if min(sizes) < 0:
        return
    window = kernel_shape, strides, pads, dilations
    expected = layers.max_pool(
        np.asarray(x), kernel_shape, strides=strides, pads=pads, dilations=dilations, ceil_mode=ceil_mode
    )
    np.testing.assert_array_equal(kernels.max_pool(x, *window, expected.shape[2:]), expected)


LARGE = (2, 24, 81, 83)
NODES = {
    "MaxPool": helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 0, 1, 1]),
    "MaxPool, ceil_mode": helper.make_node(
        "MaxPool", ["x"], ["y"], kernel_shape=[3, 2], strides=[2, 2], ceil_mode=1, auto_pad="NOTSET"
    ),
    "MaxPool, auto_pad": helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[5, 5], auto_pad="SAME_UPPER"),
    "LRN": helper.make_node("LRN", ["x"], ["y"], size=5, alpha=1e-2, beta=0.75, bias=1.0),
    "LRN, another power": helper.make_node("LRN", ["x"], ["y"], size=3, alpha=1e-2, beta=0.5, bias=2.0),
    "LRN, beyond all channels": helper.make_node("LRN", ["x"], ["y"], size=99, alpha=1e-2),
    "Add": helper.make_node("Add", ["x", "z"], ["y"]),
    "Mul by channel": helper.make_node("Mul", ["c", "x"], ["y"]),
    "Mul by three axes": helper.make_node("Mul", ["x", "three"], ["y"]),
    "Sub that grows": helper.make_node("Sub", ["one", "x"], ["y"]),
    "Clip": helper.make_node("Clip", ["x", "", "most"], ["y"]),
    "Erf": helper.make_node("Erf", ["x"], ["y"]),
}


@pytest.mark.parametrize("name", NODES)
def test_large_images_are_onnxruntimes_on_any_number_of_threads(name):
    rng = np.random.default_rng(0)
    shapes = {"x": LARGE, "z": LARGE, "c": (2, 24, 1, 1), "three": (24, 81, 1), "one": (1, 24, 81, 83), "most": ()}
    node = NODES[name]
    feed = {one: rng.normal(size=shapes[one]).astype(np.float32) for one in node.input if one}
    inputs = [helper.make_tensor_value_info(one, TensorProto.FLOAT, shapes[one]) for one in feed]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    graph = helper.make_graph([node], "graph", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    expected = onnxruntime.InferenceSession(model.SerializeToString()).run(None, feed)[0]
    answers = []
    for threads in (1, 3):
        options = SessionOptions()
        options.intra_op_num_threads = threads
        answers.append(InferenceSession(model, options).run(None, feed)[0])
    np.testing.assert_allclose(answers[0], expected, rtol=2e-5, atol=1e-6)
    np.testing.assert_array_equal(answers[0], answers[1])


def test_sums_below_operator_set_7_match_channels_as_their_axis_says():
    """Where the image is as wide as it has channels, shapes alone would not tell."""
    rng = np.random.default_rng(0)
    feed = {"x": rng.normal(size=(1, 96, 96, 96)).astype(np.float32), "b": rng.normal(size=96).astype(np.float32)}
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, array.shape) for name, array in feed.items()]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    node = helper.make_node("Add", ["x", "b"], ["y"], broadcast=1, axis=1)
    graph = helper.make_graph([node], "graph", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 6)], ir_version=3)
    (y,) = InferenceSession(model).run(None, feed)
    np.testing.assert_array_equal(y, feed["x"] + feed["b"][:, None, None])
