"""Networks trained on Adience, which answer with eight groups of ages: Levi and Hassner's, and the zoo's GoogLeNets.

See docs/levi-hassner.md. Gil Levi and Tal Hassner, "Age and gender classification using convolutional neural
networks", CVPR workshops 2015; Sebastian Lapuschkin, Alexander Binder, Klaus-Robert Müller and Wojciech Samek,
"Understanding and comparing deep neural networks for age and gender classification", ICCV workshops 2017.
"""

from __future__ import annotations

from dataclasses import replace

from .labels import Labels
from .preparation import Preparation

#: In the authors' order. Nobody of 3, 7, 13, 22, 35, 45 or 55 years belongs to one: no age follows from a group.
AGE_GROUPS = Labels("age_group", ("(0-2)", "(4-6)", "(8-12)", "(15-20)", "(25-32)", "(38-43)", "(48-53)", "(60-100)"))

#: The averages of the authors' mean image, in the order B, G, R
_MEAN = (78.4263377603, 87.7689143744, 114.895847746)
_MEAN_FILE = "mean.binaryproto"
#: The default needs no second file, and is the closest to the training of those that do not
CHANNEL_MEAN = Preparation((256, 256), crop=(227, 227), mean=_MEAN, name="channel-mean")
_PAPER = replace(CHANNEL_MEAN, mean=(), mean_file=_MEAN_FILE, name="paper")
#: The four ways in which the two networks are used, by name
LEVI_HASSNER = {
    preparation.name: preparation
    for preparation in (
        CHANNEL_MEAN,
        _PAPER,
        replace(_PAPER, mean_resized=True, views="ten-crop", name="ten-crop"),
        Preparation((227, 227), mean=_MEAN, name="opencv"),
    )
}
GOOGLENET = Preparation((224, 224), mean=(104.0, 117.0, 123.0))


def levi_hassner_layers(classes: int) -> str:
    """The layers of Levi and Hassner's networks as Caffe's text form has them, for files that hold what was trained."""
    lines = ['name: "CaffeNet"', 'input: "data"', "input_shape { dim: 1 dim: 3 dim: 227 dim: 227 }"]
    top = "data"

    def layer(kind: str, name: str, parameters: str = "", in_place: bool = False) -> None:
        nonlocal top
        bottom, top = top, top if in_place else name
        lines.append(f'layer {{ type: "{kind}" name: "{name}" bottom: "{bottom}" top: "{top}" {parameters} }}')

    pool, norm = "pool: MAX kernel_size: 3 stride: 2", "local_size: 5 alpha: 0.0001 beta: 0.75"
    sizes = {1: (96, 7, "stride: 4"), 2: (256, 5, "pad: 2"), 3: (384, 3, "pad: 1")}
    for i, (filters, kernel, more) in sizes.items():
        window = f"num_output: {filters} kernel_size: {kernel} {more}"
        layer("Convolution", f"conv{i}", f"convolution_param {{ {window} }}")
        layer("ReLU", f"relu{i}", in_place=True)
        layer("Pooling", "pool5" if i == 3 else f"pool{i}", f"pooling_param {{ {pool} }}")
        if i < 3:
            layer("LRN", f"norm{i}", f"lrn_param {{ {norm} }}")
    for i in (6, 7):
        layer("InnerProduct", f"fc{i}", "inner_product_param { num_output: 512 }")
        layer("ReLU", f"relu{i}", in_place=True)
        layer("Dropout", f"drop{i}", in_place=True)
    layer("InnerProduct", "fc8", f"inner_product_param {{ num_output: {classes} }}")
    layer("Softmax", "prob")
    return "\n".join(lines)
