"""A comparison as text for people and as records for programs."""

from __future__ import annotations

import math
from typing import Any

from ..text import table
from .compare import LayerParity, Parity

_HEADER = ["layer", "operator", "roundings", "worst case", "probable", "theirs", "ours", "verdict"]
_GREEN, _YELLOW, _RED, _RESET = "\033[32m", "\033[33m", "\033[31m", "\033[0m"


def parity_table(parity: Parity, colour: bool = False) -> str:
    """One line for each layer, and for those that are not explained where they are worst.

    ``worst case`` and ``probable`` are the largest |error| / bound given the runtime's own input to the layer;
    ``theirs`` and ``ours`` are drifts from float64 end to end (root mean square, relative).
    """
    lines = table(_HEADER, [_row(layer) for layer in parity.layers], "<<>>>>><").split("\n")
    if colour:
        lines[2:] = [f"{_colour(layer)}{line}{_RESET}" for line, layer in zip(lines[2:], parity.layers, strict=True)]
    return "\n".join([*lines, "", _summary(parity), *(_where(layer) for layer in parity.failures)])


def failure_text(parity: Parity) -> str:
    """The lines of the layers that are not explained."""
    lines = table(_HEADER, [_row(layer) for layer in parity.failures], "<<>>>>><")
    return "\n".join([_summary(parity), lines, *(_where(layer) for layer in parity.failures)])


def parity_records(parity: Parity) -> dict[str, Any]:
    """For JSON: everything that the table has, and the place where each layer is worst."""
    return {
        "explained": parity.explained,
        "images": parity.images,
        "layers": [_record(layer) for layer in parity.layers],
    }


def _row(layer: LayerParity) -> list[object]:
    j = layer.judgement
    judged = j.verdict not in ("not exposed", "exact")
    return [
        layer.name,
        layer.op_type,
        j.roundings or None,
        f"{layer.worst:.2g}" if judged else None,
        f"{layer.probable:.2g}" if judged else None,
        _drift(layer.theirs.relative),
        _drift(layer.ours.relative),
        layer.verdict,
    ]


def _drift(relative: float | None) -> str | None:
    return None if relative is None else f"{relative:.1e}"


def _colour(layer: LayerParity) -> str:
    if not layer.explained:
        return _RED
    return _YELLOW if layer.judgement.tile or layer.judgement.verdict == "not exposed" else _GREEN


def _summary(parity: Parity) -> str:
    images = f"{parity.images} image{'s' if parity.images != 1 else ''}"
    exposed = [layer for layer in parity.layers if layer.judgement.verdict != "not exposed"]
    if parity.explained:
        return f"{len(exposed)} of {len(exposed)} layers explained on {images}"
    return f"{len(parity.failures)} of {len(exposed)} layers not explained on {images}; first {parity.failures[0].name}"


def _where(layer: LayerParity) -> str:
    if not layer.judgement.index:
        return f"{layer.name}: {layer.judgement.hint}"
    return f"{layer.name}: {layer.beyond:,} of {layer.elements:,} elements beyond the bound, worst at {layer.place}"


def _record(layer: LayerParity) -> dict[str, Any]:
    j = layer.judgement
    return {
        "name": layer.name,
        "op_type": layer.op_type,
        "tensor": layer.tensor,
        "explained": layer.explained,
        "verdict": j.verdict,
        "hint": j.hint,
        "winograd_tile": j.tile or None,
        "roundings": j.roundings,
        "worst": _finite(layer.worst),
        "probable": _finite(layer.probable),
        "beyond": layer.beyond,
        "elements": layer.elements,
        "image": layer.image,
        "index": j.index,
        "theirs": _finite(j.theirs),
        "exact": _finite(j.exact),
        "ulps": _finite(j.ulps),
        "drift_theirs": _finite(layer.theirs.relative),
        "drift_ours": _finite(layer.ours.relative),
    }


def _finite(value: float | None) -> float | str | None:
    """JSON has no infinity and no NaN."""
    return value if value is None or math.isfinite(value) else str(value)
