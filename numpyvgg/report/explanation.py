"""One photograph's way through a network, as data: every layer's values summed up, the answer, and where it looked.

`explain` is the whole of it; the page (`numpyvgg.report.page`) and the terminal's table are two ways to
show the result.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ..errors import UnsupportedModelError
from ..graph.graph import Graph
from ..kernels import operations
from ..photo.answers import Answer, answer
from ..photo.classifier import SessionClassifier, scores
from ..photo.estimator import Estimator
from ..photo.images import load_image
from ..photo.tensors import tensors
from ..session import InferenceSession
from ..session.plan import Planner, Step
from ..zoo.labels import Labels
from ..zoo.preparation import Preparation
from .backward import backward
from .gradients import grad_cam, score_gradient
from .layer import Layer, find_layers
from .occlusion import occlusion

if TYPE_CHECKING:
    from PIL import Image

    from ..photo.faces.search import Face

MAPS = 16  # feature maps shown of each layer
BINS = 48
#: the smallest map that still tells places apart, in pixels, is larger than this
PLACES = 4


@dataclass(frozen=True)
class LayerView:
    """What went on in one layer.

    Attributes
    ----------
    layer : Layer
    seconds : float
        The layer's own time: of all its nodes.
    output_bytes : int
    zeros : float or None
        Share of the values that the ReLU set to zero; None where none follows.
    counts : ndarray of int [48]
        Histogram of the values before the activation; what lies beyond the range is counted in the outermost bins.
    edges : ndarray [49]
        Borders of its bins; zero is one of them, if the range holds it.
    channels : ndarray of int [16]
        The feature maps (or units) of the largest root mean square, after the activation; strongest first. Of fewer
        all.
    maps : ndarray [16, H, W]
        Those feature maps; ``[16]`` their values for a layer without places.
    values : ndarray [M], or None
        All values of a layer without places, after the activation.
    strongest : pair of int
        Row and column of the largest value in the first of `maps`; 0, 0 for a layer without places.
    """

    layer: Layer
    seconds: float
    output_bytes: int
    zeros: float | None
    counts: np.ndarray = field(repr=False)
    edges: np.ndarray = field(repr=False)
    channels: np.ndarray = field(repr=False)
    maps: np.ndarray = field(repr=False)
    values: np.ndarray | None = field(repr=False)
    strongest: tuple[int, int]


@dataclass(frozen=True)
class Unit:
    """One unit of the last description and what it does to the score: its value times the score's gradient there."""

    index: int
    value: float
    contribution: float


@dataclass(frozen=True)
class Explanation:
    """Everything about one photograph and one network.

    Attributes
    ----------
    network : Estimator
    photograph : PIL.Image.Image
        As people see it, any size, RGB.
    face : Face or None
        Where the crop was taken from the photograph; None: the whole photograph is the crop.
    x : ndarray, float32 [1, 3, H, W]
        What entered the network.
    preparation : Preparation
        How it was made of the crop.
    pixels : ndarray, float32 [3, H, W]
        `x` before anything was subtracted or multiplied: red, green and blue from 0 to 255.
    seconds : float
        One forward pass, undisturbed by looking at its layers.
    layers : list of LayerView
        In order.
    filters : ndarray [M, 3, kH, kW], or None
        The first layer's weights, their channels in RGB order; None where it does not look at colours.
    answer : Answer
    labels : Labels
        What the classes mean.
    units : list of Unit
        Of what the last layer with weights reads, in the order of their contribution's size.
    grad_cam : ndarray [H, W], or None
        At the layer `cam_layer`: positive where the image raises the score; see `gradients.score` for what the score
        is. None where a backward pass is missing, and `no_gradient` says which.
    cam_layer : Layer or None
    no_gradient : str
    occlusion : ndarray [6, 6]
        By how much the score falls when a part is hidden, in the score's unit (years for an age).
    """

    network: Estimator = field(repr=False)
    photograph: Image.Image = field(repr=False)
    face: Face | None = field(repr=False)
    x: np.ndarray = field(repr=False)
    preparation: Preparation
    pixels: np.ndarray = field(repr=False)
    seconds: float
    layers: list[LayerView] = field(repr=False)
    filters: np.ndarray | None = field(repr=False)
    answer: Answer
    labels: Labels
    units: list[Unit] = field(repr=False)
    grad_cam: np.ndarray | None = field(repr=False)
    cam_layer: Layer | None = field(repr=False)
    no_gradient: str
    occlusion: np.ndarray = field(repr=False)

    @property
    def name(self) -> str:
        """The network's name or path, as it was given."""
        return self.network.name


