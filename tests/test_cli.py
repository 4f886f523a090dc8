"""The command line as people use it: what it prints, and how it fails."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import PORTRAIT
from make_standin import write_standin

from numpyvgg import VGG16
from numpyvgg.cli import main


def numpyvgg(*arguments, **options) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "numpyvgg", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    return write_standin(tmp_path_factory.mktemp("network") / "age.onnx")


def test_inspect_adds_up_the_layers(network):
    done = numpyvgg("inspect", network)
    assert done.returncode == 0
    parameters = sum(layer.parameters for layer in VGG16.from_onnx(network).layers)
    assert f"{parameters:,}" in done.stdout.splitlines()[-1]
    records = json.loads(numpyvgg("inspect", network, "--json").stdout)["layers"]
    assert sum(record["parameters"] for record in records) == parameters
    assert [r["operator"] for r in records[:3]] == ["Conv", "Relu", "Conv"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["inspect", "missing.onnx"], "missing.onnx: No such file"),
        (["inspect", PORTRAIT], "eileen_collins.jpg"),
        (["inspect", __file__], "this is a program, not an ONNX file"),
        (["predict", PORTRAIT, "--model", PORTRAIT], "a JPEG image, not an ONNX file"),
        (["predict", PORTRAIT, "--model", "small", "--channels", "bgr"], "is known"),
        (["predict", PORTRAIT, "--faces", "--model", "small", "--draw", PORTRAIT], "the input itself"),
        (
            ["predict", PORTRAIT, "--faces", "--model", "small", "--draw", "missing/out.jpg"],
            "there is no folder missing",
        ),
        (
            ["predict", PORTRAIT, "--faces", "--model", "small", "--draw", "out.xyz"],
            "does not end in .jpeg or .jpg or .png",
        ),
        (
            ["predict", PORTRAIT, "--model", "gender-small", "--labels", "age"],
            "is known (0 female, 1 male); leave",
        ),
        (["predict", PORTRAIT, "--top", "0"], "--top 0: give a number of classes, 1 or more"),
        (["predict", PORTRAIT, "--size", "abc"], "argument --size: 'abc': give pixels, 256, or"),
        (["predict", PORTRAIT, "--size", "1x2x3"], "argument --size: '1x2x3': give pixels, 256, or"),
        (["predict", PORTRAIT, "--crop", "0"], "crop 0: give pixels"),
        (["predict", PORTRAIT, "--scale", "1/0"], "argument --scale: '1/0': give a number or three"),
        (["predict", PORTRAIT, "--scale", "1e999999999"], "argument --scale: '1e999999999': give a number or three"),
        (["predict", PORTRAIT, "--mean", "nan"], "argument --mean: 'nan': neither numbers"),
        (["predict", PORTRAIT, "--mean", "1,2"], "mean (1.0, 2.0): give one number, or one for each"),
        (["bench", __file__], "this is a program, not an ONNX file"),
        ([], "COMMAND"),
        (["predict", PORTRAIT, "--nonsense"], "--nonsense; see `numpyvgg predict --help`"),
        (["explain", PORTRAIT], "-o/--output --terminal --live is required; see `numpyvgg explain --help`"),
    ],
    ids=lambda value: " ".join(Path(word).name for word in value) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_line_and_exit_code_2(arguments, reason, capfd):
    try:
        code = main([str(word) for word in arguments])
    except SystemExit as left:  # from argparse
        code = left.code
    out, err = capfd.readouterr()
    assert (code, out) == (2, "")
    assert reason in err
    assert err.startswith("numpyvgg: ")
    assert err.count("\n") == 1


def test_a_mistake_names_the_help_of_its_command_and_a_file_that_looks_like_an_option(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    Path("-me.jpg").write_bytes(Path(PORTRAIT).read_bytes())
    for words in (["-me.jpg"], ["x.jpg", "-me.jpg"], ["x.jpg", "-me.jpg", "--nope"]):
        assert main(["predict", *words]) == 2
        error = capfd.readouterr().err
        assert "see `numpyvgg predict --help`; for the file -me.jpg, write ./-me.jpg" in error
    assert main(["predict", "./-me.jpg", "--model", "small"]) == 0
    assert main(["predict", "-nobody.jpg"]) == 2
    assert "write ./" not in capfd.readouterr().err


def test_an_interrupt_while_a_command_is_imported_is_no_traceback(monkeypatch, capfd):
    def interrupted(name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("numpyvgg.cli.importlib.import_module", interrupted)
    assert main(["predict", "photo.jpg"]) == 130
    assert capfd.readouterr() == ("", "")


def test_a_reader_that_stops_reading_is_no_error(network):
    command = f"{sys.executable} -m numpyvgg inspect {network} | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout.startswith("<OnnxModel")


def test_a_damaged_network_of_the_demo_is_named_with_the_mend(tmp_path):
    (tmp_path / "standin-age.onnx").write_bytes(b"\x3a\xff\xff\xff\x7f")
    done = numpyvgg("demo", env={"NUMPYVGG_CACHE": str(tmp_path), "PYTHONPATH": ":".join(sys.path)})
    assert done.returncode == 2
    assert "delete the file" in done.stderr


def test_demo_answers_as_onnx_runtime_and_says_that_its_weights_are_random(zoo_path, tmp_path):
    (tmp_path / "standin-age.onnx").symlink_to(zoo_path)  # so that it need not make its own
    environment = {"NUMPYVGG_CACHE": str(tmp_path), "PATH": ""}
    done = numpyvgg("demo", env={**environment, "PYTHONPATH": ":".join(sys.path)})
    assert done.returncode == 0, done.stderr
    ours, theirs = (line.split("ms  ")[1] for line in done.stdout.splitlines() if " years" in line and "ms  " in line)
    assert ours == theirs
    assert "random weights" in done.stdout
    difference = float(done.stdout.partition("(float32): ")[2].split()[0])
    assert difference <= 5e-6


def test_json_has_the_networks_own_probabilities(network, portrait):
    (record,) = json.loads(numpyvgg("predict", PORTRAIT, "--model", network, "--json").stdout)["answers"]
    np.testing.assert_allclose(record["probabilities"], VGG16.from_onnx(network)(portrait)[0], atol=1e-7)
