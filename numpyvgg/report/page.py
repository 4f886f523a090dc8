"""The page: an `Explanation` as one HTML file that needs nothing but itself.

Charts are rectangles in SVG, coloured and laid out by the style sheet, so that dark mode and narrow screens are the
browser's work; pictures are embedded. What is said on the page stands in ``page.html``.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ArgumentError, MissingExtraError
from ..photo.answers import Age, Gender
from ..photo.pixels import photograph_size
from ..text import human_bytes
from .explanation import Explanation, LayerView
from .microscope import embedded
from .occlusion import spread, stride_of

try:
    from ..pages import beside, environment
    from . import pictures
except ImportError as error:
    raise MissingExtraError(f"the page needs {error.name}: pip install jinja2 matplotlib") from None

_TINTS = {"blue": (0.5, 0.68, 1.0), "green": (0.55, 0.95, 0.6), "red": (1.0, 0.58, 0.52)}
_WORDS = {
    Age: ("the expected age", "older", "younger", "years"),
    Gender: ("gender", "male", "female", "in log-odds"),
}


def render(explanations: Sequence[Explanation], title: str, note: str = "", live: bool = False) -> str:
    """Write the page.

    Parameters
    ----------
    explanations : sequence of Explanation
        Of one photograph. The first is shown layer by layer; of all, the answer and where they looked.
    title : str
        What to call the photograph.
    note : str
        Something that a reader must know first.
    live : bool
        The page comes from `live.Live`, and may ask it.

    Returns
    -------
    str
        HTML.
    """
    if not explanations:
        raise ArgumentError("no explanations make no page")
    templates = environment(__package__)
    templates.filters.update(bytes=human_bytes, count=_count, bars=_bars, percent=_percent, number=_number)
    first = explanations[0]
    layers = [_layer(number, view, first.x.shape) for number, view in enumerate(first.layers)]
    return templates.get_template("page.html").render(
        title=title,
        network=name_of(first),
        depth=sum(bool(view.layer.weight_shape) for view in first.layers),
        note=note,
        live=live,
        mean=", ".join(f"{value:.0f}" for value in first.pixels.mean(axis=(1, 2))),
        style=beside(__package__, "page.css"),
        script=beside(__package__, "microscope.js"),
        microscope=json.dumps(embedded(first, title, live)).replace("<", "\\u003c"),
        photograph=_Photograph.of(first),
        input=_input(first),
        blocks=_drawing(first),
        layers=layers,
        groups=_groups(layers),
        widest=max(layers, key=lambda layer: layer["columns_bytes"]),
        heaviest=max(layers, key=lambda layer: layer["weight_bytes"]),
        totals=_totals(first),
        filters=_filters(first),
        answers=[_answer(number, each) for number, each in enumerate(explanations)],
        numpy=np.__version__,
    )


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
    angle: float

    @classmethod
    def of(cls, explanation: Explanation) -> _Photograph:
        photograph, face = explanation.photograph, explanation.face
        width, height = photograph_size(photograph)
        corners = "" if face is None else " ".join(f"{x:.1f},{y:.1f}" for x, y in face.box)
        return cls(pictures.photograph(photograph, 900), width, height, corners, 0.0 if face is None else face.angle)


def name_of(explanation: Explanation) -> str:
    """A network's name, or its file's, as the page has it."""
    return Path(explanation.name).name


def _input(explanation: Explanation) -> dict[str, Any]:
    """The three channels in the order in which they enter, and what the picture would be in the wrong order."""
    preparation = explanation.preparation
    bgr = preparation.channels == "bgr"
    x = explanation.pixels[::-1] if bgr else explanation.pixels
    order = ["blue", "green", "red"] if bgr else ["red", "green", "blue"]
    channels = [
        {
            "name": name,
            "picture": pictures.tinted(plane, _TINTS[name]),
            "mean": entered.mean(),
            "corner": [f"{value:.4g}".replace("-", "−") for value in entered[0, :6].tolist()],
        }
        for name, plane, entered in zip(order, x, explanation.x[0], strict=True)
    ]
    return {
        "channels": channels,
        "swapped": pictures.data_uri(pictures.colour(explanation.pixels[::-1]), "png"),
        "order": preparation.channels.upper(),
        "shape": explanation.x.shape,
        "numbers": explanation.x.size,
        "plain": not (preparation.mean or preparation.mean_file or preparation.scale),
        "preparation": str(preparation),
    }


def _drawing(explanation: Explanation) -> dict[str, Any]:
    """The network as blocks: channels wide and rows high; a layer without places folded into rows of 512."""
    sizes = []
    for view in explanation.layers:
        units = math.prod(view.layer.output_shape)
        folded = min(units, 512), max(1, units // 512)
        sizes.append(view.layer.output_shape[:2] if view.layer.is_map else folded)
    channels, rows = zip(*sizes, strict=True)
    blocks = [
        {"id": number, "title": view.layer.title, "kind": view.layer.kind, "channels": size[0], "rows": size[1]}
        for number, (view, size) in enumerate(zip(explanation.layers, sizes, strict=True))
    ]
    return {
        "layers": blocks,
        "channels": sum(channels),
        "rows": max(rows),
        "kinds": {view.layer.kind for view in explanation.layers},
    }


def _groups(layers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Runs of layers whose maps are of one size, with what their pixels see at least and at most."""
    groups = []
    for size, run in itertools.groupby(layers, key=lambda layer: layer["size"]):
        members = list(run)
        seen = [layer["field"][0] for layer in members if layer["field"]] or [0]
        jump = next((layer["jump"] for layer in members if layer["jump"]), 0)
        groups.append({"size": size, "layers": members, "least": min(seen), "most": max(seen), "jump": jump})
    return groups


