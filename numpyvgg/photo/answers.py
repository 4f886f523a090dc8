"""What a network's outputs say of one photograph: an age, a gender, one class of many, or a number.

An age is not the most probable of the 101 classes but the expected value over all of them, E = sum of i * p_i, which is
what DEX (Deep EXpectation) is named for. What the classes mean is not told by their number: see `zoo.labels`.

Source: Rasmus Rothe, Radu Timofte and Luc Van Gool, "Deep expectation of real and apparent age from a single image
without facial landmarks", International Journal of Computer Vision 126, 2018.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from ..errors import ArgumentError, reported_as_argument
from ..zoo.labels import UNKNOWN, Labels


@dataclass(frozen=True)
class Age:
    """An age as a distribution over years.

    Attributes
    ----------
    expected : float
        The answer, in years: sum of i * p_i.
    standard_deviation : float
        In years; how wide the distribution is.
    most_probable : int
        The year with the largest probability.
    probabilities : ndarray [classes]
        101 for the years 0 to 100.
    """

    kind: ClassVar[str] = "age"
    expected: float
    standard_deviation: float
    most_probable: int
    probabilities: np.ndarray = field(repr=False, compare=False)

    def __str__(self) -> str:
        return f"{self.expected:.1f} ± {self.standard_deviation:.1f} years, most probable {self.most_probable}"


@dataclass(frozen=True)
class Gender:
    """The more probable of female and male."""

    kind: ClassVar[str] = "gender"
    label: str
    probability: float
    probabilities: np.ndarray = field(repr=False, compare=False)

    def __str__(self) -> str:
        return f"{self.label} ({self.probability:.1%})"


@dataclass(frozen=True)
class AgeGroup:
    """The most probable group of ages, such as ``(25-32)``."""

    kind: ClassVar[str] = "age_group"
    label: str
    probability: float
    probabilities: np.ndarray = field(repr=False, compare=False)

    def __str__(self) -> str:
        return f"{self.label} years ({self.probability:.1%})"


@dataclass(frozen=True)
class Ranking:
    """The most probable class of any other network; `label` is ``class 7`` where nobody said what its classes mean."""

    kind: ClassVar[str] = "ranking"
    most_probable: int
    probability: float
    probabilities: np.ndarray = field(repr=False, compare=False)
    label: str = ""

    def __str__(self) -> str:
        return f"{self.label or f'class {self.most_probable}'} ({self.probability:.1%})"


@dataclass(frozen=True)
class Value:
    """The number that a network with one output gives: a regression.

    Attributes
    ----------
    value : float
    unit : str
        ``years`` where the network's labels are an age, else empty.
    """

    kind: ClassVar[str] = "value"
    value: float
    unit: str = ""

    def __str__(self) -> str:
        return f"{self.value:.1f} {self.unit}" if self.unit else f"{self.value:.6g}"


Answer = Age | Gender | AgeGroup | Ranking | Value


def answer(outputs: np.ndarray, labels: Labels = UNKNOWN) -> Answer:
    """What a network's outputs for one image say.

    Parameters
    ----------
    outputs : ndarray [classes]
        Probabilities; of a network with one output, its number.
    labels : Labels
        What the classes mean; see `zoo.labels.labels_for`.
    """
    if not isinstance(labels, Labels):
        raise ArgumentError(f"labels {labels!r}: give what numpyvgg.zoo.labels.labels_for returns")
    outputs = _numbers(outputs, "row of outputs")
    if len(outputs) == 1:
        return Value(float(outputs[0]), "years" if labels.kind == "age" else "")
    if labels.kind == "age":
        return _age(outputs, labels.years)
    most_probable = int(outputs.argmax())
    probability, label = float(outputs[most_probable]), labels.name(most_probable)
    if labels.kind == "gender":
        return Gender(label, probability, outputs)
    if labels.kind == "age_group":
        return AgeGroup(label, probability, outputs)
    return Ranking(most_probable, probability, outputs, label)


def expected_age(probabilities: np.ndarray, years: Sequence[float] | None = None) -> Age:
    """The expected value over classes that stand for these years, by default 0, 1, 2 and so on.

    Parameters
    ----------
    probabilities : ndarray [classes]
        None below 0, with the sum 1.
    years : sequence of float, optional

    Raises
    ------
    ArgumentError
        They are no distribution, such as scores before the softmax, or the outputs for several images; or there is not
        a year for each.
    """
    p = _numbers(probabilities, "distribution over years")
    if not (np.isfinite(p).all() and p.min() >= -1e-6 and abs(p.sum(dtype=np.float64) - 1) < 0.01):
        raise ArgumentError(
            f"numbers from {p.min():.3g} to {p.max():.3g} with the sum {p.sum(dtype=np.float64):.6g} are no "
            "distribution over years: give probabilities, after the softmax"
        )
    if years is not None:
        array = _numbers(years, "list of years")
        if len(array) != len(p) or not np.isfinite(array).all():
            raise ArgumentError(f"{len(array)} years for {len(p)} probabilities: give a finite number for each")
    return _age(probabilities, years)


def _numbers(values: Any, what: str) -> np.ndarray:
    with reported_as_argument(what):
        array = np.asarray(values)
    if array.ndim != 1 or not len(array) or array.dtype.kind not in "fiu":
        raise ArgumentError(
            f"{array.dtype} {list(array.shape)} is no {what}: give one number for each class, of one image"
        )
    return array


def _age(probabilities: np.ndarray, years: Sequence[float] | None) -> Age:
    p = np.asarray(probabilities, np.float64)
    values = np.arange(len(p), dtype=np.float64) if years is None else np.asarray(years, np.float64)
    expected = float(values @ p)
    variance = float((values - expected) ** 2 @ p)
    return Age(expected, variance**0.5, int(values[p.argmax()]), probabilities)
