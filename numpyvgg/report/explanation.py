"""One photograph's way through the network, as data: every layer's values summed up, the answer, and where it looked.

`explain` is the whole of it; the page (`numpyvgg.report.page`) and the terminal's table are two ways to
show the result.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from ..layers import softmax
from ..photo.answers import Answer, answer
from ..photo.images import load_image
from ..photo.tensors import tensors
from ..vgg.layer import Layer
from ..vgg.network import VGG
from ..zoo.labels import UNKNOWN, Labels
from ..zoo.preparation import DEX, Preparation
from .gradients import backward, grad_cam
from .occlusion import occlusion

if TYPE_CHECKING:
    from PIL import Image

    from ..photo.faces.search import Face

MAPS = 16  # feature maps shown of each layer
BINS = 48
#: values that the backward pass and the list of fc7's units need
_KEPT = ("relu5_3", "pool5", "relu6", "relu7", "fc8", "prob")


@dataclass(frozen=True)
class ReceptiveField:
    """The square of input pixels that one output pixel depends on.

    Attributes
    ----------
    size : int
        Pixels along each side; it may be larger than the image.
    jump : int
        Pixels between the fields of two neighbouring outputs.
    start : float
        Centre of the first output's field, in pixels; pixel 0 runs from 0 to 1.
    """

    size: int = 1
    jump: int = 1
    start: float = 0.5

    def after(self, kernel: int, stride: int, pad: int) -> ReceptiveField:
        """The field one operation further on (Araujo, Norris and Sim, "Computing Receptive Fields", Distill 2019)."""
        return ReceptiveField(
            size=self.size + (kernel - 1) * self.jump,
            jump=self.jump * stride,
            start=self.start + ((kernel - 1) / 2 - pad) * self.jump,
        )

    def square(self, row: int, column: int) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of an output's field; parts may lie outside the image."""
        x, y = self.start + column * self.jump, self.start + row * self.jump
        half = self.size / 2
        return x - half, y - half, x + half, y + half


@dataclass(frozen=True)
class LayerView:
    """What went on in one layer: a convolution or fully connected layer with its ReLU, or a pooling.

    Attributes
    ----------
    layer : Layer
    seconds : float
        The layer's own time, and its ReLU's.
    output_bytes : int
    zeros : float or None
        Share of the values that the ReLU set to zero; None where none follows.
    counts : ndarray of int [48]
        Histogram of the values before the ReLU; what lies beyond the range is counted in the outermost bins.
    edges : ndarray [49]
        Borders of its bins; zero is one of them, if the range holds it.
    channels : ndarray of int [16]
        The feature maps (or units) of the largest root mean square, after the ReLU; strongest first. Of fewer all.
    maps : ndarray [16, H, W]
        Those feature maps; ``[16]`` their values for a fully connected layer.
    values : ndarray [M], or None
        All values of a fully connected layer, after the ReLU.
    receptive_field : ReceptiveField
    strongest : pair of int
        Row and column of the largest value in the first of `maps`; 0, 0 for a fully connected layer.
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
    receptive_field: ReceptiveField
    strongest: tuple[int, int]


@dataclass(frozen=True)
class Unit:
    """One unit of fc7 and what it does to the score: its value times the score's gradient with respect to it."""

    index: int
    value: float
    contribution: float


@dataclass(frozen=True)
class Explanation:
    """Everything about one photograph and one network.

    Attributes
    ----------
    photograph : PIL.Image.Image
        As people see it, any size, RGB.
    face : Face or None
        Where the crop was taken from the photograph; None: the whole photograph is the crop.
    x : ndarray, float32 [1, 3, 224, 224]
        What entered the network.
    channels : {"bgr", "rgb"}
        The order of `x`'s three channels.
    pixels : ndarray, float32 [3, 224, 224]
        `x` before anything was subtracted or multiplied: red, green and blue from 0 to 255.
    seconds : float
        One forward pass, undisturbed by looking at its layers.
    layers : list of LayerView
        The convolutions (13 in VGG-16), 5 poolings and 3 fully connected layers, in order.
    filters : ndarray [64, 3, 3, 3]
        conv1_1's weights, their channels in RGB order.
    answer : Answer
    labels : Labels
        What the classes mean.
    units : list of Unit
        fc7's, in the order of their contribution's size.
    grad_cam : ndarray [14, 14]
        At conv5_3: positive where the image raises the score; see `gradients.score` for what the score is.
    occlusion : ndarray [6, 6]
        By how much the score falls when a part is hidden, in the score's unit (years for an age).
    """

    photograph: Image.Image = field(repr=False)
    face: Face | None = field(repr=False)
    x: np.ndarray = field(repr=False)
    channels: str
    pixels: np.ndarray = field(repr=False)
    seconds: float
    layers: list[LayerView] = field(repr=False)
    filters: np.ndarray = field(repr=False)
    answer: Answer
    labels: Labels
    units: list[Unit] = field(repr=False)
    grad_cam: np.ndarray = field(repr=False)
    occlusion: np.ndarray = field(repr=False)


