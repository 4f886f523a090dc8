"""Functions that a file defines for itself run as ONNX Runtime runs them, and can neither go round nor explode."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from numpyvgg import InferenceSession, ModelFormatError, read_onnx
from numpyvgg.files import wire

STANDARD, OWN = helper.make_opsetid("", 18), helper.make_opsetid("own", 1)


def function(name, inputs, outputs, nodes, attributes=(), defaults=()):
    defaults = [helper.make_attribute(key, value) for key, value in dict(defaults).items()]
    return helper.make_function("own", name, inputs, outputs, nodes, [STANDARD, OWN], attributes, defaults)


def call(op_type, inputs, outputs, **attributes):
    return helper.make_node(op_type, inputs, outputs, domain="own", **attributes)


def referring(node, **names):
    """The node with attributes whose values are those of the call's attributes of other names."""
    for own, of_call in names.items():
        node.attribute.append(onnx.AttributeProto(name=own, ref_attr_name=of_call, type=onnx.AttributeProto.FLOAT))
    return node


def network(nodes, functions, weights=()):
    values = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 3, 6, 7])] for name in "xy"]
    tensors = [onnx.numpy_helper.from_array(array, name) for name, array in dict(weights).items()]
    graph = helper.make_graph(nodes, "graph", *values, tensors)
    return helper.make_model(graph, opset_imports=[STANDARD, OWN], functions=functions, ir_version=8)


def test_functions_within_functions_are_onnxruntimes_answers():
    leaky = function(
        "Leaky", ["a"], ["b"], [referring(helper.make_node("LeakyRelu", ["a"], ["b"]), alpha="slope")], ["slope"]
    )
    faint = function(
        "Faint",
        ["a", "low"],
        ["b", "kept"],
        [
            helper.make_node("Clip", ["a", "low"], ["kept"]),
            referring(helper.make_node("Elu", ["kept"], ["b"]), alpha="alpha"),
        ],
        defaults={"alpha": 0.5},
    )
    block = function(
        "Block",
        ["a", "w"],
        ["b"],
        [
            helper.make_node("Conv", ["a", "w"], ["c"], pads=[1] * 4, name="conv"),
            call("Leaky", ["c"], ["d"], slope=0.3),
            call("Faint", ["d", ""], ["b", "kept"]),
        ],
    )
    rng = np.random.default_rng(0)
    weights = {name: rng.normal(size=(3, 3, 3, 3)).astype(np.float32) for name in ("w", "v")}
    nodes = [
        call("Block", ["x", "w"], ["c"], name="first"),  # "c" is a name in its body too
        call("Block", ["c", "v"], ["d"]),
        call("Faint", ["d"], ["e", "kept"], alpha=2.0),
        helper.make_node("Add", ["e", "kept"], ["y"]),
    ]
    model = network(nodes, [leaky, faint, block], weights)
    feed = {"x": rng.normal(size=(2, 3, 6, 7)).astype(np.float32)}
    session = InferenceSession(model)
    assert session.textbook_convolutions() == []
    (expected,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, feed)
    np.testing.assert_allclose(session.run(None, feed)[0], expected, atol=1e-5 * np.abs(expected).max())
    assert read_onnx(model).nodes[0].name == "first/conv"


def test_a_function_that_calls_itself_is_refused():
    round_and_round = [function(one, ["a"], ["b"], [call(other, ["a"], ["b"])]) for one, other in ("FG", "GF")]
    with pytest.raises(ModelFormatError, match="F node 'y': the function calls itself"):
        read_onnx(network([call("F", ["x"], ["y"])], round_and_round))


def test_functions_that_call_each_other_without_end_are_refused():
    relu = helper.make_node("Relu", ["a"], ["b"])
    chain = [function(f"F{i}", ["a"], ["b"], [call(f"F{i + 1}", ["a"], ["b"])]) for i in range(101)]
    with pytest.raises(ModelFormatError, match="functions call functions, more than 100 deep"):
        read_onnx(network([call("F0", ["x"], ["y"])], [*chain, function("F101", ["a"], ["b"], [relu])]))


def test_functions_that_multiply_are_refused_before_they_fill_the_memory(monkeypatch):
    """Forty functions of two calls each are a trillion nodes, in three kilobytes."""
    functions = [
        function(f"F{i}", ["a"], ["b"], [call(f"F{i + 1}", [x], [y]) for x, y in ("ac", "cb")]) for i in range(40)
    ]
    monkeypatch.setattr(wire, "LARGEST_STRUCTURE", 10**7)
    last = function("F40", ["a"], ["b"], [helper.make_node("Relu", ["a"], ["b"])])
    with pytest.raises(ModelFormatError, match=r"the file's structure .* would take more than"):
        read_onnx(network([call("F0", ["x"], ["y"])], [*functions, last]))


def test_a_long_name_is_not_written_out_for_each_node_of_a_body():
    body = [helper.make_node("Relu", ["a"], [f"c{i}"]) for i in range(5000)]
    with pytest.raises(ModelFormatError, match=r"the file's structure .* would take more than"):
        read_onnx(network([call("F", ["x"], ["c0"], name="n" * 10**5)], [function("F", ["a"], ["c0"], body)]))


def test_calls_of_one_name_get_names_of_their_own():
    """ONNX Runtime refuses names that two nodes have; ONNX wants them to be different and nothing depends on them."""
    steps = [helper.make_node("Add", ["a", "a"], ["c"]), helper.make_node("Neg", ["c"], ["b"])]
    calls = [call("F", [x], [y], name="same") for x, y in ("xt", "tu", "uy")]
    x = np.random.default_rng(0).normal(size=(2, 3, 6, 7)).astype(np.float32)
    (y,) = InferenceSession(network(calls, [function("F", ["a"], ["b"], steps)])).run(None, {"x": x})
    np.testing.assert_array_equal(y, -8 * x)


@pytest.mark.parametrize(
    ("node", "reason"),
    [
        (call("F", ["x", "x"], ["y"]), "has 2 inputs and 1 outputs, and the function takes 1 and gives 1"),
        (call("F", ["x"], ["y", "z"]), "has 1 inputs and 2 outputs, and the function takes 1 and gives 1"),
    ],
)
def test_a_call_that_does_not_fit_its_function_is_refused(node, reason):
    relu = function("F", ["a"], ["b"], [helper.make_node("Relu", ["a"], ["b"])])
    with pytest.raises(ModelFormatError, match=reason):
        read_onnx(network([node], [relu]))


def test_an_attribute_of_a_call_outside_of_a_function_is_refused():
    node = referring(helper.make_node("LeakyRelu", ["x"], ["y"]), alpha="slope")
    with pytest.raises(ModelFormatError, match="'alpha' is that of a function's call, outside of a function"):
        InferenceSession(network([node], []))


def test_a_function_of_another_operator_set_is_refused():
    relu = function("F", ["a"], ["b"], [helper.make_node("Relu", ["a"], ["b"])])
    relu.opset_import[0].version = 17
    with pytest.raises(ModelFormatError, match="written for operator set 17, and the graph for 18"):
        read_onnx(network([call("F", ["x"], ["y"])], [relu]))
