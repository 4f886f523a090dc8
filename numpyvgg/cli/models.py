"""List the published networks, and which of them are on this machine."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

from ..errors import printable
from ..files.cache import cache_folder
from ..text import human_bytes, table
from ..zoo import NETWORKS, Published, record
from ..zoo.registry import Bundled
from .output import json_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON: hashes, licence, reference and addresses too")


def run(args: argparse.Namespace) -> int:
    if args.json:
        print(json_text([_record(network) for network in NETWORKS.values()], indent=2))
        return 0
    rows = [
        [network.name, network.labels, network.data_set, human_bytes(network.size), _state(network)]
        for network in NETWORKS.values()
    ]
    print(table(["network", "labels", "trained on", "size", "on this machine"], rows, "<<<><"))
    print()
    for network in NETWORKS.values():
        print(f"{network.name}: {network.file}, sha256 {network.sha256}")
        if network.earlier:
            print(f"  or its edition of {network.earlier.when}: {network.earlier.size} bytes, {network.earlier.sha256}")
    for licence, reference in dict.fromkeys((network.licence, network.reference) for network in NETWORKS.values()):
        print(f"Licence {licence}. {reference}")
    print(printable(f"Kept in {cache_folder()}"))
    return 0


def _state(network: Published) -> str:
    if not network.path.is_file():
        return "no"
    if isinstance(network, Bundled):
        return "bundled"
    known = record(network.name)
    if known is None:
        return "yes, verified when used"
    if known.verified and network.earlier and known.size == network.earlier.size:
        return f"verified {known.verified}, edition of {network.earlier.when}"
    return f"verified {known.verified}" if known.verified else f"not verified, from {known.source}"


def _record(network: Published) -> dict[str, Any]:
    known = None if isinstance(network, Bundled) else record(network.name)
    here = {"path": str(network.path), "here": network.path.is_file()}
    return {
        **{field.name: getattr(network, field.name) for field in dataclasses.fields(network)},
        "earlier": dataclasses.asdict(network.earlier) if network.earlier else None,
        "labels": str(network.labels),
        "preparation": str(network.preparation),
        "preparations": list(network.preparations),
        "sources": network.sources,
        **here,
        "verified": known.verified if known else None,
        "from": known.source if known else None,
    }
