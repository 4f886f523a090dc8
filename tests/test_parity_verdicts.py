"""Three verdicts: what no bound can judge is held to the spread of our own passes, or nothing is said of it."""

from __future__ import annotations

import math

import numpy as np
import onnx
import onnx.reference
import onnxruntime
import pytest
from onnx import helper, numpy_helper
from test_parity import bfloat16, chain, conv_case, conv_net, onnxruntime_on, replace, tensor_of

from numpyvgg import layers, read_onnx
from numpyvgg.cli import main
from numpyvgg.errors import ArgumentError
from numpyvgg.parity import assert_parity, compare
from numpyvgg.parity.bounds import student
from numpyvgg.parity.precision import round_to
from numpyvgg.parity.runtimes import open_runtime


@pytest.fixture(scope="module")
def deep(tmp_path_factory):
    """Six 3x3 convolutions with ReLU, global average, scores and probabilities: bounds carried so far say nothing."""
    rng, nodes, tensors, top = np.random.default_rng(7), [], {}, "x"
    for i, (inputs, outputs) in enumerate([(3, 16), *[(16, 16)] * 5], 1):
        tensors[f"w{i}"] = (rng.standard_normal((outputs, inputs, 3, 3)) * math.sqrt(2 / 9 / inputs)).astype("f")
        tensors[f"b{i}"] = (0.1 * rng.standard_normal(outputs)).astype("f")
        nodes.append(helper.make_node("Conv", [top, f"w{i}", f"b{i}"], [f"c{i}"], name=f"conv{i}", pads=[1] * 4))
        nodes.append(helper.make_node("Relu", [f"c{i}"], [f"r{i}"], name=f"relu{i}"))
        top = f"r{i}"
    tensors["w"] = rng.standard_normal((10, 16)).astype("f")
    nodes += [
        helper.make_node("GlobalAveragePool", [top], ["g"]),
        helper.make_node("Flatten", ["g"], ["f"]),
        helper.make_node("Gemm", ["f", "w"], ["fc"], name="fc", transB=1),
        helper.make_node("Softmax", ["fc"], ["prob"], name="prob", axis=1),
    ]
    x = rng.standard_normal((4, 3, 20, 20)).astype("f")
    path = chain(tmp_path_factory.mktemp("deep"), nodes, tensors, [1, 3, 20, 20])
    model = onnx.load(path)
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("prob", 1, [1, 10]))  # OpenCV insists on a shape
    onnx.save(model, path)
    return path, x


# ---------------------------------------------------------------------- an output alone

WRONG_OUTPUTS = {
    "zeros": np.zeros_like,
    "uniform": lambda p: np.full_like(p, p.mean()),
    "classes reversed": lambda p: p[:, ::-1],
    "1e30": lambda p: np.full_like(p, 1e30),
    "1e-4 too large": lambda p: p * np.float32(1 + 1e-4),
    "bfloat16": lambda p: bfloat16(p),
}


@pytest.mark.thorough
@pytest.mark.parametrize("wrong", WRONG_OUTPUTS.values(), ids=WRONG_OUTPUTS)
def test_a_wrong_output_alone_is_not_explained(deep, wrong):
    path, x = deep
    session = onnxruntime.InferenceSession(path)
    parity = compare(path, x[:1], lambda x: wrong(session.run(None, {"x": x})[0]))
    assert parity.verdict == "not explained"
    assert [layer.name for layer in parity.failures] == ["prob"]


@pytest.mark.thorough
@pytest.mark.parametrize("runtime", ["onnxruntime", "onnx.reference", "openvino-f32", "opencv"])
def test_a_correct_output_alone_is_within_the_spread_of_our_own_passes(deep, runtime):
    path, x = deep
    if runtime == "onnx.reference":
        evaluator = onnx.reference.ReferenceEvaluator(path)
        parity = assert_parity(path, x, lambda x: evaluator.run(None, {"x": x}))
    else:
        run = open_runtime(runtime, read_onnx(path), x[:1])
        parity = assert_parity(path, x, lambda x: run(x)["prob"])
    assert parity.layers[-1].judgement.verdict == "end to end"
    assert 0 < parity.layers[-1].judgement.drift < (10 if runtime == "opencv" else 4)  # OpenCV 4 has Winograd kernels


