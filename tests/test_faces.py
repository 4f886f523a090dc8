"""Faces are found at any angle, turned upright and cropped as the paper does it, with coordinates that hold."""

from __future__ import annotations

import csv
import inspect
import io
import json
import os
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image, ImageDraw, ImageFont

from numpyvgg import cli
from numpyvgg.errors import ArgumentError, ImageError, MissingExtraError, UnsupportedModelError
from numpyvgg.photo import decode, pixels
from numpyvgg.photo.draw import BOX, draw_faces, label
from numpyvgg.photo.faces.detectors import CascadeDetector, Detector, UltraFaceDetector, load_detector
from numpyvgg.photo.faces.geometry import upright
from numpyvgg.photo.faces.search import COARSE_ANGLES, DEX_ANGLES, Face, align_faces
from numpyvgg.photo.images import load_image
from numpyvgg.photo.predictor import Predictor

PORTRAIT = Path(__file__).parents[1] / "numpyvgg" / "data" / "eileen_collins.jpg"
HOPPER = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"  # US Navy, public domain

needs_letters = pytest.mark.skipif(
    "size" not in inspect.signature(ImageFont.load_default).parameters,
    reason="drawing is of the extra `faces`, which asks for Pillow 10.1",
)


@pytest.fixture(scope="session", params=["mtcnn", "cascade"])
def detector(request: pytest.FixtureRequest) -> Detector:
    try:
        return load_detector(request.param)
    except MissingExtraError as error:  # on a developer's machine with OpenCV 5; the test extra brings OpenCV 4
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


def gradient(width: int, height: int) -> np.ndarray:
    """A picture without two equal neighbours, so that a shift by one pixel shows."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def marked(corners: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A white square on black with one red corner, at four times the size and averaged down: edges within 1/8 pixel."""
    picture = Image.new("RGB", (size[0] * 4, size[1] * 4))
    draw = ImageDraw.Draw(picture)
    draw.polygon([tuple(corner * 4) for corner in corners], fill="white")
    top_left, top_right, _, bottom_left = corners
    across, down = (top_right - top_left) / 4, (bottom_left - top_left) / 4
    draw.polygon(
        [tuple(c * 4) for c in (top_left, top_left + across, top_left + across + down, top_left + down)], "red"
    )
    return np.asarray(picture.reduce(4))


def turned_square(centre: tuple[float, float], side: float, angle: float) -> np.ndarray:
    """Corners of an upright square after a turn by `angle` degrees clockwise, as seen (y points down)."""
    phi = np.radians(angle)
    clockwise = np.array([[np.cos(phi), -np.sin(phi)], [np.sin(phi), np.cos(phi)]])
    corners = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]]) * side
    return corners @ clockwise.T + centre


