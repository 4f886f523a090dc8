"""Show what each layer makes of a photograph and where the answer comes from."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ..cache import written_whole
from ..dex import CHANNELS, answer, load_image, to_tensor
from ..errors import ArgumentError
from ..onnx_file import read_onnx
from ..predictor import DEX_MODELS
from ..report import explain, watch
from ..report.terminal import answer_chart, layer_table
from ..text import human_bytes
from ..vgg16 import VGG
from ..zoo import PUBLISHED, find, require

_STANDIN = (
    "These weights are random: the network is a stand-in of the published one's shape. The pictures show how it "
    "computes; its answers mean nothing."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("image", metavar="IMAGE", help="a photograph cropped to the face")
    parser.add_argument(
        "--model",
        metavar="NAME|PATH",
        action="append",
        help="a network; the first is shown layer by layer, of others the answer and where they looked; "
        f"default: {' and '.join(DEX_MODELS)}",
    )
    parser.add_argument("--channels", choices=CHANNELS, default="bgr", help="the order that the networks take (bgr)")
    form = parser.add_mutually_exclusive_group(required=True)
    form.add_argument("-o", "--output", metavar="PAGE", help="write a page: one HTML file that needs nothing else")
    form.add_argument("--terminal", action="store_true", help="print the layers and the answer as text")


def run(args: argparse.Namespace) -> int:
    if args.terminal:
        _print_text(args)
    else:
        _write_page(args)
    return 0


def _networks(names: Sequence[str]) -> dict[str, VGG]:
    require([name for name in names if name in PUBLISHED])
    return {name: VGG.from_onnx(find(name)) for name in names}


def _print_text(args: argparse.Namespace) -> None:
    x = to_tensor(load_image(args.image), args.channels)
    networks = _networks(args.model or DEX_MODELS)
    for number, (name, net) in enumerate(networks.items()):
        if number == 0:
            views, values = watch(net, x)
            probabilities = values["prob"]
            print(layer_table(views))
        else:
            probabilities = net(x)
        print(f"\n{name}: {answer_chart(answer(probabilities[0]))}")


def _write_page(args: argparse.Namespace) -> None:
    path = Path(args.output)
    try:
        with written_whole(path) as file:  # that it can be written shows before the work, not after it
            file.write(_page(args).encode())
    except OSError as error:
        raise ArgumentError(f"{path}: cannot be written: {error.strerror}") from None
    print(f"{path}: {human_bytes(path.stat().st_size)}")


def _page(args: argparse.Namespace) -> str:
    from ..report.page import render

    image = load_image(args.image)
    networks = _networks(args.model or DEX_MODELS)
    standin = any(read_onnx(find(name)).producer.startswith("numpyvgg-standin") for name in networks)
    return render(
        [explain(net, image, channels=args.channels) for net in networks.values()],
        [Path(name).name for name in networks],
        title=Path(args.image).name,
        note=_STANDIN if standin else "",
    )
