"""Age and gender of photographs: several networks, asked together.

`numpyvgg.predict` answers for one photograph; `Predictor` keeps the networks loaded for many.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ArgumentError, NotPickled, NumpyVggError
from ..zoo import BUNDLED, PUBLISHED, require
from ..zoo.labels import Labels
from ..zoo.preparation import Preparation
from .answers import Answer
from .estimator import Estimator, LabelsLike, open_estimator
from .images import load_image
from .pipeline import FaceFinder, Source, answer_all, smallest_side
from .pixels import photograph_size

if TYPE_CHECKING:
    from PIL import Image

    from .faces.search import Detector, Face

#: Photographs from which on convolutions are computed by Winograd's method
WINOGRAD_FROM = 4
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
    conv : {"im2col", "winograd"}
        How convolutions were computed.
    size : (int, int)
        Width and height of the photograph in pixels; 0 where it could not be read.
    source : path, or whatever the photograph was given as
        Of `Predictor.many`.
    error : NumpyVggError or None
        Of `Predictor.many`: why there are no answers.
    """

    answers: dict[str, Answer]
    face: Face | None = None
    preparations: dict[str, Preparation] = field(default_factory=dict, repr=False, compare=False)
    labels: dict[str, Labels] = field(default_factory=dict, repr=False, compare=False)
    conv: str = field(default="", compare=False)
    size: tuple[int, int] = field(default=(0, 0), compare=False)
    source: Source = field(default=None, repr=False, compare=False)
    error: NumpyVggError | None = None

    def __str__(self) -> str:
        """Each answer with its network and, where that has a name, its preparation; or why there is none."""
        if self.error:
            return str(self.error)
        ways = {network: preparation.name for network, preparation in self.preparations.items() if preparation.name}
        names = {network: ", ".join(filter(None, (network, ways.get(network)))) for network in self.answers}
        return ", ".join(f"{given} ({names[network]})" for network, given in self.answers.items())


