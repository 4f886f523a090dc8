"""Caffe's originals: both forms of layers, both forms of shapes, against OpenCV and ONNX Runtime."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import onnxruntime
import pytest
from caffe_writer import CAFFE, OLD_TYPES
from conftest import PORTRAIT
from google.protobuf import text_format
from make_standin import standin_model

from numpyvgg import VGG, VGG16, ModelFormatError, UnsupportedModelError, cli
from numpyvgg.files.caffe import is_caffe, read_caffe, read_model
from numpyvgg.vgg.layer import CONFIGURATIONS
from numpyvgg.vgg.recognise import recognise
from numpyvgg.vgg.standin import standin_weights


def caffe_model(form="new", shapes="new", training=False, configuration="D", classes=101):
    """A VGG with the stand-ins' weights as Caffe writes it; ReLU and Dropout compute in place, as in the originals."""
    net = CAFFE["NetParameter"](name="VGG_ILSVRC_layers")

    def add(name, kind, bottom, top, arrays=(), **parameters):
        layer = (net.layer if form == "new" else net.layers).add(name=name, bottom=bottom, top=top, **parameters)
        layer.type = kind if form == "new" else OLD_TYPES[kind][1]
        for array in arrays:
            blob = layer.blobs.add(data=array.ravel().tolist())
            if shapes == "new":
                blob.shape.dim.extend(array.shape)
            else:
                blob.num, blob.channels, blob.height, blob.width = (1,) * (4 - array.ndim) + array.shape

    if training:
        add("data", "Data", [], ["data", "label"], transform_param={"crop_size": 224})
    else:
        net.input.append("data")
        net.input_dim.extend([10, 3, 224, 224])
    top, pools = "data", iter(range(1, 6))
    counts = list(itertools.accumulate(CONFIGURATIONS[configuration]))
    for i, (name, weight, bias) in enumerate(standin_weights(configuration, 1 / 16, classes), start=1):
        parameters = {"num_output": len(weight)}
        if weight.ndim == 4:
            window = {"pad": [1], "kernel_size": [3]}
            add(name, "Convolution", [top], [name], [weight, bias], convolution_param={**parameters, **window})
        else:
            add(name, "InnerProduct", [top], [name], [weight, bias], inner_product_param=parameters)
        top = name
        if name != "fc8":
            add(f"relu{name[-1]}" if name[:2] == "fc" else f"relu{name[4:]}", "ReLU", [top], [top])
        if name in ("fc6", "fc7"):
            add(f"drop{name[-1]}", "Dropout", [top], [top])
        if i in counts:
            pool = f"pool{next(pools)}"
            add(pool, "Pooling", [top], [pool], pooling_param={"pool": 0, "kernel_size": 2, "stride": 2})
            top = pool
    if training:
        add("fc8_split", "Split", ["fc8"], ["fc8_split_0", "fc8_split_1"])
        add("loss", "SoftmaxWithLoss", ["fc8_split_0", "label"], ["loss"])
        add("accuracy", "Accuracy", ["fc8_split_1", "label"], ["accuracy"])
    else:
        add("prob", "Softmax", [top], ["prob"])
    return net


def opencv_answers(net, x):
    """The network's answers by OpenCV's reader of Caffe models, which wants the layers in a text file too."""
    prototxt = CAFFE["NetParameter"].FromString(net.SerializeToString())
    for layer in (*prototxt.layer, *prototxt.layers):
        layer.ClearField("blobs")
    files = text_format.MessageToString(prototxt).encode(), net.SerializeToString()
    reader = cv2.dnn.readNetFromCaffe(*(np.frombuffer(file, np.uint8) for file in files))
    reader.setInput(x)
    return reader.forward()


def onnx_answers(x, **options):
    """The answers of the same weights written as ONNX, by ONNX Runtime."""
    options_ = onnxruntime.SessionOptions()
    options_.log_severity_level = 3  # it warns of initializers that are listed as inputs
    session = onnxruntime.InferenceSession(standin_model(**options).SerializeToString(), options_)
    return session.run(None, {"input": x})[0]


@pytest.fixture
def write(tmp_path):
    def write(net, name="net.caffemodel"):
        (tmp_path / name).write_bytes(net.SerializeToString())
        return tmp_path / name

    return write


FORMS = list(itertools.product(("new", "old"), ("new", "old")))


@pytest.mark.parametrize(("form", "shapes"), FORMS)
def test_a_deployed_network_answers_as_the_same_weights_in_onnx_runtime(form, shapes, portrait, write, record_property):
    ours = VGG16.from_caffe(write(caffe_model(form, shapes)))(portrait)
    difference = float(abs(ours - onnx_answers(portrait)).max())
    record_property("layout", [f"{form} layers, {shapes} shapes", "Caffe", None, "ONNX Runtime", difference])
    assert difference <= 5e-6


@pytest.mark.skipif(not hasattr(cv2.dnn, "readNetFromCaffe"), reason="OpenCV 5 reads no Caffe models; the extra has 4")
@pytest.mark.parametrize(("form", "shapes"), FORMS)
def test_a_deployed_network_answers_as_opencv_does(form, shapes, portrait, write, record_property):
    net = caffe_model(form, shapes)
    ours = VGG16.from_caffe(write(net))(portrait)
    difference = float(abs(ours - opencv_answers(net, portrait)).max())
    record_property(
        "layout", [f"{form} layers, {shapes} shapes", "Caffe", None, f"OpenCV {cv2.__version__}", difference]
    )
    assert difference <= 5e-6


