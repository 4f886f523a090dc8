"""The benchmark: the copies that peers get are the same network, and its table is made of what was measured."""

from __future__ import annotations

import json

import numpy as np
import onnxruntime
import pytest
from make_standin import Layout, write_standin
from test_cli import numpyvgg

from numpyvgg.bench.measure import installed, variant
from numpyvgg.errors import ArgumentError


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    layout = Layout(initializers_as_inputs=True)  # so that a copy without them is another file
    return str(write_standin(tmp_path_factory.mktemp("bench") / "net.onnx", layout))


@pytest.mark.parametrize("any_batch", [False, True])
@pytest.mark.parametrize("plain", [False, True])
def test_the_copies_that_peers_get_answer_as_the_file_does(plain, any_batch, path, tmp_path):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    copy = variant(path, str(tmp_path), plain, any_batch)
    ours, theirs = (onnxruntime.InferenceSession(p, options) for p in (path, copy))
    x = np.random.default_rng(0).integers(0, 256, (2, 3, 224, 224)).astype(np.float32)
    one = ours.run(None, {"input": x[:1]})[0]
    np.testing.assert_allclose(theirs.run(None, {"input": x[:1]})[0], one, atol=1e-6)
    assert bool(theirs.get_overridable_initializers()) == (not plain)
    if any_batch:
        np.testing.assert_allclose(theirs.run(None, {"input": x})[0][:1], one, atol=1e-6)


@pytest.mark.thorough
def test_each_system_is_measured_in_turn_and_its_runs_are_kept(path, tmp_path):
    systems = ["numpyvgg im2col", "onnxruntime"]
    done = numpyvgg("bench", path, "--systems", *systems, "--rounds", 2, "--json", tmp_path / "runs.json")
    assert done.returncode == 0, done.stderr
    for name in systems:
        assert any(line.startswith(name) for line in done.stdout.splitlines())
    measured = json.loads((tmp_path / "runs.json").read_text())["systems"]
    for name in systems:
        record = measured[name]
        assert len(record["cold"]) == len(record["load"]) == 3
        assert len(record["batch 1"]) >= 2
        assert len(record["batch 16"]) >= 2
        assert all(seconds > 0 for seconds in record["batch 1"] + record["batch 16"])


def test_a_system_that_is_not_installed_is_named(monkeypatch):
    with pytest.raises(ArgumentError, match="no installed system is called 'tensorflow'; there are"):
        installed(["tensorflow"])
    monkeypatch.setattr("numpyvgg.bench.measure.find_spec", lambda module: module == "numpyvgg")
    with pytest.raises(ArgumentError, match="no installed system is called 'pytorch': pip install torch; there are"):
        installed(["pytorch"])
