"""Which published networks are on this machine, whether they are what was published, and files brought by hand."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

from ..errors import FetchError, ModelFormatError
from ..files.cache import cache_folder, written_whole
from ..files.caffe import read_caffe, read_model
from ..files.onnx import OnnxModel
from ..files.source import Source, open_plain, path_name, read_small
from ..text import human_bytes, progress_bar
from .registry import BUNDLED, NETWORKS, PUBLISHED, Published, published

CHUNK = 1 << 16
_LARGEST_RECORD = 10_000  # bytes


@dataclasses.dataclass(frozen=True)
class Record:
    """What is known of a file in the cache; kept beside it, so that half a gigabyte is hashed once and not at each use.

    Attributes
    ----------
    size, modified : int
        Of the file when this was written, in bytes and in nanoseconds: if they still hold, so does the rest.
    verified : str or None
        When its hash was found right (ISO 8601, UTC); None where the user insisted on an unverified file.
    source : str
        The address or the path that it came from.
    """

    size: int
    modified: int
    verified: str | None
    source: str


def record(name: str) -> Record | None:
    """The record of a published network's file, or None where the file is not here, or has changed since."""
    path = published(name).path
    try:
        fields = json.loads(read_small(_record_path(path), _LARGEST_RECORD))
        status = path.stat()
        known = Record(**fields)
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    if not isinstance(known.source, str) or not isinstance(known.verified, str | None):
        return None
    return known if (known.size, known.modified) == (status.st_size, status.st_mtime_ns) else None


def find(model: str | os.PathLike[str]) -> Path:
    """The file of a network that is given by its name or its path.

    A bundled network is inside the package. A published network's file that has no record (it was put into the cache
    folder by hand) is verified now.

    Raises
    ------
    ArgumentError
        It is neither a name nor the path of a file.
    FetchError
        The published network is not on this machine, or its file is not what was published; the message says which
        command puts that right. Or this is a slim wheel, which has not all bundled networks.
    """
    name = path_name(model)
    if name in BUNDLED:
        path = BUNDLED[name].path
        if not path.is_file():
            raise FetchError(
                f"{name} is not a part of this slim numpyvgg: install the whole one, or name another network or file"
            )
        return path
    if name not in PUBLISHED:
        if not os.path.lexists(name) and os.sep not in name and "." not in name:
            published(name)  # neither a file nor looking like one: a misspelt name
        return Path(name)
    require([name])
    if record(name) is None:
        _verify_in_place(PUBLISHED[name])
    return PUBLISHED[name].path


def open_model(model: str | os.PathLike[str]) -> OnnxModel:
    """Read a network that is given by its name or its path, an ONNX or a Caffe file; see `find` and `read_model`."""
    path, network = find(model), NETWORKS.get(os.fspath(model))
    try:
        if network is not None and network.layers:
            return read_caffe(path, Source(f"the layers of {network.name}", network.layers.encode()))
        return read_model(path)
    except ModelFormatError as error:
        name = _pointed_to(path)
        if name:
            raise ModelFormatError(
                f"{path}: a Git LFS pointer, not the network {name} itself: `numpyvgg fetch {name}` brings it"
            ) from None
        raise error


def _pointed_to(path: Path) -> str:
    """The published network that a Git LFS pointer stands for, by the hash in it; "" where it is none."""
    try:
        pointer = read_small(path, 1000)
    except (OSError, ValueError):
        return ""
    oid = re.search(rb"^oid sha256:([0-9a-f]{64})$", pointer, re.MULTILINE)
    return next((n.name for n in PUBLISHED.values() if oid and n.edition(oid[1].decode())), "")


