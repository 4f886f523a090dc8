"""Show what each layer makes of a photograph and where the answer comes from."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UnsupportedModelError, printable
from ..photo.answers import answer
from ..photo.estimator import Estimator, open_estimator
from ..photo.faces.search import Face
from ..photo.images import load_image
from ..photo.predictor import DEX_MODELS, one_for_each
from ..report import explain, watch
from ..report.terminal import answer_chart, layer_table
from ..text import human_bytes
from ..vgg.network import VGG
from ..vgg.standin import is_standin
from ..zoo import PUBLISHED, require
from . import finding, preparing
from .output import check_file, written
from .standin import standin

if TYPE_CHECKING:
    from PIL import Image

_STANDIN = (
    "These weights are random: the network is a stand-in of the published one's shape. The pictures show how it "
    "computes; its answers mean nothing."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("image", metavar="IMAGE", help="a photograph cropped to the face")
    parser.add_argument("--faces", action="store_true", help="a photograph not cropped: find the largest face first")
    finding.add_arguments(parser, "with --faces: ", one=True)
    parser.add_argument(
        "--model",
        metavar="NAME|PATH",
        action="append",
        help="a network; the first is shown layer by layer, of others the answer and where they looked; "
        f"default: those fetched of {' and '.join(DEX_MODELS)}, else one with random weights",
    )
    preparing.add_arguments(parser)
    form = parser.add_mutually_exclusive_group(required=True)
    form.add_argument("-o", "--output", metavar="PAGE", help="write a page: one HTML file that needs nothing else")
    form.add_argument("--terminal", action="store_true", help="print the layers and the answer as text")


def run(args: argparse.Namespace) -> int:
    finding.check(args)
    if args.terminal:
        _print_text(args)
    else:
        _write_page(args)
    return 0


def _networks(args: argparse.Namespace) -> list[Estimator]:
    """The networks, which have to be VGG: their layers are what is explained."""
    names = list(args.model or _default_models())
    require([name for name in names if name in PUBLISHED])
    labels = one_for_each(args.labels, names)
    networks = [
        open_estimator(name, meaning, preparing.said(args), conv="winograd")
        for name, meaning in zip(names, labels, strict=True)
    ]
    for network in networks:
        if not isinstance(network.network, VGG):
            reasons = network.notes[:1]  # none of a network that is known to be no VGG
            raise UnsupportedModelError("; ".join((f"{network.name}: only VGG networks can be explained", *reasons)))
    return networks


def _default_models() -> list[str]:
    """Those of the paper's two networks that have been fetched; else a small stand-in, so that there is a page."""
    fetched = [name for name in DEX_MODELS if PUBLISHED[name].path.is_file()]
    if fetched:
        return fetched
    print(
        "numpyvgg: a network with random weights is explained, since none is fetched; for trained ones: "
        f"numpyvgg fetch {' '.join(DEX_MODELS)}",
        file=sys.stderr,
    )
    return [str(standin("standin-eighth-age.onnx", 1 / 8, "9 MB"))]


def _face(args: argparse.Namespace, photograph: Image.Image) -> Face | None:
    """The face asked for, by default the largest; None where none is looked for."""
    return finding.finder(args)(photograph, args.image)[0] if args.faces else None


def _print_text(args: argparse.Namespace) -> None:
    photograph = load_image(args.image)
    face = _face(args, photograph)
    for number, network in enumerate(_networks(args)):
        x = network.tensors(photograph if face is None else face.with_margin())[:1]
        assert isinstance(network.network, VGG)
        if number == 0:
            views, values = watch(network.network, x)
            outputs = values["prob"]
            print(layer_table(views))
        else:
            outputs = network.network(x)
        print(f"\n{printable(network.name)}: {answer_chart(answer(outputs[0], network.labels))}")


def _write_page(args: argparse.Namespace) -> None:
    check_file("-o", args.output, inputs=[args.image])
    page = _page(args).encode()
    with written("-o", args.output) as file:
        file.write(page)
    print(printable(f"{args.output}: {human_bytes(len(page))}"))


def _page(args: argparse.Namespace) -> str:
    logging.getLogger("matplotlib").addHandler(logging.NullHandler())  # it may not have a folder for its fonts
    from ..report.page import render

    photograph = load_image(args.image)
    face, networks = _face(args, photograph), _networks(args)
    explanations, standin = [], False
    for each in networks:
        assert isinstance(each.network, VGG)
        explanations.append(
            explain(each.network, photograph, face=face, preparation=each.preparation, labels=each.labels)
        )
        standin |= is_standin(each.network.layers)
    return render(
        explanations,
        [Path(each.name).name for each in networks],
        title=Path(args.image).name,
        note=_STANDIN if standin else "",
    )
