"""How a published network comes to this machine over the network: resumed where it was interrupted, verified, whole.

Fetching needs ``pip install 'numpyvgg[fetch]'``; a file that is carried in by hand (`store.adopt`) does not.
"""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

from ..errors import FetchError, MissingExtraError
from ..text import human_bytes
from .registry import Published, published
from .store import CHUNK, progress_bar, record, sha256, write_record

#: Seconds of silence after which a source is given up
TIMEOUT = 60.0


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
    if not network.sources and not network.path.is_file():
        raise FetchError(
            f"{name}: no address is known to serve {network.file}; bring the file by hand: "
            f"`numpyvgg fetch {name} --from {network.file}` ({network.reference})"
        )
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
                write_record(path, verified=True, source=_first_that_serves(network))
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            part.unlink(missing_ok=True)  # a full disk is in the way of more than this
        raise FetchError(
            f"{path}: cannot be written: {error.strerror or error}; set NUMPYVGG_CACHE to choose another folder"
        ) from None
    return path


def _part_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.part")


def _first_that_serves(network: Published) -> str:
    """Try each source -> the one that had the file, which is verified and in its place then."""
    if network.path.is_file() and sha256(network.path) == network.sha256:
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

        with self.part.open("ab") as file, progress_bar(self.size, f"fetch {self.part.stem}") as bar:
            self._file, self._bar = file, bar
            if file.tell() > self.size:
                file.truncate(0)
            if file.tell() < self.size:
                headers = {"Accept-Encoding": "identity", "Range": f"bytes={file.tell()}-"}
                hooks = {"response": self._begin}
                download = HTTPDownloader(chunk_size=CHUNK, timeout=TIMEOUT, headers=headers, hooks=hooks)
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
