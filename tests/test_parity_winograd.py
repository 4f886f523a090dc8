"""Winograd kernels are excused for errors that float32 makes there, and for no others."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper
from skimage import data
from test_parity import bfloat16, chain, conv_case, conv_net, onnxruntime_on, winograd_conv

from numpyvgg import layers
from numpyvgg.parity import compare
from numpyvgg.parity.precision import round_to


def photograph(size):
    return np.ascontiguousarray(data.astronaut()[:size, :size].transpose(2, 0, 1)[None]).astype(np.float32)


@pytest.mark.thorough
@pytest.mark.parametrize("m", [2, 4, 6])
@pytest.mark.parametrize("channels", [3, 64])
@pytest.mark.parametrize("picture", ["noise", "photograph"])
def test_winograd_in_float32_is_explained_on_noise_and_on_photographs(tmp_path, m, channels, picture):
    x, weight = conv_case(channels, 16, 48)
    if picture == "photograph":
        x = np.repeat(photograph(48), -(-channels // 3), axis=1)[:, :channels]
    parity = compare(conv_net(tmp_path, weight, size=(48, 48)), x, lambda x: winograd_conv(x, weight, m))
    assert parity.verdict == "explained", str(parity)


@pytest.mark.thorough
@pytest.mark.parametrize("m", [4, 6])
@pytest.mark.parametrize("bits", [18, 13, 11, 10, 8])
@pytest.mark.parametrize("channels", [3, 256])
def test_winograd_of_short_products_is_not_explained_as_float32(tmp_path, m, bits, channels):
    x, weight = conv_case(channels, 16, 24)

    def short(array):
        return round_to(array, bits).astype(np.float32)

    kernel = lambda x: winograd_conv(x, weight, m, precision=short)  # noqa: E731
    assert compare(conv_net(tmp_path, weight, size=(24, 24)), x, kernel).verdict == "not explained"


def test_a_forgotten_bias_of_one_channel_is_not_excused_as_winograd(tmp_path):
    x, weight = conv_case(64, 16, 48)
    x *= np.linspace(0, 100, 48, dtype=np.float32) ** 2 / 100  # magnitudes as uneven as a photograph's
    bias = np.full(16, 0.05, np.float32)
    path = conv_net(tmp_path, weight, bias, size=(48, 48))
    for channel in range(0, 16, 5):
        broken = bias.copy()
        broken[channel] = 0
        parity = compare(path, x, lambda x, b=broken: layers.conv2d(x, weight, b, pads=(1, 1, 1, 1)))
        assert parity.verdict == "not explained", channel


def test_winograd_behind_a_fused_relu_is_excused_and_bfloat16_there_is_not(tmp_path):
    x, weight = conv_case(3, 8, 48)
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"], pads=[1] * 4), helper.make_node("Relu", ["c"], ["r"])]
    path = chain(tmp_path, nodes, {"w": weight}, x.shape)
    fused = compare(path, x, lambda x: {"r": np.maximum(winograd_conv(x, weight, 6), 0)})
    assert fused.verdict == "explained"
    assert fused.layers[-1].judgement.verdict == "Winograd"
    short = compare(path, x, lambda x: {"r": np.maximum(winograd_conv(x, weight, 6, precision=bfloat16), 0)})
    assert short.verdict == "not explained"


def test_onnxruntime_on_a_photograph_needs_no_excuse(tmp_path):
    _, weight = conv_case(3, 8, 48)
    path = conv_net(tmp_path, weight, size=(48, 48))
    assert compare(path, photograph(48), onnxruntime_on(path, photograph(48))).layers[0].judgement.verdict == "rounding"
