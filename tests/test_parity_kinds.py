"""Parity of correct float32 that is no plain sum, of what runtimes expose but did not use, and of any graph."""

from __future__ import annotations

import math
from pathlib import Path

import measure_parity
import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from test_parity import bfloat16, chain, conv_case, conv_net, onnxruntime_on, winograd_conv

from numpyvgg import layers
from numpyvgg.errors import ArgumentError, UnsupportedModelError
from numpyvgg.parity import assert_parity, compare
from numpyvgg.parity.excuses import FREEDOM, _by_fft, _by_strassen
from numpyvgg.parity.selftest import CORRECT, OF_OUTPUTS, OF_PRODUCTS
from numpyvgg.parity.sums import rounding_errors
from numpyvgg.parity.winograd import repeats

# ---------------------------------------------------------------------- like terms


@pytest.mark.parametrize("size", [56, 112, 224])
def test_a_plain_loop_over_equal_numbers_is_rounding_and_anything_on_top_is_not(tmp_path, size):
    x = np.full((1, 2, size, size), 0.1, np.float32)
    path = chain(tmp_path, [helper.make_node("GlobalAveragePool", ["x"], ["y"])], {}, x.shape)
    total = np.add.accumulate(x.reshape(2, -1), axis=1)[:, -1]
    loop = (total / np.float32(size * size)).reshape(1, 2, 1, 1)
    assert_parity(path, x, lambda x: loop)
    error = np.abs(loop.astype(np.float64) - x[0, 0, 0, 0]).max()
    assert compare(path, x, lambda x: x[:, :, :1, :1] + np.float32(20 * error)).verdict == "not explained"


