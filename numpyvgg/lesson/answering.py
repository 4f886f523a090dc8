"""Exercises around the convolutions: pixels into tensors, scores into an answer, how far rounding goes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .. import layers
from ..photo.answers import expected_age as age_of
from .exercise import Exercise

Cases = Iterator[tuple[Any, ...]]
UNIT_ROUNDOFF = 2.0**-24


def to_tensor(pixels: np.ndarray) -> np.ndarray:
    """pixels uint8 [H, W, 3], red first, as an image library gives them. These networks take float32 [1, 3, H, W],
    blue first, values 0 to 255.
    """
    return pixels[None, :, :, ::-1].transpose(0, 3, 1, 2).astype(np.float32)


def linear(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """x [C, H, W], weight [M, C * H * W], bias [M]: flatten x as ONNX does (the last axis fastest) and return the M
    sums.
    """
    return weight @ x.reshape(-1) + bias


def softmax(x: np.ndarray) -> np.ndarray:
    """x [N, K]: the softmax of each row. Scores may be 1000 and more."""
    return layers.softmax(x)


def expected_age(probabilities: np.ndarray) -> tuple[float, float]:
    """probabilities [101], of the ages 0 to 100: return (expected age, standard deviation), both in years."""
    age = age_of(probabilities)
    return age.expected, age.standard_deviation


def error_bound(x: np.ndarray, w: np.ndarray) -> float:
    """x and w [n]. However their sum of products is ordered, computed in float32 it is off by at most gamma_n * sum
    |x_i| |w_i| with gamma_n = n u / (1 - n u) and u = 2 ** -24. Return that bound.
    """
    n = len(x)
    return float(n * UNIT_ROUNDOFF / (1 - n * UNIT_ROUNDOFF) * np.sum(np.abs(x) * np.abs(w)))


# ---------------------------------------------------------------------- what is tried


def _pictures(rng: np.random.Generator) -> Cases:
    side = 1
    while True:
        side = min(side + 1, 6)
        yield (rng.integers(0, 256, (int(rng.integers(1, side)), int(rng.integers(1, side)), 3)).astype(np.uint8),)


def _vectors(rng: np.random.Generator) -> Cases:
    side = 1
    while True:
        side = min(side + 1, 4)
        shape = tuple(int(size) for size in rng.integers(1, side + 1, 3))
        outputs = int(rng.integers(1, side + 1))
        weight = rng.integers(-3, 4, (outputs, int(np.prod(shape)))).astype(float)
        yield rng.integers(-9, 10, shape).astype(float), weight, rng.integers(1, 9, outputs).astype(float)


def _scores(rng: np.random.Generator) -> Cases:
    yield (np.array([[0.0, 0.0]]),)
    rows = 1
    while True:
        rows = min(rows + 1, 4)
        scale = float(rng.choice([1, 10, 1000]))
        yield (scale * rng.standard_normal((int(rng.integers(1, rows + 1)), int(rng.integers(2, 6)))),)


def _distributions(rng: np.random.Generator) -> Cases:
    yield (np.eye(101)[30],)
    while True:
        middle, width = rng.uniform(5, 90), rng.uniform(1, 15)
        yield (layers.softmax(-(((np.arange(101) - middle) / width) ** 2) + rng.uniform(0, 2, 101)),)


def _products(rng: np.random.Generator) -> Cases:
    length = 1
    while True:
        length = min(length + 1, 12)
        yield tuple(rng.integers(-9, 10, (2, int(rng.integers(1, length)))).astype(float))


# ---------------------------------------------------------------------- known mistakes


def _softmax_of_all(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max())
    return np.asarray(e / e.sum())


def _moments(ages: np.ndarray, probabilities: np.ndarray) -> tuple[float, float]:
    mean = probabilities @ ages
    return float(mean), float(np.sqrt(probabilities @ (ages - mean) ** 2))


EXERCISES = [
    Exercise(
        to_tensor,
        "walkthrough 3",
        10,
        _pictures,
        {
            "the channels' order is blue, green, red.": lambda pixels: to_tensor(pixels[:, :, ::-1]),
            "these networks take values 0 to 255, not 0 to 1.": lambda pixels: to_tensor(pixels) / 255,
            "the channel axis comes before rows and columns: transpose.": lambda pixels: np.float32(
                pixels[None, :, :, ::-1]
            ),
            "transposing moves axes, reshaping only renames places: [H, W, 3] reshaped to [3, H, W] is a jumble.": (
                lambda pixels: np.float32(pixels[:, :, ::-1]).reshape(1, 3, *pixels.shape[:2])
            ),
            "the axis of the batch comes first: [1, 3, H, W].": lambda pixels: to_tensor(pixels)[0],
        },
    ),
    Exercise(
        linear,
        "walkthrough 6",
        10,
        _vectors,
        {
            "the weights' order is channel, row, column; yours is row, column, channel.": lambda x, weight, bias: (
                linear(x.transpose(1, 2, 0), weight, bias)
            ),
            "each output has a bias.": lambda x, weight, bias: linear(x, weight, 0 * bias),
            "the sums are signed; there is no ReLU in it.": lambda x, weight, bias: np.maximum(
                linear(x, weight, bias), 0
            ),
        },
    ),
    Exercise(
        softmax,
        "walkthrough 7",
        15,
        _scores,
        {
            "exp(1000) is infinite: subtract each row's largest score first, which changes nothing else.": lambda x: (
                np.exp(x) / np.exp(x).sum(-1, keepdims=True)
            ),
            "each row is a distribution of its own and sums to 1.": _softmax_of_all,
            "the columns sum to 1 with you; it is the rows that should.": lambda x: layers.softmax(x, 0),
            "you return the logarithm of it.": lambda x: (
                (x - x.max(-1, keepdims=True)) - np.log(np.exp(x - x.max(-1, keepdims=True)).sum(-1, keepdims=True))
            ),
        },
    ),
    Exercise(
        expected_age,
        "walkthrough 7",
        15,
        _distributions,
        {
            "the first class is the age of 0, not 1.": lambda probabilities: _moments(np.arange(1, 102), probabilities),
            "the likeliest age is not the expected one: weigh all of them.": lambda probabilities: (
                float(np.argmax(probabilities)),
                expected_age(probabilities)[1],
            ),
            "that is the variance, in years squared; the deviation is its root.": lambda probabilities: (
                expected_age(probabilities)[0],
                expected_age(probabilities)[1] ** 2,
            ),
        },
    ),
    Exercise(
        error_bound,
        "walkthrough 10",
        15,
        _products,
        {
            "half a unit in the last place is 2 ** -24; 2 ** -23 is the distance of neighbours at 1.": lambda x, w: (
                2 * error_bound(x, w)
            ),
            "magnitudes are summed: errors of terms that cancel stay.": lambda x, w: (
                error_bound(np.ones(len(x)), np.ones(len(x))) / len(x) * abs(float(x @ w))
            ),
            "each of n roundings adds its part: gamma_n grows with n.": lambda x, w: (
                UNIT_ROUNDOFF / (1 - UNIT_ROUNDOFF) * float(np.sum(np.abs(x * w)))
            ),
        },
    ),
]
