"""A network that answers: the network itself, how it wants its images, and what its outputs mean.

None of the three is guessed. What a network wants and means may be written in its file (Caffe's ``transform_param``),
is known of the networks that have a name (`zoo.registry`), or is said by the user, whose word counts most. Without
anybody's word images are prepared as for the DEX networks, and classes are numbers.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..errors import ArgumentError, UnsupportedModelError, reported_as_argument
from ..files.caffe import CaffeModel
from ..files.onnx import OnnxModel
from ..kernels import default_method
from ..vgg.network import VGG
from ..zoo import BUNDLED, identify, open_model
from ..zoo.labels import UNKNOWN, Labels, labels_for
from ..zoo.preparation import CHANNELS, VIEWS, Preparation
from ..zoo.registry import Published
from .answers import Answer, answer
from .classifier import SessionClassifier
from .tensors import tensors

if TYPE_CHECKING:
    from PIL import Image

LabelsLike = str | os.PathLike[str] | tuple[str, ...] | Labels


class Network(Protocol):
    """What `Estimator` asks: `VGG` and `SessionClassifier` are two kinds."""

    @property
    def classes(self) -> int: ...
    @property
    def input_shape(self) -> tuple[int, ...]: ...
    def __call__(self, x: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True)
class Estimator:
    """A network with its preparation and its labels; call it with an image to have its answer.

    Attributes
    ----------
    name : str
        The network's name or path, as it was given.
    network : VGG or SessionClassifier
    preparation : Preparation
    labels : Labels
    conv : {"im2col", "winograd"}
        How its convolutions are computed.
    model : OnnxModel
        The file, from which the network can be opened once more.
    notes : tuple of str
        What its user should know: why it is run by a session, what its file says that cannot be heeded.
    """

    name: str
    network: Network
    preparation: Preparation
    labels: Labels
    conv: str
    model: OnnxModel
    notes: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """Sixteen digits that tell two networks apart: of the nodes, and of the ends of each weight."""
        nodes = [(node.op_type, node.inputs, node.outputs) for node in self.model.nodes]
        digest = hashlib.sha256(repr(nodes).encode("utf-8", "backslashreplace"))
        for name in self.model.initializers:
            stored = self.model.initializers.stored(name)
            numbers = stored.view().reshape(-1)
            digest.update(f"{name} {stored.dims}".encode("utf-8", "backslashreplace"))
            if numbers.dtype != object:
                digest.update(numbers[:1024].tobytes() + numbers[-1024:].tobytes())
        return digest.hexdigest()[:16]

    def by(self, conv: str) -> Estimator:
        """The same, with its convolutions computed in another way; answers differ by rounding."""
        if conv == self.conv:
            return self
        with warnings.catch_warnings():  # what there is to say of the file has been said
            warnings.simplefilter("ignore")
            return replace(self, network=_network(self.model, conv)[0], conv=conv)

    def tensors(self, image: Image.Image) -> np.ndarray:
        """An image's views, float32 [V, 3, H, W]; see `photo.tensors`."""
        return tensors(image, self.preparation)

    def answers(self, x: np.ndarray) -> list[Answer]:
        """Ask the network.

        Parameters
        ----------
        x : ndarray, float32 [N, V, 3, H, W]
            The views of N images.

        Returns
        -------
        list of Answer
            One for each image, from the mean of its views' outputs.
        """
        outputs = self.network(x.reshape(-1, *x.shape[2:])).reshape(*x.shape[:2], -1)  # [N, V, classes]
        means = outputs[:, 0] if x.shape[1] == 1 else outputs.mean(axis=1)
        return [answer(row, self.labels) for row in means]

    def __call__(self, image: Image.Image) -> Answer:
        """Answer for one image of mode RGB; see `numpyvgg.photo.images.load_image`."""
        return self.answers(self.tensors(image)[None])[0]


