"""Show what each layer makes of a photograph and where the answer comes from."""

from __future__ import annotations

import argparse
import logging
import sys
import threading
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ArgumentError, printable
from ..photo.answers import answer
from ..photo.estimator import Estimator, open_estimator
from ..photo.faces.search import Face
from ..photo.images import load_image
from ..photo.predictor import DEX_MODELS, SMALL_MODELS, default_models, one_for_each
from ..report import Explanation, crop_of, explain, watch
from ..report.terminal import answer_chart, layer_table
from ..text import human_bytes
from ..vgg.network import VGG
from ..vgg.standin import is_standin
from ..zoo import PUBLISHED, require
from . import finding, preparing
from .output import check_file, written

if TYPE_CHECKING:
    from PIL import Image

_STANDIN = (
    "These weights are random: the network is a stand-in of the published one's shape. The pictures show how it "
    "computes; its answers mean nothing."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("image", metavar="IMAGE", help="a photograph; without --faces one cropped to the face")
    parser.add_argument("--faces", action="store_true", help="a photograph not cropped: find the largest face first")
    finding.add_arguments(parser, "with --faces: ", one=True)
    parser.add_argument(
        "--model",
        metavar="NAME|PATH",
        action="append",
        help="a network; the first is shown layer by layer, of others the answer and where they looked; "
        f"default: those fetched of {' and '.join(DEX_MODELS)}, else the bundled ones on the photograph's face",
    )
    preparing.add_arguments(parser)
    form = parser.add_mutually_exclusive_group(required=True)
    form.add_argument("-o", "--output", metavar="PAGE", help="write a page: one HTML file that needs nothing else")
    form.add_argument("--terminal", action="store_true", help="print the layers and the answer as text")
    form.add_argument(
        "--live",
        action="store_true",
        help="serve the page on this machine and open it: every layer's pixels, parts covered with the mouse",
    )
    parser.add_argument("--no-browser", action="store_true", help="with --live: only print the page's address")


def run(args: argparse.Namespace) -> int:
    finding.check(args)
    if args.no_browser and not args.live:
        raise ArgumentError("--no-browser goes with --live")
    if args.terminal:
        _print_text(args)
    elif args.live:
        _serve(args)
    else:
        _write_page(args)
    return 0


def _networks(args: argparse.Namespace) -> list[Estimator]:
    """The networks that are named, or those that answer by default; what to know of the latter is said on stderr."""
    names = list(args.model or default_models())
    require([name for name in names if name in PUBLISHED])
    if not args.model and names == [*SMALL_MODELS]:
        print(
            "numpyvgg: the bundled networks are explained, on the photograph's face; for those of the paper: "
            f"numpyvgg fetch {' '.join(DEX_MODELS)}",
            file=sys.stderr,
        )
    labels = one_for_each(args.labels, names)
    return [
        open_estimator(name, meaning, preparing.said(args), conv="winograd")
        for name, meaning in zip(names, labels, strict=True)
    ]


def _face(args: argparse.Namespace, photograph: Image.Image, networks: list[Estimator]) -> Face | None:
    """The face asked for, by default the largest; None where none is looked for.

    The bundled networks see little but a face, and where nobody named another they get one.
    """
    bundled = not args.model and all(network.name in SMALL_MODELS for network in networks)
    return finding.finder(args)(photograph, args.image)[0] if args.faces or bundled else None


def _print_text(args: argparse.Namespace) -> None:
    photograph, networks = load_image(args.image), _networks(args)
    face = _face(args, photograph, networks)
    for number, network in enumerate(networks):
        x = network.tensors(crop_of(photograph, face, network.preparation))[:1]
        if number == 0:
            print(layer_table(watch(network, x)[0]))
        print(f"\n{printable(network.name)}: {answer_chart(answer(network.network(x)[0], network.labels))}")


def _write_page(args: argparse.Namespace) -> None:
    check_file("-o", args.output, inputs=[args.image])
    page = _page(args).encode()
    with written("-o", args.output) as file:
        file.write(page)
    print(printable(f"{args.output}: {human_bytes(len(page))}"))


def _serve(args: argparse.Namespace) -> None:
    _quiet_matplotlib()
    from ..report.live import Live, Server

    server = Server(Live(*_explained(args)))
    print(f"{server.address}  (Ctrl-C ends it)", flush=True)
    if not args.no_browser:
        threading.Thread(target=webbrowser.open, args=(server.address,), daemon=True).start()
    server.run()


def _page(args: argparse.Namespace) -> str:
    _quiet_matplotlib()
    from ..report.page import render

    return render(*_explained(args))


def _explained(args: argparse.Namespace) -> tuple[list[Explanation], str, str]:
    """What the page needs: the explanations, what the photograph is called, and what must be known first."""
    photograph, networks = load_image(args.image), _networks(args)
    face = _face(args, photograph, networks)
    explanations = [explain(network, photograph, face=face) for network in networks]
    random = any(isinstance(each.network, VGG) and is_standin(each.network.layers) for each in networks)
    return explanations, Path(args.image).name, _STANDIN if random else ""


def _quiet_matplotlib() -> None:
    logging.getLogger("matplotlib").addHandler(logging.NullHandler())  # it may not have a folder for its fonts
