"""See inside: the gradients are right, the data adds up, and the page stands on its own."""

from __future__ import annotations

import html.parser
import re
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import PORTRAIT
from make_standin import Layout, standin_model
from numpy.lib.stride_tricks import sliding_window_view
from onnx import TensorProto, helper, numpy_helper

from numpyvgg import operators
from numpyvgg.cli import main
from numpyvgg.errors import ArgumentError
from numpyvgg.files.onnx import read_onnx
from numpyvgg.files.source import Source
from numpyvgg.graph.graph import Graph
from numpyvgg.layers import softmax
from numpyvgg.photo.estimator import open_estimator
from numpyvgg.photo.faces.search import Face
from numpyvgg.photo.images import load_image, to_tensor
from numpyvgg.report import explain, explanation, watch
from numpyvgg.report.backward import backward, max_pool_backward, relu_backward
from numpyvgg.report.explanation import histogram, last_places, seeds
from numpyvgg.report.gradients import grad_cam, score, score_gradient
from numpyvgg.report.layer import find_layers
from numpyvgg.report.occlusion import hidden, occlusion, spread, stride_of
from numpyvgg.report.page import render
from numpyvgg.text import bar_chart, sparkline
from numpyvgg.zoo import open_model
from numpyvgg.zoo.labels import GENDER, MALE_FIRST, UNKNOWN, ages

SMALL = Layout(batch="N")
#: what a network of so many classes answers in these tests
LABELS = {101: "age", 2: "gender", 7: None}


@pytest.fixture(scope="module")
def small_path(tmp_path_factory):
    return standin(tmp_path_factory.mktemp("report"), SMALL)


def standin(folder: Path, layout: Layout, classes: int = 101) -> Path:
    path = folder / f"small-{classes}.onnx"
    path.write_bytes(standin_model(layout, classes=classes).SerializeToString())
    return path


