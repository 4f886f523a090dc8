"""What a build server gets of a comparison: JUnit's XML, a page, a baseline, a fixture, the smallest failing graph."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import onnx
import onnxruntime
import pytest
from browsing import faults
from onnx import numpy_helper
from test_parity_handing import net

from numpyvgg.cli import main
from numpyvgg.parity import compare, runtimes

__all__ = ["net"]


@pytest.fixture
def faulty(monkeypatch):
    """ONNX Runtime with a fault: `fault` gets the part of the network, its input and its tensors, and changes those."""

    def install(fault):
        def make(model, x):
            run = runtimes._onnxruntime(model, x)
            return lambda x: fault(model, x, run(x))

        monkeypatch.setitem(runtimes.RUNTIMES, "onnxruntime", (make, "onnxruntime"))

    return install


def of_one_filter(model, x, tensors):
    """The first filter of every convolution of several channels is off."""
    for node in model.nodes:
        if node.op_type == "Conv" and model.initializers[node.inputs[1]].shape[1] > 1:
            tensors[node.outputs[0]][:, 0] += 1
    return tensors


# ---------------------------------------------------------------------- JUnit


def test_junit_has_a_test_case_for_each_layer(net, faulty, tmp_path):
    path, xml = net[0], tmp_path / "parity.xml"
    assert main(["parity", path, "--against", "onnxruntime", "--against", "onnx.reference", "--junit", str(xml)]) == 0
    suites = ElementTree.parse(xml).findall("testsuite")
    assert [suite.get("name") for suite in suites] == ["net.onnx in onnxruntime", "net.onnx in onnx.reference"]
    assert all((suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("5", "0", "0") for suite in suites)

    def hidden(model, x, tensors):
        tensors = of_one_filter(model, x, tensors)
        tensors["Prob"] = tensors.pop("prob")
        return tensors

    faulty(hidden)
    assert main(["parity", path, "--against", "onnxruntime", "--junit", str(xml)]) == 1
    cases = {case.get("name"): [child.tag for child in case] for case in ElementTree.parse(xml).iter("testcase")}
    assert cases == {
        **{"conv": ["failure"], "relu": ["system-out"], "pool": ["system-out"], "fc": ["system-out"]},
        **{"prob": ["skipped"], "Prob": ["error"]},
    }
    failure = ElementTree.parse(xml).find(".//failure")
    assert failure is not None
    assert "NOT EXPLAINED" in str(failure.get("message"))
    assert "ulp" in str(failure.text)


# ---------------------------------------------------------------------- the page


@pytest.mark.thorough
def test_the_page_shows_where_errors_are_and_reads_well(net, faulty, tmp_path, browser):
    faulty(of_one_filter)
    page, before = tmp_path / "parity.html", tmp_path / "before.json"
    before.write_text('{"layers": [{"name": "relu", "drift_theirs": 1e-30}]}')
    arguments = ["--against", "onnxruntime", "--page", str(page), "--baseline", str(before)]
    assert main(["parity", net[0], *arguments]) == 1
    for width, dark in ((1280, False), (390, True)):
        assert not faults(browser, page, width, dark)
    text = browser.find_element("tag name", "main").text
    assert "onnxruntime: not explained" in text
    assert "times the baseline's: at relu" in text
    assert browser.execute_script("return document.images[0].naturalWidth") == 12  # the convolution's, pixel by pixel


def test_the_histogram_counts_every_element_by_its_size(net):
    path, x, tensors = net
    conv = compare(path, x, lambda x: tensors).layers[0]
    assert conv.histogram.sum() == tensors["c"].size
    assert conv.histogram[24:].sum() == conv.beyond == 0
    assert conv.errors.shape == tensors["c"].shape[2:]
    assert conv.errors.max() == np.float32(conv.probable)
    infinite = compare(path, x, lambda x: {**tensors, "c": np.full_like(tensors["c"], np.nan)}).layers[0]
    assert infinite.histogram[-1] == tensors["c"].size


# ---------------------------------------------------------------------- yesterday's


def test_a_drift_is_compared_with_yesterdays(net, tmp_path, capsys):
    path, before = net[0], tmp_path / "before.json"
    arguments = ["parity", path, "--against", "onnxruntime"]
    assert main([*arguments, "--json"]) == 0
    records = json.loads(capsys.readouterr().out)
    for factor, line in ((1, "the baseline's in every layer"), (3, "3 times the baseline's: at conv")):
        records["layers"][0]["drift_theirs"] /= factor
        before.write_text(json.dumps(records))
        assert main([*arguments, "--baseline", str(before)]) == 0
        assert line in capsys.readouterr().out
    for content, reason in (("[1]", "is what numpyvgg parity --json printed"), ("{", "not JSON")):
        before.write_text(content)
        assert main([*arguments, "--baseline", str(before)]) == 2
        assert reason in capsys.readouterr().err


FIXTURE = """
import numpy as np, onnxruntime
session = onnxruntime.InferenceSession({path!r})
x = np.load({x!r})

