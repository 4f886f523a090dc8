"""The networks that answer with eight groups of ages: what is known of them, their preparations, their answers."""

from __future__ import annotations

import math

import cv2
import numpy as np
import onnxruntime
import pytest
from caffe_networks import levi_hassner
from caffe_writer import CAFFE, opencv_net
from conftest import PORTRAIT
from PIL import Image
from zoo_googlenet import zoo_googlenet

from numpyvgg import FetchError, Predictor, cli
from numpyvgg.errors import ArgumentError
from numpyvgg.files.caffe import read_caffe
from numpyvgg.photo.images import load_image
from numpyvgg.photo.tensors import resized_bilinearly, tensors
from numpyvgg.zoo import PUBLISHED, adopt, fetch, open_model
from numpyvgg.zoo.adience import GOOGLENET, LEVI_HASSNER

GROUPS = ("(0-2)", "(4-6)", "(8-12)", "(15-20)", "(25-32)", "(38-43)", "(48-53)", "(60-100)")
#: name -> file, bytes, sha256, labels: from public lists of hashes, and the zoo's Git LFS pointers
FACTS = {
    "levi-age": (
        "age_net.caffemodel",
        45_661_480,
        "6dde5d07df5ca1d66ff39e525693f05ccfb9d2c437e188fdd1a10d42e57fabd6",
        GROUPS,
    ),
    "levi-gender": (
        "gender_net.caffemodel",
        45_649_168,
        "ac7571b281ae078817764b645a20541bd6aa1babeac20a45e6d8de7d61ba0e50",
        ("male", "female"),
    ),
    "age-googlenet": (
        "age_googlenet.onnx",
        23_960_165,
        "fa2a3228e425056aa2b080b3afd3cf607327c86616e952602ed67b5fc16ab356",
        GROUPS,
    ),
    "gender-googlenet": (
        "gender_googlenet.onnx",
        23_935_566,
        "af24a4eaa9eaf70913cc9a337a0387c86f11549cbd9bbc16bffeefcdcf88cbf4",
        ("male", "female"),
    ),
}
MEANS = (78.4263377603, 87.7689143744, 114.895847746)  # B, G, R, as OpenCV's samples have them


