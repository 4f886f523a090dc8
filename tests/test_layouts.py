"""Every way in which a VGG network is written down: found, named, and answered as ONNX Runtime answers.

The table at the end of pytest's report has a line for each, with the largest difference of any probability.
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from make_standin import NO_OPS, Layout, standin_model, write_standin

from numpyvgg import VGG, VGG16, InferenceSession, ModelFormatError, UnsupportedModelError
from numpyvgg.vgg.layer import CONFIGURATIONS

LIMIT = 5e-6  # of any probability

MODERN = Layout(opset=17, storage="raw", no_ops=())


def runtime_probabilities(model: onnx.ModelProto | Path, x: np.ndarray) -> np.ndarray:
    """The answers of ONNX Runtime; a softmax in float64 where the file ends with the scores."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # it warns of initializers that are listed as inputs
    source = str(model) if isinstance(model, Path) else model.SerializeToString()
    session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    (answers,) = session.run(None, {session.get_inputs()[0].name: x})
    scores = answers.reshape(len(x), -1).astype(np.float64)
    if np.allclose(scores.sum(axis=1), 1):
        return scores
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


@pytest.fixture
def compare(record_property, portrait):
    """Compare a network with its oracle, and put the difference into the table."""

    def compare(layout, model, oracle_model=None, oracle="ONNX Runtime"):
        proto = onnx.load(model) if isinstance(model, Path) else model
        net = VGG.from_onnx(model)
        ours = net(portrait)
        theirs = runtime_probabilities(oracle_model or model, portrait)
        difference = float(abs(ours - theirs).max())
        exporter = " ".join(filter(None, (proto.producer_name, proto.producer_version)))
        record_property("layout", [layout, exporter, proto.opset_import[0].version, oracle, difference])
        assert 1.1 / net.classes < ours.max() < 0.9999, "a test that every network passes is no test"
        assert difference <= LIMIT
        return net

    return compare


# ---------------------------------------------------------------------- by the onnx package

LAYOUTS = {
    "float_data": Layout(no_ops=()),
    "raw_data": Layout(storage="raw", no_ops=()),
    "weights as inputs": Layout(initializers_as_inputs=True),
    **{
        f"{storage}, {i} mod 4": Layout(storage=storage, alignment=i)
        for storage in ("float_data", "raw")
        for i in range(4)
    },
    **{f"with {name}": Layout(no_ops=(name,)) for name in NO_OPS},
    "with all no-ops": Layout(no_ops=NO_OPS),
    "with all no-ops, opset 22": Layout(no_ops=NO_OPS, opset=22),
    "ceil_mode, auto_pad": Layout(ceil_mode=True, auto_pad=True),
    "Flatten": Layout(flatten="Flatten"),
    "Reshape of a Constant": Layout(flatten="Constant"),
    "AveragePool 1x1": Layout(pool="AveragePool"),
    "MatMul and Add": Layout(head="MatMul"),
    "fc as convolutions": Layout(head="Conv"),
    "fc as convolutions, Flatten": dataclasses.replace(MODERN, head="Conv", flatten="Flatten"),
    "fc as convolutions, GlobalAveragePool": Layout(head="Conv", pool="GlobalAveragePool"),
    "no Softmax": dataclasses.replace(MODERN, softmax=False),
    "symbolic batch": Layout(batch="N"),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_is_the_same_network(name, compare):
    net = compare(name, standin_model(LAYOUTS[name]))
    assert net.configuration == "D"


@pytest.mark.thorough
@pytest.mark.parametrize("opset", range(7, 23))
def test_every_opset_that_onnx_runtime_runs(opset, compare):
    compare("all no-ops", standin_model(Layout(opset=opset, no_ops=NO_OPS, initializers_as_inputs=opset < 9)))


@pytest.mark.parametrize("opset", [5, 6])
def test_opsets_before_onnx_runtime_are_the_same_network_as_after(opset, compare):
    layout = Layout(no_ops=NO_OPS, initializers_as_inputs=True)
    older, newer = (standin_model(dataclasses.replace(layout, opset=version)) for version in (opset, 7))
    compare("all no-ops", older, newer, oracle="ONNX Runtime, opset 7")


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_every_configuration_is_named(configuration, batch_norm, compare):
    layout = dataclasses.replace(MODERN, batch_norm=batch_norm)
    name = f"{configuration}{', bn' if batch_norm else ''}"
    net = compare(f"configuration {name}", standin_model(layout, configuration=configuration))
    assert net.configuration == name
    assert f"VGG-{ {'A': 11, 'B': 13, 'D': 16, 'E': 19}[configuration] }, configuration {name}:" in repr(net)


@pytest.mark.parametrize("opset", [5, 7, 9, 14, 15, 22])
def test_batch_normalisation_in_every_version(opset, compare):
    model = standin_model(Layout(opset=opset, batch_norm=True))
    newer = standin_model(Layout(opset=7, batch_norm=True)) if opset < 7 else None
    compare("batch_norm", model, newer, oracle="ONNX Runtime, opset 7" if newer else "ONNX Runtime")


@pytest.mark.parametrize("alignment", [0, 1])
def test_weights_in_a_file_of_their_own(alignment, compare, tmp_path):
    layout = dataclasses.replace(MODERN, storage="external", alignment=alignment)
    compare(f"external data, {alignment} mod 4", write_standin(tmp_path / "net.onnx", layout))


@pytest.mark.parametrize("classes", [2, 10, 101, 1000])
def test_any_number_of_classes(classes, compare):
    assert compare(f"{classes} classes", standin_model(MODERN, classes=classes)).classes == classes


# ---------------------------------------------------------------------- by PyTorch

EXPORTS = sorted((Path(__file__).parent / "data" / "pytorch").glob("*.onnx"))


def with_weights(path: Path) -> onnx.ModelProto:
    """An exported graph with weights: random, and scaled so that the scores are of the order of 1."""
    model = onnx.load(path)
    rng = np.random.default_rng(len(path.stem))
    same = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "Identity"}
    normalisations = [node for node in model.graph.node if node.op_type == "BatchNormalization"]
    factors = {same.get(node.input[i], node.input[i]) for node in normalisations for i in (1, 4)}  # gamma, variance
    for tensor in model.graph.initializer:
        if not tensor.dims or tensor.raw_data or tensor.float_data or tensor.int64_data:
            continue
        if len(tensor.dims) == 1:
            factor = tensor.name in factors
            values = rng.uniform(0.5, 1.5, tensor.dims) if factor else 0.05 * rng.standard_normal(tensor.dims)
        else:
            fan_in = math.prod(tensor.dims[1:])
            values = math.sqrt(2 / fan_in) * rng.standard_normal(tensor.dims)
            values /= 50 if tensor.dims[1] == 3 else 1  # pixels are 0..255
        tensor.raw_data = values.astype("<f4").tobytes()
    onnx.checker.check_model(model, full_check=True)
    return model


