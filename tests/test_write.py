"""numpyvgg.files.write: what it writes is what the onnx package, protobuf's own writer, would have written."""

from __future__ import annotations

import io

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from make_standin import Layout, standin_model
from onnx import TensorProto, helper, numpy_helper

from numpyvgg.files.onnx import Node, ValueInfo, read_onnx
from numpyvgg.files.write import node_proto, onnx_file, tensor_proto, value_info_proto, varint


@given(st.integers(-(2**63), 2**64 - 1))
def test_a_varint_is_protobufs(value):
    message = onnx.TensorProto(dims=[value if value < 2**63 else value - 2**64])
    assert b"\x08" + varint(value) == message.SerializeToString()


@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", "i8", "i4", "u1", "?"])
@pytest.mark.parametrize("shape", [(2, 3), (), (0,), (200,)])
def test_an_array_becomes_the_onnx_packages_tensor(dtype, shape):
    array = np.random.default_rng(0).integers(0, 2, shape).astype(dtype)
    theirs = numpy_helper.from_array(array, "name")
    if array.size == 0:  # for which from_array writes no raw_data at all
        theirs.raw_data = b""
    for ours in (array, np.array(array, order="F"), array.astype(array.dtype.newbyteorder(">"))):
        assert tensor_proto("name", ours) == theirs.SerializeToString()


@pytest.mark.parametrize("dims", [(1, 3, 224, 224), ("N", 3, None, 7), ()])
@pytest.mark.parametrize(("dtype", "number"), [("float32", 1), ("int64", 7), ("float16", 10), ("bool", 9)])
def test_a_value_becomes_the_onnx_packages_value_info(dims, dtype, number):
    theirs = helper.make_tensor_value_info("x", number, dims)
    assert value_info_proto(ValueInfo("x", dtype, dims)) == theirs.SerializeToString()


def test_a_node_becomes_the_onnx_packages_node():
    attributes = {"alpha": 0.5, "auto_pad": "SAME_UPPER", "axis": -1, "big": 2**40, "ints": [0, -1, 300], "none": 0.0}
    theirs = helper.make_node("Conv", ["x", "", "w"], ["y", "z"], name="n", **attributes)
    assert node_proto(Node("Conv", "n", ["x", "", "w"], ["y", "z"], attributes)) == theirs.SerializeToString()


@pytest.mark.parametrize("storage", ["float_data", "raw"])
def test_a_file_that_was_read_can_be_written_and_read_again(storage):
    """The onnx package accepts it, and every number in it is where it was."""
    theirs = standin_model(Layout(opset=17, storage=storage, batch="N"), classes=7)
    theirs.graph.initializer.append(numpy_helper.from_array(np.arange(6, dtype=np.float16).reshape(2, 3), "half"))
    model = read_onnx(theirs)
    size, pieces = onnx_file(
        model.nodes,
        [model.initializers.stored(name) for name in model.initializers],
        model.inputs,
        model.outputs,
        graph_name="again",
        producer="test",
        ir_version=8,
        opset=model.opset,
    )
    file = io.BytesIO()
    for piece in pieces:
        file.write(piece)
    assert len(file.getvalue()) == size
    again = onnx.load_from_string(file.getvalue())
    onnx.checker.check_model(again, full_check=True)
    assert list(again.graph.node) == list(theirs.graph.node)
    assert (list(again.graph.input), list(again.graph.output)) == (list(theirs.graph.input), list(theirs.graph.output))
    assert [tensor.name for tensor in again.graph.initializer] == [tensor.name for tensor in theirs.graph.initializer]
    for ours, wanted in zip(again.graph.initializer, theirs.graph.initializer, strict=True):
        np.testing.assert_array_equal(numpy_helper.to_array(ours), numpy_helper.to_array(wanted), strict=True)
        assert bool(ours.float_data) == (ours.data_type == TensorProto.FLOAT)


def test_arrays_are_asked_for_one_at_a_time():
    """So a model larger than memory can be written: no array is made before the one before it has been taken."""

    class Lazy:
        name, dims, dtype, asked = "t", (4,), np.dtype(np.float32), 0

        def array(self):
            self.asked += 1
            return np.zeros(4, np.float32)

    tensors = [Lazy(), Lazy()]
    size, pieces = onnx_file([], tensors, [], [], graph_name="", producer="", ir_version=8, opset=11)
    assert [t.asked for t in tensors] == [0, 0]
    for piece in pieces:
        if len(piece) == 16 and tensors[0].asked:
            break
    assert [t.asked for t in tensors] == [1, 0]
    assert size > 32
