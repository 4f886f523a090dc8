"""Photographs as people have them: every awkward file of a public report gives the right picture, or its mend.

The files in tests/data/photographs were rebuilt from such reports; each shows `ref.png`. The right picture is told by
OpenCV, by tifffile, or by the numbers that were written into the file.
"""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import textwrap
import warnings
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from awkward_photographs import bmp32, colour_tiff, exif, grey_tiff, jpeg_with, png, png_chunk, tga, tiff, tiff_page
from conftest import PORTRAIT
from PIL import Image

from numpyvgg import ImageError, predict
from numpyvgg.photo import decode
from numpyvgg.photo.formats import identify
from numpyvgg.photo.images import load_image

CASES = Path(__file__).parent / "data" / "photographs"
REFERENCE = cv2.imread(str(CASES / "ref.png"))[:, :, ::-1]
GREY = cv2.cvtColor(REFERENCE, cv2.COLOR_RGB2GRAY)
PHOTO = Image.open(PORTRAIT).convert("RGB").resize((96, 64))
PIXELS = np.asarray(PHOTO)


def shown(source) -> np.ndarray:
    """The pixels that `load_image` gives, without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return np.asarray(load_image(source))


def difference(pixels: np.ndarray, reference: np.ndarray) -> float:
    assert pixels.shape == reference.shape
    return float(abs(pixels.astype(int) - reference).mean())


def opencv(data: bytes, flags: int = cv2.IMREAD_COLOR) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(data, np.uint8), flags)[:, :, ::-1]


# ---------------------------------------------------------------------- files that were rebuilt from reports


@pytest.mark.parametrize(
    ("name", "largest"),
    [
        ("bmp32_bitfields_alpha0.bmp", 0),
        ("tiff_rgba_noextra.tif", 0),
        ("tga32_attr0.tga", 0),
        ("tiff_reduced_page_first.tif", 0),
        ("png_big_itxt.png", 0),
        ("png_bad_text_crc.png", 0),
        ("exif_ifd0_zero.jpg", 1.6),
        ("jpeg_no_eoi.jpg", 1.6),
        ("IMG_0001.HEIC", 3),
        ("lab.tif", 0.6),
    ],
)
def test_a_file_of_a_report_shows_the_photograph(name, largest):
    assert difference(shown(CASES / name), REFERENCE) <= largest


@pytest.mark.parametrize(
    ("name", "largest"), [("tiff12_gray.tif", 0.1), ("tiff16_gray_signed.tif", 0.1), ("tiff32_gray_uint.tif", 0.7)]
)
def test_a_grey_file_of_a_report_shows_the_photograph(name, largest):
    assert difference(shown(CASES / name)[:, :, 1], GREY) <= largest


def test_profiles_of_colour_are_left_out_as_opencv_leaves_them_out():
    np.testing.assert_array_equal(shown(CASES / "icc_swapped.png"), opencv((CASES / "icc_swapped.png").read_bytes()))


def test_heic_is_known_by_its_bytes_whatever_its_name(tmp_path):
    (tmp_path / "photo.jpg").write_bytes((CASES / "IMG_0001.HEIC").read_bytes())
    np.testing.assert_array_equal(shown(tmp_path / "photo.jpg"), shown(CASES / "IMG_0001.HEIC"))


def test_a_raw_file_is_refused_by_name(tmp_path):
    with pytest.raises(ImageError, match=r"raw_like_thumbnail_first\.nef: a camera's raw file: develop it first"):
        load_image(CASES / "raw_like_thumbnail_first.nef")
    unnamed = tmp_path / "photo.tif"
    unnamed.write_bytes((CASES / "raw_like_thumbnail_first.nef").read_bytes())
    with pytest.raises(ImageError, match="a raw file, or one of which only a thumbnail can be read"):
        load_image(unnamed)


# ---------------------------------------------------------------------- TIFF by its tags


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("deflate", [False, True])
@pytest.mark.parametrize(
    ("bits", "signed", "white_is_zero"),
    [(8, False, False), (8, False, True), (8, True, False), (12, False, False), (16, False, False), (16, False, True),
     (16, True, False), (32, False, False), (32, True, False)],
)  # fmt: skip
def test_grey_tiffs_are_read_by_their_tags(bits, signed, white_is_zero, deflate, order, tmp_path):
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    values = np.random.default_rng(bits).integers(low, high, (20, 30), np.int64, endpoint=True)
    values[0, :2] = low, high
    path = tmp_path / "deep.tif"
    path.write_bytes(grey_tiff(values, bits, signed, white_is_zero, deflate, order))
    if order == ">" and (bits, signed, white_is_zero) in ((12, False, False), (16, False, True), (32, False, False)):
        with pytest.raises(ImageError, match="unknown pixel mode; save it as PNG or JPEG"):  # not Pillow's either
            load_image(path)
        return
    if bits != 12 and not deflate:  # for these tifffile needs another package
        np.testing.assert_array_equal(tifffile.imread(path), values)
    share = (values - low) / (high - low)
    right = np.rint(255 * (1 - share if white_is_zero else share))
    assert abs(shown(path)[:, :, 0] - right).max() <= 1
    assert difference(shown(path)[:, :, 0], right) <= 0.01
    np.testing.assert_array_equal(shown(Image.open(path)), shown(path))  # opened by Pillow before


def test_a_tiff_of_a_kind_that_is_not_decoded_names_the_mend(tmp_path):
    values = np.zeros((4, 4), np.int64)
    path = tmp_path / "odd.tif"
    path.write_bytes(grey_tiff(values, 32, white_is_zero=True))
    with pytest.raises(ImageError, match=r"odd\.tif: cannot be read: .*; save it as PNG or JPEG"):
        load_image(path)


def test_integers_without_a_file_that_says_what_is_white_are_refused():
    with pytest.raises(ImageError, match="32 bits without a scale"):
        load_image(Image.fromarray(np.arange(12, dtype=np.int32).reshape(3, 4)))


@pytest.mark.parametrize("rows", [1, 31, 63])
def test_a_tiff_of_which_strips_are_missing_is_refused(rows):
    """Pillow would leave them black."""
    page = tiff_page(PIXELS.tobytes(), (96, 64), {262: ("H", [2]), 277: ("H", [3]), 258: ("H", [8, 8, 8])})
    assert shown(tiff(page)).shape == PIXELS.shape
    page["tags"][278] = ("I", [rows])
    with pytest.raises(ImageError, match=rf"the file has 1 of its {-(-64 // rows)} strips or tiles"):
        load_image(tiff(page))


@pytest.mark.parametrize(("page", "kept"), [(1, "second"), (4, "second"), (0, "first")])
def test_a_thumbnail_or_a_mask_before_the_photograph_is_passed_over(page, kept):
    rgb = {262: ("H", [2]), 277: ("H", [3]), 258: ("H", [8, 8, 8])}
    first = tiff_page(PIXELS[::2, ::2].tobytes(), (48, 32), {**rgb, 254: ("I", [page])})
    second = tiff_page(PIXELS.tobytes(), (96, 64), {**rgb, 254: ("I", [0])})
    np.testing.assert_array_equal(shown(tiff(first, second)), PIXELS if kept == "second" else PIXELS[::2, ::2])


@pytest.mark.parametrize("suffix", [".NEF", ".dng", ".ARW", ".cr2"])
def test_raw_files_are_told_by_their_names_and_beginnings(suffix, tmp_path):
    path = tmp_path / f"photo{suffix}"
    path.write_bytes(tiff(tiff_page(PIXELS[:, :, 0].tobytes(), (96, 64), {258: ("H", [8]), 262: ("H", [1])})))
    with pytest.raises(ImageError, match="raw file"):
        load_image(path)
    assert identify(b"II*\0\x10\0\0\0CR\2\0", "photo.tif")[1] == identify(b"FUJIFILMCCD-RAW 0201", "x")[1]


def palette_tiff(scale: int) -> bytes:
    """A TIFF with a palette, whose colours of 8 bits are multiplied by `scale`."""
    image = PHOTO.quantize(256)
    colours = np.asarray(image.palette.colors and [*image.palette.colors]).T.ravel() * scale
    tags = {258: ("H", [8]), 262: ("H", [3]), 320: ("H", np.resize(colours, 768).tolist())}
    return tiff(tiff_page(np.asarray(image).tobytes(), image.size, tags))


@pytest.mark.parametrize("scale", [1, 257])
def test_a_palette_of_8_bits_in_16_is_not_black(scale):
    """python-pillow/Pillow#2157: old programs left the upper half of each colour empty."""
    data = palette_tiff(scale)
    assert opencv(data).mean() > 50
    np.testing.assert_array_equal(shown(data), opencv(data))