def identify(model: str | os.PathLike[str], structure: str, classes: int) -> Published | None:
    """Which network that has a name this is, or None.

    Parameters
    ----------
    model : name or path
    structure : str
        What its graph was found to be: ``VGG-16``, or "".
    classes : int

    Returns
    -------
    Published or None
        By its name; of a file by what it is called if its structure and its number of classes fit too, else by its
        hash, which is taken only of a file that has a known network's size.
    """
    name = os.fspath(model)
    if name in NETWORKS:
        return NETWORKS[name]
    path = Path(name)
    called = os.path.basename(name)
    for network in NETWORKS.values():
        named = called in (network.file, *network.also_called)
        if named and network.structure and (network.structure, network.classes) == (structure, classes):
            return network
    size = path.stat().st_size
    alike = [network for network in NETWORKS.values() if size in network.sizes and network.classes == classes]
    digest = sha256(path) if alike else ""
    return next((network for network in alike if network.edition(digest)), None)


def require(names: list[str]) -> None:
    """Raise the `FetchError` that says how to fetch those of the published networks that are not here."""
    missing = [PUBLISHED[name] for name in names if not PUBLISHED[name].path.is_file()]
    if missing:
        sizes = " and ".join(f"{network.name} ({human_bytes(network.size)})" for network in missing)
        commands = ["numpyvgg fetch " + " ".join(served)] if (served := [n.name for n in missing if n.sources]) else []
        commands += [f"numpyvgg fetch {network.name} --from FILE" for network in missing if not network.sources]
        verb, how = "is" if len(missing) == 1 else "are", "`, `".join(commands)
        raise FetchError(f"{sizes} {verb} not in {cache_folder()}: fetch with `{how}`, or give the path of its file")


def adopt(name: str, path: str | os.PathLike[str], verify: bool = True) -> Path:
    """Copy a published network's file, carried to this machine by hand, into the cache.

    Parameters
    ----------
    name : str
        Of the published network.
    path : path
        Of the file.
    verify : bool
        Whether its hash has to be the published one. Without that, whatever the file holds answers under this name.

    Returns
    -------
    Path
        Where it is now.

    Raises
    ------
    FetchError
        The file cannot be read or copied, or has another hash.
    """
    network, source = published(name), Path(path)
    try:
        os.close(open_plain(source))
    except OSError as error:
        raise FetchError(f"{source}: {error.strerror or error}") from None
    digest = hashlib.sha256()
    try:
        if os.path.realpath(source) == os.path.realpath(network.path):
            raise FetchError(f"{source} is where {name} is kept already; it is verified when it is used")
        with written_whole(network.path) as file:
            for chunk in _chunks(source, f"copy {source.name}"):
                digest.update(chunk)
                file.write(chunk)
            if verify and not network.edition(digest.hexdigest()):
                raise FetchError(
                    f"{source}: not the published {name}: its sha256 is {digest.hexdigest()}, not {network.sha256}; "
                    "--no-verify takes it all the same"
                )
    except OSError as error:
        raise FetchError(
            f"{source}: cannot be copied to {network.path}: {error.strerror or error}; set NUMPYVGG_CACHE to choose "
            "another folder"
        ) from None
    write_record(network.path, network.edition(digest.hexdigest()) is not None, os.path.realpath(source))
    return network.path


def _verify_in_place(network: Published) -> None:
    digest = sha256(network.path)
    if not network.edition(digest):
        raise FetchError(
            f"{network.path}: not the published {network.name}: its sha256 is {digest}, not {network.sha256}; "
            f"fetch it again with `numpyvgg fetch {network.name}`"
        )
    write_record(network.path, verified=True, source="put there by hand")


def _record_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def write_record(path: Path, verified: bool, source: str) -> None:
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    status = path.stat()
    known = Record(status.st_size, status.st_mtime_ns, now if verified else None, source)
    with written_whole(_record_path(path)) as file:
        file.write(json.dumps(dataclasses.asdict(known), indent=2).encode())


def _chunks(path: Path, description: str) -> Iterator[bytes]:
    """The bytes of a file, piece by piece under a progress bar."""
    bar = progress_bar(total=path.stat().st_size, desc=description, unit="B", unit_scale=True)
    with os.fdopen(open_plain(path), "rb") as file, bar:
        while chunk := file.read(CHUNK):
            yield chunk
            bar.update(len(chunk))


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    for chunk in _chunks(path, f"verify {path.name}"):
        digest.update(chunk)
    return digest.hexdigest()
