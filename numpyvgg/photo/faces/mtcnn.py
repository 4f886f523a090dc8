"""MTCNN: three small networks, each looking closer at what the one before it takes for a face.

K. Zhang, Z. Zhang, Z. Li, Y. Qiao, "Joint Face Detection and Alignment Using Multitask Cascaded Convolutional Networks"
(IEEE Signal Processing Letters 23(10), 2016). The picture is shrunk step by step (the *image pyramid*), and

1. **P-Net**, convolutional throughout, looks at every window of 12x12 pixels of each size and proposes boxes;
2. **R-Net** looks at each proposal in 24x24 pixels, refuses most of them, and moves the others;
3. **O-Net** looks at what is left in 48x48 pixels, moves it again, and says where eyes, nose and mouth are.

After each step *non-maximum suppression* keeps the surest of the boxes that overlap. *Bounding box regression* moves a
box: a network gives an offset for each edge, in parts of the box's width or height.

Boxes [n, 4] are left, top, right, bottom in pixels, and run through the pixels: the first one covers 0 to 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...kernels.threads import Workers, available_cores
from ...zoo import models_folder
from .area import Picture
from .networks import PNet, WindowNet

Boxes = NDArray[np.floating]
Turns = NDArray[np.integer]

#: side of what each network looks at, in pixels, and the distance between two windows of P-Net
P_SIDE, R_SIDE, O_SIDE, STRIDE = 12, 24, 48, 2
#: from one picture of the pyramid to the next: half the area, about
SHRINK = 0.709
#: least probability of a face that each network has to see; the authors' own values
P_THRESHOLD, R_THRESHOLD, O_THRESHOLD = 0.6, 0.7, 0.7
#: boxes that `suppress` holds against each other in one go
BLOCK = 256


class Found(NamedTuple):
    """Faces in a picture.

    Attributes
    ----------
    boxes : ndarray, float [n, 4]
    scores : ndarray, float [n]
        Probability of a face.
    landmarks : ndarray, float [n, 5, 2]
        x, y of the left eye, the right eye (left and right as seen), the nose, the left and right corner of the mouth.
    """

    boxes: NDArray[np.floating]
    scores: NDArray[np.floating]
    landmarks: NDArray[np.floating]


class MtcnnDetector:
    """The three networks, as they are bundled with this package: no download, nothing but NumPy and Pillow.

    They find faces that are tilted by up to 50 degrees either way, and by their landmarks tell the tilt: on the picture
    turned by quarters they find faces at any angle.

    Parameters
    ----------
    min_face : float
        Pixels; smaller faces are not looked for. The time falls with its square.
    """

    #: faces score 0.9 and up, see docs/faces.md
    min_score = 0.7

    def __init__(self, min_face: float = 20) -> None:
        self.min_face = min_face
        folder = models_folder()
        self._workers = workers = Workers(available_cores())
        self._pnet = PNet(folder / "mtcnn-pnet.onnx", workers)
        self._rnet = WindowNet(folder / "mtcnn-rnet.onnx", workers, R_SIDE, (3, 3, 0, 0), ("5-2", "5-1"))
        self._onet = WindowNet(folder / "mtcnn-onet.onnx", workers, O_SIDE, (3, 3, 2, 0, 0), ("6-3", "6-1", "6-2"))

    def __call__(self, picture: NDArray[np.uint8]) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Return boxes [n, 4] and scores [n] of the upright faces in an RGB picture."""
        return self.find(picture, quarters=(0,))[:2]

    def find(self, picture: NDArray[np.uint8], quarters: Sequence[int] = (0, 1, 2, 3)) -> Found:
        """Find the faces in an RGB picture, uint8 [H, W, 3], that is turned by quarters, counter-clockwise.

        A face halfway between two quarters is found in both. Boxes and landmarks are in the picture as it is given.
        """
        image = Picture(picture)
        boxes, turns = self._propose(image, quarters)
        boxes, turns = self._refine(image, boxes, turns)
        return self._output(image, boxes, turns)

    def _propose(self, image: Picture, quarters: Sequence[int]) -> tuple[Boxes, Turns]:
        """P-Net: boxes [n, 4], each in the picture that is turned by the quarters [n]."""
        scales = pyramid(min(image.height, image.width), self.min_face)
        levels = [(scale, quarter) for scale in scales for quarter in quarters]
        answers = self._pnet(self._turned(image, scales, quarters))
        found: list[tuple[NDArray[Any], ...]] = [(np.empty((0, 4)), np.empty((0, 4)), np.empty(0), np.empty(0, int))]
        for (scale, quarter), (probabilities, offsets) in zip(levels, answers, strict=True):  # [h, w], [4, h, w]
            rows, columns = np.nonzero(probabilities > P_THRESHOLD)
            windows, scores = windows_at(rows, columns, scale), probabilities[rows, columns]
            kept = suppress(windows, scores, 0.5)
            turns = np.full(len(kept), quarter)
            found.append((windows[kept], offsets[:, rows[kept], columns[kept]].T, scores[kept], turns))
        windows, moves, scores, turns = (np.concatenate(parts) for parts in zip(*found, strict=True))
        kept = suppress_each(windows, turns, scores, 0.7)
        windows = windows[kept]
        # The authors leave out the last pixel in this one place.
        return windows + moves[kept] * np.tile(windows[:, 2:] - windows[:, :2] - 1, 2), turns[kept]

    def _turned(self, image: Picture, scales: Sequence[float], quarters: Sequence[int]) -> list[NDArray[np.float32]]:
        """The picture [3, h, w] at each scale, and there in each turn."""
        pictures: dict[int, list[NDArray[np.float32]]] = {}

        def shrink(number: int) -> None:
            picture = image.shrunk(scales[number])
            pictures[number] = [np.ascontiguousarray(np.rot90(picture, quarter, axes=(1, 2))) for quarter in quarters]

        self._workers.run(shrink, len(scales))
        return [picture for number in range(len(scales)) for picture in pictures[number]]

    def _refine(self, image: Picture, boxes: Boxes, turns: Turns) -> tuple[Boxes, Turns]:
        """R-Net: those of the boxes that hold a face, moved."""
        boxes = squares(boxes)
        scores, offsets = _run(self._rnet, image, boxes, turns)  # [n], [n, 4]
        sure = np.flatnonzero(scores > R_THRESHOLD)
        kept = sure[suppress_each(boxes[sure], turns[sure], scores[sure], 0.7)]
        return move(boxes[kept], offsets[kept]), turns[kept]

    def _output(self, image: Picture, boxes: Boxes, turns: Turns) -> Found:
        """O-Net: those of the boxes that hold a face, moved, and its landmarks."""
        boxes = squares(boxes)
        scores, moves = _run(self._onet, image, boxes, turns)  # [n], [n, 14]
        landmarks = boxes[:, None, :2] + landmarks_of(moves[:, 4:]) * (boxes[:, None, 2:] - boxes[:, None, :2])
        boxes = move(boxes, moves[:, :4])
        sure = np.flatnonzero(scores > O_THRESHOLD)
        kept = sure[suppress_each(boxes[sure], turns[sure], scores[sure], 0.7, of_smaller=True)]
        turns = turns[kept]
        return Found(image.boxes_back(boxes[kept], turns), scores[kept], image.back(landmarks[kept], turns))

    def look_closer(self, pictures: Sequence[NDArray[np.uint8]]) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """O-Net on pictures that a face fills, uint8 [48, 48, 3]: landmarks [n, 5, 2] in pixels, probabilities [n]."""

        def scaled(some: slice) -> NDArray[np.float32]:
            x = np.array(pictures[some], np.float32).transpose(3, 1, 2, 0)
            return (x - 127.5) / 128  # [3, 48, 48, n]

        scores, moves = self._onet(scaled, len(pictures))
        return landmarks_of(moves[:, 4:]) * O_SIDE, scores


