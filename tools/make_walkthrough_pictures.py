"""Draw the pictures of docs/lesson/walkthrough.md into docs/lesson/.

python tools/make_walkthrough_pictures.py
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from numpyvgg import VGG16
from numpyvgg.photo.answers import expected_age
from numpyvgg.photo.images import load_image, to_tensor
from numpyvgg.vgg.standin import write_standin

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "lesson"
INK, SOFT, LINE = "#1f2328", "#626a73", "#d8d4cc"
TEAL, ORANGE, BLUE, SAND, GREEN = "#2d6f7e", "#de6028", "#266cce", "#b5733c", "#6d8a3c"


def canvas(width: float, height: float, columns: float, rows: float) -> tuple[Figure, Axes]:
    """A figure of inches, whose axes count in `columns` and `rows` from the top left."""
    figure, axes = plt.subplots(figsize=(width, height), layout="constrained")
    axes.set(xlim=(0, columns), ylim=(rows, 0))
    axes.axis("off")
    return figure, axes


def save(figure: Figure, name: str, folder: Path = FOLDER) -> None:
    """Write a PNG of at most 128 colours: drawings need no more, and stay small."""
    path = folder / f"{name}.png"
    figure.savefig(path, dpi=144, facecolor="white", metadata={"Software": None})
    plt.close(figure)
    Image.open(path).convert("RGB").quantize(128).save(path, optimize=True)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1e3:.0f} kB")


def draw_bytes(data: bytes) -> None:
    """The file's first 48 bytes, each field in its colour, with what the bytes say."""
    fields = [
        (0, 1, 2, TEAL, "field 1, varint\nversion: 6"),
        (2, 4, 9, ORANGE, "field 2, 5 bytes\nwriter: caffe"),
        (9, 14, 14, BLUE, "field 7: the graph,\na length of 4 bytes"),
        (14, 17, 17, SAND, "in it field 1: a node,\n149 bytes"),
        (17, 19, 24, GREEN, "in it field 1: an input,\n5 bytes: input"),
        (24, 26, 35, SOFT, "again field 1, 9 bytes each:\nconv1_1_W, conv1_1_b"),
        (35, 37, 46, SOFT, ""),
    ]
    figure, axes = canvas(8.6, 3.1, 16, 6.4)
    for start, payload, end, colour, _ in fields:
        for i in range(start, end):
            row, column = divmod(i, 16)
            head = i < payload
            axes.add_patch(
                Rectangle((column + 0.04, row + 0.06), 0.92, 0.86, color=colour, alpha=0.9 if head else 0.2, lw=0)
            )
            text = f"{data[i]:02x}"
            axes.text(column + 0.5, row + 0.36, text, ha="center", va="center", family="monospace",
                      size=11, color="white" if head else INK)  # fmt: skip
            sign = chr(data[i]) if 33 <= data[i] < 127 and not head else ""
            axes.text(column + 0.5, row + 0.74, sign, ha="center", va="center", family="monospace", size=7, color=SOFT)
    for number, (*_, colour, label) in enumerate(fields[:-1]):
        row, column = divmod(number, 3)
        axes.add_patch(Rectangle((column * 5.4 + 0.04, 3.65 + row * 1.4), 0.3, 0.5, color=colour, lw=0))
        axes.text(column * 5.4 + 0.55, 3.6 + row * 1.4, label, va="top", size=9.5, color=INK, linespacing=1.35)
    save(figure, "bytes")


