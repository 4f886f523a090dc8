"""See inside: the gradients are right, the data adds up, and the page stands on its own."""

from __future__ import annotations

import html.parser
import re
import sys

import numpy as np
import pytest
from conftest import PORTRAIT
from make_standin import Layout, standin_model
from numpy.lib.stride_tricks import sliding_window_view

from numpyvgg import VGG
from numpyvgg.cli import main
from numpyvgg.errors import ArgumentError
from numpyvgg.files.source import Source
from numpyvgg.layers import conv2d, linear, max_pool, relu, softmax
from numpyvgg.photo.faces.search import Face
from numpyvgg.photo.images import load_image, to_tensor
from numpyvgg.report import ReceptiveField, explain, watch
from numpyvgg.report.explanation import histogram
from numpyvgg.report.gradients import backward, grad_cam, max_pool_backward, relu_backward, score, score_gradient
from numpyvgg.report.occlusion import PATCH, STRIDE, occlusion, spread
from numpyvgg.report.page import render
from numpyvgg.text import bar_chart, sparkline
from numpyvgg.zoo.labels import GENDER, MALE_FIRST, UNKNOWN, ages
from numpyvgg.zoo.preparation import Preparation

SMALL = Layout(batch="N")
#: what a network of so many classes answers in these tests
LABELS = {101: ages(101), 2: GENDER, 7: UNKNOWN}


def small_network(classes: int = 101, dtype: str = "float32") -> VGG:
    return VGG.from_onnx(standin_model(SMALL, classes=classes), dtype=dtype)


@pytest.fixture(scope="module")
def small_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "small.onnx"
    path.write_bytes(standin_model(SMALL).SerializeToString())
    return path


