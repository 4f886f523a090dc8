"""Caffe networks written as ONNX: checked by the onnx package, and run by ONNX Runtime beside the Caffe file here."""

from __future__ import annotations

import re

import numpy as np
import onnx
import onnxruntime
import pytest
from caffe_networks import PUBLISHED, levi_hassner
from caffe_writer import Writer
from PIL import Image
from test_caffe_networks import LAYER_TYPES, SIZE, crops

from numpyvgg import InferenceSession, cli
from numpyvgg.files.caffe import read_caffe


def both(path, x, *prototxt):
    """All outputs of the converted file by ONNX Runtime, and of the Caffe file here."""
    assert cli.main(["convert", str(path), *map(str, prototxt), str(path.with_suffix(".onnx"))]) == 0
    onnx.checker.check_model(str(path.with_suffix(".onnx")), full_check=True)
    theirs = onnxruntime.InferenceSession(path.with_suffix(".onnx"))
    ours = InferenceSession(read_caffe(path, *prototxt))
    names = [value.name for value in ours.get_outputs()]
    assert [value.name for value in theirs.get_outputs()] == names
    return theirs.run(names, {"data": x}), ours.run(names, {"data": x})


@pytest.mark.thorough
@pytest.mark.parametrize("form", ["old", "new"])
def test_levi_and_hassners_network_converted_answers_the_same(form, tmp_path, capsys):
    path = levi_hassner(form=form, shapes=form).write(tmp_path)
    (theirs,), (ours,) = both(path, crops(4, 227), path.with_suffix(".prototxt"))
    assert theirs.max() < 0.99
    assert np.abs(theirs - ours).max() <= 1e-6
    assert "data ['N', 3, 227, 227] -> prob" in capsys.readouterr().out


@pytest.mark.thorough
@pytest.mark.parametrize("build", PUBLISHED.values(), ids=PUBLISHED)
def test_published_architectures_converted_answer_the_same(build, tmp_path):
    writer = build()
    (theirs,), (ours,) = both(writer.write(tmp_path), crops(1, writer.shapes["data"][-1]))
    assert theirs.shape == ours.shape
    assert np.abs(theirs - ours).max() <= 1e-6


@pytest.mark.parametrize("build", LAYER_TYPES.values(), ids=LAYER_TYPES)
def test_each_layer_type_converted_computes_the_same(build, tmp_path):
    net = Writer(size=SIZE)
    build(net)
    x = np.random.default_rng(0).normal(size=(2, *SIZE)).astype(np.float32)
    for theirs, ours in zip(*both(net.write(tmp_path), x), strict=True):
        assert theirs.shape == ours.shape
        assert np.abs(theirs - ours).max() <= 1e-6 * max(1, np.abs(theirs).max())


def test_rounding_down_is_written_too(tmp_path):
    net = Writer(size=SIZE)
    net.pool("data", "last", 3, 2, round_mode=1)
    x = np.random.default_rng(0).normal(size=(2, *SIZE)).astype(np.float32)
    (theirs,), (ours,) = both(net.write(tmp_path), x)
    assert theirs.shape == ours.shape == (2, 6, 6, 4)
    assert np.array_equal(theirs, ours)


def test_how_training_prepared_its_images_is_said(tmp_path, capsys):
    net = Writer(size=())
    transform = {"scale": 1 / 256, "crop_size": 13, "mean_value": [104, 117, 123], "mean_file": "mean.binaryproto"}
    net.layer("data", "Data", [], ["data", "label"], transform_param=transform)
    net.shapes["data"] = (3, 13, 13)
    net.softmax(net.fc("data", "fc", 2))
    assert cli.main(["convert", str(net.write(tmp_path)), str(tmp_path / "net.onnx")]) == 0
    said = capsys.readouterr().out.splitlines()[1]
    assert all(word in said for word in ("104, 117, 123", "mean.binaryproto", "0.00390625", "crop 13"))


MISTAKES = {
    "the output is left out": (["net.caffemodel", "net.prototxt"], "net.prototxt: .* does not end in .onnx"),
    "an ONNX file": (["net.onnx", "other.onnx"], "net.onnx: not a Caffe network"),
    "a layer that ONNX has not": (["argmax.caffemodel", "other.onnx"], "ONNX has no counterpart of ArgMax node 'last'"),
    "an input without a size": (["open.caffemodel", "other.onnx"], "how large its input 'data' is: give the prototxt"),
    "no such folder": (["net.caffemodel", "net.caffemodel/x.onnx"], "x.onnx: cannot be written"),
}


@pytest.mark.parametrize(("arguments", "reason"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_line_and_writes_nothing(arguments, reason, tmp_path, monkeypatch, capsys):
    net = Writer(size=SIZE)
    net.layer("last", "ArgMax", "data")
    net.write(tmp_path, "argmax")
    net = Writer(size=())
    net.layer("last", "ReLU", "data")
    net.write(tmp_path, "open")
    both(levi_hassner(width=48).write(tmp_path), crops(1, 227))
    monkeypatch.chdir(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    capsys.readouterr()
    assert cli.main(["convert", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.search(reason, error), error
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("form", "kind"),
    [
        ("JPEG", "JPEG image"),
        ("PNG", "PNG image"),
        ("BMP", "BMP image"),
        ("TIFF", "TIFF image"),
        ("AVIF", "AVIF image"),
    ],
)
@pytest.mark.parametrize(
    "command", [["convert", "net", "out.onnx"], ["convert", "net", "net", "out.onnx"], ["inspect", "net"]]
)
def test_a_picture_is_named_as_what_it_is(form, kind, command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (8, 8)).save("net", form)
    assert cli.main(command) == 2
    assert re.match(rf"numpyvgg: net: byte 0: this is an? .*{kind}", capsys.readouterr().err)