def _filters(explanation: Explanation) -> dict[str, Any]:
    """The first convolution's filters as pictures, where it looks at colours."""
    if explanation.filters is None:
        return {"layer": None}
    largest = float(np.abs(explanation.filters).max())
    return {
        "layer": next(number for number, view in enumerate(explanation.layers) if view.layer.kind == "conv"),
        "size": " × ".join(map(str, explanation.filters.shape[2:])),
        "pictures": [pictures.filter_picture(weight, largest) for weight in explanation.filters],
    }


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


def _layer(number: int, view: LayerView, input_shape: tuple[int, ...]) -> dict[str, Any]:
    layer = view.layer
    shape = layer.output_shape if layer.is_map else (math.prod(layer.output_shape),)
    high = float(np.quantile(view.maps, 0.999)) if layer.is_map else 0.0
    maps = [pictures.values(each, high) for each in view.maps] if layer.is_map else []
    below = int((view.edges[1:] <= 0).sum())  # bins whose values a ReLU sets to zero
    field = layer.receptive_field if layer.is_map else None
    square = _square(view, input_shape)
    return {
        "id": number,
        "view": view,
        "title": layer.title,
        "kind": layer.kind,
        "nodes": [node.op_type for node in layer.nodes],
        "shape": " × ".join(map(str, shape)),
        "size": " × ".join(map(str, shape[1:])),
        "weight": " × ".join(map(str, layer.weight_shape)),
        "inputs": math.prod(layer.weight_shape[1:]),
        "weight_bytes": 4 * layer.parameters,
        "columns_bytes": 4 * math.prod((*layer.weight_shape[1:], *shape[1:])) if layer.kind == "conv" else 0,
        "maps": list(zip(view.channels.tolist(), maps, strict=False)),
        "strip": _strip(view),
        "negative": [*view.counts[:below].tolist(), *[0] * (len(view.counts) - below)],
        "positive": [*[0] * below, *view.counts[below:].tolist()],
        "tallest": int(view.counts.max()),
        "zero_at": 100 * below / len(view.counts),
        "field": tuple(axis.size for axis in field) if field else None,
        "whole": square is not None and (square["height"], square["width"]) == input_shape[2:],
        "jump": field[0].jump if field else 0,
        "square": square,
    }


def _strip(view: LayerView) -> str:
    """All values of a fully connected layer as one picture of 32 rows."""
    if view.values is None or view.values.size % 32:
        return ""
    high = float(np.quantile(view.values, 0.999))
    return pictures.values(view.values.reshape(32, -1), high, longest=512)


def _square(view: LayerView, input_shape: tuple[int, ...]) -> dict[str, float] | None:
    """The strongest output's receptive field, cut to the image."""
    field = view.layer.receptive_field
    if field is None or not view.layer.is_map:
        return None
    (top, bottom), (left, right) = (
        [min(max(edge, 0.0), float(side)) for edge in axis.span(index)]
        for axis, index, side in zip(field, view.strongest, input_shape[2:], strict=True)
    )
    return {"x": left, "y": top, "width": right - left, "height": bottom - top}


def words_of(explanation: Explanation) -> tuple[str, str, str, str]:
    """What is explained, what raises and what lowers it, and its unit."""
    return _WORDS.get(type(explanation.answer), ("the most probable class", "for", "against", "in log-probability"))


def _answer(number: int, explanation: Explanation) -> dict[str, Any]:
    what, raises, lowers, unit = words_of(explanation)
    up = [unit for unit in explanation.units if unit.contribution > 0][:6]
    down = [unit for unit in explanation.units if unit.contribution < 0][:6]
    height, width = explanation.x.shape[2:]
    probabilities = np.asarray(getattr(explanation.answer, "probabilities", ()), float).tolist()
    return {
        "id": number,
        "kind": type(explanation.answer).__name__,
        "network": name_of(explanation),
        "answer": explanation.answer,
        "probabilities": probabilities,
        "ticks": _ticks(len(probabilities)),
        "labels": explanation.labels,
        "what": what,
        "raises": raises,
        "lowers": lowers,
        "unit": unit,
        "up": up,
        "down": down,
        "largest_contribution": max((abs(unit.contribution) for unit in up + down), default=1.0),
        "width": width,
        "height": height,
        "crop": pictures.data_uri(pictures.colour(explanation.pixels), "png"),
        "cam": _cam(explanation),
        "no_gradient": explanation.no_gradient,
        "occlusion": _overlay(spread(explanation.occlusion)),
        "hidden": (explanation.occlusion.size, 2 * stride_of(explanation.x.shape)),
        "covered": [side * stride_of(explanation.x.shape) for side in spread(explanation.occlusion).shape],
        "occlusion_range": (float(explanation.occlusion.min()), float(explanation.occlusion.max())),
    }


def _cam(explanation: Explanation) -> dict[str, Any] | None:
    if explanation.grad_cam is None or explanation.cam_layer is None:
        return None
    channels, rows, columns = explanation.cam_layer.output_shape
    return {
        "picture": _overlay(explanation.grad_cam),
        "layer": explanation.cam_layer.title,
        "channels": channels,
        "places": f"{rows} × {columns}",
    }


def _overlay(array: np.ndarray) -> str:
    return pictures.signed_overlay(array, 224)


def _ticks(classes: int) -> list[tuple[int, float]]:
    """Every tenth year of an age's distribution, with its place in percent."""
    return [(year, 100 * (year + 0.5) / classes) for year in range(0, classes, 10)]
