"""The kernels: the definitions' numbers, whatever the shape, the number of threads or the batch."""

from __future__ import annotations

import gc
import os
import re
import signal
import subprocess
import sys
import threading
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from make_standin import Layout, standin_model, write_standin
from threadpoolctl import threadpool_info, threadpool_limits

from numpyvgg import VGG16, ArgumentError
from numpyvgg.kernels import Kernels, winograd
from numpyvgg.kernels.im2col import strips_of_rows
from numpyvgg.kernels.memory import memory_in_use
from numpyvgg.kernels.threads import (
    Scratch,
    Tickets,
    Workers,
    _container_quota,
    available_cores,
    blas_is_tuned,
    cache_bytes,
    one_blas_thread,
)
from numpyvgg.layers import conv2d, linear, max_pool, relu
from numpyvgg.parity import winograd as parity_winograd


def random_layer(seed, n, channels, filters, height, width, kernel=(3, 3), group=1):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, channels, height, width)).astype(np.float32)
    weight = rng.standard_normal((filters, channels // group, *kernel)).astype(np.float32)
    return x, weight, rng.standard_normal(filters).astype(np.float32)


def bound(x, weight, **window) -> np.ndarray:
    """What rounding may add up to, for each output: a few units times the sum of absolute terms."""
    return conv2d(abs(x).astype(np.float64), abs(weight).astype(np.float64), **window) * np.finfo(np.float32).eps


# ---------------------------------------------------------------------- convolution


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(),
    n=st.integers(1, 3),
    group=st.sampled_from([1, 1, 2, 4]),
    channels=st.integers(1, 6),
    filters=st.integers(1, 6),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    dilations=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    pads=st.tuples(*[st.integers(0, 3)] * 4),
)
def test_im2col_computes_any_convolution_of_the_onnx_specification(
    data, n, group, channels, filters, kernel, strides, dilations, pads
):
    least = [max(1, d * (k - 1) + 1 - a - b) for k, d, a, b in zip(kernel, dilations, pads[:2], pads[2:], strict=True)]
    height, width = (data.draw(st.integers(size, size + 12)) for size in least)
    x, weight, bias = random_layer(0, n, channels * group, filters * group, height, width, kernel, group)
    window = {"strides": strides, "pads": pads, "dilations": dilations, "group": group}
    wanted = conv2d(x.astype(np.float64), weight.astype(np.float64), bias.astype(np.float64), **window)

    ops = Kernels("im2col", threads=2)
    conv = ops.prepare_conv(weight, bias, **window)
    y = ops.conv2d(x, conv)
    assert y.shape == wanted.shape
    assert y.dtype == np.float32
    assert (abs(y - wanted) <= 8 * bound(x, weight, **window) + 1e-6).all()

    fine = Kernels("im2col", dtype="float64")
    np.testing.assert_allclose(fine.conv2d(x, fine.prepare_conv(weight, bias, **window)), wanted, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(),
    n=st.integers(1, 3),
    channels=st.integers(2, 40),
    kernel=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    dilations=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    pads=st.tuples(*[st.integers(0, 3)] * 4),
)
def test_depthwise_is_the_convolution_with_as_many_groups_as_channels(
    data, n, channels, kernel, strides, dilations, pads
):
    least = [max(1, d * (k - 1) + 1 - a - b) for k, d, a, b in zip(kernel, dilations, pads[:2], pads[2:], strict=True)]
    height, width = (data.draw(st.integers(size, size + 12)) for size in least)
    x, weight, bias = random_layer(0, n, channels, channels, height, width, kernel, channels)
    window = {"strides": strides, "pads": pads, "dilations": dilations, "group": channels}
    exact = x.astype(np.float64), weight.astype(np.float64)
    wanted = conv2d(*exact, bias.astype(np.float64), **window)
    ops = Kernels("im2col", threads=2)
    conv = ops.prepare_conv(weight, bias, **window)
    y = ops.conv2d(x, conv)
    assert conv.method == "depthwise"
    assert (abs(y - wanted) <= (bound(x, weight, **window) + abs(bias.reshape(-1, 1, 1)) * 1e-6) * 13).all()
    assert ops.conv_relu(x, conv).tobytes() == relu(y).tobytes()
    alone = Kernels("im2col", threads=1)
    assert alone.conv2d(x, alone.prepare_conv(weight, bias, **window)).tobytes() == y.tobytes()


@pytest.mark.parametrize("size", [(24, 9, 14), (16, 28, 300), (512, 8, 7)])
def test_depthwise_pools_as_its_parts_do(size):
    channels, height, width = size
    x, weight, bias = random_layer(1, 2, channels, channels, height, width, group=channels)
    ops = Kernels("im2col", threads=2)
    conv = ops.prepare_conv(weight, bias, pads=(1, 1, 1, 1), group=channels)
    parts = max_pool(relu(np.ascontiguousarray(ops.conv2d(x, conv))), (2, 2), strides=(2, 2))
    assert ops.conv_relu_pool(x, conv).tobytes() == parts.tobytes()


@pytest.mark.thorough
@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 5),
    channels=st.integers(16, 40),
    filters=st.sampled_from([16, 17, 32, 64, 96]),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    pad=st.integers(0, 2),
)
def test_winograd_is_the_convolution_within_a_bound_of_its_own(n, channels, filters, height, width, pad):
    height, width = max(height, 3 - 2 * pad), max(width, 3 - 2 * pad)
    x, weight, bias = random_layer(1, n, channels, filters, height, width)
    window = {"pads": (pad,) * 4}
    wanted = conv2d(x.astype(np.float64), weight.astype(np.float64), bias.astype(np.float64), **window)
    for dtype, factor in (("float32", 1.0), ("float64", 2.0**-29)):
        ops = Kernels("winograd", threads=2, dtype=dtype)
        conv = ops.prepare_conv(weight, bias, **window)
        assert conv.method == "Winograd F(4x4, 3x3)"
        y = ops.conv2d(x, conv)
        assert y.dtype == dtype
        # Errors come from whole tiles, so the largest output is the measure; seen: 18, the theory allows thousands.
        assert abs(y - wanted).max() <= factor * 64 * (bound(x, weight, **window).max() + 1e-6)


