"""The options with which a user says what a network wants and means; every command that asks networks has them."""

from __future__ import annotations

import argparse
import math
import os
from typing import Any

from ..zoo.labels import NAMED_LABELS
from ..zoo.preparation import CHANNELS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "networks that this package does not know",
        "What their classes mean and how their images are prepared: input = (pixels - mean) * scale.",
    )
    group.add_argument(
        "--labels",
        metavar="FILE|NAME",
        action="append",
        help=f"what the classes mean: {', '.join(NAMED_LABELS)}, or a file with a label a line; once for all networks, "
        "or once for each",
    )
    group.add_argument("--channels", choices=CHANNELS, help="their order (bgr)")
    group.add_argument(
        "--size", metavar="PIXELS", type=pixels, help="the image is resized to this: 256, or 256x224 (height x width)"
    )
    group.add_argument("--crop", metavar="PIXELS", type=pixels, help="and this much of its middle is used")
    group.add_argument(
        "--mean", metavar="M[,M,M]|FILE", type=mean, help="for all channels or each in their order; or a .binaryproto"
    )
    group.add_argument("--scale", metavar="S[,S,S]", type=numbers, help="as --mean; fractions too: 1/256")
    group.add_argument("--preparation", metavar="NAME", help="ten-crop: the mean over ten crops")


def said(args: argparse.Namespace) -> dict[str, Any]:
    """What the user said of the preparation, as `Predictor` takes it."""
    return {name: getattr(args, name) for name in ("channels", "size", "crop", "mean", "scale", "preparation")}


def pixels(text: str) -> int | tuple[int, int]:
    """``256``, or ``256x224``: height and width."""
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.strip().isdecimal() for side in sides):
        raise argparse.ArgumentTypeError(f"{text!r}: give pixels, 256, or height x width, 256x224")
    return int(sides[0]) if len(sides) == 1 else (int(sides[0]), int(sides[1]))


def numbers(text: str) -> tuple[float, ...]:
    """``104,117,123``, ``1/256``."""
    try:
        values = tuple(map(_number, text.split(",")))
    except (ValueError, ArithmeticError):
        values = ()
    if not values or not all(map(math.isfinite, values)):
        raise argparse.ArgumentTypeError(f"{text!r}: give a number or three: 104,117,123; fractions too: 1/256")
    return values


def _number(text: str) -> float:
    above, slash, below = text.partition("/")
    return float(above) / float(below) if slash else float(above)


def mean(text: str) -> str | tuple[float, ...]:
    """Numbers, or the path of a mean image."""
    try:
        return numbers(text)
    except argparse.ArgumentTypeError:
        if not os.path.exists(text):
            raise argparse.ArgumentTypeError(f"{text!r}: neither numbers, as 104,117,123, nor a file") from None
        return text