def open_estimator(
    name: str | os.PathLike[str],
    labels: LabelsLike | None = None,
    said: Mapping[str, Any] | None = None,
    conv: str | None = None,
) -> Estimator:
    """Open a network by its name or its path, with all that is known of it.

    Parameters
    ----------
    name : str or path
    labels : optional
        What the user says of the classes; see `zoo.labels.labels_for`.
    said : mapping, optional
        What the user says of the preparation: `preparation` (a name) and fields of `Preparation`; see `prepared`.
    conv : {"im2col", "winograd"}
        How convolutions are computed; by default as `VGG.from_onnx` has it.

    Raises
    ------
    ArgumentError
        What the user says does not fit the network.
    FetchError, ModelFormatError, UnsupportedModelError
        The network is not here, its file is damaged, or it is no network that takes an image and gives numbers.
    """
    name = os.fspath(name)
    model = open_model(name)
    conv = conv or default_method()
    network, notes = _network(model, conv)
    known = identify(name, _structure(network), network.classes)
    stated, unheeded = _stated(model)
    preparation = prepared(network, known, stated, said or {}, name)
    if isinstance(network, SessionClassifier):
        preparation = replace(preparation, in_graph=network.in_graph)
    meaning = known.labels if known else UNKNOWN
    if labels is not None:
        meaning = labels_for(labels, network.classes, name)
        if known and meaning.kind not in (known.labels.kind, "class"):
            raise ArgumentError(f"labels {labels}: what {name} answers is known ({known.labels}); leave them out")
    if getattr(network, "independent", False) and meaning.kind != "class":
        raise ArgumentError(f"labels {labels}: {name} ends with sigmoids, which are no distribution over classes")
    if known and (preparation.mean or preparation.mean_file):
        unheeded = []  # what its file says of a mean is no news
    notes = unheeded if known else notes + unheeded  # nor that a known network is no VGG
    return Estimator(name, network, preparation, meaning, conv, model, tuple(notes))


def _network(model: OnnxModel, conv: str) -> tuple[VGG | SessionClassifier, list[str]]:
    """A VGG network where the file holds one, else whatever takes an image and gives a row of numbers."""
    try:
        return VGG.from_onnx(model, conv=conv), []
    except UnsupportedModelError as error:
        network = SessionClassifier(model, conv)
        return network, [f"{error}, and runs this one"]


def _structure(network: VGG | SessionClassifier) -> str:
    return "VGG-16" if isinstance(network, VGG) and network.configuration == "D" else ""


# ---------------------------------------------------------------------- preparation


def _stated(model: OnnxModel) -> tuple[dict[str, Any], list[str]]:
    """What a Caffe file says of its training's images, and what of it cannot be heeded."""
    if not isinstance(model, CaffeModel) or model.transform is None:
        return {}, []
    transform = model.transform
    said: dict[str, Any] = {}
    notes = []
    if transform.mean_value:
        said["mean"] = tuple(transform.mean_value)
    if transform.scale not in (0, 1):
        said["scale"] = (transform.scale,)
    if transform.mean_file:
        beside = Path(model.path).parent / os.path.basename(transform.mean_file.replace("\\", "/"))
        if beside.is_file():
            said["mean_file"] = str(beside)
        else:
            notes.append(
                f"{model.path}: trained less the mean image {transform.mean_file}, which is not beside it and is not "
                "subtracted; put it there, or give --mean"
            )
    return said, notes


def prepared(
    network: Network, known: Published | None, stated: Mapping[str, Any], said: Mapping[str, Any], name: str
) -> Preparation:
    """Put together what the zoo, the file and the user say of a network's images.

    Parameters
    ----------
    network : VGG or SessionClassifier
    known : Published or None
    stated : mapping
        Fields of `Preparation` from the file.
    said : mapping
        By the user: `preparation`, a name of the zoo's for this network or one of `VIEWS`; `size` and `crop`, an int or
        (height, width); `channels`; `mean` and `scale`, a number or one for each channel; `mean` a path too.
    name : str
        For errors.

    Raises
    ------
    ArgumentError
        What is said does not exist, or does not fit the network.
    """
    side = network.input_shape[1], network.input_shape[2]
    base = known.preparation if known else replace(Preparation(size=side), **stated)
    if not known and base.mean_file:  # Caffe subtracts the whole mean image, and then crops
        base = replace(base, size=_mean_size(base.mean_file), crop=side)
    said = {key: value for key, value in said.items() if value is not None}
    chosen = said.pop("preparation", None)
    if chosen is not None:
        base = _named(chosen, base, known, name)
    fields = {key: _FIELDS[key](key, value) for key, value in said.items()}
    if isinstance(fields.get("mean"), str):
        fields["mean_file"], fields["mean"] = fields["mean"], ()
        fields.setdefault("size", _mean_size(fields["mean_file"]))
    elif "mean" in fields:
        fields["mean_file"] = ""
    result = replace(base, **fields, name="" if fields else base.name)
    if result.mean_file and known and "mean_file" not in fields:
        result = replace(result, mean_file=_beside(known, name, result.mean_file))
    if known and known.name in BUNDLED and result != base:
        raise ArgumentError(f"{name}: how its images are prepared is known ({base}); leave {', '.join(said)} out")
    return _fitted(result, side, getattr(network, "open_size", False), name)


