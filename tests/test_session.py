"""`InferenceSession` behaves as onnxruntime's: the same answers, the same refusals, on the same programs."""

from __future__ import annotations

import random
import tracemalloc

import numpy as np
import onnx
import onnxruntime
import pytest
import threadpoolctl
from hypothesis import given, settings
from hypothesis import strategies as st
from make_standin import Layout, standin_model
from onnx import TensorProto, helper

import numpyvgg.session
from numpyvgg import ArgumentError, InferenceSession, ModelFormatError, SessionOptions, UnsupportedModelError, operators

FLOAT = TensorProto.FLOAT
ONNXRUNTIME = tuple(map(int, onnxruntime.__version__.split(".")[:2]))


def make_model(nodes, inputs, outputs, initializers=(), opset=17):
    """A model; inputs and outputs are (name, shape) or (name, shape, type)."""
    values = [[helper.make_tensor_value_info(n, *(t or [FLOAT]), s) for n, s, *t in side] for side in (inputs, outputs)]
    tensors = [onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in dict(initializers).items()]
    graph = helper.make_graph(nodes, "graph", *values, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def run_onnxruntime(model, feed, names=None):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(names, feed)


@pytest.fixture(scope="module")
def vgg():
    """A narrow VGG-16 with every kind of no-op, and an image for it."""
    layout = Layout(opset=11, no_ops=("Dropout", "Reshape", "Pad", "Identity"))
    x = np.random.default_rng(0).uniform(0, 255, (1, 3, 224, 224)).astype(np.float32)
    return standin_model(layout, width=1 / 16), {"input": x}


# ---------------------------------------------------------------------- answers


def test_every_tensor_of_a_graph_can_be_asked_for_and_is_onnxruntimes(vgg):
    model, feed = vgg
    names = [name for node in model.graph.node for name in node.output]
    everything = onnx.ModelProto.FromString(model.SerializeToString())
    del everything.graph.output[:]
    everything.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    ours, theirs = InferenceSession(model).run(names, feed), run_onnxruntime(everything, feed, names)
    for name, a, b in zip(names, ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * np.abs(b).max(), err_msg=name)


def test_asking_for_intermediate_tensors_does_not_change_a_bit_of_the_answer(vgg):
    model, feed = vgg
    session = InferenceSession(model)
    (alone,) = session.run(None, feed)
    together = session.run([name for node in model.graph.node for name in node.output], feed)
    np.testing.assert_array_equal(together[-1], alone)


@pytest.mark.parametrize("conv", ["im2col", "winograd"])
def test_the_forward_pass_written_by_hand_gives_the_same_bits(vgg, conv):
    model, feed = vgg
    options = SessionOptions()
    options.add_session_config_entry("numpyvgg.conv", conv)
    by_hand = numpyvgg.VGG.from_onnx(model, conv=conv)(feed["input"])
    np.testing.assert_array_equal(InferenceSession(model, options).run(None, feed)[0], by_hand)


def test_the_full_size_network_gives_the_same_bits_as_the_pass_written_by_hand(zoo_path, portrait):
    (answer,) = InferenceSession(zoo_path).run(None, {"input": portrait})
    np.testing.assert_array_equal(answer, numpyvgg.VGG.from_onnx(zoo_path)(portrait))


def test_nodes_run_in_dependency_order_whatever_order_the_file_has(vgg):
    model, feed = vgg
    shuffled = onnx.ModelProto.FromString(model.SerializeToString())
    nodes = list(model.graph.node)
    random.Random(0).shuffle(nodes)
    del shuffled.graph.node[:]
    shuffled.graph.node.extend(nodes)
    np.testing.assert_array_equal(
        InferenceSession(shuffled).run(None, feed)[0], InferenceSession(model).run(None, feed)[0]
    )


def test_paths_and_bytes_and_models_are_the_same_network(vgg, tmp_path):
    model, feed = vgg
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    answers = [InferenceSession(given).run(None, feed)[0] for given in (path, str(path), path.read_bytes(), model)]
    for answer in answers[1:]:
        np.testing.assert_array_equal(answer, answers[0])


def test_scales_and_offsets_of_channels_go_into_the_convolution_without_changing_the_answer():
    rng = np.random.default_rng(0)
    weights = {"w": rng.normal(size=(8, 3, 3, 3)), "b": rng.normal(size=8), "f": rng.normal(size=(8, 1, 1))}
    weights |= {name: rng.uniform(0.5, 2, 8) for name in ("scale", "shift", "mean", "var")} | {"two": np.array([2.0])}
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["conv"], pads=[1] * 4),
        helper.make_node("BatchNormalization", ["conv", "scale", "shift", "mean", "var"], ["bn"]),
        helper.make_node("Mul", ["f", "bn"], ["mul"]),
        helper.make_node("Add", ["mul", "two"], ["add"]),
        helper.make_node("Relu", ["add"], ["relu"]),
        helper.make_node("MaxPool", ["relu"], ["y"], kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1),
    ]
    weights = {name: array.astype(np.float32) for name, array in weights.items()}
    model = make_model(nodes, [("x", ["N", 3, "H", "W"])], [("y", None)], weights)
    for size in ((8, 10), (9, 7)):  # odd ones are where ceil_mode matters
        feed = {"x": rng.normal(size=(2, 3, *size)).astype(np.float32)}
        np.testing.assert_allclose(
            InferenceSession(model).run(None, feed)[0], run_onnxruntime(model, feed)[0], rtol=1e-4, atol=1e-5
        )