@pytest.fixture(scope="module", autouse=True)
def nothing_hidden():
    """Leave the 37 passes of occlusion out of `explain`; a test of their own has them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(explanation, "occlusion", lambda net, x, labels: np.arange(-18.0, 18.0).reshape(6, 6))
        yield


@pytest.fixture(scope="module")
def network(small_path):
    return open_estimator(small_path, "age")


@pytest.fixture(scope="module")
def explanations(network, tmp_path_factory):
    gender = open_estimator(standin(tmp_path_factory.mktemp("gender"), SMALL, 2), "gender")
    return [explain(each, PORTRAIT) for each in (network, gender)]


@pytest.fixture(scope="module")
def bundled():
    return [explain(open_estimator(name), PORTRAIT) for name in ("age-small", "gender-small")]


# ---------------------------------------------------------------------- gradients


def model_of(nodes, shape, constants=(), opset=17):
    """A graph of these nodes from ``x`` to ``y``, read as a file is."""
    initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in dict(constants).items()]
    inputs = [helper.make_tensor_value_info("x", TensorProto.DOUBLE, shape)]
    outputs = [helper.make_tensor_value_info("y", TensorProto.DOUBLE, None)]
    graph = helper.make_graph(nodes, "g", inputs, outputs, initializers)
    return read_onnx(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)]).SerializeToString())


def forward(graph: Graph, feed):
    """Every tensor that is computed, in the dtype of `feed`, by the operators as the specification has them."""
    values = dict(feed)
    for node in graph.nodes:
        if not graph.is_fixed(node.outputs[0]):
            inputs = [values[name] if name in values else graph.constant(name) for name in node.inputs]
            values[node.outputs[0]] = operators.bind(node, graph.model)(*inputs)
    return values


def check_slopes(graph: Graph, x: np.ndarray, last: str, name: str = "x", step: float = 1e-6, rel: float = 1e-6):
    """The gradient of a random combination of `last` against central differences along random directions."""
    rng, values = np.random.default_rng(0), forward(graph, {name: x})
    seed = rng.standard_normal(values[last].shape)
    gradient = backward(graph, values, {last: seed}, [name])[name]
    assert gradient.shape == x.shape
    for _ in range(3):
        direction = rng.standard_normal(x.shape)
        above, below = ((forward(graph, {name: x + side * direction})[last] * seed).sum() for side in (step, -step))
        assert (gradient * direction).sum() == pytest.approx((above - below) / (2 * step), rel=rel, abs=1e-8)


_RNG = np.random.default_rng(5)
_WEIGHT, _VECTOR = _RNG.standard_normal((6, 2, 3, 2)), _RNG.standard_normal(4)
_OPERATORS = {
    "Conv with strides, groups, dilations and uneven pads": (
        [("Conv", ["x", "w"], {"strides": [2, 1], "pads": [1, 0, 2, 1], "dilations": [1, 2], "group": 2})],
        {"w": _WEIGHT},
    ),
    "Conv with auto_pad": (
        [("Conv", ["x", "w"], {"auto_pad": "SAME_LOWER", "strides": [2, 2], "group": 2})],
        {"w": _WEIGHT},
    ),
    "MaxPool": ([("MaxPool", ["x"], {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 1, 1]})], {}),
    "MaxPool beyond the edge": ([("MaxPool", ["x"], {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1})], {}),
    "AveragePool": ([("AveragePool", ["x"], {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 1, 1, 1]})], {}),
    "AveragePool that counts padding": (
        [("AveragePool", ["x"], {"kernel_shape": [2, 2], "pads": [1, 1, 0, 0], "count_include_pad": 1})],
        {},
    ),
    "a residual block": ([("Relu", ["x"], {}), ("Mul", ["0", "x"], {}), ("Add", ["1", "0"], {})], {}),
    "BatchNormalization": (
        [("BatchNormalization", ["x", "v", "v", "v", "s"], {})],
        {"v": _VECTOR, "s": np.abs(_VECTOR)},
    ),
    "GlobalAveragePool, Flatten, Gemm, Softmax": (
        [
            ("GlobalAveragePool", ["x"], {}),
            ("Flatten", ["0"], {}),
            ("Gemm", ["1", "w"], {"alpha": 2.0}),
            ("Softmax", ["2"], {}),
        ],
        {"w": _RNG.standard_normal((4, 5))},
    ),
    "MatMul and Reshape": (
        [("Reshape", ["x", "s"], {}), ("MatMul", ["0", "w"], {})],
        {"s": np.array([0, -1]), "w": _RNG.standard_normal((4 * 7 * 6, 3))},
    ),
    "LRN": ([("LRN", ["x"], {"size": 4, "alpha": 0.5, "beta": 0.75, "bias": 2.0})], {}),
    "Concat, Transpose and Pad": (
        [
            ("Sigmoid", ["x"], {}),
            ("Concat", ["x", "0"], {"axis": 1}),
            ("Transpose", ["1"], {"perm": [0, 2, 3, 1]}),
            ("Pad", ["2", "p"], {}),
        ],
        {"p": np.array([0, 1, 0, 0, 0, 0, 2, 0])},
    ),
    "Sub, Div and broadcasting": (
        [
            ("Sub", ["x", "v"], {}),
            ("ReduceMean", ["x"], {"axes": [2, 3]}),
            ("Div", ["0", "1"], {}),
            ("Sum", ["2", "x"], {}),
        ],
        {"v": _VECTOR.reshape(4, 1, 1)},
    ),
    **{
        name: ([(name, ["x"], {})], {})
        for name in ("Relu", "LeakyRelu", "Sigmoid", "Tanh", "HardSigmoid", "HardSwish", "Identity", "Dropout")
    },
    "Clip": ([("Clip", ["x", "low", "high"], {})], {"low": np.float64(-0.5), "high": np.float64(0.7)}),
    "PRelu": ([("PRelu", ["x", "v"], {})], {"v": _VECTOR.reshape(4, 1, 1)}),
}


@pytest.mark.parametrize("case", _OPERATORS)
def test_each_operators_gradient_is_its_slope(case):
    rows, constants = _OPERATORS[case]
    nodes = [
        helper.make_node(op_type, inputs, ["y" if number == len(rows) - 1 else str(number)], **attributes)
        for number, (op_type, inputs, attributes) in enumerate(rows)
    ]
    model = model_of(nodes, [1, 4, 7, 6], constants)
    check_slopes(Graph(model), np.random.default_rng(1).standard_normal((1, 4, 7, 6)), "y")


@pytest.mark.parametrize(("name", "size"), [("age-small", 64), ("gender-small", 32)])
def test_the_bundled_networks_gradient_is_the_slope_down_to_the_image(name, size):
    """In float64, by steps that turn hardly a ReLU; tools/check_gradients.py asks PyTorch's autograd."""
    proto = onnx.load(open_model(name).path)
    for tensor in proto.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), tensor.name))
    proto.graph.input[0].type.tensor_type.elem_type = TensorProto.DOUBLE
    graph = Graph(read_onnx(proto.SerializeToString()))
    check_slopes(
        graph, np.random.default_rng(2).standard_normal((1, 3, size, size)) * 0.3, "logits", "images", 1e-8, 1e-4
    )