@pytest.mark.parametrize("direct", [False, True])
@pytest.mark.parametrize(("box", "terms"), [(1, 128), (3000, 16), (winograd.BOX, 24)])
def test_winograds_products_may_be_cut_and_tiles_taken_in_boxes(direct, box, terms, monkeypatch):
    """Which products are taken depends on the processor, and boxes on the image; all must be right, on any threads."""
    monkeypatch.setattr(winograd, "small_products_are_direct", lambda: direct)
    monkeypatch.setattr(winograd, "BOX", box)
    monkeypatch.setattr(winograd, "TILES", 1)
    monkeypatch.setattr(winograd, "SUM", terms)
    x, weight, bias = random_layer(2, 2, 48, 96, 30, 33)
    window = {"pads": (1, 1, 1, 1)}
    wanted = conv2d(x.astype(np.float64), weight.astype(np.float64), bias.astype(np.float64), **window)
    answers = []
    for threads in (1, 2, 5):
        ops = Kernels("winograd", threads=threads)
        y = ops.conv2d(x, ops.prepare_conv(weight, bias, **window))
        assert abs(y - wanted).max() <= 64 * bound(x, weight, **window).max()
        answers.append(y.tobytes())
    assert len(set(answers)) == 1


def test_sums_in_parts_round_less_than_sums_term_by_term(monkeypatch):
    x, weight, _ = random_layer(4, 1, 512, 32, 24, 24)
    window = {"pads": (1, 1, 1, 1)}
    wanted = conv2d(x.astype(np.float64), weight.astype(np.float64), None, **window)
    errors = []
    for terms in (512, 64):
        monkeypatch.setattr(winograd, "SUM", terms)
        ops = Kernels("winograd")
        y = ops.conv2d(x, ops.prepare_conv(weight, None, **window))
        errors.append(np.sqrt(np.square(y - wanted).mean()))
    assert errors[1] < errors[0]


@pytest.mark.parametrize(("channels", "parts"), [(16, 1), (256, 1), (384, 2), (512, 2), (521, 1), (600, 3), (1024, 4)])
def test_sums_are_cut_into_parts_of_one_length(channels, parts):
    assert winograd.parts_of_sum(channels) == parts


def test_winograds_matrices_are_an_identity_in_exact_arithmetic():
    rng = np.random.default_rng(0)
    pixels, taps = rng.integers(-9, 10, 6).astype(float), rng.integers(-9, 10, 3).astype(float)
    y = winograd.A_T @ ((winograd.G @ taps) * (winograd.B_T @ pixels))
    np.testing.assert_allclose(y, np.correlate(pixels, taps), atol=1e-12)


