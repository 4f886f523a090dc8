"""Find faces, turn them upright, and crop them with a margin: the first half of the DEX pipeline.

The networks were trained on faces that were found and cropped in one particular way, and guess badly on anything else.
The steps are those of Rothe, Timofte and Van Gool, "Deep expectation of real and apparent age from a single image
without facial landmarks" (IJCV 2018), section 3.1: a detector of upright faces runs on the photograph turned by many
angles, the strongest detection tells the angle, and the upright face is cropped with 40 % of its size on every side,
the last pixel of the photograph repeated where the crop reaches beyond it.

A *detector* is anything that can be called with an RGB picture (uint8 [H, W, 3]) and returns `(boxes, scores)`: float
[n, 4] with left, top, right, bottom in pixels, and float [n], above 0 and larger for surer, comparable between calls.
It may have a `min_score`: what scores less (see `Face.score`) is no face. Two are here: `CascadeDetector` (OpenCV) and
`UltraFaceDetector` (a network, run by this package).

Coordinates are (x, y) in pixels from the top left corner of the photograph, and run through the pixels: the first one
covers 0 to 1 and has its centre at 0.5.
"""

from __future__ import annotations

import importlib
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .dex import SIZE, load_image
from .errors import MissingExtraError, UnsupportedModelError
from .zoo import find

Detector = Callable[[NDArray[np.uint8]], tuple[NDArray[np.floating], NDArray[np.floating]]]

#: degrees by which the paper turns a photograph before it runs the detector
DEX_ANGLES = (*range(-60, 61, 5), -90, 90, 180)
#: every third of them, enough to see each face at least once: detectors of upright faces stand 15 degrees of tilt
COARSE_ANGLES = (*range(-60, 61, 15), -90, 90, 180)
#: degrees around a first find at which the face is looked at again
FINE_ANGLES = (-20, -15, -10, -5, 0, 5, 10, 15, 20)
#: at how many of those a face has to be seen; a chance pattern is seen at one or two
MIN_LOOKS = 3
#: part of the face's width left and right, and of its height above and below, that belongs to the crop
MARGIN = 0.4
#: longest side, in pixels, of the picture that the search runs on
WORKING_SIZE = 640


@dataclass(frozen=True)
class Face:
    """One face, or the whole photograph where there is none.

    Attributes
    ----------
    crop : ndarray, uint8 [224, 224, 3]
        RGB; upright, with the margin, squeezed to the networks' input.
    angle : float
        Degrees, counter-clockwise, by which the photograph is turned to bring this face upright.
    box : ndarray, float64 [4, 2]
        Corners (x, y) of the face, without the margin, in pixels of the photograph: the upright face's top left, top
        right, bottom right and bottom left.
    score : float
        In the detector's own unit: the mean over the nine angles of the second look (see `align_faces`), with 0 for
        an angle at which the face was not seen. 0 where no face was found.
    found : bool
        False: no face was found, and `crop` and `box` are the whole photograph.
    """

    crop: NDArray[np.uint8]
    angle: float
    box: NDArray[np.float64]
    score: float
    found: bool = True

    def __str__(self) -> str:
        if not self.found:
            return "no face found, the whole image"
        across, down = np.linalg.norm(self.box[1] - self.box[0]), np.linalg.norm(self.box[3] - self.box[0])
        x, y = self.box.mean(axis=0)
        return f"{across:.0f}x{down:.0f} at ({x:.0f}, {y:.0f}), angle {self.angle:.1f}, score {self.score:.2f}"

    def with_margin(self) -> Image.Image:
        """The crop as an image."""
        return Image.fromarray(self.crop)

    def without_margin(self) -> Image.Image:
        """The face alone, for networks that were trained without the margin; the whole image where there is no face."""
        if not self.found:
            return self.with_margin()
        edge = SIZE * MARGIN / (1 + 2 * MARGIN)
        return self.with_margin().crop((round(edge), round(edge), round(SIZE - edge), round(SIZE - edge)))


class _Sighting(NamedTuple):
    """One detection in one turned picture, in the photograph's coordinates."""

    centre: NDArray[np.float64]  # [2] x, y
    extent: NDArray[np.float64]  # [2] width and height of the upright face
    angle: float
    score: float


