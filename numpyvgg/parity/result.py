"""What a comparison found, layer by layer: as objects, as text for people and as records for programs."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..text import table
from .judge import BINS, Judgement
from .sums import Sums

#: The titles of a comparison's table; "theirs" and "ours" are drifts.
COLUMNS = ["layer", "operator", "roundings", "worst case", "probable", "theirs", "ours", "would see", "verdict"]
_ALIGN = "<<>>>>><<"
_GREEN, _YELLOW, _RED, _RESET = "\033[32m", "\033[33m", "\033[31m", "\033[0m"
_SEVERITY = (
    *("not exposed", "exact", "rounding", "like terms", "fused", "alias", "Winograd", "FFT", "Strassen", "end to end"),
    *("cannot tell", "one channel", "unusual", "worst case", "beyond the spread", "wrong"),
)


@dataclass
class Drift:
    """How far values are from float64's, over all images: root mean square, relative to float64's own."""

    error: float = 0.0
    power: float = 0.0

    def add(self, value: np.ndarray, truth: np.ndarray) -> None:
        if value.shape == truth.shape:
            with np.errstate(all="ignore"):  # where numbers end, the distance does, too
                self.error += float(np.square(value - truth).sum())
                self.power += float(np.square(truth).sum())

    @property
    def relative(self) -> float | None:
        """None where nothing was compared."""
        if not self.power:
            return None
        with np.errstate(all="ignore"):  # power may be subnormal, and divide as zero where those are flushed
            return float(np.sqrt(np.float64(self.error) / np.float64(self.power)))


@dataclass
class LayerParity:
    """One layer over all images.

    Attributes
    ----------
    name : str
        In the literature's words where the network is VGG-16 (``conv3_2``), else the node's.
    op_type, tensor : str
        The operator, and the name of its output in the graph.
    judgement : Judgement
        Of the image that came out worst; `image` is its number.
    worst, probable : float
        The largest |error| / bound over all images.
    beyond, elements : int
        Over all images.
    theirs, ours : Drift
        From float64 end to end, of the runtime and of numpyvgg.
    histogram, errors : ndarray
        As of a `Judgement`, over all images.
    """

    name: str
    op_type: str
    tensor: str
    judgement: Judgement = field(default_factory=lambda: Judgement("not exposed"))
    image: int = 0
    worst: float = 0.0
    probable: float = 0.0
    beyond: int = 0
    elements: int = 0
    theirs: Drift = field(default_factory=Drift)
    ours: Drift = field(default_factory=Drift)
    histogram: np.ndarray = field(default_factory=lambda: np.zeros(len(BINS), np.int64))
    errors: np.ndarray | None = None

    def add(self, judgement: Judgement, image: int) -> None:
        """Take an image's judgement in; the worst one stays."""
        self.worst = max(self.worst, judgement.worst)
        self.probable = max(self.probable, judgement.probable)
        self.beyond += judgement.beyond
        self.elements += judgement.elements
        self.histogram = self.histogram + judgement.histogram
        if self.errors is None or judgement.errors is None or self.errors.shape != judgement.errors.shape:
            self.errors = judgement.errors
        else:
            self.errors = np.maximum(self.errors, judgement.errors)
        new, old = (_SEVERITY.index(j.verdict) for j in (judgement, self.judgement))
        if new > old or (new == old and judgement.probable > self.judgement.probable):
            self.judgement, self.image = judgement, image

    @property
    def explained(self) -> bool:
        return self.judgement.explained

    @property
    def failed(self) -> bool:
        return self.judgement.failed

    @property
    def verdict(self) -> str:
        """In words."""
        tile = f"Winograd F({self.judgement.tile}x{self.judgement.tile},3x3)"
        limit = f"{self.judgement.limit:.2g} by chance"
        sums = self.judgement.sums
        usual = f"{sums.usual:.2g} times float32's usual errors" if sums else ""
        shift = (
            f"channel {sums.channel} is off by {sums.shift:.1e} on average, {sums.of_channel:.2g} times" if sums else ""
        )
        words = {
            "exact": "exact",
            "rounding": "rounding" + (f", {tile} pattern" if self.judgement.tile else ""),
            "like terms": "rounding, of like terms: as far off as a plain loop",
            "fused": "rounding, if it did not use what it exposes before this",
            "alias": "rounding, but this is the ReLU that follows",
            "Winograd": f"not a plain sum's errors, but {tile}'s in float32",
            "FFT": "not a plain sum's errors, but an FFT's in float32",
            "Strassen": "not a plain sum's errors, but Strassen's in float32",
            "end to end": f"end to end: {self.judgement.drift:.2g} times float32's own spread, of {limit}",
            "cannot tell": "CANNOT TELL" + ("" if self.judgement.hint else ": the bound is larger than what it judges"),
            "beyond the spread": f"NOT EXPLAINED: {self.judgement.drift:.2g} times float32's own spread, of {limit}",
            "unusual": f"NOT EXPLAINED: within the bound, but {usual}",
            "one channel": f"NOT EXPLAINED: {shift} what rounding explains",
            "worst case": "NOT EXPLAINED: beyond chance, within the worst case",
            "wrong": "NOT EXPLAINED",
            "not exposed": "not exposed by the runtime",
        }[self.judgement.verdict]
        return f"{words}: {self.judgement.hint}" if self.judgement.hint else words

    @property
    def worst_at(self) -> str:
        """Where it is worst: image, index, values and distance."""
        j = self.judgement
        index = ", ".join(map(str, (self.image, *j.index[1:])))
        return f"[{index}] theirs {j.theirs:.9g}, exact {j.exact:.9g}, {j.ulps:.3g} ulp"


