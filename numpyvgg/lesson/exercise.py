"""What an exercise is, and how an answer is judged.

A learner's function is called with many inputs and compared with the right answer; of those that differ the learner
sees the smallest. Known mistakes are functions too: where the learner's answers are, in every case, those of a known
mistake, its hint is shown.
"""

from __future__ import annotations

import copy
import ctypes
import inspect
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

Function = Callable[..., Any]
CASES = 40
#: For all cases together; as much again for what else a learner's file does
SECONDS = 10.0


@dataclass(frozen=True)
class Exercise:
    """One exercise.

    Attributes
    ----------
    right : callable
        The right answer, under the name and with the arguments that the learner's function has; its docstring is the
        task.
    chapter : str
        What to read before.
    minutes : int
        How long a beginner may sit over it.
    cases : callable
        Generator of random numbers -> endless iterator of arguments, small ones first.
    mistakes : dict of str to callable
        Hint -> a function that makes this mistake.
    tolerance : float
        Largest difference, relative to the right answer's largest value.
    """

    right: Function
    chapter: str
    minutes: int
    cases: Callable[[np.random.Generator], Iterator[tuple[Any, ...]]]
    mistakes: dict[str, Function]
    tolerance: float = 1e-5

    @property
    def name(self) -> str:
        return self.right.__name__

    @property
    def task(self) -> str:
        """What the function takes and returns, in one line."""
        return " ".join((self.right.__doc__ or "").split())

    @property
    def signature(self) -> str:
        """``name(arguments)``, as the learner writes it."""
        return f"{self.name}({', '.join(inspect.signature(self.right).parameters)})"


@dataclass(frozen=True, repr=False)
class Verdict:
    """Whether an answer is right, and what to say to the learner."""

    passed: bool
    text: str

    def __repr__(self) -> str:
        return self.text


@dataclass(frozen=True)
class _Raised:
    """An answer that is none: what the function raised, and where."""

    error: Exception

    def __str__(self) -> str:
        last = traceback.extract_tb(self.error.__traceback__)[-1]
        return f"raised {type(self.error).__name__} in line {last.lineno} of {last.filename}: {self.error}"


class TimeIsUp(BaseException):
    """No `Exception`, which a learner's own code may catch."""


def judge(number: int, exercise: Exercise, function: Function) -> Verdict:
    """Call a learner's function with the exercise's cases, and compare."""
    title = f"exercise {number}, {exercise.name}"
    cases = list(islice(exercise.cases(np.random.default_rng(number)), CASES))
    answers: list[Any] = []
    try:
        with limited(SECONDS):
            for case in cases:
                answers.append(_answer(function, case))
    except TimeIsUp:
        place = f"in case {len(answers) + 1} of {len(cases)}; is there a loop without an end?"
        return Verdict(False, f"{title}: stopped after {SECONDS:g} s {place}\n{_shown(exercise, cases[len(answers)])}")
    return _compared(title, exercise, cases, answers)


def _answer(function: Function, case: Sequence[Any]) -> Any:
    try:
        with np.errstate(all="ignore"):
            return function(*copy.deepcopy(case))  # it may change what it is given
    except Exception as error:
        return _Raised(error)


def _compared(title: str, exercise: Exercise, cases: Sequence[tuple[Any, ...]], answers: Sequence[Any]) -> Verdict:
    rights = [exercise.right(*case) for case in cases]
    equal = [same(answer, right, exercise.tolerance) for answer, right in zip(answers, rights, strict=True)]
    if all(equal):
        return Verdict(True, f"{title}: right, in all of {len(cases)} cases.")
    wrong = [index for index, right in enumerate(equal) if not right]
    first = min(wrong, key=lambda index: sum(map(_size, cases[index])))
    lines = [
        f"{title}: not yet. {sum(equal)} of {len(cases)} cases are right. The smallest that is not:",
        _shown(exercise, cases[first]),
        f"  right {_text(rights[first])}",
        f"  yours {_text(answers[first])}",
    ]
    hint = _hint(exercise, cases, answers)
    return Verdict(False, "\n".join([*lines, f"Hint: {hint}"] if hint else lines))


def _hint(exercise: Exercise, cases: Sequence[tuple[Any, ...]], answers: Sequence[Any]) -> str | None:
    """The hint of the mistake that gives all of these answers, where one of the known ones does."""
    for hint, mistake in exercise.mistakes.items():
        made = [_answer(mistake, case) for case in cases]
        if all(same(answer, other, exercise.tolerance) for answer, other in zip(answers, made, strict=True)):
            return hint
    return None


def same(one: Any, other: Any, tolerance: float) -> bool:
    """Whether two answers are the same: numbers, bytes, arrays, or tuples of them; nan is nan."""
    if isinstance(one, _Raised) or isinstance(other, _Raised):
        return isinstance(one, _Raised) and isinstance(other, _Raised) and type(one.error) is type(other.error)
    if isinstance(other, bytes) or isinstance(one, bytes):
        return type(one) is type(other) and one == other
    if isinstance(other, tuple):
        if not isinstance(one, tuple | list) or len(one) != len(other):
            return False
        return all(same(part, its, tolerance) for part, its in zip(one, other, strict=True))
    try:
        with np.errstate(invalid="ignore"):  # a nan among integers
            one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
    except (TypeError, ValueError):  # None, a list of unequal lists
        return False
    if one.shape != other.shape:
        return False
    scale = np.abs(other[np.isfinite(other)]).max(initial=1e-30)
    return bool(np.allclose(one, other, rtol=0, atol=tolerance * scale, equal_nan=True))


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise `TimeIsUp` in the body after so many seconds, in whichever thread it runs.

    Ctrl-C's own way would not do: it reaches the main thread alone, and nobody where a shell or a notebook ignores it.
    """
    thread, over, lock = threading.get_ident(), threading.Event(), threading.Lock()

    def interrupt() -> None:
        with lock:
            if not over.is_set():
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(TimeIsUp))

    timer = threading.Timer(seconds, interrupt)
    timer.daemon = True
    with suppress(RuntimeError):  # where no thread can be started, nothing is stopped
        timer.start()
    try:
        yield
    finally:
        with lock:
            over.set()
        timer.cancel()


def _shown(exercise: Exercise, case: Sequence[Any]) -> str:
    """A case's arguments by name; short ones on one line."""
    names = inspect.signature(exercise.right).parameters
    parts = [f"{name} = {_text(value)}" for name, value in zip(names, case, strict=True)]
    return "\n".join(f"  {part}" for part in parts) if any("\n" in part for part in parts) else "  " + ", ".join(parts)


def _size(value: Any) -> float:
    """How much there is of an argument for somebody who reads it."""
    if isinstance(value, np.ndarray):
        return value.size
    return len(value) if isinstance(value, bytes | list) else abs(value) / 100


def _text(value: Any) -> str:
    """A value as a learner can read it: arrays with their shape where they have more than one axis."""
    if isinstance(value, tuple | list) and any(isinstance(part, np.ndarray) for part in value):
        return ", ".join(map(_text, value))
    if isinstance(value, _Raised):
        return str(value)
    if not isinstance(value, np.ndarray):
        return repr(value)
    text = np.array2string(value, precision=4, threshold=60, suppress_small=True, separator=", ", prefix=" " * 8)
    return f"{text}, shape {value.shape}" if value.ndim > 1 else text
