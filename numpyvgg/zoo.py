"""The published networks: what they are, where they are served, and how they come to this machine whole.

They are the DEX networks of Rothe, Timofte and Van Gool, converted from Caffe to ONNX for the ONNX model zoo, and the
zoo's two UltraFace detectors, which find the faces that the DEX networks look at (see `numpyvgg.faces`). Their
sizes and hashes are those of the zoo's own Git LFS pointers; the zoo stopped serving them on 1 July 2025, and its files
moved to the two places in `SOURCES`. Whatever serves a file, its hash decides whether it is used.

Fetching needs ``pip install 'numpyvgg[fetch]'``; a file that is carried in by hand (`adopt`) does not.
"""

from __future__ import annotations

import dataclasses
import datetime
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .cache import cache_folder, written_whole
from .caffe_file import read_model
from .errors import ArgumentError, FetchError, MissingExtraError
from .onnx_file import OnnxModel
from .text import human_bytes

if TYPE_CHECKING:
    from tqdm import tqdm

#: Where a file is asked for, in this order
SOURCES = (
    "https://huggingface.co/onnxmodelzoo/{stem}/resolve/main/{file}",
    "https://huggingface.co/onnxmodelzoo/legacy_models/resolve/main/validated/vision/body_analysis/{folder}/models/{file}",
)
#: Seconds of silence after which a source is given up
TIMEOUT = 60.0
_CHUNK = 1 << 16  # of an interrupted download, at most this much is lost

LICENCE = "Apache-2.0"
REFERENCE = (
    "R. Rothe, R. Timofte, L. Van Gool: Deep expectation of real and apparent age from a single image without facial "
    "landmarks. IJCV 126, 2018, doi:10.1007/s11263-016-0940-3"
)


@dataclasses.dataclass(frozen=True)
class Published:
    """A network that its authors published.

    Attributes
    ----------
    name : str
        What this package calls it.
    file : str
        What its file is called.
    size : int
        In bytes.
    sha256 : str
    classes : int
    labels : str
        What the classes mean.
    data_set : str
        What it was trained on.
    folder : str
        Where the model zoo kept it.
    """

    name: str
    file: str
    size: int
    sha256: str
    classes: int
    labels: str
    data_set: str
    licence: str = LICENCE
    reference: str = REFERENCE
    folder: str = "age_gender"

    @property
    def sources(self) -> list[str]:
        """The addresses that serve it, in the order in which they are tried."""
        return [
            source.format(stem=self.file.removesuffix(".onnx"), file=self.file, folder=self.folder)
            for source in SOURCES
        ]

    @property
    def path(self) -> Path:
        """Where it is kept on this machine, when it is here."""
        return cache_folder() / self.file


_AGES, _GENDERS = "age, years 0 to 100", "0 female, 1 male"
_ULTRAFACE: dict[str, Any] = {
    "classes": 2,
    "labels": "0 background, 1 face, at each of its boxes",
    "data_set": "WIDER FACE",
    "licence": "MIT",
    "reference": "Linzaer: Ultra-Light-Fast-Generic-Face-Detector-1MB, 2019",
    "folder": "ultraface",
}
PUBLISHED = {
    network.name: network
    for network in (
        Published(
            name="age-chalearn",
            file="vgg_ilsvrc_16_age_chalearn_iccv2015.onnx",
            size=538_703_700,
            sha256="87d6cd8ddb43e575ea4b00488f16ce872148d6f57e8f8c3c07598381c7a680ed",
            classes=101,
            labels=_AGES,
            data_set="ChaLearn LAP 2015, apparent age",
        ),
        Published(
            name="age-imdb-wiki",
            file="vgg_ilsvrc_16_age_imdb_wiki.onnx",
            size=538_703_692,
            sha256="de4ee80ac6d7cb98143896e0bb153b569409b893e7256b09fbbfb1f858f899e8",
            classes=101,
            labels=_AGES,
            data_set="IMDB-WIKI, real age",
        ),
        Published(
            name="gender-imdb-wiki",
            file="vgg_ilsvrc_16_gender_imdb_wiki.onnx",
            size=537_081_253,
            sha256="7a7228714a0b477f16ef91aef54892aa17df050668908ea6c1334312946b4bb2",
            classes=2,
            labels=_GENDERS,
            data_set="IMDB-WIKI",
        ),
        Published(
            name="ultraface-320",
            file="version-RFB-320.onnx",
            size=1_270_727,
            sha256="34cd7e60aeff28744c657de7a3dc64e872d506741de66987f3426f2b79f88017",
            **_ULTRAFACE,
        ),
        Published(
            name="ultraface-640",
            file="version-RFB-640.onnx",
            size=1_588_012,
            sha256="8f4c659275977e7a3bfbfa339a9c769ad793df50f9c0baa8c14b11baa1646430",
            **_ULTRAFACE,
        ),
    )
}


