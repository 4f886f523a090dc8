"""The bundled detector: its networks against ONNX Runtime, its steps against their definitions."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import numpyvgg
from numpyvgg.kernels.threads import Workers
from numpyvgg.photo.faces.area import Picture
from numpyvgg.photo.faces.geometry import from_landmarks, turn
from numpyvgg.photo.faces.mtcnn import BLOCK, MtcnnDetector, squares, suppress
from numpyvgg.photo.faces.networks import Layer, PNet, WindowNet, pool
from numpyvgg.photo.images import load_image
from numpyvgg.zoo import models_folder

PORTRAIT = Path(numpyvgg.__file__).parent / "data" / "eileen_collins.jpg"


def with_all_outputs(path: Path) -> tuple[bytes, list[str]]:
    """The network with every tensor as an output."""
    model = onnx.load(path)
    known = {output.name for output in model.graph.output}
    names = [name for node in model.graph.node for name in node.output]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in known)
    return model.SerializeToString(), names


@pytest.mark.parametrize(
    ("name", "size"),
    [("pnet", (12, 12)), ("pnet", (61, 86)), ("pnet", (307, 204)), ("rnet", (24, 24)), ("onet", (48, 48))],
)
def test_every_tensor_is_that_of_onnx_runtime(name: str, size: tuple[int, int]) -> None:
    pixels = np.asarray(load_image(PORTRAIT).crop((170, 50, 282, 162)).resize(size[::-1]), np.float32)
    noise = np.random.default_rng(0).uniform(-1, 1, (2, 3, *size))
    x = np.concatenate([(pixels.transpose(2, 0, 1)[None] - 127.5) / 128, noise]).astype(np.float32)
    model, names = with_all_outputs(models_folder() / f"mtcnn-{name}.onnx")
    expected = onnxruntime.InferenceSession(model).run(names, {"input": x})
    for tensor, ours, theirs in zip(
        names, numpyvgg.InferenceSession(model).run(names, {"input": x}), expected, strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5 * np.abs(theirs).max(), err_msg=tensor)


@pytest.fixture(params=[True, False], ids=["BLAS", "no BLAS"])
def products(request, monkeypatch) -> None:
    """Where NumPy's products are a tuned BLAS's, and where they are not."""
    monkeypatch.setattr("numpyvgg.photo.faces.networks.blas_is_tuned", lambda: request.param)


@pytest.mark.usefixtures("products")
@pytest.mark.parametrize("size", [(12, 12), (13, 12), (12, 15), (61, 86), (62, 87), (47, 46), (140, 90)], ids=str)
def test_pnet_in_strips_is_the_network_in_its_file(size: tuple[int, int]) -> None:
    x = np.random.default_rng(2).uniform(-1, 1, (3, *size)).astype(np.float32)
    path = models_folder() / "mtcnn-pnet.onnx"
    offsets, probabilities = onnxruntime.InferenceSession(path).run(["offsets", "probabilities"], {"input": x[None]})
    ours, (face, moves) = PNet(path, Workers(2))([x[:, ::-1], x])  # several pictures, and views, at once
    assert ours[0].shape == face.shape
    np.testing.assert_allclose(face, probabilities[0, 1], rtol=0, atol=1e-5)
    np.testing.assert_allclose(moves, offsets[0], rtol=0, atol=1e-5 * np.abs(offsets).max())


@pytest.mark.usefixtures("products")
@pytest.mark.parametrize("name", ["rnet", "onet"])
@pytest.mark.parametrize("count", [0, 1, 5, 70])
def test_windows_in_blocks_are_the_network_in_its_file(name: str, count: int) -> None:
    detector = MtcnnDetector()
    network: WindowNet = getattr(detector, f"_{name}")
    x = np.random.default_rng(3).uniform(-1, 1, (count, 3, network.side, network.side)).astype(np.float32)
    innermost = np.ascontiguousarray(x.transpose(1, 2, 3, 0))
    face, moves = network(lambda some: innermost[..., some], count)
    outputs = onnxruntime.InferenceSession(models_folder() / f"mtcnn-{name}.onnx").run(None, {"input": x})
    *expected, probabilities = outputs
    np.testing.assert_allclose(face, probabilities[:, 1], rtol=0, atol=1e-5)
    np.testing.assert_allclose(moves, np.concatenate(expected, axis=1), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["pnet", "rnet", "onet"])
def test_every_layer_that_is_written_out_is_that_of_onnx_runtime(name: str) -> None:
    detector, size = MtcnnDetector(), {"pnet": 47, "rnet": 24, "onet": 48}[name]
    x = np.random.default_rng(4).uniform(-1, 1, (3, 3, size, size)).astype(np.float32)
    model, names = with_all_outputs(models_folder() / f"mtcnn-{name}.onnx")
    theirs = dict(zip(names, onnxruntime.InferenceSession(model).run(names, {"input": x}), strict=True))
    layers = getattr(detector, f"_{name}")._layers
    if name == "pnet":
        layers = list(zip(layers, (2, 0, 0), strict=True))
    y = x.transpose(1, 2, 3, 0)
    for number, (layer, kernel) in enumerate(layers, start=1):
        for tensor, step in ((f"prelu{number}", layer), (f"pool{number}", lambda y, k=kernel: pool(y, k))):
            if tensor in theirs:
                y = step(y)
                expected = theirs[tensor].reshape(len(x), *y.shape[:3]).transpose(1, 2, 3, 0)
                np.testing.assert_allclose(y, expected, rtol=0, atol=1e-5 * np.abs(expected).max(), err_msg=tensor)


@pytest.mark.parametrize("slope", [-1.3, 0.0, 0.4, 1.0, 1.7])
def test_a_prelu_of_any_slope_is_its_definition(slope: float) -> None:
    weight, bias = np.ones((1, 1, 1, 1), np.float32), np.zeros(1, np.float32)
    layer = Layer({"conv1_W": weight, "conv1_B": bias, "prelu1_slope": np.full((1, 1, 1), slope, np.float32)}, 1)
    x = np.linspace(-2, 2, 20, dtype=np.float32).reshape(1, 4, 5, 1)
    np.testing.assert_array_equal(layer(x), np.where(x > 0, x, np.float32(slope) * x))


# --- the mean of the area, against OpenCV's INTER_AREA ----------------------------------------------------------------


@settings(deadline=None, max_examples=25)
@given(st.integers(12, 90), st.integers(12, 90), st.floats(0.05, 1))
def test_a_shrunk_picture_is_opencvs(height: int, width: int, scale: float) -> None:
    pixels = np.random.default_rng(height * width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    ours = Picture(pixels).shrunk(scale) * 128 + 127.5  # [3, h, w]
    theirs = cv2.resize(pixels.astype(float), ours.shape[:0:-1], interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(ours, np.rint(ours))  # whole steps of brightness
    np.testing.assert_allclose(ours.transpose(1, 2, 0), theirs, atol=0.501)


@settings(deadline=None, max_examples=50)
@given(st.integers(-30, 60), st.integers(-30, 60), st.integers(1, 80), st.sampled_from([24, 48]))
def test_a_crop_is_opencvs_on_black(left: int, top: int, width: int, side: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (57, 43, 3), dtype=np.uint8)
    canvas = np.zeros((200, 200, 3))
    canvas[50:107, 50:93] = pixels
    place = canvas[50 + top : 50 + top + width, 50 + left : 50 + left + width]
    theirs = cv2.resize(place, (side, side), interpolation=cv2.INTER_AREA).transpose(2, 0, 1)
    box = np.array([[left, top, left + width, top + width]], float)
    ours = Picture(pixels).crops(box, np.zeros(1, int), side)[..., 0] * 128 + 127.5
    np.testing.assert_allclose(ours, theirs, atol=1e-3)


# --- boxes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("of_smaller", [False, True])
def test_suppression_in_blocks_keeps_what_its_definition_keeps_of_many(of_smaller: bool) -> None:
    rng = np.random.default_rng(5)
    corners = rng.integers(0, 300, (2 * BLOCK + 50, 2))
    boxes = np.concatenate([corners, corners + rng.integers(20, 60, corners.shape)], axis=1).astype(float)
    scores = rng.permutation(len(boxes)) / len(boxes)
    expected: list[int] = []
    for place in np.argsort(-scores).tolist():
        a, others = boxes[place], boxes[expected].reshape(-1, 4)
        sides = np.minimum(a[2:], others[:, 2:]) - np.maximum(a[:2], others[:, :2])
        shared = sides.clip(0).prod(axis=1)
        area, areas = np.prod(a[2:] - a[:2]), np.prod(others[:, 2:] - others[:, :2], axis=1)
        whole = np.minimum(area, areas) if of_smaller else area + areas - shared
        if (shared <= 0.5 * whole).all():
            expected.append(place)
    assert suppress(boxes, scores, 0.5, of_smaller).tolist() == expected
    assert len(expected) > BLOCK or of_smaller  # those of one block are held against those of the blocks before


@pytest.mark.parametrize("of_smaller", [False, True])
def test_suppression_keeps_what_its_definition_keeps(of_smaller: bool) -> None:
    rng = np.random.default_rng(1)
    corners = rng.integers(0, 60, (150, 2))
    boxes = np.concatenate([corners, corners + rng.integers(1, 40, (150, 2))], axis=1).astype(float)
    scores = rng.permutation(150) / 150

    def share(a: np.ndarray, b: np.ndarray) -> float:
        pixels = np.zeros((2, 100, 100), bool)
        for mask, (left, top, right, bottom) in zip(pixels, (a.astype(int), b.astype(int)), strict=True):
            mask[top:bottom, left:right] = True
        whole = min(pixels[0].sum(), pixels[1].sum()) if of_smaller else (pixels[0] | pixels[1]).sum()
        return (pixels[0] & pixels[1]).sum() / whole

    expected: list[int] = []
    for place in np.argsort(-scores):
        if all(share(boxes[place], boxes[other]) <= 0.5 for other in expected):
            expected.append(int(place))
    assert suppress(boxes, scores, 0.5, of_smaller).tolist() == expected


def test_squares_have_the_longer_side_and_the_same_centre() -> None:
    boxes = np.array([[10.0, 20, 30, 60], [-9, -5, 12, 4], [3, 3, 3, 3]])
    found = squares(boxes)
    np.testing.assert_allclose(found[:2, 2:] - found[:2, :2], [[40, 40], [21, 21]], atol=1)
    np.testing.assert_allclose(found[:, :2] + found[:, 2:], boxes[:, :2] + boxes[:, 2:], atol=2)
    assert (found[:, 2:] > found[:, :2]).all()  # an empty box would divide by zero


@pytest.mark.parametrize("angle", [-170, -45, 0, 30, 90])
def test_landmarks_of_a_turned_face_tell_its_angle_and_its_box(angle: float) -> None:
    upright = np.array([[-20.0, -20], [20, -20], [3, 0], [-15, 20], [15, 20]])
    face = from_landmarks(upright @ turn(angle) + (100, 80), 0.9)
    plain = from_landmarks(upright, 0.9)
    assert face.angle == pytest.approx(angle)
    assert plain.angle == pytest.approx(0)
    np.testing.assert_allclose(face.extent, plain.extent)
    np.testing.assert_allclose(face.centre, plain.centre @ turn(angle) + (100, 80))
    assert plain.centre[0] == pytest.approx(0)
    assert plain.centre[1] < 0  # the box reaches over the forehead


# --- the whole detector -----------------------------------------------------------------------------------------------


def test_landmarks_are_the_eyes_that_were_marked_by_hand() -> None:
    (face,) = MtcnnDetector().find(np.asarray(load_image(PORTRAIT)), quarters=(0,)).landmarks
    np.testing.assert_allclose(face[:2], [[202.5, 101], [246.8, 103.3]], atol=4)


@pytest.mark.parametrize("quarter", [1, 2, 3])
def test_a_turned_picture_has_the_same_faces_at_the_turned_places(quarter: int) -> None:
    detector = MtcnnDetector()
    photo = np.asarray(load_image(PORTRAIT).resize((300, 300)).crop((40, 0, 220, 160)))  # [160, 180, 3]
    plain = detector.find(photo, quarters=(0,))
    there = detector.find(np.rot90(photo, -quarter), quarters=(quarter,))  # turned back, the same pixels
    assert len(plain.boxes) == 1
    np.testing.assert_array_equal(there.scores, plain.scores)
    (x, y), (width, height) = np.moveaxis(plain.landmarks, -1, 0), photo.shape[1::-1]
    expected = {1: (height - y, x), 2: (width - x, height - y), 3: (y, width - x)}[quarter]
    np.testing.assert_allclose(there.landmarks, np.stack(expected, axis=-1), atol=1e-4)


@pytest.mark.parametrize("shape", [(1, 1), (11, 500), (12, 12), (500, 12), (64, 64)])
def test_nothing_is_found_where_nothing_is(shape: tuple[int, int]) -> None:
    found = MtcnnDetector().find(np.full((*shape, 3), 90, np.uint8))
    assert found.boxes.shape == (0, 4)
    assert found.scores.shape == (0,)
    assert found.landmarks.shape == (0, 5, 2)


def test_the_smallest_face_is_a_matter_of_min_face() -> None:
    small = load_image(PORTRAIT).resize((128, 128), Image.Resampling.LANCZOS)  # the face is 28 pixels high
    assert len(MtcnnDetector(min_face=20).find(np.asarray(small), quarters=(0,)).boxes) == 1
    assert len(MtcnnDetector(min_face=60).find(np.asarray(small), quarters=(0,)).boxes) == 0