def test_right(parity):
    parity({path!r}, x, lambda x: session.run(None, {{"x": x}}))

def test_wrong(parity):
    parity({path!r}, x, lambda x: session.run(None, {{"x": 2 * x}}))
"""


@pytest.mark.thorough
def test_the_fixture_fails_where_parity_does_and_remembers(net, tmp_path):
    path, x, _ = net
    np.save(tmp_path / "x.npy", x)
    (tmp_path / "test_it.py").write_text(FIXTURE.format(path=path, x=str(tmp_path / "x.npy")))
    pytest_run = [
        sys.executable,
        "-m",
        "pytest",
        "-s",
        "-p",
        "no:randomly",
        "-p",
        "numpyvgg.parity.fixture",
        "--junitxml=it.xml",
    ]
    for expected in (0, 2):
        done = subprocess.run(pytest_run, cwd=tmp_path, capture_output=True, text=True)
        assert "1 failed, 1 passed" in done.stdout
        assert done.stdout.count("to the last bit") == expected
    properties = ElementTree.parse(tmp_path / "it.xml").findall(".//property[@name='prob']")
    assert len(properties) == 2
    assert ["NOT EXPLAINED" in str(each.get("value")) for each in properties] == [False, True]


# ---------------------------------------------------------------------- the smallest thing that fails


def test_a_fault_of_one_filter_is_cut_down_to_one_pixel_and_two_channels(net, faulty, tmp_path, capsys):
    faulty(of_one_filter)
    assert main(["parity", net[0], "--against", "onnxruntime", "--bisect", str(tmp_path)]) == 1
    assert "Conv on [1, 2, 1, 1]: NOT EXPLAINED" in capsys.readouterr().out
    model = onnx.load(tmp_path / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node] == ["Conv"]
    assert list(model.graph.initializer[0].dims) == [1, 2, 3, 3]
    x, exact = (
        numpy_helper.to_array(onnx.load_tensor(tmp_path / "test_data_set_0" / f"{name}_0.pb"))
        for name in ("input", "output")
    )
    (correct,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {model.graph.input[0].name: x})
    np.testing.assert_allclose(exact, correct, rtol=1e-4)


def test_what_fails_only_together_stays_together(net, faulty, tmp_path, capsys):
    def fused(model, x, tensors):
        """Wrong only where a ReLU follows a convolution."""
        if {"Conv", "Relu"} <= {node.op_type for node in model.nodes}:
            tensors["r"] = tensors["r"] + 1
        return tensors

    faulty(fused)
    assert main(["parity", net[0], "--against", "onnxruntime", "--bisect", str(tmp_path)]) == 1
    assert "Conv, Relu on [1, 1, 1, 1]" in capsys.readouterr().out


def test_float32_is_cut_down_where_it_is_held_to_float64(net, tmp_path, capsys):
    arguments = ["--against", "onnxruntime", "--precision", "float64", "--bisect", str(tmp_path)]
    assert main(["parity", net[0], *arguments]) == 1
    assert "Conv on [1, 1, 1, 1]" in capsys.readouterr().out
    assert main(["parity", net[0], *arguments[:2], "--bisect", str(tmp_path)]) == 0
    assert "no part of the network fails" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--self-test", "--junit", "a.xml"], "--junit goes with --against"),
        (["--write", "golden", "--bisect", "b"], "--bisect goes with --against"),
        (["--against", "onnxruntime", "--junit", "a.txt"], "does not end in .xml"),
        (["--against", "onnxruntime", "--page", "none/a.html"], "there is no folder none"),
        (["--against", "golden", "--bisect", "b"], "needs a runtime that can load"),
    ],
)
def test_what_does_not_go_together_is_refused_before_any_work(net, arguments, reason, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["parity", net[0], *arguments]) == 2
    assert reason in capsys.readouterr().err
    assert not list(Path().iterdir()) or arguments[0] == "--write"