def _run(network: WindowNet, image: Picture, boxes: Boxes, turns: Turns) -> tuple[NDArray[np.float32], ...]:
    """Run R- or O-Net on what is in the boxes."""
    return network(lambda some: image.crops(boxes[some], turns[some], network.side), len(boxes))


def landmarks_of(points: NDArray[np.floating]) -> NDArray[np.floating]:
    """O-Net's landmarks [n, 10], x of all five and then y of all, as [n, 5, 2]."""
    return points.reshape(-1, 2, 5).swapaxes(1, 2)


def pyramid(side: int, min_face: float) -> list[float]:
    """The image pyramid's scales: where the smallest face fills P-Net's window, then smaller, down to the window.

    `side` is the picture's shorter one.
    """
    scales = []
    scale = P_SIDE / min_face
    while side * scale >= P_SIDE:
        scales.append(scale)
        scale *= SHRINK
    return scales


def windows_at(rows: NDArray[np.intp], columns: NDArray[np.intp], scale: float) -> Boxes:
    """P-Net's windows at these places of its output, as boxes [n, 4] in the whole picture.

    The authors count pixels from 1, and scale these numbers: so a window begins one of its own pixels late.
    """
    corners = STRIDE * np.stack([columns, rows], axis=1)  # [n, 2]
    return np.trunc(np.concatenate([corners + 1, corners + P_SIDE], axis=1) / scale) - (1, 1, 0, 0)


