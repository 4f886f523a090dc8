"""The textbook's operations: each against ONNX Runtime in float32 and against its definition in float64."""

from __future__ import annotations

import itertools
import math

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from numpyvgg.errors import ArgumentError
from numpyvgg.kernels import Kernels
from numpyvgg.layers import Textbook, conv2d, im2col, linear, max_pool, output_size, relu, softmax, softmax_flattened

EXAMPLES = settings(max_examples=60, deadline=None)
UNIT_ROUNDOFF = 2.0**-24  # of float32


def runtime(op_type: str, *inputs: np.ndarray, opset: int = 13, **attributes) -> np.ndarray:
    """One operator, computed by ONNX Runtime."""
    names = [f"input{i}" for i in range(len(inputs))]
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, x.shape) for n, x in zip(names, inputs, strict=True)]
    graph = helper.make_graph(
        [helper.make_node(op_type, names, ["y"], **attributes)],
        "one",
        values,
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, dict(zip(names, inputs, strict=True)))[0]


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


@st.composite
def windows(draw, widest_pad: int = 3):
    """A window, and an image that it fits at least once. Pads are no wider than `widest_pad` taps beyond the kernel."""
    kernel_shape, strides, dilations = draw(pairs), draw(pairs), draw(pairs)
    pads = tuple(draw(st.integers(0, min(3, kernel_shape[i % 2] - 1 + widest_pad))) for i in range(4))
    size = []
    for axis in (0, 1):
        span = dilations[axis] * (kernel_shape[axis] - 1) + 1
        size.append(draw(st.integers(max(1, span - pads[axis] - pads[axis + 2]), 12)))
    return {"size": size, "kernel_shape": kernel_shape, "strides": strides, "pads": pads, "dilations": dilations}


def exact_conv(x, weight, bias, strides, pads, dilations, group):
    """The definition of a convolution, one output pixel after the other, in float64."""
    x = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (pads[0], pads[2]), (pads[1], pads[3])))
    filters, channels, kernel_h, kernel_w = weight.shape
    span_h, span_w = dilations[0] * (kernel_h - 1) + 1, dilations[1] * (kernel_w - 1) + 1
    out_h, out_w = (x.shape[2] - span_h) // strides[0] + 1, (x.shape[3] - span_w) // strides[1] + 1
    y = np.empty((len(x), filters, out_h, out_w))
    for m, i, j in itertools.product(range(filters), range(out_h), range(out_w)):
        first = m // (filters // group) * channels
        top, left = i * strides[0], j * strides[1]
        seen = x[:, first : first + channels, top : top + span_h : dilations[0], left : left + span_w : dilations[1]]
        y[:, m, i, j] = (seen * weight[m].astype(np.float64)).sum(axis=(1, 2, 3)) + bias[m]
    return y


@EXAMPLES
@given(windows(), st.integers(1, 2), st.integers(1, 3), st.integers(1, 2), st.integers(1, 2), st.integers(0, 99))
def test_conv2d_is_the_convolution_of_its_definition_and_of_onnx_runtime(window, n, group, in_each, out_each, seed):
    size, kernel_shape = window.pop("size"), window.pop("kernel_shape")
    x = normal(seed, n, group * in_each, *size)
    weight, bias = normal(seed + 1, group * out_each, in_each, *kernel_shape), normal(seed + 2, group * out_each)
    y = conv2d(x, weight, bias, **window, group=group)

    exact = exact_conv(x, weight, bias, **window, group=group)
    magnitude = exact_conv(abs(x), abs(weight), abs(bias), **window, group=group)
    terms = weight[0].size + 1
    assert y.dtype == np.float32
    assert (abs(y - exact) <= terms * UNIT_ROUNDOFF / (1 - terms * UNIT_ROUNDOFF) * magnitude).all()

    theirs = runtime("Conv", x, weight, bias, kernel_shape=kernel_shape, **window, group=group)
    assert theirs.shape == y.shape
    assert (abs(y - theirs) <= 2 * terms * UNIT_ROUNDOFF / (1 - terms * UNIT_ROUNDOFF) * magnitude).all()

    double = conv2d(x.astype(np.float64), weight.astype(np.float64), bias.astype(np.float64), **window, group=group)
    np.testing.assert_allclose(double, exact, rtol=0, atol=1e-13 * max(1, magnitude.max()))


@EXAMPLES
@given(windows(widest_pad=0), st.booleans(), st.integers(0, 99))  # ONNX Runtime refuses wider pads
def test_max_pool_equals_onnx_runtime_to_the_last_bit(window, ceil_mode, seed):
    x = normal(seed, 2, 3, *window.pop("size"))
    y = max_pool(x, **window, ceil_mode=ceil_mode)
    theirs = runtime("MaxPool", x, **window, ceil_mode=int(ceil_mode))
    theirs[theirs == np.finfo(np.float32).min] = -np.inf  # its word for a dilated window that sees only padding
    np.testing.assert_array_equal(y, theirs)