@pytest.mark.parametrize("points", [winograd.POINTS, parity_winograd.POINTS[4], parity_winograd.POINTS[6]], ids=str)
def test_winograds_matrices_are_those_of_an_inverted_vandermonde_matrix(points, monkeypatch):
    """parity makes them so; rows of G and of B^T may be scaled against each other."""
    m = len(points) - 1
    monkeypatch.setitem(parity_winograd.POINTS, m, points)
    for_parity = parity_winograd.transforms(m)
    (a_t, g, b_t), (their_a_t, their_g, their_b_t) = winograd.transforms(points), for_parity
    np.testing.assert_array_equal(a_t, their_a_t)
    ours, theirs = (rows[:, :, None] * columns[:, None] for rows, columns in ((g, b_t), (their_g, their_b_t)))
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)


def test_winograds_points_need_no_rounding_and_amplify_that_of_the_sums_less_than_half_as_much_as_the_usual_ones():
    def amplification(a_t: np.ndarray, g: np.ndarray, b_t: np.ndarray) -> float:
        return float((np.square(a_t).sum(0) * np.square(g).sum(1) * np.square(b_t).sum(1)).sum())

    usual = parity_winograd.transforms(4)  # 0, 1, -1, 2, -2 and infinity
    assert amplification(winograd.A_T, winograd.G, winograd.B_T) < amplification(*usual) / 2
    for exact in (winograd.A_T, winograd.B_T):
        assert (exact.astype(np.float32) == exact).all()


@given(out_h=st.integers(1, 300), out_w=st.integers(1, 9000), taps=st.integers(1, 5000), filters=st.integers(1, 600))
def test_strips_take_each_row_once_and_pairs_of_rows_together(out_h, out_w, taps, filters):
    strips = sorted(strips_of_rows(out_h, out_w, taps, filters, 4), key=lambda rows: rows.start)
    assert [row for rows in strips for row in range(rows.start, rows.stop)] == list(range(out_h))
    assert all(rows.start < rows.stop and rows.start % 2 == 0 for rows in strips)