windows = st.fixed_dictionaries(
    {
        "kernel_shape": st.tuples(*[st.integers(1, 4)] * 2),
        "strides": st.tuples(*[st.integers(1, 3)] * 2),
        "pads": st.tuples(*[st.integers(0, 2)] * 4) | st.none(),
        "auto_pad": st.sampled_from(["NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"]),
    }
)


def attributes_of(window):
    """Either `pads` or `auto_pad`: onnxruntime takes not both."""
    window = dict(window)
    if window["auto_pad"] != "NOTSET" or window["pads"] is None:
        del window["pads"]
    return window


@settings(max_examples=60, deadline=None)
@given(
    windows, st.tuples(st.integers(1, 3), st.integers(1, 2)), st.sampled_from([1, 2, 4]), st.booleans(), st.booleans()
)
def test_convolutions_of_every_window_are_onnxruntimes(window, dilations, group, bias, fixed):
    rng = np.random.default_rng(0)
    attributes = attributes_of(window) | {"group": group}
    if window["auto_pad"] == "NOTSET":
        attributes["dilations"] = dilations
    values = {"w": rng.normal(size=(4, 4 // group, *window["kernel_shape"]))} | (
        {"b": rng.normal(size=4)} if bias else {}
    )
    values = {name: array.astype(np.float32) for name, array in values.items()}
    node = helper.make_node("Conv", ["x", *values], ["y"], **attributes)
    inputs = [("x", None)] if fixed else [("x", None), *((name, None) for name in values)]
    model = make_model([node], inputs, [("y", None)], values if fixed else {})
    feed = {"x": rng.normal(size=(2, 4, 13, 11)).astype(np.float32)} | ({} if fixed else values)
    np.testing.assert_allclose(
        InferenceSession(model).run(None, feed)[0], run_onnxruntime(model, feed)[0], rtol=1e-4, atol=1e-5
    )


@settings(max_examples=60, deadline=None)
@given(windows, st.sampled_from(["MaxPool", "AveragePool"]), st.booleans(), st.booleans())
def test_pooling_of_every_window_is_onnxruntimes(window, op_type, ceil_mode, count_include_pad):
    attributes = attributes_of(window)
    kernel_shape = window["kernel_shape"]
    if "pads" in attributes:  # a window may not lie in the padding alone
        attributes["pads"] = [min(p, k - 1) for p, k in zip(attributes["pads"], kernel_shape * 2, strict=True)]
    if window["auto_pad"].startswith("SAME"):  # where windows leave gaps, onnxruntime fails on negative padding
        attributes["strides"] = [min(s, k) for s, k in zip(window["strides"], kernel_shape, strict=True)]
    if window["auto_pad"] == "NOTSET":
        attributes["ceil_mode"] = int(ceil_mode)
    if op_type == "AveragePool":
        # up to 1.23, the last for Python 3.10, onnxruntime counts neither the padding of auto_pad nor that at the end
        attributes["count_include_pad"] = int(count_include_pad and ONNXRUNTIME > (1, 23))
    model = make_model([helper.make_node(op_type, ["x"], ["y"], **attributes)], [("x", None)], [("y", None)], opset=19)
    feed = {"x": np.random.default_rng(0).normal(size=(2, 3, 13, 11)).astype(np.float32)}
    np.testing.assert_allclose(
        InferenceSession(model).run(None, feed)[0], run_onnxruntime(model, feed)[0], rtol=1e-5, atol=1e-6
    )


# ---------------------------------------------------------------------- the interface


def test_inputs_and_outputs_are_described_as_onnxruntime_describes_them():
    types = [
        "FLOAT",
        "DOUBLE",
        "FLOAT16",
        "INT8",
        "INT16",
        "INT32",
        "INT64",
        "UINT8",
        "UINT16",
        "UINT32",
        "UINT64",
        "BOOL",
        "STRING",
    ]
    shapes = [["N", 3, None, 4], [], [7]]
    inputs = [(f"{t}{i}", shape, getattr(TensorProto, t)) for t in types for i, shape in enumerate(shapes)]
    outputs = [(f"{name}_y", shape, kind) for name, shape, kind in inputs]
    model = make_model([helper.make_node("Identity", [name], [f"{name}_y"]) for name, *_ in inputs], inputs, outputs)
    ours = InferenceSession(model)
    theirs = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    for a, b in ((ours.get_inputs(), theirs.get_inputs()), (ours.get_outputs(), theirs.get_outputs())):
        assert [(v.name, v.type, v.shape) for v in a] == [(v.name, v.type, v.shape) for v in b]
    assert ours.get_providers() == theirs.get_providers()


def test_outputs_whose_shape_the_file_leaves_open_have_the_one_that_follows():
    """Programs read the number of classes or boxes there."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["conv"], strides=[2, 2]),
        helper.make_node("Flatten", ["conv"], ["flat"]),
        helper.make_node("ArgMax", ["flat"], ["best"], axis=1),
    ]
    outputs = [("conv", None), ("flat", [1, None]), ("best", None, TensorProto.INT64), ("w", None)]
    model = make_model(nodes, [("x", [1, 3, 9, 9])], outputs, {"w": np.zeros((4, 3, 3, 3), np.float32)})
    theirs = onnxruntime.InferenceSession(model.SerializeToString()).get_outputs()
    described = [(value.name, value.type, value.shape) for value in theirs]
    assert [(value.name, value.type, value.shape) for value in InferenceSession(model).get_outputs()] == described
    assert described[0] == ("conv", "tensor(float)", [1, 4, 4, 4])


RELU = make_model([helper.make_node("Relu", ["x"], ["y"])], [("x", ["N", 3, 4])], [("y", ["N", 3, 4])])
GOOD = np.zeros((2, 3, 4), np.float32)


@pytest.mark.parametrize(
    ("names", "feed", "message"),
    [
        (None, {}, r"required inputs \(\['x'\]\) are missing"),
        (None, {"x": GOOD, "z": GOOD}, "invalid input name: 'z'"),
        (None, {"x": GOOD.astype(float)}, r"actual tensor\(double\), expected tensor\(float\)"),
        (None, {"x": GOOD[0]}, "invalid rank"),
        (None, {"x": GOOD[:, :2]}, "index 1: got 2, expected 3"),
        (None, {"x": "a word"}, "cannot be made of a str"),
        (None, {"x": None}, "input 'x' is None"),
        (["z"], {"x": GOOD}, "invalid output name: 'z'"),
        ("y", {"x": GOOD}, "has to be a list of names"),
    ],
)
def test_what_onnxruntime_turns_away_is_turned_away_with_the_reason(names, feed, message):
    with pytest.raises(Exception):  # noqa: B017, PT011 - onnxruntime has a class for each
        run_onnxruntime(RELU, feed, names)
    with pytest.raises(ArgumentError, match=message):
        InferenceSession(RELU).run(names, feed)


@pytest.mark.parametrize("feed", [GOOD, GOOD[::-1], GOOD.tolist(), np.asfortranarray(GOOD), GOOD[:0]])
def test_what_onnxruntime_accepts_is_accepted(feed):
    np.testing.assert_array_equal(InferenceSession(RELU).run([], {"x": feed})[0], run_onnxruntime(RELU, {"x": feed})[0])


def test_initializers_that_are_listed_as_inputs_can_be_given_others_cannot():
    nodes = [helper.make_node("Conv", ["x", "w"], ["a"]), helper.make_node("Mul", ["a", "f"], ["y"])]
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(2, 3, 3, 3)).astype(np.float32)
    inputs = [("x", [1, 3, 5, 5]), ("w", list(weight.shape))]
    model = make_model(nodes, inputs, [("y", None)], {"w": weight, "f": np.float32([2])})
    session, x = InferenceSession(model), rng.normal(size=(1, 3, 5, 5)).astype(np.float32)
    assert [value.name for value in session.get_inputs()] == ["x"]
    assert [value.name for value in session.get_overridable_initializers()] == ["w"]
    for feed in ({"x": x}, {"x": x, "w": weight + 1}, {"x": x}):
        np.testing.assert_allclose(session.run(None, feed)[0], run_onnxruntime(model, feed)[0], rtol=1e-4, atol=1e-5)
    with pytest.raises(ArgumentError, match="invalid input name: 'f'"):
        session.run(None, {"x": x, "f": np.float32([3])})


def test_results_are_the_callers_own():
    nodes = [helper.make_node("Identity", ["x"], ["y"]), helper.make_node("Relu", ["x"], ["r"])]
    nodes += [helper.make_node("Identity", ["r"], ["s"]), helper.make_node("Identity", ["w"], ["v"])]
    weight = np.ones(3, np.float32)
    model = make_model(nodes, [("x", [3])], [(name, [3]) for name in "yrsv"], {"w": weight})
    session, x = InferenceSession(model), np.float32([1, 2, 3])
    for name, value in zip("yrsvxw", session.run([*"yrsvxw"], {"x": x}), strict=True):
        value += 1  # were it anybody else's, the next run or the next value would show it
        np.testing.assert_array_equal(session.run([name], {"x": x})[0] + 1, value)
    np.testing.assert_array_equal(x, [1, 2, 3])


def test_options_without_consequence_are_taken_and_others_refused():
    options = SessionOptions()
    options.graph_optimization_level = numpyvgg.session.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.execution_mode = numpyvgg.session.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    assert InferenceSession(RELU, options, providers=["CPUExecutionProvider"]).get_session_options() is options
    for providers in ([("CUDAExecutionProvider", {"device_id": 0}), "CPUExecutionProvider"], ["CUDAExecutionProvider"]):
        with pytest.warns(UserWarning, match="CUDAExecutionProvider"):
            session = InferenceSession(RELU, providers=providers)
        np.testing.assert_array_equal(session.run(None, {"x": GOOD})[0], GOOD)
    refused = SessionOptions()
    refused.optimized_model_filepath = "copy.onnx"
    with pytest.raises(ArgumentError, match="optimized_model_filepath"):
        InferenceSession(RELU, refused)


def test_every_option_of_onnxruntimes_has_its_name_here():
    theirs = {
        name for name in dir(onnxruntime.SessionOptions()) if not callable(getattr(onnxruntime.SessionOptions(), name))
    }
    ours = set(vars(SessionOptions()))
    assert {name for name in theirs if not name.startswith("_")} - ours <= {"use_per_session_threads"}


# ---------------------------------------------------------------------- graphs that are none


def test_all_operators_that_are_missing_are_named_with_their_nodes():
    nodes = [helper.make_node("Relu", ["x"], ["a"])]
    nodes += [helper.make_node("GRU", ["a"], [f"d{i}"], name=f"gru{i}") for i in range(5)]
    nodes += [helper.make_node("Gelu", ["a"], ["g"], domain="com.microsoft")]
    model = make_model(nodes, [("x", [3, 3])], [("g", None)])
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    with pytest.raises(
        UnsupportedModelError, match=r"GRU \('gru0', 'gru1', 'gru2' and 2 more\); com.microsoft.Gelu \('g'\)"
    ):
        InferenceSession(model)


@pytest.mark.parametrize(
    ("op_type", "domain", "mend"),
    [
        ("If", "", "subgraphs are not run here; an export for inputs of fixed sizes"),
        ("LSTM", "", "recurrent networks are not run here"),
        ("DequantizeLinear", "", "quantised networks are not run here; take the one in float32"),
        ("ConvInteger", "", "quantised networks are not run here; take the one in float32"),
        ("FusedConv", "com.microsoft", "take the network as it was exported"),
    ],
)
def test_what_stays_out_is_said_with_what_may_be_done(op_type, domain, mend):
    node = helper.make_node(op_type, ["x"], ["y"], domain=domain)
    with pytest.raises(UnsupportedModelError, match=mend):
        InferenceSession(make_model([node], [("x", [3, 3])], [("y", None)]))


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([("Relu", ["b"], ["a"]), ("Relu", ["a"], ["b"])], "waits for its own output"),
        ([("Relu", ["x"], ["b"]), ("Add", ["b", "nowhere"], ["c"])], "reads 'nowhere', which nothing computes"),
        ([("Relu", ["x"], ["b"]), ("Exp", ["x"], ["b"])], "computes 'b', which exists already"),
    ],
)
def test_a_graph_that_cannot_be_run_is_an_error(nodes, message):
    model = make_model([helper.make_node(*node) for node in nodes], [("x", [3])], [("b", [3])])
    with pytest.raises(ModelFormatError, match=message):
        InferenceSession(model)


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (helper.make_node("Relu", ["x"], ["y"], slope=0.1), "slope"),
        (helper.make_node("MaxPool", ["x"], ["y"]), "kernel_shape"),
        (helper.make_node("Relu", ["x", "x"], ["y"]), "too many"),
    ],
)
def test_a_node_that_does_not_fit_its_definition_is_an_error(node, message):
    with pytest.raises(UnsupportedModelError, match=message):
        InferenceSession(make_model([node], [("x", [1, 1, 4, 4])], [("y", None)]))


def test_shapes_that_do_not_go_together_name_the_node():
    model = make_model(
        [helper.make_node("Add", ["x", "z"], ["y"], name="sum")], [("x", None), ("z", None)], [("y", None)]
    )
    with pytest.raises(ArgumentError, match=r"Add node 'sum' cannot be run on float32\[3\], float32\[4\]"):
        InferenceSession(model).run(None, {"x": np.zeros(3, np.float32), "z": np.zeros(4, np.float32)})


# ---------------------------------------------------------------------- threads


@pytest.mark.parametrize("threads", [1, 2])
def test_one_thread_is_one_in_numpys_own_products_too(threads, monkeypatch):
    seen = []

    def product(A, B):
        of_numpy = [library for library in threadpoolctl.threadpool_info() if "numpy" in library["filepath"]]
        seen.append({library["num_threads"] for library in of_numpy})  # SciPy brings a BLAS of its own
        return A @ B

    monkeypatch.setattr(operators, "find", lambda op_type, opset: product)
    options = SessionOptions()
    options.intra_op_num_threads = threads
    model = make_model([helper.make_node("MatMul", ["a", "b"], ["y"])], [("a", [2, 2]), ("b", [2, 2])], [("y", None)])
    with threadpoolctl.threadpool_limits(2):
        InferenceSession(model, options).run(None, {"a": np.eye(2, dtype="f"), "b": np.eye(2, dtype="f")})
    assert seen == [{threads}]


# ---------------------------------------------------------------------- memory


def peak(run):
    tracemalloc.start()
    run()
    size = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return size


def test_tensors_are_freed_after_their_last_use():
    nodes = [helper.make_node("Exp" if i % 2 else "Neg", [f"t{i}"], [f"t{i + 1}"]) for i in range(20)]
    session = InferenceSession(make_model(nodes, [("t0", ["N"])], [("t20", ["N"])]))
    x = np.zeros(1 << 20, np.float32)
    assert peak(lambda: session.run(None, {"t0": x})) < 4 * x.nbytes


def test_a_small_view_does_not_keep_a_large_tensor_alive():
    nodes = []
    for i in range(20):
        nodes += [helper.make_node("Add", ["x", f"c{i}"], [f"a{i}"])]
        nodes += [helper.make_node("Slice", [f"a{i}", "zero", "ten"], [f"s{i}"])]
    nodes += [helper.make_node("Concat", [f"s{i}" for i in range(20)], ["y"], axis=0)]
    constants = {f"c{i}": np.float32([i]) for i in range(20)} | {"zero": np.array([0]), "ten": np.array([10])}
    session = InferenceSession(make_model(nodes, [("x", ["N"])], [("y", None)], constants))
    x = np.zeros(1 << 20, np.float32)
    assert peak(lambda: session.run(None, {"x": x})) < 4 * x.nbytes
