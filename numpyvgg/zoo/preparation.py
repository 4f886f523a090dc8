"""How a photograph becomes what a network takes, as data: size, crop, order of channels, mean and scale.

A network answers well only what has been prepared as its training data was. `numpyvgg.photo.tensors` does what is
written down here; who says it (the zoo, the network's file, the user) is `numpyvgg.photo.estimator`'s business.
"""

from __future__ import annotations

from dataclasses import dataclass

#: The orders of an image's channels
CHANNELS = ("bgr", "rgb")
#: Which parts of an image are looked at: its middle, or ten crops whose outputs are averaged
VIEWS = ("centre", "ten-crop")


@dataclass(frozen=True)
class Preparation:
    """What happens to an image, in this order: resize, order the channels, subtract a mean, multiply, crop.

    The defaults are those of the DEX networks.

    Attributes
    ----------
    size : pair of int
        Height and width, in pixels, that the image is resized to, whatever its proportions.
    crop : pair of int or None
        Height and width of the part that the network is given; None: everything.
    channels : {"bgr", "rgb"}
    mean : tuple of float
        What is subtracted from values 0 to 255: one number, or one for each channel in the order of `channels`; empty
        for nothing.
    mean_file : str
        The path of a mean image (Caffe's ``.binaryproto``, of `size`) that is subtracted in place of `mean`.
    scale : tuple of float
        What the differences are multiplied by: one number, or one for each channel; empty for 1.
    views : {"centre", "ten-crop"}
        ``"ten-crop"``: the four corners and the middle, and their mirror images (Krizhevsky et al. 2012); the answer
        is about the mean of the ten outputs.
    margin : bool
        Whether a face is given with the 40 % around it that the DEX networks see, or tightly cropped.
    mean_resized : bool
        Whether the mean image is resized to the crop and subtracted from every view, mirrored ones too, as Caffe's
        Python interface does it; else it is subtracted before the crop.
    name : str
        What this way is called; empty where it has no name.
    in_graph : str
        What the network's own graph does to its input before the first layer, for people; nothing follows from it.
    """

    size: tuple[int, int] = (224, 224)
    crop: tuple[int, int] | None = None
    channels: str = "bgr"
    mean: tuple[float, ...] = ()
    mean_file: str = ""
    scale: tuple[float, ...] = ()
    views: str = "centre"
    margin: bool = True
    mean_resized: bool = False
    name: str = ""
    in_graph: str = ""

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width of what the network is given."""
        return self.crop or self.size

    def __str__(self) -> str:
        """All of it in a line, as outputs name it: ``224x224 bgr, mean 104,117,123, scale 0.00390625``."""
        parts = [f"{self.name}{self.name and ': '}{self.size[0]}x{self.size[1]} {self.channels}"]
        if self.mean_file:
            parts.append(f"mean {self.mean_file}{' resized' if self.mean_resized else ''}")
        elif self.mean:
            parts.append(f"mean {_numbers(self.mean)}")
        if self.scale:
            parts.append(f"scale {_numbers(self.scale)}")
        if self.crop and self.crop != self.size:
            parts.append(f"{self.views} {self.crop[0]}x{self.crop[1]}")
        if self.in_graph:
            parts.append(f"{self.in_graph} in the graph")
        return ", ".join(parts)


#: How the DEX networks want their images
DEX = Preparation()


def _numbers(values: tuple[float, ...]) -> str:
    return ",".join(f"{value:.9g}" for value in values)
