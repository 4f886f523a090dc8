"""What finds faces in a picture.

A *detector* is anything that can be called with an RGB picture (uint8 [H, W, 3]) and returns `(boxes, scores)`: float
[n, 4] with left, top, right, bottom in pixels, and float [n], above 0 and larger for surer, comparable between calls.
It may have a `min_score`: what scores less (see `search.Face.score`) is no face. It need not find faces that are not
upright, unless it is a `LandmarkDetector`: then it tells how they are tilted, by landmarks.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ...errors import MissingExtraError, UnsupportedModelError
from ...session import InferenceSession
from ...zoo import find
from ..resampling import resized
from .geometry import Sighting, distinct
from .mtcnn import Found, MtcnnDetector

Detector = Callable[[NDArray[np.uint8]], tuple[NDArray[np.floating], NDArray[np.floating]]]


@runtime_checkable
class LandmarkDetector(Protocol):
    """A detector of faces at any angle."""

    min_score: float

    def __call__(self, picture: NDArray[np.uint8]) -> tuple[NDArray[np.floating], NDArray[np.floating]]: ...

    def find(self, picture: NDArray[np.uint8]) -> Found:
        """Find the faces in an RGB picture, uint8 [H, W, 3], with their landmarks."""

    def look_closer(self, pictures: Sequence[NDArray[np.uint8]]) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Landmarks [n, 5, 2] and scores [n] of what fills n pictures, uint8 [48, 48, 3]."""


class CascadeDetector:
    """OpenCV's cascade of boosted Haar features (Viola and Jones 2001): no download, no network, frontal faces.

    Needs OpenCV 4 (`pip install "opencv-python-headless<5"`), whose packages carry the trained cascade.

    The score is the number of windows, shifted and scaled a little against each other, that agree on the face: it falls
    steadily as a face is turned away from upright, which the sum of the last stage's votes ("level weight") does not.

    Raises
    ------
    MissingExtraError
        OpenCV is not installed, or not one with cascades.
    """

    #: portraits score 11 and up, also when blurred, noisy or dark; patterns that pass for faces mostly below 7
    min_score = 8.0

    def __init__(self) -> None:
        try:
            self._cv2: Any = importlib.import_module("cv2")
        except ImportError as error:
            raise MissingExtraError("this detector needs OpenCV 4: pip install 'opencv-python-headless<5'") from error
        try:
            path = os.path.join(self._cv2.data.haarcascades, "haarcascade_frontalface_alt2.xml")
            self._cascade = self._cv2.CascadeClassifier(path)
            missing = self._cascade.empty()
        except AttributeError:
            missing = True
        if missing:
            raise MissingExtraError(
                f"OpenCV {self._cv2.__version__} as installed has no face cascade; one that has: "
                "pip install 'opencv-python-headless<5'"
            )

    def __call__(self, picture: NDArray[np.uint8]) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Return boxes [n, 4] and scores [n] of the faces in an RGB picture."""
        gray = self._cv2.cvtColor(picture, self._cv2.COLOR_RGB2GRAY)
        found, windows = self._cascade.detectMultiScale2(gray, scaleFactor=1.1, minNeighbors=3, minSize=(20, 20))
        boxes = np.reshape(np.asarray(found, float), (-1, 4))
        boxes[:, 2:] += boxes[:, :2]  # from left, top, width, height
        return boxes, np.asarray(windows, float).ravel()


class UltraFaceDetector:
    """A network of the UltraFace kind (RFB-320, RFB-640), run by this package's own `InferenceSession`.

    It takes float32 [1, 3, H, W], RGB, (value - 127) / 128, and gives for each of its n anchors two scores, background
    and face, [1, n, 2], and left, top, right, bottom as parts of width and height, [1, n, 4].
    The score is the probability of a face.

    Parameters
    ----------
    path : path
        The ONNX file.

    Raises
    ------
    ModelFormatError, UnsupportedModelError
        The file is damaged, or holds another kind of network.

    References
    ----------
    Linzaer, "Ultra-Light-Fast-Generic-Face-Detector-1MB", 2019.
    """

    #: a face is seen at most of the nine angles, with a probability above 0.7 at each
    min_score = 0.4

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._session = InferenceSession(path)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        shapes = [value.shape for value in (*inputs, *outputs)]
        try:
            ((_, _, self._height, self._width),) = (map(int, shape) for shape in shapes[:1])  # type: ignore[arg-type]
            by_last = {value.shape[-1]: value.name for value in outputs}
            self._scores, self._boxes, self._input = by_last[2], by_last[4], inputs[0].name
        except (ValueError, TypeError, LookupError):
            raise UnsupportedModelError(
                f"{os.fspath(path)}: not a face detector of the UltraFace kind: those take [1, 3, H, W] and give "
                f"[1, n, 2] and [1, n, 4]; this one has the shapes {', '.join(map(str, shapes))}"
            ) from None

    def __call__(self, picture: NDArray[np.uint8]) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Return boxes [n, 4] and scores [n] of the faces in an RGB picture."""
        # The picture keeps its proportions: what it does not fill is 127, which the network sees as 0.
        scale = min(self._width / picture.shape[1], self._height / picture.shape[0])
        size = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
        canvas = np.full((self._height, self._width, 3), 127, np.uint8)
        canvas[: size[1], : size[0]] = resized(picture, size)
        x = (canvas.astype(np.float32).transpose(2, 0, 1)[None] - 127) / 128  # [1, 3, H, W]
        scores, boxes = self._session.run([self._scores, self._boxes], {self._input: x})
        likely = (scores[0, :, 1] > 0.7) & (boxes[0, :, 2:] > boxes[0, :, :2]).all(axis=-1)
        unit = np.tile([self._width * picture.shape[1] / size[0], self._height * picture.shape[0] / size[1]], 2)
        return _suppress(boxes[0, likely] * unit, scores[0, likely, 1])


def _suppress(
    boxes: NDArray[np.floating], scores: NDArray[np.floating]
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Keep the strongest of the boxes that overlap."""
    kept = distinct(
        [Sighting((b[:2] + b[2:]) / 2, b[2:] - b[:2], 0.0, float(s)) for b, s in zip(boxes, scores, strict=True)]
    )
    corners = [np.concatenate([k.centre - k.extent / 2, k.centre + k.extent / 2]) for k in kept]
    return np.reshape(corners, (-1, 4)), np.array([k.score for k in kept])


#: for command lines
DETECTOR_HELP = "what finds them: mtcnn (the default), cascade (OpenCV's), ultraface-320, ultraface-640 or an ONNX file"


def load_detector(name: str = "mtcnn") -> Detector:
    """Return the detector that is called "mtcnn" or "cascade", or a network of the UltraFace kind by its name or path.

    Raises
    ------
    ArgumentError, FetchError, ModelFormatError, UnsupportedModelError, MissingExtraError
        There is none of that name; it is not on this machine; its file is damaged; it is no face detector; OpenCV with
        its cascades is not installed.
    """
    if name == "mtcnn":
        return MtcnnDetector()
    return CascadeDetector() if name == "cascade" else UltraFaceDetector(find(name))