@pytest.mark.parametrize("form", ["new", "old"])
def test_a_network_saved_in_training_answers_with_the_softmax_of_its_loss(form, portrait, write):
    net = VGG.from_caffe(write(caffe_model(form, training=True)))
    assert [layer.title for layer in net.layers][-2:] == ["fc8", "prob"]
    assert abs(net(portrait) - onnx_answers(portrait)).max() <= 5e-6


@pytest.mark.parametrize("configuration", ["A", "B", "E"])
def test_the_other_configurations_are_recognised_in_caffe_files_too(configuration, portrait, write):
    net = VGG.from_caffe(write(caffe_model(configuration=configuration, classes=10)))
    assert net.configuration == configuration
    assert abs(net(portrait) - onnx_answers(portrait, configuration=configuration, classes=10)).max() <= 5e-6


def test_weights_are_views_of_the_file_in_every_form(write):
    for form, shapes in FORMS:
        model = read_caffe(write(caffe_model(form, shapes)))
        stored = {name: model.initializers.stored(name) for name in model.initializers}
        for name, weight, bias in standin_weights(width=1 / 16):
            assert np.array_equal(model.initializers[f"{name}_W"], weight)
            assert np.array_equal(model.initializers[f"{name}_b"].reshape(-1), bias)
            assert np.shares_memory(stored[f"{name}_W"].raw, np.frombuffer(stored[f"{name}_W"].source.data, np.uint8))


def test_double_precision_blobs_and_separate_sizes_are_read(portrait, write):
    net = caffe_model()
    for layer in net.layer:
        for blob in layer.blobs:
            blob.double_data.extend(blob.data)
            blob.ClearField("data")
        if layer.type == "Convolution":
            layer.convolution_param.ClearField("kernel_size")
            layer.convolution_param.kernel_h = layer.convolution_param.kernel_w = 3
    assert abs(VGG16.from_caffe(write(net))(portrait) - onnx_answers(portrait)).max() <= 5e-6


def test_the_command_line_takes_a_caffe_model_wherever_it_takes_onnx(write, capsys):
    for name in ("net.caffemodel", "under-another-name.bin"):
        path = str(write(caffe_model(), name))
        assert is_caffe(path)
        assert cli.main(["predict", str(PORTRAIT), "--model", path, "--labels", "age"]) == 0
        assert "years, most probable" in (line := capsys.readouterr().out)
        assert path in line
        assert cli.main(["inspect", path]) == 0
        assert "conv5_3" in capsys.readouterr().out


def test_an_onnx_file_is_not_taken_for_a_caffe_model(tmp_path):
    (tmp_path / "net").write_bytes(standin_model().SerializeToString())
    assert not is_caffe(tmp_path / "net")
    assert recognise(read_model(tmp_path / "net"))


def without(net, name):
    kept = [layer for layer in net.layer if layer.name != name]
    del net.layer[:]
    net.layer.extend(kept)


OTHERS = {
    "another layer": (lambda n: setattr(n.layer[1], "type", "LRN"), "where relu1_1 .* LRN node 'relu1_1' is found"),
    "a leaky ReLU": (lambda n: setattr(n.layer[1].relu_param, "negative_slope", 0.1), "LeakyRelu node 'relu1_1'"),
    "an average": (lambda n: setattr(n.layer[4].pooling_param, "pool", 1), "AveragePool node 'pool1'"),
    "a stride": (lambda n: n.layer[0].convolution_param.stride.append(2), "conv1_1.* strides"),
    "a layer less": (lambda n: without(n, "relu7"), "fc8"),
    "another axis": (lambda n: setattr(n.layer[-2].inner_product_param, "axis", 2), "'fc8': axis 2"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "reason"), OTHERS.values(), ids=OTHERS.keys())
def test_another_network_is_refused_with_the_layer_that_differs(change, reason, write):
    net = caffe_model()
    change(net)
    with pytest.raises(UnsupportedModelError, match=reason):
        VGG.from_caffe(write(net))


def test_damaged_files_are_one_clear_error_each(write, tmp_path):
    data = caffe_model(shapes="old").SerializeToString()
    path = tmp_path / "net.caffemodel"
    for end in (0, 1, 100, 1000, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:end])
        with pytest.raises((ModelFormatError, UnsupportedModelError), match=r"net\.caffemodel"):
            VGG.from_caffe(path)
    path.write_text("name: 'VGG'\nlayer { name: 'conv1_1' }\n")
    with pytest.raises(ModelFormatError, match=r"a network's definition, not a Caffe model .* in a \.caffemodel"):
        VGG.from_caffe(path)
    net = caffe_model()
    net.layer[0].blobs[0].shape.dim[0] += 1
    with pytest.raises(ModelFormatError, match="takes 135 numbers, but data holds 108"):
        VGG.from_caffe(write(net))
    net.layer[0].blobs[0].shape.dim[0] = -4
    with pytest.raises(ModelFormatError, match="negative"):
        VGG.from_caffe(write(net))
    old = CAFFE["NetParameter"]()
    old.layers.add(layer={})
    with pytest.raises(UnsupportedModelError, match="before 2013"):
        VGG.from_caffe(write(old))