def overlap(a: np.ndarray, b: np.ndarray, size: tuple[int, int]) -> float:
    """Intersection over union of two four-cornered boxes, counted in pixels that Pillow draws."""
    masks = []
    for corners in (a, b):
        mask = Image.new("1", size)
        ImageDraw.Draw(mask).polygon([tuple(corner) for corner in corners], fill=1)
        masks.append(np.asarray(mask))
    return (masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum()


# --- pixels -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("box", [(10, 20, 60, 70), (-15, 5, 35, 55), (90, 60, 140, 110), (-20, -20, 160, 120)], ids=str)
def test_a_crop_is_the_photograph_with_its_border_repeated(box: tuple[int, int, int, int]) -> None:
    photo = gradient(120, 80)
    left, top, right, bottom = box
    extent = right - left, bottom - top
    crop = upright(photo, ((left + right) / 2, (top + bottom) / 2), extent, 0.0, extent)
    padded = np.pad(photo, ((100, 100), (100, 100), (0, 0)), mode="edge")
    np.testing.assert_array_equal(crop, padded[top + 100 : bottom + 100, left + 100 : right + 100])


@pytest.mark.parametrize(("angle", "quarters"), [(90, 1), (180, 2), (-90, -1), (270, 3)])
def test_quarter_turns_copy_pixels(angle: float, quarters: int) -> None:
    photo = gradient(37, 24)
    expected = np.rot90(photo, quarters)  # counter-clockwise
    size = expected.shape[1], expected.shape[0]
    np.testing.assert_array_equal(upright(photo, (37 / 2, 12), size, angle, size), expected)


@pytest.mark.parametrize("angle", [-90, -75, -47, -30, -5, 0, 10, 22.5, 45, 60, 90, 133, 180])
def test_a_marked_square_comes_back_upright_within_a_pixel(angle: float) -> None:
    photo = marked(turned_square((150, 130), 80, angle), (300, 260))
    crop = upright(photo, (150, 130), (160, 160), angle, (160, 160))
    expected = marked(turned_square((80, 80), 80, 0), (160, 160))
    white, red = (crop[..., channel] > 127 for channel in (0, 1))
    for found, truth in ((white, expected[..., 0] > 127), (red, expected[..., 1] > 127)):
        rows, columns = np.nonzero(found)
        true_rows, true_columns = np.nonzero(truth)
        edges = [rows.min(), rows.max(), columns.min(), columns.max()]
        true_edges = [true_rows.min(), true_rows.max(), true_columns.min(), true_columns.max()]
        np.testing.assert_allclose(edges, true_edges, atol=1)
        assert np.logical_xor(found, truth).mean() < 0.01


@pytest.mark.parametrize("scale", [3, 10, 17])
def test_a_large_face_shrinks_to_the_average_of_its_pixels(scale: int) -> None:
    small = np.asarray(load_image(PORTRAIT))[:150, 100:250]
    large = small.repeat(scale, axis=0).repeat(scale, axis=1)
    crop = upright(large, (75 * scale, 75 * scale), (150 * scale, 150 * scale), 0.0, (75, 75))
    expected = np.asarray(Image.fromarray(large).resize((75, 75), Image.Resampling.BILINEAR))
    assert np.abs(crop.astype(int) - expected).mean() < 2


# --- the search, with a detector whose answer is known ----------------------------------------------------------------


class RedCorner:
    """Finds squares whose red corner is at the top left; the score falls with the tilt, to nothing at 25 degrees."""

    def __call__(self, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        bright = picture[..., 0] > 127
        if not bright.any():
            return np.empty((0, 4)), np.empty(0)
        red = bright & (picture[..., 1] < 127)
        rows, columns = np.nonzero(bright)
        centre = np.array([columns.mean(), rows.mean()]) + 0.5
        red_rows, red_columns = np.nonzero(red)
        if not len(red_rows):
            return np.empty((0, 4)), np.empty(0)
        away = np.array([red_columns.mean(), red_rows.mean()]) + 0.5 - centre
        tilt = (np.degrees(np.arctan2(away[1], away[0])) + 135 + 180) % 360 - 180
        half = np.sqrt(bright.sum()) / 2
        box = np.concatenate([centre - half, centre + half])[None]
        return (box, np.array([25 - abs(tilt)])) if abs(tilt) < 25 else (np.empty((0, 4)), np.empty(0))


@pytest.mark.thorough
@pytest.mark.parametrize("angle", [-100, -72, -60, -33, -5, 0, 8, 41, 60, 75, 90, 170, 180])
def test_the_box_of_a_turned_face_is_in_the_photographs_own_coordinates(angle: float) -> None:
    corners = turned_square((210, 150), 75, angle)
    (face,) = align_faces(marked(corners, (450, 320)), RedCorner())
    assert face.found
    assert abs((face.angle - angle + 180) % 360 - 180) < 2.5
    np.testing.assert_allclose(face.box, corners, atol=4)
    np.testing.assert_array_less([0, 0, 0], face.crop[112 - 60, 112 - 60] + np.array([1, 1, 1]))


def test_the_margin_is_40_percent_of_the_face_on_every_side() -> None:
    photo = marked(turned_square((300, 220), 100, 0), (600, 440))
    (face,) = align_faces(photo, RedCorner())
    rows, columns = np.nonzero(face.crop[..., 0] > 127)
    edges = np.array([columns.min(), columns.max() + 1, rows.min(), rows.max() + 1])
    low, high = 224 * 0.4 / 1.8, 224 * 1.4 / 1.8
    np.testing.assert_allclose(edges, [low, high, low, high], atol=3)


def test_a_crop_beyond_the_border_repeats_the_border_and_is_never_black() -> None:
    photo = np.full((200, 200, 3), 90, np.uint8)
    crop = upright(photo, (5, 5), (180, 180), 30, (224, 224))
    assert (crop == 90).all()


def test_faces_come_largest_first_and_too_small_ones_not_at_all() -> None:
    photo = np.zeros((400, 600, 3), np.uint8)
    spots = {(100, 100): 40, (300, 200): 90, (500, 300): 16}

    def detector(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Knows a look at one face by its shape, and takes everything else for the upright photograph."""
        if picture.shape[:2] == (128, 128):
            return np.array([[32.0, 32, 96, 96]]), np.array([1.0])
        scale = picture.shape[1] / 600
        boxes = [[x - s / 2, y - s / 2, x + s / 2, y + s / 2] for (x, y), s in spots.items()]
        return np.array(boxes) * scale, np.ones(len(boxes))

    found = align_faces(photo, detector, angles=(0,), min_size=20)
    np.testing.assert_allclose([face.box.mean(axis=0) for face in found], [(300, 200), (100, 100)], atol=1e-6)
    assert len(align_faces(photo, detector, angles=(0,), min_size=12)) == 3


@pytest.mark.parametrize(("seen_again", "is_face"), [([4, 11], False), ([4, 10, 11, 12], True), ([], False)])
def test_what_is_seen_at_one_angle_only_is_no_face(seen_again: list[int], is_face: bool) -> None:
    looks: list[tuple[int, ...]] = []

    def detector(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        looks.append(picture.shape)
        seen = len(looks) == 1 or len(looks) in seen_again
        return np.array([[32.0, 32, 96, 96]])[:seen], np.ones(1)[:seen]

    (answer,) = align_faces(np.zeros((128, 128, 3), np.uint8), detector, angles=(0,))
    assert answer.found == is_face


@pytest.mark.thorough
def test_a_large_photograph_is_searched_on_a_copy_of_bounded_size() -> None:
    shapes = []

    def detector(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        shapes.append(picture.shape)
        return np.empty((0, 4)), np.empty(0)

    photo = np.zeros((600, 800, 3), np.uint8)
    align_faces(photo, detector)
    assert len(shapes) == len(COARSE_ANGLES)
    assert max(max(shape) for shape in shapes) <= np.hypot(640, 480) + 1
    shapes.clear()
    align_faces(photo, detector, angles=DEX_ANGLES, min_size=40)
    assert len(shapes) == 28
    assert (300, 400, 3) in shapes  # half the size: there a face of 40 pixels has 20


# --- real photographs -------------------------------------------------------------------------------------------------

#: the eyes in each photograph, marked by hand: the line through them is the truth about the face's tilt
EYES = {PORTRAIT: ((202.5, 101), (246.8, 103.3)), HOPPER: ((219, 188), (306, 185))}


@pytest.fixture(scope="session")
def references(detector: Detector) -> dict[Path, tuple[Image.Image, Face]]:
    """Each photograph, small, and the face that is found in it as it is."""
    found = {}
    for path in EYES:
        photo = load_image(path)
        photo.thumbnail((256, 256))
        (face,) = align_faces(photo, detector)
        found[path] = photo, face
    return found


def turned(photo: Image.Image, angle: float) -> tuple[Image.Image, np.ndarray]:
    """The photograph turned clockwise, on mid-grey, and the matrix [2, 3] that takes its old places to the new ones."""
    new = photo.rotate(-angle, Image.Resampling.BICUBIC, expand=True, fillcolor=(128, 128, 128))
    phi = np.radians(angle)
    clockwise = np.array([[np.cos(phi), -np.sin(phi)], [np.sin(phi), np.cos(phi)]])
    return new, np.c_[clockwise, np.array(new.size) / 2 - clockwise @ (np.array(photo.size) / 2)]


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("detector", "path", "angle"),
    [
        *(("mtcnn", PORTRAIT, angle) for angle in (-60, -25, 10, 90)),
        *(("mtcnn", HOPPER, angle) for angle in (-90, 35, 180)),
        *(("cascade", PORTRAIT, 10), ("cascade", HOPPER, -90)),  # between two angles that are looked at, and at one
    ],
    indirect=["detector"],
    ids=lambda value: getattr(value, "stem", str(value)),
)
def test_a_turned_portraits_angle_is_found_within_5_degrees(
    detector: Detector, references: dict[Path, tuple[Image.Image, Face]], path: Path, angle: float
) -> None:
    photo, reference = references[path]
    new, matrix = turned(photo, angle)
    (face,) = align_faces(new, detector)
    (x0, y0), (x1, y1) = EYES[path]
    truth = angle + np.degrees(np.arctan2(y1 - y0, x1 - x0))
    assert face.found
    assert abs((face.angle - truth + 180) % 360 - 180) <= 5
    assert overlap(face.box, np.c_[reference.box, np.ones(4)] @ matrix.T, new.size) >= 0.8


@pytest.mark.thorough
def test_every_face_of_a_group_is_found_at_its_own_angle(detector: Detector) -> None:
    group = Image.new("RGB", (520, 260), (128, 128, 128))
    for path, angle, left in ((PORTRAIT, 20, 0), (HOPPER, -30, 260)):
        photo = load_image(path)
        photo.thumbnail((240, 240))
        new = photo.rotate(-angle, Image.Resampling.BICUBIC, fillcolor=(128, 128, 128))
        group.paste(new, (left + 10, 10))
    found = align_faces(group, detector)
    assert len(found) == 2
    assert found[0].box[:, 0].mean() > 260  # Hopper's face fills more of her picture
    assert abs(found[0].angle + 30) < 7
    assert abs(found[1].angle - 20) < 7


@pytest.mark.thorough
def test_boxes_are_in_the_coordinates_of_the_photograph_as_exif_turns_it(
    detector: Detector, references: dict[Path, tuple[Image.Image, Face]], tmp_path: Path
) -> None:
    photo, upright_face = references[PORTRAIT]
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to look at
    photo.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "sideways.png", exif=exif)
    (face,) = align_faces(tmp_path / "sideways.png", detector)
    np.testing.assert_allclose(face.box, upright_face.box)
    np.testing.assert_array_equal(face.crop, upright_face.crop)


@pytest.mark.thorough
@pytest.mark.parametrize(("form", "orientation"), [("jpg", 1), ("jpg", 6), ("png", 1), ("png", 6), ("jp2", 1)])
def test_boxes_are_in_the_photographs_own_pixels_where_it_is_read_at_half_its_size(
    form: str, orientation: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those of more than 64 million pixels are, and JPEG 2000 of more than 16 million."""
    path, exif = tmp_path / f"large.{form}", Image.Exif()
    photo = load_image(PORTRAIT).crop((100, 0, 351, 241))
    exif[0x0112] = orientation
    (photo if orientation == 1 else photo.transpose(Image.Transpose.ROTATE_90)).save(path, exif=exif)
    (whole,) = align_faces(path)
    for module in (decode, pixels):
        monkeypatch.setattr(module, "WHOLE", 30_000)
    monkeypatch.setattr(decode, "_WHOLE_JPEG2000", 30_000)
    half = load_image(path)
    assert max(half.size) == 126
    for source in (path, np.asarray(half)):
        (face,) = align_faces(source)
        np.testing.assert_allclose(face.box, whole.box / (1 if source is path else 2), atol=4)
        assert face.angle == pytest.approx(whole.angle, abs=3)
    assert align_faces(half, lambda picture: ([], []))[0].box.max(axis=0).tolist() == [251, 241]
    drawn, there = draw_faces(half, [whole], [""]), replace(whole, box=whole.box / 2)
    expected = draw_faces(load_image(np.asarray(half)), [there], [""])
    np.testing.assert_array_equal(np.asarray(drawn), np.asarray(expected))


@pytest.mark.parametrize("given", ["mtcnn", 3, Path("detector.onnx")])
def test_what_finds_no_faces_is_refused_by_the_arguments_name(given: object) -> None:
    with pytest.raises(ArgumentError, match=r"detector=.* finds no faces: give what detectors\.load_detector"):
        align_faces(np.zeros((30, 30, 3), np.uint8), given)  # type: ignore[arg-type]


@pytest.mark.thorough
def test_a_face_cut_by_the_border_is_found_and_padded_with_the_border(
    detector: Detector, references: dict[Path, tuple[Image.Image, Face]]
) -> None:
    photo, whole = references[HOPPER]
    top = int(whole.box[:, 1].min() + 0.05 * np.ptp(whole.box[:, 1]))  # the forehead is gone
    (face,) = align_faces(photo.crop((0, top, photo.width, photo.height)), detector)
    assert face.found
    assert overlap(face.box + np.array([0, top]), whole.box, photo.size) >= 0.7
    assert (face.crop[:20].max(axis=(1, 2)) > 0).all()


@pytest.mark.thorough
@pytest.mark.parametrize(
    "photo",
    [
        np.zeros((1, 1, 3), np.uint8),
        np.zeros((10, 20000, 3), np.uint8),
        np.zeros((20000, 10, 3), np.uint8),
        np.zeros((300, 400, 3), np.uint8),
        np.full((19, 19, 3), 200, np.uint8),
        np.asarray(Image.linear_gradient("L").convert("RGB")),
    ],
    ids=lambda photo: "x".join(map(str, photo.shape[:2])),
)
def test_without_a_face_the_answer_is_the_whole_image_and_says_so(detector: Detector, photo: np.ndarray) -> None:
    (answer,) = align_faces(photo, detector)
    assert not answer.found
    assert answer.angle == answer.score == 0
    np.testing.assert_array_equal(answer.box[2], photo.shape[1::-1])
    np.testing.assert_array_equal(
        answer.crop, np.asarray(Image.fromarray(photo).resize((224, 224), Image.Resampling.BILINEAR))
    )


# --- the network ------------------------------------------------------------------------------------------------------


def ultraface_like(path: Path, last: int = 2) -> Path:
    """A network with UltraFace's interface and a known answer: each red cell of 8x8 pixels is a face 64 pixels large.

    The mean of red minus green over a cell, less a threshold, through a sigmoid, is the probability of its anchor; the
    anchors that belong to no cell get probability 0.
    """
    rows, columns = np.mgrid[:30, :40]
    x, y = (columns.ravel() * 8 + 4) / 320, (rows.ravel() * 8 + 4) / 240
    boxes = np.zeros((1, 4420, 4), np.float32)
    boxes[0, :1200] = np.c_[x - 32 / 320, y - 32 / 240, x + 32 / 320, y + 32 / 240]
    weight = np.zeros((1, 3, 8, 8), np.float32)
    weight[0, 0], weight[0, 1] = 20 / 64, -20 / 64
    arrays = {
        "weight": weight,
        "bias": np.array([-20], np.float32),
        "to_anchors": np.array([1, 1200, 1], np.int64),
        "no_cell": np.zeros((1, 3220, 1), np.float32),
        "one": np.ones(1, np.float32),
        "anchors": boxes,
        "same": np.zeros(1, np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["input", "weight", "bias"], ["cells"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Sigmoid", ["cells"], ["p_cells"]),
        helper.make_node("Reshape", ["p_cells", "to_anchors"], ["p_column"]),
        helper.make_node("Concat", ["p_column", "no_cell"], ["p"], axis=1),
        helper.make_node("Sub", ["one", "p"], ["background"]),
        helper.make_node("Concat", ["background", "p"][:last], ["scores"], axis=2),
        helper.make_node("Add", ["anchors", "same"], ["boxes"]),
    ]
    graph = helper.make_graph(
        nodes,
        "ultraface",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 240, 320])],
        [
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 4420, last]),
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [1, 4420, 4]),
        ],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)]), path)
    return path