@EXAMPLES
@given(windows(), st.integers(0, 99))
def test_im2col_has_a_column_for_each_window_in_the_order_of_the_weights(window, seed):
    x = normal(seed, 2, 3, *window.pop("size"))
    columns = im2col(x, **window)
    weight = normal(seed, 5, 3, *window["kernel_shape"])
    kernel_shape = window.pop("kernel_shape")
    y = runtime("Conv", x, weight, kernel_shape=kernel_shape, **window)
    assert columns.shape == (2, 3 * math.prod(kernel_shape), math.prod(y.shape[2:]))
    product = weight.reshape(5, -1) @ columns
    np.testing.assert_allclose(product.reshape(y.shape), y, rtol=0, atol=1e-4)


@EXAMPLES
@given(
    st.tuples(*[st.integers(1, 9)] * 3), st.integers(0, 1), st.integers(0, 1), st.sampled_from([1.0, 0.5, -2.0]),
    st.sampled_from([1.0, 0.25]), st.sampled_from(["none", "row", "column", "scalar", "full"]),
)  # fmt: skip
def test_linear_is_onnx_runtimes_gemm(sizes, trans_a, trans_b, alpha, beta, bias_form):
    n, k, m = sizes
    x, weight = normal(n, *((k, n) if trans_a else (n, k))), normal(m, *((m, k) if trans_b else (k, m)))
    bias = {
        "none": None,
        "row": normal(1, m),
        "column": normal(1, n, 1),
        "scalar": normal(1, 1),
        "full": normal(1, n, m),
    }
    c = bias[bias_form]
    y = linear(x, weight, c, alpha=alpha, beta=beta, transA=trans_a, transB=trans_b)
    inputs = [x, weight] if c is None else [x, weight, c]
    theirs = runtime("Gemm", *inputs, alpha=alpha, beta=beta, transA=trans_a, transB=trans_b)
    np.testing.assert_allclose(y, theirs, rtol=1e-5, atol=1e-5)
    assert y.dtype == np.float32


@pytest.mark.thorough
@EXAMPLES
@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.integers(0, 99), st.sampled_from([1.0, 30.0, 1000.0]))
def test_softmax_follows_both_rules_of_onnx_runtime(shape, seed, scale):
    x = normal(seed, *shape) * np.float32(scale)
    for axis in range(-len(shape), len(shape)):
        np.testing.assert_allclose(softmax(x, axis), runtime("Softmax", x, axis=axis, opset=13), rtol=1e-5, atol=1e-7)
        flattened = runtime("Softmax", x, axis=axis, opset=11)
        np.testing.assert_allclose(softmax_flattened(x, axis), flattened, rtol=1e-5, atol=1e-7)


def test_windows_that_say_nothing_else_move_by_one_pixel_without_padding_as_in_onnx_runtime():
    x, weight = normal(0, 2, 3, 7, 9), normal(1, 4, 3, 2, 3)
    np.testing.assert_array_equal(max_pool(x, (2, 3)), runtime("MaxPool", x, kernel_shape=(2, 3)))
    np.testing.assert_allclose(conv2d(x, weight), runtime("Conv", x, weight), rtol=1e-5, atol=1e-5)
    columns = weight.reshape(4, -1) @ im2col(x, (2, 3))
    np.testing.assert_allclose(columns.reshape(2, 4, 6, 7), runtime("Conv", x, weight), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(softmax(x), softmax(x, axis=3))


@pytest.mark.parametrize("ops", [Textbook(), Kernels("im2col"), Kernels("winograd")], ids=str)
@pytest.mark.parametrize("bias", [None, normal(2, 32)], ids=["no bias", "bias"])
def test_every_set_of_operations_has_the_defaults_of_onnx(ops, bias):
    x, weight = normal(0, 2, 16, 8, 9), normal(1, 32, 16, 3, 3)
    wanted = runtime("Conv", x, weight, *([] if bias is None else [bias]))
    np.testing.assert_allclose(ops.conv2d(x, ops.prepare_conv(weight, bias)), wanted, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(ops.conv_relu(x, ops.prepare_conv(weight, bias)), relu(wanted), rtol=1e-4, atol=1e-3)
    x, weight = normal(3, 2, 5), normal(4, 32, 5)
    theirs = runtime("Gemm", x, weight, *([] if bias is None else [bias]), transB=1)
    np.testing.assert_allclose(ops.linear(x, ops.prepare_linear(weight, bias)), theirs, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(ops.linear_relu(x, ops.prepare_linear(weight, bias)), relu(theirs), rtol=1e-5, atol=1e-5)


def test_relu_equals_onnx_runtime_to_the_last_bit():
    x = np.concatenate([normal(0, 1000), np.float32([0.0, -0.0, np.inf, -np.inf])])
    np.testing.assert_array_equal(relu(x), runtime("Relu", x))


@pytest.mark.parametrize(
    "call",
    [
        lambda: conv2d(normal(0, 1, 3, 8, 8), normal(0, 4, 2, 3, 3)),
        lambda: conv2d(normal(0, 1, 4, 8, 8), normal(0, 3, 2, 3, 3), group=2),
        lambda: conv2d(normal(0, 1, 3, 2, 2), normal(0, 4, 3, 3, 3)),
        lambda: linear(normal(0, 2, 3), normal(0, 4, 5)),
        lambda: output_size(2, 3, 1, 0, 0),
    ],
)
def test_shapes_that_do_not_go_together_are_told(call):
    with pytest.raises(ArgumentError, match=r"fit|exist"):
        call()