def test_a_plain_loop_in_a_long_product_of_equal_terms_is_rounding(tmp_path):
    x, weight = np.full((1, 25088), 0.1, np.float32), np.full((4, 25088), 0.3, np.float32)
    path = chain(tmp_path, [helper.make_node("Gemm", ["x", "w"], ["y"], transB=1)], {"w": weight}, x.shape)
    loop = np.add.accumulate(x * weight, axis=1)[None, :, -1]
    layer = assert_parity(path, x, lambda x: loop).layers[0]
    assert layer.judgement.verdict == "like terms"
    exact = x.astype(np.float64) @ weight.T.astype(np.float64)
    assert compare(path, x, lambda x: exact + 3 * (loop - exact)).verdict == "not explained"


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("order", ["channels inside", "taps inside"])
def test_a_loop_over_equal_channels_is_rounding_in_groups_and_in_either_order(tmp_path, groups, order):
    weight = np.full((4, 512 // groups, 3, 3), 0.02, np.float32)
    x = np.broadcast_to(np.float32(np.random.default_rng(0).uniform(0, 1, (3, 3))), (1, 512, 3, 3)).copy()
    node = helper.make_node("Conv", ["x", "w"], ["y"], group=groups, kernel_shape=[3, 3])
    path = chain(tmp_path, [node], {"w": weight}, x.shape)
    terms = x[0].reshape(groups, -1, 9) * np.float32(0.02)  # [groups, C, taps]
    terms = terms.transpose(0, 2, 1) if order == "channels inside" else terms
    loop = np.add.accumulate(terms.reshape(groups, -1), axis=1)[:, -1].repeat(4 // groups).reshape(1, 4, 1, 1)
    assert_parity(path, x, lambda x: loop)
    exact = 0.02 * x.astype(np.float64).sum() / groups
    worst = (4608 // groups + 1) * 2.0**-24  # of n roundings, relatively, all terms being positive
    assert compare(path, x, lambda x: exact * (1 + worst) + 0 * loop).verdict == "not explained"


def summed(terms, lanes):
    """Sums of the last axis in float32, term i by lane i % lanes, then the lanes: a loop in vectors; 0: in pairs."""
    if not lanes:
        return terms.sum(axis=-1)
    padded = np.pad(terms, [(0, 0)] * (terms.ndim - 1) + [(0, -terms.shape[-1] % lanes)])
    of_lanes = np.add.accumulate(padded.reshape(*terms.shape[:-1], -1, lanes), axis=-2)[..., -1, :]
    return np.add.accumulate(of_lanes, axis=-1)[..., -1]


@pytest.mark.parametrize("lanes", [0, 1, 4, 16, 64])
def test_no_error_of_equal_terms_is_beyond_the_root_of_three_times_its_sigma(lanes):
    numbers = np.random.default_rng(lanes).uniform(0.01, 1, (300, 1)).astype(np.float32)
    products = np.repeat(numbers * numbers, 777, axis=1)
    errors = rounding_errors(products.astype(np.float64))
    off = summed(products, lanes) - products.sum(axis=1, dtype=np.float64)
    assert np.all(np.abs(off) <= np.sqrt(3) * errors.sigma)
    assert np.all(errors.sigma > 10 * errors.independent)  # about sqrt(777)


def test_different_terms_are_not_alike():
    terms = np.random.default_rng(0).standard_normal((16, 4608))
    errors = rounding_errors(terms)
    assert np.all(errors.sigma < 1.02 * errors.independent)
    partial = np.add.accumulate(terms, axis=1)[:, 1:]  # the formula for errors that are independent
    expected = 2.0**-24 * np.sqrt((np.square(partial).sum(axis=1) + np.square(terms).sum(axis=1)) / 3)
    assert np.all(errors.independent > 0.99 * expected)


@pytest.mark.parametrize("lanes", [0, 1, 8, 32])
@pytest.mark.parametrize("kind", ["all alike", "channels alike", "constant image"])
def test_weights_that_are_all_equal_are_rounding_in_any_kernel_and_a_missing_term_is_not(tmp_path, lanes, kind):
    # The light models of the onnx package are like that: 0.02 everywhere, and all channels the same from conv1 on.
    rng = np.random.default_rng(3)
    x = rng.uniform(0, 1, (1, 256, 1, 40)).astype(np.float32)
    x = np.repeat(x[:, :1], 256, axis=1) if kind == "channels alike" else x
    x = np.full_like(x, x[0, 0, 0, 0]) if kind == "constant image" else x
    weight = np.full((16, 256, 1, 1), 0.02, np.float32)
    path = conv_net(tmp_path, weight, pads=(0, 0, 0, 0), size=(1, 40))
    terms = x[0, :, 0].T * np.float32(0.02)
    y = np.broadcast_to(summed(terms, lanes), (1, 16, 40))[:, :, None].copy()
    assert_parity(path, x, lambda x: y)
    short = np.broadcast_to(summed(terms[:, 1:], lanes), (1, 16, 40))[:, :, None].copy()
    assert compare(path, x, lambda x: short).verdict == "not explained"


def test_equal_terms_in_a_convolution_that_was_folded_with_what_follows_are_rounding(tmp_path):
    # As tract does it with the light Inception: normalisation and factor are folded into the convolution.
    x = np.full((1, 192, 6, 6), 0.0214, np.float32)
    weight, factor = np.full((4, 192, 3, 3), 0.02, np.float32), np.full((1, 4, 1, 1), 0.02, np.float32)
    each = {f"bn{i}": np.full(4, 0.02, np.float32) for i in range(4)}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("BatchNormalization", ["c", *each], ["n"]),
        helper.make_node("Mul", ["n", "factor"], ["m"]),
    ]
    path = chain(tmp_path, nodes, {"w": weight, "factor": factor, **each}, x.shape)
    shown = onnxruntime_on(path, x)(x)
    scale = 0.02 / math.sqrt(0.02 + 1e-5)
    term = np.float32(0.0214) * np.float32(0.02 * 0.02 * scale)
    loop = summed(np.full(1728, term), 1) + np.float32((0.02 - 0.02 * scale) * 0.02)
    folded = {**shown, "m": np.full_like(shown["m"], loop)}
    assert assert_parity(path, x, lambda x: folded).layers[-1].judgement.verdict == "fused"
    wrong = {**shown, "m": np.full_like(shown["m"], loop * np.float32(1 + 1728 * 2.0**-23))}
    assert compare(path, x, lambda x: wrong).verdict == "not explained"


# ---------------------------------------------------------------------- norm-wise kernels


def test_an_fft_is_excused_where_a_plain_sum_gives_zero_and_a_wrong_one_is_not(tmp_path):
    x, weight = conv_case(4, 4, 40)
    x[:, :, 10:20] = 0
    path = conv_net(tmp_path, weight, size=(40, 40))

    def fft(x, dtype=np.complex64):
        return _by_fft(np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1))), weight.astype(x.dtype), dtype)

    exact = layers.conv2d(x.astype(np.float64), weight.astype(np.float64), pads=(1, 1, 1, 1))
    assert np.allclose(fft(x.astype(np.float64), np.complex128), exact, rtol=0, atol=1e-12)
    assert assert_parity(path, x, fft).layers[0].judgement.verdict == "FFT"
    assert compare(path, x, lambda x: fft(x) * np.float32(1 + 1e-5)).verdict == "not explained"
    assert compare(path, x, lambda x: fft(x) + np.float32(1e-5)).verdict == "not explained"


