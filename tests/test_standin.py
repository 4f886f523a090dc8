"""Stand-in networks: what makes them worth testing with."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import skimage.color
import skimage.data
from make_standin import NO_OPS, Layout, standin_model, write_standin
from onnx import numpy_helper
from PIL import Image

from numpyvgg import VGG
from numpyvgg.vgg.standin import is_standin, layer_shapes, standin_file, standin_weights
from numpyvgg.vgg.standin import write_standin as write_without_onnx
from numpyvgg.zoo import PUBLISHED

MODERN = Layout(opset=22, storage="raw", no_ops=())


def test_the_shapes_add_up_to_the_published_parameter_count():
    parameters = sum(np.prod(shape) + shape[0] for shape in layer_shapes().values())
    assert parameters == 134_674_341


def test_the_same_seed_gives_the_same_weights_and_another_seed_others():
    first, again, other = (dict(_flat(seed)) for seed in (0, 0, 1))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not any(np.array_equal(first[name], other[name]) for name in first)


def _flat(seed):
    for name, weight, bias in standin_weights(width=1 / 16, seed=seed):
        yield f"{name}_W", weight
        yield f"{name}_b", bias


LAYOUTS = {
    **{
        f"opset {opset}": Layout(opset=opset, no_ops=NO_OPS, initializers_as_inputs=opset < 9) for opset in range(5, 23)
    },
    **{f"modern, opset {opset}": dataclasses.replace(MODERN, opset=opset) for opset in (9, 13, 22)},
    "raw": Layout(storage="raw"),
    "external": dataclasses.replace(MODERN, storage="external"),
    "Flatten": Layout(flatten="Flatten"),
    "Constant": Layout(flatten="Constant"),
    "MatMul": Layout(head="MatMul"),
    "Conv": Layout(head="Conv", pool="GlobalAveragePool"),
    "AveragePool": Layout(pool="AveragePool"),
    "batch_norm": Layout(batch_norm=True),
    "dynamic batch": Layout(batch="N"),
}


@pytest.mark.thorough
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_the_onnx_checker_accepts_every_layout(layout, tmp_path):
    path = write_standin(tmp_path / "net.onnx", layout)
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=layout.opset > 5)  # the checker has no shape inference for opset 5
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    assert stored["conv1_1_W"].shape == (4, 3, 3, 3)
    assert (len(model.graph.input) > 1) == layout.initializers_as_inputs


@pytest.mark.parametrize("storage", ["float_data", "raw"])
@pytest.mark.parametrize("alignment", range(4))
def test_every_weight_has_the_alignment_asked_for(storage, alignment):
    model = standin_model(Layout(storage=storage, alignment=alignment))
    file = model.SerializeToString()
    floats = [numpy_helper.to_array(t) for t in model.graph.initializer if t.data_type == onnx.TensorProto.FLOAT]
    assert len(floats) == 32
    assert {file.index(array.tobytes()) % 4 for array in floats} == {alignment}


@pytest.fixture(scope="module")
def photographs():
    """Five photographs and a noise image under the input contract: BGR, 0..255.  [6, 3, 224, 224]"""
    pictures = [skimage.data.astronaut(), skimage.data.coffee(), skimage.data.cat(), skimage.data.rocket()]
    pictures += [skimage.color.gray2rgb(skimage.data.camera())]
    pictures += [np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)]
    rgb = np.stack([np.asarray(Image.fromarray(picture).resize((224, 224))) for picture in pictures])
    return np.ascontiguousarray(rgb[..., ::-1].transpose(0, 3, 1, 2), dtype=np.float32)


def test_different_photographs_get_clearly_different_and_spread_out_answers(photographs):
    model = standin_model(dataclasses.replace(MODERN, opset=13, batch="N"), width=1 / 8)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (probabilities,) = session.run(None, {"input": photographs})
    entropy = -(probabilities * np.log(probabilities)).sum(axis=1)
    assert entropy.min() > np.log(3)  # not one-hot ...
    assert entropy.max() < np.log(90)  # ... nor uniform over 101 classes
    ages = np.sort(probabilities @ np.arange(101))
    assert np.diff(ages).min() > 0.1


@pytest.mark.parametrize("classes", [2, 7, 101])
def test_the_package_writes_without_onnx_what_the_onnx_package_writes(classes, tmp_path):
    write_without_onnx(tmp_path / "net.onnx", width=1 / 16, classes=classes, seed=3)
    onnx.checker.check_model(tmp_path / "net.onnx", full_check=True)
    theirs = standin_model(Layout(), classes=classes, seed=3, graph_name="net.onnx")
    assert onnx.load(tmp_path / "net.onnx") == theirs
    assert (tmp_path / "net.onnx").read_bytes() == theirs.SerializeToString(deterministic=True)


@pytest.mark.parametrize("network", ["age-imdb-wiki", "age-chalearn", "gender-imdb-wiki"])
def test_a_stand_in_under_a_published_name_is_as_long_as_the_published_file(network):
    published = PUBLISHED[network]
    size, _ = standin_file(published.file, classes=published.classes)
    assert size == published.size


def test_the_size_told_beforehand_is_that_of_the_pieces():
    size, pieces = standin_file("net.onnx", width=1 / 16, classes=3)
    assert sum(map(len, pieces)) == size


@pytest.mark.full_size
def test_at_full_size_too_it_is_what_the_onnx_package_writes(zoo_path):
    size, pieces = standin_file(zoo_path.name)
    assert zoo_path.stat().st_size == size == 538_703_692
    with zoo_path.open("rb") as file:
        assert all(file.read(len(piece)) == piece for piece in pieces)


def test_a_stand_in_is_told_from_a_trained_network():
    standin = VGG.from_onnx(standin_model())
    assert is_standin(standin.layers)
    model = standin_model()
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == "fc8-101_W")
    trained = numpy_helper.to_array(weight) + np.float32(1e-4)
    weight.CopyFrom(numpy_helper.from_array(trained, weight.name))
    assert not is_standin(VGG.from_onnx(model).layers)


def test_a_file_that_cannot_be_completed_leaves_nothing_behind(tmp_path):
    code = (
        "import pathlib, resource, signal, sys; from numpyvgg.vgg.standin import write_standin\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "write_standin(pathlib.Path(sys.argv[1]), width=1 / 16)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "net.onnx"], capture_output=True, text=True, check=False
    )
    assert "File too large" in run.stderr
    assert list(tmp_path.iterdir()) == []