def _beside(known: Published, name: str, mean_file: str) -> str:
    """The path of a known network's mean image, which lies beside the network."""
    path = (known.path if name == known.name else Path(name)).parent / mean_file
    if not path.is_file():
        raise ArgumentError(
            f"{name}: is prepared with the mean image {mean_file}, which is not at {path}: give --mean FILE"
        )
    return str(path)


def _named(chosen: str, base: Preparation, known: Published | None, name: str) -> Preparation:
    if known and chosen in known.preparations:
        return known.preparations[chosen]
    if chosen not in VIEWS:
        names = dict.fromkeys((*(known.preparations if known else ()), *VIEWS))
        raise ArgumentError(f"preparation {chosen!r} does not exist for {name}; there are {', '.join(names)}")
    return replace(base, views=chosen)


def _fitted(preparation: Preparation, side: tuple[int, int], open_size: bool, name: str) -> Preparation:
    """Crop to what the network takes where the image is resized to more, and refuse what is not possible."""
    result = preparation
    if not open_size and result.input_size != side:
        if result.crop is not None or min(result.size[0] - side[0], result.size[1] - side[1]) < 0:
            raise ArgumentError(f"{name} takes {side[0]}x{side[1]} pixels: {result} does not give that")
        result = replace(result, crop=side)
    if result.input_size[0] > result.size[0] or result.input_size[1] > result.size[1]:
        raise ArgumentError(f"crop {result.crop}: there are only {result.size[0]}x{result.size[1]} pixels")
    if result.views == "ten-crop" and result.input_size == result.size:
        raise ArgumentError(f"{name}: ten crops of {side[0]}x{side[1]} need a larger image: give --size")
    return result


def _mean_size(path: str) -> tuple[int, int]:
    from .tensors import _read_mean

    _, height, width = _read_mean(path).shape
    return height, width


def _pair(name: str, value: Any) -> tuple[int, int]:
    """A size in pixels: one number, or height and width."""
    sides = tuple(value) if isinstance(value, Iterable) else (value, value)
    if len(sides) != 2 or not all(isinstance(side, int | np.integer) and 0 < side <= 4096 for side in sides):
        raise ArgumentError(f"{name} {value!r}: give pixels, one number or height and width, from 1 to 4096")
    return int(sides[0]), int(sides[1])


def _by_channel(name: str, value: Any) -> tuple[float, ...]:
    numbers: tuple[Any, ...] = tuple(value) if isinstance(value, Iterable) else (value,)
    with reported_as_argument(f"{name} {value!r}"):
        finite = np.isfinite(np.array(numbers, float))
    if finite.shape not in ((0,), (1,), (3,)) or not finite.all():
        raise ArgumentError(f"{name} {value!r}: give one number, or one for each of the three channels")
    return tuple(map(float, numbers))


def _mean(name: str, value: Any) -> tuple[float, ...] | str:
    return os.fspath(value) if isinstance(value, str | os.PathLike) else _by_channel(name, value)


def _channels(name: str, value: Any) -> str:
    if not isinstance(value, str) or value not in CHANNELS:
        raise ArgumentError(f"{name}={value!r} does not exist; there are 'bgr' and 'rgb'")
    return str(value)


_FIELDS: dict[str, Callable[[str, Any], Any]] = {
    "size": _pair,
    "crop": _pair,
    "channels": _channels,
    "mean": _mean,
    "scale": _by_channel,
}