def explain(
    network: Estimator,
    image: str | os.PathLike[str] | np.ndarray | Image.Image,
    *,
    face: Face | None = None,
) -> Explanation:
    """Follow a photograph through a network, and ask the network what its answer rests on.

    Costs 43 forward passes, most of them with a part of the image hidden.

    Parameters
    ----------
    network : Estimator
        Of `photo.estimator.open_estimator`.
    image : path, Pillow image, or ndarray of uint8 in RGB order
        The photograph; see `numpyvgg.photo.images.load_image`.
    face : Face, optional
        A face found in it by `photo.faces.search.align_faces`; its crop enters the network, with or without its margin
        as the network was trained. Without one the whole photograph does.

    Returns
    -------
    Explanation

    Raises
    ------
    ImageError
        The photograph cannot be read.
    """
    photograph = load_image(image)
    x = network.tensors(crop_of(photograph, face, network.preparation))[:1]
    plain = replace(network.preparation, channels="rgb", mean=(), mean_file="", scale=())
    layers, values = watch(network, x)
    probabilities = network.network(x)[:1]
    leans = _leaning(network, [view.layer for view in layers], values, probabilities)
    return Explanation(
        network=network,
        photograph=photograph,
        face=face if face is not None and face.found else None,
        x=x,
        preparation=network.preparation,
        pixels=tensors(crop_of(photograph, face, plain), plain)[0],
        seconds=_seconds(network, x),
        layers=layers,
        filters=_filters(network, layers),
        answer=answer(probabilities[0], network.labels),
        labels=network.labels,
        units=leans.units,
        grad_cam=leans.grad_cam,
        cam_layer=leans.cam_layer,
        no_gradient=leans.missing,
        occlusion=occlusion(network.network, x, network.labels),
    )


def crop_of(photograph: Image.Image, face: Face | None, preparation: Preparation) -> Image.Image:
    """What of a photograph enters a network: the face as the network was trained, or all of it."""
    if face is None:
        return photograph
    return face.with_margin() if preparation.margin else face.without_margin()


# ---------------------------------------------------------------------- the forward pass, watched


def watch(network: Estimator, x: np.ndarray) -> tuple[list[LayerView], dict[str, np.ndarray]]:
    """Run a network on one image and look at every layer.

    Parameters
    ----------
    network : Estimator
    x : ndarray, float32 [1, 3, H, W]

    Returns
    -------
    views : list of LayerView
    values : dict of str to ndarray
        See `tensors_of`.
    """
    values = tensors_of(network, x)
    layers = find_layers(Graph(network.model), {name: value.shape for name, value in values.items()})
    seconds = _times(network, layers, feed_of(network, x))
    return [_view(each, values, time) for each, time in zip(layers, seconds, strict=True)], values


def tensors_of(network: Estimator, x: np.ndarray) -> dict[str, np.ndarray]:
    """Every tensor of the graph by name, but those that are fixed. Convolutions by the textbook's im2col."""
    graph, feed = Graph(network.model), feed_of(network, x)
    names = [name for node in graph.nodes for name in node.outputs if name and not graph.is_fixed(name)]
    return dict(feed) | dict(zip(names, InferenceSession(network.model).run(names, feed), strict=True))


