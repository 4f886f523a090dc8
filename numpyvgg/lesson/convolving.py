"""Exercises about convolutions: sizes, what a pixel sees, the operation itself, what it costs, Winograd."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .. import layers
from .exercise import Exercise

Cases = Iterator[tuple[Any, ...]]
SIZES, CHANNELS, LAYERS, WINOGRAD = "sizes.md", "channels.md", "walkthrough 4", "walkthrough 9"


def output_size(size: int, kernel: int, stride: int, pad: int) -> int:
    """In how many places does a window of `kernel` pixels fit on a row of `size` pixels with `pad` zeros at both ends,
    if it moves by `stride`?
    """
    return layers.output_size(size, kernel, stride, pad, pad)


def receptive_field(windows: list[tuple[int, int]]) -> int:
    """Layers, the first one first, each a (kernel, stride). How many pixels of the photograph does one output of the
    last layer see along a side?
    """
    field, jump = 1, 1
    for kernel, stride in windows:
        field, jump = field + (kernel - 1) * jump, jump * stride
    return field


def conv2d(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, stride: int, pad: int) -> np.ndarray:
    """x [C, H, W], weight [M, C, k, k], bias [M], `pad` zeros on all four sides: the convolution [M, H', W'] as
    networks mean it (the filter is not turned round). Loops are fine.
    """
    return layers.conv2d(x[None], weight, bias, strides=(stride, stride), pads=(pad,) * 4)[0]


def im2col(x: np.ndarray, kernel: int) -> np.ndarray:
    """x [C, H, W]: each window of kernel x kernel pixels as a column, [C * kernel * kernel, places], so that
    weight.reshape(M, -1) @ im2col(x, kernel) is the convolution. Places in the order of the output's pixels.
    """
    return layers.im2col(x[None], (kernel, kernel))[0]


def max_pool(x: np.ndarray) -> np.ndarray:
    """x [C, H, W]: the largest of each 2 x 2 block, [C, H // 2, W // 2]. A row or column that is left over is left
    out.
    """
    return layers.max_pool(x[None], (2, 2), strides=(2, 2))[0]


def conv_cost(inputs: int, outputs: int, kernel: int, height: int, width: int) -> tuple[int, int]:
    """A convolution from `inputs` to `outputs` channels with kernel x kernel filters, bias included, whose output is
    height x width: return (how many numbers it learns, how many multiplications of a weight with a pixel it makes).
    """
    weights = outputs * inputs * kernel * kernel
    return weights + outputs, weights * height * width


def fold_batch_norm(
    weight: np.ndarray,
    bias: np.ndarray,
    scale: np.ndarray,
    shift: np.ndarray,
    mean: np.ndarray,
    variance: np.ndarray,
    epsilon: float,
) -> tuple[np.ndarray, np.ndarray]:
    """A convolution (weight [M, C, k, k], bias [M]) is followed by y = scale * (x - mean) / sqrt(variance + epsilon) +
    shift, each [M]. Return the weight and bias of one convolution that does both.
    """
    factor = scale / np.sqrt(variance + epsilon)
    return weight * factor[:, None, None, None], (bias - mean) * factor + shift


def winograd_filter(g: np.ndarray) -> np.ndarray:
    """Four pixels d and three weights g give two outputs y. With D = (d0 - d2, d1 + d2, d2 - d1, d1 - d3) and the four
    products m = D * G, y0 = m0 + m1 + m2 and y1 = m1 - m2 - m3: four multiplications where the definition takes six.
    Find G, the four numbers that the filter becomes.
    """
    return np.array([g[0], (g[0] + g[1] + g[2]) / 2, (g[0] - g[1] + g[2]) / 2, g[2]])


# ---------------------------------------------------------------------- what is tried


def _growing(rng: np.random.Generator, most: int) -> Iterator[int]:
    """1 at first, later anything up to `most`."""
    count = 0
    while True:
        count += 1
        yield int(rng.integers(1, min(1 + count // 4, most) + 1))


def _sizes(rng: np.random.Generator) -> Cases:
    sizes, kernels, strides = _growing(rng, 30), _growing(rng, 7), _growing(rng, 4)
    while True:
        size, kernel, stride, pad = next(sizes), next(kernels), next(strides), int(rng.integers(4))
        if kernel <= size + 2 * pad:
            yield size, kernel, stride, pad


def _stacks(rng: np.random.Generator) -> Cases:
    for depth in _growing(rng, 8):
        yield ([(int(rng.integers(1, 6)), int(rng.integers(1, 3))) for _ in range(depth)],)


def _image(rng: np.random.Generator, channels: int, height: int, width: int) -> np.ndarray:
    """Small whole numbers, which one can follow on paper."""
    return rng.integers(-9, 10, (channels, height, width)).astype(float)


def _convolutions(rng: np.random.Generator) -> Cases:
    channels, filters, kernels, strides = _growing(rng, 3), _growing(rng, 3), _growing(rng, 3), _growing(rng, 3)
    for extra in _growing(rng, 4):
        inputs, outputs, kernel = next(channels), next(filters), next(kernels)
        x = _image(rng, inputs, kernel + extra - 1, kernel + int(rng.integers(4)))
        weight = rng.integers(-3, 4, (outputs, inputs, kernel, kernel)).astype(float)
        bias = rng.integers(1, 9, outputs).astype(float)
        yield x, weight, bias, next(strides), int(rng.integers(min(kernel, 3)))


def _patches(rng: np.random.Generator) -> Cases:
    for x, weight, *_ in _convolutions(rng):
        yield x, weight.shape[-1]


def _pooled(rng: np.random.Generator) -> Cases:
    sides = _growing(rng, 6)
    for channels in _growing(rng, 3):
        yield (_image(rng, channels, next(sides) + 1, next(sides) + 1),)


def _costs(rng: np.random.Generator) -> Cases:
    sides = _growing(rng, 9)
    for size in _growing(rng, 9):
        inputs, outputs = (int(number) for number in rng.integers(1, 8 * size, 2))
        yield inputs, outputs, int(rng.choice([1, 3, 5])), next(sides), next(sides)


def _batch_norms(rng: np.random.Generator) -> Cases:
    inputs = _growing(rng, 3)
    for outputs in _growing(rng, 4):
        numbers = rng.standard_normal((4, outputs))
        yield (
            rng.standard_normal((outputs, next(inputs), 2, 2)),
            *numbers,
            rng.uniform(0.01, 4, outputs),
            float(rng.choice([1e-5, 1e-3, 0.1])),
        )


def _filters(rng: np.random.Generator) -> Cases:
    yield from ((row,) for row in np.eye(3))
    while True:
        yield (rng.integers(-9, 10, 3).astype(float),)


# ---------------------------------------------------------------------- known mistakes


def _padded(x: np.ndarray, pad: int, mode: str = "constant") -> np.ndarray:
    return np.pad(x, ((0, 0), (pad, pad), (pad, pad)), mode)  # type: ignore[call-overload]


def _padded_after(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, stride: int, pad: int) -> np.ndarray:
    return _padded(conv2d(x, weight, bias, stride, 0), pad)


def _strided_rows(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, stride: int, pad: int) -> np.ndarray:
    return conv2d(x, weight, bias, 1, pad)[:, ::stride]


def _jump_first(windows: list[tuple[int, int]]) -> int:
    field, jump = 1, 1
    for kernel, stride in windows:
        jump *= stride
        field += (kernel - 1) * jump
    return field


def _whole_kernels(windows: list[tuple[int, int]]) -> int:
    field, jump = 0, 1
    for kernel, stride in windows:
        field, jump = field + kernel * jump, jump * stride
    return field


def _taps_first(x: np.ndarray, kernel: int) -> np.ndarray:
    """Rows in the order [kH, kW, C]."""
    columns = im2col(x, kernel)
    return columns.reshape(len(x), kernel * kernel, -1).swapaxes(0, 1).reshape(columns.shape)


def _columns_downwards(x: np.ndarray, kernel: int) -> np.ndarray:
    """Places column by column of the image."""
    columns = im2col(x, kernel)
    height, width = x.shape[1] - kernel + 1, x.shape[2] - kernel + 1
    return columns.reshape(-1, height, width).swapaxes(1, 2).reshape(columns.shape)


def _blocks(x: np.ndarray) -> np.ndarray:
    """``[C, H, W]`` -> its 2 x 2 blocks ``[C, h, w, 4]``."""
    height, width = x.shape[1] // 2, x.shape[2] // 2
    blocks = x[:, : 2 * height, : 2 * width].reshape(-1, height, 2, width, 2)
    return blocks.swapaxes(2, 3).reshape(*blocks.shape[:2], width, 4)


def _folded(
    weight: np.ndarray, factor: np.ndarray, bias: np.ndarray, shift: np.ndarray, mean: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    return weight * factor[:, None, None, None], (bias - mean) * factor + shift


EXERCISES = [
    Exercise(
        output_size,
        SIZES,
        10,
        _sizes,
        {
            "a window that fits exactly fits once, not never: something is missing at the end of the formula.": (
                lambda size, kernel, stride, pad: (size - kernel + 2 * pad) // stride
            ),
            "there is padding at both ends: 2 * pad.": lambda size, kernel, stride, pad: (
                (size - kernel + pad) // stride + 1
            ),
            "a window that does not fit is left out: round down.": lambda size, kernel, stride, pad: (
                -(-(size - kernel + 2 * pad) // stride) + 1
            ),
        },
    ),
    Exercise(
        receptive_field,
        SIZES,
        20,
        _stacks,
        {
            "neighbours are further apart after a stride: a window adds (kernel - 1) times that distance.": (
                lambda windows: 1 + sum(kernel - 1 for kernel, _ in windows)
            ),
            "a layer's own stride counts from the next layer on: widen the field before the distance.": _jump_first,
            "a window of one pixel sees nothing more: each adds kernel - 1 times the distance.": _whole_kernels,
        },
    ),
    Exercise(
        conv2d,
        LAYERS,
        45,
        _convolutions,
        {
            "networks do not turn the filter round: it is a cross-correlation.": lambda x, weight, *others: conv2d(
                x, weight[:, :, ::-1, ::-1], *others
            ),
            "each filter has a bias, added once to each of its outputs.": lambda x, weight, bias, *others: conv2d(
                x, weight, 0 * bias, *others
            ),
            "the zeros go around the image before the windows, not around the result.": _padded_after,
            "the window moves by `stride` along both axes.": _strided_rows,
            "the filter's rows go with the image's rows; yours are exchanged with the columns.": (
                lambda x, weight, *others: conv2d(x, weight.swapaxes(2, 3), *others)
            ),
            "a filter sums over all channels; you use the first.": lambda x, weight, *others: conv2d(
                x[:1], weight[:, :1], *others
            ),
            "what lies outside is zero; you repeat the border.": lambda x, weight, bias, stride, pad: conv2d(
                _padded(x, pad, "edge"), weight, bias, stride, 0
            ),
        },
    ),
    Exercise(
        im2col,
        LAYERS,
        30,
        _patches,
        {
            "a window is a column here: transpose.": lambda x, kernel: im2col(x, kernel).T,
            "the rows' order is that of a filter's weights: channel, row, column.": _taps_first,
            "the places go along the output's rows: the column moves fastest.": _columns_downwards,
        },
    ),
    Exercise(
        max_pool,
        "walkthrough 5",
        15,
        _pooled,
        {
            "the largest of a block, not its average.": lambda x: _blocks(x).mean(-1),
            "blocks do not overlap: the window moves by two.": lambda x: layers.max_pool(x[None], (2, 2))[0],
            "a row or column that is left over is left out.": lambda x: layers.max_pool(
                x[None], (2, 2), strides=(2, 2), ceil_mode=True
            )[0],
            "the largest value counts, not the largest magnitude.": lambda x: np.take_along_axis(
                _blocks(x), np.abs(_blocks(x)).argmax(-1)[..., None], -1
            )[..., 0],
        },
    ),
    Exercise(
        conv_cost,
        CHANNELS,
        15,
        _costs,
        {
            "each filter has a bias too.": lambda inputs, outputs, kernel, height, width: (
                inputs * outputs * kernel**2,
                inputs * outputs * kernel**2 * height * width,
            ),
            "there is a bias for each output channel, not for each input channel.": (
                lambda inputs, outputs, kernel, height, width: (
                    inputs * outputs * kernel**2 + inputs,
                    inputs * outputs * kernel**2 * height * width,
                )
            ),
            "a filter has kernel x kernel weights for every input channel.": (
                lambda inputs, outputs, kernel, height, width: (
                    outputs * kernel**2 + outputs,
                    outputs * kernel**2 * height * width,
                )
            ),
            "every weight is used once for each pixel of the output.": lambda inputs, outputs, kernel, height, width: (
                inputs * outputs * kernel**2 + outputs,
                inputs * outputs * kernel**2,
            ),
        },
    ),
    Exercise(
        fold_batch_norm,
        "walkthrough 5",
        30,
        _batch_norms,
        {
            "divide by the standard deviation, not by the variance: a root is missing.": (
                lambda weight, bias, scale, shift, mean, variance, epsilon: _folded(
                    weight, scale / (variance + epsilon), bias, shift, mean
                )
            ),
            "epsilon is added below the root.": lambda weight, bias, scale, shift, mean, variance, epsilon: _folded(
                weight, scale / (np.sqrt(variance) + epsilon), bias, shift, mean
            ),
            "the convolution's own bias is scaled too.": (
                lambda weight, bias, scale, shift, mean, variance, epsilon: (
                    weight * (factor := scale / np.sqrt(variance + epsilon))[:, None, None, None],
                    bias - mean * factor + shift,
                )
            ),
            "the convolution's own bias does not vanish.": (
                lambda weight, bias, scale, shift, mean, variance, epsilon: _folded(
                    weight, scale / np.sqrt(variance + epsilon), 0 * bias, shift, mean
                )
            ),
        },
    ),
    Exercise(
        winograd_filter,
        WINOGRAD,
        30,
        _filters,
        {
            "expand m1 + m2: each of d1 and d2 comes twice, so the two in the middle are halved.": lambda g: np.array(
                [g[0], g[0] + g[1] + g[2], g[0] - g[1] + g[2], g[2]]
            ),
            "the filter is not turned round: y0 = d0 g0 + d1 g1 + d2 g2.": lambda g: winograd_filter(g[::-1]),
            "the two in the middle are exchanged: which of them has -g1?": lambda g: winograd_filter(g)[[0, 2, 1, 3]],
        },
    ),
]
