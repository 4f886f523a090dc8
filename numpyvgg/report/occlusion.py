"""What the answer rests on: hide one part of the image after the other, and see by how much the score changes.

Nothing is assumed about the network; it is only asked again, once for each place of the patch. A patch as large as an
eye region, moved by half its size, is fine enough to tell features of a face apart, and takes 36 forward passes.

Source: Matthew D. Zeiler and Rob Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014,
section 4.2.
"""

from __future__ import annotations

import numpy as np

from ..text import progress_bar
from ..vgg.network import VGG
from ..zoo.labels import UNKNOWN, Labels
from .gradients import score

PATCH, STRIDE = 64, 32  # pixels of 224: six places along each side
BATCH = 6  # images in one forward pass: one row of places


def occlusion(net: VGG, x: np.ndarray, labels: Labels = UNKNOWN) -> np.ndarray:
    """How much each part of an image raises the score.

    Parameters
    ----------
    net : VGG
    x : ndarray [1, 3, 224, 224]
    labels : Labels
        What the classes mean.

    Returns
    -------
    ndarray, float64 [6, 6]
        The score of the image minus its score with a square of 64 x 64 pixels, moved in steps of 32, painted in the
        image's mean colour: positive where the hidden part raised the score.
    """
    mean = x.mean(axis=(2, 3))[0, :, None, None]  # [3, 1, 1]
    rows = range(0, x.shape[2] - PATCH + 1, STRIDE)
    columns = range(0, x.shape[3] - PATCH + 1, STRIDE)
    places = [(row, column) for row in rows for column in columns]
    scores = []
    with progress_bar(total=len(places), desc="hiding parts", unit="image", leave=False) as bar:
        for first in range(0, len(places), BATCH):
            batch = places[first : first + BATCH]
            images = np.repeat(x, len(batch), axis=0)
            for image, (row, column) in zip(images, batch, strict=True):
                image[:, row : row + PATCH, column : column + PATCH] = mean
            scores.append(score(net(images), labels))
            bar.update(len(batch))
    return (score(net(x), labels) - np.concatenate(scores)).reshape(len(rows), len(columns))


def spread(differences: np.ndarray) -> np.ndarray:
    """For each stretch of `STRIDE` pixels the mean over all patches that covered it: [r, c] -> [r + 1, c + 1]."""
    rows, columns = differences.shape
    total, count = np.zeros((rows + 1, columns + 1)), np.zeros((rows + 1, columns + 1))
    for i in (0, 1):  # a patch is two strides wide and high
        for j in (0, 1):
            total[i : i + rows, j : j + columns] += differences
            count[i : i + rows, j : j + columns] += 1
    return total / count
