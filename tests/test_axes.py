"""Convolutions along one axis and along three are the kernels' too; the answers are ONNX Runtime's and float64's."""

from __future__ import annotations

import math

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view
from onnx import TensorProto, helper

from numpyvgg import InferenceSession, SessionOptions

UNIT = 2.0**-24  # the rounding of one float32 operation, of its result


def network(nodes, weights, inputs=("x",)):
    values = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in side] for side in (inputs, "y")]
    tensors = [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "graph", *values, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def onnxruntimes(model, feed):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options).run(None, feed)[0]


def ours(model, feed, conv="im2col", threads=1):
    options = SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("numpyvgg.conv", conv)
    session = InferenceSession(model, options)
    assert session.textbook_convolutions() == []
    return session.run(None, feed)[0]


def by_definition(x, w, window):
    """The sum over channels and taps, in float64; pads as `auto_pad` is defined."""
    axes = range(w.ndim - 2)
    extents = [(w.shape[2 + i] - 1) * window["dilations"][i] + 1 for i in axes]
    around = []
    for i in axes:
        size, stride = x.shape[2 + i], window["strides"][i]
        total = max((math.ceil(size / stride) - 1) * stride + extents[i] - size, 0)
        pads = window["pads"][i], window["pads"][len(axes) + i]
        same = {"SAME_UPPER": (total // 2, total - total // 2), "SAME_LOWER": (total - total // 2, total // 2)}
        around.append(same.get(window["auto_pad"], (0, 0) if window["auto_pad"] == "VALID" else pads))
    x = np.pad(x.astype(np.float64), [(0, 0), (0, 0), *around])
    seen = sliding_window_view(x, extents, axis=tuple(2 + i for i in axes))
    places = [slice(None, None, window["strides"][i]) for i in axes]
    seen = seen[(..., *places, *(slice(None, None, window["dilations"][i]) for i in axes))]
    seen = seen.reshape(len(x), window["group"], -1, *seen.shape[2:])  # [N, group, C / group, out..., taps...]
    filters = w.astype(np.float64).reshape(window["group"], -1, *w.shape[1:])  # [group, M / group, C / group, taps...]
    out, taps = "uvw"[: len(axes)], "rst"[: len(axes)]
    y = np.einsum(f"ngc{out}{taps},gmc{taps}->ngm{out}", seen, filters)
    return y.reshape(len(x), len(w), *y.shape[3:])


@st.composite
def windows(draw, axes, longest):
    each = st.lists(st.integers(1, 3), min_size=axes, max_size=axes)
    auto_pad = draw(st.sampled_from(["NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"]))
    pads = draw(st.lists(st.integers(0, 2), min_size=2 * axes, max_size=2 * axes)) if auto_pad == "NOTSET" else []
    window = {"auto_pad": auto_pad, "pads": pads or [0] * 2 * axes, "strides": draw(each), "kernel_shape": draw(each)}
    window["dilations"] = draw(each) if auto_pad == "NOTSET" else [1] * axes  # ONNX Runtime takes not both
    window["group"] = draw(st.sampled_from([1, 2, 4]))
    return window, draw(st.lists(st.integers(7, longest), min_size=axes, max_size=axes))


@settings(max_examples=60, deadline=None)
@given(windows(1, longest=300) | windows(3, longest=9), st.booleans())
def test_convolutions_of_signals_and_volumes_are_onnxruntimes_and_those_of_float64(drawn, bias):
    window, sizes = drawn
    rng = np.random.default_rng(0)
    weights = {"w": rng.normal(size=(4, 4 // window["group"], *window["kernel_shape"]))}
    weights |= {"b": rng.normal(size=4)} if bias else {}
    weights = {name: array.astype(np.float32) for name, array in weights.items()}
    x = rng.normal(size=(2, 4, *sizes)).astype(np.float32)
    given = {key: value for key, value in window.items() if key != "pads" or window["auto_pad"] == "NOTSET"}
    model = network([helper.make_node("Conv", ["x", *weights], ["y"], **given)], weights)
    y, offset = ours(model, {"x": x}), weights.get("b", np.zeros(4, np.float32)).reshape(-1, *[1] * len(sizes))
    terms = weights["w"][0].size + 1
    bound = terms * UNIT * (by_definition(np.abs(x), np.abs(weights["w"]), window) + np.abs(offset))
    assert (np.abs(y - by_definition(x, weights["w"], window) - offset) <= bound).all()
    assert (np.abs(y - onnxruntimes(model, {"x": x})) <= 2 * bound).all()


SHAPES = {
    "signal": ((24, 16, 3), {"pads": [1, 1]}, (2, 16, 150)),
    "signal with wide gaps": ((24, 16, 3), {"dilations": [32], "pads": [32, 32]}, (2, 16, 150)),
    "volume": ((24, 16, 3, 3, 3), {"pads": [1] * 6}, (2, 16, 5, 9, 11)),
    "depthwise volume": ((16, 1, 3, 3, 3), {"pads": [1] * 6, "group": 16}, (2, 16, 5, 9, 11)),
}


@pytest.mark.parametrize("conv", ["im2col", "winograd"])
@pytest.mark.parametrize("shape", SHAPES)
def test_what_follows_is_done_in_their_step_and_bits_do_not_depend_on_threads(shape, conv):
    weight, attributes, size = SHAPES[shape]
    rng = np.random.default_rng(0)
    weights = {"w": rng.normal(size=weight) * 0.2, "f": rng.normal(size=(weight[0], *[1] * (len(size) - 2)))}
    weights |= {name: rng.uniform(0.5, 2, weight[0]) for name in ("scale", "shift", "mean", "var")}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], **attributes),
        helper.make_node("BatchNormalization", ["c", "scale", "shift", "mean", "var"], ["n"]),
        helper.make_node("Mul", ["n", "f"], ["m"]),
        helper.make_node("LeakyRelu", ["m"], ["y"]),
    ]
    model = network(nodes, {name: array.astype(np.float32) for name, array in weights.items()})
    feed = {"x": rng.normal(size=size).astype(np.float32)}
    expected, y = onnxruntimes(model, feed), ours(model, feed, conv)
    assert np.abs(y - expected).max() <= 1e-5 * np.abs(expected).max()
    for threads in (2, 3):
        np.testing.assert_array_equal(ours(model, feed, conv, threads), y)


@pytest.mark.parametrize("axes", [1, 3])
def test_a_factor_for_each_place_is_not_taken_for_one_of_each_channel(axes):
    """[C, 1, 1] multiplies the images of a batch where signals are, and the slices of a volume."""
    rng = np.random.default_rng(0)
    factor = rng.normal(size=(4, 1, 1)).astype(np.float32)
    weights = {"w": rng.normal(size=(4, 4, *[1] * axes)).astype(np.float32), "f": factor}
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"]), helper.make_node("Mul", ["f", "c"], ["y"])]
    feed = {"x": rng.normal(size=(4, 4, *[4] * axes)).astype(np.float32)}
    model = network(nodes, weights)
    np.testing.assert_allclose(ours(model, feed), onnxruntimes(model, feed), rtol=1e-5, atol=1e-5)


def test_a_session_says_which_convolutions_run_by_the_definition():
    """One whose weight is fed cannot be prepared; one whose weight another node computes from constants can."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], name="fed"),
        helper.make_node("Neg", ["v"], ["n"]),
        helper.make_node("Conv", ["a", "n"], ["b"], name="fixed"),
        helper.make_node("Conv", ["b", "w"], ["y"]),
    ]
    model = network(nodes, {"v": np.ones((1, 1, 1, 1), np.float32)}, inputs=("x", "w"))
    assert InferenceSession(model).textbook_convolutions() == ["fed", "y"]
    options = SessionOptions()
    options.add_session_config_entry("numpyvgg.conv", "textbook")
    assert InferenceSession(model, options).textbook_convolutions() == ["fed", "fixed", "y"]