# ---------------------------------------------------------------------- what is here


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
        known = Record(**json.loads(_record_path(path).read_text()))
        status = path.stat()
    except (OSError, ValueError, TypeError):
        return None
    return known if (known.size, known.modified) == (status.st_size, status.st_mtime_ns) else None


def published(name: str) -> Published:
    """A published network by its name.

    Raises
    ------
    ArgumentError
        There is none of that name.
    """
    if name not in PUBLISHED:
        raise ArgumentError(f"no network is called {name!r}; there are {', '.join(PUBLISHED)}, and paths of files")
    return PUBLISHED[name]


def find(model: str | os.PathLike[str]) -> Path:
    """The file of a network that is given by its name or its path.

    A published network's file that has no record (it was put into the cache folder by hand) is verified now.

    Raises
    ------
    ArgumentError
        It is neither a name nor the path of a file.
    FetchError
        The published network is not on this machine, or its file is not what was published; the message says which
        command puts that right.
    """
    name = os.fspath(model)
    if name not in PUBLISHED:
        if not os.path.exists(name) and os.sep not in name and "." not in name:
            published(name)  # neither a file nor looking like one: a misspelt name
        return Path(name)
    require([name])
    if record(name) is None:
        _verify_in_place(PUBLISHED[name])
    return PUBLISHED[name].path


def open_model(model: str | os.PathLike[str]) -> OnnxModel:
    """Read a network that is given by its name or its path, an ONNX or a Caffe file; see `find` and `read_model`."""
    return read_model(find(model))


def require(names: list[str]) -> None:
    """Raise the `FetchError` that says how to fetch those of the published networks that are not here."""
    missing = [PUBLISHED[name] for name in names if not PUBLISHED[name].path.is_file()]
    if missing:
        sizes = " and ".join(f"{network.name} ({human_bytes(network.size)})" for network in missing)
        command = " ".join(["numpyvgg fetch", *(network.name for network in missing)])
        verb = "is" if len(missing) == 1 else "are"
        raise FetchError(f"{sizes} {verb} not in {cache_folder()}: fetch with `{command}`, or give --model PATH")


def _verify_in_place(network: Published) -> None:
    digest = _sha256(network.path)
    if digest != network.sha256:
        raise FetchError(
            f"{network.path}: not the published {network.name}: its sha256 is {digest}, not {network.sha256}; "
            f"fetch it again with `numpyvgg fetch {network.name}`"
        )
    _write_record(network.path, verified=True, source="put there by hand")


def _record_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _write_record(path: Path, verified: bool, source: str) -> None:
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    status = path.stat()
    known = Record(status.st_size, status.st_mtime_ns, now if verified else None, source)
    with written_whole(_record_path(path)) as file:
        file.write(json.dumps(dataclasses.asdict(known), indent=2).encode())


def _chunks(path: Path, description: str) -> Iterator[bytes]:
    """The bytes of a file, piece by piece under a progress bar."""
    with path.open("rb") as file, _bar(path.stat().st_size, description) as bar:
        while chunk := file.read(_CHUNK):
            yield chunk
            bar.update(len(chunk))


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    for chunk in _chunks(path, f"verify {path.name}"):
        digest.update(chunk)
    return digest.hexdigest()


def _bar(total: int, description: str) -> tqdm:
    from tqdm import tqdm  # not above: a tenth of the time from a program's start to its first answer

    return tqdm(total=total, desc=description, unit="B", unit_scale=True, disable=None)


# ---------------------------------------------------------------------- by hand


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
    digest = hashlib.sha256()
    try:
        if source.resolve() == network.path.resolve():
            raise FetchError(f"{source} is where {name} is kept already; it is verified when it is used")
        with written_whole(network.path) as file:
            for chunk in _chunks(source, f"copy {source.name}"):
                digest.update(chunk)
                file.write(chunk)
            if verify and digest.hexdigest() != network.sha256:
                raise FetchError(
                    f"{source}: not the published {name}: its sha256 is {digest.hexdigest()}, not {network.sha256}; "
                    "--no-verify takes it all the same"
                )
    except OSError as error:
        raise FetchError(f"{source}: cannot be copied to {network.path}: {error.strerror or error}") from None
    _write_record(network.path, digest.hexdigest() == network.sha256, str(source.resolve()))
    return network.path


# ---------------------------------------------------------------------- over the network