def move(boxes: Boxes, offsets: NDArray[np.floating]) -> Boxes:
    """Bounding box regression: each edge by its offset [n, 4] times the box's width or height."""
    return boxes + offsets * np.tile(boxes[:, 2:] - boxes[:, :2], 2)


def squares(boxes: Boxes) -> Boxes:
    """The squares, in whole pixels, that have the boxes' centres and their longer sides."""
    centres, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True)
    low, high = np.trunc(centres - sides / 2 + 1) - 1, np.trunc(centres + sides / 2)  # the authors count pixels from 1
    return np.concatenate([low, np.maximum(high, low + 1)], axis=1)


def suppress_each(
    boxes: Boxes, turns: Turns, scores: NDArray[np.floating], limit: float, of_smaller: bool = False
) -> NDArray[np.intp]:
    """`suppress` in each turned picture by itself: the pictures are laid side by side, far apart."""
    return suppress(boxes + 1e7 * turns[:, None], scores, limit, of_smaller)


def suppress(boxes: Boxes, scores: NDArray[np.floating], limit: float, of_smaller: bool = False) -> NDArray[np.intp]:
    """Non-maximum suppression: the surest boxes, of which no two overlap by more than `limit`.

    Parameters
    ----------
    boxes : ndarray [n, 4]
    scores : ndarray [n]
    limit : float
        Of the area that two boxes share, as a part of the area that they cover together.
    of_smaller : bool
        As a part of the smaller one's area instead.

    Returns
    -------
    ndarray of int
        Places in `boxes`, the surest first.
    """
    kept = np.empty(0, np.intp)
    order = np.argsort(-scores, kind="stable")
    for first in range(0, len(order), BLOCK):
        block = order[first : first + BLOCK]
        block = block[~_overlapping(boxes[kept], boxes[block], limit, of_smaller).any(axis=0)]
        over = _overlapping(boxes[block], boxes[block], limit, of_smaller)  # [n, n]
        left = np.ones(len(block), bool)
        for place in range(len(block)):
            if left[place]:
                left[place + 1 :] &= ~over[place, place + 1 :]
        kept = np.concatenate([kept, block[left]])
    return kept


def _overlapping(a: Boxes, b: Boxes, limit: float, of_smaller: bool) -> NDArray[np.bool_]:
    """Which of the boxes [n, 4] and [m, 4] overlap by more than `limit`: [n, m]."""
    across, down = (
        np.minimum(a[:, None, high], b[:, high]) - np.maximum(a[:, None, low], b[:, low])
        for low, high in ((0, 2), (1, 3))
    )
    shared = np.maximum(across, 0) * np.maximum(down, 0)
    areas, others = (np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (a, b))
    whole = np.minimum(areas[:, None], others) if of_smaller else areas[:, None] + others - shared
    return shared > limit * whole