def written_by_tifffile(pixels: np.ndarray, **options) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, photometric="rgb", **options)
    return file.getvalue()


def by_pillow(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("make", "largest"),
    [
        pytest.param(
            lambda: written_by_tifffile(PIXELS.transpose(2, 0, 1).copy(), planarconfig="separate"), 0,
            id="libvips/libvips#73: each colour a plane of its own",
        ),
        pytest.param(
            lambda: written_by_tifffile(PIXELS.astype(">u2") * 257, byteorder=">"), 0,
            id="python-pillow/Pillow#1885: RGB of 16 bits, big-endian",
        ),
        pytest.param(
            lambda: by_pillow(PHOTO, "TIFF", compression="jpeg", quality=95), 2,
            id="python-pillow/Pillow#3227: JPEG inside a TIFF",
        ),
        pytest.param(
            lambda: tiff(tiff_page(PHOTO.convert("YCbCr").tobytes(), PHOTO.size, {
                258: ("H", [8, 8, 8]), 262: ("H", [6]), 277: ("H", [3]), 530: ("H", [1, 1])})), 2,
            id="python-pillow/Pillow#1270: YCbCr without compression",
        ),
        pytest.param(
            lambda: by_pillow(PHOTO.convert("CMYK"), "JPEG", quality=95), 2,
            id="Kozea/WeasyPrint#2179: Adobe's inverted CMYK",
        ),
        pytest.param(
            lambda: by_pillow(PHOTO, "JPEG", quality=95, keep_rgb=True), 2, id="RGB in a JPEG"
        ),
        pytest.param(lambda: written_by_tifffile(PIXELS, bigtiff=True), 0, id="BigTIFF"),
    ],
)  # fmt: skip
def test_files_of_further_reports_show_the_photograph(make, largest):
    data = make()
    assert difference(shown(data), PIXELS) <= largest
    assert difference(opencv(data), PIXELS) <= largest


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "BMP", "GIF", "TIFF"])
def test_a_photograph_of_another_kind_than_its_name_says_is_read(kind, tmp_path):
    """haraldk/TwelveMonkeys#185: a PNG called .jpg."""
    path = tmp_path / "photo.jpg"
    path.write_bytes(by_pillow(PHOTO, kind, **({"lossless": True} if kind == "WEBP" else {})))
    np.testing.assert_array_equal(shown(path), opencv(path.read_bytes()))


