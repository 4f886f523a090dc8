"""Draw the pictures of docs/lesson/ into docs/lesson/; what they show is computed by the chapters' own code.

python tools/make_lesson_pictures.py
"""

from __future__ import annotations

import contextlib
import io
import sys
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from make_notebook import examples
from make_walkthrough_pictures import BLUE, INK, LINE, ORANGE, ROOT, SOFT, TEAL, canvas, save
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

FOLDER = ROOT / "docs" / "lesson"


def names_of(chapter: str, until: str = "") -> dict[str, Any]:
    """What a chapter's blocks define, up to the block that has the text `until`."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for block, _ in examples((FOLDER / f"{chapter}.md").read_text("utf-8")):
        if until and until in block.code:
            break
        with contextlib.redirect_stdout(io.StringIO()):
            exec(block.code, names)
    return names


def plain(axes: Axes) -> None:
    axes.tick_params(colors=SOFT, length=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(LINE)


def grid(axes: Axes, values: np.ndarray, left: float, top: float, colour: str) -> None:
    """A matrix of numbers in squares of one unit."""
    for (row, column), value in np.ndenumerate(values):
        place = (left + column, top + row)
        axes.add_patch(Rectangle(place, 1, 1, fc=colour, alpha=0.15, lw=0))
        axes.add_patch(Rectangle(place, 1, 1, fill=False, ec=LINE, lw=0.6))
        axes.text(place[0] + 0.5, place[1] + 0.52, f"{value:g}", ha="center", va="center", size=10, color=INK)


def draw_sizes() -> None:
    """A window of three on a row of seven with padding 1, at strides 1 and 2."""
    figure, axes = canvas(8.6, 3.6, 20, 9.2)
    for left, stride in ((0.5, 1), (11, 2)):
        axes.text(left, 0.6, f"stride {stride}: {len(range(0, 7, stride))} places", size=11, color=INK)
        for place, start in enumerate(range(0, 7, stride)):
            axes.add_patch(Rectangle((left + start, 1.1 + place), 3, 0.8, color=TEAL, alpha=0.35, lw=0))
        for pixel in range(9):
            outside = pixel in (0, 8)
            colour = SOFT if outside else INK
            axes.add_patch(Rectangle((left + pixel, 8.2), 1, 0.9, fill=False, ec=LINE, lw=1))
            axes.text(left + pixel + 0.5, 8.68, "0" if outside else str(pixel), ha="center", va="center", color=colour)
    save(figure, "sizes", FOLDER)


def draw_channels() -> None:
    """The first output's first number: two products of a window and a part of the filter, added."""
    names = names_of("channels", until="lit")
    figure, axes = canvas(8.6, 3.6, 20, 9)
    for channel, colour in enumerate((BLUE, ORANGE)):
        top = 0.8 + 4.3 * channel
        axes.text(0.5, top - 0.25, f"channel {channel}", size=10, color=colour)
        grid(axes, names["x"][channel], 0.5, top, colour)
        axes.add_patch(Rectangle((0.5, top), 2, 2, fill=False, ec=colour, lw=2.5))
        axes.text(5, top + 1.6, "x", size=14, ha="center", color=SOFT)
        axes.text(6.5, top - 0.25, f"the filter's part {channel}", size=10, color=colour)
        grid(axes, names["w"][channel], 6.5, top + 0.5, colour)
        axes.text(
            9.6, top + 1.6, f"=  {(names['x'][channel, :2, :2] * names['w'][channel]).sum():g}", size=13, color=INK
        )
    axes.text(12.2, 4.5, "added:", size=11, color=SOFT, va="center")
    axes.text(15, 2.6, "output 0", size=10, color=TEAL)
    grid(axes, names["y"][0], 15, 2.9, TEAL)
    axes.add_patch(Rectangle((15, 2.9), 1, 1, fill=False, ec=TEAL, lw=2.5))
    save(figure, "channels", FOLDER)


def draw_learning() -> None:
    """The filter of nine numbers after 0, 1, 3, 10 and 100 steps."""
    names = names_of("learning", until="by_differences")
    figure, all_axes = plt.subplots(1, 5, figsize=(8.6, 2.1), layout="constrained")
    weight, shown = np.zeros((1, 1, 3, 3)), dict(zip((0, 1, 3, 10, 100), all_axes, strict=True))
    for step in range(101):
        if step in shown:
            shown[step].imshow(weight[0, 0], cmap="RdBu", vmin=-2, vmax=2)
            shown[step].set_title(f"after {step}", size=10, color=INK)
            shown[step].axis("off")
        weight -= 0.1 * names["gradient"](weight)
    save(figure, "learning", FOLDER)


def draw_winograd() -> None:
    """The error over the points 0, ±a, ±b and infinity."""
    error = names_of("winograd", until="theirs")["error"]
    steps = np.arange(4, 45) / 16
    errors = np.full((len(steps), len(steps)), np.nan)
    for i, b in enumerate(steps):
        for j, a in enumerate(steps[: max(i - 1, 0)]):
            errors[i, j] = error((0, a, -a, b, -b), tiles=500)
    figure, axes = plt.subplots(figsize=(6.4, 4.4), layout="constrained")
    image = axes.pcolormesh(steps, steps, np.log10(errors), cmap="viridis", vmax=-4.5)
    figure.colorbar(image, label="error, power of ten")
    for a, b, label in ((1, 2, "usual"), (5 / 8, 3 / 2, "here")):
        axes.plot(a, b, "o", mfc="white", mec=INK)
        axes.annotate(label, (a, b), (6, 4), textcoords="offset points", color="white", size=11)
    axes.set(xlabel="a", ylabel="b")
    plain(axes)
    save(figure, "winograd", FOLDER)


def draw_training() -> None:
    """How many of the test's digits are right after each pass, and the first layer's filters."""
    names = names_of("training", until="before = accuracy()")
    names["movement"] = [np.zeros_like(parameter) for parameter in names["weights"] + names["biases"]]
    right = [names["accuracy"]()]
    for rate in (0.05, 0.05, 0.05, 0.02, 0.02):
        names["epoch"](rate)
        right.append(names["accuracy"]())
    figure, axes = plt.subplots(1, 2, figsize=(8.6, 2.9), layout="constrained", width_ratios=(3, 2))
    axes[0].plot(right, "o-", color=TEAL)
    axes[0].set(xlabel="passes", ylabel="right", ylim=(0, 1.02))
    axes[0].axhline(0.95, color=ORANGE, lw=1)
    plain(axes[0])
    filters = np.pad(names["weights"][0][:, 0], ((0, 0), (0, 1), (0, 1)), constant_values=np.nan)
    axes[1].imshow(filters.reshape(3, 4, 4, 4).swapaxes(1, 2).reshape(12, 16), cmap="RdBu")
    axes[1].axis("off")
    save(figure, "training", FOLDER)
    print("right after each pass:", ", ".join(f"{share:.3f}" for share in right))


def main() -> int:
    """Draw them all."""
    for draw in (draw_sizes, draw_channels, draw_learning, draw_winograd, draw_training):
        draw()
    return 0


if __name__ == "__main__":
    sys.exit(main())