def align_faces(
    source: str | os.PathLike[str] | np.ndarray | Image.Image,
    detector: Detector | None = None,
    *,
    angles: Sequence[float] = COARSE_ANGLES,
    working_size: int | None = WORKING_SIZE,
    min_size: float = 20,
) -> list[Face]:
    """Find every face in a photograph, at whatever angle, and crop each upright, with its margin.

    The search is in two steps. The first runs the detector on the whole photograph, turned by each of `angles`, and
    keeps the strongest of all detections that overlap. The second looks at each of these finds again, at nine angles
    around the face's own, in a picture of its own where the face is 64 pixels large. The second
    step alone decides about angle, box and score, so how thorough the first one is decides which faces are found, not
    what is said about them. By default the first step is therefore bounded: on a copy of at most 640 pixels, and at
    every third of the paper's angles. Its time does not grow with the photograph, and it finds faces down to about a
    thirtieth of the longest side. The paper's full search is `angles=DEX_ANGLES, working_size=None`.

    Parameters
    ----------
    source : path, Pillow image, or ndarray of uint8
        The photograph; see `numpyvgg.dex.load_image`.
    detector : callable, optional
        See this module's docstring; a `CascadeDetector` if none is given.
    angles : sequence of float
        Degrees, counter-clockwise, by which the photograph is turned in the first step.
    working_size : int or None
        Longest side, in pixels, of the copy that the first step runs on; None for the photograph as it is. Raise it
        where faces are smaller than a thirtieth of the photograph.
    min_size : float
        Pixels of the photograph; narrower or lower faces are left out.

    Returns
    -------
    list of Face
        The largest face first. Where there is no face: one entry, the whole photograph, with `found` False.

    Raises
    ------
    ImageError
        The photograph cannot be read.
    MissingExtraError
        No detector is given, and OpenCV with its cascades is not installed.

    Notes
    -----
    The paper takes the angle of the strongest detection. One score is a noisy measure of how upright a face is: with
    OpenCV's cascade that angle is off by up to 15 degrees. Here the strongest detection says which face it is, and the
    angle is the mean of all angles at which the second step saw that face, weighted by score. `docs/faces.md` has the
    measurements.
    """
    photo = np.asarray(load_image(source))
    detector = detector or CascadeDetector()
    finds = _distinct(_look(photo, detector, angles, working_size))
    faces = [face for find in finds if (face := _look_again(photo, detector, find)) is not None]
    faces = [face for face in _distinct(faces) if face.extent.min() >= min_size]
    faces.sort(key=lambda face: -face.extent.prod())
    return [_crop(photo, face) for face in faces] or [_whole(photo)]


def _crop(photo: NDArray[np.uint8], face: _Sighting) -> Face:
    crop = upright(photo, face.centre, face.extent * (1 + 2 * MARGIN), face.angle, (SIZE, SIZE))
    return Face(crop, face.angle, _corners(face), face.score)


def _whole(photo: NDArray[np.uint8]) -> Face:
    height, width = photo.shape[:2]
    crop = np.asarray(Image.fromarray(photo).resize((SIZE, SIZE), Image.Resampling.BILINEAR))
    return Face(crop, 0.0, np.array([[0.0, 0], [width, 0], [width, height], [0, height]]), 0.0, found=False)


# --- geometry ---------------------------------------------------------------------------------------------------------


def _turn(angle: float) -> NDArray[np.float64]:
    """Matrix [2, 2] that takes offsets (x right, y down) in the photograph to offsets in the picture turned by `angle`.

    Exact at quarter turns, so that those copy pixels instead of blending them.
    """
    cos, sin = (round(f(math.radians(angle)), 15) for f in (math.cos, math.sin))
    return np.array([[cos, sin], [-sin, cos]])


def _corners(face: _Sighting) -> NDArray[np.float64]:
    """Corners [4, 2] in the photograph: top left, top right, bottom right, bottom left of the upright face."""
    offsets = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]]) * face.extent
    return face.centre + offsets @ _turn(face.angle)  # the row-vector product turns back


def upright(
    photo: NDArray[np.uint8],
    centre: Sequence[float] | NDArray[np.floating],
    extent: Sequence[float] | NDArray[np.floating],
    angle: float,
    size: tuple[int, int],
) -> NDArray[np.uint8]:
    """Cut a turned rectangle out of a photograph and squeeze it into a picture of `size`.

    Outside the photograph its nearest pixel is repeated.

    Parameters
    ----------
    photo : ndarray, uint8 [H, W, 3]
        RGB.
    centre, extent : pair of float
        The rectangle's centre (x, y), and its width and height, in pixels of the photograph.
    angle : float
        Degrees, counter-clockwise, by which the photograph is turned before the rectangle is cut out.
    size : pair of int
        Width and height of the picture.

    Returns
    -------
    ndarray, uint8 [size[1], size[0], 3]
    """
    centre, extent = np.asarray(centre, np.float64), np.maximum(extent, 1e-6, dtype=np.float64)
    # A large rectangle is first averaged down to two to four times the wanted size: turning it needs no more.
    factor = max(1, int(min(extent / size) / 2))
    back = _turn(angle).T
    part, corner = _part(photo, centre, np.abs(back) @ (extent / 2), factor)
    # Pillow asks where in `part` a place of the turned picture comes from: matrix @ place + shift.
    width, height = np.maximum(np.ceil(extent / factor).astype(int), 1).tolist()
    matrix = back * (extent / factor / (width, height))
    shift = (centre - corner) / factor - matrix @ (width / 2, height / 2)
    coefficients = (*matrix[0], shift[0], *matrix[1], shift[1])
    turned = part.transform((width, height), Image.Transform.AFFINE, coefficients, Image.Resampling.BICUBIC)
    return np.asarray(turned.resize(size, Image.Resampling.BILINEAR))