def feed_of(network: Estimator, x: np.ndarray) -> dict[str, np.ndarray]:
    """An image as the graph's input."""
    if isinstance(network.network, SessionClassifier):
        return network.network.feed(x)
    return {network.model.inputs[0].name: x}


def _times(network: Estimator, layers: list[Layer], feed: Mapping[str, np.ndarray]) -> list[float]:
    """Each layer's seconds in the third of three passes.

    The first reads the weights from the disk, the second may copy them: no layer's own time.
    """
    planner = Planner(network.model, partial(operations, network.conv, None))
    outputs = [value.name for value in network.model.outputs]
    steps = planner.steps([*(layer.output for layer in layers), *outputs], ())
    of_node = {id(node): number for number, layer in enumerate(layers) for node in layer.nodes}
    for _ in range(3):
        seconds = [0.0] * len(layers)
        for step, took in zip(steps, _pass(planner, steps, feed), strict=True):
            if id(step.nodes[0]) in of_node:
                seconds[of_node[id(step.nodes[0])]] += took
    return seconds


def _pass(planner: Planner, steps: list[Step], feed: Mapping[str, np.ndarray]) -> list[float]:
    """Each step's seconds in one forward pass."""
    values, seconds = dict(feed), []
    for step in steps:
        inputs = [_value(planner.graph, values, name) for name in step.inputs]
        with np.errstate(all="ignore"):
            start = time.perf_counter()
            outputs = step.run(*inputs)
            seconds.append(time.perf_counter() - start)
        values.update(zip(step.outputs, outputs if isinstance(outputs, tuple) else (outputs,), strict=True))
        for name in step.last_uses:
            values.pop(name, None)
    return seconds


def _value(graph: Graph, values: Mapping[str, np.ndarray], name: str) -> np.ndarray | None:
    return values[name] if name in values else graph.constant(name) if name else None


def _seconds(network: Estimator, x: np.ndarray) -> float:
    start = time.perf_counter()
    network.network(x)
    return time.perf_counter() - start


def _view(layer: Layer, values: Mapping[str, np.ndarray], seconds: float) -> LayerView:
    """Sum up one layer of one image."""
    before, output = (values[name][0].astype(np.float32, copy=False) for name in (layer.before, layer.output))
    if not layer.is_map:
        output = output.reshape(-1)
    zeros = float(1 - np.count_nonzero(output) / output.size) if layer.activation == "Relu" else None
    counts, edges = histogram(before)
    pixels = output.reshape(len(output), -1)
    channels = np.argsort(-np.einsum("mp,mp->m", pixels, pixels), kind="stable")[:MAPS]
    strongest = (0, 0)
    if layer.is_map:
        row, column = np.unravel_index(output[channels[0]].argmax(), output.shape[1:])
        strongest = int(row), int(column)
    return LayerView(
        layer=layer,
        seconds=seconds,
        output_bytes=output.nbytes,
        zeros=zeros,
        counts=counts,
        edges=edges,
        channels=channels,
        maps=output[channels],
        values=None if layer.is_map else output,
        strongest=strongest,
    )