def test_strassens_product_is_excused_where_a_plain_sum_gives_zero_and_a_wrong_one_is_not(tmp_path):
    x, weight = conv_case(64, 64, 8)
    weight = weight[:, :, :1, :1].copy()
    weight[32:] *= np.float32(1e-4)  # small filters lose their digits beside large ones
    path = conv_net(tmp_path, weight, pads=(0, 0, 0, 0), size=(8, 8))
    matrix, columns = weight.reshape(64, 64), x.reshape(64, 64)
    product = _by_strassen(matrix.astype(np.float64), columns.astype(np.float64))
    assert np.allclose(product, matrix.astype(np.float64) @ columns.astype(np.float64), rtol=0, atol=1e-12)
    strassen = _by_strassen(matrix, columns).reshape(1, 64, 8, 8)
    assert assert_parity(path, x, lambda x: strassen).layers[0].judgement.verdict == "Strassen"
    assert compare(path, x, lambda x: strassen * np.float32(1 + 1e-4)).verdict == "not explained"


# ---------------------------------------------------------------------- Winograd of any tile


@pytest.mark.parametrize("m", [2, 3, 4, 5, 6, 7, 8])
def test_winograd_of_any_tile_is_explained_and_with_short_products_it_is_not(tmp_path, m):
    x, weight = conv_case(16, 8, 56)
    path = conv_net(tmp_path, weight)
    assert_parity(path, x, lambda x: winograd_conv(x, weight, m))
    assert not compare(path, x, lambda x: winograd_conv(x, weight, m, precision=bfloat16)).explained


def test_a_single_pixel_is_enough_to_know_a_winograd_kernel(tmp_path):
    _, weight = conv_case(3, 16, 64)
    path, x = conv_net(tmp_path, weight, size=(64, 64)), np.zeros((1, 3, 64, 64), np.float32)
    x[0, 1, 20, 41] = 255
    assert_parity(path, x, lambda x: winograd_conv(x, weight, 6))


def test_a_quantised_graph_is_refused_by_the_operators_name(tmp_path):
    tensors = {"scale": np.float32(0.1), "zero": np.uint8(128)}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", *tensors], ["q"]),
        helper.make_node("DequantizeLinear", ["q", *tensors], ["y"]),
    ]
    path = chain(tmp_path, nodes, {key: np.asarray(value) for key, value in tensors.items()}, [1, 4])
    with pytest.raises(UnsupportedModelError, match="quantised networks are not run here"):
        compare(path, np.ones((1, 4), np.float32), lambda x: x)


def test_noise_repeats_at_no_period():
    noise = np.abs(np.random.default_rng(0).standard_normal((1, 4, 64, 64)))
    assert not any(repeats(noise, m) for m in range(3, 9))
    assert repeats(noise * np.tile(10.0 ** np.arange(5), 13)[:64], 5)


# ---------------------------------------------------------------------- what is exposed, and what was used