@pytest.mark.thorough
@pytest.mark.parametrize("path", EXPORTS, ids=lambda path: path.stem)
def test_pytorchs_exports_are_recognised(path, compare):
    model = with_weights(path)
    net = compare(path.stem, model)
    (configuration,) = set(path.stem.split("-")) & set(CONFIGURATIONS)
    normalised = any(node.op_type == "BatchNormalization" for node in model.graph.node)
    assert net.configuration == configuration + (", bn" if normalised else "")


def test_pytorchs_exports_cover_what_is_said_of_them():
    stems = [path.stem for path in EXPORTS]
    for configuration in CONFIGURATIONS:
        for exporter in ("script", "dynamo"):
            for form in ("", "-bn"):
                assert any(s.startswith(f"torchvision-{configuration}{form}-{exporter}") for s in stems)
    operators = {node.op_type for path in EXPORTS for node in onnx.load(path).graph.node}
    assert operators >= {"AveragePool", "GlobalAveragePool", "ReduceMean", "BatchNormalization", "Flatten", "Reshape"}
    assert operators >= {"Shape", "Identity", "Gemm", "Softmax"}


# ---------------------------------------------------------------------- what only looks alike


def test_vgg16_turns_the_other_configurations_away():
    with pytest.raises(UnsupportedModelError, match=r"configuration A, not VGG-16; open it with numpyvgg\.VGG"):
        VGG16.from_onnx(standin_model(MODERN, configuration="A"))


def edited(layout: Layout, change) -> onnx.ModelProto:
    model = standin_model(layout)
    change({node.name: node for node in model.graph.node}, model.graph)
    return model


def insert(graph, before, op_type, *inputs, **attributes):
    """Put a node into the chain in front of `before`."""
    node = onnx.helper.make_node(op_type, [before.input[0], *inputs], ["inserted_Y"], name="inserted", **attributes)
    before.input[0] = "inserted_Y"
    graph.node.insert(list(graph.node).index(before), node)


@pytest.mark.parametrize("to", ["FLOAT", "FLOAT16", "DOUBLE", "BFLOAT16"])
def test_a_cast_between_kinds_of_floats_is_none_of_the_layers(to):
    cast = edited(MODERN, lambda n, g: insert(g, n["conv1_2"], "Cast", to=getattr(onnx.TensorProto, to)))
    assert [layer.title for layer in VGG.from_onnx(cast).layers] == [
        layer.title for layer in VGG.from_onnx(standin_model(MODERN)).layers
    ]


def turn_dims(graph, name):
    """Exchange a weight's first and last axis after the filters', as channels-last files have them."""
    dims = next(tensor for tensor in graph.initializer if tensor.name == name).dims
    dims[1], dims[3] = dims[3], dims[1]


def shape_tensor(graph, *shape):
    graph.initializer.append(onnx.numpy_helper.from_array(np.array(shape, np.int64), "inserted_shape"))
    return "inserted_shape"


