"""Caffe's networks against OpenCV's own importer: every layer of published architectures, and layer types alone."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from caffe_networks import PUBLISHED, levi_hassner
from caffe_writer import Writer, opencv_layers, opencv_net
from conftest import PORTRAIT

from numpyvgg import InferenceSession
from numpyvgg.errors import ModelFormatError
from numpyvgg.files.caffe import read_caffe
from numpyvgg.photo.images import load_image

#: In BGR; close to the means that these networks were trained with
MEAN = np.array([104.0, 117.0, 123.0], np.float32)


def crops(count, size):
    """So many squares of the portrait, in BGR less the mean: float32 [count, 3, size, size]."""
    image = np.asarray(load_image(PORTRAIT))[:, :, ::-1]
    random = np.random.default_rng(0)
    room = [side - size for side in image.shape[:2]]
    places = [[int(random.integers(0, max(side, 0) + 1)) for side in room] for _ in range(count)]
    squares = [np.resize(image[y : y + size, x : x + size], (size, size, 3)) - MEAN for y, x in places]
    return np.ascontiguousarray(np.stack(squares).transpose(0, 3, 1, 2))


def layers_here(model, names, x):
    """The same layers' outputs by a session; a Caffe layer's last node has its name."""
    outputs = {node.name: node.outputs[0] for node in model.nodes}
    wanted = [name for name in names if name in outputs]
    return dict(zip(wanted, InferenceSession(model).run([outputs[name] for name in wanted], {"data": x}), strict=True))


def differences(model, writer, x):
    """For each layer the largest difference from OpenCV, by the layer's largest value; and that of the last itself."""
    theirs = opencv_layers(opencv_net(writer), x)
    ours = layers_here(model, theirs, x)
    assert not set(theirs) - set(ours) - SPLITS, "layers that OpenCV has and we have not"
    relative = {}
    for name, value in ours.items():
        if name in SPLITS:
            continue
        expected = theirs[name].reshape(value.shape)  # OpenCV keeps some axes of size 1 that Caffe drops
        relative[name] = float(np.abs(value - expected).max() / np.abs(expected).max())
    last = list(ours)[-1]
    return relative, float(np.abs(ours[last] - theirs[last].reshape(ours[last].shape)).max()), theirs[last]


SPLITS = {"cut"}  # layers of several outputs, which are compared by the layers after them


@pytest.mark.thorough
@pytest.mark.parametrize("form", ["old", "new"])
def test_levi_and_hassners_network_is_opencvs_layer_by_layer(form, tmp_path, record_property):
    """Twenty images; V1 layers with old blob shapes, V2 layers with new ones."""
    writer = levi_hassner(form=form, shapes=form)
    path = writer.write(tmp_path)
    x = crops(20, 227)
    model = read_caffe(path, path.with_suffix(".prototxt"))
    relative, difference, prob = differences(model, writer, x)
    assert set(relative) >= {"conv1", "relu1", "pool1", "norm1", "norm2", "pool5", "fc6", "drop7", "fc8", "prob"}
    assert prob.max() < 0.99, "answers without doubt hide differences"
    record_property("layout", [f"Levi-Hassner, {form} layers", "Caffe", None, "OpenCV, layer", max(relative.values())])
    record_property("layout", [f"Levi-Hassner, {form} layers", "Caffe", None, "OpenCV, prob", difference])
    assert max(relative.values()) <= 1e-5, relative
    assert difference <= 1e-6
    alone = InferenceSession(path).run(None, {"data": x[:1]})[0]
    assert np.array_equal(alone, InferenceSession(model).run(None, {"data": x[:1]})[0])