def explain(
    net: VGG,
    image: str | os.PathLike[str] | np.ndarray | Image.Image,
    *,
    face: Face | None = None,
    preparation: Preparation = DEX,
    labels: Labels = UNKNOWN,
) -> Explanation:
    """Follow a photograph through a network, and ask the network what its answer rests on.

    Costs 41 forward passes, most of them with a part of the image hidden.

    Parameters
    ----------
    net : VGG
    image : path, Pillow image, or ndarray of uint8 in RGB order
        The photograph; see `numpyvgg.photo.images.load_image`.
    face : Face, optional
        A face found in it by `photo.faces.search.align_faces`; its crop enters the network, with its margin. Without
        one the whole photograph does.
    preparation : Preparation
        How the network wants its images; by default as the DEX networks do.
    labels : Labels
        What its classes mean.

    Returns
    -------
    Explanation

    Raises
    ------
    ImageError
        The photograph cannot be read.
    ArgumentError
        The network takes another size.
    """
    photograph = load_image(image)
    crop = photograph if face is None else face.with_margin()
    x = tensors(crop, preparation)[:1]
    plain = replace(preparation, channels="rgb", mean=(), mean_file="", scale=())
    layers, values = watch(net, x)
    gradients = backward(net, values, labels)
    return Explanation(
        photograph=photograph,
        face=face if face is not None and face.found else None,
        x=x,
        channels=preparation.channels,
        pixels=tensors(crop, plain)[0],
        seconds=_seconds(net, x),
        layers=layers,
        filters=_filters(net, preparation.channels),
        answer=answer(values["prob"][0], labels),
        labels=labels,
        units=_units(values["relu7"][0], gradients["relu7"][0]),
        grad_cam=grad_cam(values["relu5_3"], gradients["relu5_3"])[0],
        occlusion=occlusion(net, x, labels),
    )


def watch(net: VGG, x: np.ndarray) -> tuple[list[LayerView], dict[str, np.ndarray]]:
    """Run the network on one image and look at every layer.

    Parameters
    ----------
    net : VGG
    x : ndarray [1, 3, 224, 224]

    Returns
    -------
    views : list of LayerView
    values : dict of str to ndarray
        By title, those that `gradients.backward` needs, ``fc8`` and ``prob``.
    """
    for _ in range(2):  # the first pass reads the weights from the disk, the second may keep them: no layer's own time
        net(x)
    views: list[LayerView] = []
    values: dict[str, np.ndarray] = {}
    receptive_field = ReceptiveField()
    pending: tuple[Layer, np.ndarray, float] | None = None  # a layer whose ReLU comes next
    for layer, value, seconds in _timed(net, x):
        if layer.kind == "fc" or layer.title in ("relu6", "relu7"):  # [N, M], though a file may have it [N, M, 1, 1]
            value = value.reshape(len(value), -1)
        if layer.title in _KEPT:
            values[layer.title] = value
        receptive_field = _field_after(layer, receptive_field)
        if layer.kind in ("conv", "fc") and layer.title != "fc8":
            pending = layer, value, seconds
        elif layer.kind == "relu":
            assert pending is not None
            views.append(_view(pending[0], pending[2] + seconds, pending[1], value, receptive_field))
        elif layer.title != "prob":
            views.append(_view(layer, seconds, value, None, receptive_field))
    if net.classes == 1:  # a regression: the number is the answer
        values["prob"] = values["fc8"]
    values.setdefault("prob", softmax(values["fc8"], axis=1))  # a file may end with the scores
    return views, values


def _timed(net: VGG, x: np.ndarray) -> Iterator[tuple[Layer, np.ndarray, float]]:
    """Each operation of the forward pass with its seconds; what the caller does in between does not count."""
    operations = net.trace_layers(x)
    while True:
        start = time.perf_counter()
        try:
            layer, value = next(operations)
        except StopIteration:
            return
        yield layer, value, time.perf_counter() - start


def _seconds(net: VGG, x: np.ndarray) -> float:
    start = time.perf_counter()
    net(x)
    return time.perf_counter() - start


def _field_after(layer: Layer, before: ReceptiveField) -> ReceptiveField:
    if layer.kind == "conv":
        return before.after(kernel=3, stride=1, pad=1)
    if layer.kind == "pool":
        return before.after(kernel=2, stride=2, pad=0)
    if layer.title == "fc6":
        return before.after(kernel=7, stride=1, pad=0)
    return before


def _view(
    layer: Layer, seconds: float, before: np.ndarray, after: np.ndarray | None, receptive_field: ReceptiveField
) -> LayerView:
    """Sum up one layer: `before` and `after` its ReLU, if one follows; both [1, M, ...]."""
    output = (before if after is None else after)[0]
    zeros = None if after is None else float(1 - np.count_nonzero(after) / after.size)
    counts, edges = histogram(before)
    pixels = output.reshape(len(output), -1)
    channels = np.argsort(-np.einsum("mp,mp->m", pixels, pixels), kind="stable")[:MAPS]
    strongest = (0, 0)
    if output.ndim == 3:
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
        values=output if output.ndim == 1 else None,
        receptive_field=receptive_field,
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


def _filters(net: VGG, channels: str) -> np.ndarray:
    first = net.layers[0]
    assert first.load is not None
    weight = first.load()[0]
    return weight[:, ::-1] if channels == "bgr" else weight


def _units(values: np.ndarray, gradient: np.ndarray) -> list[Unit]:
    """fc7's units by what they do to the score: near enough linear, the score is the sum of value times gradient."""
    contributions = values * gradient
    order = np.argsort(-np.abs(contributions), kind="stable")
    return [Unit(int(i), float(values[i]), float(contributions[i])) for i in order if values[i] > 0]
