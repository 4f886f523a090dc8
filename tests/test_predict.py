"""`numpyvgg predict`: every photograph answered, every network named, what cannot be read said so."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from conftest import PORTRAIT
from make_standin import Layout, write_standin
from measure_predict import write_mixed
from PIL import Image
from test_zoo import files, published  # noqa: F401  (fixtures)

import numpyvgg
from numpyvgg import ArgumentError, FetchError, Predictor, cli, zoo
from numpyvgg.cli.rows import age_chart
from numpyvgg.photo.answers import answer, expected_age
from numpyvgg.photo.images import load_image, to_tensor
from numpyvgg.photo.predictor import default_models
from numpyvgg.zoo.labels import GENDER, ages


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """Paths of an age and a gender network."""
    folder = tmp_path_factory.mktemp("networks")
    modern = Layout(opset=17)
    return [
        str(write_standin(folder / "age.onnx", modern, width=1 / 16, classes=101)),
        str(write_standin(folder / "gender.onnx", modern, width=1 / 16, classes=2)),
    ]


def models(networks):
    labels = ("age", "gender")
    pairs = zip(networks, labels, strict=False)
    return [argument for network, label in pairs for argument in ("--model", network, "--labels", label)]


def runtime_answers(networks, x):
    outputs = [onnxruntime.InferenceSession(network).run(None, {"input": x})[0][0] for network in networks]
    return [answer(p, labels) for p, labels in zip(outputs, (ages(101), GENDER), strict=False)]


def test_a_folder_of_mixed_files_is_answered_but_for_those_that_cannot_be_read(networks, tmp_path, capsys):
    unreadable = write_mixed(tmp_path / "photos", count=24, broken=4)
    assert cli.main(["predict", str(tmp_path / "photos"), *models(networks), "--json"]) == 1
    captured = capsys.readouterr()
    answered = [json.loads(line)["image"] for line in captured.out.splitlines()]
    assert len(answered) == len(set(answered)) == 20
    assert not set(answered) & set(unreadable)
    *named, last, small, skipped = captured.err.splitlines()
    assert "20 with fewer pixels than the networks look at" in small
    assert skipped == "numpyvgg: skipped 1 that are no photographs: 1 .txt files (notes.txt)"
    assert len(named) == 4
    for path in unreadable:
        assert sum(f"{path}: " in line for line in named) == 1
    assert last == "numpyvgg: 4 of 24 images could not be read"


def test_each_network_answers_as_onnx_runtime_does_and_is_named(networks, portrait, capsys):
    assert cli.main(["predict", str(PORTRAIT), *models(networks), "--json"]) == 0
    answers = json.loads(capsys.readouterr().out)["answers"]
    assert [given["network"] for given in answers] == networks
    age, gender = runtime_answers(networks, portrait)
    assert answers[0]["expected"] == pytest.approx(age.expected, abs=5e-4)
    assert answers[0]["most_probable"] == age.most_probable
    assert answers[1]["label"] == gender.label
    assert answers[1]["probability"] == pytest.approx(gender.probability, abs=5e-6)
    np.testing.assert_allclose(answers[0]["probabilities"], age.probabilities, atol=5e-6)


def test_people_get_one_line_a_photograph_that_names_the_networks(networks, capsys):
    assert cli.main(["predict", str(PORTRAIT), *models(networks)]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{PORTRAIT}: ")
    assert "years" in line
    assert "male" in line
    assert all(network in line for network in networks)


def test_csv_has_a_row_for_each_photograph_and_network(networks, tmp_path, capsys):
    awkward = tmp_path / 'a "photo", with, commas.png'
    Image.open(PORTRAIT).save(awkward)
    assert cli.main(["predict", str(PORTRAIT), str(awkward), *models(networks), "--csv", "--top", "2"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["image"] for row in rows] == [str(PORTRAIT)] * 2 + [str(awkward)] * 2
    assert [row["network"] for row in rows] == networks * 2
    assert rows[0]["label"] == rows[1]["expected"] == ""
    assert float(rows[0]["expected"]) == pytest.approx(
        numpyvgg.predict(PORTRAIT, networks[:1], labels="age").answers[networks[0]].expected
    )
    assert float(rows[1]["top_1_probability"]) + float(rows[1]["top_2_probability"]) == pytest.approx(1)


def test_top_lists_the_most_probable_classes_in_order(networks, portrait, capsys):
    assert cli.main(["predict", str(PORTRAIT), *models(networks[:1]), "--top", "3", "--json"]) == 0
    top = json.loads(capsys.readouterr().out)["answers"][0]["top"]
    (age,) = runtime_answers(networks[:1], portrait)
    expected = np.sort(age.probabilities)[::-1][:3]
    np.testing.assert_allclose([entry["probability"] for entry in top], expected, atol=5e-6)
    np.testing.assert_allclose(age.probabilities[[entry["class"] for entry in top]], expected, atol=5e-6)


def test_the_chart_has_its_peak_over_its_year():
    probabilities = np.full(101, 1e-6)
    probabilities[40] = 1
    bars, years = age_chart(probabilities)
    assert bars.index(max(bars)) == years.index("40")


def test_the_order_of_channels_matters_and_is_bgr_unless_said_otherwise(networks):
    image = load_image(PORTRAIT)
    default, bgr, rgb = (
        Predictor(networks, labels=["age", "gender"], **options)(image)
        for options in ({}, {"channels": "bgr"}, {"channels": "rgb"})
    )
    assert default == bgr != rgb
    swapped = to_tensor(image)[:, ::-1]
    (age,) = runtime_answers(networks[:1], np.ascontiguousarray(swapped))
    assert rgb.answers[networks[0]].expected == pytest.approx(age.expected, abs=5e-4)
    with pytest.raises(ArgumentError, match="grb"):
        Predictor(networks, channels="grb")


def test_without_a_model_the_published_age_and_gender_networks_answer(published, capsys):  # noqa: F811
    for name in ("age-imdb-wiki", "gender-imdb-wiki"):
        zoo.published(name).path.parent.mkdir(exist_ok=True)
        zoo.published(name).path.write_bytes(published[name])
    assert cli.main(["predict", str(PORTRAIT), "--json"]) == 0
    answers = json.loads(capsys.readouterr().out)["answers"]
    assert [(given["network"], given["kind"]) for given in answers] == [
        ("age-imdb-wiki", "age"),
        ("gender-imdb-wiki", "gender"),
    ]


def test_a_published_network_that_is_not_here_is_an_error_that_says_how_to_fetch_it_and_how_large_it_is(
    monkeypatch, tmp_path
):
    monkeypatch.setenv("NUMPYVGG_CACHE", str(tmp_path))
    with pytest.raises(FetchError, match=r"538\.7 MB.*537\.1 MB.*numpyvgg fetch age-imdb-wiki gender-imdb-wiki"):
        numpyvgg.predict(PORTRAIT, models=("age-imdb-wiki", "gender-imdb-wiki"))


def test_a_path_is_answered_without_what_fetches(networks):
    code = "import sys; sys.modules['filelock'] = sys.modules['requests'] = None; from numpyvgg import cli; cli.main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "predict", PORTRAIT, *models(networks[:1])],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "years" in done.stdout


def test_what_lies_in_a_folder_beside_photographs_is_named_once(networks, tmp_path, capsys):
    write_mixed(tmp_path / "photos", count=2, broken=0)
    (tmp_path / "photos" / "form.pdf").touch()
    (tmp_path / "photos" / "IMG_0001.HEIC").write_bytes(b"not one")
    assert cli.main(["predict", str(tmp_path / "photos"), *models(networks)]) == 1
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 2
    assert (
        "numpyvgg: skipped 2 that are no photographs: 1 .pdf files (form.pdf); 1 .txt files (notes.txt)\n"
        in captured.err
    )
    assert "IMG_0001.HEIC: not an image" in captured.err
    assert "numpyvgg: 1 of 3 images could not be read\n" in captured.err


@pytest.mark.parametrize("here", [(), ("age-imdb-wiki",), ("gender-imdb-wiki",), ("age-imdb-wiki", "gender-imdb-wiki")])
def test_of_the_papers_networks_those_that_are_here_answer(here, monkeypatch, tmp_path):
    monkeypatch.setenv("NUMPYVGG_CACHE", str(tmp_path))
    for name in here:
        zoo.PUBLISHED[name].path.touch()
    assert default_models() == (here or ("age-small", "gender-small"))


@pytest.mark.parametrize("option", [[], ["--json"], ["--csv"], ["-o", "ages.csv"], ["--faces"]])
@pytest.mark.parametrize("content", [None, b"", b"not an image"])
def test_one_photograph_that_cannot_be_read_is_one_line_and_a_mistake(content, option, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path("lone.jpg").write_bytes(content)
    assert cli.main(["predict", "lone.jpg", *option]) == 2
    captured = capsys.readouterr()
    assert not captured.out
    (line,) = captured.err.splitlines()
    if "-o" in option:
        assert "1 of 1 photographs, 1 errors" in line
        assert "lone.jpg: " in Path("ages.csv.errors.csv").read_text()
    else:
        assert line.startswith("numpyvgg: lone.jpg: ")


def test_what_is_to_be_known_of_the_networks_is_said_once_before_the_first_answer(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("NUMPYVGG_CACHE", str(tmp_path))
    (tmp_path / "broken.jpg").touch()
    assert cli.main(["predict", str(tmp_path / "broken.jpg"), str(PORTRAIT)]) == 1
    *lines, count = capsys.readouterr().err.splitlines()
    assert sorted(line.split(",")[0].split(": ")[-1] for line in lines) == [
        "the file is empty",
        "the small networks answer",
    ]
    assert count == "numpyvgg: 1 of 2 images could not be read"


@pytest.mark.parametrize("size", [(1, 1), (223, 400), (400, 223), (224, 224)])
def test_a_photograph_with_fewer_pixels_than_the_network_looks_at_is_remarked(size, networks, tmp_path, capsys):
    path = tmp_path / "photo.png"
    Image.new("RGB", size, "teal").save(path)
    assert cli.main(["predict", str(path), *models(networks)]) == 0
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 1
    remark = f"numpyvgg: 1 with fewer pixels than the networks look at, enlarged: {path} ({size[0]}x{size[1]})"
    assert captured.err.splitlines() == ([] if size == (224, 224) else [remark])


def test_of_many_small_photographs_a_few_are_named(networks, tmp_path, capsys):
    for i in range(5):
        Image.new("RGB", (10 + i, 10)).save(tmp_path / f"{i}.png")
    assert cli.main(["predict", str(tmp_path), *models(networks)]) == 0
    remark = capsys.readouterr().err.splitlines()[-1]
    assert remark.startswith("numpyvgg: 5 with fewer pixels than the networks look at, enlarged: ")
    assert remark.endswith("2.png (12x10), ...")


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ([None], "models: None is no network"),
        (7, "models: 7 is no network"),
        (["small", 1.5], "models: 1.5 is no network"),
        (b"age.onnx", "models: b'age.onnx' is no network"),
    ],
)
def test_what_is_no_network_is_refused_by_the_arguments_name(given, reason):
    with pytest.raises(ArgumentError, match=reason):
        numpyvgg.predict(PORTRAIT, given)


def test_faces_are_a_choice_or_what_finds_them():
    with pytest.raises(ArgumentError, match="faces='mtcnn': give True, False, or what finds faces"):
        next(Predictor(["age-small"]).many([PORTRAIT], faces="mtcnn"))


@pytest.mark.parametrize(
    ("numbers", "reason"),
    [
        ([0.5, -0.1, 0.6], "numbers from -0.1 to 0.6 with the sum 1 are no distribution"),
        ([0.2, 0.2], "sum 0.4 are no distribution"),
        ([3.0, 4.0, 1.0], "sum 8 are no distribution"),
        ([np.nan, 1.0], "sum nan are no distribution"),
        ([np.inf, 0.0], "sum inf are no distribution"),
        ([], r"float64 \[0\] is no distribution"),
        ([[0.5, 0.5]], r"float64 \[1, 2\] is no distribution"),
        (["a"], "is no distribution over years"),
    ],
)
def test_what_is_no_distribution_has_no_expected_age(numbers, reason):
    with pytest.raises(ArgumentError, match=reason):
        expected_age(np.array(numbers))


def test_each_probability_needs_its_year():
    with pytest.raises(ArgumentError, match="3 years for 2 probabilities"):
        expected_age(np.array([0.5, 0.5]), years=[1, 2, 3])
    assert expected_age(np.array([0.5, 0.5], np.float16), years=[10, 20]).expected == 15
