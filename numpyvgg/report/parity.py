"""A comparison of runtimes as one HTML file: the table, where the errors are, and how large they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import MissingExtraError
from ..parity.judge import BINS
from ..parity.result import COLUMNS, LayerParity, Parity, row, summary
from ..version import __version__

try:
    from ..pages import beside, environment
    from . import pictures
except ImportError as error:
    raise MissingExtraError(f"the page needs {error.name}: pip install jinja2 matplotlib") from None


def render(network: str, parities: Sequence[tuple[str, Parity, str]]) -> str:
    """Write the page.

    Parameters
    ----------
    network : str
        Its name.
    parities : sequence of (str, Parity, str)
        Each with the runtime's name and what is to be said of the baseline.

    Returns
    -------
    str
        HTML.
    """
    templates = environment(__package__)
    runtimes = [
        {
            "name": name,
            "parity": parity,
            "summary": summary(parity),
            "growth": growth,
            "rows": [{"failed": layer.failed, "cells": _cells(layer)} for layer in parity.layers],
            "pictures": [_pictures(layer) for layer in parity.layers if layer.histogram.any()],
        }
        for name, parity, growth in parities
    ]
    return templates.get_template("parity.html").render(
        network=network,
        runtimes=runtimes,
        header=COLUMNS,
        lowest=BINS[0],
        bound=BINS.index(1),
        style=beside(__package__, "page.css"),
        version=__version__,
    )


def _cells(layer: LayerParity) -> list[object]:
    return ["" if cell is None else cell for cell in row(layer)]


def _pictures(layer: LayerParity) -> dict[str, Any]:
    """The map of a layer's errors, and its histogram as heights from 0 to 100; a rare size is seen, too."""
    heights = np.log1p(layer.histogram)
    finite = None if layer.errors is None else np.nan_to_num(layer.errors, posinf=np.finfo(np.float32).max)
    largest = 0.0 if finite is None else float(finite.max(initial=0))
    return {
        "name": layer.name,
        "map": pictures.values(np.asarray(finite), largest, longest=224) if largest else "",
        "bars": (100 * heights / heights.max()).round(1).tolist(),
        "largest": f"{layer.probable:.2g}",
    }