def test_an_operator_without_a_backward_pass_is_named_and_leaves_the_rest_of_the_page(small_path, tmp_path):
    proto = onnx.load(small_path)
    last = proto.graph.node[-1]
    proto.graph.node.insert(len(proto.graph.node) - 1, helper.make_node("Exp", [last.input[0]], ["grown"], "grow"))
    proto.graph.node[-1].input[0] = "grown"
    path = tmp_path / "grown.onnx"
    path.write_bytes(proto.SerializeToString())
    explained = explain(open_estimator(path, "age"), PORTRAIT)
    assert explained.grad_cam is None
    assert "Exp node 'grow': no backward pass" in explained.no_gradient
    text = render([explained], title="portrait")
    assert "No Grad-CAM" in text
    assert "Occlusion" in text


def test_pooling_sends_the_gradient_to_the_first_of_the_largest():
    x = np.array([[[[1.0, 3.0, 2.0, 2.0], [2.0, 0.0, 2.0, 2.0]]]])
    dy = np.array([[[[5.0, 7.0]]]])
    assert max_pool_backward(dy, x, (2, 2), strides=(2, 2)).tolist() == [[[[0, 5, 7, 0], [0, 0, 0, 0]]]]


def test_relu_stops_the_gradient_where_nothing_passed():
    assert relu_backward(np.array([1.0, 2.0, 3.0]), np.array([-1.0, 0.0, 4.0])).tolist() == [0, 0, 3]