class Predictor(NotPickled):
    """Networks that answer together.

    Parameters
    ----------
    models : name, path, or sequence of them, optional
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
        Labels or a preparation do not fit a network, or `models` is empty.

    Examples
    --------
    >>> age = Predictor(["resnet.onnx"], "rgb", labels="age", mean=127.5, scale=1 / 128)  # doctest: +SKIP
    """

    def __init__(
        self,
        models: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
        channels: str | None = None,
        labels: LabelsLike | list[LabelsLike] | None = None,
        *,
        preparation: str | None = None,
        **said: Any,
    ):
        unknown = set(said) - {"size", "crop", "mean", "scale"}
        if unknown:
            raise TypeError(f"Predictor() got an unexpected keyword argument {min(unknown)!r}")
        if isinstance(models, str | os.PathLike):
            models = [models]
        names: list[str] = []
        for model in default_models() if models is None else _listed(models):
            names += SMALL_MODELS if model == "small" else [os.fspath(model)]
        if not names:
            raise ArgumentError("no network is named: leave models out, or name one")
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
        answers = {name: network(image) for name, network in self.networks.items()}
        return Prediction(answers, None, self._preparations, self._labels, self.conv, photograph_size(image))

    def faces(
        self, photo: Image.Image, detector: Detector | None = None, faces: Sequence[Face] | None = None
    ) -> list[Prediction]:
        """Ask each network about each face of a photograph, turned upright and cropped; see `faces.align_faces`.

        Each network gets the face with its margin or without, as it was trained. Where there is no face, all get the
        whole photograph. `faces` are those that have been found already.
        """
        from .faces.search import align_faces

        def find(photo: Image.Image, name: str) -> list[Face]:
            return align_faces(photo, detector) if faces is None else list(faces)

        if not isinstance(faces, Iterable | None):
            raise ArgumentError(f"faces={faces!r}: give a list of Face")
        predictions = list(self._ask([photo], find))
        for prediction in predictions:
            if prediction.error:
                raise prediction.error
        return predictions

    def many(
        self,
        sources: Iterable[Source],
        faces: bool | FaceFinder = False,
        *,
        conv: str | None = None,
        stop: threading.Event | None = None,
    ) -> Iterator[Prediction]:
        """Ask each network about many photographs, which are decoded beside the networks' work and asked in batches.

        Parameters
        ----------
        sources : iterable of paths, or of what else `numpyvgg.photo.images.load_image` takes
            Taken as they are needed: memory does not depend on how many there are.
        faces : bool or callable
            Whether to find the faces, and answer for each, as `faces` does; without it each photograph is one. A
            callable finds them in its own way: it takes a photograph and its name, and gives a list of `Face`.
        conv : {"im2col", "winograd"}, optional
            How convolutions are computed; by default Winograd from four photographs on, which is twice as fast once its
            filters are transformed. It is the same for all photographs of a call. Probabilities differ by rounding
            only: over 25 photographs by 4e-6 at most.
        stop : threading.Event, optional
            Set it from another thread or a signal's handler to have the batch in work answered, and no more.

        Yields
        ------
        Prediction
            In the order of the sources, for each photograph one, or one for each face. Of a photograph that cannot be
            read `error` says why, and there are no answers.

        Examples
        --------
        >>> for prediction in numpyvgg.Predictor().many(paths):  # doctest: +SKIP
        ...     print(prediction.source, prediction)
        """
        if not (isinstance(faces, bool) or callable(faces)):
            raise ArgumentError(f"faces={faces!r}: give True, False, or what finds faces in a photograph and its name")
        if isinstance(sources, str | bytes | os.PathLike) or not isinstance(sources, Iterable):
            raise ArgumentError(f"sources: give a list of photographs, not {type(sources).__name__}")
        if not isinstance(stop, threading.Event | None):
            raise ArgumentError(f"stop={stop!r}: give a threading.Event")
        find = None if faces is False else _all_faces if faces is True else faces
        remaining = iter(sources)
        first = list(islice(remaining, WINOGRAD_FROM))
        yield from self._ask(chain(first, remaining), find, stop, conv or self.method(len(first)))

    @property
    def conv(self) -> str:
        """How convolutions are computed now: ``im2col`` or ``winograd``."""
        return next(iter(self.networks.values())).conv

    def method(self, photographs: int) -> str:
        """How `many` computes the convolutions for so many photographs: by Winograd from four on."""
        return "winograd" if photographs >= WINOGRAD_FROM else self.conv

    def compute_by(self, conv: str) -> None:
        """Compute convolutions by this method from now on."""
        self.networks = {name: network.by(conv) for name, network in self.networks.items()}

    def _ask(
        self,
        sources: Iterable[Source],
        find: FaceFinder | None,
        stop: threading.Event | None = None,
        conv: str | None = None,
    ) -> Iterator[Prediction]:
        conv = conv or self.conv

        def ready() -> dict[str, Estimator]:
            self.compute_by(conv)
            return self.networks

        common = Prediction({}, None, self._preparations, self._labels, conv)
        for answered in answer_all(sources, self.networks, ready, find, stop):
            if answered.error:
                yield replace(common, source=answered.source, error=answered.error)
            for answers, face in zip(answered.answers, answered.faces, strict=True):
                yield replace(common, source=answered.source, answers=answers, face=face, size=answered.size)


def _all_faces(photo: Image.Image, name: str) -> list[Face]:
    from .faces.search import align_faces

    return align_faces(photo)


def _listed(models: Any) -> Iterable[str | os.PathLike[str]]:
    """The networks that are named, if they are."""
    named = list(models) if isinstance(models, Iterable) and not isinstance(models, bytes) else [models]
    for model in named:
        if not isinstance(model, str | os.PathLike):
            raise ArgumentError(f"models: {model!r} is no network: give names or paths, or leave models out")
    return named


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
    models: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
    channels: str | None = None,
    labels: LabelsLike | list[LabelsLike] | None = None,
    **options: Any,
) -> Prediction:
    """Tell age and gender from a photograph of a face.

    Parameters
    ----------
    image : path, Pillow image, or uint8 array [H, W, 3] in RGB order
        Cropped to the face.
    models : name, path, or sequence of them, optional
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
    predictor = Predictor(models, channels, labels, **options)
    return predictor(load_image(image, smallest_side(predictor.networks)))