@pytest.mark.parametrize("scale", [0.5, 1, 3])
def test_an_ultraface_network_finds_what_its_construction_says(tmp_path: Path, scale: float) -> None:
    picture = np.zeros((240, 320, 3), np.uint8)
    picture[80:88, 160:168] = picture[200:208, 40:48] = 255, 0, 0
    picture = np.asarray(
        Image.fromarray(picture).resize((int(320 * scale), int(240 * scale)), Image.Resampling.NEAREST)
    )
    boxes, scores = UltraFaceDetector(ultraface_like(tmp_path / "ultra.onnx"))(picture)
    expected = np.array([[132, 52, 196, 116], [12, 172, 76, 236]]) * scale
    np.testing.assert_allclose(boxes[np.argsort(boxes[:, 1])], expected, atol=1e-3)
    assert (scores > 0.7).all()


def test_an_ultraface_network_sees_pictures_in_their_proportions(tmp_path: Path) -> None:
    picture = np.zeros((240, 120, 3), np.uint8)
    picture[80:88, 80:88] = 255, 0, 0
    boxes, _ = UltraFaceDetector(ultraface_like(tmp_path / "ultra.onnx"))(picture)
    np.testing.assert_allclose(boxes, [[52, 52, 116, 116]], atol=1e-3)