@pytest.mark.parametrize(
    ("classes", "labels"), [(101, ages(101)), (81, ages(81)), (2, GENDER), (2, MALE_FIRST), (7, UNKNOWN)]
)
def test_the_score_gradient_is_the_slope_of_the_score_through_softmax(classes, labels):
    z = np.random.default_rng(1).standard_normal((1, classes))
    wanted = []
    for i in range(classes):
        step = np.zeros_like(z)
        step[0, i] = 1e-6
        wanted.append((score(softmax(z + step), labels) - score(softmax(z - step), labels))[0] / 2e-6)
    np.testing.assert_allclose(score_gradient(softmax(z), labels)[0], wanted, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    ("ends", "independent"),
    [
        (["Softmax"], False),
        (["LogSoftmax"], False),
        ([], False),
        (["Exp", "ReduceSum", "Div"], False),
        (["Sigmoid"], True),
    ],
)
def test_however_a_network_ends_the_seed_is_the_slope_of_the_score(tmp_path, ends, independent):
    """The score as the classifier's answer gives it, moved by moving the scores."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["images"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["z"]),
    ]
    if ends == ["Exp", "ReduceSum", "Div"]:
        nodes += [
            helper.make_node("Exp", ["z"], ["e"]),
            helper.make_node("ReduceSum", ["e", "axes"], ["sum"], keepdims=1),
            helper.make_node("Div", ["e", "sum"], ["y"]),
        ]
    else:
        nodes += [helper.make_node(ends[0] if ends else "Identity", ["z"], ["y"])]
    path = tmp_path / "net.onnx"
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", 3, 8, 8])
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])]
    axes = numpy_helper.from_array(np.array([1]), "axes")
    onnx.save(
        helper.make_model(
            helper.make_graph(nodes, "g", [images], outputs, [axes]), opset_imports=[helper.make_opsetid("", 17)]
        ),
        path,
    )
    network = open_estimator(path)
    x = np.random.default_rng(3).standard_normal((1, 3, 8, 8)).astype(np.float32)
    _, values = watch(network, x)
    gradient = backward(Graph(network.model), values, seeds(network, values, network.network(x)), ["pooled"])["pooled"]
    for channel in range(3):
        step = np.zeros((1, 3, 1, 1), np.float32)
        step[0, channel] = 1e-2
        rise = score(np.concatenate([network.network(x), network.network(x + step), network.network(x - step)]))
        assert gradient[0, channel, 0, 0] == pytest.approx((rise[1] - rise[2]) / 2e-2, abs=1e-3)


def test_log_odds_stay_finite_where_a_probability_was_rounded_to_zero():
    assert np.isfinite(score(np.array([[0.0, 1.0], [1.0, 0.0]], np.float32), GENDER)).all()


def test_grad_cam_is_the_weighted_sum_of_the_maps():
    rng = np.random.default_rng(2)
    maps, gradient = rng.standard_normal((2, 1, 3, 4, 4))
    wanted = sum(gradient[0, c].mean() * maps[0, c] for c in range(3))
    np.testing.assert_allclose(grad_cam(maps, gradient)[0], wanted)


# ---------------------------------------------------------------------- what is looked at


def test_occlusion_is_the_fall_of_the_score_when_a_part_is_hidden(network, portrait):
    net, stride = network.network, stride_of(portrait.shape)
    assert stride == 32
    differences = occlusion(net, portrait, ages(101))
    assert differences.shape == (6, 6)
    covered = portrait.copy()
    rows, columns = slice(2 * stride, 4 * stride), slice(4 * stride, 6 * stride)
    covered[:, :, rows, columns] = portrait.mean(axis=(2, 3), keepdims=True)
    np.testing.assert_array_equal(covered, hidden(portrait, 64, 128, 128, 192))
    fall = score(net(portrait), ages(101)) - score(net(covered), ages(101))
    assert differences[2, 4] == pytest.approx(fall[0], abs=1e-3)
    assert np.ptp(differences) > 0.1


def test_occlusion_asks_about_the_class_that_the_whole_image_has():
    """A hidden part may make another class the most probable; the score stays that of the first."""

    def net(x):
        lit = (x[:, 0, 0, 0] > 0.5).astype(float)[:, None]
        return 0.2 + 0.6 * np.concatenate([lit, 1 - lit], axis=1)

    x = np.zeros((1, 3, 14, 14), np.float32)
    x[0, 0, 0, 0] = 1
    assert occlusion(net, x)[0, 0] == pytest.approx(np.log(0.8 / 0.2))


def test_each_place_gets_the_mean_of_the_patches_over_it():
    differences = np.random.default_rng(3).standard_normal((6, 6))
    padded = np.pad(differences, 1, constant_values=np.nan)
    wanted = np.nanmean(sliding_window_view(padded, (2, 2)), axis=(2, 3))
    np.testing.assert_allclose(spread(differences), wanted)


_ONES = np.ones((4, 4, 3, 3))
_BLOCKS = {
    "a plain network": [
        ("Conv", ["x", "w"], {"pads": [1, 1, 1, 1]}),
        ("MaxPool", ["0"], {"kernel_shape": [3, 3], "strides": [2, 2]}),
        ("Conv", ["1", "w"], {"dilations": [2, 2], "pads": [0, 1, 0, 1]}),
    ],
    "a residual block": [
        ("Conv", ["x", "w"], {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
        ("Conv", ["0", "w"], {"pads": [1, 1, 1, 1]}),
        ("Conv", ["1", "w"], {"pads": [2, 2, 0, 0]}),
        ("Add", ["2", "0"], {}),
    ],
    "a block with a short cut of its own": [
        ("Conv", ["x", "w"], {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
        ("AveragePool", ["x"], {"kernel_shape": [2, 2], "strides": [2, 2]}),
        ("Concat", ["0", "1"], {"axis": 1}),
    ],
}


@pytest.mark.parametrize("case", _BLOCKS)
def test_receptive_fields_are_the_pixels_that_reach_an_output(case):
    """Measured: an output's slope is zero along every pixel outside of its field, and not along its corners."""
    rows = _BLOCKS[case]
    names = [*map(str, range(len(rows) - 1)), "y"]
    nodes = [helper.make_node(op, read, [name], **more) for (op, read, more), name in zip(rows, names, strict=True)]
    graph = Graph(model_of(nodes, [1, 4, 32, 32], {"w": _ONES}))
    values = forward(graph, {"x": np.random.default_rng(0).random((1, 4, 32, 32))})
    for layer in find_layers(graph, {name: value.shape for name, value in values.items()}):
        seed = np.zeros_like(values[layer.output])
        row, column = seed.shape[2] // 2, seed.shape[3] // 2
        seed[0, :, row, column] = 1
        reached = np.argwhere(backward(graph, values, {layer.output: seed}, ["x"])["x"][0].any(axis=0))
        fields = layer.receptive_field
        spans = np.array([fields[0].span(row), fields[1].span(column)])
        if layer.nodes[0].op_type == "MaxPool" or case == "a plain network":  # only the winner has a slope
            assert (spans[:, 0] <= reached.min(axis=0)).all()
            assert (reached.max(axis=0) < spans[:, 1]).all()
        else:
            np.testing.assert_array_equal(spans[:, 0], reached.min(axis=0))
            np.testing.assert_array_equal(spans[:, 1], reached.max(axis=0) + 1)