def test_what_is_exposed_but_not_used_is_named_and_a_fault_behind_it_is_still_seen(tmp_path):
    # As tract does it: a factor and an offset are folded into the convolution; the tensor between is computed apart.
    x, weight = conv_case(16, 8, 28)
    factor, offset = (np.random.default_rng(i).standard_normal((1, 8, 1, 1)).astype(np.float32) for i in (1, 2))
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1] * 4),
        helper.make_node("Mul", ["c", "factor"], ["m"]),
        helper.make_node("Add", ["m", "offset"], ["a"]),
    ]
    path = chain(tmp_path, nodes, {"w": weight, "factor": factor, "offset": offset}, x.shape)

    def folded(x, offset=offset):
        scaled = weight * factor.reshape(-1, 1, 1, 1)
        c = layers.conv2d(x, weight, pads=(1, 1, 1, 1))
        return {"c": c, "m": c * factor, "a": layers.conv2d(x, scaled, offset.ravel(), pads=(1, 1, 1, 1))}

    parity = assert_parity(path, x, folded)
    assert [layer.judgement.verdict for layer in parity.layers] == ["rounding", "rounding", "fused"]
    broken = compare(path, x, lambda x: folded(x, offset * np.float32(1 + 1e-4)))
    assert [layer.tensor for layer in broken.failures] == ["a"]


def test_an_output_that_is_shown_behind_its_relu_is_an_alias(tmp_path):
    rng = np.random.default_rng(0)
    x, weight = rng.standard_normal((1, 64)).astype("f"), rng.standard_normal((32, 64)).astype("f")
    nodes = [helper.make_node("Gemm", ["x", "w"], ["y"], transB=1), helper.make_node("Relu", ["y"], ["r"])]
    path = chain(tmp_path, nodes, {"w": weight}, x.shape)
    y = np.maximum(x @ weight.T, 0)
    parity = assert_parity(path, x, lambda x: {"y": y, "r": y})
    assert [layer.judgement.verdict for layer in parity.layers] == ["alias", "exact"]
    wrong = y * np.float32(1 + 1e-4)
    assert compare(path, x, lambda x: {"y": wrong, "r": wrong}).verdict == "not explained"


# ---------------------------------------------------------------------- layouts

LAYOUTS = {
    "channels last": lambda y: np.moveaxis(y, 1, -1),
    "no batch axis": lambda y: y[0],
    "no batch axis, channels last": lambda y: np.moveaxis(y[0], 0, -1),
    "ones behind": lambda y: y[..., None],
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("size", [(14, 14), (8, 8)])
def test_layouts_of_others_are_found_and_said(tmp_path, layout, size):
    x, weight = conv_case(8, 8, size[0])
    path = conv_net(tmp_path, weight, size=size)
    run = onnxruntime_on(path, x)
    layer = assert_parity(path, x, lambda x: LAYOUTS[layout](run(x)["y"])).layers[0]
    assert "handed over" in layer.verdict
    assert layer.theirs.relative < 1e-6
    assert compare(path, x, lambda x: 1.001 * LAYOUTS[layout](run(x)["y"])).verdict == "not explained"


# ---------------------------------------------------------------------- any graph


@pytest.mark.parametrize(
    ("op", "attributes"), [("Sigmoid", {}), ("Tanh", {}), ("Erf", {}), ("HardSwish", {}), ("Floor", {})]
)
def test_an_operator_without_a_bound_is_held_to_the_spread_of_our_own_passes(tmp_path, op, attributes):
    x, weight = conv_case(4, 4, 14)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1] * 4),
        helper.make_node(op, ["c"], ["y"], **attributes),
    ]
    path = chain(tmp_path, nodes, {"w": weight}, x.shape)
    run = onnxruntime_on(path, x)
    assert assert_parity(path, x, run).layers[1].judgement.verdict == "end to end"
    broken = compare(path, x, lambda x: {**(v := run(x)), "y": v["y"] * np.float32(1 + 1e-3)})
    assert [layer.tensor for layer in broken.failures] == ["y"]
    assert "no bound is known" in broken.failures[0].verdict