@pytest.mark.parametrize(
    ("kernel", "strides", "pads"), [(1, (1, 1), 0), (1, (2, 2), 0), (3, (1, 1), 0), (3, (2, 1), 1)]
)
@pytest.mark.parametrize("group", [1, 24])
def test_an_image_without_a_border_gives_the_bits_of_one_within(kernel, strides, pads, group):
    rng = np.random.default_rng(6)
    x, first, second = (
        rng.standard_normal(shape).astype(np.float32)
        for shape in [(2, 8, 11, 13), (24, 8, 1, 1), (48 if group == 1 else 24, 24 // group, kernel, kernel)]
    )
    ops = Kernels(threads=2)
    conv = ops.prepare_conv(second, None, strides=strides, pads=(pads,) * 4, group=group)
    within, without = (ops.conv2d(x, ops.prepare_conv(first, None), border=border) for border in (True, False))
    assert [image.transpose(0, 2, 3, 1).flags.c_contiguous for image in (within, without)] == [False, True]
    y = ops.conv2d(without, conv, border=False)
    np.testing.assert_array_equal(y, ops.conv2d(within, conv))
    expected = conv2d(conv2d(x, first), second, strides=strides, pads=(pads,) * 4, group=group)
    assert abs(y - expected).max() <= 1e-5 * abs(expected).max()


@pytest.mark.parametrize("conv", ["im2col", "winograd"])
@pytest.mark.parametrize("size", [(1, 64, 900), (2, 64, 500), (1, 64, 9000), (900, 64, 1)])
def test_images_may_be_long_and_thin(conv, size):
    height, channels, width = size
    x, weight, bias = random_layer(5, 1, channels, 64, height, width)
    ops, pads = Kernels(conv, threads=2), (1, 1, 1, 1)
    y = ops.conv2d(x, ops.prepare_conv(weight, bias, pads=pads))
    assert abs(y - conv2d(x, weight, bias, pads=pads)).max() < 1e-3


@pytest.mark.parametrize("conv", ["im2col", "winograd"])
@pytest.mark.parametrize("size", [(1, 16, 32, 8, 8), (3, 32, 64, 14, 14), (2, 16, 48, 13, 30), (1, 64, 64, 57, 9)])
def test_fused_operations_give_the_bits_of_their_parts(conv, size):
    x, weight, bias = random_layer(2, *size)
    ops = Kernels(conv, threads=2)
    prepared = ops.prepare_conv(weight, bias, pads=(1, 1, 1, 1))
    y = np.ascontiguousarray(ops.conv2d(x, prepared))
    assert ops.conv_relu(x, prepared).tobytes() == relu(y).tobytes()
    assert ops.conv_relu_pool(x, prepared).tobytes() == max_pool(relu(y), (2, 2), strides=(2, 2)).tobytes()
    assert ops.conv2d(x, ops.prepare_conv(weight, None, pads=(1, 1, 1, 1))).shape == y.shape


@pytest.mark.parametrize("conv", ["im2col", "winograd"])
@pytest.mark.parametrize("size", [(1, 16, 64, 30, 30), (1, 128, 256, 14, 14), (5, 32, 32, 12, 12)])
def test_the_number_of_threads_changes_no_bit(conv, size):
    x, weight, bias = random_layer(3, *size)
    answers = set()
    for threads in (1, 2, 3, 5):
        ops = Kernels(conv, threads=threads)
        answers.add(ops.conv_relu(x, ops.prepare_conv(weight, bias, pads=(1, 1, 1, 1))).tobytes())
    assert len(answers) == 1


@pytest.mark.parametrize("conv", ["im2col", "winograd"])
def test_an_output_serves_as_the_next_input_however_it_is_handed_on(conv):
    x, weight, bias = random_layer(4, 2, 32, 32, 15, 18)
    ops = Kernels(conv, threads=2)
    prepared = ops.prepare_conv(weight, bias, pads=(1, 1, 1, 1))
    y = ops.conv_relu(x, prepared)
    for pads in ((1, 1, 1, 1), (0, 0, 0, 0), (2, 1, 0, 1)):
        following = ops.prepare_conv(weight, bias, pads=pads)
        wanted = ops.conv2d(np.array(y, order="C", subok=False), following)
        assert ops.conv2d(y, following).tobytes() == wanted.tobytes()
        shifted = ops.conv2d(y[:, :, 1:, :-1], following)
        assert shifted.tobytes() == ops.conv2d(np.array(y)[:, :, 1:, :-1], following).tobytes()


@settings(max_examples=40, deadline=None)
@given(
    conv=st.sampled_from(["im2col", "winograd"]),
    pads=st.tuples(*[st.integers(0, 4)] * 4),
    strides=st.sampled_from([(1, 1), (1, 1), (2, 1), (3, 2)]),
    size=st.tuples(st.integers(3, 16), st.integers(3, 16)),
)
def test_an_output_is_the_next_input_under_any_padding(conv, pads, strides, size):
    """Its memory has a border of one pixel: padding within that is there already, and wider has to be made."""
    x, weight, bias = random_layer(6, 2, 16, 16, *size)
    ops = Kernels(conv, threads=2)
    y = ops.conv_relu(x, ops.prepare_conv(weight, bias, pads=(1, 1, 1, 1)))
    plain = np.array(y, order="C", subok=False)
    following = ops.prepare_conv(weight, bias, strides=strides, pads=pads)
    got = ops.conv2d(y, following)
    wanted = conv2d(*(array.astype(np.float64) for array in (plain, weight, bias)), strides=strides, pads=pads)
    factor = 64 if following.method.startswith("Winograd") else 8
    limit = bound(plain, weight, strides=strides, pads=pads)
    assert got.shape == wanted.shape
    assert (abs(got - wanted) <= factor * (limit.max() + 1e-6)).all()
    assert got.tobytes() == ops.conv2d(plain, following).tobytes()


def test_shapes_that_winograd_does_not_serve_run_by_im2col_and_say_so():
    ops = Kernels("winograd")
    for shape, window in [
        ((32, 32, 7, 7), {}),
        ((32, 32, 3, 3), {"strides": (2, 2)}),
        ((32, 32, 3, 3), {"dilations": (2, 2)}),
        ((32, 16, 3, 3), {"group": 2}),
        ((32, 3, 3, 3), {}),
    ]:
        assert ops.prepare_conv(np.zeros(shape, np.float32), None, **window).method == "im2col"


@pytest.mark.parametrize("conv", ["im2col", "winograd"])
def test_inputs_that_do_not_fit_are_turned_away(conv):
    ops = Kernels(conv)
    prepared = ops.prepare_conv(np.zeros((16, 16, 3, 3), np.float32), None)
    with pytest.raises(ArgumentError, match="16 channels"):
        ops.conv2d(np.zeros((1, 17, 9, 9), np.float32), prepared)
    with pytest.raises(ArgumentError, match="does not fit"):
        ops.conv2d(np.zeros((1, 16, 9, 2), np.float32), prepared)


# ---------------------------------------------------------------------- fully connected


@settings(max_examples=25, deadline=None)
@given(n=st.integers(0, 5), inputs=st.integers(1, 3000), outputs=st.integers(1, 300), aligned=st.booleans())
def test_fully_connected_layers_are_the_product_also_on_unaligned_bytes(n, inputs, outputs, aligned):
    rng = np.random.default_rng(inputs)
    x = rng.standard_normal((n, inputs)).astype(np.float32)
    weight, bias = rng.standard_normal((outputs, inputs)).astype(np.float32), np.ones(outputs, np.float32)
    if not aligned:
        weight = np.frombuffer(b"." + weight.tobytes(), np.uint8)[1:].view(np.float32).reshape(outputs, inputs)
    wanted = linear(x.astype(np.float64), weight.astype(np.float64), bias, transB=1)
    answers = []
    for conv, threads in (("im2col", 1), ("im2col", 3), ("winograd", 2)):
        ops = Kernels(conv, threads=threads)
        fc = ops.prepare_linear(weight, bias)
        answers.append(ops.linear(x, fc))
        assert ops.linear_relu(x, fc).tobytes() == relu(answers[-1]).tobytes()
    terms = abs(x.astype(np.float64)) @ abs(weight.T.astype(np.float64)) + 1
    assert (abs(answers[0] - wanted) <= 8 * np.finfo(np.float32).eps * terms).all()
    assert len({answer.tobytes() for answer in answers}) == 1


class Stored:
    """A weight in a file that remembers how much of it was asked for at a time."""

    def __init__(self, weight):
        self.weight, self.shape, self.dtype, self.asked = weight, weight.shape, weight.dtype, []

    def read(self, first, out):
        self.asked.append(len(out))
        out[:] = self.weight[first : first + len(out)]


def test_a_stored_weight_is_read_in_blocks_at_first_and_kept_from_the_second_pass_on():
    """One photograph by a large network must not take the memory of its weights: a block is a megabyte."""
    stored = Stored(np.random.default_rng(0).standard_normal((1500, 1000)).astype(np.float32))
    ops, x = Kernels("im2col", threads=1), np.ones((1, 1000), np.float32)
    fc = ops.prepare_linear(stored, None)
    first = ops.linear(x, fc)
    assert max(stored.asked) * 4000 <= 1 << 20
    assert sum(stored.asked) == 1500
    stored.asked.clear()
    assert ops.linear(x, fc).tobytes() == first.tobytes()
    assert sum(stored.asked) == 1500
    stored.asked.clear()
    assert ops.linear(x, fc).tobytes() == first.tobytes()
    assert not stored.asked


# ---------------------------------------------------------------------- the network


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (11, 3, 224, 224), np.uint8)


@pytest.mark.thorough
@pytest.mark.parametrize("conv", ["im2col", "winograd"])
def test_a_network_answers_as_in_float64_and_alike_in_any_batch(conv, images):
    model = standin_model(Layout(batch="N"))
    net = VGG16.from_onnx(model, conv=conv, threads=2)
    together = net(images)  # more than one group of them
    wanted = VGG16.from_onnx(model, conv="textbook", dtype="float64")(images[:2])
    assert abs(together[:2] - wanted).max() < 1e-5
    for i in (0, 8, 10):
        np.testing.assert_allclose(together[i], net(images[i : i + 1])[0], atol=1e-6)
    assert together[3:5].tobytes() == VGG16.from_onnx(model, conv=conv, threads=1)(images)[3:5].tobytes()


@pytest.mark.thorough
@pytest.mark.parametrize(
    "layout",
    [
        Layout(alignment=1),
        Layout(storage="raw", alignment=0),
        Layout(storage="external"),
        Layout(head="Conv"),
        Layout(head="MatMul"),  # weights lie there transposed, and are not read row by row
    ],
)
def test_every_pass_gives_the_same_bits_though_the_first_reads_its_weights_from_the_file(layout, images, tmp_path):
    path = write_standin(tmp_path / "net.onnx", layout)
    wanted = VGG16.from_onnx(path, conv="textbook", dtype="float64")(images[:2])
    for n in (1, 2):
        for options in ({}, {"conv": "winograd"}, {"dtype": "float64"}):
            net = VGG16.from_onnx(path, **options)
            first, *others = (net(images[:n]) for _ in range(3))
            assert {other.tobytes() for other in others} == {first.tobytes()}
            assert dict(VGG16.from_onnx(path, **options).trace(images[:n]))["prob"].tobytes() == first.tobytes()
            np.testing.assert_allclose(first, wanted[:n], atol=1e-6)


def test_a_network_may_be_used_by_several_threads_from_its_first_pass_on(images, tmp_path):
    net, answers = VGG16.from_onnx(write_standin(tmp_path / "net.onnx")), []
    threads = [threading.Thread(target=lambda: answers.append(net(images[:1]).tobytes())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [net(images[:1]).tobytes()] * 4


def test_weights_that_memory_has_no_room_for_are_read_from_the_file_again(images, tmp_path, monkeypatch):
    net = VGG16.from_onnx(write_standin(tmp_path / "net.onnx"))
    first = net(images[:1])

    def no_room() -> None:
        raise MemoryError

    for layer in net.layers:
        if layer.kind == "fc":
            monkeypatch.setattr(layer.stored, "array", no_room)
    assert net(images[:1]).tobytes() == net(images[:1]).tobytes() == first.tobytes()


def test_layers_say_how_they_run():
    methods = {
        conv: {layer.title: layer.method for layer in VGG16.from_onnx(standin_model(width=1 / 4), conv=conv).layers}
        for conv in ("im2col", "winograd", "textbook")
    }
    assert (methods["im2col"]["conv3_1"], methods["winograd"]["conv3_1"]) == ("im2col", "Winograd F(4x4, 3x3)")
    assert (methods["winograd"]["conv1_1"], methods["winograd"]["fc6"]) == ("im2col", "row blocks")
    assert (methods["textbook"]["conv3_1"], methods["textbook"]["pool1"]) == ("textbook", "")


def test_options_that_do_not_exist_are_turned_away():
    with pytest.raises(ArgumentError, match="conv='fft'"):
        VGG16.from_onnx(standin_model(), conv="fft")
    for threads in (0, -1, 1.5, "2"):
        with pytest.raises(ArgumentError, match=f"threads={threads!r}"):
            VGG16.from_onnx(standin_model(), threads=threads)


# ---------------------------------------------------------------------- threads


def blas_threads() -> list[int]:
    """Of NumPy's BLAS, which its wheels bring; a library that another test has loaded is not the kernels'."""
    loaded = [library for library in threadpool_info() if library["user_api"] == "blas"]
    numpys = [library for library in loaded if re.search(r"[\\/]numpy(\.libs|[\\/])", library["filepath"])]
    return [library["num_threads"] for library in numpys or loaded]


@pytest.fixture
def two_blas_threads():
    """Each process of a parallel run has one, of which a limit would not be seen."""
    with threadpool_limits(2, user_api="blas"):
        yield


@pytest.mark.usefixtures("two_blas_threads")
def test_blas_keeps_to_one_thread_while_strips_are_taken_and_gets_its_own_back():
    before, seen = blas_threads(), []
    Workers(2).run(lambda number: seen.extend(blas_threads()), 4)
    assert set(seen) == {1}
    assert blas_threads() == before

    def fail(number: int) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Workers(2).run(fail, 4)
    assert blas_threads() == before


@pytest.mark.usefixtures("two_blas_threads")
def test_networks_at_work_in_two_threads_do_not_disturb_each_other(images):
    nets = [VGG16.from_onnx(standin_model(seed=seed), conv=conv) for seed, conv in ((0, "im2col"), (1, "winograd"))]
    wanted = [net(images[:1]).tobytes() for net in nets]
    before, wrong = blas_threads(), []

    def work(net: VGG16, answer: bytes) -> None:
        wrong.extend(1 for _ in range(4) if net(images[:1]).tobytes() != answer)

    # Two threads for each network: the networks stay apart, and one may be called from several threads at once.
    threads = [threading.Thread(target=work, args=pair) for pair in list(zip(nets, wanted, strict=True)) * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert blas_threads() == before


@pytest.mark.usefixtures("two_blas_threads")
def test_the_limit_on_blas_is_counted():
    before = blas_threads()
    with one_blas_thread:
        with one_blas_thread:
            pass
        assert set(blas_threads()) == {1}
    assert blas_threads() == before


@pytest.mark.usefixtures("two_blas_threads")
def test_the_limit_on_blas_holds_and_ends_whichever_threads_come_and_go():
    before, entered, leave = blas_threads(), threading.Event(), threading.Event()

    def first() -> None:
        with one_blas_thread:
            entered.set()
            leave.wait()

    for _ in range(2):
        entered.clear()
        leave.clear()
        thread = threading.Thread(target=first)
        thread.start()
        entered.wait()
        with one_blas_thread:
            leave.set()
            thread.join()  # the one that set the limit is gone
            assert set(blas_threads()) == {1}
        assert blas_threads() == before


@pytest.mark.parametrize(("first", "later"), [("", "import scipy.linalg"), ("import scipy.linalg", "")])
def test_a_blas_that_another_package_brings_is_left_alone(first, later):
    """SciPy's wheels have one: its threads are not limited, nor does it matter whether it is loaded sooner or later."""
    program = f"""
import numpy, threadpoolctl
from numpyvgg.kernels.threads import one_blas_thread
{first}

def threads(package):
    return [lib["num_threads"] for lib in threadpoolctl.threadpool_info() if f"/{{package}}.libs/" in lib["filepath"]]

with one_blas_thread:
    pass
{later}
threadpoolctl.threadpool_limits(2)
with one_blas_thread:
    print(threads("numpy"), threads("scipy"))
print(threads("numpy"), threads("scipy"))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    if "[] " in done.stdout or " []" in done.stdout:
        pytest.skip("NumPy or SciPy here is not a Linux wheel with a BLAS of its own")
    assert done.stdout.splitlines() == ["[1] [2]", "[2] [2]"]


def test_every_task_is_done_once_and_the_first_error_is_raised():
    done: list[int] = []
    Workers(3).run(done.append, 100)
    assert sorted(done) == list(range(100))
    Workers(3).run(done.append, 0)
    assert len(done) == 100


def test_where_no_thread_can_be_started_the_calling_one_does_all_tasks(monkeypatch):
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    done: list[int] = []
    workers = Workers(3)
    for _ in range(2):
        workers.run(done.append, 5)
    assert done == [0, 1, 2, 3, 4] * 2


def test_threads_end_with_the_pool_that_started_them():
    names = {"numpyvgg-1", "numpyvgg-2"}
    before = {thread for thread in threading.enumerate() if thread.name in names}
    workers = Workers(3)
    workers.run(lambda number: None, 3)
    ours = {thread for thread in threading.enumerate() if thread.name in names} - before
    assert {thread.name for thread in ours} == names
    del workers
    for thread in ours:
        thread.join(timeout=60)
        assert not thread.is_alive()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_starts_threads_of_its_own():
    workers, done = Workers(2), []
    workers.run(done.append, 4)
    child = os.fork()
    if child == 0:
        signal.alarm(60)  # ends a child that waits for its parent's threads
        workers.run(done.append, 4)
        os._exit(len(done))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 8


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.usefixtures("two_blas_threads")
def test_a_forked_child_gets_the_blas_threads_that_its_parent_had_before():
    before = blas_threads()
    with one_blas_thread:
        child = os.fork()
        if child == 0:
            os._exit(blas_threads() == before)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1


def test_a_network_can_be_used_until_the_very_end_of_a_program():
    program = """
import atexit
from numpyvgg.kernels.threads import Workers
workers, done = Workers(2), []
atexit.register(lambda: (workers.run(done.append, 9), print(sorted(done))))
workers.run(lambda number: None, 9)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout.strip() == str(list(range(9)))


def test_a_failed_task_keeps_no_arrays_alive():
    class Array:
        pass

    array, workers = Array(), Workers(2)
    watched = weakref.ref(array)

    def fail(number: int, held: Array = array) -> None:
        raise ZeroDivisionError

    gc.disable()
    try:
        with pytest.raises(ZeroDivisionError) as caught:
            workers.run(fail, 2)
        del array, fail, caught
        workers.run(lambda number: None, 2)  # by now the helpers have let go of the round before
        assert watched() is None
    finally:
        gc.enable()


def test_each_ticket_goes_to_one_thread():
    tickets, taken = Tickets(2000), [[] for _ in range(4)]
    threads = [threading.Thread(target=mine.extend, args=(tickets,)) for mine in taken]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(number for mine in taken for number in mine) == list(range(2000))

    some = Tickets(3)
    assert next(some) == 0
    some.close()
    assert list(some) == []


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu.max": "150000 100000"}, 1.5),
        ({"cpu.max": "max 100000"}, np.inf),
        ({"cpu/cpu.cfs_quota_us": "400000", "cpu/cpu.cfs_period_us": "100000"}, 4),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, np.inf),
        ({}, np.inf),
    ],
)
def test_a_containers_quota_is_read_from_its_control_group(files, cores, tmp_path):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert _container_quota(tmp_path) == cores


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity to set")
def test_only_cores_that_the_process_may_use_are_counted():
    cores = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(cores)})
        assert available_cores() == 1
    finally:
        os.sched_setaffinity(0, cores)
    assert 1 <= available_cores() <= len(cores)


