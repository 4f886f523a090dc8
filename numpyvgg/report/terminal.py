"""The layers and the answer as text, for where there is no browser; needs no extra package."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..photo.answers import Age, Answer
from ..text import bar_chart, human_bytes, shape_text, sparkline, table
from .explanation import LayerView


def layer_table(views: Sequence[LayerView]) -> str:
    """Each layer with what it costs and how its values are spread: sparklines of 24 bins, before the ReLU."""
    rows: list[list[object]] = [
        [
            view.layer.title,
            shape_text(view.layer.output_shape),
            f"{view.layer.parameters:,}" if view.layer.parameters else None,
            f"{view.layer.multiply_adds / 1e6:,.1f} M" if view.layer.multiply_adds else None,
            f"{view.seconds * 1e3:.1f} ms",
            human_bytes(view.output_bytes),
            None if view.zeros is None else f"{view.zeros:.0%}",
            f"{view.edges[0]:7.2f} {sparkline(view.counts.reshape(-1, 2).sum(axis=1))} {view.edges[-1]:.2f}",
        ]
        for view in views
    ]
    header = ["layer", "output", "parameters", "multiply-adds", "time", "memory", "zeros", "values before the ReLU"]
    return table(header, rows, "<>>>>>><")


def answer_chart(given: Answer) -> str:
    """The answer and its distribution: for an age a bar for every two years."""
    if not isinstance(given, Age):
        return str(given)
    count = len(given.probabilities)
    pairs = np.append(given.probabilities, np.zeros(count % 2)).reshape(-1, 2).sum(axis=1)  # [51]: 0-1, ..., 100
    years = "".join(f"{year:<5}" for year in range(0, count, 10)).rstrip()
    return "\n".join([str(given), *bar_chart(pairs, 6), years])
