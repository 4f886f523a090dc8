"""Find faces, turn them upright, and crop them with a margin: the first half of the DEX pipeline.

The networks were trained on faces that were found and cropped in one particular way, and guess badly on anything else.
The crop is that of Rothe, Timofte and Van Gool, "Deep expectation of real and apparent age from a single image without
facial landmarks" (IJCV 2018), section 3.1: the upright face with 40 % of its size on every side, the last pixel of the
photograph repeated where the crop reaches beyond it.

How a face is found and how its angle is told depends on the detector. One that gives landmarks finds faces at any angle
and tells the angle. One of upright faces is the paper's way: it runs on the photograph turned by many angles.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ...errors import ArgumentError, ImageError
from ...kernels.threads import Workers, available_cores
from ..images import SIZE, load_image
from ..pixels import photograph_size, reduction
from ..resampling import resized, size_of
from .detectors import Detector, LandmarkDetector
from .geometry import Sighting, corners, distinct, from_landmarks, overlap, turn, upright
from .mtcnn import O_SIDE, MtcnnDetector

if TYPE_CHECKING:
    from PIL import Image

    Photo = Image.Image | NDArray[np.uint8]  # an array where Pillow is not installed

Result = TypeVar("Result")

#: degrees by which the paper turns a photograph before it runs the detector
DEX_ANGLES = (*range(-60, 61, 5), -90, 90, 180)
#: every third of them, enough to see each face at least once: detectors of upright faces tolerate 15 degrees of tilt
COARSE_ANGLES = (*range(-60, 61, 15), -90, 90, 180)
#: degrees around a first find at which a face is looked at again by a detector of upright faces
FINE_ANGLES = (-20, -15, -10, -5, 0, 5, 10, 15, 20)
#: at how many of those a face has to be seen; a chance pattern is seen at one or two
MIN_LOOKS = 3
#: degrees around a first find at which its landmarks are found again
LANDMARK_ANGLES = (-20, -10, 0, 10, 20)
#: part of the face's width left and right, and of its height above and below, that belongs to the crop
MARGIN = 0.4
#: the smallest face that detectors are asked for, in pixels of the picture that they run on
SMALLEST = 20
#: longest side, in pixels, of the picture that the search runs on where no smallest face is named
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
        In the detector's own unit: the mean over the angles of the second look (see `align_faces`), with 0 for an angle
        at which the face was not seen. 0 where no face was found.
    found : bool
        False: no face was found, and `crop` and `box` are the whole photograph.
    number, count : int
        It is the number-th largest of so many faces that were found.
    """

    crop: NDArray[np.uint8]
    angle: float
    box: NDArray[np.float64]
    score: float
    found: bool = True
    number: int = 1
    count: int = 1

    def __str__(self) -> str:
        if not self.found:
            return "no face found, the whole image"
        across, down = np.linalg.norm(self.box[1] - self.box[0]), np.linalg.norm(self.box[3] - self.box[0])
        x, y = self.box.mean(axis=0)
        return f"{across:.0f}x{down:.0f} at ({x:.0f}, {y:.0f}), angle {self.angle:.1f}, score {self.score:.2f}"

    def with_margin(self) -> Image.Image:
        """The crop as an image."""
        return load_image(self.crop)

    def without_margin(self) -> Image.Image:
        """The face alone, for networks that were trained without the margin; the whole image where there is no face."""
        if not self.found:
            return self.with_margin()
        edge = SIZE * MARGIN / (1 + 2 * MARGIN)
        inside = slice(round(edge), round(SIZE - edge))
        return load_image(self.crop[inside, inside])


