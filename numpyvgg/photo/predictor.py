"""Age and gender of photographs: several networks, asked together.

`numpyvgg.predict` answers for one photograph; `Predictor` keeps the networks loaded for many.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ArgumentError
from ..zoo import BUNDLED, PUBLISHED, require
from ..zoo.labels import Labels
from ..zoo.preparation import Preparation
from .answers import Answer
from .estimator import LabelsLike, open_estimator
from .images import load_image

if TYPE_CHECKING:
    from PIL import Image

    from .faces.search import Detector, Face

#: The networks that answer where none are named: the paper's where they have been fetched, else the bundled ones
DEX_MODELS = ("age-imdb-wiki", "gender-imdb-wiki")
SMALL_MODELS = tuple(BUNDLED)


def default_models() -> tuple[str, ...]:
    """The networks that answer where none are named: those of the paper's two that are here, else the small ones."""
    return tuple(name for name in DEX_MODELS if PUBLISHED[name].path.is_file()) or SMALL_MODELS


@dataclass(frozen=True)
class Prediction:
    """What networks say of one photograph.

    Attributes
    ----------
    answers : dict of str to Answer
        For each network, by the name or path that it was given as: an `Age`, a `Gender`, an `AgeGroup`, a `Ranking` or
        a `Value`.
    face : Face or None
        Which face of the photograph it is about; None where nobody looked for faces.
    preparations, labels : dict of str to Preparation and to Labels
        How the photograph was prepared for each network, and what the network's classes mean.
    """

    answers: dict[str, Answer]
    face: Face | None = None
    preparations: dict[str, Preparation] = field(default_factory=dict, repr=False, compare=False)
    labels: dict[str, Labels] = field(default_factory=dict, repr=False, compare=False)

    def __str__(self) -> str:
        """Each answer with its network and, where that has a name, its preparation."""
        ways = {network: preparation.name for network, preparation in self.preparations.items() if preparation.name}
        names = {network: ", ".join(filter(None, (network, ways.get(network)))) for network in self.answers}
        return ", ".join(f"{given} ({names[network]})" for network, given in self.answers.items())


class Predictor:
    """Networks that answer together.

    Parameters
    ----------
    models : sequence of names or paths, optional
        Of the networks to ask: names of `numpyvgg.zoo.NETWORKS`, ``small`` for both bundled ones, or files with any
        network that takes one image and gives one row of numbers. Left out: those of the paper's two for age and
        gender that have been fetched, else ``small``.
    channels : {"bgr", "rgb"}, optional
        The order of channels that networks take; by default as their file or the zoo says, else BGR.
    labels : optional
        What the networks' outputs mean, one for all or a list with one for each network: ``"age"`` (years from 0 on),
        ``"gender"`` (female first), ``"gender-male-first"``, the path of a text file with a label a line, or a tuple
        of names.
        By default as the zoo says; of a network that it does not know, classes are numbers.
    preparation : optional
        ``"ten-crop"`` for the mean over ten crops, or a name that the zoo has for the networks.
    size, crop, mean, scale : optional
        What the networks' input is, where neither the zoo nor their file says it: `size` and `crop` in pixels, a number
        or (height, width); `mean` and `scale` a number or one for each channel, in their order: an input is
        ``(pixels - mean) * scale``. `mean` may be the path of a mean image (``.binaryproto``).

    Raises
    ------
    FetchError
        A published network is not on this machine; the message says how to fetch it.
    ModelFormatError, UnsupportedModelError
        A file is damaged, or holds no network that takes one image and gives one row of numbers.
    ArgumentError
        Labels or a preparation do not fit a network.

    Examples
    --------
    >>> age = Predictor(["resnet.onnx"], "rgb", labels="age", mean=127.5, scale=1 / 128)  # doctest: +SKIP
    """

    def __init__(
        self,
        models: Sequence[str | os.PathLike[str]] | None = None,
        channels: str | None = None,
        labels: LabelsLike | list[LabelsLike] | None = None,
        *,
        preparation: str | None = None,
        **said: Any,
    ):
        unknown = set(said) - {"size", "crop", "mean", "scale"}
        if unknown:
            raise TypeError(f"Predictor() got an unexpected keyword argument {min(unknown)!r}")
        names: list[str] = []
        for model in models or default_models():
            names += SMALL_MODELS if model == "small" else [os.fspath(model)]
        require([name for name in names if name in PUBLISHED])
        given = {"preparation": preparation, "channels": channels, **said}
        meanings = one_for_each(labels, names)
        self.networks = {
            name: open_estimator(name, meaning, given) for name, meaning in zip(names, meanings, strict=True)
        }
        self._preparations = {name: network.preparation for name, network in self.networks.items()}
        self._labels = {name: network.labels for name, network in self.networks.items()}

    def __call__(self, image: Image.Image) -> Prediction:
        """Ask each network about an image of mode RGB; see `numpyvgg.photo.images.load_image`."""
        return self._prediction({name: network(image) for name, network in self.networks.items()})

    def faces(
        self, photo: Image.Image, detector: Detector | None = None, faces: Sequence[Face] | None = None
    ) -> list[Prediction]:
        """Ask each network about each face of a photograph, turned upright and cropped; see `faces.align_faces`.

        Each network gets the face with its margin or without, as it was trained. Where there is no face, all get the
        whole photograph. `faces` are those that have been found already.
        """
        from .faces.search import align_faces

        predictions = []
        for face in align_faces(photo, detector) if faces is None else faces:
            crops = {True: face.with_margin(), False: face.without_margin()}
            answers = {name: network(crops[network.preparation.margin]) for name, network in self.networks.items()}
            predictions.append(self._prediction(answers, face))
        return predictions

    def _prediction(self, answers: dict[str, Answer], face: Face | None = None) -> Prediction:
        return Prediction(answers, face, self._preparations, self._labels)


def one_for_each(labels: LabelsLike | list[LabelsLike] | None, names: list[str]) -> list[LabelsLike | None]:
    """Labels for each network: a list has one for each, anything else is for all."""
    if not isinstance(labels, list):
        return [labels] * len(names)
    if len(labels) == 1:
        return [labels[0]] * len(names)
    if len(labels) != len(names):
        raise ArgumentError(f"{len(labels)} labels for {len(names)} networks: give one for all, or one for each")
    return list(labels)


def predict(
    image: str | os.PathLike[str] | np.ndarray | Image.Image,
    models: Sequence[str | os.PathLike[str]] | None = None,
    channels: str | None = None,
    labels: LabelsLike | list[LabelsLike] | None = None,
    **options: Any,
) -> Prediction:
    """Tell age and gender from a photograph of a face.

    Parameters
    ----------
    image : path, Pillow image, or uint8 array [H, W, 3] in RGB order
        Cropped to the face.
    models : sequence of names or paths, optional
        Of the networks to ask; see `Predictor`.
    channels, labels, **options
        As for `Predictor`.

    Returns
    -------
    Prediction

    Raises
    ------
    ImageError
        The image cannot be read.
    FetchError, ModelFormatError, UnsupportedModelError, ArgumentError
        As `Predictor`.

    Examples
    --------
    >>> print(numpyvgg.predict("photo.jpg"))  # doctest: +SKIP
    34.2 ± 6.1 years, most probable 33 (age-imdb-wiki), female (98.1%) (gender-imdb-wiki)
    """
    return Predictor(models, channels, labels, **options)(load_image(image))