HEAD = dataclasses.replace(MODERN, head="Conv", flatten="Flatten")
ALIKE = {
    "pixels rearranged between the blocks": (
        MODERN, lambda n, g: insert(g, n["conv2_1"], "Reshape", shape_tensor(g, 1, 4, 224, 56)), "conv2_1.*Reshape"),
    "scores rearranged before the softmax": (
        MODERN, lambda n, g: insert(g, n["prob"], "Reshape", shape_tensor(g, 101, 1)), "Reshape node 'inserted'"),
    "an average over pixels": (
        MODERN, lambda n, g: insert(g, n["fc6_Reshape"], "GlobalAveragePool"), "fc6.*GlobalAveragePool"),
    "an average over everything": (
        HEAD, lambda n, g: insert(g, n["prob_Flatten"], "ReduceMean"), r"where prob \(Softmax\) belongs, ReduceMean"),
    "a head's filters of another shape with as many weights": (
        HEAD, lambda n, g: turn_dims(g, n["fc6"].input[1]), r"fc6.* for an input of \d+ numbers"),
    "a node that leads nowhere": (
        MODERN, lambda n, g: g.node.append(onnx.helper.make_node("Strange", ["prob_Y"], [], name="end")),
        "Strange node 'end' has no output"),
    "an average of 2x2": (
        MODERN, lambda n, g: insert(g, n["fc6_Reshape"], "AveragePool", kernel_shape=[2, 2]), "fc6.*AveragePool"),
    "softmax over pixels": (
        dataclasses.replace(HEAD, flatten="Flatten"), lambda n, g: (
            n["prob"].input.__setitem__(0, n["prob_Flatten"].input[0]), g.node.remove(n["prob_Flatten"]),
            n["prob"].attribute.__getitem__(0).__setattr__("i", -1)), "axis -1"),
    "batch statistics": (
        dataclasses.replace(MODERN, batch_norm=True),
        lambda n, g: n["conv3_2_bn"].attribute.append(onnx.helper.make_attribute("training_mode", 1)), "conv3_2_bn"),
    "an epsilon that is no number": (
        dataclasses.replace(MODERN, batch_norm=True),
        lambda n, g: n["conv3_2_bn"].attribute[0].CopyFrom(onnx.helper.make_attribute("epsilon", [1])), "epsilon"),
    "a variance below zero": (
        dataclasses.replace(MODERN, batch_norm=True), lambda n, g: next(
            t for t in g.initializer if t.name == "conv1_2_bn_var").__setattr__(
                "raw_data", np.full(4, -1, "<f4").tobytes()), "variance that is not positive"),
    "a padding that pads": (
        dataclasses.replace(MODERN, no_ops=("Pad",)), lambda n, g: next(
            t for t in g.initializer if t.name == "conv2_1_pad_pads").__setattr__(
                "raw_data", np.array([0, 0, 1, 1, 0, 0, 1, 1], "<i8").tobytes()), "conv2_1.* has pads"),
}  # fmt: skip


def test_softmax_over_the_channels_of_the_one_pixel_is_that_of_the_classes(compare):
    def softmax_first(n, g):
        prob, flatten, result = n["prob"], n["prob_Flatten"], n["prob"].output[0]
        prob.input[0], prob.output[0] = flatten.input[0], "channels"
        flatten.input[0], flatten.output[0] = "channels", result
        prob.attribute[0].CopyFrom(onnx.helper.make_attribute("axis", 1))
        g.node.remove(flatten)
        g.node.append(flatten)

    assert compare("softmax over channels", edited(HEAD, softmax_first)).classes == 101


@pytest.mark.parametrize("name", ALIKE)
def test_what_only_looks_like_vgg_is_refused(name):
    layout, change, reason = ALIKE[name]
    with pytest.raises((ModelFormatError, UnsupportedModelError), match=reason):
        VGG.from_onnx(edited(layout, change))


def test_an_unknown_number_of_convolutions_is_refused(monkeypatch):
    monkeypatch.setitem(CONFIGURATIONS, "D", (2, 2, 3, 3, 4))
    model = standin_model(MODERN)
    monkeypatch.undo()
    with pytest.raises(UnsupportedModelError, match="2, 2, 3, 3, 4 convolutions"):
        VGG.from_onnx(model)


def test_every_layers_output_is_that_of_the_graph(portrait):
    """Folded or not, as Gemm or as convolution: a layer's output is the tensor of the file that it names."""
    for layout in (
        MODERN,
        dataclasses.replace(MODERN, batch_norm=True),
        HEAD,
        dataclasses.replace(MODERN, head="MatMul"),
    ):
        model = standin_model(layout)
        net = VGG.from_onnx(model)
        names = [layer.output for layer in net.layers]
        theirs = InferenceSession(model).run(names, {"input": portrait})
        for layer, (_, ours), expected in zip(net.layers, net.trace(portrait), theirs, strict=True):
            assert ours.shape == expected.shape
            assert abs(ours - expected).max() <= 1e-5 * abs(expected).max(), layer.title