def test_vgg_s_receptive_fields_are_those_of_the_lesson(network, portrait):
    sizes = {view.layer.title: view.layer.receptive_field[0].size for view in watch(network, portrait)[0]}
    wanted = {"conv1_1": 3, "conv1_2": 5, "pool1": 6, "conv2_1": 10, "conv2_2": 14, "conv5_3": 196, "pool5": 212}
    assert {title: sizes[title] for title in wanted} == wanted


def test_the_layers_are_the_sixteen_and_five_poolings_with_the_values_of_the_forward_pass(network, portrait):
    views, values = watch(network, portrait)
    assert len(views) == 13 + 5 + 3
    net = network.network
    outputs = {layer.title: value for layer, value in net.trace_layers(portrait)}
    costs = {layer.title: (layer.parameters, layer.multiply_adds) for layer in net.layers}
    np.testing.assert_allclose(values[network.model.outputs[0].name], net(portrait), atol=1e-6)
    for view in views:
        title = view.layer.title
        before = outputs[title]
        after = outputs.get(title.replace("conv", "relu").replace("fc", "relu"), before)
        assert (view.layer.parameters, view.layer.multiply_adds) == costs[title]
        assert view.counts.sum() == before.size
        if view.zeros is not None:
            assert view.zeros == pytest.approx((after == 0).mean(), abs=1e-3)
            assert 0 in view.edges
        loudest = np.sqrt((after[0].reshape(len(after[0]), -1) ** 2).mean(axis=1))
        assert loudest[view.channels[0]] == pytest.approx(loudest.max(), rel=1e-4)
        np.testing.assert_allclose(view.maps, after[0][view.channels].reshape(view.maps.shape), atol=1e-4, rtol=1e-4)
    assert last_places([view.layer for view in views]).title == "conv5_3"


def test_the_layers_of_a_residual_network_are_those_of_its_graph(bundled):
    """Sizes by hand, from the description of the network; the values are ONNX Runtime's."""
    import onnxruntime

    age = bundled[0]
    kinds = [view.layer.kind for view in age.layers]
    assert {kind: kinds.count(kind) for kind in kinds} == {"conv": 11, "pool": 4, "join": 5, "fc": 1}
    sizes = [view.layer.output_shape[1] for view in age.layers if view.layer.kind == "join"]
    assert sizes == [14, 7, 7, 3, 3]
    assert [view.layer.title for view in age.layers][:2] == ["layer_52_conv", "layer_49_maxpool"]
    assert age.layers[0].layer.parameters == 64 * 3 * 7 * 7 + 64
    assert age.layers[0].layer.multiply_adds == 64 * 3 * 7 * 7 * 29 * 29
    assert age.cam_layer.output_shape == (256, 3, 3)
    model = onnx.load(open_model("age-small").path)
    model.graph.output.extend(helper.make_empty_tensor_value_info(view.layer.output) for view in age.layers)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    theirs = session.run([view.layer.output for view in age.layers], {"images": age.x})
    for view, value in zip(age.layers, theirs, strict=True):
        maps = value[0].reshape(len(value[0]), *view.maps.shape[1:])
        np.testing.assert_allclose(view.maps, maps[view.channels], atol=1e-4, rtol=1e-4)