@pytest.fixture(scope="module", autouse=True)
def nothing_hidden():
    """Leave the 37 passes of occlusion out of `explain`; a test of their own has them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "numpyvgg.report.explanation.occlusion", lambda net, x, labels: np.arange(-18.0, 18.0).reshape(6, 6)
        )
        yield


@pytest.fixture(scope="module")
def explanations():
    return [explain(small_network(classes), PORTRAIT, labels=LABELS[classes]) for classes in (101, 2)]


# ---------------------------------------------------------------------- gradients


def head(net: VGG, x: np.ndarray, labels) -> float:
    """The score as a function of conv5_3's output, by the textbook's forward operations."""
    fc6, fc7, fc8 = ([a.astype(x.dtype) for a in p.load()] for p in net.layers if p.kind == "fc" and p.load)
    y = max_pool(x, (2, 2), strides=(2, 2)).reshape(1, -1)
    y = relu(linear(y, *fc6, transB=1))
    y = relu(linear(y, *fc7, transB=1))
    return float(score(softmax(linear(y, *fc8, transB=1)), labels)[0])


@pytest.mark.parametrize("classes", [101, 2, 7])
def test_the_hand_written_gradient_is_the_slope_of_the_score(classes, portrait):
    net = small_network(classes, "float64")
    _, values = watch(net, portrait.astype(np.float64))
    gradient = backward(net, values, LABELS[classes])["relu5_3"]
    rng, x = np.random.default_rng(0), values["relu5_3"]
    for _ in range(5):  # along random directions; those of zeros stay out of the kinks of ReLU and pooling
        direction = rng.standard_normal(x.shape) * (x > 0)
        step = 1e-6
        above, below = (head(net, x + side * direction, LABELS[classes]) for side in (step, -step))
        slope = (above - below) / (2 * step)
        assert (gradient * direction).sum() == pytest.approx(slope, rel=1e-6, abs=1e-9)


def test_pooling_sends_the_gradient_to_the_first_of_the_largest():
    x = np.array([[[[1.0, 3.0, 2.0, 2.0], [2.0, 0.0, 2.0, 2.0]]]])
    dy = np.array([[[[5.0, 7.0]]]])
    assert max_pool_backward(dy, x).tolist() == [[[[0, 5, 7, 0], [0, 0, 0, 0]]]]


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


def test_log_odds_stay_finite_where_a_probability_was_rounded_to_zero():
    assert np.isfinite(score(np.array([[0.0, 1.0], [1.0, 0.0]], np.float32), GENDER)).all()


def test_grad_cam_is_the_weighted_sum_of_the_maps():
    rng = np.random.default_rng(2)
    maps, gradient = rng.standard_normal((2, 1, 3, 4, 4))
    wanted = sum(gradient[0, c].mean() * maps[0, c] for c in range(3))
    np.testing.assert_allclose(grad_cam(maps, gradient)[0], wanted)


# ---------------------------------------------------------------------- what is looked at


def test_occlusion_is_the_fall_of_the_score_when_a_part_is_hidden(portrait):
    net = small_network()
    differences = occlusion(net, portrait, ages(101))
    assert differences.shape == (6, 6)
    hidden = portrait.copy()
    rows, columns = slice(2 * STRIDE, 2 * STRIDE + PATCH), slice(4 * STRIDE, 4 * STRIDE + PATCH)
    hidden[:, :, rows, columns] = portrait.mean(axis=(2, 3), keepdims=True)
    fall = score(net(portrait), ages(101)) - score(net(hidden), ages(101))
    assert differences[2, 4] == pytest.approx(fall[0], abs=1e-3)
    assert np.ptp(differences) > 0.1


def test_each_place_gets_the_mean_of_the_patches_over_it():
    differences = np.random.default_rng(3).standard_normal((6, 6))
    padded = np.pad(differences, 1, constant_values=np.nan)
    wanted = np.nanmean(sliding_window_view(padded, (2, 2)), axis=(2, 3))
    np.testing.assert_allclose(spread(differences), wanted)


def test_receptive_fields_are_the_pixels_that_reach_an_output():
    weights = np.ones((1, 1, 3, 3))
    field = ReceptiveField()
    x = np.zeros((64, 1, 64, 64))
    x[np.arange(64), 0, np.arange(64), :] = 1  # image i has row i lit
    for stage in ("conv", "conv", "pool", "conv", "pool"):
        if stage == "conv":
            x, field = conv2d(x, weights, pads=(1, 1, 1, 1)), field.after(3, 1, 1)
        else:
            x, field = max_pool(x, (2, 2), strides=(2, 2)), field.after(2, 2, 0)
        row = x.shape[2] // 2
        reached = np.flatnonzero(x[:, 0, row, row])
        _, top, _, bottom = field.square(row, row)
        assert (top, bottom) == (reached.min(), reached.max() + 1)


def test_the_layers_are_the_sixteen_and_five_poolings_with_the_values_of_the_forward_pass(portrait):
    net = small_network()
    views, values = watch(net, portrait)
    assert len(views) == 13 + 5 + 3
    np.testing.assert_array_equal(values["prob"], net(portrait))
    outputs = {layer.title: value for layer, value in net.trace_layers(portrait)}
    for view in views:
        before = outputs[view.layer.title]
        after = outputs.get(view.layer.title.replace("conv", "relu").replace("fc", "relu"), before)
        assert view.counts.sum() == before.size
        if view.zeros is not None:
            assert round(view.zeros * after.size) == (after == 0).sum()
            assert 0 in view.edges
        loudest = np.sqrt((after[0].reshape(len(after[0]), -1) ** 2).mean(axis=1))
        assert loudest[view.channels[0]] == pytest.approx(loudest.max(), rel=1e-6)
        np.testing.assert_array_equal(view.maps, after[0][view.channels])


def test_a_fully_convolutional_file_that_ends_with_the_scores_is_explained_alike(portrait):
    _, wanted = watch(small_network(), portrait)
    other = VGG.from_onnx(standin_model(Layout(batch="N", head="Conv", softmax=False)))
    views, values = watch(other, portrait)
    assert views[-1].values.shape == (101,)
    np.testing.assert_allclose(values["prob"], wanted["prob"], atol=1e-6)
    gradients = [backward(small_network(), wanted), backward(other, values)]
    np.testing.assert_allclose(gradients[0]["relu5_3"], gradients[1]["relu5_3"], atol=1e-5)


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


def test_the_units_of_fc7_come_loudest_first_and_leave_none_out(portrait, explanations):
    _, values = watch(small_network(), portrait)
    products = values["relu7"][0] * backward(small_network(), values, ages(101))["relu7"][0]
    units = explanations[0].units
    assert sum(unit.contribution for unit in units) == pytest.approx(products.sum(), rel=1e-4)
    assert np.diff([abs(unit.contribution) for unit in units]).max() <= 0
    assert abs(units[0].contribution) == np.abs(products).max()


# ---------------------------------------------------------------------- the page


class Page(html.parser.HTMLParser):
    """Collects what a page refers to, and insists that its elements are closed in order."""

    VOID = ("meta", "link", "img", "br")

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
    return render(explanations, ["age.onnx", "gender.onnx"], title="a <portrait>", note="a note")


def test_the_page_stands_on_its_own(page_text):
    page = Page(page_text)
    assert all(link.startswith(("data:", "#")) for link in page.links)
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert not re.search(r"(url\(|@import|<script)", page_text)


def test_the_page_has_every_layer_and_stays_small(page_text, explanations):
    page = Page(page_text)
    assert {view.layer.title for view in explanations[0].layers} <= set(page.ids)
    assert page.images > 18 * 4
    assert len(page_text.encode()) < 5e6


def test_the_page_says_the_answers_and_escapes_what_it_is_told(page_text, explanations):
    assert f"{explanations[0].answer.expected:.1f}" in page_text
    assert "a &lt;portrait&gt;" in page_text
    assert "<portrait>" not in page_text


def test_a_page_needs_a_name_for_each_network(explanations):
    with pytest.raises(ArgumentError, match="2 explanations with 1 names"):
        render(explanations, ["age.onnx"], title="portrait")


def test_a_face_is_framed_on_the_photograph_and_its_crop_enters():
    crop = np.full((224, 224, 3), 7, np.uint8)
    corners = np.array([[10.0, 20.0], [110.0, 20.0], [110.0, 120.0], [10.0, 120.0]])
    explanation = explain(small_network(), PORTRAIT, face=Face(crop, 15.0, corners, score=1.0))
    assert (explanation.x == 7).all()
    text = render([explanation], ["age.onnx"], title="portrait")
    assert 'points="10.0,20.0 110.0,20.0 110.0,120.0 10.0,120.0"' in text


def test_rgb_networks_see_the_channels_in_that_order(explanations):
    net = small_network()
    rgb = explain(net, PORTRAIT, preparation=Preparation(channels="rgb"))
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
    monkeypatch.delitem(sys.modules, "numpyvgg.report.page", raising=False)
    assert main(["explain", str(PORTRAIT), "--model", str(small_path), "-o", str(tmp_path / "report.html")]) == 2
    assert "pip install jinja2 matplotlib" in capsys.readouterr().err


def test_without_a_network_a_stand_in_is_explained_and_said_to_be_one(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("NUMPYVGG_CACHE", str(tmp_path / "cache"))
    page = tmp_path / "report.html"
    assert main(["explain", str(PORTRAIT), "-o", str(page)]) == 0
    assert "numpyvgg fetch age-imdb-wiki gender-imdb-wiki" in capsys.readouterr().err
    assert "These weights are random" in page.read_text("utf-8")
    assert main(["explain", str(PORTRAIT), "--terminal"]) == 0
    assert [file.name for file in (tmp_path / "cache").iterdir()] == ["standin-eighth-age.onnx"]


def test_no_layer_is_timed_while_its_weights_are_read_or_copied(small_path, portrait, monkeypatch):
    """The chart of times says where the work is; what happens once belongs to no layer."""
    net = VGG.from_onnx(small_path, memory="fast")
    traced: list[str] = []
    copied: list[str] = []
    trace, read, copy = VGG.trace_layers, Source.read, Source.copy
    monkeypatch.setattr(VGG, "trace_layers", lambda self, x: traced.append("") or trace(self, x))
    monkeypatch.setattr(Source, "read", lambda self, *a: copied.append("late" * len(traced)) or read(self, *a))
    monkeypatch.setattr(Source, "copy", lambda self, *a: copied.append("late" * len(traced)) or copy(self, *a))
    watch(net, portrait)
    assert traced
    assert copied  # before
    assert not any(copied)  # but no more since the trace began


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
