"""One reading of a graph: recogniser, session and parity take a node for the same. The oracle is ONNX Runtime."""

from __future__ import annotations

import random
import warnings

import numpy as np
import onnx
import onnxruntime
import pytest
from make_standin import Layout, standin_model
from onnx import TensorProto, helper, numpy_helper

from numpyvgg import VGG, InferenceSession, ModelFormatError, UnsupportedModelError, read_onnx
from numpyvgg.graph.graph import Graph
from numpyvgg.parity import compare

MODERN = Layout(opset=13, storage="raw", initializers_as_inputs=False)
SIZE, WIDTH = 64, 4  # pixels of the image, so that the last pooling leaves 2x2; channels


class Builder:
    """A narrow VGG-16, written down node by node as exporters do that know no better."""

    def __init__(self, channels_last: bool = False, opset: int = 13):
        self.rng = np.random.default_rng(0)
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.opset, self.channels_last = opset, channels_last
        self.top = "input"

    def constant(self, array: np.ndarray) -> str:
        name = f"c{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def weight(self, *shape: int) -> np.ndarray:
        return (self.rng.standard_normal(shape) * (2 / np.prod(shape[1:])) ** 0.5).astype(np.float32)

    def node(self, op_type: str, *inputs: str, **attributes: object) -> None:
        output = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op_type, [self.top, *inputs], [output], output, **attributes))
        self.top = output

    def model(self, classes: int = 7) -> onnx.ModelProto:
        shape = ["N", SIZE, SIZE, 3] if self.channels_last else ["N", 3, SIZE, SIZE]
        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info(self.top, TensorProto.FLOAT, ["N", classes])],
            self.initializers,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)