@dataclass
class Parity:
    """A runtime compared: one entry for each layer, in order. Printed, it is a table.

    Attributes
    ----------
    layers : list of LayerParity
    images : int
    unknown : list of str
        Names that the runtime returned and nothing in the graph has: those tensors were not judged.
    """

    layers: list[LayerParity]
    images: int
    unknown: list[str] = field(default_factory=list)

    @property
    def failures(self) -> list[LayerParity]:
        """The layers that rounding does not explain."""
        return [layer for layer in self.layers if layer.failed]

    @property
    def undecided(self) -> list[LayerParity]:
        """The layers whose bound is larger than what it judges."""
        return [layer for layer in self.layers if not layer.explained and not layer.failed]

    @property
    def verdict(self) -> str:
        """``explained``, ``not explained`` or ``cannot tell``: no difference was found, but one might not have been.

        The last is also said where the runtime returned tensors under unknown names, and where nothing was compared.
        """
        if self.failures:
            return "not explained"
        compared = any(layer.judgement.verdict != "not exposed" for layer in self.layers)
        return "explained" if compared and not self.undecided and not self.unknown else "cannot tell"

    @property
    def explained(self) -> bool:
        return self.verdict == "explained"

    def __str__(self) -> str:
        return parity_table(self)


def parity_table(parity: Parity, colour: bool = False, other: str = "ours") -> str:
    """One line for each layer, and for those that are not explained where they are worst.

    ``worst case`` and ``probable`` are the largest |error| / bound given the runtime's own input to the layer;
    ``theirs`` and ``ours`` are drifts from float64 end to end (root mean square, relative).
    """
    header = [other if title == "ours" else title for title in COLUMNS]
    lines = table(header, [row(layer) for layer in parity.layers], _ALIGN).split("\n")
    if colour:
        lines[2:] = [f"{_colour(layer)}{line}{_RESET}" for line, layer in zip(lines[2:], parity.layers, strict=True)]
    return "\n".join([*lines, "", summary(parity), *(_where(layer) for layer in parity.failures)])


def failure_text(parity: Parity) -> str:
    """The lines of the layers that are not explained, or on which nothing can be told."""
    lines = table(COLUMNS, [row(layer) for layer in parity.failures + parity.undecided], _ALIGN)
    return "\n".join([summary(parity), lines, *(_where(layer) for layer in parity.failures)])


def parity_records(parity: Parity) -> dict[str, Any]:
    """For JSON: everything that the table has, and the place where each layer is worst."""
    return {
        "verdict": parity.verdict,
        "explained": parity.explained,
        "images": parity.images,
        "unknown": parity.unknown,
        "layers": [_record(layer) for layer in parity.layers],
    }


def row(layer: LayerParity) -> list[object]:
    """A layer's line of the table; None is an empty cell."""
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
        _would_see(j.sums) if j.verdict in ("rounding", "unusual", "one channel") else None,
        layer.verdict,
    ]


def _would_see(sums: Sums | None) -> str | None:
    """The smallest faults that would have been seen."""
    if sums is None:
        return None
    limits = sums.limits
    return f"{limits.bits} bits, bias {limits.shift:.0e}, weight {limits.weight:.0e}"


def _drift(relative: float | None) -> str | None:
    return None if relative is None else f"{relative:.1e}"


def _colour(layer: LayerParity) -> str:
    if layer.failed:
        return _RED
    plain = layer.judgement.verdict in ("exact", "rounding") and not layer.judgement.tile
    return _GREEN if plain else _YELLOW


def summary(parity: Parity) -> str:
    """How many layers are explained, and which is the first that is not."""
    images = f"{parity.images} image{'s' if parity.images != 1 else ''}"
    exposed = [layer for layer in parity.layers if layer.judgement.verdict != "not exposed"]
    note = (
        f"; not judged, as no tensor has these names: {', '.join(map(repr, parity.unknown))}" if parity.unknown else ""
    )
    if parity.failures:
        first = parity.failures[0].name
        return f"{len(parity.failures)} of {len(exposed)} layers not explained on {images}; first {first}{note}"
    explained = f"{len(exposed) - len(parity.undecided)} of {len(exposed)} layers explained on {images}"
    return f"{'' if parity.explained else 'cannot tell: '}{explained}{note}"


def _where(layer: LayerParity) -> str:
    if not layer.judgement.index:
        return f"{layer.name}: {layer.judgement.hint}"
    return f"{layer.name}: {layer.beyond:,} of {layer.elements:,} elements beyond the bound, worst at {layer.worst_at}"


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
        "usual": _finite(j.sums.usual) if j.sums else None,
        "of_channel": _finite(j.sums.of_channel) if j.sums else None,
        "sees_bits": j.sums.limits.bits if j.sums else None,
        "sees_shift": _finite(j.sums.limits.shift) if j.sums else None,
        "sees_weight": _finite(j.sums.limits.weight) if j.sums else None,
        "drift_in_spreads": _finite(j.drift or None),
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