def histogram(values: np.ndarray, bins: int = BINS) -> tuple[np.ndarray, np.ndarray]:
    """Count values in `bins` bins over all but the outermost thousandth on either side, with a border at zero.

    Returns
    -------
    counts : ndarray of int [bins]
        Values beyond the range are counted in the first and last bin.
    edges : ndarray [bins + 1]
    """
    values = values.ravel()
    low, high = np.quantile(values[:: max(1, values.size // 200_000)], [0.001, 0.999]).astype(float)
    if high <= low:
        low, high = low - 0.5, low + 0.5
    width = (high - low) / bins
    if low < 0 < high:  # move and stretch the grid so that zero falls between two bins
        below = min(max(round(-low / width), 1), bins - 1)
        width = max(-low / below, high / (bins - below))
        low = -below * width
    edges = low + width * np.arange(bins + 1)
    edges[np.abs(edges) < width / 4] = 0
    index = ((values - np.float32(low)) / np.float32(width)).astype(np.int32)
    return np.bincount(index.clip(0, bins - 1), minlength=bins), edges


def _filters(network: Estimator, views: list[LayerView]) -> np.ndarray | None:
    first = next((view.layer for view in views if view.layer.kind == "conv"), None)
    if first is None or len(first.weight_shape) != 4 or first.weight_shape[1] != 3:
        return None
    weight = Graph(network.model).constant(first.nodes[0].inputs[1])
    assert weight is not None
    return weight[:, ::-1] if network.preparation.channels == "bgr" else weight


# ---------------------------------------------------------------------- the backward pass


@dataclass(frozen=True)
class _Leaning:
    """Which way the answer leans; without a backward pass nothing but the reason."""

    units: list[Unit] = field(default_factory=list)
    grad_cam: np.ndarray | None = None
    cam_layer: Layer | None = None
    missing: str = ""


def _leaning(
    network: Estimator, layers: list[Layer], values: Mapping[str, np.ndarray], probabilities: np.ndarray
) -> _Leaning:
    graph = Graph(network.model)
    cam_layer = last_places(layers)
    weighted = [layer for layer in layers if layer.weight_shape]
    wanted = [layer.output for layer in (cam_layer,) if layer]
    description = weighted[-1].nodes[0].inputs[0] if weighted else ""
    single = {name: value.astype(np.float32) for name, value in values.items() if value.dtype == np.float16}
    values = {**values, **single}
    try:
        gradients = backward(graph, values, seeds(network, values, probabilities), [*wanted, description])
    except UnsupportedModelError as error:
        return _Leaning(missing=str(error))
    units = _units(values[description][0], gradients[description][0]) if description in gradients else []
    if cam_layer is None or cam_layer.output not in gradients:
        return _Leaning(units, missing="no layer has places")
    return _Leaning(units, grad_cam(values[cam_layer.output], gradients[cam_layer.output])[0], cam_layer)


def last_places(layers: list[Layer]) -> Layer | None:
    """The last layer, not counting poolings, whose maps have more than four pixels: where Grad-CAM is taken."""
    with_places = [layer for layer in layers if layer.is_map and np.prod(layer.output_shape[1:]) > PLACES]
    return next((layer for layer in reversed(with_places) if layer.kind != "pool"), None)


def seeds(network: Estimator, values: Mapping[str, np.ndarray], probabilities: np.ndarray) -> dict[str, np.ndarray]:
    """The score's gradient where the backward pass begins: at the scores, the softmax's input.

    Parameters
    ----------
    network : Estimator
    values : mapping of str to ndarray
        Every tensor; see `watch`.
    probabilities : ndarray [1, classes]
    """
    ends, tensor = scores(network.model)
    gradient = score_gradient(probabilities, network.labels)
    if probabilities.shape[1] == 1:
        tensor = network.model.outputs[0].name
    elif ends == "Sigmoid":  # each probability by itself: d log p / dz = 1 - p
        gradient = np.where(np.arange(gradient.shape[1]) == probabilities[0].argmax(), 1 - probabilities, 0)
    seed = np.zeros_like(values[tensor])
    seed[0] = gradient[0].reshape(seed.shape[1:])  # the others of a batch that the file fixes are copies
    return {tensor: seed}


def _units(values: np.ndarray, gradient: np.ndarray) -> list[Unit]:
    """The units by what they do to the score: near enough linear, the score is the sum of value times gradient."""
    values, contributions = values.reshape(-1), (values * gradient).reshape(-1)
    order = np.argsort(-np.abs(contributions), kind="stable")
    return [Unit(int(i), float(values[i]), float(contributions[i])) for i in order if values[i]]
