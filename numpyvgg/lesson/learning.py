"""Exercises about training: derivatives by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .. import layers
from .exercise import Exercise

Cases = Iterator[tuple[Any, ...]]
LEARNING = "learning.md"


def softmax_gradient(scores: np.ndarray, label: int) -> np.ndarray:
    """The loss is -log(softmax(scores)[label]), scores [K]. Return its derivative with respect to each score."""
    return layers.softmax(scores) - np.eye(len(scores))[label]


def conv_gradient(x: np.ndarray, dy: np.ndarray) -> np.ndarray:
    """Images x [N, H, W] of one channel were convolved with one filter w [kH, kW], no padding, stride 1. dy [N, h, w]
    is the derivative of the loss with respect to each output. Return that with respect to each weight, [kH, kW].
    """
    height, width = dy.shape[1:]
    kernel_h, kernel_w = x.shape[1] - height + 1, x.shape[2] - width + 1
    return np.array(
        [[np.sum(dy * x[:, i : i + height, j : j + width]) for j in range(kernel_w)] for i in range(kernel_h)]
    )


def max_pool_gradient(x: np.ndarray, dy: np.ndarray) -> np.ndarray:
    """x [2h, 2w] went through a max pooling of 2 x 2 blocks; dy [h, w] is the loss's derivative with respect to each
    output. Return that with respect to each pixel. Of equal largest pixels the first one counts.
    """
    blocks = _blocks(x)
    one = np.eye(4)[blocks.argmax(-1)]  # where the largest is; of equal ones the first
    return _unblocked(one * dy[..., None])


def _blocks(x: np.ndarray) -> np.ndarray:
    """``[2h, 2w]`` -> its 2 x 2 blocks ``[h, w, 4]``."""
    height, width = x.shape[0] // 2, x.shape[1] // 2
    return x.reshape(height, 2, width, 2).swapaxes(1, 2).reshape(height, width, 4)


def _unblocked(blocks: np.ndarray) -> np.ndarray:
    height, width = blocks.shape[:2]
    return blocks.reshape(height, width, 2, 2).swapaxes(1, 2).reshape(2 * height, 2 * width)


# ---------------------------------------------------------------------- what is tried


def _sides(rng: np.random.Generator, most: int) -> Iterator[tuple[int, int]]:
    side = 1
    while True:
        yield int(rng.integers(1, side + 1)), int(rng.integers(1, side + 1))
        side = min(side + 1, most)


def _scores(rng: np.random.Generator) -> Cases:
    for classes, _ in _sides(rng, 6):
        yield rng.standard_normal(classes + 1), int(rng.integers(classes + 1))


def _convolved(rng: np.random.Generator) -> Cases:
    for (height, width), (images, kernel) in zip(_sides(rng, 4), _sides(rng, 3), strict=False):
        dy = rng.integers(-3, 4, (images, height, width)).astype(float)
        yield rng.integers(-9, 10, (images, height + kernel - 1, width + kernel - 1)).astype(float), dy


def _pooled(rng: np.random.Generator) -> Cases:
    for height, width in _sides(rng, 4):
        x = rng.integers(-2, 3, (2 * height, 2 * width)).astype(float)  # a block has equal values now and then
        yield x, rng.integers(1, 9, (height, width)).astype(float)


EXERCISES = [
    Exercise(
        softmax_gradient,
        LEARNING,
        20,
        _scores,
        {
            "the sign is the other way round: more of the right score makes the loss smaller.": lambda scores, label: (
                -softmax_gradient(scores, label)
            ),
            "the other scores matter too: raising one of them lowers the right class's share.": lambda scores, label: (
                softmax_gradient(scores, label) * np.eye(len(scores))[label]
            ),
            "that is the derivative of the probability; the loss has its logarithm.": lambda scores, label: (
                -softmax_gradient(scores, label) * layers.softmax(scores)[label]
            ),
        },
    ),
    Exercise(
        conv_gradient,
        LEARNING,
        30,
        _convolved,
        {
            "weight (i, j) was multiplied by the pixels moved by i rows and j columns; yours is turned round.": (
                lambda x, dy: conv_gradient(x, dy)[::-1, ::-1]
            ),
            "every image adds its part: sum over them, no mean.": lambda x, dy: conv_gradient(x, dy) / len(x),
            "every image adds its part; you use the first.": lambda x, dy: conv_gradient(x[:1], dy[:1]),
            "the derivative is weighed by dy.": lambda x, dy: conv_gradient(x, np.ones_like(dy)),
        },
    ),
    Exercise(
        max_pool_gradient,
        "training.md",
        25,
        _pooled,
        {
            "only the largest pixel of a block has a part in the output; the others' derivative is 0.": lambda x, dy: (
                _unblocked(np.repeat(dy[..., None], 4, -1))
            ),
            "that is what an average pooling would do; the largest pixel gets all of it.": lambda x, dy: _unblocked(
                np.repeat(dy[..., None] / 4, 4, -1)
            ),
            "of equal largest pixels only the first counts; you give dy to each.": lambda x, dy: _unblocked(
                (_blocks(x) == _blocks(x).max(-1, keepdims=True)) * dy[..., None]
            ),
            "of equal largest pixels the first counts, not the last.": lambda x, dy: _unblocked(
                np.eye(4)[3 - _blocks(x)[..., ::-1].argmax(-1)] * dy[..., None]
            ),
        },
    ),
]
