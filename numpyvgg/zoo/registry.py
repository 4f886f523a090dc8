"""The published networks: what they are, and where they are served.

They are the DEX networks of Rothe, Timofte and Van Gool, converted from Caffe to ONNX for the ONNX model zoo, and the
zoo's two UltraFace detectors, which find the faces that the DEX networks look at (see `numpyvgg.photo.faces`). Their
sizes and hashes are those of the zoo's own Git LFS pointers; the zoo stopped serving them on 1 July 2025, and its files
moved to the two places in `SOURCES`. Whatever serves a file, its hash decides whether it is used.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from ..errors import ArgumentError
from ..files.cache import cache_folder

#: Where a file is asked for, in this order
SOURCES = (
    "https://huggingface.co/onnxmodelzoo/{stem}/resolve/main/{file}",
    "https://huggingface.co/onnxmodelzoo/legacy_models/resolve/main/validated/vision/body_analysis/{folder}/models/{file}",
)
LICENCE = "Apache-2.0"
REFERENCE = (
    "R. Rothe, R. Timofte, L. Van Gool: Deep expectation of real and apparent age from a single image without facial "
    "landmarks. IJCV 126, 2018, doi:10.1007/s11263-016-0940-3"
)


@dataclasses.dataclass(frozen=True)
class Published:
    """A network that its authors published.

    Attributes
    ----------
    name : str
        What this package calls it.
    file : str
        What its file is called.
    size : int
        In bytes.
    sha256 : str
    classes : int
    labels : str
        What the classes mean.
    data_set : str
        What it was trained on.
    folder : str
        Where the model zoo kept it.
    """

    name: str
    file: str
    size: int
    sha256: str
    classes: int
    labels: str
    data_set: str
    licence: str = LICENCE
    reference: str = REFERENCE
    folder: str = "age_gender"

    @property
    def sources(self) -> list[str]:
        """The addresses that serve it, in the order in which they are tried."""
        return [
            source.format(stem=self.file.removesuffix(".onnx"), file=self.file, folder=self.folder)
            for source in SOURCES
        ]

    @property
    def path(self) -> Path:
        """Where it is kept on this machine, when it is here."""
        return cache_folder() / self.file


_AGES, _GENDERS = "age, years 0 to 100", "0 female, 1 male"
_ULTRAFACE: dict[str, Any] = {
    "classes": 2,
    "labels": "0 background, 1 face, at each of its boxes",
    "data_set": "WIDER FACE",
    "licence": "MIT",
    "reference": "Linzaer: Ultra-Light-Fast-Generic-Face-Detector-1MB, 2019",
    "folder": "ultraface",
}
PUBLISHED = {
    network.name: network
    for network in (
        Published(
            name="age-chalearn",
            file="vgg_ilsvrc_16_age_chalearn_iccv2015.onnx",
            size=538_703_700,
            sha256="87d6cd8ddb43e575ea4b00488f16ce872148d6f57e8f8c3c07598381c7a680ed",
            classes=101,
            labels=_AGES,
            data_set="ChaLearn LAP 2015, apparent age",
        ),
        Published(
            name="age-imdb-wiki",
            file="vgg_ilsvrc_16_age_imdb_wiki.onnx",
            size=538_703_692,
            sha256="de4ee80ac6d7cb98143896e0bb153b569409b893e7256b09fbbfb1f858f899e8",
            classes=101,
            labels=_AGES,
            data_set="IMDB-WIKI, real age",
        ),
        Published(
            name="gender-imdb-wiki",
            file="vgg_ilsvrc_16_gender_imdb_wiki.onnx",
            size=537_081_253,
            sha256="7a7228714a0b477f16ef91aef54892aa17df050668908ea6c1334312946b4bb2",
            classes=2,
            labels=_GENDERS,
            data_set="IMDB-WIKI",
        ),
        Published(
            name="ultraface-320",
            file="version-RFB-320.onnx",
            size=1_270_727,
            sha256="34cd7e60aeff28744c657de7a3dc64e872d506741de66987f3426f2b79f88017",
            **_ULTRAFACE,
        ),
        Published(
            name="ultraface-640",
            file="version-RFB-640.onnx",
            size=1_588_012,
            sha256="8f4c659275977e7a3bfbfa339a9c769ad793df50f9c0baa8c14b11baa1646430",
            **_ULTRAFACE,
        ),
    )
}


def published(name: str) -> Published:
    """A published network by its name.

    Raises
    ------
    ArgumentError
        There is none of that name.
    """
    if name not in PUBLISHED:
        raise ArgumentError(f"no network is called {name!r}; there are {', '.join(PUBLISHED)}, and paths of files")
    return PUBLISHED[name]