@pytest.mark.parametrize("layer", [1, 6])
def test_float16_weights_in_one_layer_show_in_the_output_alone(deep, layer):
    path, x = deep
    model = onnx.load(path)
    tensor = tensor_of(model, f"w{layer}")
    replace(tensor, numpy_helper.to_array(tensor).astype(np.float16).astype(np.float32))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    assert compare(path, x[:1], lambda x: session.run(None, {"x": x})).verdict == "not explained"


def test_a_tensor_in_the_middle_that_no_bound_can_judge_is_held_to_the_spread_too(deep):
    path, x = deep
    run = open_runtime("onnxruntime", read_onnx(path), x[:1])
    assert_parity(path, x[:1], lambda x: {"c6": run(x)["c6"]})
    assert compare(path, x[:1], lambda x: {"c6": np.zeros_like(run(x)["c6"])}).verdict == "not explained"


def test_t_is_students():
    # Abramowitz & Stegun, table 26.10: the t beyond which |t| lies with that chance
    assert student(8, 0.001) == pytest.approx(5.041, abs=1e-3)
    assert student(20, 0.001) == pytest.approx(3.850, abs=1e-3)
    assert student(2, 0.01) == pytest.approx(9.925, abs=1e-3)


def test_a_bound_that_would_pass_zeros_explains_nothing(tmp_path):
    # In float16 sums of 2048 terms, n * u is 1: the theory's end, and no bound at all.
    rng = np.random.default_rng(0)
    weight, x = (rng.standard_normal(shape).astype(np.float32) for shape in ((4, 2048), (1, 2048)))
    path = chain(tmp_path, [helper.make_node("Gemm", ["x", "w"], ["y"], name="fc", transB=1)], {"w": weight}, x.shape)
    zeros = compare(path, x, lambda x: np.zeros((1, 4), np.float32), precision="float16-sums")
    assert not zeros.explained


# ---------------------------------------------------------------------- precision is what the user says


@pytest.mark.thorough
@pytest.mark.parametrize("form", ["float64", "lists", "PyTorch's methods", "a tuple of outputs"])
def test_float32_is_float32_whatever_it_is_handed_over_as(deep, form):
    path, x = deep
    run = open_runtime("onnxruntime", read_onnx(path), x[:1])
    forms = {
        "float64": lambda values: {k: v.astype(np.float64) for k, v in values.items()},
        "lists": lambda values: {k: v.tolist() for k, v in values.items()},
        "PyTorch's methods": lambda values: {k: Tensor(v) for k, v in values.items()},
        "a tuple of outputs": lambda values: (values["prob"],),
    }
    assert_parity(path, x[:1], lambda x: forms[form](run(x)))


class Tensor:
    """Like a PyTorch tensor that requires gradients and is bfloat16: NumPy takes it only after all three methods."""

    def __init__(self, array, after=()):
        self.array, self.after = array, after

    def __array__(self, dtype=None, copy=None):
        assert self.after == ("detach", "cpu", "double")
        return self.array.astype(np.float64)

    def detach(self):
        return Tensor(self.array, (*self.after, "detach"))

    def cpu(self):
        return Tensor(self.array, (*self.after, "cpu"))

    def double(self):
        return Tensor(self.array, (*self.after, "double"))

    def is_floating_point(self):
        return True


def test_bfloat16_is_not_float32_in_any_container_and_can_be_certified_as_itself(tmp_path):
    x, weight = conv_case(16, 8, 14)
    path = conv_net(tmp_path, weight, size=(14, 14))

    def kernel(x, weight=weight):
        return bfloat16(layers.conv2d(bfloat16(x), bfloat16(weight), pads=(1, 1, 1, 1)))

    assert compare(path, x, lambda x: kernel(x).astype(np.float16)).verdict == "not explained"
    assert_parity(path, x, kernel, precision="bfloat16")
    wrong = weight * np.float32(1 + 2.0**-6)
    assert compare(path, x, lambda x: kernel(x, wrong), precision="bfloat16").verdict == "not explained"
    with pytest.raises(ArgumentError, match="no precision is called 'int4'"):
        compare(path, x, kernel, precision="int4")