def _part(
    photo: NDArray[np.uint8], centre: NDArray[np.floating], reach: NDArray[np.floating], factor: int
) -> tuple[Image.Image, NDArray[np.int64]]:
    """Cut out the part that goes `reach` (x, y) to each side of the centre and a little more, each side 1/factor.

    Where it leaves the photograph, the last pixel at the border is repeated. Returns the place of its top left corner
    in the photograph too.
    """
    limit = np.array([photo.shape[1], photo.shape[0]])
    start, stop = np.floor(centre - reach).astype(int) - 2 * factor, np.ceil(centre + reach).astype(int) + 2 * factor
    low, high = np.clip(start, 0, limit - 1), np.clip(stop, 1, limit)
    inside = Image.fromarray(np.ascontiguousarray(photo[low[1] : high[1], low[0] : high[0]])).reduce(factor)
    first, last = (start - low) // factor, -((low - stop) // factor)  # in reduced pixels, 0 the first one inside
    columns, rows = (np.clip(np.arange(a, b), 0, n - 1) for a, b, n in zip(first, last, inside.size, strict=True))
    return Image.fromarray(np.asarray(inside)[rows[:, None], columns]), low + first * factor


# --- the search -------------------------------------------------------------------------------------------------------


def _look(
    photo: NDArray[np.uint8], detector: Detector, angles: Sequence[float], working_size: int | None
) -> list[_Sighting]:
    """Run the detector on the whole photograph, at most `working_size` pixels wide and high, at each angle."""
    extent = np.array([photo.shape[1], photo.shape[0]], float)
    scale = min(1.0, (working_size or np.inf) / extent.max())
    width, height = np.maximum(np.rint(extent * scale), 1).astype(int).tolist()
    copy = np.asarray(Image.fromarray(photo).resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0))
    unit = extent / (width, height)  # pixels of the photograph per pixel of the copy
    seen = []
    for angle in angles:
        turned = np.abs(_turn(angle)) @ (width, height)
        seen += _detect(copy, detector, np.array([width / 2, height / 2]), turned, angle, 1.0)
    return [s._replace(centre=s.centre * unit, extent=s.extent * unit) for s in seen]


def _look_again(photo: NDArray[np.uint8], detector: Detector, find: _Sighting) -> _Sighting | None:
    """Look at one find at nine angles, in a picture where it is 64 pixels large; None where it is no face after all.

    With one size for all, scores can be compared between faces too. The nine angles have to lie evenly around the
    face's own, or their mean would lean to one side: five wider ones come first, to centre them.
    """
    around = _sightings_of(find, photo, detector, FINE_ANGLES[::2])
    if not around:
        return None
    find = _mean(around)
    seen = _sightings_of(find, photo, detector, FINE_ANGLES)
    score = sum(sighting.score for sighting in seen) / len(FINE_ANGLES)
    if len(seen) < MIN_LOOKS or score < getattr(detector, "min_score", 0.0):
        return None
    return _mean(seen)._replace(score=score)


def _sightings_of(
    find: _Sighting, photo: NDArray[np.uint8], detector: Detector, turns: Sequence[float]
) -> list[_Sighting]:
    """The strongest detection that is the same face, at each angle at which there is one."""
    side = 2 * find.extent.max()
    seen: list[_Sighting] = []
    for turn in turns:
        sightings = _detect(photo, detector, find.centre, np.array([side, side]), find.angle + turn, 128 / side)
        same = [sighting for sighting in sightings if _overlap(sighting, find)[0] > 0.4]
        seen += sorted(same, key=lambda sighting: sighting.score)[-1:]
    return seen


def _mean(seen: list[_Sighting]) -> _Sighting:
    """Their mean, weighted by score, with an angle above -180 and up to 180."""
    weights = [sighting.score for sighting in seen]
    centre, extent, angle = (np.average([s[i] for s in seen], axis=0, weights=weights) for i in range(3))
    return _Sighting(centre, extent, 180 - (180 - float(angle)) % 360, max(weights))