def test_neighbouring_anchors_are_one_face(tmp_path: Path) -> None:
    picture = np.zeros((240, 320, 3), np.uint8)
    picture[80:96, 160:176] = 255, 0, 0  # four cells
    boxes, _ = UltraFaceDetector(ultraface_like(tmp_path / "ultra.onnx"))(picture)
    assert len(boxes) == 1


def test_another_network_is_no_face_detector(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModelError, match=r"other.onnx: not a face detector .*\[1, 4420, 1\]"):
        UltraFaceDetector(ultraface_like(tmp_path / "other.onnx", last=1))


# --- on the command line ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def group(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, np.ndarray]:
    """A photograph of two people, and where their faces are, about: [2, 2], the larger first."""
    photo = Image.new("RGB", (340, 180), (128, 128, 128))
    for path, left in ((PORTRAIT, 0), (HOPPER, 180)):
        person = load_image(path)
        person.thumbnail((180, 180))
        photo.paste(person, (left, 0))
    path = tmp_path_factory.mktemp("group") / "group.png"
    photo.save(path)
    return str(path), np.array([[180 + 264 * 0.3, 218 * 0.3], [224 * 180 / 512, 116 * 180 / 512]])


def test_align_writes_a_crop_for_each_face(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (50, 40), "teal").save(tmp_path / "empty.png")
    portrait = load_image(PORTRAIT)
    portrait.thumbnail((256, 256))
    portrait.save(tmp_path / "portrait.png")
    out = tmp_path / "crops" / "here"
    assert cli.main(["align", str(tmp_path / "*.png"), "-o", str(out)]) == 0
    empty, found = capsys.readouterr().out.splitlines()
    assert "no face found" in empty
    assert "1 of 1" in found
    assert sorted(path.name for path in out.iterdir()) == ["empty-1.png", "portrait-1.png"]
    (face,) = align_faces(portrait)
    np.testing.assert_array_equal(np.asarray(Image.open(out / "portrait-1.png")), face.crop)