@pytest.mark.parametrize(("name", "bits"), [("tf32", 11), ("bfloat16", 8)])
def test_cut_off_factors_are_another_precision_than_rounded_ones(tmp_path, name, bits):
    x, weight = conv_case(16, 8, 28)
    path = conv_net(tmp_path, weight, size=(28, 28))
    mask = np.uint32(0xFFFFFFFF << (24 - bits) & 0xFFFFFFFF)  # as hardware does it: the last bits are dropped

    def cut(array):
        return (array.view(np.uint32) & mask).view(np.float32)

    kernels = {
        f"{name}-truncated": lambda x: layers.conv2d(cut(x), cut(weight), pads=(1, 1, 1, 1)),
        name: lambda x: layers.conv2d(*(round_to(a, bits).astype("f") for a in (x, weight)), pads=(1, 1, 1, 1)),
    }
    for precision in kernels:
        for made, kernel in kernels.items():
            assert compare(path, x, kernel, precision=precision).explained == (made == precision)


# ---------------------------------------------------------------------- names


def test_a_misspelt_tensor_is_listed_and_nothing_is_said_of_it(deep):
    path, x = deep
    run = open_runtime("onnxruntime", read_onnx(path), x[:1])

    def misspelt(x):
        values = dict(run(x))
        return {**values, "Prob": 0 * values.pop("prob")}

    parity = compare(path, x[:1], misspelt)
    assert parity.verdict == "cannot tell"
    assert parity.unknown == ["Prob"]
    assert "'Prob'" in str(parity)
    with pytest.raises(AssertionError, match="Prob"):
        assert_parity(path, x[:1], misspelt)
    assert assert_parity(path, x[:1], misspelt, allow_cannot_tell=True).unknown == ["Prob"]


def test_an_empty_batch_is_refused(deep):
    with pytest.raises(ArgumentError, match="takes a batch"):
        compare(deep[0], deep[1][:0], lambda x: x)


@pytest.mark.thorough
def test_a_golden_batch_is_judged_image_by_image_and_exit_codes_tell_the_verdicts(deep, tmp_path, capsys):
    path, x = deep
    run = open_runtime("onnxruntime", read_onnx(path), x[:1])
    each = [{"x": x[i : i + 1], **run(x[i : i + 1])} for i in range(3)]
    batch = {name: np.concatenate([values[name] for values in each]) for name in each[0]}

    def code(tensors):
        np.savez(tmp_path / "golden.npz", **tensors)
        return main(["parity", path, "--against", str(tmp_path / "golden.npz")])

    assert code(batch) == 0
    assert "on 3 images" in capsys.readouterr().out
    assert code({**batch, "prob": batch["prob"][::-1]}) == 1
    assert code({**batch, "Probability": batch["prob"]}) == 3
    assert code({**batch, "prob": batch["prob"][:2]}) == 2
    assert "'prob' is not" in capsys.readouterr().err
    assert main(["parity", path, "--against", "onnxruntime", "--against", "onnxruntime"]) == 2
    assert "two different ones" in capsys.readouterr().err


# ---------------------------------------------------------------------- bounds


@pytest.mark.parametrize(
    ("shape", "axis", "opset"), [((1, 1000, 1, 1), 1, 9), ((1, 1000, 1, 1), 1, 17), ((1, 8, 50, 3), 2, 17)]
)
def test_softmax_over_any_axis_is_explained(tmp_path, shape, axis, opset):
    x = (5 * np.random.default_rng(0).standard_normal(shape)).astype(np.float32)
    path = chain(tmp_path, [helper.make_node("Softmax", ["x"], ["p"], axis=axis)], {}, shape, opset=opset)
    assert_parity(path, x, onnxruntime_on(path, x))


