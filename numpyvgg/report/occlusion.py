"""What the answer rests on: hide one part of the image after the other, and see by how much the score changes.

Nothing is assumed about the network; it is only asked again, once for each place of the patch. A patch as large as an
eye region, moved by half its size, is fine enough to tell features of a face apart, and takes 36 forward passes.

Source: Matthew D. Zeiler and Rob Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014,
section 4.2.
"""

from __future__ import annotations

import numpy as np

from ..photo.estimator import Network
from ..text import progress_bar
from ..zoo.labels import UNKNOWN, Labels
from .gradients import score

PLACES = 7  # strides along the image's shorter side: a patch covers two, and has six places
BATCH = 6  # images in one forward pass: one row of places


def stride_of(shape: tuple[int, ...]) -> int:
    """By how many pixels the patch moves on an image of this shape [..., H, W]: 32 of 224."""
    return max(1, round(min(shape[-2:]) / PLACES))


def hidden(x: np.ndarray, top: int, left: int, bottom: int, right: int) -> np.ndarray:
    """An image [1, 3, H, W] with a rectangle painted in the image's mean colour."""
    image = x.copy()
    image[:, :, top:bottom, left:right] = x.mean(axis=(2, 3), keepdims=True)
    return image


def occlusion(net: Network, x: np.ndarray, labels: Labels = UNKNOWN) -> np.ndarray:
    """How much each part of an image raises the score.

    Parameters
    ----------
    net : VGG or SessionClassifier
    x : ndarray [1, 3, H, W]
    labels : Labels
        What the classes mean.

    Returns
    -------
    ndarray, float64 [R, C]
        The score of the image minus its score with a square painted in the image's mean colour: positive where the
        hidden part raised the score. On an image of 224 x 224 the square has 64 x 64 pixels, moves in steps of 32, and
        the result is [6, 6]; in others it is of the same share.
    """
    stride = stride_of(x.shape)
    patch = 2 * stride
    rows = range(0, x.shape[2] - patch + 1, stride)
    columns = range(0, x.shape[3] - patch + 1, stride)
    places = [(row, column) for row in rows for column in columns]
    scores = []
    with progress_bar(total=len(places), desc="hiding parts", unit="image", leave=False) as bar:
        for first in range(0, len(places), BATCH):
            batch = places[first : first + BATCH]
            images = [hidden(x, row, column, row + patch, column + patch) for row, column in batch]
            scores.append(net(np.concatenate(images)))
            bar.update(len(batch))
    everything = score(np.concatenate([net(x), *scores]), labels)
    return (everything[0] - everything[1:]).reshape(len(rows), len(columns))


def spread(differences: np.ndarray) -> np.ndarray:
    """For each stretch of one stride the mean over all patches that covered it: [r, c] -> [r + 1, c + 1]."""
    rows, columns = differences.shape
    total, count = np.zeros((rows + 1, columns + 1)), np.zeros((rows + 1, columns + 1))
    for i in (0, 1):  # a patch is two strides wide and high
        for j in (0, 1):
            total[i : i + rows, j : j + columns] += differences
            count[i : i + rows, j : j + columns] += 1
    return total / count