def vgg(convolution, head, channels_last: bool = False, after_relu=lambda b: None) -> onnx.ModelProto:
    b, channels = Builder(channels_last), 3
    for count in (2, 2, 3, 3, 3):
        for _ in range(count):
            convolution(b, b.weight(WIDTH, channels, 3, 3), b.weight(WIDTH, 1)[:, 0])
            b.node("Relu")
            after_relu(b)
            channels = WIDTH
        b.node("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
    head(b)
    return b.model()


def plain(b: Builder, weight: np.ndarray, bias: np.ndarray) -> None:
    b.node("Conv", b.constant(weight), b.constant(bias), kernel_shape=[3, 3], pads=[1] * 4)


def with_casts(b: Builder, weight: np.ndarray, bias: np.ndarray) -> None:
    b.node("Cast", to=TensorProto.FLOAT)
    plain(b, weight, bias)
    b.node("Cast", to=TensorProto.FLOAT)


def padded_and_added(b: Builder, weight: np.ndarray, bias: np.ndarray) -> None:
    b.node("Pad", b.constant(np.array([0, 0, 1, 1, 0, 0, 1, 1])))
    b.node("Conv", b.constant(weight), kernel_shape=[3, 3], auto_pad="VALID")
    b.node("Add", b.constant(bias.reshape(1, -1, 1, 1)))


def channels_last_each(b: Builder, weight: np.ndarray, bias: np.ndarray) -> None:
    """As a converter writes that turns every layer of a channels-last network for itself."""
    b.node("Pad", b.constant(np.array([0, 1, 1, 0, 0, 1, 1, 0])))
    b.node("Transpose", perm=[0, 3, 1, 2])
    b.node("Conv", b.constant(weight), kernel_shape=[3, 3], auto_pad="VALID")
    b.node("Transpose", perm=[0, 2, 3, 1])
    b.node("Add", b.constant(bias))


def dense(b: Builder) -> None:
    b.node("Flatten")
    for outputs, inputs in ((8, 4 * WIDTH), (8, 8), (7, 8)):
        b.node("MatMul", b.constant(b.weight(outputs, inputs).T.copy()))
        b.node("Add", b.constant(b.weight(outputs, 1)[:, 0]))
        if outputs == 8:
            b.node("Relu")
    b.node("Softmax", axis=-1)


def pooled_channels_last(b: Builder) -> None:
    """The pooling itself reads channels first, what is flattened has them last: the weight's columns are H, W, C."""
    b.node("Transpose", perm=[0, 2, 3, 1])
    dense(b)


def channels_last_network() -> onnx.ModelProto:
    b = Builder(channels_last=True)
    channels = 3
    for count in (2, 2, 3, 3, 3):
        for _ in range(count):
            channels_last_each(b, b.weight(WIDTH, channels, 3, 3), b.weight(WIDTH, 1)[:, 0])
            b.node("Relu")
            channels = WIDTH
        b.node("Transpose", perm=[0, 3, 1, 2])
        b.node("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
        b.node("Transpose", perm=[0, 2, 3, 1])
    dense(b)
    return b.model()


STRUCTURES = {
    "casts around each convolution": vgg(with_casts, dense),
    "borders as Pad nodes, biases as Add nodes": vgg(padded_and_added, dense),
    "channels first, flattened with channels last": vgg(plain, pooled_channels_last),
    "channels last throughout": channels_last_network(),
    "Identity after each ReLU": vgg(plain, dense, after_relu=lambda b: b.node("Identity")),
}


@pytest.mark.parametrize("name", STRUCTURES)
def test_vgg_as_other_exporters_write_it(name):
    model = STRUCTURES[name]
    images = np.random.default_rng(1).random((2, 3, SIZE, SIZE), np.float32)
    fed = images.transpose(0, 2, 3, 1) if "channels last throughout" in name else images
    (expected,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"input": fed})
    assert np.ptp(expected, axis=1).min() > 1e-3  # the answer depends on the weights
    np.testing.assert_allclose(VGG.from_onnx(model)(images), expected, atol=2e-6)
    np.testing.assert_allclose(InferenceSession(model).run(None, {"input": fed})[0], expected, atol=2e-6)


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda b, w, bias: (b.node("Pad", b.constant(np.array([0, 0, 1, 1, 0, 0, 1, 1])), b.constant(np.float32(9))),
                             b.node("Conv", b.constant(w), b.constant(bias), kernel_shape=[3, 3])),
         "not a border of one zero on each side"),
        (lambda b, w, bias: (b.node("Pad", b.constant(np.array([0, 0, 1, 1, 0, 0, 1, 1])), mode="edge"),
                             b.node("Conv", b.constant(w), b.constant(bias), kernel_shape=[3, 3])),
         "not a border of one zero on each side"),
        (lambda b, w, bias: (b.node("Conv", b.constant(w), kernel_shape=[3, 3], pads=[1] * 4),
                             b.node("Add", b.constant(bias))), "not a number for each of 4 channels"),
        (lambda b, w, bias: (plain(b, w, bias), b.node("Cast", to=TensorProto.INT32)), "relu1_1 .*belongs, Cast node"),
    ],
    ids=["a border of nines", "a border of edges", "a bias along the width", "a cast to integers"],
)  # fmt: skip
def test_what_only_looks_like_one_of_these_is_refused(edit, reason):
    with pytest.raises(UnsupportedModelError, match=reason):
        VGG.from_onnx(vgg(edit, dense))


def test_nodes_in_any_order_mean_the_same_to_all_three():
    model = standin_model(MODERN)
    x = np.random.default_rng(0).integers(0, 256, (1, 3, 224, 224)).astype(np.float32)
    expected = VGG.from_onnx(model)(x)
    nodes = list(model.graph.node)
    random.Random(0).shuffle(nodes)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    assert VGG.from_onnx(model)(x).tobytes() == expected.tobytes()
    np.testing.assert_allclose(InferenceSession(model).run(None, {"input": x})[0], expected, atol=2e-6)
    exposed = InferenceSession(model)
    names = [name for node in model.graph.node for name in node.output]
    assert compare(
        model, x, lambda image: dict(zip(names, exposed.run(names, {"input": image}), strict=True))
    ).explained


def dropout(training: bool) -> onnx.ModelProto:
    b = Builder()
    b.node("Relu")
    b.node("Dropout", b.constant(np.float32(0.5)), b.constant(np.array(training)))
    b.node("Relu")
    return b.model()