@pytest.mark.parametrize("huge", [1e38, np.inf])
def test_one_huge_number_does_not_excuse_what_is_wrong_elsewhere(tmp_path, huge):
    x, weight = conv_case(4, 4, 28)
    path = conv_net(tmp_path, weight, size=(28, 28))
    run = onnxruntime_on(path, x)
    x[0, 0, 0, 0] = huge
    assert compare(path, x, run).explained

    def off(x):
        y = run(x)["y"].copy()
        y[..., 10:, 10:] += 1
        return y

    assert not compare(path, x, off).explained


def test_relu_and_pooling_may_flush_to_zero_and_do_nothing_else(tmp_path):
    x = np.full((1, 2, 8, 8), 1e-39, np.float32)
    for op, attributes in (("Relu", {}), ("MaxPool", {"kernel_shape": [1, 1]})):
        path = chain(tmp_path, [helper.make_node(op, ["x"], ["y"], **attributes)], {}, x.shape)
        assert_parity(path, x, np.zeros_like)
        assert not compare(path, x, lambda x: 2 * x).explained
        assert not compare(path, x + 1, np.zeros_like).explained


# ---------------------------------------------------------------------- usual errors


def fully_connected(tmp_path, terms=8192, outputs=64):
    """A sum so long that bfloat16 is within the worst case, and rectified inputs as they are in VGG."""
    rng = np.random.default_rng(3)
    x = np.maximum(rng.standard_normal((1, terms)), 0).astype(np.float32)
    weight = (rng.standard_normal((outputs, terms)) * math.sqrt(2 / terms)).astype(np.float32)
    bias = (0.1 * rng.standard_normal(outputs)).astype(np.float32)
    node = helper.make_node("Gemm", ["x", "w", "b"], ["y"], name="fc", transB=1)
    return chain(tmp_path, [node], {"w": weight, "b": bias}, x.shape), x, weight, bias


@pytest.mark.parametrize("bits", [8, 11, 14, 16])
@pytest.mark.parametrize("rounded", ["weights", "both"])
def test_short_factors_that_the_bound_would_pass_are_told_from_float32(tmp_path, bits, rounded):
    path, x, weight, bias = fully_connected(tmp_path)
    short = round_to(x, bits) if rounded == "both" else x
    y = (short @ round_to(weight, bits).T + bias).astype(np.float32)
    parity = compare(path, x, lambda x: y)
    assert parity.verdict == "not explained"
    assert parity.layers[0].worst < 1  # no theorem speaks against it


@pytest.mark.parametrize("order", ["loop", "backwards", "BLAS", "onnxruntime"])
def test_float32_in_any_order_is_usual(tmp_path, order):
    path, x, weight, bias = fully_connected(tmp_path)
    kernels = {
        "loop": lambda x: np.add.accumulate(x * weight, axis=1)[None, :, -1] + bias,
        "backwards": lambda x: np.add.accumulate((x * weight)[:, ::-1], axis=1)[None, :, -1] + bias,
        "BLAS": lambda x: x @ weight.T + bias,
        "onnxruntime": onnxruntime_on(path, x),
    }
    parity = assert_parity(path, x, kernels[order])
    assert 0 < parity.layers[0].judgement.sums.usual < 1


def test_a_scale_of_a_hundred_thousandth_is_not_usual(tmp_path):
    x, weight = conv_case(64, 16, 28)
    path = conv_net(tmp_path, weight, size=(28, 28))
    run = onnxruntime_on(path, x)
    assert_parity(path, x, run)
    assert compare(path, x, lambda x: run(x)["y"] * np.float32(1 + 1e-5)).verdict == "not explained"


