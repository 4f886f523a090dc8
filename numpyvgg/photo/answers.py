"""What a network's probabilities mean: an age, a gender, or one class of many.

An age is not the most probable of the 101 classes but the expected value over all of them, E = sum of i * p_i, which is
what DEX (Deep EXpectation) is named for.

Source: Rasmus Rothe, Radu Timofte and Luc Van Gool, "Deep expectation of real and apparent age from a single image
without facial landmarks", International Journal of Computer Vision 126, 2018.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

GENDERS = ("female", "male")


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

    expected: float
    standard_deviation: float
    most_probable: int
    probabilities: np.ndarray = field(repr=False, compare=False)

    def __str__(self) -> str:
        return f"{self.expected:.1f} ± {self.standard_deviation:.1f} years, most probable {self.most_probable}"


@dataclass(frozen=True)
class Gender:
    """The more probable of two classes, 0 female and 1 male."""

    label: str
    probability: float
    probabilities: np.ndarray = field(repr=False, compare=False)

    def __str__(self) -> str:
        return f"{self.label} ({self.probability:.1%})"


@dataclass(frozen=True)
class Ranking:
    """The most probable class of a network whose classes this package knows nothing about."""

    most_probable: int
    probability: float
    probabilities: np.ndarray = field(repr=False, compare=False)

    def __str__(self) -> str:
        return f"class {self.most_probable} ({self.probability:.1%})"


Answer = Age | Gender | Ranking


def answer(probabilities: np.ndarray) -> Answer:
    """What a network's output says, by the number of its classes: 101 are ages, 2 are genders.

    Parameters
    ----------
    probabilities : ndarray [classes]
        One image's.
    """
    probabilities = np.asarray(probabilities)
    if len(probabilities) == 101:
        return expected_age(probabilities, range(101))
    if len(probabilities) == 2:
        return more_probable_gender(probabilities)
    most_probable = int(probabilities.argmax())
    return Ranking(most_probable, float(probabilities[most_probable]), probabilities)


def expected_age(probabilities: np.ndarray, years: Sequence[float]) -> Age:
    """The expected value over classes that stand for these years."""
    p, values = np.asarray(probabilities, np.float64), np.asarray(years, np.float64)
    expected = float(values @ p)
    variance = float((values - expected) ** 2 @ p)
    return Age(expected, variance**0.5, int(values[p.argmax()]), probabilities)


def more_probable_gender(probabilities: np.ndarray) -> Gender:
    """The more probable of 0 female and 1 male."""
    most_probable = int(probabilities.argmax())
    return Gender(GENDERS[most_probable], float(probabilities[most_probable]), probabilities)