@pytest.mark.parametrize(("name", "facts"), FACTS.items(), ids=FACTS)
def test_the_registry_has_what_is_known_of_the_published_files(name, facts):
    network = PUBLISHED[name]
    assert (network.file, network.size, network.sha256, network.labels.names) == facts
    assert network.classes == len(network.labels.names)
    assert all(network.file in source for source in network.sources)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("NUMPYVGG_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def mean():
    """A mean image as smooth as the authors', float32 [3, 256, 256]."""
    noise = np.random.default_rng(0).uniform(50, 180, (3, 16, 16)).astype(np.float32)
    return np.stack([cv2.resize(channel, (256, 256), interpolation=cv2.INTER_CUBIC) for channel in noise])


@pytest.fixture(scope="module")
def networks(cache, tmp_path_factory, mean):
    """Both networks with seeded weights under their names, old layers as the authors' files have them."""
    writers = {}
    for name, classes in (("levi-age", 8), ("levi-gender", 2)):
        writers[name] = levi_hassner(classes, form="old", shapes="old", seed=classes)
        transform = {"mirror": True, "crop_size": 227, "mean_file": "/home/ubuntu/mean.binaryproto"}
        writers[name].layer("data", "Data", [], ["images", "label"], transform_param=transform)
        writers[name].layer("loss", "SoftmaxWithLoss", ["fc8", "label"])
        adopt(name, writers[name].write(tmp_path_factory.mktemp(name)), verify=False)
        del writers[name].net.layers[-2:]  # what training had, OpenCV does not read
    blob = CAFFE["BlobProto"](num=1, channels=3, height=256, width=256, data=mean.ravel().tolist())
    (cache / "mean.binaryproto").write_bytes(blob.SerializeToString())
    return writers


@pytest.mark.thorough
def test_the_built_in_layers_are_those_of_the_definition_and_their_weights_fill_the_published_sizes(networks, tmp_path):
    for name, writer in networks.items():
        model = open_model(name)
        (tmp_path / "deploy.prototxt").write_text(writer.prototxt)
        defined = read_caffe(PUBLISHED[name].path, tmp_path / "deploy.prototxt")
        assert [(node.op_type, node.name, node.attributes) for node in model.nodes] == [
            (node.op_type, node.name, node.attributes) for node in defined.nodes
        ]
        stored = [model.initializers.stored(key) for key in model.initializers]
        structure = PUBLISHED[name].size - 4 * sum(math.prod(tensor.dims) for tensor in stored)
        assert structure == 1288  # the same for both: layers, and what training had


# ---------------------------------------------------------------------- preparations


@pytest.mark.thorough
def test_the_ten_crops_are_the_authors(networks, cache, mean):
    """Corners and middle of 256 x 256, then the same mirrored, each less the mean image resized to 227 x 227."""
    preparation = LEVI_HASSNER["ten-crop"]
    image = load_image(PORTRAIT).resize((256, 256))
    bgr = np.asarray(image, np.float32)[:, :, ::-1]
    places = [(0, 0), (0, 29), (29, 0), (29, 29), (14, 14)]
    crops = [bgr[y : y + 227, x : x + 227] for y, x in places]
    crops += [crop[:, ::-1] for crop in crops]
    resized = cv2.resize(mean.transpose(1, 2, 0), (227, 227), interpolation=cv2.INTER_LINEAR)
    expected = np.stack([(crop - resized).transpose(2, 0, 1) for crop in crops])
    ours = Predictor(["levi-age"], preparation="ten-crop").networks["levi-age"].tensors(image)
    assert ours.shape == (10, 3, 227, 227)
    assert np.abs(ours - expected).max() <= 1e-3  # of 255; OpenCV computes in float32 throughout
    assert preparation.mean_file == "mean.binaryproto"


@pytest.mark.thorough
def test_training_subtracts_the_mean_image_where_the_crop_is(networks, mean):
    image = load_image(PORTRAIT).resize((256, 256))
    bgr = np.asarray(image, np.float32)[:, :, ::-1].transpose(2, 0, 1)
    expected = (bgr - mean)[:, 14:241, 14:241]
    ours = Predictor(["levi-age"], preparation="paper").networks["levi-age"].tensors(image)
    assert np.array_equal(ours, expected[None])


def test_opencvs_way_is_opencvs_blob():
    image = load_image(PORTRAIT).resize((227, 227))
    bgr = np.ascontiguousarray(np.asarray(image)[:, :, ::-1])
    expected = cv2.dnn.blobFromImage(bgr, 1.0, (227, 227), MEANS, swapRB=False)
    assert np.abs(tensors(image, LEVI_HASSNER["opencv"]) - expected).max() <= 1e-5


def test_the_default_needs_no_second_file_and_is_named(networks, cache):
    (cache / "mean.binaryproto").rename(cache / "elsewhere.binaryproto")
    image = load_image(PORTRAIT).resize((256, 256))
    bgr = np.asarray(image, np.float32)[:, :, ::-1].transpose(2, 0, 1) - np.array(MEANS, np.float32)[:, None, None]
    network = Predictor(["levi-age"]).networks["levi-age"]
    assert np.array_equal(network.tensors(image), bgr[None, :, 14:241, 14:241])
    assert network.notes == ()  # the file names a mean image; its averages are subtracted
    assert str(network.preparation).startswith("channel-mean: 256x256 bgr, mean 78.4")
    with pytest.raises(ArgumentError, match=r"mean\.binaryproto, which is not at .*: give --mean FILE"):
        Predictor(["levi-age"], preparation="paper")
    given = Predictor(["levi-age"], preparation="paper", mean=cache / "elsewhere.binaryproto").networks["levi-age"]
    (cache / "elsewhere.binaryproto").rename(cache / "mean.binaryproto")
    beside = Predictor(["levi-age"], preparation="paper").networks["levi-age"]
    assert np.array_equal(given.tensors(image), beside.tensors(image))


@pytest.mark.parametrize("size", [(227, 227), (300, 200), (256, 256), (1, 1)])
def test_mean_images_are_resized_as_opencv_does(size, mean):
    expected = cv2.resize(mean.transpose(1, 2, 0), size[::-1], interpolation=cv2.INTER_LINEAR).transpose(2, 0, 1)
    assert np.abs(resized_bilinearly(mean, size) - expected).max() <= 1e-3


# ---------------------------------------------------------------------- answers


@pytest.mark.thorough
@pytest.mark.parametrize("preparation", [None, "paper", "ten-crop", "opencv"])
def test_answers_are_the_mean_of_opencvs_over_the_views(preparation, networks):
    image = load_image(PORTRAIT)
    predictor = Predictor(["levi-age", "levi-gender"], preparation=preparation)
    prediction = predictor(image)
    for name, writer in networks.items():
        net = opencv_net(writer)
        net.setInput(predictor.networks[name].tensors(image))
        expected = net.forward().mean(axis=0)
        answer = prediction.answers[name]
        assert np.abs(answer.probabilities - expected).max() <= 1e-6
        assert answer.label == FACTS[name][3][int(expected.argmax())]
        assert not hasattr(answer, "expected")  # no years


def test_every_output_names_the_preparation(networks, capsys):
    for arguments in (["--json"], ["--csv"], []):
        assert cli.main(["predict", str(PORTRAIT), "--model", "levi-age", "--preparation", "opencv", *arguments]) == 0
        assert "opencv" in "".join(capsys.readouterr())


@pytest.mark.thorough
def test_the_googlenets_answer_by_their_names(cache, tmp_path):
    image = load_image(PORTRAIT)
    for name in ("age-googlenet", "gender-googlenet"):
        file, _, _, labels = FACTS[name]
        model = zoo_googlenet(file, len(labels))
        (tmp_path / file).write_bytes(model.SerializeToString())
        adopt(name, tmp_path / file, verify=False)
        bgr = np.asarray(image.resize((224, 224), Image.Resampling.BILINEAR), np.float32)[:, :, ::-1] - (104, 117, 123)
        x = np.ascontiguousarray(bgr.transpose(2, 0, 1)[None], np.float32)
        assert np.array_equal(tensors(image, GOOGLENET), x)
        (expected,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"input": x})
        answer = Predictor([name])(image).answers[name]
        assert np.abs(answer.probabilities - expected[0]).max() <= 1e-6
        assert answer.label == labels[int(expected.argmax())]


# ---------------------------------------------------------------------- how the files come here


def test_files_are_brought_by_hand_and_by_hash(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("NUMPYVGG_CACHE", str(tmp_path / "empty"))
    with pytest.raises(FetchError, match=r"no address is known .*`numpyvgg fetch levi-age --from age_net\.caffemodel"):
        fetch("levi-age")
    (tmp_path / "age_net.caffemodel").write_bytes(b"<html>404</html>")
    assert cli.main(["fetch", "levi-age", "--from", str(tmp_path / "age_net.caffemodel")]) == 2
    assert "not the published levi-age: its sha256 is" in capsys.readouterr().err
    assert cli.main(["predict", str(PORTRAIT), "--model", "levi-age", "--model", "age-googlenet"]) == 2
    error = capsys.readouterr().err
    assert "`numpyvgg fetch levi-age --from FILE`" in error
    assert cli.main(["fetch", "--help"]) == 0
    assert "age-googlenet and gender-googlenet take 24 MB each" in " ".join(capsys.readouterr().out.split())
