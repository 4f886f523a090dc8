"""Numbers handed over to parity: in files of several kinds, by functions, and by adapters of other runtimes."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from caffe_networks import levi_hassner
from onnx import helper, numpy_helper
from safetensors.numpy import save_file
from test_parity import chain

from numpyvgg import read_onnx
from numpyvgg.cli import main
from numpyvgg.parity import assert_parity
from numpyvgg.parity.golden import read_golden
from numpyvgg.parity.runtimes import RUNTIMES, open_runtime
from numpyvgg.zoo import open_model


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    """A chain of VGG's operators, its input, and ONNX Runtime's tensors for it."""
    rng = np.random.default_rng(0)
    weights = {
        "w": rng.standard_normal((8, 3, 3, 3)).astype("f"),
        "b": rng.standard_normal(8).astype("f"),
        "m": (rng.standard_normal((10, 8 * 36)) / 8).astype("f"),
        "n": rng.standard_normal(10).astype("f"),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], name="conv", pads=[1] * 4),
        helper.make_node("Relu", ["c"], ["r"], name="relu"),
        helper.make_node("MaxPool", ["r"], ["p"], name="pool", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "m", "n"], ["fc"], name="fc", transB=1),
        helper.make_node("Softmax", ["fc"], ["prob"], name="prob", axis=1),
    ]
    path = chain(tmp_path_factory.mktemp("chain"), nodes, weights, [1, 3, 12, 12])
    model = onnx.load(path)
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("prob", 1, [1, 10]))
    onnx.save(model, path)
    x = rng.standard_normal((1, 3, 12, 12)).astype("f")
    return path, x, open_runtime("onnxruntime", read_onnx(path), x)(x)


# ---------------------------------------------------------------------- files


def npz(folder, tensors):
    np.savez(folder / "all.npz", **tensors)


def npy(folder, tensors):
    for name, array in tensors.items():
        np.save(folder / f"{name}.npy", array)


def safetensors(folder, tensors):
    save_file({name: np.ascontiguousarray(array) for name, array in tensors.items()}, folder / "all.safetensors")


def onnx_test_folder(folder, tensors):
    (folder / "test_data_set_0").mkdir()
    for kind, name in (("input", "x"), ("output", "prob")):
        onnx.save_tensor(numpy_helper.from_array(tensors[name]), folder / "test_data_set_0" / f"{kind}_0.pb")


@pytest.mark.parametrize("write", [npz, npy, safetensors, onnx_test_folder])
def test_tensors_in_files_of_each_kind_are_judged(net, write, tmp_path, capsys):
    path, x, tensors = net
    write(tmp_path, {"x": x, **tensors})
    assert main(["parity", path, "--against", str(tmp_path)]) == 0
    assert "layers explained on 1 image" in capsys.readouterr().out
    wrong = tmp_path / "wrong"
    wrong.mkdir()
    write(wrong, {"x": x, **tensors, "prob": tensors["prob"][:, ::-1].copy()})
    assert main(["parity", path, "--against", str(wrong)]) == 1


@pytest.mark.parametrize("write", [npz, npy, safetensors])
def test_a_name_that_nothing_has_is_listed(net, write, tmp_path, capsys):
    path, x, tensors = net
    write(tmp_path, {"x": x, **tensors, "Prob": tensors["prob"]})
    assert main(["parity", path, "--against", str(tmp_path)]) == 3
    assert "no tensor has these names: 'Prob'" in capsys.readouterr().out


def test_inputs_that_were_saved_wider_are_taken_and_what_float32_does_not_hold_is_refused(net, tmp_path, capsys):
    path, x, tensors = net
    npz(tmp_path, {"x": x.astype(np.float64), **tensors})
    assert main(["parity", path, "--against", str(tmp_path)]) == 0
    npz(tmp_path, {"x": x.astype(np.float64) + 1e-12, **tensors})
    assert main(["parity", path, "--against", str(tmp_path)]) == 2
    assert "float32 does not hold" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["bad.npy", "bad.npz", "bad.safetensors"])
def test_damaged_files_of_each_kind_are_one_line(net, name, tmp_path, capsys):
    path, x, tensors = net
    npy(tmp_path, {"x": x, **tensors})
    (tmp_path / name).write_bytes(b"\x93NUMPY and no more")
    assert main(["parity", path, "--against", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert name in error
    assert error.count("\n") == 1


def test_a_single_file_is_enough(net, tmp_path):
    path, x, tensors = net
    safetensors(tmp_path, {"x": x, **tensors})
    (found,) = read_golden(read_onnx(path), tmp_path / "all.safetensors")
    assert set(found) == {"x", *tensors}


# ---------------------------------------------------------------------- functions


def test_a_function_of_ones_own_is_called_with_each_image(net, tmp_path, monkeypatch, capsys):
    path = net[0]
    (tmp_path / "my_runtime.py").write_text(
        f"import onnxruntime\nsession = onnxruntime.InferenceSession({path!r})\n"
        "def run(x):\n    return session.run(None, {'x': x})\n"
        "def wrong(x):\n    return run(x)[0][:, ::-1]\n"
        "def broken(x):\n    raise RuntimeError('no such kernel')\n"
        "number = 3\n"
    )
    monkeypatch.chdir(tmp_path)
    assert main(["parity", path, "--against", "my_runtime:run"]) == 0
    assert main(["parity", path, "--against", "my_runtime:wrong"]) == 1
    for name, reason in {
        "my_runtime:broken": "no such kernel",
        "my_runtime:number": "is no function",
        "my_runtime:nothing": "has no nothing",
        "no_module_of_this_name:run": "No module named",
    }.items():
        assert main(["parity", path, "--against", name]) == 2
        error = capsys.readouterr().err
        assert reason in error
        assert error.count("\n") == 1


def test_two_runtimes_are_held_against_the_exact_layers_and_their_drifts_stand_side_by_side(net, capsys):
    arguments = ["parity", net[0], "--against", "onnxruntime", "--against", "openvino-f32"]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert out.count("layers explained on 1 image") == 2
    headers = [line for line in out.split("\n") if line.startswith("layer")]
    assert ["openvino-f32" in header for header in headers] == [True, False]
    assert main([*arguments, "--json"]) == 0
    first, second = json.loads(capsys.readouterr().out)
    assert first["layers"][0]["drift_theirs"] == second["layers"][0]["drift_ours"]


# ---------------------------------------------------------------------- adapters


@pytest.mark.thorough
@pytest.mark.parametrize("name", [name for name in RUNTIMES if name != "openvino"])  # which may choose bfloat16
def test_each_adapter_exposes_a_chain_and_is_explained(net, name):
    package = {"opencv": "cv2", "openvino": "openvino", "pytorch": "torch", "mnn": "MNN"}
    pytest.importorskip(
        package.get(name.split("-")[0], name.split("-")[0]), reason="installed where there is room for it"
    )
    path, x, _ = net
    x = np.asfortranarray(x)  # as a transposed photograph is: adapters copy it, and must keep the copy while it is read
    parity = assert_parity(path, x, open_runtime(name, read_onnx(path), x), precision="float32")
    assert [layer.judgement.verdict for layer in parity.layers].count("not exposed") == 0


def test_a_caffe_network_is_converted_for_runtimes_that_read_onnx(tmp_path):
    model = open_model(levi_hassner(8, width=4).write(tmp_path))
    x = np.random.default_rng(0).uniform(-100, 100, (1, 3, 227, 227)).astype(np.float32)
    parity = assert_parity(model, x, open_runtime("onnxruntime", model, x))
    verdicts = {layer.op_type: layer.judgement.verdict for layer in parity.layers}
    assert verdicts["LRN"] == verdicts["Conv"] == "rounding"