def draw_im2col() -> None:
    """The image of 4 x 4, the window in its four places, and the matrix with one column for each."""
    colours = [TEAL, ORANGE, BLUE, SAND]
    figure, axes = canvas(8.6, 4.3, 20, 10)
    for place, (top, left) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
        x, y = (place % 2) * 5.2, (place // 2) * 5.0 + 0.5
        axes.add_patch(Rectangle((x + left, y + top), 3, 3, color=colours[place], alpha=0.25, lw=0))
        axes.add_patch(Rectangle((x + left, y + top), 3, 3, fill=False, ec=colours[place], lw=2))
        for i in range(16):
            row, column = divmod(i, 4)
            axes.add_patch(Rectangle((x + column, y + row), 1, 1, fill=False, ec=LINE, lw=0.6))
            axes.text(x + column + 0.5, y + row + 0.52, str(i + 1), ha="center", va="center", size=10, color=INK)
    axes.annotate("", (13.4, 5), (10.3, 5), arrowprops={"arrowstyle": "->", "color": SOFT})
    for place, (top, left) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
        axes.add_patch(Rectangle((14.4 + place * 1.3, 0.5), 1.15, 9, color=colours[place], alpha=0.25, lw=0))
        for i in range(9):
            row, column = divmod(i, 3)
            value = (top + row) * 4 + left + column + 1
            axes.text(14.97 + place * 1.3, i + 1.02, str(value), ha="center", va="center", size=10, color=INK)
    save(figure, "im2col")


def draw_maps(net: VGG16, x: np.ndarray) -> None:
    """The three strongest feature maps at five depths, under each other."""
    values = {layer.title: value[0] for layer, value in net.trace_layers(x)}
    places = ["relu1_1", "relu2_2", "relu3_3", "relu4_3", "relu5_3"]
    figure, axes = plt.subplots(3, 6, figsize=(8.6, 4.6), layout="constrained")
    for row in range(3):
        for column, place in enumerate(["x", *places]):
            cell = axes[row, column]
            cell.axis("off")
            if place == "x":
                cell.imshow(x[0, row], cmap="gray", vmin=0, vmax=255)
            else:
                strongest = np.argsort(-(values[place] ** 2).mean(axis=(1, 2)))
                cell.imshow(values[place][strongest[row]], cmap="magma")
            if row == 0:
                size = 224 if place == "x" else values[place].shape[1]
                name = "input: B, G, R" if place == "x" else place.replace("relu", "conv")
                cell.set_title(f"{name}\n{size} x {size}", size=9.5, color=INK)
    save(figure, "maps")


def draw_age(net: VGG16, x: np.ndarray) -> None:
    """The distribution with its mode and its expected value."""
    age = expected_age(net(x)[0])
    figure, axes = plt.subplots(figsize=(8.6, 2.9), layout="constrained")
    p = age.probabilities
    axes.bar(range(101), p, width=0.86, color=[ORANGE if i == p.argmax() else TEAL for i in range(101)])
    expected = float(np.arange(101) @ p.astype(np.float64))
    deviation = float(np.sqrt((np.arange(101) - expected) ** 2 @ p.astype(np.float64)))
    axes.axvspan(expected - deviation, expected + deviation, color=LINE, alpha=0.4, lw=0, zorder=0)
    axes.axvline(expected, color=INK, lw=1.5)
    axes.set_ylim(0, p.max() * 1.25)
    axes.text(expected + 0.8, p.max() * 1.14, f"E = {expected:.1f} ± {deviation:.1f} years", color=INK, size=10)
    axes.text(p.argmax() - 1, p.max() * 1.02, f"most probable: {p.argmax()}", color=ORANGE, size=10, ha="right")
    axes.set_xlabel("years", color=SOFT)
    axes.set_yticks([])
    axes.tick_params(colors=SOFT, length=0)
    axes.spines[["left", "top", "right"]].set_visible(False)
    axes.spines["bottom"].set_color(LINE)
    save(figure, "age")


def draw_strips() -> None:
    """conv1_2's matrix of windows, as areas: whole, and in strips, and two caches."""
    areas = [
        ("whole: 115.6 MB", 64 * 9 * 224 * 224 * 4 / 1e6, ORANGE),
        ("16 rows: 8.3 MB", 64 * 9 * 16 * 224 * 4 / 1e6, SAND),
        ("4 rows: 2.1 MB", 64 * 9 * 4 * 224 * 4 / 1e6, TEAL),
        ("1 row: 0.5 MB", 64 * 9 * 224 * 4 / 1e6, TEAL),
    ]
    figure, axes = canvas(8.6, 3.5, 26, 10.6)
    left = 0.2
    for label, megabytes, colour in areas:
        side = 0.84 * megabytes**0.5
        axes.add_patch(Rectangle((left, 9.3 - side), side, side, color=colour, lw=0))
        axes.text(left, 10.1, label, size=10, color=INK)
        left += max(side, 3.7) + 0.9
    side = 0.84 * 1**0.5
    axes.add_patch(Rectangle((13.2, 1.0), side, side, fill=False, ec=INK, lw=1.5))
    axes.text(14.5, 1.2, "a level 2 cache of 1 MB, one for each core", size=10, color=INK, va="center")
    axes.text(14.5, 2.2, "all squares on one scale: area is bytes", size=10, color=SOFT, va="center")
    save(figure, "strips")


def main() -> int:
    """Draw them all."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "age.onnx"
        write_standin(path, width=1 / 8)
        data = path.read_bytes()
        net = VGG16.from_onnx(path)
        x = to_tensor(load_image(ROOT / "numpyvgg" / "data" / "eileen_collins.jpg"))
        draw_bytes(data)
        draw_im2col()
        draw_maps(net, x)
        draw_age(net, x)
        draw_strips()
    return 0


if __name__ == "__main__":
    sys.exit(main())