def test_align_goes_on_after_a_file_that_is_no_image_and_does_not_overwrite(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "note.jpg").write_text("no picture")
    (tmp_path / "other").mkdir()
    for path in (tmp_path / "dot.png", tmp_path / "other" / "dot.bmp"):
        Image.new("RGB", (9, 9)).save(path)
    out = ["-o", str(tmp_path / "out")]
    assert cli.main(["align", str(tmp_path / "note.jpg"), str(tmp_path / "dot.png"), *out]) == 1
    assert "note.jpg: not an image" in capsys.readouterr().err
    assert (tmp_path / "out" / "dot-1.png").exists()
    twice = [str(tmp_path / "dot.png"), str(tmp_path / "other" / ".." / "dot.png")]
    assert cli.main(["align", *twice, *out]) == 2
    assert "would both be dot.png: name two folders" in capsys.readouterr().err
    assert cli.main(["align", str(tmp_path / "note.jpg"), *out]) == 2  # alone, it is a mistake like any other
    (line,) = capsys.readouterr().err.splitlines()
    assert "note.jpg: not an image" in line


@pytest.mark.thorough
def test_predict_answers_for_every_face_in_every_format(
    group: tuple[str, np.ndarray], capsys: pytest.CaptureFixture[str]
) -> None:
    photo, centres = group
    command = ["predict", photo, "--faces", "--model", "small"]
    assert cli.main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(", ")[0] for line in lines] == [f"{photo}: face 1 of 2", f"{photo}: face 2 of 2"]
    assert cli.main([*command, "--json"]) == 0
    (record,) = map(json.loads, capsys.readouterr().out.splitlines())
    np.testing.assert_allclose([np.mean(face["box"], axis=0) for face in record["faces"]], centres, atol=5)
    assert cli.main([*command, "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["face"], row["network"]) for row in rows] == [
        (number, network) for number in "12" for network in ("age-small", "gender-small")
    ]
    assert json.loads(rows[0]["box"]) == record["faces"][0]["box"]


@pytest.mark.thorough
def test_predict_answers_for_the_crop_that_align_makes(
    detector: Detector, references: dict[Path, tuple[Image.Image, Face]]
) -> None:
    photo, face = references[HOPPER]
    predictor = Predictor(["small"])
    (prediction,) = predictor.faces(photo, detector)
    assert prediction.face is not None
    np.testing.assert_array_equal(prediction.face.crop, face.crop)
    edge = round(224 * 0.4 / 1.8)
    bare = Image.fromarray(face.crop[edge : 224 - edge, edge : 224 - edge])  # the small networks know no margin
    assert prediction.answers == predictor(bare).answers


def test_an_image_counts_as_a_crop_without_faces(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["predict", str(PORTRAIT), "--model", "small", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert "faces" not in record
    assert record["answers"][0]["expected"] == Predictor(["small"])(load_image(PORTRAIT)).answers["age-small"].expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--draw", "out.jpg"], "--draw is for finding faces: add --faces"),
        (["--detector", "cascade"], "--detector is for finding faces: add --faces"),
        (["--min-size", "30"], "--min-size is for finding faces: add --faces"),
        (["--face", "2"], "--face is for finding faces: add --faces"),
        (["--faces", "--face", "0"], "--face 0: give all, largest, or a number"),
        (["--faces", "--face", "second"], "--face second: give all, largest, or a number"),
        (["--faces", "--min-size", "5"], "--min-size 5: the smallest face that can be found has 12 pixels"),
        (["--faces", "--min-size", "nan"], "--min-size nan: the smallest face"),
        ([str(HOPPER), "--faces", "--draw", "out.jpg"], "--draw out.jpg: one file for 2 photographs: name a folder"),
        (["--faces", "--detector", "ultraface-320"], "numpyvgg fetch ultraface-320"),
        (["--faces", "--detector", "nobody"], "nobody"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_options_that_make_no_sense_are_one_line(
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("NUMPYVGG_CACHE", str(tmp_path))
    assert cli.main(["predict", str(PORTRAIT), *arguments, "--model", "small"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


@needs_letters
def test_draw_marks_the_faces_and_nothing_else(group: tuple[str, np.ndarray], tmp_path: Path) -> None:
    photo, centres = group
    drawn = tmp_path / "drawn.png"
    assert cli.main(["predict", photo, "--faces", "--model", "age-small", "--draw", str(drawn)]) == 0
    picture = np.asarray(Image.open(drawn))
    assert picture.shape == (360, 680, 3)  # enlarged, for the letters' sake
    colored = (picture == BOX).all(axis=-1)
    for found, (x, y) in zip(align_faces(photo), centres * 2, strict=True):
        left, top = (found.box * 2).min(axis=0).astype(int) - 4
        right, bottom = (found.box * 2).max(axis=0).astype(int) + 4
        assert colored[top:bottom, left:right].any()
        assert not colored[int(y) - 15 : int(y) + 15, int(x) - 15 : int(x) + 15].any()
        colored[top:bottom, left:right] = False
    assert not colored.any()


@pytest.mark.parametrize("name", ["drawn.nothing", "missing/drawn.png"])
def test_a_drawing_that_cannot_be_written_is_one_line(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (30, 30)).save(tmp_path / "photo.png")
    command = [
        "predict",
        str(tmp_path / "photo.png"),
        "--faces",
        "--model",
        "age-small",
        "--draw",
        str(tmp_path / name),
    ]
    assert cli.main(command) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{name}: cannot be written" in line


@needs_letters
@pytest.mark.parametrize("size", [(1, 1), (40, 30), (20000, 10), (4000, 3000)], ids=str)
def test_letters_fit_on_photographs_of_any_size(size: tuple[int, int]) -> None:
    photo = Image.new("RGB", size, (0, 0, 255))
    corners = turned_square((size[0] / 2, size[1] / 2), min(size) / 2, 30)
    face = Face(np.zeros((224, 224, 3), np.uint8), 30, corners, 1)
    picture = np.asarray(draw_faces(photo, [face], ["100 years\nfemale"]))
    white = (picture == 255).all(axis=-1)
    rows = np.nonzero(white.any(axis=1))[0]
    if min(size) > 20:
        assert np.ptp(rows) >= 20  # two lines of letters, each at least 10 pixels high
        assert not white[[0, -1]].any()
        assert not white[:, [0, -1]].any()


def test_letters_of_one_size_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Pillow before 10.1 has them: a bitmap font, which does not take a size."""
    bitmap = ImageFont.load_default_imagefont()
    monkeypatch.setattr(ImageFont, "load_default", lambda: bitmap)
    photo = Image.new("RGB", (900, 700), "white")
    corners = turned_square((450, 300), 200, 10)
    face = Face(np.zeros((224, 224, 3), np.uint8), 10, corners, 1)
    drawn = np.asarray(draw_faces(photo, [face], ["36 years\nžena"]))
    sign = (drawn == 0).all(axis=-1)[420:]  # below the box
    assert 2 * 25 < np.ptp(np.nonzero(sign.any(axis=1))[0]) < 120  # two lines, of letters as high as elsewhere


def test_signs_of_neighbours_do_not_cover_each_other_nor_faces() -> None:
    photo = Image.new("RGB", (600, 400), "white")
    boxes = [turned_square((x, y), 60, 0) for x in (200, 270, 340) for y in (150, 240)]
    faces = [Face(np.zeros((224, 224, 3), np.uint8), 0, box, 1) for box in boxes]
    drawn = np.asarray(draw_faces(photo, faces, ["100 years\nfemale"] * 6))
    alone = [np.asarray(draw_faces(photo, [face], ["100 years\nfemale"])) for face in faces]
    signs = sum(int((one == 0).all(axis=-1).sum()) for one in alone)
    assert (drawn == 0).all(axis=-1).sum() > 0.9 * signs


@pytest.mark.parametrize(
    ("photographs", "crops", "drawings"),
    [
        (["a/x.jpg", "b/y.jpg"], ["x", "y"], ["x.jpg", "y.jpg"]),
        (["a/x.jpg", "b/x.jpg"], ["a/x", "b/x"], ["a/x.jpg", "b/x.jpg"]),
        (["a/x.jpg", "a/b/x.jpg", "a/y.jpg"], ["x", "b/x", "y"], ["x.jpg", "b/x.jpg", "y.jpg"]),
        (["a/x.jpg", "b/X.jpg"], ["a/x", "b/X"], ["a/x.jpg", "b/X.jpg"]),
        (["a/x.jpg", "a/x.bmp"], ["x.jpg", "x.bmp"], ["x.jpg", "x.bmp.png"]),
        (["a/x.jpg", "a/x.bmp", "b/x.jpg"], ["a/x.jpg", "a/x.bmp", "b/x.jpg"], ["a/x.jpg", "a/x.bmp.png", "b/x.jpg"]),
    ],
)
def test_photographs_of_one_name_have_results_of_their_own(
    photographs: list[str], crops: list[str], drawings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for photograph in photographs:
        Path(photograph).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 9)).save(photograph)
    assert cli.main(["align", *photographs, "-o", "crops"]) == 0
    assert {path.relative_to("crops") for path in Path("crops").rglob("*.png")} == {Path(f"{c}-1.png") for c in crops}
    assert cli.main(["predict", *photographs, "--model", "gender-small", "--faces", "--draw", "drawn"]) == 0
    assert {path.relative_to("drawn") for path in Path("drawn").rglob("*.*")} == {*map(Path, drawings)}


def test_drawings_of_many_photographs_go_to_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (60, 50), "teal").save(tmp_path / "a.png")
    Image.new("RGB", (50, 60), "teal").save(tmp_path / "b.gif")
    out = tmp_path / "drawn" / "here"
    command = ["predict", str(tmp_path / "a.png"), str(tmp_path / "b.gif"), "--faces", "--model", "age-small"]
    assert cli.main([*command, "--draw", str(out)]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["a.png", "b.gif.png"]
    assert Image.open(out / "a.png").size == (480, 400)
    assert cli.main([*command, "--draw", str(tmp_path)]) == 2  # over the photographs themselves
    assert "a.png" in capsys.readouterr().err


@pytest.mark.thorough
def test_one_face_can_be_chosen(group: tuple[str, np.ndarray], capsys: pytest.CaptureFixture[str]) -> None:
    photo, _ = group
    command = ["predict", photo, "--faces", "--model", "age-small"]
    assert cli.main(command) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert cli.main([*command, "--face", "largest"]) == 0
    assert capsys.readouterr().out.splitlines() == [first]
    assert cli.main([*command, "--face", "2"]) == 0
    assert capsys.readouterr().out.splitlines() == [second]
    assert cli.main([*command, "--face", "3"]) == 2  # the only photograph: one line, as any mistake
    assert f"{photo}: has 2 faces: there is no face 3" in capsys.readouterr().err


def test_a_photograph_without_a_face_says_so_in_the_drawing() -> None:
    (prediction,) = Predictor(["small"]).faces(Image.new("RGB", (100, 100)))
    assert label(prediction).startswith("no face found")


# --- what can be missing ----------------------------------------------------------------------------------------------


def test_opencv_5_and_no_opencv_are_told_how_to_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    class OpenCV5:
        __version__ = "5.0.0"

    monkeypatch.setitem(__import__("sys").modules, "cv2", OpenCV5())
    with pytest.raises(MissingExtraError, match=r"OpenCV 5.0.0 .*pip install 'opencv-python-headless<5'"):
        CascadeDetector()
    monkeypatch.setitem(__import__("sys").modules, "cv2", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'opencv-python-headless<5'"):
        CascadeDetector()


def test_a_file_that_is_no_image_is_an_image_error(tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    path.write_text("no picture")
    with pytest.raises(ImageError, match=r"note.txt"):
        align_faces(path, RedCorner())
