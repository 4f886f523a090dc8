"""Caffe's text form against Google's own reader of it, and Caffe's rules on which layers count."""

from __future__ import annotations

import numpy as np
import pytest
from caffe_networks import levi_hassner
from caffe_writer import CAFFE, LOOSE, Writer
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st
from make_standin import standin_model

from numpyvgg import InferenceSession, ModelFormatError, UnsupportedModelError
from numpyvgg.files.caffe import is_caffe, read_caffe, read_mean, read_model
from numpyvgg.files.caffe.binary import read_fields
from numpyvgg.files.caffe.schema import Fields
from numpyvgg.files.caffe.text import parse_text
from numpyvgg.files.wire import Message, Source

SPELLINGS = {
    "as Caffe's own tools write it": 'name: "N" layer { name: "a" type: "ReLU" bottom: "x" top: "y" }',
    "old layers without a space": "layers{name:'a' type:RELU bottom:'x' top:'y'}",
    "a colon before a message": 'layer: { name: "a" convolution_param: { kernel_size: 3 } }',
    "angle brackets": "layer < name: 'a' convolution_param < kernel_size: 3 > >",
    "both quotes, each in the other": """name: "it's" input: 'a "blob"'""",
    "strings that follow each other": "name: 'one' ' and '\n  \"two\"",
    "escapes": r"""name: "a\tb\"c\\d\x41\101" """,
    "comments and blank lines": "# a\n\nname: 'n' # b\n#c",
    "Windows line ends": "name: 'n'\r\ninput: 'data'\r\n",
    "repeated scalars": "input_dim: 1 input_dim: 3\ninput_dim: 227 input_dim: 227",
    "a list": "input_shape { dim: [1, 3, 227, 227] }",
    "a list of messages": "layer [{ name: 'a' }, { name: 'b' }]",
    "separators": "name: 'n'; input: 'a', input: 'b'",
    "numbers of all kinds": "layer { transform_param { scale: 0.5 mean_value: -1. mean_value: .5 mean_value: 1e2 } }",
    "a float with an f": "layer { transform_param { scale: 0.5f } }",
    "hexadecimal and octal": "input_dim: 0x10 input_dim: 010",
    "infinity": "layer { transform_param { scale: inf mean_value: -inf } }",
    "true and false": "layer { pooling_param { global_pooling: true } convolution_param { bias_term: false } }",
    "an enum by word and by number": "layer { pooling_param { pool: AVE } } layer { pooling_param { pool: 1 } }",
    "names with slashes": 'layer { name: "inception_3a/3x3_reduce" }',
    "nothing": "",
}


def plain(value):
    """A message as nested lists and dicts."""
    if not isinstance(value, Fields):
        return value
    return {name: [plain(each) for each in values] for name, values in value.values.items()}


def by_google(text):
    """The same text by Google's parser, through the binary form."""
    net = text_format.Parse(text, CAFFE["NetParameter"]())
    return plain(read_fields(Message.root(Source("net", net.SerializeToString() or b""), "net"), "NetParameter"))


@pytest.mark.parametrize("text", SPELLINGS.values(), ids=SPELLINGS)
def test_a_text_means_what_googles_parser_makes_of_it(text):
    ours = plain(parse_text(text, "net.prototxt"))
    assert _rounded(ours) == _rounded(by_google(text))


def _rounded(value):
    """Floats as the 32 bits that the binary form has for them."""
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return float(np.float32(value)) if isinstance(value, float) else value


@pytest.mark.thorough
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30))
def test_any_string_survives_being_written_and_read(text):
    written = text_format.MessageToString(CAFFE["NetParameter"](name=text))
    assert parse_text(written, "net.prototxt").get("name", "") == text or not text.isascii()


