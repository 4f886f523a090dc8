"""Age and gender of photographs: several networks, asked together.

`numpyvgg.predict` answers for one photograph; `Predictor` keeps the networks loaded for many.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ArgumentError
from ..vgg.network import VGG
from ..zoo import PUBLISHED, open_model, require
from .answers import Answer, answer
from .images import CHANNELS, load_image, to_tensor
from .small import SMALL, SmallNetwork

if TYPE_CHECKING:
    from PIL import Image

    from .faces.search import Detector, Face

#: The networks that answer where none are named: the paper's where they have been fetched, else the bundled ones
DEX_MODELS = ("age-imdb-wiki", "gender-imdb-wiki")
SMALL_MODELS = tuple(SMALL)


def default_models() -> tuple[str, ...]:
    """The networks that answer where none are named: those of the paper's two that are here, else the small ones."""
    return tuple(name for name in DEX_MODELS if PUBLISHED[name].path.is_file()) or SMALL_MODELS


@dataclass(frozen=True)
class Prediction:
    """What networks say of one photograph.

    Attributes
    ----------
    answers : dict of str to Answer
        For each network, by the name or path that it was given as: an `Age`, a `Gender` or a `Ranking`.
    face : Face or None
        Which face of the photograph it is about; None where nobody looked for faces.
    """

    answers: dict[str, Answer]
    face: Face | None = None

    def __str__(self) -> str:
        return ", ".join(f"{given} ({network})" for network, given in self.answers.items())


class Predictor:
    """Networks that answer together.

    Parameters
    ----------
    models : sequence of names or paths, optional
        Of the networks to ask: names of `numpyvgg.zoo.PUBLISHED` and `numpyvgg.photo.small.SMALL`, or ``small`` for
        both of the latter. Left out: those of the paper's two for age and gender that have been fetched, else
        ``small``.
    channels : {"bgr", "rgb"}
        See `numpyvgg.photo.images.to_tensor`; the small networks' order is known.

    Raises
    ------
    FetchError
        A published network is not on this machine; the message says how to fetch it.
    ModelFormatError, UnsupportedModelError
        A file is damaged, or holds no VGG network.
    """

    def __init__(self, models: Sequence[str | os.PathLike[str]] | None = None, channels: str = "bgr"):
        if channels not in CHANNELS:
            raise ArgumentError(f"channels={channels!r} does not exist; there are 'bgr' and 'rgb'")
        names: list[str] = []
        for model in models or default_models():
            names += SMALL_MODELS if model == "small" else [os.fspath(model)]
        if channels != "bgr" and any(name in SMALL for name in names):
            raise ArgumentError(
                f"channels={channels!r} is for networks given by --model; the small ones' order is known"
            )
        require([name for name in names if name in PUBLISHED])
        self.networks = {name: SMALL.get(name) or _vgg(name, channels) for name in names}

    def __call__(self, image: Image.Image) -> Prediction:
        """Ask each network about an image of mode RGB; see `numpyvgg.photo.images.load_image`."""
        return Prediction({name: network(image) for name, network in self.networks.items()})

    def faces(self, photo: Image.Image, detector: Detector | None = None) -> list[Prediction]:
        """Ask each network about each face of a photograph, turned upright and cropped; see `faces.align_faces`.

        The networks of the paper get the face with its margin, the small ones without, as each was trained. Where there
        is no face, all get the whole photograph.
        """
        from .faces.search import align_faces

        predictions = []
        for face in align_faces(photo, detector):
            crops = face.with_margin(), face.without_margin()
            answers = {name: net(crops[isinstance(net, SmallNetwork)]) for name, net in self.networks.items()}
            predictions.append(Prediction(answers, face))
        return predictions


def _vgg(name: str, channels: str) -> Callable[[Image.Image], Answer]:
    """A VGG network as a function from an image to an answer."""
    network = VGG.from_onnx(open_model(name))
    return lambda image: answer(network(to_tensor(image, channels))[0])


def predict(
    image: str | os.PathLike[str] | np.ndarray | Image.Image,
    models: Sequence[str | os.PathLike[str]] | None = None,
    channels: str = "bgr",
) -> Prediction:
    """Tell age and gender from a photograph of a face.

    Parameters
    ----------
    image : path, Pillow image, or uint8 array [H, W, 3] in RGB order
        Cropped to the face.
    models : sequence of names or paths, optional
        Of the networks to ask; see `Predictor`.
    channels : {"bgr", "rgb"}
        See `numpyvgg.photo.images.to_tensor`.

    Returns
    -------
    Prediction

    Raises
    ------
    ImageError
        The image cannot be read.
    FetchError, ModelFormatError, UnsupportedModelError
        As `Predictor`.

    Examples
    --------
    >>> print(numpyvgg.predict("photo.jpg"))  # doctest: +SKIP
    34.2 ± 6.1 years, most probable 33 (age-imdb-wiki), female (98.1%) (gender-imdb-wiki)
    """
    return Predictor(models, channels)(load_image(image))
