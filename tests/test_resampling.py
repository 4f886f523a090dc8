"""Where Pillow is not installed, photographs come out as with it: read, resized, turned, searched for faces."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from conftest import PORTRAIT
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import numpyvgg
from numpyvgg import ImageError, MissingExtraError, cli
from numpyvgg.photo import images, pillow, resampling
from numpyvgg.photo.faces.search import align_faces
from numpyvgg.photo.images import load_image, to_tensor

SIDES = st.integers(1, 90)


class NotInstalled:
    """Pillow is not installed inside of this context."""

    def __enter__(self) -> None:
        self._patch = pytest.MonkeyPatch()
        for module in (resampling, images, pillow):
            self._patch.setattr(module, "pillow", lambda: None)

    def __exit__(self, *error: object) -> None:
        self._patch.undo()


@pytest.fixture
def no_pillow():
    with NotInstalled():
        yield


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def without_pillow(function, *arguments):
    with NotInstalled():
        return function(*arguments)


# ---------------------------------------------------------------------- pixels


@given(SIDES, SIDES, SIDES, SIDES)
@settings(max_examples=100, deadline=None)
def test_resized_pixels_are_pillows(height, width, rows, columns):
    """Rows first, as Pillow does before version 13; newer ones begin with the columns at times, and are off by one."""
    pixels = noise(height, width)
    ours = without_pillow(resampling.resized, pixels, (columns, rows))
    image = Image.fromarray(pixels)
    step = image.resize((columns, height), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(ours, step.resize((columns, rows), Image.Resampling.BILINEAR))
    direct = np.asarray(image.resize((columns, rows), Image.Resampling.BILINEAR))
    assert abs(ours.astype(int) - direct).max() <= 1


@given(SIDES, SIDES, st.integers(1, 12), st.integers(0, 5))
@settings(max_examples=100, deadline=None)
def test_means_of_blocks_are_pillows(height, width, factor, edge):
    pixels = noise(height, width)
    image = Image.fromarray(pixels)
    box = min(edge, width - 1), min(edge, height - 1), width, height
    ours = without_pillow(resampling.reduced, pixels, box, factor)
    np.testing.assert_array_equal(ours, image.crop(box).reduce(factor))
    np.testing.assert_array_equal(ours, resampling.reduced(image, box, factor))
    np.testing.assert_array_equal(ours, resampling.reduced(pixels, box, factor))


@pytest.mark.parametrize(("height", "width"), [(512, 640), (640, 512), (1000, 1003), (90, 700), (64, 64)])
def test_means_of_blocks_come_first_as_with_pillow(height, width):
    pixels = noise(height, width)
    size = tuple(side * 64 // max(height, width) for side in (width, height))
    ours = without_pillow(resampling.resized, pixels, size, 2.0)
    right = Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    assert abs(ours.astype(int) - np.asarray(right)).max() <= 1


@given(SIDES, SIDES, st.floats(-180, 180), st.floats(0.2, 4), st.floats(-30, 90), st.floats(-30, 90))
@settings(max_examples=100, deadline=None)
def test_turned_pixels_are_pillows(height, width, angle, scale, x, y):
    """To one level where a compiler rounds a product and a sum together."""
    pixels = noise(height, width)
    cos, sin = scale * math.cos(math.radians(angle)), scale * math.sin(math.radians(angle))
    matrix = (cos, sin, x, -sin, cos, y)
    ours = without_pillow(resampling.transformed, pixels, (40, 30), matrix)
    right = Image.fromarray(pixels).transform((40, 30), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)
    apart = abs(ours.astype(int) - np.asarray(right))
    assert apart.max() <= 1
    assert (apart > 0).mean() < 0.001


# ---------------------------------------------------------------------- faces and answers


def test_faces_are_found_and_answered_alike():
    pixels, predictor = np.asarray(Image.open(PORTRAIT)), numpyvgg.Predictor("small")
    (ours,), (right,) = without_pillow(align_faces, pixels), align_faces(pixels)
    np.testing.assert_allclose(ours.box, right.box, atol=0.01)
    assert abs(ours.crop.astype(int) - right.crop).max() <= 1
    answers = without_pillow(predictor.faces, pixels, None, [ours])
    assert str(answers[0]) == str(predictor.faces(pixels, faces=[right])[0])


def test_the_whole_photograph_is_one_tensor():
    pixels = np.asarray(Image.open(PORTRAIT))
    ours, right = without_pillow(lambda: to_tensor(load_image(pixels))), to_tensor(load_image(pixels))
    np.testing.assert_array_equal(ours, right)


# ---------------------------------------------------------------------- files


def pnm(magic: str, white: int, comment: str = "") -> bytes:
    """A photograph of 5 x 4 pixels; the header is followed by text or by numbers of one or two bytes."""
    depth = 3 if magic in ("P3", "P6") else 1
    numbers = np.random.default_rng(0).integers(0, white + 1, 20 * depth)
    head = f"{magic}\n{comment}5 4\n{white}\n".encode()
    if magic in ("P2", "P3"):
        return head + " ".join(map(str, numbers)).encode() + b"\n"
    return head + numbers.astype(">u2" if white > 255 else np.uint8).tobytes()


@pytest.mark.parametrize("comment", ["", "# by hand\n# twice\n"], ids=["plain", "comment"])
@pytest.mark.parametrize("white", [255, 100, 65535, 1023])
@pytest.mark.parametrize("magic", ["P2", "P3", "P5", "P6"])
def test_pnm_is_read_as_pillow_reads_it(magic, white, comment, tmp_path):
    data = pnm(magic, white, comment)
    path = tmp_path / "photo.pnm"
    path.write_bytes(data)
    right = np.asarray(load_image(data)).astype(int)
    for source in (data, path, io.BytesIO(data)):
        ours = without_pillow(load_image, source)
        assert ours.dtype == np.uint8
        assert abs(ours - right).max() <= (0 if white == 255 else 1)


@pytest.mark.parametrize("pixels", [noise(3, 4), noise(3, 4)[:, :, 0], np.dstack([noise(3, 4), np.full((3, 4), 255)])])
def test_arrays_are_taken_alike(pixels):
    pixels = pixels.astype(np.uint8)
    np.testing.assert_array_equal(without_pillow(load_image, pixels), np.asarray(load_image(pixels)))


@pytest.mark.parametrize(
    ("source", "error", "reason"),
    [
        (PORTRAIT.read_bytes(), MissingExtraError, "JPEG needs Pillow: pip install pillow"),
        (b"P4\n5 4\n" + bytes(4), MissingExtraError, "PPM needs Pillow"),
        (b"Dear all", ImageError, "not an image of a kind"),
        (pnm("P6", 255)[:-1], ImageError, "cut off"),
        (pnm("P3", 255)[:-9], ImageError, "cut off"),
        (b"P3\n1 1\n255\n1 2 x\n", ImageError, "something else than numbers"),
        (b"P6\n99999 99999\n255\n", ImageError, "99999 x 99999 pixels"),
        (b"P6\n1 1\n0\n   ", ImageError, "values up to 0"),
        (np.zeros((2, 2, 4), np.uint8), MissingExtraError, "transparent pixels needs Pillow"),
        (7, ImageError, "give a path, bytes"),
    ],
)
def test_what_cannot_be_read_without_pillow_is_said(no_pillow, source, error, reason):
    with pytest.raises(error, match=reason):
        load_image(source)


@pytest.mark.usefixtures("no_pillow")
@pytest.mark.parametrize(
    "command", [["predict", "{photo}", "--faces", "--draw", "out.png"], ["align", "{photo}", "-o", "out"]]
)
def test_commands_that_write_pictures_name_pillow(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photo.ppm").write_bytes(pnm("P6", 255))
    assert cli.main([word.format(photo="photo.ppm") for word in command]) == 2
    assert "needs Pillow: pip install pillow" in capsys.readouterr().err