WRONG = {
    "an open message": ('layer { name: "a"', "line 1: 'the end' where a field or '}' belongs"),
    "a brace too much": ("name: 'n'\n}", "line 2: '}' where a field belongs"),
    "an open string": ("name: 'n", "line 1: .* is no word"),
    "a value without a colon": ("\n\nname 'n'", "line 3: .* where name has a colon"),
    "a value where a message belongs": ("layer: 3", "'3' where layer has a message"),
    "a message where a value belongs": ("name { }", "a message where name has a value"),
    "a word where a number belongs": ("input_dim: many", "input_dim is 'many', which is not a whole number"),
    "a number where a string belongs": ("name: 3", "name is '3', which is not a string in quotes"),
    "an enum that does not exist": ("layer { pooling_param { pool: MEAN } }", "pool is 'MEAN', .*MAX, AVE"),
    "a whole number of 23 digits": ("input_dim: 99999999999999999999999", "not a whole number"),
    "messages without end": ("a { " * 1000, "messages in messages"),
    "a list that does not end": ("input_dim: [1, 2", "',' or ']'"),
    "no layers": ("name: 'n'", "there are no layers"),
    "a layer without a type": ("layer { name: 'a' }", "the layer has no type"),
    "layers of 2012": ("layers { layer { name: 'conv1' type: 'conv' } }", "upgrade_net_proto_text"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "reason"), WRONG.values(), ids=WRONG)
def test_a_wrong_text_is_one_error_with_its_line(text, reason, tmp_path):
    path = levi_hassner(width=48).write(tmp_path)
    (tmp_path / "deploy.prototxt").write_text(text)
    with pytest.raises((ModelFormatError, UnsupportedModelError), match=rf"deploy\.prototxt: .*{reason}") as error:
        read_caffe(path, tmp_path / "deploy.prototxt")
    assert "\n" not in str(error.value)


# ---------------------------------------------------------------------- which layers count


def small(**options):
    net = Writer(name="small", size=(3, 9, 9), **options)
    net.softmax(net.fc(net.pool(net.conv("data", "conv", 4, 3), "pool", 3, 2), "fc", 5))
    return net


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(2, 3, 9, 9)).astype(np.float32)


INPUTS = {
    "input and four input_dim": "input: 'data' input_dim: 10 input_dim: 3 input_dim: 9 input_dim: 9",
    "input and input_shape": "input: 'data' input_shape { dim: 7 dim: 3 dim: 9 dim: 9 }",
    "an Input layer": "layer { type: 'Input' top: 'data' input_param { shape { dim: 1 dim: 3 dim: 9 dim: 9 } } }",
    "a data layer's crop": "layer { type: 'Data' top: 'data' top: 'label' transform_param { crop_size: 9 } }",
    "a data layer of before 2014": "layer { name: 'in' type: 'Data' top: 'data' data_param { crop_size: 9 } }",
    "memory": "layer { name: 'i' type: 'MemoryData' top: 'data' top: 'l' "
    "memory_data_param { batch_size: 4 channels: 3 height: 9 width: 9 } }",
}  # fmt: skip


@pytest.mark.parametrize("declaration", INPUTS.values(), ids=INPUTS)
def test_each_way_of_declaring_the_input_is_read_and_its_batch_is_ignored(declaration, x, tmp_path):
    net = small()
    path = net.write(tmp_path)
    net.net.ClearField("input")
    net.net.ClearField("input_dim")
    (tmp_path / "deploy.prototxt").write_text(declaration + "\n" + net.prototxt)
    model = read_caffe(path, tmp_path / "deploy.prototxt")
    assert [(value.name, value.shape) for value in model.inputs] == [("data", ("N", 3, 9, 9))]
    expected = InferenceSession(path).run(None, {"data": x})[0]
    assert np.array_equal(InferenceSession(model).run(None, {"data": x})[0], expected)


def test_a_network_saved_without_its_input_takes_the_first_layers_bottom(x, tmp_path):
    net = small()
    expected = InferenceSession(net.write(tmp_path, "whole")).run(None, {"data": x})[0]
    net.net.ClearField("input")
    net.net.ClearField("input_dim")
    assert np.array_equal(InferenceSession(net.write(tmp_path)).run(None, {"data": x})[0], expected)


TRAINING = """
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN }
  transform_param { scale: 0.00390625 mirror: true crop_size: 9 mean_value: 104 mean_value: 117 mean_value: 123 } }
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TEST }
  transform_param { scale: 0.00390625 crop_size: 9 mean_value: 104 mean_value: 117 mean_value: 123 } }
layer { name: "first" type: "Slice" bottom: "label" top: "age" top: "gender" slice_param { slice_point: 1 } }
%s
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "age" top: "loss" }
layer { name: "accuracy" type: "Accuracy" bottom: "fc" bottom: "age" top: "accuracy" include { phase: TEST } }
layer { name: "debug" type: "Sigmoid" bottom: "fc" top: "debug" include { phase: TRAIN } }
layer { name: "stage" type: "Sigmoid" bottom: "fc" top: "stage" include { stage: "deploy" } }
layer { name: "never" type: "Sigmoid" bottom: "fc" top: "never" exclude { phase: TEST } }
layer { name: "quiet" type: "Silence" bottom: "gender" }
"""


