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

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...session import InferenceSession
from ...zoo import models_folder
from .area import Picture

#: side of what each network looks at, in pixels, and the distance between two windows of P-Net
P_SIDE, R_SIDE, O_SIDE, STRIDE = 12, 24, 48, 2
#: from one picture of the pyramid to the next: half the area, about
SHRINK = 0.709
#: least probability of a face that each network has to see; the authors' own values
P_THRESHOLD, R_THRESHOLD, O_THRESHOLD = 0.6, 0.7, 0.7


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

    It finds faces that are tilted by up to 50 degrees, and tells their tilt by its landmarks.

    Parameters
    ----------
    min_face : float
        Pixels; smaller faces are not looked for. The time falls with its square.
    """

    #: faces score 0.9 and up, see docs/faces.md
    min_score = 0.7

    def __init__(self, min_face: float = 20) -> None:
        self.min_face = min_face
        self._pnet, self._rnet, self._onet = (
            InferenceSession(models_folder() / f"mtcnn-{name}.onnx") for name in ("pnet", "rnet", "onet")
        )

    def __call__(self, picture: NDArray[np.uint8]) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Return boxes [n, 4] and scores [n] of the faces in an RGB picture."""
        return self.find(picture)[:2]

    def find(self, picture: NDArray[np.uint8]) -> Found:
        """Find the faces in an RGB picture, uint8 [H, W, 3]."""
        image = Picture(picture)
        return self._output(image, self._refine(image, self._propose(image)))

    def _propose(self, image: Picture) -> NDArray[np.floating]:
        """P-Net: boxes [n, 4] from all pictures of the pyramid together."""
        found = [self._propose_in(level, scale) for level, scale in pyramid(image, self.min_face)]
        windows = np.concatenate([np.empty((0, 4)), *(windows for windows, _, _ in found)])
        offsets = np.concatenate([np.empty((0, 4)), *(offsets for _, offsets, _ in found)])
        kept = suppress(windows, np.concatenate([np.empty(0), *(scores for _, _, scores in found)]), 0.7)
        windows = windows[kept]
        return windows + offsets[kept] * np.tile(windows[:, 2:] - windows[:, :2] - 1, 2)

    def _propose_in(
        self, level: NDArray[np.float32], scale: float
    ) -> tuple[NDArray[np.floating], NDArray[np.floating], NDArray[np.floating]]:
        """P-Net on one picture of the pyramid: windows [n, 4] in the whole picture, offsets [n, 4], scores [n]."""
        offsets, probabilities = self._pnet.run(None, {"input": level[None]})  # [1, 4, h, w], [1, 2, h, w]
        rows, columns = np.nonzero(probabilities[0, 1] > P_THRESHOLD)
        corners = STRIDE * np.stack([columns, rows], axis=1)  # [n, 2]
        windows = np.trunc(np.concatenate([corners + 1, corners + P_SIDE], axis=1) / scale) - (1, 1, 0, 0)
        scores = probabilities[0, 1, rows, columns]
        kept = suppress(windows, scores, 0.5)
        return windows[kept], offsets[0][:, rows, columns].T[kept], scores[kept]

    def _refine(self, image: Picture, boxes: NDArray[np.floating]) -> NDArray[np.floating]:
        """R-Net: those of the boxes [n, 4] that hold a face, moved."""
        if not len(boxes):
            return boxes
        boxes = squares(boxes)
        offsets, probabilities = self._rnet.run(None, {"input": image.crops(boxes, R_SIDE)})  # [n, 4], [n, 2]
        sure = np.flatnonzero(probabilities[:, 1] > R_THRESHOLD)
        kept = sure[suppress(boxes[sure], probabilities[sure, 1], 0.7)]
        return move(boxes[kept], offsets[kept])

    def _output(self, image: Picture, boxes: NDArray[np.floating]) -> Found:
        """O-Net: those of the boxes [n, 4] that hold a face, moved, and its landmarks."""
        if not len(boxes):
            return Found(boxes, np.empty(0), np.empty((0, 5, 2)))
        boxes = squares(boxes)
        offsets, landmarks, scores = self._look_at(image.crops(boxes, O_SIDE))
        sure = np.flatnonzero(scores > O_THRESHOLD)
        boxes, scores, landmarks = boxes[sure], scores[sure], landmarks[sure]
        landmarks = boxes[:, None, :2] + landmarks * (boxes[:, None, 2:] - boxes[:, None, :2])
        boxes = move(boxes, offsets[sure])
        kept = suppress(boxes, scores, 0.7, of_smaller=True)
        return Found(boxes[kept], scores[kept], landmarks[kept])

    def look_closer(self, pictures: Sequence[NDArray[np.uint8]]) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """O-Net on pictures that a face fills, uint8 [48, 48, 3]: landmarks [n, 5, 2] in pixels, probabilities [n]."""
        x = np.stack(pictures).transpose(0, 3, 1, 2).astype(np.float32)
        _, landmarks, scores = self._look_at((x - 127.5) / 128)
        return landmarks * O_SIDE, scores

    def _look_at(
        self, x: NDArray[np.float32]
    ) -> tuple[NDArray[np.floating], NDArray[np.floating], NDArray[np.floating]]:
        """O-Net: offsets [n, 4], landmarks [n, 5, 2] in parts of the picture, probabilities [n]."""
        offsets, landmarks, probabilities = self._onet.run(None, {"input": x})
        return offsets, landmarks.reshape(-1, 2, 5).swapaxes(1, 2), probabilities[:, 1]  # from x of all, y of all


def pyramid(image: Picture, min_face: float) -> Iterator[tuple[NDArray[np.float32], float]]:
    """The picture [3, h, w] where the smallest face fills P-Net's window, then smaller and smaller; and each scale."""
    scale = P_SIDE / min_face
    while min(image.height, image.width) * scale >= P_SIDE:
        yield image.shrunk(scale), scale
        scale *= SHRINK


def move(boxes: NDArray[Any], offsets: NDArray[np.floating]) -> NDArray[np.floating]:
    """Bounding box regression: each edge by its offset [n, 4] times the box's width or height."""
    return boxes + offsets * np.tile(boxes[:, 2:] - boxes[:, :2], 2)


def squares(boxes: NDArray[np.floating]) -> NDArray[np.floating]:
    """The squares, in whole pixels, that have the boxes' centres and their longer sides."""
    centres, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True)
    low, high = np.trunc(centres - sides / 2 + 1) - 1, np.trunc(centres + sides / 2)  # the authors count pixels from 1
    return np.concatenate([low, np.maximum(high, low + 1)], axis=1)


def suppress(
    boxes: NDArray[np.floating], scores: NDArray[np.floating], limit: float, of_smaller: bool = False
) -> NDArray[np.intp]:
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
    kept = []
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    left = np.argsort(-scores, kind="stable")
    while len(left):
        best, left = left[0], left[1:]
        kept.append(best)
        low, high = np.maximum(boxes[best, :2], boxes[left, :2]), np.minimum(boxes[best, 2:], boxes[left, 2:])
        shared = np.prod(np.maximum(high - low, 0), axis=1)
        whole = np.minimum(areas[best], areas[left]) if of_smaller else areas[best] + areas[left] - shared
        left = left[shared <= limit * whole]
    return np.array(kept, np.intp)
