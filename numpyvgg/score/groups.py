"""Groups of ages: what their labels say, and in which one an age falls."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

Span = tuple[float, float]


def span(label: str) -> Span | None:
    """The youngest and the oldest age that a label names: ``(25-32)``, ``3-9``, ``more than 70``, ``60+``.

    Examples
    --------
    >>> span("(25-32)"), span("more than 70"), span("female")
    ((25.0, 32.0), (70.0, inf), None)
    """
    numbers = [float(number) for number in re.findall(r"\d+(?:\.\d+)?", label)]
    if len(numbers) == 2 and numbers[0] <= numbers[1]:
        return numbers[0], numbers[1]
    if len(numbers) == 1 and ("+" in label or "more" in label or "over" in label):
        return numbers[0], math.inf
    return None


def ordered(labels: Iterable[str]) -> list[str]:
    """Labels that name ages, the youngest first; other labels are left out."""
    spans = {label: ages for label in set(labels) if (ages := span(label)) is not None}
    return sorted(spans, key=lambda label: spans[label])


def group_of(age: float, spans: Sequence[Span], edges: Sequence[float] = ()) -> int:
    """The group that an estimated age falls in.

    Parameters
    ----------
    age : float
        In years.
    spans : sequence of (float, float)
        The groups' youngest and oldest ages, in order.
    edges : sequence of float
        The youngest age of each group, where a protocol says how ages are cut; by default the nearest group counts, and
        of two that are as near the younger.
    """
    if len(edges) == len(spans):
        return max(sum(edge <= age for edge in edges) - 1, 0)
    distances = [max(youngest - age, age - oldest, 0.0) for youngest, oldest in spans]
    return distances.index(min(distances))
