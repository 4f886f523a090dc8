"""Exercises that answer back: a learner's function is held to the textbook on many inputs.

`exercise` says what an exercise is and judges an answer; `reading`, `convolving`, `answering` and `learning` have the
exercises, in the order of docs/lesson/exercises.md, each with the mistakes that people make in it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import ArgumentError
from . import answering, convolving, learning, reading
from .exercise import Exercise, Verdict, judge

#: number -> exercise
EXERCISES: dict[int, Exercise] = dict(
    enumerate([*reading.EXERCISES, *convolving.EXERCISES, *answering.EXERCISES, *learning.EXERCISES], start=1)
)


def find(number: int) -> Exercise:
    """The exercise of that number.

    Raises
    ------
    ArgumentError
        There is none.
    """
    if number not in EXERCISES:
        raise ArgumentError(f"there is no exercise {number}; they are numbered 1 to {len(EXERCISES)}")
    return EXERCISES[number]


def check(number: int, function: Callable[..., Any]) -> Verdict:
    """Hold a function of your own to an exercise.

    Parameters
    ----------
    number : int
        As in docs/lesson/exercises.md; `numpyvgg check` lists them.
    function : callable
        Its arguments are the exercise's, by position.

    Returns
    -------
    Verdict
        What a notebook shows, or `print`: how many cases are right, the smallest that is not, and a hint where the
        mistake is a known one. `verdict.passed` is a bool.

    Raises
    ------
    ArgumentError
        There is no such exercise, or `function` cannot be called.

    Examples
    --------
    >>> from numpyvgg.lesson import check
    >>> check(5, lambda size, kernel, stride, pad: (size - kernel + 2 * pad) // stride)
    exercise 5, output_size: not yet. 0 of 40 cases are right. The smallest that is not:
      size = 1, kernel = 1, stride = 1, pad = 0
      right 1
      yours 0
    Hint: a window that fits exactly fits once, not never: something is missing at the end of the formula.
    """
    if not callable(function):
        raise ArgumentError(f"check({number}, ...) takes a function, not {type(function).__name__}")
    return judge(number, find(number), function)
