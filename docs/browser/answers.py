"""What the page asks Python for: its worker calls these functions with JSON, and gets JSON.

The third way to give pixels beside files and arrays is the browser's: its own decoder has made RGBA of the photograph,
which the worker has put into the file `photograph`.
"""

from __future__ import annotations

import functools
import json
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import numpyvgg
from numpyvgg.errors import NumpyVggError, UnsupportedModelError, printable, reported_as_ours
from numpyvgg.photo.faces.search import Face, align_faces
from numpyvgg.photo.images import load_image
from numpyvgg.photo.predictor import SMALL_MODELS, Prediction, Predictor
from numpyvgg.text import shape_text

Tell = Callable[[str], Any]
_networks: dict[str, Predictor] = {}


def _json(function: Callable[..., dict[str, Any]]) -> Callable[[str, Tell], str]:
    """A function of keywords as one of JSON; what goes wrong becomes ``{"error": words}``."""

    @functools.wraps(function)
    def called(given: str, tell: Tell) -> str:
        try:
            with reported_as_ours("this page"):
                return json.dumps(function(tell, **json.loads(given)))
        except NumpyVggError as error:
            return json.dumps({"error": str(error)})
        except MemoryError:
            return json.dumps({"error": "There is too little memory in this tab: ask a smaller network."})

    return called


@_json
def start(tell: Tell) -> dict[str, Any]:
    """Open the bundled networks."""
    return {"version": numpyvgg.__version__, "networks": [_open(name, name) for name in SMALL_MODELS]}


@_json
def add(tell: Tell, folder: str, names: list[str]) -> dict[str, Any]:
    """Open a network among files that the worker has mounted."""
    files = [name for name in names if not name.endswith((".prototxt", ".data", ".bin", ".binaryproto"))]
    if len(files) != 1:
        raise UnsupportedModelError(f"{', '.join(names)}: choose one network, with the files that belong to it")
    return {"network": _open(files[0], f"{folder}/{files[0]}")}


def _open(name: str, path: str) -> dict[str, Any]:
    """Open a network, and tell what is in it: each node that has weights, with the shapes of those."""
    predictor = Predictor([path])
    _networks[name] = predictor
    (network,) = predictor.networks.values()
    weights = network.model.initializers
    layers = []
    for node in network.model.nodes:
        stored = [weights.stored(tensor) for tensor in node.inputs if tensor in weights]
        shapes = [tensor.dims for tensor in stored if tensor.dtype.kind == "f"]  # others are shapes and axes
        if shapes:
            layers.append({
                "name": printable(node.name or node.outputs[0]),
                "operator": node.op_type,
                "weights": ", ".join(map(shape_text, shapes)),
                "numbers": sum(map(math.prod, shapes)),
            })  # fmt: skip
    return {"name": name, "about": "; ".join([str(network.labels), *network.notes]), "layers": layers}


@_json
def answer(tell: Tell, width: int, height: int, faces: bool, networks: list[str]) -> dict[str, Any]:
    """Ask networks about each face of the photograph, or about all of it."""
    rgba = np.fromfile("photograph", np.uint8).reshape(height, width, 4)
    photo = load_image(np.ascontiguousarray(rgba[:, :, :3]))
    seconds: dict[str, float] = {}
    found: list[Face] = []
    if faces:
        tell("Looking for faces.")
        found = _timed(seconds, "faces", align_faces, photo)
    told: list[dict[str, Any]] = [_about(face) for face in found] or [{"name": "whole", "box": None, "answers": []}]
    for name in networks:
        tell(f"Asking {name}.")
        ask = functools.partial(_networks[name].faces, faces=found) if faces else _whole(_networks[name])
        for entry, prediction in zip(told, _timed(seconds, name, ask, photo), strict=True):
            entry["answers"].append(_answer(name, prediction))
    return {"faces": told, "seconds": seconds}


def _whole(predictor: Predictor) -> Callable[[Any], list[Prediction]]:
    return lambda photo: [predictor(photo)]


def _timed(seconds: dict[str, float], what: str, work: Callable[[Any], Any], photo: Any) -> Any:
    begin = time.perf_counter()
    result = work(photo)
    seconds[what] = time.perf_counter() - begin
    return result


def _about(face: Face) -> dict[str, Any]:
    if not face.found:
        return {"name": "no face found: whole", "box": None, "answers": []}
    return {"name": f"{face.number} of {face.count}", "box": face.box.tolist(), "answers": []}


def _answer(name: str, prediction: Prediction) -> dict[str, Any]:
    (given,) = prediction.answers.values()
    numbers = getattr(given, "probabilities", None)
    return {"network": name, "text": str(given), "probabilities": None if numbers is None else numbers.tolist()}
