"""Bring published networks to this machine."""

from __future__ import annotations

import argparse

from ..errors import ArgumentError, printable
from ..zoo import PUBLISHED, adopt, fetch


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Half a gigabyte is too much? age-googlenet and gender-googlenet take 24 MB each: eight groups of ages."
    )
    parser.add_argument("names", metavar="NAME", nargs="*", help=f"of a network: {', '.join(PUBLISHED)}")
    parser.add_argument("--all", action="store_true", help="all of them that are served somewhere")
    parser.add_argument("--from", metavar="FILE", dest="file", help="take this file, and copy it into the cache")
    parser.add_argument("--no-verify", action="store_true", help="with --from: take it whatever its hash is")


def run(args: argparse.Namespace) -> int:
    names = [name for name, network in PUBLISHED.items() if network.sources] if args.all else args.names
    if not names or (args.all and args.names):
        raise ArgumentError(f"name the networks to fetch ({', '.join(PUBLISHED)}), or give --all")
    if args.file is None:
        if args.no_verify:
            raise ArgumentError("--no-verify goes with --from FILE; what comes over the network is always verified")
        for name in names:
            print(printable(f"{name}: {fetch(name)}"))
        return 0
    if len(names) != 1:
        raise ArgumentError(f"--from brings one network at a time, not {len(names)}")
    print(printable(f"{names[0]}: {adopt(names[0], args.file, verify=not args.no_verify)}"))
    return 0
