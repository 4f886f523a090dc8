"""Graphs that are not valid are refused with the reason, as ONNX Runtime refuses them; files that ask for too much too.

Each case is tried twice: with the shapes written down, where the session itself is refused, and without them, where the
run is. The oracle for "not valid" is ONNX Runtime, which has to refuse both as well.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

import numpyvgg.errors
from numpyvgg import ArgumentError, InferenceSession, ModelFormatError, UnsupportedModelError
from numpyvgg.errors import NumpyVggError
from numpyvgg.kernels import memory

HOSTILE = Path(__file__).parent / "data" / "hostile"


class Case(NamedTuple):
    op_type: str
    inputs: list[Any]
    reason: str
    attributes: dict[str, Any] = {}  # noqa: RUF012 - never changed
    outputs: int = 1
    opset: int = 17


def f(*shape):
    return np.ones(shape, np.float32)


def i(*numbers):
    return np.array(numbers, np.int64)


X4, W4 = f(1, 2, 5, 5), f(3, 2, 3, 3)
CASES = [
    Case("Conv", [X4, W4], "'dilations' is .* at least 1", {"dilations": [-1, -1]}),
    Case("Conv", [X4, W4], "'dilations' is .* at least 1", {"dilations": [0, 1]}),
    Case("Conv", [X4, W4], "'strides' is .* at least 1", {"strides": [0, 1]}),
    Case("Conv", [X4, W4], "'strides' is .* at least 1", {"strides": [-1, 1]}),
    Case("Conv", [X4, W4], "strides has 1 numbers where 2", {"strides": [1]}),
    Case("Conv", [X4, W4], "dilations has 3 numbers where 2", {"dilations": [1, 1, 1]}),
    Case("Conv", [X4, W4], "pads has 2 numbers where 4", {"pads": [1, 1]}),
    Case("Conv", [X4, W4], "kernel_shape .* and weight", {"kernel_shape": [2, 2]}),
    Case("Conv", [X4, W4], "a window of 3 axes does not go with|kernel_shape", {"kernel_shape": [3, 3, 3]}),
    Case("Conv", [X4, W4], "'group' is 0.* at least 1", {"group": 0}),
    Case("Conv", [X4, W4], "3 filters do not make 2 groups", {"group": 2}),
    Case("Conv", [X4, f(3, 1, 3, 3)], "channels of input"),
    Case("Conv", [X4, f(3, 2, 6, 6)], "does not fit 5 pixels"),
    Case("Attention", [f(1, 2, 3, 4)] * 2 + [f(1, 1, 3, 4)], "heads of keys", opset=23),
    Case("Attention", [f(1, 2, 3, 4), f(1, 2, 3, 5), f(1, 2, 3, 4)], "sizes of a head of queries", opset=23),
    Case("Attention", [f(1, 3, 4)] * 3, "its number of heads is not given", opset=23),
    Case("Attention", [f(1, 3, 4, 4), *[f(1, 2, 4, 4)] * 2], "3 heads of queries do not share 2", opset=23),
    Case("Attention", [*[f(1, 2, 3, 4)] * 3, f(3, 5)], "is for more than 3 keys", opset=23),
    Case("Attention", [*[f(1, 2, 3, 4)] * 3, f(4, 3)], "attn_mask .* does not broadcast", opset=23),
    Case("ConvTranspose", [f(1, 2, 3), f(2, 1, 2)], r"image \[8\] gives \[4\]", {"strides": [2], "output_shape": [8]}),
    Case("ConvTranspose", [f(1, 2, 3), f(2, 1, 2)], "output_padding .* smaller neither", {"output_padding": [1]}),
    Case("Conv", [X4, f(3, 2, 3)], "weight .* does not fit input"),
    Case("Conv", [X4, W4, f(1)], "sizes of B and of the channels: 1 and 3"),
    Case("Conv", [X4, W4, f(4)], "sizes of B and of the channels: 4 and 3"),
    Case("Conv", [X4, W4, f(3, 1)], "B has shape .* has to be a list"),
    Case("Conv", [X4, W4, np.ones(3, np.int64)], "input 'B' is int64, not one of float16"),
    Case("Conv", [X4, W4.astype(np.float64)], "input 'W' is float64, and has to be float32"),
    Case("Conv", [X4, W4], "'auto_pad' is 'SAME'", {"auto_pad": "SAME"}),
    Case("Conv", [X4, W4], "'strides' is an int, not a list of ints", {"strides": 1}),
    Case("Conv", [X4, W4], "'group' is a float, not an int", {"group": 1.0}),
    Case("MaxPool", [X4], "'strides' is .* at least 1", {"kernel_shape": [2, 2], "strides": [-1, 1]}),
    Case("MaxPool", [X4], "pads .* are not smaller than kernel_shape", {"kernel_shape": [2, 2], "pads": [2, 0, 0, 0]}),
    Case("MaxPool", [X4], "'pads' is .* at least 0", {"kernel_shape": [2, 2], "pads": [-1, 0, 0, 0]}),
    Case("MaxPool", [X4], "'kernel_shape' is .* at least 1", {"kernel_shape": [0, 2]}),
    Case("MaxPool", [X4], "a window of 1 axes", {"kernel_shape": [2]}),
    Case("MaxPool", [X4], "it has 3 outputs", {"kernel_shape": [2, 2]}, 3),
    Case("MaxPool", [f(3)], "a window of 2 axes", {"kernel_shape": [2, 2]}),
    Case("AveragePool", [X4], "pads .* are not smaller", {"kernel_shape": [2, 2], "pads": [0, 0, 2, 0]}),
    Case("AveragePool", [X4], "does not fit 5 pixels", {"kernel_shape": [7, 2]}),
    Case("AveragePool", [X4.astype(np.int32)], "input 'X' is int32", {"kernel_shape": [2, 2]}),
    Case("BatchNormalization", [X4, f(1), f(2), f(2), f(2)], "sizes of scale and of the channels: 1 and 2"),
    Case("BatchNormalization", [X4, f(2), f(1), f(2), f(2)], "sizes of B and of the channels"),
    Case("BatchNormalization", [X4, f(2), f(2), f(3), f(2)], "sizes of mean and of the channels"),
    Case("BatchNormalization", [X4, f(2), f(2), f(2), f(1, 2)], "var has shape"),
    Case("BatchNormalization", [X4, f(2), f(2), f(2), f(2)], "'epsilon' is a string", {"epsilon": "small"}),
    Case("InstanceNormalization", [X4, f(3), f(2)], "sizes of scale and of the channels"),
    Case("LRN", [X4], "'size' is -1", {"size": -1}),
    Case("Gemm", [f(2, 3), f(3, 4), f(4, 1, 1)], "C of shape .* does not broadcast"),
    Case("Gemm", [f(2, 3), f(3, 4), f(3)], "C of shape .* does not broadcast"),
    Case("Gemm", [f(2, 3), f(4, 3)], "inner sizes"),
    Case("Gemm", [f(1, 2, 3), f(3, 4)], "both have to be matrices"),
    Case("Gemm", [f(2, 3), f(3, 4), i(1, 2, 3, 4)], "input 'C' is int64"),
    Case("MatMul", [f(2, 3), f(4, 3)], "inner sizes"),
    Case("MatMul", [f(2, 3), np.float32(2)], "there is no product"),
    Case("MatMul", [f(2, 2, 3), f(3, 3, 4)], "do not broadcast"),
    Case("Add", [f(2, 3), np.ones((2, 3), np.int64)], "input 'B' is int64, and has to be float32"),
    Case("Add", [f(2, 3), f(2, 4)], "do not broadcast"),
    Case("Mul", [f(2), np.ones(2, bool)], "input 'B' is bool"),
    Case("Relu", [np.ones(3, bool)], "input 'X' is bool"),
    Case("Sigmoid", [i(1, 2)], "input 'X' is int64, not one of"),
    Case("Exp", [i(1, 2)], "input 'input' is int64, not one of"),
    Case("Not", [f(2)], "input 'X' is float32"),
    Case("Where", [f(2), f(2), f(2)], "input 'condition' is float32"),
    Case("Where", [np.ones(2, bool), f(2), i(1, 2)], "input 'Y' is int64"),
    Case("PRelu", [f(2, 3), f(2)], "slope of shape .* does not broadcast"),
    Case("Clip", [f(3), f(2)], "min has shape|do not broadcast"),
    Case("Clip", [f(3), i(1)[0]], "input 'min' is int64"),
    Case("Softmax", [f(2, 3)], "axis 2 is outside", {"axis": 2}),
    Case("Softmax", [f(2, 3)], "axis -3 is outside", {"axis": -3}),
    Case("Softmax", [f(2, 3)], "axis 2 is outside", {"axis": 2}, opset=11),
    Case("LogSoftmax", [f(2, 3)], "axis 5 is outside", {"axis": 5}, opset=11),
    Case("LogSoftmax", [f(2, 3)], "axis -3 is outside", {"axis": -3}, opset=11),
    Case("ReduceMean", [f(2, 3)], "axes: 2 is outside", {"axes": [2]}),
    Case("ReduceSum", [f(2, 3), i(-3)], "axes: -3 is outside"),
    Case("ArgMax", [f(2, 3)], "axis 2 is outside", {"axis": 2}),
    Case("Flatten", [f(2, 3)], "axis 3 is outside", {"axis": 3}),
    Case("Flatten", [f(2, 3)], "axis -3 is outside", {"axis": -3}),
    Case("Flatten", [f(2, 3)], "axis 5 is outside", {"axis": 5}),
    Case("Reshape", [f(2, 3), i(-2, 3)], "no size is negative"),
    Case("Reshape", [f(2, 3), i(-1, -1)], "no size is negative, but for one -1"),
    Case("Reshape", [f(2, 3), i(4, -1)], "6 elements .* do not make"),
    Case("Reshape", [f(2, 3), i(7)], "6 elements .* do not make"),
    Case("Reshape", [f(2, 3), i(6, 1, 0)], "0 copies a size"),
    Case("Reshape", [f(2, 3), i(0, -1)], "-1 is undefined beside a 0", {"allowzero": 1}),
    Case("Reshape", [f(2, 3), f(2)], "input 'shape' is float32"),
    Case("Transpose", [f(2, 3)], "perm .* is no order", {"perm": [0, 0]}),
    Case("Transpose", [f(2, 3)], "perm .* is no order", {"perm": [0, 2]}),
    Case("Transpose", [f(2, 3)], "perm .* is no order", {"perm": [0]}),
    Case("Squeeze", [f(2, 3), i(0)], "axis 0 of .* and 1: 2 and 1"),
    Case("Squeeze", [f(1, 3), i(2)], "axes: 2 is outside"),
    Case("Unsqueeze", [f(2, 3), i(4)], "axes: 4 is outside"),
    Case("Unsqueeze", [f(2, 3), i(0, 0)], "an axis is there twice"),
    Case("Concat", [f(2, 3), f(2, 4)], "along axis 1: 3 and 4", {"axis": 0}),
    Case("Concat", [f(2, 3), f(2)], "not the same number of axes", {"axis": 0}),
    Case("Concat", [f(2, 3), f(2, 3)], "axis 2 is outside", {"axis": 2}),
    Case("Concat", [f(2, 3), np.ones((2, 3), np.int64)], "is int64, and has to be float32", {"axis": 0}),
    Case("Split", [f(3, 2), i(-1, 4)], "parts .* do not go with", {}, 2),
    Case("Split", [f(3, 2), i(1, 1)], "the sum of its parts", {}, 2),
    Case("Split", [f(3, 2), i(1, 2)], "parts .* do not go with 3 outputs", {}, 3),
    Case("Split", [f(6, 2)], "num_outputs 3 does not go with 2", {"num_outputs": 3}, 2, 18),
    Case("Slice", [f(4), i(0), i(3), i(0), i(0)], "a step is 0"),
    Case("Slice", [f(4), i(0), i(3), i(1)], "axes: 1 is outside"),
    Case("Slice", [f(4), i(0, 0), i(3)], "starts, 1 ends|axes: 1 is outside"),
    Case("Gather", [f(2, 3), i(0)], "axis 2 is outside", {"axis": 2}),
    Case("Gather", [f(2, 3), i(5)], "leave axis 0"),
    Case("Gather", [f(2, 3), i(-3)], "leave axis 0"),
    Case("Gather", [f(2, 3), f(1)], "input 'indices' is float32"),
    Case("Expand", [f(2, 3), i(4, 3)], "do not broadcast"),
    Case("Tile", [f(2, 3), i(2)], "repeats .*: one number"),
    Case("Tile", [f(2, 3), i(2, 1 << 62)], "would take"),
    Case("Pad", [f(2, 3), i(0, 0)], "pads has 2 numbers where 4"),
    Case("Pad", [f(2, 3), i(-3, 0, 0, 0)], "crop more than"),
    Case("Pad", [f(2, 3), i(0, 3, 0, 0)], "reflect more than", {"mode": "reflect"}),
    Case("Pad", [f(2, 3), i(0, 1, 0, 0)], "'mode' is 'mirror'", {"mode": "mirror"}),
    Case("ConstantOfShape", [i(2, -1)], "negative size"),
    Case("Cast", [f(2)], "'to' is a string|missing|to", {"to": "float"}),
    Case("Dropout", [f(2), f(2)], "ratio has shape"),
    Case("Dropout", [i(1, 2)], "input 'data' is int64"),
    Case("Max", [f(2), np.ones(2, np.float64)], "is float64, and has to be float32"),
    Case("Identity", [f(2)], "outputs", {}, 2),
]


def build(case: Case, shapes: bool):
    """The case as a model: numbers that decide shapes are in the file where `shapes` are written down."""
    names = [f"x{n}" for n in range(len(case.inputs))]
    outputs = [f"y{n}" for n in range(case.outputs)]
    node = helper.make_node(case.op_type, names, outputs, name="it", **case.attributes)
    arrays = dict(zip(names, map(np.asarray, case.inputs), strict=True))
    fixed = {name: array for name, array in arrays.items() if shapes and name != "x0"}
    fed = {name: array for name, array in arrays.items() if name not in fixed}
    inputs = []
    for name, array in fed.items():
        shape = array.shape if shapes else [f"{name}_{n}" for n in range(array.ndim)]
        inputs.append(helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), shape))
    graph = helper.make_graph(
        [node],
        "g",
        inputs,
        [onnx.ValueInfoProto(name=name) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in fixed.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", case.opset)], ir_version=8)
    return model, fed


def label(case: Case) -> str:
    return f"{case.op_type}-{case.reason[:30]}"


@pytest.mark.parametrize("case", CASES, ids=label)
def test_an_invalid_graph_is_refused_with_its_reason_on_opening(case):
    model, feed = build(case, shapes=True)
    with pytest.raises(Exception):  # noqa: B017, PT011 - onnxruntime has a class for each
        onnxruntime.InferenceSession(model.SerializeToString()).run(None, feed)
    with pytest.raises(NumpyVggError, match=case.reason) as caught:
        InferenceSession(model).run(None, feed)
    assert isinstance(caught.value, ModelFormatError | UnsupportedModelError | ArgumentError)
    assert "<ModelProto>: " in str(caught.value)
    assert "'it'" in str(caught.value)


@pytest.mark.parametrize("case", CASES, ids=label)
def test_an_invalid_graph_is_refused_with_its_reason_when_shapes_come_with_the_call(case):
    model, feed = build(case, shapes=False)
    with pytest.raises(Exception):  # noqa: B017, PT011
        onnxruntime.InferenceSession(model.SerializeToString()).run(None, feed)
    with pytest.raises((ModelFormatError, UnsupportedModelError, ArgumentError), match=case.reason):
        InferenceSession(model).run(None, feed)


@pytest.mark.parametrize("shapes", [True, False])
@pytest.mark.parametrize(
    "case",
    [
        Case("Conv", [X4, W4, f(3)], "", {"dilations": [2, 1], "pads": [1] * 4}),
        Case("MaxPool", [X4], "", {"kernel_shape": [2, 2], "pads": [1, 0, 1, 0]}, 2),
        Case("BatchNormalization", [X4, f(2), f(2), f(2), f(2)], ""),
        Case("Gemm", [f(2, 3), f(3, 4), f(4)], ""),
        Case("Reshape", [f(2, 3), i(0, -1)], ""),
        Case("Pad", [f(2, 3), i(-1, 0, 2, 1)], ""),
        Case("Pad", [f(2, 3), i(-3, 0, 2, 0)], ""),  # cropped away, and padded with new zeros
        Case("Split", [f(3, 2), i(1, 2)], "", {}, 2),
    ],
    ids=label,
)
def test_the_same_graphs_without_the_fault_are_answered_alike(case, shapes):
    """What makes the refusals above mean something."""
    model, feed = build(case, shapes)
    theirs = onnxruntime.InferenceSession(model.SerializeToString()).run(None, feed)
    for a, b in zip(InferenceSession(model).run(None, feed), theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


# ---------------------------------------------------------------------- small files that ask for much

#: File -> the reason that it is refused for; None: it is answered, and ONNX Runtime gives the same answer.
FILES = {
    "attention_scale_negative": "'scale' is -1.0, and has to be greater than 0",
    "add_doubling_60": "would take",
    "attr_named_self": "self|multiple values for argument 'X'",
    "bn_epsilon_text": "'epsilon' is a string, not a float",
    "bn_shapes_mismatch": "sizes of scale and of the channels: 2 and 1",
    "celu_alpha_0": None,
    "celu_alpha_inf": None,
    "cast_string_huge": "a string is no int64",
    "constant_bad_value_ints": "another type than its name says",
    "constant_value_int_text": "another type than its name says",
    "constant_two_outputs": "has 0 inputs and 2 outputs; a constant",
    "constant_with_inputs": "has 2 inputs and 1 outputs; a constant",
    "constant_without_output": "has 0 inputs and 0 outputs; a constant",
    "constantofshape_20GB": r"shape \[5000000000\] would take 20 GB",
    "constantofshape_4TB": "would take",
    "conv_bias_string": "input 'B' is object",
    "conv_bias_wrong_len_bn": "sizes of B and of the channels: 3 and 2",
    "conv_group_huge": "do not make .* groups",
    "conv_kernel_without_pixels": "kernels without a pixel",
    "conv_neg_dilation": "'dilations' is .* at least 1",
    "conv_no_filters": None,
    "conv_pad_below_zero": r"attribute 'pads' is \[0, -1, 0, 0\], and has to be at least 0",
    "conv_pads_20GB": "would take",
    "conv_transpose_no_images": None,
    "prelu_slope_of_another_axis": r"slope \[4\] does not broadcast to \[3, 4, 5\]",
    "resize_roi_of_other_axes": r"roi has shape \[8\], and has to list two for each of 2 axes",
    "resize_scales_without_axis": "scales is no list of numbers",
    "roialign_beyond_the_batch": "batch_indices .* for a batch of 1",
    "div_int_zero": "divided by 0",
    "einsum_diagonal_of_no_square": "sizes of 'i' in '...ii': 1 and 5 are not the same",
    "expand_20GB": "would take 60 GB",
    "expand_shape_only_20GB_then_relu": "would take 60 GB",
    "expand_shape_without_axis": r"shape has shape \[\], and has to be a list",
    "gather_64d": "a result would have 71 axes",
    "gather_neg": "axis 99 is outside",
    "group_normalization_scale_of_channels": "not one for each of 2 groups",
    "group_normalization_scale_of_groups": "one for each of 4 channels",
    "hardmax_of_no_numbers": None,
    "identity_chain_2000": None,
    "identity_cycle_weight": "waits for its own output",
    "identity_no_input": "missing a required argument",
    "log_softmax_of_one_number": "axis 1 is outside of the 0 axes",
    "maxpool_kernel_1e9": None,
    "maxpool_pads_huge": "not smaller than kernel_shape",
    "no_outputs": "no output is asked for",
    "output_is_initializer": None,
    "output_is_input": None,
    "output_of_nothing": "'nope' is nothing that the graph computes",
    "pad_20GB": "would take 20 GB",
    "pad_reflect_huge": "reflect more than",
    "pool_neg_pads": "'pads' is .* at least 0",
    "pool_zero_stride": "'strides' is .* at least 1",
    "pow_int_negative": None,
    "reduce_axes_without_axis": r"axes has shape \[\], and has to be a list",
    "reshape_huge": "do not make",
    "resize_strings": "pixels of type object have no weighted sum",
    "resize_transposes": "perm .* is no order",
    "shape_input_huge": "would take",
    "slice_steps_without_axis": r"has shape \[\], and has to be a list",
    "slice_step0": "a step is 0",
    "softmax_of_no_numbers": None,
    "squeeze_axes_without_axis": r"axes has shape \[\], and has to be a list",
    "tile_20GB": "would take 60 GB",
    "tile_2^63": "would take",
    "vgg_constant_bad": "another type than its name says",
    "vgg_constant_none": "has none of the attributes",
    "vgg_identity_cycle": "waits for its own output",
    "vgg_identity_no_input": "missing a required argument",
    "vgg_input_huge": "would take",
}


def feed_for(session):
    types = {"float": np.float32, "float16": np.float16, "int64": np.int64, "string": object}
    return {
        value.name: np.ones([n if isinstance(n, int) and n < 3000 else 2 for n in value.shape], types[value.type[7:-1]])
        for value in session.get_inputs()
    }


def answers(path):
    """What a session of little memory answers, from its opening on."""
    session = InferenceSession(path, max_bytes=1 << 30)
    return session.run(None, feed_for(session))


@pytest.mark.parametrize("name", FILES)
def test_a_hostile_file_is_refused_with_its_reason_or_answered_as_onnxruntime_does(name):
    path = HOSTILE / f"{name}.onnx"
    reason = FILES[name]
    if reason:
        with pytest.raises(NumpyVggError, match=reason) as caught:
            answers(path)
        assert name in str(caught.value)
        assert "fault of numpyvgg" not in str(caught.value)
    else:
        theirs = onnxruntime.InferenceSession(path)
        for a, b in zip(answers(path), theirs.run(None, feed_for(theirs)), strict=True):
            np.testing.assert_array_equal(a, b)


def test_the_limit_is_the_callers_and_by_default_half_of_what_the_machine_grants():
    model, feed = build(Case("Tile", [f(2, 3), i(1000, 1000)], ""), shapes=False)
    with pytest.raises(
        UnsupportedModelError, match=r"Tile node 'it': a result of shape \[2000, 3000\] would take 0.024 GB"
    ):
        InferenceSession(model, max_bytes=20_000_000).run(None, feed)
    assert InferenceSession(model, max_bytes=24_000_000).run(None, feed)[0].shape == (2000, 3000)
    huge, feed = build(Case("Expand", [f(1), i(memory.memory_limit() // 8 + 1)], ""), shapes=False)
    with pytest.raises(UnsupportedModelError, match=f"max_bytes={memory.memory_limit() // 2} allows"):
        InferenceSession(huge).run(None, feed)


def test_a_limit_on_the_address_space_counts():
    code = "import resource; resource.setrlimit(resource.RLIMIT_AS, (1 << 31, 1 << 31))\n"
    code += "from numpyvgg.kernels.memory import memory_limit; print(memory_limit())"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(found.stdout) == 1 << 31


@pytest.mark.parametrize(
    ("cgroup", "files", "limits"),
    [
        ("0::/docker/abc\n", {"memory.max": "max", "docker/abc/memory.max": "400000000"}, [400000000]),
        ("0::/docker/abc\n", {"memory.max": "300000000"}, [300000000]),  # the container's own view of itself
        ("5:cpu,memory:/a/b\n0::/\n", {"memory/a/memory.limit_in_bytes": "5", "memory.max": "9"}, [5, 9]),
        ("", {}, []),
    ],
)
def test_a_containers_limit_is_read_as_either_version_of_control_groups_writes_it(tmp_path, cgroup, files, limits):
    proc, root = tmp_path / "cgroup", tmp_path / "sys"
    proc.write_text(cgroup)
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
    assert memory._control_groups(proc, root) == limits


def test_running_out_of_memory_stays_what_it_is_and_our_own_faults_are_called_so(monkeypatch):
    model, feed = build(Case("Relu", [f(3)], ""), shapes=True)
    for raised, expected in ((MemoryError(), MemoryError), (KeyError("x"), numpyvgg.errors.InternalError)):
        session = InferenceSession(model)

        def fail(*arrays, raised=raised):
            raise raised

        (step,) = session._steps_for(["y0"], frozenset())
        step.run = fail
        with pytest.raises(expected) as caught:
            session.run(None, feed)
        assert isinstance(caught.value, NumpyVggError) == (expected is not MemoryError)
    assert "<ModelProto>: Relu node 'it' cannot be run on float32[3]: a fault of numpyvgg" in str(caught.value)


def calls_of_a_run(outputs):
    """How many Python functions one run with that many outputs calls."""
    names = [f"y{n}" for n in range(outputs)]
    nodes = [helper.make_node("Identity", ["x"], [name]) for name in names]
    values = [helper.make_tensor_value_info(name, 1, [1]) for name in ("x", *names)]
    session = InferenceSession(helper.make_model(helper.make_graph(nodes, "g", values[:1], values[1:]), ir_version=8))
    session.run(None, {"x": f(1)})
    calls = 0

    def count(frame, event, argument):
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    results = session.run(None, {"x": f(1)})
    sys.setprofile(None)
    assert len({id(result) for result in results}) == outputs
    return calls


def test_the_work_of_a_run_is_in_proportion_to_its_outputs():
    """50,000 outputs took over a minute when each looked at all."""
    assert calls_of_a_run(800) < 2.2 * calls_of_a_run(400)