def test_a_grey_tiff_of_16_bits_with_alpha_is_refused_with_the_mend():
    """python-pillow/Pillow#1602: no mode of Pillow holds it."""
    grey = PIXELS[:, :, :2].astype(np.uint16) * 257
    with pytest.raises(ImageError, match=r"cannot be read: .*save it as PNG or JPEG"):
        load_image(colour_tiff(grey, [2]))


@pytest.mark.thorough
@pytest.mark.parametrize("fault", ["codes", "samples"])
def test_nothing_but_our_own_line_is_said_of_a_damaged_tiff(fault, tmp_path):
    """libtiff prints what it stumbles over, from C; Pillow logs it."""
    data = by_pillow(PHOTO, "TIFF", compression="tiff_lzw")
    path = tmp_path / "damaged.tif"
    path.write_bytes(data[:200] + b"\xff" * 900 + data[1100:])
    if fault == "samples":
        tags = {262: ("H", [2]), 277: ("H", [2048]), 258: ("H", [8, 8, 8])}
        path.write_bytes(tiff(tiff_page(PIXELS.tobytes(), PHOTO.size, tags)))
    command = [sys.executable, "-m", "numpyvgg", "predict", str(path), "--model", "small"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    (said,) = done.stderr.splitlines()
    assert "damaged.tif: cannot be read" in said


# ---------------------------------------------------------------------- alpha


def with_alpha(alpha: int) -> np.ndarray:
    return np.dstack([PIXELS, np.full(PIXELS.shape[:2], alpha, np.uint8)])


@pytest.mark.parametrize("alpha", [0, 1, 200])
@pytest.mark.parametrize(
    "make",
    [
        lambda rgba: colour_tiff(rgba, None),
        lambda rgba: colour_tiff(rgba, [0]),
        lambda rgba: colour_tiff(rgba.astype(np.uint16) * 257, None),
        lambda rgba: colour_tiff(rgba.astype(np.uint16) * 257, [0]),
    ],
    ids=["no tag", "unspecified", "16 bits, no tag", "16 bits, unspecified"],
)
def test_a_fourth_sample_that_tiff_does_not_call_alpha_is_none(make, alpha):
    np.testing.assert_array_equal(shown(make(with_alpha(alpha))), PIXELS)


@pytest.mark.parametrize("alpha", [0, 1, 200])
@pytest.mark.parametrize("options", [{}, {"run_length": True}, {"attributes": 0}, {"attributes": 2, "alpha_bits": 8}])
def test_a_tga_without_alpha_bits_has_no_alpha(options, alpha, tmp_path):
    path = tmp_path / "photo.tga"
    path.write_bytes(tga(with_alpha(alpha), **{"alpha_bits": 0, **options}))
    np.testing.assert_array_equal(shown(path), PIXELS)


@pytest.mark.parametrize("options", [{"alpha_bits": 8}, {"alpha_bits": 0, "attributes": 3}])
def test_a_tga_with_alpha_keeps_it(options, tmp_path):
    rgba = with_alpha(255)
    rgba[:10, :, 3] = 0
    path = tmp_path / "photo.tga"
    path.write_bytes(tga(rgba, **options))
    assert (shown(path)[:10] == 255).all()
    np.testing.assert_array_equal(shown(path)[10:], PIXELS[10:])


@pytest.mark.parametrize("header", [108, 124])
def test_a_bmp_that_is_transparent_everywhere_is_not_transparent(header):
    data = bmp32(with_alpha(0), header)
    np.testing.assert_array_equal(opencv(data), PIXELS)
    np.testing.assert_array_equal(shown(data), PIXELS)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_what_is_transparent_everywhere_is_not_transparent(kind, mode):
    if (kind, mode) == ("WEBP", "LA"):
        mode = "RGBA"
    image = Image.fromarray(with_alpha(0)).convert(mode)
    file = io.BytesIO()
    image.save(file, kind, **({"lossless": True, "exact": True} if kind == "WEBP" else {}))
    np.testing.assert_array_equal(shown(file.getvalue()), np.asarray(PHOTO.convert(mode[:-1]).convert("RGB")))


def test_real_transparency_shows_white_in_every_band():
    rgba = np.zeros((3000, 800, 4), np.uint8)  # more than one band of rows
    rgba[1000:2000] = 10, 20, 30, 255
    rgba[2500:] = 0, 0, 0, 128
    pixels = shown(png(Image.fromarray(rgba)))
    assert (pixels[:1000] == 255).all()
    assert (pixels[1000:2000] == [10, 20, 30]).all()
    assert (abs(pixels[2500:].astype(int) - 127) <= 1).all()


# ---------------------------------------------------------------------- EXIF

_BYTE, _SHORT, _LONG = (struct.pack("<HHI", 0x0112, kind, 1) for kind in (1, 3, 4))
_RATIONAL = struct.pack("<HHII", 0x011A, 10, 1, 38)  # behind the one or two entries


@pytest.mark.parametrize(
    "segment",
    [
        exif(_SHORT + b"\6\0\0\0"),
        exif(_BYTE + b"\6\0\0\0"),
        exif(_SHORT + b"\6\0\0\0", _RATIONAL, extra=struct.pack("<ii", -1, 0)),
        exif(_SHORT + b"\6\0\0\0", struct.pack("<HHII", 0x010F, 2, 1 << 30, 8)),
        exif(_SHORT + b"\6\0\0\0", struct.pack("<HHII", 0x8769, 4, 1, 8)),
        exif(_SHORT + b"\6\0\0\0", struct.pack("<HHII", 0x010F, 77, 5, 8)),
    ],
    ids=["short", "byte", "-1/0", "text past the end", "refers to itself", "unknown type"],
)
def test_the_orientation_is_heeded_whatever_else_exif_holds(segment):
    data = jpeg_with(segment, PHOTO, quality=95)
    assert shown(data).shape == (96, 64, 3)
    assert difference(shown(data), opencv(data)) <= 1.5


@pytest.mark.parametrize(
    "segment",
    [exif(_SHORT + b"\0\0\0\0"), exif(_SHORT + b"\x09\0\0\0"), b"Exif\0\0", b"Exif\0\0II*\0",
     b"Exif\0\0II*\0\xff\xff\xff\xff", exif(_LONG + b"\xff\xff\xff\xff"),
     exif(struct.pack("<HHI", 0x0112, 2, 2) + b"6\0\0\0")],
)  # fmt: skip
def test_exif_that_says_nothing_leaves_the_photograph_as_it_is(segment):
    data = jpeg_with(segment, PHOTO, quality=95)
    assert difference(shown(data), opencv(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)) <= 1.5


def test_a_loaded_photograph_is_not_copied_and_an_image_of_somebody_else_is():
    loaded = load_image(PORTRAIT)
    assert load_image(loaded) is loaded
    theirs = Image.open(PORTRAIT)
    assert load_image(theirs) is not theirs
    assert theirs.info  # still theirs
    assert load_image(loaded.convert("L")).mode == "RGB"


def test_a_photograph_is_turned_once(tmp_path):
    data = jpeg_with(exif(_SHORT + b"\6\0\0\0"), PHOTO)
    once = load_image(data)
    np.testing.assert_array_equal(shown(once), np.asarray(once))
    once.save(tmp_path / "again.png")
    np.testing.assert_array_equal(shown(tmp_path / "again.png"), np.asarray(once))


# ---------------------------------------------------------------------- JPEG and PNG that are not quite whole


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"restart_marker_rows": 1}])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("missing", [1, 2])
def test_a_jpeg_without_its_end_is_whole(missing, mode, options):
    file = io.BytesIO()
    PHOTO.convert(mode).save(file, "JPEG", **options)
    np.testing.assert_array_equal(shown(file.getvalue()[:-missing]), shown(file.getvalue()))


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.97])
def test_a_jpeg_of_which_a_part_is_missing_is_refused(share, options):
    file = io.BytesIO()
    Image.open(PORTRAIT).save(file, "JPEG", **options)
    data = file.getvalue()[: int(share * len(file.getvalue()))]
    with pytest.raises(ImageError, match="a part of the photograph is missing"):
        load_image(data)