def test_what_training_needs_is_left_out_and_its_loss_becomes_a_softmax(x, tmp_path):
    net = small()
    expected = InferenceSession(net.write(tmp_path, "deploy")).run(None, {"data": x})[0]
    net.net.layer.pop()  # prob
    body = net.prototxt[net.prototxt.index("layer {") :]
    for training in (
        TRAINING % body,
        TRAINING % body + 'layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }',
    ):
        (tmp_path / "train_val.prototxt").write_text(training)
        model = read_caffe(tmp_path / "deploy.caffemodel", tmp_path / "train_val.prototxt")
        assert len(model.outputs) == 1
        assert [value.name for value in model.inputs] == ["data"]
        assert np.array_equal(InferenceSession(model).run(None, {"data": x})[0], expected)
        assert model.transform.mean_value == (104, 117, 123)
        assert (model.transform.scale, model.transform.crop_size, model.transform.mirror) == (1 / 256, 9, False)


def test_heads_that_count_less_in_the_loss_are_left_out(x, tmp_path):
    net = Writer(size=(3, 9, 9))
    middle = net.conv("data", "conv", 4, 3)
    net.layer("aux/loss", "SoftmaxWithLoss", [net.fc(middle, "aux/fc", 5), "label"], loss_weight=[0.3])
    net.layer("loss", "SoftmaxWithLoss", [net.fc(middle, "fc", 5), "label"])
    model = read_caffe(net.write(tmp_path))
    assert [node.name for node in model.nodes] == ["conv", "relu_conv", "fc_flatten", "fc", "loss"]
    assert InferenceSession(model).run(None, {"data": x})[0].sum() == pytest.approx(2)


def test_a_model_and_its_session_say_what_they_are_in_a_line(tmp_path):
    path = small().write(tmp_path)
    assert repr(read_caffe(path)) == f"<OnnxModel {path}: 6 nodes, 4 initializers, opset 13, IR 0, by Caffe>"
    meta = InferenceSession(path).get_modelmeta()
    assert (meta.producer_name, meta.graph_name) == ("Caffe", "small")


def test_in_place_layers_are_versions_of_one_blob(x, tmp_path):
    model = read_caffe(small().write(tmp_path))
    before, after = InferenceSession(model).run(["conv", "relu_conv"], {"data": x})
    assert before.min() < 0
    assert np.array_equal(after, np.maximum(before, 0))


def test_old_layers_hide_new_ones_as_in_caffe(tmp_path):
    net = small(form="old")
    net.net.layer.add(name="other", type="Softmax", bottom=["data"], top=["other"])
    assert [node.name for node in read_caffe(net.write(tmp_path)).nodes][-1] == "prob"


def test_numbers_that_are_not_packed_are_read(x, tmp_path):
    net = small()
    expected = InferenceSession(net.write(tmp_path)).run(None, {"data": x})[0]
    loose = LOOSE["NetParameter"].FromString(net.caffemodel).SerializeToString()
    assert len(loose) > len(net.caffemodel)
    (tmp_path / "loose.caffemodel").write_bytes(loose)
    assert np.array_equal(InferenceSession(tmp_path / "loose.caffemodel").run(None, {"data": x})[0], expected)


# ---------------------------------------------------------------------- what is not what it should be


def test_two_files_of_different_networks_are_refused_with_both_names(tmp_path):
    path = levi_hassner(width=48).write(tmp_path, "levi")
    small().write(tmp_path, "small")
    with pytest.raises(
        ModelFormatError, match=r"small\.prototxt \(network 'small'\) and .*levi\.caffemodel \('CaffeNet'\)"
    ):
        read_caffe(path, tmp_path / "small.prototxt")
    levi_hassner(width=48, classes=2).write(tmp_path, "gender")
    with pytest.raises(
        ModelFormatError, match=r"levi\.caffemodel: .*'fc8' is 8 x 10, not 2 x \? as .*gender\.prototxt"
    ):
        read_caffe(path, tmp_path / "gender.prototxt")