def fetch(name: str) -> Path:
    """Bring a published network to this machine, unless it is here.

    The sources are tried in order. What arrives is kept under a ``.part`` name, and an interrupted download goes on
    from there the next time; only when the whole file's hash is right does it get its own name. While one process
    fetches a network, others wait for it.

    Parameters
    ----------
    name : str

    Returns
    -------
    Path

    Raises
    ------
    FetchError
        No source has it, or the disk is full; the message says what happened at each source.
    MissingExtraError
        pooch or filelock is not installed.
    """
    network = published(name)
    path, part = network.path, _part_path(network.path)
    try:
        from filelock import FileLock
        from pooch import get_logger
    except ImportError as error:
        raise MissingExtraError(
            f"fetching needs {error.name}: pip install 'numpyvgg[fetch]'; or bring the file by hand: "
            f"`numpyvgg fetch {name} --from FILE`"
        ) from None
    get_logger().setLevel("ERROR")  # what goes on is said in this package's own words
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f"{path.name}.lock")):
            known = record(name)
            if known is None or known.verified is None:
                _write_record(path, verified=True, source=_first_that_serves(network))
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            part.unlink(missing_ok=True)  # a full disk is in the way of more than this
        raise FetchError(f"{path}: cannot be written: {error.strerror or error}") from None
    return path


def _part_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.part")


def _first_that_serves(network: Published) -> str:
    """Try each source -> the one that had the file, which is verified and in its place then."""
    if network.path.is_file() and _sha256(network.path) == network.sha256:
        return "put there by hand"
    free = shutil.disk_usage(network.path.parent).free
    if free < network.size:
        raise FetchError(
            f"{network.path.parent}: {network.name} takes {human_bytes(network.size)}, but {human_bytes(free)} are "
            "free: make room, or set NUMPYVGG_CACHE to a folder on a larger disk"
        )
    failures = []
    for url in network.sources:
        failure = _download(network, url)
        if failure is None:
            return url
        failures.append(f"{url}: {failure}")
    raise FetchError(
        f"{network.name} cannot be fetched: {'; '.join(failures)}. Where another machine can, bring the file by hand: "
        f"`numpyvgg fetch {network.name} --from FILE`"
    )


def _download(network: Published, url: str) -> str | None:
    """Fetch and verify a file from one address -> None, or why that did not work."""
    import pooch
    from requests import exceptions

    part = _part_path(network.path)
    resumed = part.is_file() and part.stat().st_size > 0
    try:
        pooch.retrieve(url, network.sha256, network.file, network.path.parent, downloader=_Resuming(network))
    except exceptions.HTTPError as error:
        return f"{error.response.status_code} {error.response.reason}"
    except (exceptions.ChunkedEncodingError, _WrongLength) as error:
        return (
            str(error) if isinstance(error, _WrongLength) else "the connection was cut; try again to go on from there"
        )
    except (exceptions.ConnectionError, exceptions.Timeout):
        return f"no connection, or none that spoke within {TIMEOUT:g} s"
    except exceptions.RequestException as error:
        return str(error)
    except ValueError:  # pooch's word for a wrong hash; the part is gone
        return _download(network, url) if resumed else "what it serves has another sha256 than the published file"
    finally:
        if part.is_file() and part.stat().st_size == 0:
            part.unlink()
    return None


class _WrongLength(Exception):
    """A source serves a file of another size, or ended early."""


class _Resuming:
    """What pooch calls to download: goes on from the part that is there, where the server can do that."""

    def __init__(self, network: Published):
        self.size = network.size
        self.part = _part_path(network.path)

    def __call__(self, url: str, output_file: str, pooch: object) -> None:
        from pooch import HTTPDownloader
        from tqdm.utils import CallbackIOWrapper

        with self.part.open("ab") as file, _bar(self.size, f"fetch {self.part.stem}") as bar:
            self._file, self._bar = file, bar
            if file.tell() > self.size:
                file.truncate(0)
            if file.tell() < self.size:
                headers = {"Accept-Encoding": "identity", "Range": f"bytes={file.tell()}-"}
                hooks = {"response": self._begin}
                download = HTTPDownloader(chunk_size=_CHUNK, timeout=TIMEOUT, headers=headers, hooks=hooks)
                download(url, CallbackIOWrapper(bar.update, file, "write"), None)
            if file.tell() != self.size:
                raise _WrongLength(f"the connection ended after {file.tell()} of {self.size} bytes")
        os.replace(self.part, output_file)

    def _begin(self, response: Any, *args: object, **kwargs: object) -> None:
        """Called by requests when the headers are there: does this fit what we have?"""
        if response.status_code == 200:  # a server that does not do ranges sends everything
            self._file.truncate(0)
        elif response.status_code != 206:
            return  # a redirection, or an error
        have = os.fstat(self._file.fileno()).st_size
        self._bar.update(have - self._bar.n)
        length = int(response.headers.get("Content-Length", self.size - have))
        if have + length != self.size:
            raise _WrongLength(f"it serves {have + length} bytes, not the published file's {self.size}")