@pytest.mark.parametrize(
    "chunk",
    [
        png_chunk(b"tEXt", b"Comment\0hello", wrong_crc=True),
        png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(2 << 20))),
        png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + b" " * (2 << 20)),
        png_chunk(b"iTXt", b"broken"),
        png_chunk(b"iCCP", b"profile\0\0" + zlib.compress(bytes(2 << 20))),
        png_chunk(b"iCCP", b"profile\0\0nothing", wrong_crc=True),
        png_chunk(b"pHYs", b"short"),
        png_chunk(b"eXIf", b"II*\0\xff\xff\xff\xff", wrong_crc=True),
        png_chunk(b"gAMA", b""),
        png_chunk(b"tIME", b"\0" * 40),
    ],
    ids=lambda chunk: f"{chunk[4:8].decode()}, {len(chunk)} bytes",
)
def test_a_png_is_read_whatever_is_wrong_beside_its_pixels(chunk):
    data = png(PHOTO, chunk)
    np.testing.assert_array_equal(opencv(data), PIXELS)
    np.testing.assert_array_equal(shown(data), PIXELS)


@pytest.mark.parametrize("size", [0, 2 << 20])
def test_xmp_of_any_length_keeps_the_orientation(size):
    xmp = b'XML:com.adobe.xmp\0\0\0\0\0<rdf tiff:Orientation="6"/>' + b" " * size
    np.testing.assert_array_equal(shown(png(PHOTO, png_chunk(b"iTXt", xmp))), np.rot90(PIXELS, -1))


