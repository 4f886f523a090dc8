"""A comparison held against an earlier one of the same runtime: where its distance from the exact network has grown.

This is a remark and no verdict. Correct runtimes that sum in different orders may differ many times in how far their
outputs are from float64's, so no factor of growth is wrong by itself. A change of a runtime that was not meant to
change any number shows here first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import ArgumentError
from .result import Parity


def growth(parity: Parity, records: Any) -> dict[str, float]:
    """The factor by which each layer's end-to-end drift has grown, by the names of the layers that both sides have.

    Parameters
    ----------
    records
        What `result.parity_records` made of the earlier comparison.

    Raises
    ------
    ArgumentError
        They are something else.
    """
    try:
        before = {record["name"]: record["drift_theirs"] for record in records["layers"]}
    except (LookupError, TypeError):
        raise ArgumentError("a baseline is what numpyvgg parity --json printed of one runtime") from None
    grown = {}
    for layer in parity.layers:
        now, then = layer.theirs.relative, before.get(layer.name)
        if now and isinstance(then, (int, float)) and then > 0:
            grown[layer.name] = now / then
    return grown


def growth_text(grown: Mapping[str, float]) -> str:
    """One line: where it has grown most."""
    if not grown:
        return "no layer's drift is in the baseline"
    name = max(grown, key=lambda name: grown[name])
    if grown[name] == min(grown.values()) == 1:
        return "drift is the baseline's in every layer, to the last bit"
    return f"drift is at most {grown[name]:.3g} times the baseline's: at {name}"
