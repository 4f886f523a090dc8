"""Find faces, turn them upright, and crop them with a margin: the first half of the DEX pipeline.

The networks were trained on faces that were found and cropped in one particular way, and guess badly on anything else.
The steps are those of Rothe, Timofte and Van Gool, "Deep expectation of real and apparent age from a single image
without facial landmarks" (IJCV 2018), section 3.1: a detector of upright faces runs on the photograph turned by many
angles, the strongest detection tells the angle, and the upright face is cropped with 40 % of its size on every side,
the last pixel of the photograph repeated where the crop reaches beyond it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..images import SIZE, load_image
from .detectors import CascadeDetector, Detector
from .geometry import Sighting, corners, distinct, overlap, turn, upright

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
        The photograph; see `numpyvgg.photo.images.load_image`.
    detector : callable, optional
        See `detectors`; a `CascadeDetector` if none is given.
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
    finds = distinct(_look(photo, detector, angles, working_size))
    faces = [face for find in finds if (face := _look_again(photo, detector, find)) is not None]
    faces = [face for face in distinct(faces) if face.extent.min() >= min_size]
    faces.sort(key=lambda face: -face.extent.prod())
    return [_crop(photo, face) for face in faces] or [_whole(photo)]


def _crop(photo: NDArray[np.uint8], face: Sighting) -> Face:
    crop = upright(photo, face.centre, face.extent * (1 + 2 * MARGIN), face.angle, (SIZE, SIZE))
    return Face(crop, face.angle, corners(face), face.score)


def _whole(photo: NDArray[np.uint8]) -> Face:
    height, width = photo.shape[:2]
    crop = np.asarray(Image.fromarray(photo).resize((SIZE, SIZE), Image.Resampling.BILINEAR))
    return Face(crop, 0.0, np.array([[0.0, 0], [width, 0], [width, height], [0, height]]), 0.0, found=False)


def _look(
    photo: NDArray[np.uint8], detector: Detector, angles: Sequence[float], working_size: int | None
) -> list[Sighting]:
    """Run the detector on the whole photograph, at most `working_size` pixels wide and high, at each angle."""
    extent = np.array([photo.shape[1], photo.shape[0]], float)
    scale = min(1.0, (working_size or np.inf) / extent.max())
    width, height = np.maximum(np.rint(extent * scale), 1).astype(int).tolist()
    copy = np.asarray(Image.fromarray(photo).resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0))
    unit = extent / (width, height)  # pixels of the photograph per pixel of the copy
    seen = []
    for angle in angles:
        turned = np.abs(turn(angle)) @ (width, height)
        seen += _detect(copy, detector, np.array([width / 2, height / 2]), turned, angle, 1.0)
    return [s._replace(centre=s.centre * unit, extent=s.extent * unit) for s in seen]


def _look_again(photo: NDArray[np.uint8], detector: Detector, find: Sighting) -> Sighting | None:
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
    find: Sighting, photo: NDArray[np.uint8], detector: Detector, turns: Sequence[float]
) -> list[Sighting]:
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
    photo: NDArray[np.uint8],
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