def align_faces(
    source: str | os.PathLike[str] | np.ndarray | Image.Image,
    detector: Detector | None = None,
    *,
    angles: Sequence[float] | None = None,
    min_size: float | None = None,
) -> list[Face]:
    """Find every face in a photograph, at whatever angle, and crop each upright, with its margin.

    The search is in two steps. The first runs the detector on the whole photograph, at all angles, and keeps the
    strongest of all detections that overlap. The second looks at each of these finds again, upright and in a picture of
    its own. The second step alone decides about angle, box and score, so how thorough the first one is decides which
    faces are found, not what is said about them.

    Parameters
    ----------
    source : path, Pillow image, or ndarray of uint8
        The photograph; see `numpyvgg.photo.images.load_image`.
    detector : callable, optional
        See `detectors`; a `MtcnnDetector` if none is given.
    angles : sequence of float, optional
        Degrees, counter-clockwise, by which the photograph is turned in the first step for a detector of upright faces:
        by default `COARSE_ANGLES`; the paper's are `DEX_ANGLES`. One that gives landmarks has no use for them.
    min_size : float, optional
        Pixels of the photograph, 12 or more; smaller faces are left out. The first step runs on a copy in which a face
        of this size has 20 pixels, so its time falls with the square of it. By default 20, or a 32nd of the longest
        side where that is more: then the copy has at most 640 pixels, however large the photograph.

    Returns
    -------
    list of Face
        The largest face first. Where there is no face: one entry, the whole photograph, with `found` False.

    Raises
    ------
    ImageError
        The photograph cannot be read.
    ArgumentError
        `min_size` is below 12, or `detector` is none.

    Notes
    -----
    The paper takes the angle of the strongest detection. One score is a noisy measure of how upright a face is: with
    OpenCV's cascade that angle is off by up to 15 degrees. Here the strongest detection says which face it is; the
    angle comes from its landmarks, or is the mean of all angles at which the second step saw that face, weighted by
    score. `docs/faces.md` has the measurements.
    """
    photo: Photo = load_image(source)
    whole, scale = photograph_size(photo), reduction(photo)  # a very large one is loaded at half its size, or less
    if detector is None:
        detector = default_detector()
    elif not callable(detector):
        raise ArgumentError(f"detector={detector!r} finds no faces: give what detectors.load_detector(NAME) returns")
    if min_size is None:
        min_size = max(SMALLEST, max(whole) * SMALLEST / WORKING_SIZE)
    elif not (isinstance(min_size, Real) and 12 <= min_size < math.inf):
        raise ArgumentError(f"min_size={min_size}: the smallest face that can be found has 12 pixels")
    finds = distinct(_look(photo, detector, angles or COARSE_ANGLES, SMALLEST / min_size * scale))
    if isinstance(detector, LandmarkDetector):
        faces = _landmarks_again(photo, detector, finds)
    else:
        faces = [face for find in finds if (face := _upright_again(photo, detector, find)) is not None]
    faces = [face for face in distinct(faces) if face.extent.min() * scale >= min_size]
    faces.sort(key=lambda face: -face.extent.prod())
    crops = _on_all_cores(_crop, [(photo, face) for face in faces])
    if not crops:
        return [_whole(photo, whole)]
    return [replace(face, box=face.box * scale, number=i, count=len(crops)) for i, face in enumerate(crops, start=1)]


def choose(faces: list[Face], which: int | None, name: str) -> list[Face]:
    """The `which`-th largest face alone, all where that is None; where none was found, that stays the answer.

    Raises
    ------
    ImageError
        The photograph, of this name, has fewer faces.
    """
    if which is None or not faces[0].found:
        return faces
    if which > len(faces):
        raise ImageError(f"{name}: has {len(faces)} face{'s'[: len(faces) > 1]}: there is no face {which}")
    return faces[which - 1 : which]


@functools.cache
def default_detector() -> MtcnnDetector:
    """The detector that is bundled with this package, loaded once."""
    return MtcnnDetector()


@functools.cache
def _workers() -> Workers:
    return Workers(available_cores())


def _on_all_cores(function: Callable[..., Result], arguments: Sequence[tuple[Any, ...]]) -> list[Result]:
    """What a function gives for each of the arguments; Pillow does not hold the GIL while it turns a picture."""
    results: dict[int, Result] = {}

    def call(number: int) -> None:
        results[number] = function(*arguments[number])

    _workers().run(call, len(arguments))
    return [results[number] for number in range(len(arguments))]


def _crop(photo: Photo, face: Sighting) -> Face:
    crop = upright(photo, face.centre, face.extent * (1 + 2 * MARGIN), face.angle, (SIZE, SIZE))
    return Face(crop, face.angle, corners(face), face.score)


def _whole(photo: Photo, size: tuple[int, int]) -> Face:
    width, height = size
    outline = np.array([[0.0, 0], [width, 0], [width, height], [0, height]])
    return Face(resized(photo, (SIZE, SIZE)), 0.0, outline, 0.0, found=False)