def _detect(
    photo: NDArray[np.uint8],
    detector: Detector,
    centre: NDArray[np.float64],
    extent: NDArray[np.float64],
    angle: float,
    scale: float,
) -> list[_Sighting]:
    """Run the detector on a turned rectangle of the photograph, and tell where in the photograph the faces are."""
    width, height = np.maximum(np.rint(extent * scale), 1).astype(int).tolist()
    boxes, scores = detector(upright(photo, centre, extent, angle, (width, height)))
    unit = extent / (width, height)  # pixels of the photograph per pixel of the turned picture
    return [
        _Sighting(
            centre + (unit * (box[:2] + box[2:]) / 2 - extent / 2) @ _turn(angle),
            unit * (box[2:] - box[:2]),
            angle,
            float(score),
        )
        for box, score in zip(np.asarray(boxes, float), scores, strict=True)
        if (box[2:] > box[:2]).all()
    ]


def _distinct(sightings: list[_Sighting]) -> list[_Sighting]:
    """Non-maximum suppression, across angles too: of sightings that share half of the smaller, keep the strongest."""
    kept: list[_Sighting] = []
    for sighting in sorted(sightings, key=lambda sighting: -sighting.score):
        if all(_overlap(sighting, other)[1] <= 0.5 for other in kept):
            kept.append(sighting)
    return kept


def _overlap(a: _Sighting, b: _Sighting) -> tuple[float, float]:
    """Intersection over union, and over the smaller of both, of two faces as if both were turned like the first."""
    apart = np.abs(_turn(a.angle) @ (b.centre - a.centre))
    shared = np.clip((a.extent + b.extent) / 2 - apart, 0, np.minimum(a.extent, b.extent)).prod()
    areas = a.extent.prod(), b.extent.prod()
    return shared / (sum(areas) - shared), shared / min(areas)


# --- detectors --------------------------------------------------------------------------------------------------------


class CascadeDetector:
    """OpenCV's cascade of boosted Haar features (Viola and Jones 2001): no download, no network, frontal faces.

    Needs `pip install numpyvgg[faces]`: OpenCV 4, whose packages carry the trained cascade; OpenCV 5 dropped it.

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
            raise MissingExtraError("finding faces needs OpenCV 4: pip install 'numpyvgg[faces]'") from error
        try:
            path = os.path.join(self._cv2.data.haarcascades, "haarcascade_frontalface_alt2.xml")
            self._cascade = self._cv2.CascadeClassifier(path)
            missing = self._cascade.empty()
        except AttributeError:
            missing = True
        if missing:
            raise MissingExtraError(
                f"OpenCV {self._cv2.__version__} as installed has no face cascade; one that has: "
                "pip install 'numpyvgg[faces]'"
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
        from .session import InferenceSession

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
        canvas[: size[1], : size[0]] = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR))
        x = (canvas.astype(np.float32).transpose(2, 0, 1)[None] - 127) / 128  # [1, 3, H, W]
        scores, boxes = self._session.run([self._scores, self._boxes], {self._input: x})
        likely = (scores[0, :, 1] > 0.7) & (boxes[0, :, 2:] > boxes[0, :, :2]).all(axis=-1)
        unit = np.tile([self._width * picture.shape[1] / size[0], self._height * picture.shape[0] / size[1]], 2)
        return _suppress(boxes[0, likely] * unit, scores[0, likely, 1])


def _suppress(
    boxes: NDArray[np.floating], scores: NDArray[np.floating]
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Keep the strongest of the boxes that overlap."""
    kept = _distinct(
        [_Sighting((b[:2] + b[2:]) / 2, b[2:] - b[:2], 0.0, float(s)) for b, s in zip(boxes, scores, strict=True)]
    )
    corners = [np.concatenate([k.centre - k.extent / 2, k.centre + k.extent / 2]) for k in kept]
    return np.reshape(corners, (-1, 4)), np.array([k.score for k in kept])


#: for command lines
DETECTOR_HELP = "what finds them: cascade (OpenCV's; the default), ultraface-320, ultraface-640 or an ONNX file"


def load_detector(name: str) -> Detector:
    """Return the detector that is called "cascade", or a network of the UltraFace kind by its name or path.

    Raises
    ------
    ArgumentError, FetchError, ModelFormatError, UnsupportedModelError, MissingExtraError
        There is none of that name; it is not on this machine; its file is damaged; it is no face detector; OpenCV with
        its cascades is not installed.
    """
    return CascadeDetector() if name == "cascade" else UltraFaceDetector(find(name))