def test_swapped_files_are_named(tmp_path):
    path = small().write(tmp_path)
    with pytest.raises(ModelFormatError, match=r"net\.prototxt is a text and .*net\.caffemodel is binary: .* swapped"):
        read_caffe(path.with_suffix(".prototxt"), path)


KINDS = {
    "a web page": (b"\n\n  <!DOCTYPE html>\n<html><body>404</body></html>", "a web page, .* raw link"),
    "a web page that begins with a comment": (b"<!-- saved from url -->\n<html>", "a web page"),
    "a Git LFS pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:6dde\nsize 1\n", "git lfs pull"),
    "a placeholder": (b"Put the model here.\n", "a text"),
    "a program": (b"import cv2\nnet = cv2.dnn.readNet('age_net.caffemodel')\n", "a program"),
    "a definition": (b"name: 'CaffeNet'\nlayers {\n}\n", "a network's definition, .* the weights are in a .caffemodel"),
    "a zip archive": (b"PK\x03\x04\x14\0\0\0", "a zip archive"),
    "a gzip archive": (b"\x1f\x8b\x08\0\0\0\0\0", "a gzip archive"),
    "an HDF5 snapshot": (b"\x89HDF\r\n\x1a\n\0\0\0\0", "an HDF5 file"),
    "an ONNX file": (standin_model(classes=2).SerializeToString(), "an ONNX file"),
    "nothing": (b"", "the file is empty"),
    "zeros": (bytes(1000), "field"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "reason"), KINDS.values(), ids=KINDS)
def test_what_is_no_caffe_model_is_named_for_what_it_is(content, reason, tmp_path):
    path = tmp_path / "age_net.caffemodel"
    path.write_bytes(content)
    with pytest.raises(ModelFormatError, match=rf"age_net\.caffemodel: .*{reason}"):
        read_model(path)


@pytest.mark.parametrize("length", range(1, 130))
def test_a_networks_name_says_nothing_of_what_the_file_is(length, tmp_path):
    """A name of 60 letters makes the file begin with a line end and "<"; one of 80 and a K with "P" and "K"."""
    net = Writer(name="K" * length, size=(3, 4, 4))
    net.softmax(net.fc("data", "fc", 2))
    for name in ("net.caffemodel", "net"):
        (tmp_path / name).write_bytes(net.caffemodel)
        assert is_caffe(tmp_path / name)
        assert read_model(tmp_path / name).graph_name == "K" * length


def test_an_unknown_layer_type_is_refused_by_name_even_where_onnx_has_one_of_that_name(tmp_path):
    net = Writer(size=(3, 4, 4))
    net.layer("last", "ArgMax", "data")  # over classes in Caffe, over the batch by ONNX's default
    with pytest.raises(UnsupportedModelError, match=r"caffe\.ArgMax \('last'\)"):
        InferenceSession(net.write(tmp_path))


def test_a_blob_that_no_layer_makes_is_named(tmp_path):
    net = small()
    net.net.layer[2].bottom[0] = "poool"
    with pytest.raises(ModelFormatError, match="layer 'pool' reads 'poool', which no layer before it makes"):
        read_caffe(net.write(tmp_path))


# ---------------------------------------------------------------------- mean images


@pytest.mark.parametrize("shapes", ["old", "new"])
def test_a_mean_image_is_read_in_the_channels_order_of_its_network(shapes, tmp_path):
    mean = np.random.default_rng(0).uniform(49, 186, (3, 8, 9)).astype(np.float32)
    blob = CAFFE["BlobProto"](data=mean.ravel().tolist())
    if shapes == "old":
        blob.num, blob.channels, blob.height, blob.width = 1, 3, 8, 9
    else:
        blob.shape.dim.extend(mean.shape)
    (tmp_path / "mean.binaryproto").write_bytes(blob.SerializeToString())
    assert np.array_equal(read_mean(tmp_path / "mean.binaryproto"), mean)


def test_what_is_no_mean_image_is_named(tmp_path):
    (tmp_path / "mean.binaryproto").write_text("<html>")
    with pytest.raises(ModelFormatError, match="a web page, not a mean image"):
        read_mean(tmp_path / "mean.binaryproto")
    (tmp_path / "mean.binaryproto").write_bytes(CAFFE["BlobProto"](data=[1.0], num=1).SerializeToString())
    with pytest.raises(ModelFormatError, match="mean"):
        read_mean(tmp_path / "mean.binaryproto")