@pytest.mark.parametrize(
    ("op", "attributes", "tensors"),
    [
        ("LRN", {"size": 5, "alpha": 1e-2, "beta": 0.75}, {}),
        ("LRN", {"size": 3, "alpha": 1e-4, "beta": 0.5, "bias": 2.0}, {}),
        ("LeakyRelu", {"alpha": 0.3}, {}),
        ("PRelu", {}, {"s": np.float32([[[0.25]], [[-3]], [[0]], [[1]]])}),
        ("Sub", {}, {"s": np.float32([0.3])}),
        ("Div", {}, {"s": np.float32([0.3])}),
        ("Clip", {}, {"lo": np.float32(0), "hi": np.float32(0.5)}),
    ],
)
def test_bounds_of_operators_beside_products_hold_and_are_sharp(tmp_path, op, attributes, tensors):
    x = np.random.default_rng(0).standard_normal((1, 4, 14, 14)).astype(np.float32)
    path = chain(tmp_path, [helper.make_node(op, ["x", *tensors], ["y"], **attributes)], tensors, x.shape)
    run = onnxruntime_on(path, x)
    assert assert_parity(path, x, run).layers[0].judgement.verdict in ("rounding", "exact")
    assert compare(path, x, lambda x: run(x)["y"] * np.float32(1 + 1e-5)).verdict == "not explained"


def test_several_inputs_and_outputs_are_taken_by_name(tmp_path):
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((2, 6)).astype(np.float32) for _ in range(2))
    graph = helper.make_graph(
        [
            helper.make_node("Add", ["a", "b"], ["s"]),
            helper.make_node("Split", ["s"], ["first", "second"], axis=1, num_outputs=2),
            helper.make_node("Mul", ["first", "second"], ["y"]),
        ],
        "g",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 6]) for name in "ab"],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.int64([3, 3]), "unused")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    parity = assert_parity(model, {"a": a, "b": b}, lambda feed: session.run(None, feed))
    assert parity.images == 2
    wrong = lambda feed: {"s": feed["a"] + feed["b"], "second": 0 * feed["a"][:, :3]}  # noqa: E731
    assert [layer.tensor for layer in compare(model, {"a": a, "b": b}, wrong).failures] == ["second"]
    with pytest.raises(ArgumentError, match="inputs are a, b"):
        compare(model, a, lambda x: x)


def test_the_bound_of_lrn_is_reached_by_no_float32_and_covers_each_power(tmp_path):
    x = np.random.default_rng(1).uniform(-1e3, 1e3, (1, 8, 5, 5)).astype(np.float32)
    node = helper.make_node("LRN", ["x"], ["y"], size=5, alpha=1.0, beta=0.75)
    path = chain(tmp_path, [node], {}, x.shape)
    squares = np.stack([(x[:, max(i - 2, 0) : i + 3] ** 2).sum(axis=1) for i in range(8)], axis=1, dtype=np.float32)
    root = np.sqrt(np.float32(1) + np.float32(0.2) * squares)
    assert 0 < assert_parity(path, x, lambda x: x / (root * np.sqrt(root))).layers[0].probable < 1
    assert math.isfinite(float(root.max()))


# ---------------------------------------------------------------------- the page's tables


def table_of(name):
    """A measured table of docs/parity.md: its header, and its rows."""
    page = (Path(__file__).parents[1] / "docs" / "parity.md").read_text("utf-8")
    lines = page.split(f"<!-- {name} -->\n")[1].split("<!-- end -->")[0].strip().split("\n")
    header, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    return header, rows


def test_the_pages_tables_are_the_tools_and_show_no_false_alarm_and_no_miss():
    header, rows = table_of("runtimes")
    assert len(rows) >= 9
    assert {row[0] for row in rows} <= set(measure_parity.RUNTIMES)
    assert all(row[header.index("inputs")] == row[header.index("explained")] == "100" for row in rows)
    _, rows = table_of("faults")
    assert {row[0] for row in rows} == {"float32", *CORRECT, *OF_PRODUCTS, *OF_OUTPUTS}
    assert all(layers == right for _, layers, right, _ in rows)
    header, rows = table_of("winograd")
    assert [row[0] for row in rows] == list(measure_parity.POINTS)
    for row in rows:
        assert row[header.index("24 bits")] == "12 of 12"
        assert {row[header.index(f"{bits} bits")] for bits in (13, 11, 10, 8)} == {"0 of 12"}
    for name, ratio in table_of("kernels")[1]:
        assert float(ratio) <= FREEDOM[name.split(",")[0].split()[0]]
