"""numpyvgg.pico, the whole way in one file: short, on its own feet, and right."""

from __future__ import annotations

import ast
import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import MODERN, PORTRAIT
from make_standin import Layout, write_standin

import numpyvgg
from numpyvgg import pico
from numpyvgg.photo.answers import answer
from numpyvgg.zoo.labels import UNKNOWN, ages

SOURCE = Path(pico.__file__).read_text("utf-8")
LAYOUTS = {
    "float_data, Dropout and Reshape": Layout(),
    "raw, weights as inputs": Layout(storage="raw"),
    "raw, opset 22, Flatten": dataclasses.replace(MODERN, opset=22),
    "Identity, a shape from a Constant": Layout(no_ops=("Dropout", "Reshape", "Identity"), flatten="Constant"),
    "any batch": Layout(batch="N"),
    "fully connected layers as convolutions": Layout(head="Conv"),
    "ends with the scores": Layout(softmax=False),
}


def test_it_has_at_most_80_lines_that_are_not_blank():
    assert len([line for line in SOURCE.splitlines() if line.strip()]) <= 80


def test_it_imports_numpy_pillow_and_the_standard_library_alone():
    imports = [node for node in ast.walk(ast.parse(SOURCE)) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {
        name.split(".")[0]
        for node in imports
        for name in ([node.module or "."] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names])
    }
    assert not any(isinstance(node, ast.ImportFrom) and node.level for node in imports)  # from . import ...
    assert {"numpy", "PIL"} <= names
    assert names - {"numpy", "PIL"} <= sys.stdlib_module_names
    assert "__import__" not in SOURCE
    assert "importlib" not in SOURCE


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_it_answers_as_the_textbook(layout, tmp_path, portrait):
    path = write_standin(tmp_path / "net.onnx", layout)
    textbook = numpyvgg.VGG16.from_onnx(path, conv="textbook")
    np.testing.assert_allclose(pico.forward(path, portrait), textbook(portrait), rtol=0, atol=1e-6)


def test_gemm_takes_its_weight_either_way_and_alpha_and_beta():
    rng = np.random.default_rng(0)
    x, weight, bias = rng.standard_normal((2, 5)), rng.standard_normal((5, 3)), rng.standard_normal(3)
    wanted = 0.5 * np.einsum("nk,km->nm", x, weight) + 2 * bias
    np.testing.assert_allclose(pico.gemm(x, weight, bias, alpha=0.5, beta=2), wanted)
    np.testing.assert_allclose(pico.gemm(x, weight.T, bias, alpha=0.5, beta=2, transA=0, transB=1), wanted)


def test_it_answers_as_the_textbook_at_full_size(zoo_path, portrait):
    textbook = numpyvgg.VGG16.from_onnx(zoo_path, conv="textbook")
    np.testing.assert_allclose(pico.forward(zoo_path, portrait), textbook(portrait), rtol=0, atol=1e-6)


def test_it_prepares_a_photograph_as_the_package_does(portrait):
    assert np.array_equal(pico.photograph(PORTRAIT), portrait)


@pytest.mark.thorough
@pytest.mark.parametrize("classes", [101, 2])
def test_the_command_prints_the_answer(classes, tmp_path, portrait):
    path = write_standin(tmp_path / "net.onnx", classes=classes)
    labels = ages(101) if classes == 101 else UNKNOWN
    wanted = answer(numpyvgg.VGG16.from_onnx(path, conv="textbook")(portrait)[0], labels)
    run = subprocess.run([sys.executable, "-m", "numpyvgg.pico", path, PORTRAIT], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    if classes == 101:
        assert run.stdout == f"{wanted.expected:.1f} years\n"
    else:
        assert run.stdout == f"class {wanted.most_probable} ({wanted.probability:.1%})\n"


def test_a_network_that_is_no_vgg_is_named(portrait):
    path = Path(pico.__file__).parents[1] / "models" / "gender-v1.onnx"
    with pytest.raises(SystemExit, match=r"gender-v1\.onnx: pico has no '\w+'"):
        pico.forward(path, portrait)


def test_the_command_says_what_it_takes():
    run = subprocess.run([sys.executable, "-m", "numpyvgg.pico"], capture_output=True, text=True)
    assert run.returncode != 0
    assert run.stderr == "usage: python -m numpyvgg.pico MODEL PHOTO\n"