@pytest.mark.parametrize("equal", [True, False])
def test_equal_filters_are_one_measurement_and_different_ones_are_many(tmp_path, equal):
    # Two and a half standard deviations are nothing in one sum, and cannot be chance in 64.
    rng = np.random.default_rng(0)
    x, weight = (rng.uniform(0.1, 1, shape).astype(np.float32) for shape in ((1, 256), (64, 256)))
    weight = np.repeat(weight[:1], 64, axis=0) if equal else weight
    path = chain(tmp_path, [helper.make_node("Gemm", ["x", "w"], ["y"], transB=1)], {"w": weight}, x.shape)
    products = x.astype(np.float64) * weight
    partial = np.square(np.add.accumulate(products, axis=1)[:, 1:]).sum(axis=1) + np.square(products).sum(axis=1)
    off = 2.5 * 2.0**-24 * np.sqrt(partial / 3)
    assert compare(path, x, lambda x: (products.sum(axis=1) + off)[None]).explained == equal


# ---------------------------------------------------------------------- one channel


@pytest.mark.thorough
@pytest.mark.parametrize("layer", range(1, 7))
@pytest.mark.parametrize("fault", ["bias", "weight"])
def test_a_fault_of_one_filter_is_seen_at_its_layer_beyond_the_limit_that_is_stated_there(deep, layer, fault):
    path, x = deep
    model, names = onnx.load(path), [f"c{i}" for i in range(1, 7)] + [f"r{i}" for i in range(1, 7)]
    correct = open_runtime("onnxruntime", read_onnx(path), x[:1])
    values = correct(x[:1])
    sees = compare(path, x[:1], lambda x: values).layers[2 * layer - 2].judgement.sums.limits
    tensor = tensor_of(model, f"{fault[0]}{layer}")
    changed = numpy_helper.to_array(tensor).copy()
    if fault == "bias":
        changed[5] += 8 * sees.shift * np.sqrt(np.mean(np.square(values[f"c{layer}"])))
    else:
        seen = x[:1] if layer == 1 else values[f"r{layer - 1}"]
        brightest = seen.mean(axis=(0, 2, 3)).argmax()  # a channel that is zero everywhere would hide it
        changed[5, brightest] += 8 * sees.weight * np.median(np.abs(changed))
    replace(tensor, changed.astype(np.float32))
    model.graph.output.extend(helper.make_tensor_value_info(name, 1, None) for name in names)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    known = [output.name for output in session.get_outputs()]
    parity = compare(path, x[:1], lambda x: dict(zip(known, session.run(known, {"x": x}), strict=True)))
    assert [entry.name for entry in parity.failures] == [f"conv{layer}"]
    assert parity.failures[0].judgement.sums is None or parity.failures[0].judgement.sums.channel == 5


@pytest.mark.parametrize("places", [1, 2, 400])
def test_equal_places_and_terms_are_no_fault_of_a_channel(tmp_path, places):
    weight = np.full((16, 64, 3, 3), 0.1, np.float32) * (1 + np.arange(16, dtype=np.float32)).reshape(-1, 1, 1, 1)
    size = {1: (3, 3), 2: (3, 4), 400: (22, 22)}[places]
    x = np.full((1, 64, *size), 0.7, np.float32)
    path = conv_net(tmp_path, weight, pads=(0, 0, 0, 0), size=size)

    def loop(x):
        terms = (x[0, :, 0, 0, None] * weight.reshape(16, 64, 9)).reshape(16, -1)
        sums = np.add.accumulate(terms, axis=1)[:, -1]
        return np.broadcast_to(sums[None, :, None, None], (1, 16, size[0] - 2, size[1] - 2)).copy()

    for kernel in (loop, onnxruntime_on(path, x)):
        sums = compare(path, x, kernel).layers[0].judgement.sums
        assert sums is not None
        assert sums.of_channel < 1


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(4))
def test_a_checkerboards_output_alone_is_within_the_spread(deep, seed):
    path, _ = deep
    board = (np.indices((20, 20)).sum(axis=0) % 2) * np.random.default_rng(seed).uniform(0.1, 9)
    x = np.broadcast_to(board, (1, 3, 20, 20)).astype(np.float32)
    session = onnxruntime.InferenceSession(path)
    assert compare(path, x, lambda x: session.run(None, {"x": x})).explained