def test_a_fully_convolutional_file_that_ends_with_the_scores_is_explained_alike(network, portrait, tmp_path):
    wanted = explain(network, PORTRAIT)
    other = open_estimator(standin(tmp_path, Layout(batch="N", head="Conv", softmax=False)), "age")
    found = explain(other, PORTRAIT)
    assert found.layers[-1].values.shape == (101,)
    assert found.answer.expected == pytest.approx(wanted.answer.expected, abs=1e-3)
    np.testing.assert_allclose(found.grad_cam, wanted.grad_cam, atol=1e-3, rtol=1e-3)
    assert found.units[0].contribution == pytest.approx(wanted.units[0].contribution, rel=1e-3)


@pytest.mark.parametrize("how", ["float16", "channels last", "a batch of four"])
def test_networks_are_fed_as_their_files_want_it(tmp_path, how):
    kind = TensorProto.FLOAT16 if how == "float16" else TensorProto.FLOAT
    shape = {"channels last": ["N", 8, 8, 3], "a batch of four": [4, 3, 8, 8]}.get(how, ["N", 3, 8, 8])
    turn = [
        helper.make_node("Transpose", ["images"], ["x"], perm=[0, 3, 1, 2] if how == "channels last" else [0, 1, 2, 3])
    ]
    nodes = [
        *turn,
        helper.make_node("Conv", ["x", "w"], ["c"], "first"),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["y"]),
    ]
    weight = np.random.default_rng(0).standard_normal((5, 3, 3, 3)).astype(helper.tensor_dtype_to_np_dtype(kind))
    inputs, outputs = (
        helper.make_tensor_value_info("images", kind, shape),
        helper.make_tensor_value_info("y", kind, [shape[0], 5]),
    )
    graph = helper.make_graph(nodes, "g", [inputs], [outputs], [numpy_helper.from_array(weight, "w")])
    path = tmp_path / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    explained = explain(open_estimator(path, said={"scale": (1 / 255,)}), PORTRAIT)
    assert explained.layers[0].layer.title == "first"
    assert explained.grad_cam.shape == (6, 6)
    assert explained.filters.shape == (5, 3, 3, 3)
    assert render([explained], title="portrait")


def test_a_histogram_counts_as_numpy_does():
    values = np.random.default_rng(4).standard_normal(100_000).astype(np.float32)
    counts, edges = histogram(values)
    inside, _ = np.histogram(values.astype(np.float64).clip(edges[0], edges[-1]), edges)
    assert np.abs(counts - inside).max() <= 2  # values on a border, in float32
    assert 0 in edges


@pytest.mark.parametrize("value", [0.0, -3.0, 5.0])
def test_a_histogram_of_equal_values_is_one_bar(value):
    counts, _ = histogram(np.full(10, value, np.float32))
    assert sorted(counts)[-1] == 10


def test_the_units_come_loudest_first_and_leave_none_out(network, portrait, explanations):
    values = {layer.title: value for layer, value in network.network.trace_layers(portrait)}
    weight = next(layer for layer in network.network.layers if layer.title == "fc8").load()[0]
    products = values["relu7"][0] * (score_gradient(values["prob"], ages(101)) @ weight)[0]
    units = explanations[0].units
    assert sum(unit.contribution for unit in units) == pytest.approx(products.sum(), rel=1e-3)
    assert np.diff([abs(unit.contribution) for unit in units]).max() <= 0
    assert abs(units[0].contribution) == pytest.approx(np.abs(products).max(), rel=1e-3)


# ---------------------------------------------------------------------- the page


class Page(html.parser.HTMLParser):
    """Collects what a page refers to, and insists that its elements are closed in order."""

    VOID = ("meta", "link", "img", "br", "input")

    def __init__(self, text: str):
        super().__init__()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.open: list[str] = []
        self.images = 0
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        names = dict(attributes)
        self.links += [names[key] for key in ("href", "src") if names.get(key)]
        self.ids += [names["id"]] if "id" in names else []
        self.images += tag in ("img", "image")
        assert tag != "img" or names.get("alt")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page_text(explanations):
    return render(explanations, title="a <portrait>", note="a note")