def test_dropout_that_was_exported_for_training_hands_on_what_it_gets_and_says_so():
    x = np.ones((1, 3, SIZE, SIZE), np.float32)
    with pytest.warns(UserWarning, match=r"exported for training: Dropout node 't1' would drop at random"):
        session = InferenceSession(dropout(training=True))
    onnxruntime_says = onnxruntime.InferenceSession(dropout(training=True).SerializeToString()).run(None, {"input": x})
    np.testing.assert_array_equal(session.run(None, {"input": x})[0], onnxruntime_says[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        InferenceSession(dropout(training=False))


def chain(length: int) -> onnx.ModelProto:
    nodes = [helper.make_node("Identity", [f"w{i}"], [f"w{i + 1}"]) for i in range(length)]
    nodes.append(helper.make_node("Add", ["x", f"w{length}"], ["y"]))
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])],
        [numpy_helper.from_array(np.array([1, 2], np.float32), "w0")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_a_chain_of_nodes_longer_than_pythons_stack_is_folded():
    graph = Graph(read_onnx(chain(5000)))
    np.testing.assert_array_equal(graph.constant("w5000"), [1, 2])
    assert graph.stored("w5000").name == "w0"
    assert graph.constant_shape("w5000") == (2,)


def test_what_depends_on_an_overridden_initializer_is_not_fixed():
    model = read_onnx(chain(3))
    assert Graph(model).is_fixed("w3")
    assert not Graph(model, overridden=["w0"]).is_fixed("w3")
    assert Graph(model, overridden=["w0"]).constant("w3") is None


def test_shape_arithmetic_on_a_fixed_input_is_folded():
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "first"], ["n"]),
        helper.make_node("Concat", ["n", "rest"], ["wanted"], axis=0),
        helper.make_node("Reshape", ["x", "wanted"], ["y"]),
    ]
    initializers = [numpy_helper.from_array(np.array([0]), "first"), numpy_helper.from_array(np.array([-1]), "rest")]
    for sizes, expected in (([2, 3, 4], [2, -1]), (["N", 3, 4], None)):
        inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, sizes)]
        outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
        graph = helper.make_graph(nodes, "shapes", inputs, outputs, initializers)
        model = read_onnx(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]))
        value = Graph(model).constant("wanted")
        assert (None if value is None else value.tolist()) == expected


@pytest.mark.parametrize(
    ("nodes", "reason"),
    [
        ([helper.make_node("Relu", ["b"], ["a"], "one"), helper.make_node("Relu", ["a"], ["b"], "two")],
         "Relu node 'one' waits for its own output|Relu node 'two' waits for its own output"),
        ([helper.make_node("Relu", ["nowhere"], ["y"], "one")],
         "Relu node 'one' reads 'nowhere', which nothing computes"),
        ([helper.make_node("Relu", ["x"], ["y"], "one"), helper.make_node("Relu", ["x"], ["y"], "two")],
         "Relu node 'two' computes 'y', which exists already"),
    ],
    ids=["a cycle", "a tensor from nowhere", "a tensor from two nodes"],
)  # fmt: skip
def test_a_graph_that_is_none_is_refused(nodes, reason):
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])]
    model = helper.make_model(helper.make_graph(nodes, "none", inputs, outputs))
    for opened in (InferenceSession, VGG.from_onnx):
        with pytest.raises(ModelFormatError, match=reason):
            opened(model)


def test_a_single_output_is_a_regression_and_not_a_distribution():
    model = standin_model(MODERN, classes=1)
    nodes = [node for node in model.graph.node if node.op_type != "Softmax"]
    scores = nodes[-1].output[0]
    del model.graph.node[:], model.graph.output[:]
    model.graph.node.extend(nodes)
    model.graph.output.append(helper.make_tensor_value_info(scores, TensorProto.FLOAT, ["N", 1]))
    x = np.random.default_rng(0).integers(0, 256, (1, 3, 224, 224)).astype(np.float32)
    (expected,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"input": x})
    assert expected[0, 0] != 1
    np.testing.assert_allclose(VGG.from_onnx(model)(x), expected, rtol=1e-4)
