"""How a published network comes to this machine over the network: resumed where it was interrupted, verified, whole.

What is there already is worth more than what a server says. A login page, an error with the status 200, or a file of
another length never touches the part of an earlier download; only a file whose hash is right replaces it.

Fetching needs ``pip install requests filelock``; a file that is carried in by hand (`store.adopt`) does not.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import urljoin

from ..errors import FetchError, MissingExtraError
from ..text import human_bytes, progress_bar
from .registry import Published, published
from .store import record, sha256, write_record

if TYPE_CHECKING:
    from requests import Response

#: Seconds of silence after which a source is given up
TIMEOUT = 60.0
#: Bytes a second below which a source is given up, over as many seconds: at that rate 500 MB take a week
SLOWEST, PATIENCE = 1000.0, 60.0
#: Bytes read at once; of an interrupted download, no more is lost
CHUNK = 1 << 16
#: Seconds after which a file that another process has not gone on with is nobody's
ABANDONED = 3600.0


class _Refused(Exception):
    """Why a source is given up."""


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
        requests or filelock is not installed.
    """
    network = published(name)
    if not network.sources and not network.path.is_file():
        raise FetchError(
            f"{name}: no address is known to serve {network.file}; bring the file by hand: "
            f"`numpyvgg fetch {name} --from {network.file}` ({network.reference})"
        )
    path = network.path
    try:
        import requests  # noqa: F401 - only whether it is there
        from filelock import FileLock
    except ImportError as error:
        raise MissingExtraError(
            f"fetching needs {error.name}: pip install requests filelock; or bring the file by hand: "
            f"`numpyvgg fetch {name} --from FILE`"
        ) from None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f"{path.name}.lock")):
            _sweep(path)
            known = record(name)
            if known is None or known.verified is None:
                write_record(path, verified=True, source=_first_that_serves(network))
    except OSError as error:
        kept = _size(_part(path))
        also = f"; {human_bytes(kept)} of it are kept in {_part(path)}" if kept else ""
        raise FetchError(
            f"{path}: cannot be written: {error.strerror or error}{also}; set NUMPYVGG_CACHE to choose another folder"
        ) from None
    return path


def _sweep(path: Path) -> None:
    """Remove what killed processes have left of this file, and the empty files that earlier versions left."""
    _keep_the_longer(path, _anew(path), doubtful=False)
    left = [*path.parent.glob(f"{path.name}.*.part"), *path.parent.glob("tmp????????")]
    for file in left:
        with contextlib.suppress(OSError):
            status = file.lstat()
            if time.time() - status.st_mtime > ABANDONED and (file.suffix == ".part" or status.st_size == 0):
                file.unlink()


def _part(path: Path) -> Path:
    """What has arrived of a file."""
    return path.with_name(f"{path.name}.part")


def _anew(path: Path) -> Path:
    """What has arrived of a file that a server sends from its beginning although there is a part."""
    return path.with_name(f"{path.name}.anew.part")


def _size(path: Path) -> int:
    """Of a file, 0 where there is none."""
    return path.stat().st_size if path.is_file() else 0


def _first_that_serves(network: Published) -> str:
    """Try each source -> the one that had the file, which is verified and in its place then."""
    if network.path.is_file() and network.edition(sha256(network.path)):
        return "put there by hand"
    part = _part(network.path)
    have = _size(part)
    if have >= min(network.sizes):
        if network.edition(sha256(part)):  # it had come whole, and no more
            os.replace(part, network.path)
            return "put there by hand"
        if have >= network.largest:
            part.unlink()
    missing, free = network.largest - _size(part), shutil.disk_usage(part.parent).free
    if free < missing:
        raise FetchError(
            f"{part.parent}: {network.name} takes {human_bytes(missing)} more, but {human_bytes(free)} are free: make "
            "room, or set NUMPYVGG_CACHE to a folder on a larger disk"
        )
    failures = []
    for url in network.sources:
        try:
            _download(network, url)
            return url
        except _Refused as refusal:
            failures.append(f"{url}: {refusal}")
    raise FetchError(
        f"{network.name} cannot be fetched: {'; '.join(failures)}. Where another machine can, bring the file by hand: "
        f"`numpyvgg fetch {network.name} --from FILE`"
    )


# ---------------------------------------------------------------------- one source


def _download(network: Published, url: str) -> None:
    """Fetch and verify a file from one address: the rest of it and, where that is not to be had, all of it."""
    have = _size(_part(network.path))
    doubtful = False  # whether the part that is here turned out not to be the beginning of that file
    for offset in dict.fromkeys((have, 0)):
        with contextlib.closing(_request(url, offset)) as response:
            start, total = _announced(network, response, offset)
            if start is None:
                continue
            target = _target(network, start, have)
            if total is None and _size(target) > start:
                raise _Refused("it does not say how long the file is")
            try:
                _receive(network, response, target, start, total)
            except BaseException:
                _keep_the_longer(network.path, target, doubtful)
                raise
        if network.edition(sha256(target)):
            os.replace(target, network.path)
            _part(network.path).unlink(missing_ok=True)
            return
        if start == 0:
            target.unlink()
            break
        os.truncate(target, have)
        doubtful = True
    raise _Refused("what it serves has another sha256 than the published file")