def _look(photo: Photo, detector: Detector, angles: Sequence[float], scale: float) -> list[Sighting]:
    """Run the detector on the whole photograph, at this scale, at each angle."""
    extent = np.array(size_of(photo), float)
    width, height = np.maximum(np.rint(extent * scale), 1).astype(int).tolist()
    copy = resized(photo, (width, height), reducing_gap=2.0)
    unit = extent / (width, height)  # pixels of the photograph per pixel of the copy
    if isinstance(detector, LandmarkDetector):
        found = detector.find(copy)
        seen = [from_landmarks(*face) for face in zip(found.landmarks, found.scores.tolist(), strict=True)]
    else:
        centre = np.array([width / 2, height / 2])
        turned = {angle: np.abs(turn(angle)) @ (width, height) for angle in angles}
        seen = [one for angle in angles for one in _detect(copy, detector, centre, turned[angle], angle, 1.0)]
    return [s._replace(centre=s.centre * unit, extent=s.extent * unit) for s in seen]


def _landmarks_again(photo: Photo, detector: LandmarkDetector, finds: list[Sighting]) -> list[Sighting]:
    """Find the landmarks of finds again, in pictures that each fills; those that are faces after all.

    Landmarks are surest in an upright face, and each look errs by a few pixels in a way of its own: so the face is
    turned upright by what the first round says, and the mean of the second counts.
    """
    for _ in range(2):
        looks = [(find, find.angle + angle) for find in finds for angle in LANDMARK_ANGLES]
        points, scores = detector.look_closer(_on_all_cores(functools.partial(_filling, photo), looks))
        places = np.reshape(
            [
                find.centre + (some / O_SIDE - 0.5) * find.extent.max() @ turn(angle)
                for (find, angle), some in zip(looks, points, strict=True)
            ],
            (-1, len(LANDMARK_ANGLES), 5, 2),
        )
        finds = [
            from_landmarks(np.average(some, axis=0, weights=weights), float(weights.mean()))
            for some, weights in zip(places, scores.reshape(-1, len(LANDMARK_ANGLES)), strict=True)
            if weights.mean() >= detector.min_score
        ]
    return finds


def _filling(photo: Photo, find: Sighting, angle: float) -> NDArray[np.uint8]:
    """The picture that a find fills, turned by an angle."""
    side = find.extent.max()
    return upright(photo, find.centre, (side, side), angle, (O_SIDE, O_SIDE))


def _upright_again(photo: Photo, detector: Detector, find: Sighting) -> Sighting | None:
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


def _sightings_of(find: Sighting, photo: Photo, detector: Detector, turns: Sequence[float]) -> list[Sighting]:
    """The strongest detection that is the same face, at each angle at which there is one."""
    side = 2 * find.extent.max()
    seen: list[Sighting] = []
    for angle in turns:
        sightings = _detect(photo, detector, find.centre, np.array([side, side]), find.angle + angle, 128 / side)
        same = [sighting for sighting in sightings if overlap(sighting, find)[0] > 0.4]
        seen += sorted(same, key=lambda sighting: sighting.score)[-1:]
    return seen


def _mean(seen: list[Sighting]) -> Sighting:
    """Their mean, weighted by score, with an angle above -180 and up to 180."""
    weights = [sighting.score for sighting in seen]
    centre, extent, angle = (np.average([s[i] for s in seen], axis=0, weights=weights) for i in range(3))
    return Sighting(centre, extent, 180 - (180 - float(angle)) % 360, max(weights))


def _detect(
    photo: Photo,
    detector: Detector,
    centre: NDArray[np.float64],
    extent: NDArray[np.float64],
    angle: float,
    scale: float,
) -> list[Sighting]:
    """Run the detector on a turned rectangle of the photograph, and tell where in the photograph the faces are."""
    width, height = np.maximum(np.rint(extent * scale), 1).astype(int).tolist()
    boxes, scores = detector(upright(photo, centre, extent, angle, (width, height)))
    unit = extent / (width, height)  # pixels of the photograph per pixel of the turned picture
    return [
        Sighting(
            centre + (unit * (box[:2] + box[2:]) / 2 - extent / 2) @ turn(angle),
            unit * (box[2:] - box[:2]),
            angle,
            float(score),
        )
        for box, score in zip(np.asarray(boxes, float), scores, strict=True)
        if (box[2:] > box[:2]).all()
    ]