def test_scratch_memory_is_one_threads_own():
    scratch, there = Scratch(), []
    here = scratch.array("a", (10,), np.dtype(np.float32))
    assert np.shares_memory(here, scratch.array("a", (5, 2), np.dtype(np.float32)))
    thread = threading.Thread(target=lambda: there.append(scratch.array("a", (10,), np.dtype(np.float32))))
    thread.start()
    thread.join()
    assert not np.shares_memory(here, there[0])


def test_cache_sizes_are_plausible():
    assert 8 * 1024 <= cache_bytes(1) < cache_bytes(2) <= 64 * 1024**2


# ---------------------------------------------------------------------- memory


@pytest.mark.parametrize(
    ("memory", "kept"), [("fast", True), ("small", False), (1 << 40, True), ("a tenth more than now", False)]
)
def test_the_second_pass_keeps_weights_where_they_may_be_and_all_passes_have_the_same_bits(
    memory, kept, images, tmp_path
):
    path = write_standin(tmp_path / "net.onnx")
    if memory == "a tenth more than now":
        memory = int(1.1 * memory_in_use())
    net = VGG16.from_onnx(path, memory=memory)
    assert len({net(images[:1]).tobytes() for _ in range(3)}) == 1
    fc6 = next(fc for layer, fc in zip(net.layers, net._weights, strict=True) if layer.title == "fc6")
    assert isinstance(fc6.weight, np.ndarray) == kept