@pytest.mark.thorough
@pytest.mark.parametrize(("name", "build"), PUBLISHED.items(), ids=PUBLISHED)
def test_published_architectures_are_opencvs_layer_by_layer(name, build, tmp_path, record_property):
    writer = build()
    path = writer.write(tmp_path)
    model = read_caffe(path, path.with_suffix(".prototxt"))
    relative, difference, prob = differences(model, writer, crops(2, writer.shapes["data"][-1]))
    assert prob.max() < 0.99, "answers without doubt hide differences"
    rows = [f"{name}, {len(relative)} layers", "Caffe", None]
    record_property("layout", [*rows, "OpenCV, layer", max(relative.values())])
    record_property("layout", [*rows, "OpenCV, prob", difference])
    assert max(relative.values()) <= 1e-5, max(relative.items(), key=lambda item: item[1])
    assert difference <= 1e-6


# ---------------------------------------------------------------------- mistakes that others made


def changed(model, op_type, **attributes):
    """The model with other attributes on all nodes of one operator."""
    nodes = [
        dataclasses.replace(node, attributes={**node.attributes, **attributes}) if node.op_type == op_type else node
        for node in model.nodes
    ]
    return dataclasses.replace(model, nodes=nodes)


def pixels_first(model):
    """The model with fc6 reading its image pixel by pixel, all channels of each."""
    nodes = []
    for node in model.nodes:
        if node.name == "fc6_flatten":
            transpose = dataclasses.replace(node, op_type="Transpose", outputs=["t"], attributes={"perm": [0, 2, 3, 1]})
            nodes += [transpose, dataclasses.replace(node, inputs=["t"])]
        else:
            nodes.append(node)
    return dataclasses.replace(model, nodes=nodes)


@pytest.fixture(scope="module")
def narrow(tmp_path_factory):
    writer = levi_hassner(width=16, gain=0.02)
    return writer, read_caffe(writer.write(tmp_path_factory.mktemp("narrow")))


def test_pooling_rounded_down_does_not_fit_the_weights(narrow):
    """27, 13 and 6 instead of 28, 14 and 7: fc6 has weights for 7 x 7."""
    writer, model = narrow
    assert [writer.shapes[f"pool{i}"][1] for i in (1, 2, 5)] == [28, 14, 7]
    with pytest.raises(ModelFormatError, match="fc6"):
        InferenceSession(changed(model, "MaxPool", ceil_mode=0)).run(None, {"data": crops(1, 227)})


def test_alpha_that_is_not_divided_by_the_size_is_seen(narrow):
    writer, model = narrow
    assert max(differences(model, writer, crops(1, 227))[0].values()) <= 1e-5
    assert differences(changed(model, "LRN", alpha=5e-4), writer, crops(1, 227))[0]["norm1"] > 1e-2


def test_fully_connected_weights_act_on_channels_first(narrow):
    """With pixels first, fc6 answers something else: 7 x 7 pixels of 24 channels are not 24 channels of 7 x 7."""
    writer, model = narrow
    wrong = differences(pixels_first(model), writer, crops(1, 227))[0]
    assert wrong["pool5"] <= 1e-5 < 1e-2 < wrong["fc6"]


# ---------------------------------------------------------------------- one layer type at a time

SIZE = (6, 13, 10)


def one(kind, bottom="data", arrays=(), name="last", **parameters):
    return lambda net: net.layer(name, kind, bottom, arrays=arrays, **parameters)


def pooled(kernel, stride, pad=0, **more):
    return lambda net: net.pool("data", "last", kernel, stride, pad, **more)


def filtered(filters, kernel, **more):
    return lambda net: net.conv("data", "last", filters, kernel, relu=False, **more)


def two_branches(kind, **parameters):
    def build(net):
        a, b = net.conv("data", "a", 4, 3, pad=1, relu=False), net.conv("data", "b", 4, 1, relu=False)
        net.layer("last", kind, [a, b], **parameters)

    return build


def cut(points, tops, **parameters):
    def build(net):
        net.layer(
            "cut", "Slice", "data", [f"part{i}" for i in range(tops)], slice_param={"slice_point": points, **parameters}
        )
        for i in range(tops):
            net.layer(f"after{i}", "ReLU", f"part{i}")

    return build