def test_a_png_with_damaged_pixels_is_refused():
    data = bytearray(png(PHOTO))
    data[len(data) // 2] ^= 0xFF
    with pytest.raises(ImageError, match="<bytes>: cannot be read"):
        load_image(bytes(data))


# ---------------------------------------------------------------------- limits


def peak_of(code: str) -> tuple[str, float]:
    """What a fresh process prints, and by how many MB its memory grows while it runs the code."""
    script = f"""
import resource, sys
from PIL import Image
from numpyvgg import ImageError
from numpyvgg.photo.images import load_image
Image.init()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
{textwrap.dedent(code)}
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print((after - before) / (1 if sys.platform == "darwin" else 1024))
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120, env=environment)
    *words, grown = done.stdout.split("\n")[:-1]
    return "\n".join(words), float(grown)


@pytest.mark.thorough
def test_a_telephones_200_megapixels_are_read_at_half_their_size(tmp_path):
    path = tmp_path / "phone.jpg"
    Image.linear_gradient("L").resize((16320, 12240)).save(path, quality=20)
    words, grown = peak_of(f"image = load_image({str(path)!r}); print(image.size, image.getpixel((0, 3060))[1])")
    assert words in ("(8160, 6120) 126", "(8160, 6120) 127", "(8160, 6120) 128")
    assert grown <= 199.8 + 300  # the decoded size in MB, and 300


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("size", "samples"), [((50, 2_097_152), 3), ((12_000, 10_000), 4), ((13_000, 12_800), 1)], ids=str
)
def test_a_small_file_of_many_pixels_stays_within_300_mb_beyond_its_decoded_size(size, samples, tmp_path):
    path = tmp_path / "bomb.tif"
    width, height = size
    rows = 4096 if height > 100_000 else 16
    strip = zlib.compress(bytes(rows * width * samples), 9)
    count = height // rows
    page = tiff_page(strip, size, {
        258: ("H", [8] * samples), 259: ("H", [8]), 262: ("H", [2 if samples > 1 else 1]), 277: ("H", [samples]),
        278: ("I", [rows]), 279: ("I", [len(strip)] * count), 338: ("H", [2] * (samples == 4)),
    })  # fmt: skip
    if samples != 4:
        del page["tags"][338]
    data = bytearray(tiff(page))
    path.write_bytes(_with_strips_at_one_place(bytes(data), count))
    words, grown = peak_of(f"print(load_image({str(path)!r}).size)")
    assert words == str((width // 2, height // 2))
    assert grown <= 4 * width * height / 2**20 + 300 if samples > 1 else width * height / 2**20 + 300


def _with_strips_at_one_place(data: bytes, count: int) -> bytes:
    """A TIFF whose strips are all the same bytes: tag 273 repeated."""
    image = tifffile.TiffFile(io.BytesIO(data)).pages[0]
    place = image.tags[273]
    offsets = struct.pack(f"<{count}I", *[place.value[0]] * count)
    entry = struct.pack("<HHII", 273, 4, count, len(data))
    return data[: place.offset] + entry + data[place.offset + 12 :] + offsets


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("kind", "size"), [("WEBP", (5200, 5000)), ("PNG", (16_001, 16_000)), ("GIF", (60_000, 60_000))]
)
def test_more_pixels_than_the_limit_are_refused_by_name_before_they_are_decoded(kind, size, tmp_path):
    path = tmp_path / f"bomb.{kind.lower()}"
    path.write_bytes(_header_of(kind, *size))
    code = f"""
    try:
        load_image({str(path)!r})
    except ImageError as error:
        print(error)
    """
    words, grown = peak_of(code)
    assert f"{size[0]} x {size[1]} pixels; of {kind} files at most" in words
    assert grown < 300


def _header_of(kind: str, width: int, height: int) -> bytes:
    """A small file that claims to be large; of WebP, whose decoder compares, one that is."""
    file = io.BytesIO()
    if kind == "WEBP":
        Image.new("RGB", (width, height)).save(file, kind, method=0, quality=1)
        return file.getvalue()
    PHOTO.save(file, kind)
    data = bytearray(file.getvalue())
    if kind == "PNG":
        data[8:33] = png_chunk(b"IHDR", struct.pack(">II", width, height) + bytes(data[24:29]))
    else:
        data[6:10] = struct.pack("<HH", width, height)
    return bytes(data)


def test_a_jpeg_in_scans_that_would_fill_the_memory_is_refused(monkeypatch):
    monkeypatch.setattr(decode, "_WORKSPACE", 10_000)
    file = io.BytesIO()
    PHOTO.save(file, "JPEG", progressive=True)
    with pytest.raises(ImageError, match=r"decoding its scans takes .* save it smaller"):
        load_image(file.getvalue())
    file = io.BytesIO()
    PHOTO.save(file, "JPEG")
    load_image(file.getvalue())


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "JPEG2000"])
def test_what_is_larger_than_the_limit_comes_out_at_half_its_size(kind, monkeypatch):
    for limit in ("decode.WHOLE", "decode._WHOLE_JPEG2000", "pixels.WHOLE"):
        monkeypatch.setattr(f"numpyvgg.photo.{limit}", 96 * 64 - 1)
    file = io.BytesIO()
    PHOTO.save(file, kind, **({"quality": 95} if kind == "JPEG" else {}))
    small = load_image(file.getvalue())
    assert small.size == (48, 32)
    assert difference(np.asarray(small), np.asarray(PHOTO.reduce(2))) <= (15 if kind == "JPEG2000" else 6)  # a wavelet


# ---------------------------------------------------------------------- what is no photograph


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (b"%PDF-1.7\n", "a PDF"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "an EPS drawing"),
        (b"8BPS\0\1", "a Photoshop file"),
        (b"\xff\x0a\0\0", "a JPEG XL"),
        (b"\0\5\x16\7\0\2\0\0", "macOS's notes"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        (b"PK\3\4", "a zip archive"),
        (b"\x1f\x8b\x08", "a gzip archive"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "a camera's raw file"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0isommp42", "a film"),
        (b"<!doctype html>", "a web page"),
        (b"hello", "not an image of a kind that is read here"),
    ],
    ids=lambda value: value.split(maxsplit=2)[-1] if isinstance(value, str) else "",
)
def test_what_people_have_instead_of_a_photograph_is_named(content, words, tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=f"photo.jpg: {words}"):
        load_image(path)


def test_no_file_starts_an_interpreter(tmp_path, monkeypatch):
    interpreter = tmp_path / "gs"
    interpreter.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    interpreter.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    (tmp_path / "photo.eps").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    with pytest.raises(ImageError, match="an EPS drawing"):
        load_image(tmp_path / "photo.eps")
    assert not (tmp_path / "started").exists()


def test_heic_without_its_package_names_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ImageError, match=r"IMG_0001\.HEIC: a HEIC photograph: pip install pillow-heif"):
        load_image(CASES / "IMG_0001.HEIC")


def test_avif_without_a_pillow_that_reads_it_names_the_mend(monkeypatch):
    Image.init()
    monkeypatch.delitem(Image.OPEN, "AVIF", raising=False)
    with pytest.raises(ImageError, match="does not read AVIF: pip install --upgrade pillow"):
        load_image(b"\0\0\0\x20ftypavif\0\0\0\0avifmif1miafMA1B")


# ---------------------------------------------------------------------- what is given as a photograph


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, io.BytesIO, lambda data: PORTRAIT.open("rb")])
def test_the_contents_of_a_file_are_a_photograph_too(kind):
    source = kind(PORTRAIT.read_bytes())
    np.testing.assert_array_equal(shown(source), shown(PORTRAIT))


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (None, "<NoneType>: cannot be read: give a path"),
        (3, "<int>: cannot be read: give a path"),
        (["photo.jpg"], "<list>: cannot be read: give a path"),
        (
            io.StringIO("text"),
            "<StringIO>: cannot be read: give a path",
        ),
        ("https://example.org/photo.jpg", "an address, not a file: download it first"),
        (b"nothing", "<bytes>: not an image"),
        (Image.new("RGB", (0, 0)), "has no pixels"),
        (Image.new("RGBA", (0, 5)), "has no pixels"),
        ("", "No such file"),
        ("/dev/null", "this is a device, not a file"),
        ("/dev/zero", "this is a device, not a file"),
        (".", "this is a folder, not a file"),
        ("nul\0.jpg", "null"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str | bytes) else str(value),
)
def test_what_is_no_photograph_is_one_clear_error(source, reason):
    with pytest.raises(ImageError, match=reason) as caught:
        load_image(source)
    assert len(str(caught.value)) < 300


def test_a_missing_photograph_is_a_file_that_is_not_found():
    with pytest.raises(FileNotFoundError, match=r"missing\.jpg: No such file") as caught:
        predict("missing.jpg")
    assert isinstance(caught.value, ImageError)
    assert caught.value.errno == 2 or caught.value.errno is None


def test_pillow_images_that_cannot_be_loaded_are_image_errors():
    cut = io.BytesIO(PORTRAIT.read_bytes()[:3000])
    with pytest.raises(ImageError, match="truncated"):
        load_image(Image.open(cut))
    closed = Image.open(PORTRAIT)
    closed.close()
    with pytest.raises(ImageError, match="cannot be read"):
        load_image(closed)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with a name")
def test_a_pipe_that_nobody_writes_into_blocks_nothing(tmp_path):
    os.mkfifo(tmp_path / "photo.jpg")
    with pytest.raises(ImageError, match="this is a pipe, not a file"):
        load_image(tmp_path / "photo.jpg")


@pytest.mark.skipif(not os.path.exists("/dev/stdin"), reason="a name for the standard input")
def test_a_dash_names_the_standard_input():
    with pytest.raises(ImageError, match=r"^-: No such file; for the standard input, give /dev/stdin$"):
        load_image("-")


def test_the_standard_input_can_be_a_photograph():
    command = [sys.executable, "-m", "numpyvgg", "predict", "/dev/stdin", "--model", "age-small"]
    with PORTRAIT.open("rb") as photo:
        data = photo.read()
    done = subprocess.run(command, input=data, capture_output=True, check=True)
    assert b"years" in done.stdout


@pytest.mark.skipif(not os.path.exists("/dev/stdin"), reason="a name for the standard input")
def test_the_standard_input_can_be_a_network():
    command = [sys.executable, "-m", "numpyvgg", "inspect", "/dev/stdin"]
    data = (Path(__file__).parents[1] / "models" / "gender-v1.onnx").read_bytes()
    done = subprocess.run(command, input=data, capture_output=True, check=True)
    assert b"initializers" in done.stdout