@pytest.mark.parametrize("memory", ["large", 0, -1, 1.5, True])
def test_a_budget_that_is_none_is_turned_away(memory):
    with pytest.raises(ArgumentError, match=re.escape(f"memory={memory!r}: 'small', 'fast', or a number of bytes")):
        VGG16.from_onnx(standin_model(), memory=memory)


def test_a_network_that_cannot_fit_says_so_before_it_is_made():
    with pytest.raises(MemoryError, match=r"a layer's filters takes .* of 1\.0 MB that this process may use"):
        VGG16.from_onnx(standin_model(), memory=10**6)


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="only Linux tells what a process holds")
def test_what_a_process_holds_grows_with_its_arrays_and_not_with_the_files_it_maps(tmp_path):
    path = tmp_path / "large"
    path.write_bytes(bytes(64 << 20))
    before = memory_in_use()
    mapped = np.memmap(path, np.uint8, "r")
    assert mapped.sum() == 0
    assert memory_in_use() - before < 32 << 20
    held = np.ones(64 << 20, np.uint8)
    assert memory_in_use() - before >= held.nbytes


@pytest.mark.parametrize(("tuned", "method"), [(True, "im2col"), (False, "Winograd F(4x4, 3x3)")])
def test_where_numpy_has_no_tuned_blas_winograd_is_the_default(tuned, method, monkeypatch):
    monkeypatch.setattr("numpyvgg.kernels.blas_is_tuned", lambda: tuned)
    net = VGG16.from_onnx(standin_model(width=1 / 4))
    assert next(layer.method for layer in net.layers if layer.title == "conv3_1") == method


def test_a_product_is_timed_where_no_blas_is_known_by_name(monkeypatch):
    monkeypatch.setattr("numpyvgg.kernels.threads._numpy_blas", list)
    ticks = iter(range(100))
    monkeypatch.setattr("numpyvgg.kernels.threads.time.perf_counter", lambda: next(ticks))  # a second for each product
    blas_is_tuned.cache_clear()
    assert not blas_is_tuned()
    blas_is_tuned.cache_clear()
    monkeypatch.setattr("numpyvgg.kernels.threads.time.perf_counter", lambda: next(ticks) * 1e-9)
    assert blas_is_tuned()
    blas_is_tuned.cache_clear()
