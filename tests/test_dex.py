"""What goes in and what comes out: pixels against Pillow and arithmetic, ages against the formula."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from numpyvgg.errors import ArgumentError, ImageError, NumpyVggError
from numpyvgg.photo.answers import Age, Gender, Ranking, answer
from numpyvgg.photo.images import load_image, to_tensor
from numpyvgg.zoo.labels import GENDER, ages

COLOURS = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)


def saved(tmp_path, image: Image.Image, name: str, **options):
    path = tmp_path / name
    image.save(path, **options)
    return path


def test_the_tensor_is_bgr_between_0_and_255_channels_first():
    red = Image.new("RGB", (50, 80), (255, 128, 0))
    x = to_tensor(red)
    assert (x.shape, x.dtype) == ((1, 3, 224, 224), np.float32)
    assert [x[0, c].min() for c in range(3)] == [x[0, c].max() for c in range(3)] == [0, 128, 255]
    assert to_tensor(red, channels="rgb")[0, :, 0, 0].tolist() == [255, 128, 0]


def test_an_image_of_the_networks_size_goes_in_pixel_by_pixel():
    pixels = np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)
    np.testing.assert_array_equal(to_tensor(load_image(pixels))[0].transpose(1, 2, 0)[:, :, ::-1], pixels)


def test_shrinking_averages_all_pixels_that_fall_together():
    stripes = np.zeros((448, 448), np.uint8)
    stripes[:, ::2] = 200
    assert abs(to_tensor(load_image(stripes))[0, :, 10:-10, 10:-10] - 100).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientations_come_out_upright(orientation, tmp_path):
    upright = Image.fromarray(COLOURS)
    # How a camera held the other way stored it: the inverse of what a viewer has to do (EXIF 2.32, tag 0x0112).
    store = {
        1: [], 2: ["FLIP_LEFT_RIGHT"], 3: ["ROTATE_180"], 4: ["FLIP_TOP_BOTTOM"], 5: ["TRANSPOSE"],
        6: ["ROTATE_90"], 7: ["TRANSVERSE"], 8: ["ROTATE_270"],
    }  # fmt: skip
    stored = upright
    for step in store[orientation]:
        stored = stored.transpose(Image.Transpose[step])
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path, stored, "photo.png", exif=exif)
    np.testing.assert_array_equal(np.asarray(load_image(path)), COLOURS)


def test_grey_palette_and_16_bit_images_keep_their_colours(tmp_path):
    grey = Image.fromarray(COLOURS[:, :, 0])
    np.testing.assert_array_equal(np.asarray(load_image(saved(tmp_path, grey, "grey.png")))[:, :, 1], COLOURS[:, :, 0])
    palette = Image.fromarray(COLOURS).quantize(256)
    np.testing.assert_array_equal(
        np.asarray(load_image(saved(tmp_path, palette, "palette.png"))), np.asarray(palette.convert("RGB"))
    )
    deep = Image.fromarray(COLOURS[:, :, 0].astype(np.uint16) * 257)
    for name in ("deep.png", "deep.tif"):
        np.testing.assert_array_equal(np.asarray(load_image(saved(tmp_path, deep, name)))[:, :, 2], COLOURS[:, :, 0])


def test_what_is_transparent_shows_white(tmp_path):
    alpha = np.zeros((6, 9, 1), np.uint8)
    alpha[:3] = 255
    path = saved(tmp_path, Image.fromarray(np.concatenate([COLOURS, alpha], axis=2)), "alpha.png")
    pixels = np.asarray(load_image(path))
    np.testing.assert_array_equal(pixels[:3], COLOURS[:3])
    assert (pixels[3:] == 255).all()


def test_cmyk_comes_out_as_pillow_converts_it(tmp_path):
    path = saved(tmp_path, Image.fromarray(COLOURS).convert("CMYK"), "print.jpg")
    np.testing.assert_array_equal(np.asarray(load_image(path)), np.asarray(Image.open(path).convert("RGB")))


def test_of_an_animation_the_first_frame_counts(tmp_path):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    path = saved(tmp_path, frames[0], "film.gif", save_all=True, append_images=frames[1:])
    assert np.asarray(load_image(path))[0, 0].tolist() == [255, 0, 0]


def test_arrays_and_pillow_images_are_taken_as_they_are():
    np.testing.assert_array_equal(np.asarray(load_image(COLOURS)), COLOURS)
    np.testing.assert_array_equal(np.asarray(load_image(Image.fromarray(COLOURS))), COLOURS)


def jpeg() -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.tile(COLOURS, (20, 20, 1))).save(file, "JPEG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [("text.jpg", b"not an image"), ("empty.png", b""), ("cut.jpg", jpeg()[:500]), ("head.png", b"\x89PNG\r\n\x1a\n")],
)
def test_a_file_that_cannot_be_decoded_is_an_image_error_that_names_it(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ImageError, match=name):
        load_image(tmp_path / name)


@pytest.mark.parametrize("name", ["missing.jpg", ".", "nul\0.jpg"])
def test_what_is_no_file_is_an_image_error(name, tmp_path):
    with pytest.raises(ImageError):
        load_image(f"{tmp_path}/{name}")


@pytest.mark.parametrize(
    "pixels", [COLOURS.astype(np.float32), COLOURS[None], COLOURS[:, :, :2], COLOURS[:0]], ids=lambda x: str(x.shape)
)
def test_arrays_that_are_no_photographs_are_refused(pixels):
    with pytest.raises(ImageError):
        load_image(pixels)


def test_floating_point_images_are_refused_with_the_mend(tmp_path):
    path = saved(tmp_path, Image.fromarray(COLOURS[:, :, 0].astype(np.float32)), "float.tif")
    with pytest.raises(ImageError, match="convert it to 8 or 16 bits"):
        load_image(path)


def test_a_wrong_channel_order_is_refused():
    with pytest.raises(ArgumentError, match="'bgr' and 'rgb'"):
        to_tensor(load_image(COLOURS), channels="brg")


def test_the_smallest_and_the_longest_image_become_tensors():
    for size in ((1, 1), (20000, 10)):
        assert (to_tensor(Image.new("RGB", size, "white")) == 255).all()


# ---------------------------------------------------------------------- answers


def test_an_age_is_the_expected_value_not_the_most_probable_class():
    p = np.zeros(101, np.float32)
    p[[20, 50]] = [0.6, 0.4]
    given = answer(p, ages(101))
    assert isinstance(given, Age)
    assert given.most_probable == 20
    assert given.expected == pytest.approx(0.6 * 20 + 0.4 * 50)
    assert given.standard_deviation == pytest.approx(30 * (0.6 * 0.4) ** 0.5)  # of a two-point distribution


def test_a_certain_age_has_no_spread():
    given = answer(np.eye(101)[37], ages(101))
    assert (given.expected, given.standard_deviation, given.most_probable) == (37, 0, 37)


@pytest.mark.parametrize(("p", "label"), [([0.9, 0.1], "female"), ([0.2, 0.8], "male")])
def test_class_0_is_female_and_class_1_male(p, label):
    given = answer(np.array(p), GENDER)
    assert isinstance(given, Gender)
    assert (given.label, given.probability) == (label, max(p))


def test_other_networks_get_a_class_number():
    assert answer(np.eye(1000)[7]) == Ranking(7, 1.0, np.eye(1000)[7], "class 7")


def test_every_error_of_the_package_is_a_numpyvgg_error():
    assert issubclass(ImageError, NumpyVggError)
