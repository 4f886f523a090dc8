"""The page: an `Explanation` as one HTML file that needs nothing but itself.

Charts are rectangles in SVG, coloured and laid out by the style sheet, so that dark mode and narrow screens are the
browser's work; pictures are embedded. What is said on the page stands in ``page.html``.
"""

from __future__ import annotations

import importlib.resources
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ArgumentError, MissingExtraError
from ..photo.answers import Age, Gender
from ..photo.pixels import photograph_size
from ..text import human_bytes
from ..vgg.layer import Layer
from .explanation import Explanation, LayerView
from .occlusion import spread

try:
    import jinja2

    from . import pictures
except ImportError as error:
    raise MissingExtraError(f"the page needs {error.name}: pip install jinja2 matplotlib") from None

_TINTS = {"blue": (0.5, 0.68, 1.0), "green": (0.55, 0.95, 0.6), "red": (1.0, 0.58, 0.52)}
_DEPTHS = {11: ("11", "eleven"), 13: ("13", "thirteen"), 16: ("16", "sixteen"), 19: ("19", "nineteen")}
_WORDS = {  # what is explained, what raises and what lowers it, and its unit
    Age: ("the expected age", "older", "younger", "years"),
    Gender: ("gender", "male", "female", "in log-odds"),
}


def render(explanations: Sequence[Explanation], names: Sequence[str], title: str, note: str = "") -> str:
    """Write the page.

    Parameters
    ----------
    explanations : sequence of Explanation
        Of one photograph. The first is shown layer by layer; of all, the answer and where they looked.
    names : sequence of str
        Of their networks.
    title : str
        What to call the photograph.
    note : str
        Something that a reader must know first.

    Returns
    -------
    str
        HTML.
    """
    if not explanations or len(explanations) != len(names):
        raise ArgumentError(f"{len(explanations)} explanations with {len(names)} names make no page")
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_read), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(bytes=human_bytes, count=_count, bars=_bars, percent=_percent, number=_number)
    first = explanations[0]
    return environment.get_template("page.html").render(
        title=title,
        depth=_DEPTHS[sum(bool(view.layer.weight_shape) for view in first.layers)],
        note=note,
        style=_read("page.css"),
        photograph=_Photograph.of(first),
        input=_input(first),
        blocks=_drawing(first),
        layers=[_layer(view) for view in first.layers],
        totals=_totals(first),
        filters=[pictures.filter_picture(weight, np.abs(first.filters).max()) for weight in first.filters],
        answers=[_answer(each, name) for each, name in zip(explanations, names, strict=True)],
        numpy=np.__version__,
    )


def _read(name: str) -> str:
    return importlib.resources.files(__package__).joinpath(name).read_text("utf-8")


# ---------------------------------------------------------------------- numbers as text