def _target(network: Published, start: int, have: int) -> Path:
    """Where to write: to the part, or beside it where all is sent anew and there is room for both."""
    part = _part(network.path)
    room = shutil.disk_usage(part.parent).free >= network.largest
    return part if start == have or not room else _anew(network.path)


def _keep_the_longer(path: Path, target: Path, doubtful: bool) -> None:
    """Of two parts of a file; what has come anew has the preference where the other is doubtful."""
    part = _part(path)
    with contextlib.suppress(OSError):
        if target != part and _size(target):
            os.replace(target, part) if doubtful or _size(target) > _size(part) else target.unlink()
        elif target.exists() and not _size(target):
            target.unlink()


def _request(url: str, offset: int) -> Response:
    """Ask for a file from a byte on, following redirections -> the response, of which the headers have come.

    In a thread of its own: a server that sends a byte of its headers now and then would not end otherwise. The bodies
    of redirections, which a session would read, may be endless: hence its adapter.
    """
    import requests

    result: list[Any] = []

    def ask() -> None:
        try:
            headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={offset}-"} if offset else {})
            session, address = requests.Session(), url
            for _ in range(10):
                request = session.prepare_request(requests.Request("GET", address, headers=headers))
                settings: Any = session.merge_environment_settings(address, {}, True, None, None)
                response = session.get_adapter(address).send(request, timeout=TIMEOUT, **settings)
                if not response.is_redirect:
                    result.append(response)
                    return
                address = urljoin(address, response.headers["Location"])
                response.close()
            raise _Refused("more than ten redirections")
        except Exception as error:  # anything that a server can bring about
            result.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(2 * TIMEOUT)
    answer = result[0] if result else requests.Timeout()
    if isinstance(answer, requests.ConnectionError | requests.Timeout):
        raise _Refused(f"no connection, or none that spoke within {TIMEOUT:g} s")
    if isinstance(answer, Exception):
        raise _Refused(str(answer) or type(answer).__name__)
    return answer


def _announced(network: Published, response: Response, offset: int) -> tuple[int | None, int | None]:
    """What the headers promise -> (the first byte's place in the file, the file's length; each None if not said).

    No first byte: the server cannot go on from `offset`.
    """
    headers, status = response.headers, response.status_code
    if status == 416 and offset:
        return None, None
    if status not in (200, 206):
        raise _Refused(f"{status} {response.reason}")
    if headers.get("Content-Type", "").startswith("text/html"):
        raise _Refused("it serves a web page, not the file; does this network want a login?")
    if headers.get("Content-Encoding", "identity") != "identity":
        raise _Refused("it serves the file compressed")
    start, length = 0, headers.get("Content-Length", "")
    if status == 206:
        found = re.fullmatch(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18})", headers.get("Content-Range", ""))
        if not found or int(found[1]) != offset:
            return None, None
        start, length = offset, found[2]
    if not length:
        return start, None
    if not re.fullmatch(r"\d{1,18}", length) or int(length) not in network.sizes:
        sizes = " or ".join(map(str, network.sizes))
        raise _Refused(f"it serves {length[:40]} bytes, not the published file's {sizes}")
    return start, int(length)


def _receive(network: Published, response: Response, target: Path, start: int, total: int | None) -> None:
    """Write what comes to a file, from `start` on; nothing that cannot be of that file is kept."""
    end = total or network.largest
    bar = progress_bar(total=end, desc=f"fetch {network.file}", unit="B", unit_scale=True)
    with _opened(target) as file, bar:
        file.truncate(start)
        file.seek(start)
        bar.update(start)
        try:
            for chunk in _pieces(response):
                if file.tell() + len(chunk) > end:
                    raise _Refused(f"it sends more than the published file's {end} bytes")
                file.write(chunk)
                bar.update(len(chunk))
            arrived = file.tell()
            if arrived not in ([total] if total else network.sizes):
                raise _Refused(f"the connection was cut after {arrived} of {end} bytes; try again to go on from there")
        except BaseException:
            if total is None:  # it may have been anything
                file.truncate(start)
            raise
        finally:
            os.fsync(file.fileno())


def _pieces(response: Response) -> Iterator[bytes]:
    """What comes, as it comes, as long as it comes fast enough."""
    from http.client import HTTPException

    from urllib3.exceptions import HTTPError, ReadTimeoutError

    since, arrived = time.monotonic(), 0
    while True:
        try:
            chunk = response.raw.read1(CHUNK, decode_content=False)
        except ReadTimeoutError:
            raise _Refused(f"no connection, or none that spoke within {TIMEOUT:g} s") from None
        except (HTTPError, HTTPException, OSError, ValueError):
            chunk = b""  # whoever writes sees what is missing
        if not chunk:
            return
        yield chunk
        arrived += len(chunk)
        if time.monotonic() - since > PATIENCE:
            if arrived < SLOWEST * PATIENCE:
                raise _Refused(f"less than {human_bytes(int(SLOWEST))} a second")
            since, arrived = time.monotonic(), 0


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """A part, open for writing: a plain file and nothing else, for it may be another's folder."""
    flags = os.O_RDWR | os.O_CREAT | sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))
    descriptor = os.open(path, flags, 0o666)
    with os.fdopen(descriptor, "r+b", buffering=0) as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            raise OSError(errno.EPERM, f"{path} is not a plain file; remove it")
        yield file