def test_the_page_stands_on_its_own(page_text):
    page = Page(page_text)
    assert all(link.startswith(("data:", "#")) for link in page.links)
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert not re.search(r"(url\(|@import|<script src)", page_text)


def test_the_page_has_every_layer_and_stays_small(page_text, explanations):
    page = Page(page_text)
    assert {f"layer{number}" for number in range(len(explanations[0].layers))} <= set(page.ids)
    assert all(view.layer.title in page_text for view in explanations[0].layers)
    assert page.images > 18 * 4
    assert len(page_text.encode()) < 5e6


def test_the_page_says_the_answers_and_escapes_what_it_is_told(page_text, explanations):
    assert f"{explanations[0].answer.expected:.1f}" in page_text
    assert "a &lt;portrait&gt;" in page_text
    assert "<portrait>" not in page_text


def test_a_page_of_no_network_is_a_mistake():
    with pytest.raises(ArgumentError, match="no page"):
        render([], title="portrait")


@pytest.fixture(scope="module")
def bundled_text(bundled):
    return render(bundled, title="portrait")


def test_the_bundled_networks_page_has_their_names_and_every_filter(bundled_text):
    text = bundled_text
    assert all(f"by {name}" in text for name in ("age-small", "gender-small"))
    assert text.count('alt="Filter ') == 64
    assert "pictures of 7 × 7 pixels" in text
    Page(text)


def test_a_field_is_called_the_whole_crop_only_where_its_square_covers_it(bundled_text):
    square = r'<rect class="outline" x="[\d.]+" y="[\d.]+" width="([\d.]+)" height="([\d.]+)"'
    field = rf'viewBox="0 0 (\d+) (\d+)" role="img" aria-label="Receptive field.*?{square}.*?<figcaption>sees ([^<]*)<'
    fields = re.findall(field, bundled_text, re.DOTALL)
    covered = [(float(w), float(h)) == (float(width), float(height)) for width, height, w, h, _ in fields]
    assert covered == [text == "the whole crop" for *_, text in fields]
    assert 0 < sum(covered) < len(covered)
    assert sum("padding" in text for *_, text in fields) > 0


def test_a_face_is_framed_on_the_photograph_and_its_crop_enters(network):
    crop = np.full((224, 224, 3), 7, np.uint8)
    corners = np.array([[10.0, 20.0], [110.0, 20.0], [110.0, 120.0], [10.0, 120.0]])
    explained = explain(network, PORTRAIT, face=Face(crop, 15.0, corners, score=1.0))
    assert (explained.x == 7).all()
    text = render([explained], title="portrait")
    assert 'points="10.0,20.0 110.0,20.0 110.0,120.0 10.0,120.0"' in text


def test_networks_that_were_trained_without_a_margin_get_the_face_alone(monkeypatch):
    crop = np.zeros((224, 224, 3), np.uint8)
    crop[60:164, 60:164] = 255  # the margin is 50 pixels on each side
    face = Face(crop, 0.0, np.array([[0.0, 0], [9, 0], [9, 9], [0, 9]]), score=1.0)
    assert explain(open_estimator("age-small"), PORTRAIT, face=face).pixels[:, 10:-10, 10:-10].min() == 255


def test_rgb_networks_see_the_channels_in_that_order(small_path, explanations):
    rgb = explain(open_estimator(small_path, "age", {"channels": "rgb"}), PORTRAIT)
    np.testing.assert_array_equal(rgb.x, to_tensor(load_image(PORTRAIT), "rgb"))
    np.testing.assert_array_equal(rgb.filters, explanations[0].filters[:, ::-1])


# ---------------------------------------------------------------------- the command


def test_the_command_writes_a_page(small_path, tmp_path, capsys):
    output = tmp_path / "report.html"
    assert main(["explain", str(PORTRAIT), "--model", str(small_path), "-o", str(output)]) == 0
    assert "random" in output.read_text("utf-8")  # it says that the network is a stand-in
    assert str(output) in capsys.readouterr().out