def deconvolution(net):
    weight = net.random.normal(size=(6, 2, 4, 4))
    p = {"num_output": 4, "kernel_size": [4], "stride": [2], "pad": [1], "group": 2}
    net.layer("last", "Deconvolution", "data", arrays=[weight, net.random.normal(size=4)], convolution_param=p)


def scaled(net):
    blob = net.conv("data", "conv", 4, 3, relu=False)
    net.batch_norm(blob, "1")


def excited(net):
    """Squeeze and excitation: each channel times a number that is computed from all."""
    net.fc(net.global_pool("data", "squeezed"), "excited", 6)
    net.shapes["excited"] = (6, 1, 1)
    net.layer("gate", "Sigmoid", "excited")
    net.layer("last", "Scale", ["data", "gate"], scale_param={"axis": 0})


LAYER_TYPES = {
    "max pooling rounded up": pooled(3, 2),
    "max pooling rounded up, padded": pooled(3, 2, 1),
    "pooling whose last window would begin in the padding": pooled(2, 2, 1),
    "average pooling": pooled(2, 2, method=1),
    "average pooling rounded up": pooled(3, 2, method=1),
    "average pooling that counts the padding": pooled(3, 2, 1, method=1),
    "convolution, dilated": filtered(5, 3, dilation=[2], pad=2),
    "convolution in groups without a bias": filtered(4, 3, group=2, bias=False),
    "ReLU with a slope": one("ReLU", relu_param={"negative_slope": 0.1}),
    "ReLU to another blob": one("ReLU"),
    "PReLU": one("PReLU", arrays=[np.linspace(-0.5, 0.5, 6)]),
    "PReLU, shared": one("PReLU", arrays=[np.array([0.25])], prelu_param={"channel_shared": True}),
    "ELU": one("ELU", elu_param={"alpha": 1.0}),
    "sigmoid": one("Sigmoid"),
    "hyperbolic tangent": one("TanH"),
    "absolute value": one("AbsVal"),
    "power": one("Power", power_param={"power": 2.0, "scale": 0.5, "shift": 1.5}),
    "power that only scales": one("Power", power_param={"scale": -0.5}),
    "LRN across channels": one("LRN", lrn_param={"local_size": 3, "alpha": 0.5, "beta": 0.6}),
    "LRN within channels": one("LRN", lrn_param={"local_size": 3, "alpha": 0.5, "norm_region": 1}),
    "softmax over channels": one("Softmax"),
    "softmax over rows": one("Softmax", softmax_param={"axis": 3}),
    "flatten": one("Flatten"),
    "reshape": one("Reshape", reshape_param={"shape": {"dim": [0, 0, 13, -1]}}),
    "concat": two_branches("Concat"),
    "concat along rows": two_branches("Concat", concat_param={"axis": 2}),
    "sum": two_branches("Eltwise"),
    "sum with coefficients": two_branches("Eltwise", eltwise_param={"operation": 1, "coeff": [1.0, -2.0]}),
    "product": two_branches("Eltwise", eltwise_param={"operation": 0}),
    "maximum": two_branches("Eltwise", eltwise_param={"operation": 2}),
    "slice at points": cut([1, 4], 3),
    "slice in equal parts": cut([], 2),
    "slice of rows": cut([5], 2, axis=2),
    "deconvolution in groups": deconvolution,
    "batch norm and scale in place": scaled,
    "a blob scaled by a blob": excited,
    "fully connected, no bias": lambda net: net.fc("data", "last", 7, bias=False),
}


@pytest.mark.parametrize("build", LAYER_TYPES.values(), ids=LAYER_TYPES)
def test_each_layer_type_is_opencvs(build, tmp_path):
    net = Writer(size=SIZE)
    build(net)
    x = np.random.default_rng(0).normal(size=(2, *SIZE)).astype(np.float32)
    relative, _, _ = differences(read_caffe(net.write(tmp_path)), net, x)
    assert max(relative.values()) <= 1e-5, relative