def _count(number: float) -> str:
    """A count in at most three digits and a unit: ``15.5 G``."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            scaled = number / size
            return f"{scaled:.{0 if scaled >= 99.95 else 1}f} {unit}"
    return f"{number:,.0f}"


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.0995 else f"{share:.1%}"


def _number(value: float) -> str:
    """About three digits, with a true minus sign."""
    size = abs(value)
    digits = 0 if size >= 100 else 1 if size >= 10 else 2
    return f"{value:.{digits}f}".replace("-", "−")


def _bars(heights: Sequence[float], low: float = 0.0, high: float | None = None) -> str:
    """A path of bars, one unit wide each and 100 high at `high` (the tallest); they stand on `low`."""
    high = max(heights, default=0.0) if high is None else high
    scale = 100 / max(high - low, 1e-12)
    parts = [f"M{i} 100V{100 - (h - low) * scale:.2f}h1V100z" for i, h in enumerate(heights) if h > low]
    return "".join(parts)


# ---------------------------------------------------------------------- what the template shows


@dataclass(frozen=True)
class _Photograph:
    """The photograph with the square that entered the network."""

    picture: str
    width: int
    height: int
    corners: str  # of the face, as an SVG polygon's points; empty without one
    crop: str
    angle: float

    @classmethod
    def of(cls, explanation: Explanation) -> _Photograph:
        photograph, face = explanation.photograph, explanation.face
        width, height = photograph_size(photograph)
        corners = "" if face is None else " ".join(f"{x:.1f},{y:.1f}" for x, y in face.box)
        crop = pictures.data_uri(pictures.colour(explanation.pixels), "jpeg")
        angle = 0.0 if face is None else face.angle
        return cls(pictures.photograph(photograph, 900), width, height, corners, crop, angle)


def _input(explanation: Explanation) -> dict[str, Any]:
    """The three channels in the order in which they enter, and what the picture would be in the wrong order."""
    x = explanation.pixels[::-1] if explanation.channels == "bgr" else explanation.pixels
    order = ["blue", "green", "red"] if explanation.channels == "bgr" else ["red", "green", "blue"]
    channels = [
        {"name": name, "picture": pictures.tinted(plane, _TINTS[name]), "mean": plane.mean(), "corner": plane[0, :6]}
        for name, plane in zip(order, x, strict=True)
    ]
    swapped = pictures.data_uri(pictures.colour(explanation.pixels[::-1]), "jpeg")
    return {"channels": channels, "swapped": swapped, "order": explanation.channels.upper()}


def _drawing(explanation: Explanation) -> list[dict[str, Any]]:
    """The network as blocks: channels wide and rows high; a fully connected layer folded into rows of 512."""
    blocks = []
    for view in explanation.layers:
        channels, rows = (*view.layer.output_shape, 1)[:2]
        if rows == 1:
            channels, rows = min(channels, 512), max(1, channels // 512)
        blocks.append({"title": view.layer.title, "kind": _kind(view.layer), "channels": channels, "rows": rows})
    return blocks


def _totals(explanation: Explanation) -> dict[str, Any]:
    layers = [view.layer for view in explanation.layers]
    return {
        "parameters": sum(layer.parameters for layer in layers),
        "multiply_adds": sum(layer.multiply_adds for layer in layers),
        "seconds": explanation.seconds,
        "watched": sum(view.seconds for view in explanation.layers),
        "largest_parameters": max(layer.parameters for layer in layers),
        "largest_multiply_adds": max(layer.multiply_adds for layer in layers),
        "largest_seconds": max(view.seconds for view in explanation.layers),
    }


def _layer(view: LayerView) -> dict[str, Any]:
    shape = view.layer.output_shape if view.values is None else view.values.shape
    high = float(np.quantile(view.maps, 0.999)) if view.maps.ndim == 3 else 0.0
    maps = [] if view.maps.ndim == 1 else [pictures.values(each, high) for each in view.maps]
    below = int((view.edges[1:] <= 0).sum())  # bins whose values the ReLU sets to zero
    size = view.receptive_field.size
    weight_shape = view.layer.weight_shape
    inputs = (
        math.prod(weight_shape[1:]) if view.values is not None else (0, *weight_shape[1:2])[-1]
    )  # units, or channels
    return {
        "view": view,
        "title": view.layer.title,
        "block": "fc" if view.layer.kind == "fc" else str(view.layer.block),
        "kind": _kind(view.layer),
        "shape": " × ".join(map(str, shape)),
        "inputs": inputs,
        "weight": " × ".join(map(str, weight_shape)),
        "weight_bytes": 4 * view.layer.parameters,
        "columns_bytes": 4 * 9 * inputs * math.prod(shape[1:]) if view.layer.kind == "conv" else 0,
        "maps": list(zip(view.channels.tolist(), maps, strict=False)),
        "strip": _strip(view),
        "negative": [*view.counts[:below].tolist(), *[0] * (len(view.counts) - below)],
        "positive": [*[0] * below, *view.counts[below:].tolist()],
        "tallest": int(view.counts.max()),
        "zero_at": 100 * below / len(view.counts),
        "field": size if size <= 224 else None,
        "square": _square(view),
    }


def _kind(layer: Layer) -> str:
    """The style sheet's name for it, whatever operator the file uses."""
    return {"conv": "Conv", "pool": "MaxPool"}.get(layer.kind, "Gemm")


def _strip(view: LayerView) -> str:
    """All values of a fully connected layer as one picture of 32 rows."""
    if view.values is None or view.values.size % 32:
        return ""
    high = float(np.quantile(view.values, 0.999))
    return pictures.values(view.values.reshape(32, -1), high, longest=512)


def _square(view: LayerView) -> dict[str, float]:
    """The strongest output's receptive field, cut to the image."""
    left, top, right, bottom = (min(max(v, 0.0), 224.0) for v in view.receptive_field.square(*view.strongest))
    return {"x": left, "y": top, "width": right - left, "height": bottom - top}


def _answer(explanation: Explanation, name: str) -> dict[str, Any]:
    words = _WORDS.get(type(explanation.answer), ("the most probable class", "for", "against", "in log-probability"))
    what, raises, lowers, unit = words
    up = [unit for unit in explanation.units if unit.contribution > 0][:6]
    down = [unit for unit in explanation.units if unit.contribution < 0][:6]
    return {
        "kind": type(explanation.answer).__name__,
        "network": name,
        "answer": explanation.answer,
        "probabilities": np.asarray(getattr(explanation.answer, "probabilities", ()), float).tolist(),
        "labels": explanation.labels,
        "what": what,
        "raises": raises,
        "lowers": lowers,
        "unit": unit,
        "up": up,
        "down": down,
        "largest_contribution": max((abs(unit.contribution) for unit in up + down), default=1.0),
        "grad_cam": pictures.signed_overlay(explanation.grad_cam, 224),
        "occlusion": pictures.signed_overlay(spread(explanation.occlusion), 224),
        "occlusion_range": (float(explanation.occlusion.min()), float(explanation.occlusion.max())),
    }