def test_the_command_finds_the_face_and_explains_its_crop(small_path, tmp_path, monkeypatch):
    corners = np.array([[180.0, 80.0], [300.0, 80.0], [300.0, 200.0], [180.0, 200.0]])
    found = [Face(np.full((224, 224, 3), 7, np.uint8), 0.0, corners, score=1.0)]
    monkeypatch.setattr("numpyvgg.cli.finding.load_detector", lambda name: None)
    monkeypatch.setattr("numpyvgg.cli.finding.align_faces", lambda photograph, detector, min_size: found)
    output = tmp_path / "report.html"
    assert main(["explain", str(PORTRAIT), "--faces", "--model", str(small_path), "-o", str(output)]) == 0
    assert 'points="180.0,80.0 ' in output.read_text("utf-8")


def test_a_detector_without_looking_for_faces_is_a_mistake(small_path, capsys):
    arguments = ["explain", str(PORTRAIT), "--detector", "cascade", "--model", str(small_path), "--terminal"]
    assert main(arguments) == 2
    assert "add --faces" in capsys.readouterr().err


def test_the_command_prints_layers_and_the_distribution_without_any_extra(small_path, capsys, monkeypatch):
    for name in ("jinja2", "matplotlib"):
        monkeypatch.setitem(sys.modules, name, None)
    assert main(["explain", str(PORTRAIT), "--model", str(small_path), "--labels", "age", "--terminal"]) == 0
    text = capsys.readouterr().out
    assert all(place in text for place in ("conv1_1", "pool5", "fc8"))
    assert "years, most probable" in text
    assert "█" in text


def test_the_page_without_its_extra_says_what_to_install(small_path, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    for module in ("numpyvgg.report.page", "numpyvgg.pages"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    assert main(["explain", str(PORTRAIT), "--model", str(small_path), "-o", str(tmp_path / "report.html")]) == 2
    assert "pip install jinja2 matplotlib" in capsys.readouterr().err


@pytest.mark.thorough
def test_with_nothing_fetched_the_bundled_networks_are_explained_on_the_face(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("NUMPYVGG_CACHE", str(tmp_path / "cache"))
    page = tmp_path / "report.html"
    assert main(["explain", str(PORTRAIT), "-o", str(page)]) == 0
    assert "numpyvgg fetch age-imdb-wiki gender-imdb-wiki" in capsys.readouterr().err
    text = page.read_text("utf-8")
    assert "Framed: the face that was found" in text
    assert text.count('alt="Filter ') == 64
    assert all(name in text for name in ("age-small", "gender-small"))
    assert main(["explain", str(PORTRAIT), "--terminal"]) == 0
    assert "age-small: " in capsys.readouterr().out
    assert not (tmp_path / "cache").exists()


def test_no_layer_is_timed_while_its_weights_are_read_or_copied(small_path, monkeypatch):
    """The chart of times says where the work is; what happens once belongs to no layer."""
    network = open_estimator(small_path, "age")
    passes: list[list[str]] = []
    run, read, copy = explanation._pass, Source.read, Source.copy
    monkeypatch.setattr(explanation, "_pass", lambda *a: passes.append([]) or run(*a))
    monkeypatch.setattr(Source, "read", lambda self, *a: (passes and passes[-1].append("read"), read(self, *a))[1])
    monkeypatch.setattr(Source, "copy", lambda self, *a: (passes and passes[-1].append("copied"), copy(self, *a))[1])
    watch(network, to_tensor(load_image(PORTRAIT)))
    assert len(passes) == 3
    assert passes[-1] == []


def test_a_page_that_cannot_be_written_is_one_line_before_any_work(small_path, tmp_path, capsys):
    (tmp_path / "file").touch()
    output = tmp_path / "file" / "report.html"
    assert main(["explain", str(PORTRAIT), "--model", str(small_path), "-o", str(output)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


# ---------------------------------------------------------------------- text


def test_bars_rise_with_their_heights():
    assert sparkline([0, 1, 2, 4, 8]) == " ▁▂▄█"
    assert bar_chart([0, 8, 16], 2) == ["  █", " ██"]
    assert sparkline([0, 0]) == "  "
