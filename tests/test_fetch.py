"""Whatever a server does, a fetch ends, loses nothing that was here, and gives nobody a wrong file."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import random
import signal
import socketserver
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from numpyvgg import zoo
from numpyvgg.errors import FetchError
from numpyvgg.zoo import download, registry

NAME = "age-imdb-wiki"
DATA = np.random.default_rng(0).bytes(300_000)
HAVE = 200_000  # of a part that is here already
OTHER = np.random.default_rng(1).bytes(len(DATA))


class Server(socketserver.ThreadingTCPServer):
    """Gives each connection to the manner that its path names: /MANNER/FILE."""

    daemon_threads = allow_reuse_address = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[str] = []
        self.stop = threading.Event()
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def handle_error(self, request, client_address):
        """Clients hang up, which is what they should do."""


class Handler(socketserver.StreamRequestHandler):
    """One request: `start` is the first byte that was asked for, `ranged` whether one was."""

    def handle(self):
        lines = []
        while (line := self.rfile.readline()) not in (b"\r\n", b""):
            lines.append(line.decode("latin-1").strip())
        if not lines:
            return
        self.path = lines[0].split()[1]
        manner = self.path.split("/")[1]
        headers = dict(line.lower().split(": ", 1) for line in lines[1:])
        self.ranged = "range" in headers
        self.start = int(headers.get("range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        self.server.requests.append(manner)
        with contextlib.suppress(OSError):
            MANNERS[manner][0](self)

    def send(self, *parts: bytes | str) -> None:
        for part in parts:
            self.wfile.write(part.encode("latin-1") if isinstance(part, str) else part)

    def head(self, status="200 OK", length: int | str | None = None, **headers: str) -> None:
        lines = [
            f"HTTP/1.1 {status}",
            "Connection: close",
            *(f"{k.replace('_', '-')}: {v}" for k, v in headers.items()),
        ]
        lines += [] if length is None else [f"Content-Length: {length}"]
        self.send("\r\n".join(lines), "\r\n\r\n")

    def partial(self, data: bytes = DATA, first: int | None = None, total: int | str | None = None, **headers) -> None:
        """The headers of an honest answer to a range, or with something changed."""
        if not self.ranged:
            self.head(length=len(data), **headers)
            return
        first, total = self.start if first is None else first, len(data) if total is None else total
        place = f"bytes {first}-{len(data) - 1}/{total}"
        self.head("206 Partial Content", len(data) - self.start, Content_Range=place, **headers)

    def honest(self, data: bytes = DATA) -> None:
        self.partial(data)
        self.send(data[self.start :])

    def whole(self, data: bytes = DATA) -> None:
        self.head(length=len(data))
        self.send(data)

    def chunked(self, pieces, end: bytes = b"0\r\n\r\n", **headers: str) -> None:
        self.head(Transfer_Encoding="chunked", **headers)
        for piece in pieces:
            self.send(f"{len(piece):x}\r\n", piece, "\r\n")
        self.send(end)

    def forever(self, piece: bytes):
        while not self.server.stop.is_set():
            yield piece

    def drip(self, data: bytes) -> None:
        for i in range(len(data)):
            if self.server.stop.wait(0.05):
                return
            self.send(data[i : i + 1])

    def redirect(self, location: str, body: bytes = b"") -> None:
        self.head("302 Found", len(body), Location=location)
        self.send(body)


def cut(handler: Handler) -> None:
    handler.partial()
    handler.send(DATA[handler.start : handler.start + 50_000])


def hold(handler: Handler) -> None:
    handler.server.stop.wait(20)


def gzip_bomb(handler: Handler) -> None:
    import zlib

    bomb = zlib.compressobj(9, zlib.DEFLATED, 31)
    body = b"".join([bomb.compress(bytes(10**7)) for _ in range(20)] + [bomb.flush()])
    handler.head(length=len(body), Content_Encoding="gzip")
    handler.send(body)


ALL, REFUSED = True, False
#: manner -> (what the server does, whether the file arrives; "anew": only where there is no part)
MANNERS = {
    # honest ones
    "good": (Handler.honest, ALL),
    "no-ranges": (Handler.whole, ALL),
    "chunked": (lambda h: h.chunked([DATA[i : i + 9000] for i in range(0, len(DATA), 9000)]), ALL),
    "no-length": (lambda h: (h.head(), h.send(DATA)), ALL),
    "redirected": (lambda h: h.redirect("/good/x"), ALL),
    "redirected-nowhere-with-a-body": (lambda h: h.redirect("/good/x", b"x" * 10**6), ALL),
    "small-pieces": (
        lambda h: (h.partial(), [h.send(DATA[i : i + 5000]) for i in range(h.start, len(DATA), 5000)]),
        ALL,
    ),
    "part-unwanted": (lambda h: h.head("416 Range Not Satisfiable", 0) if h.ranged else h.whole(), ALL),
    "wrong-place": (lambda h: (h.partial(first=5), h.send(DATA[5:])) if h.ranged else h.whole(), ALL),
    "no-place": (lambda h: (h.head("206 Partial", len(DATA)), h.send(DATA)) if h.ranged else h.whole(), ALL),
    "place-of-unknown-total": (
        lambda h: (h.partial(total="*"), h.send(DATA[h.start :])) if h.ranged else h.whole(),
        ALL,
    ),
    "rest-of-another": (lambda h: h.honest(OTHER) if h.ranged else h.whole(), ALL),
    # errors
    "missing": (lambda h: h.head("404 Not Found", 0), REFUSED),
    "broken": (lambda h: (h.head("500 Oh", 5), h.send("sorry")), REFUSED),
    "busy": (lambda h: h.head("503 Busy", 0, Retry_After="99999999"), REFUSED),
    "forbidden": (lambda h: h.head("403 \x1b[31mNo\x07", 0), REFUSED),
    "empty": (lambda h: h.head(length=0), REFUSED),
    "nothing-more": (lambda h: h.head("204 No Content"), REFUSED),
    "never-satisfied": (lambda h: h.head("416 Range Not Satisfiable", 0), REFUSED),
    "login": (lambda h: (h.head(length=20, Content_Type="text/html"), h.send("<html>login</html>  ")), REFUSED),
    "login-without-length": (lambda h: (h.head(Content_Type="text/html; charset=x"), h.send("<html>")), REFUSED),
    "login-in-disguise": (lambda h: (h.head(), h.send("<html>please log in</html>")), REFUSED),
    "login-chunked": (lambda h: h.chunked([b"<html>please", b" log in</html>"]), REFUSED),
    # lengths
    "longer": (lambda h: h.whole(DATA + b"x"), REFUSED),
    "shorter": (lambda h: h.whole(DATA[:-1]), REFUSED),
    "negative": (lambda h: (h.head(length=-1), h.send(DATA)), REFUSED),
    "length-of-letters": (lambda h: (h.head(length="abc"), h.send(DATA)), REFUSED),
    "length-of-a-thousand-digits": (lambda h: (h.head(length="9" * 1000), h.send(DATA)), REFUSED),
    "two-lengths": (lambda h: (h.head(length=len(DATA), Content_length="5"), h.send(DATA)), REFUSED),
    "other-total": (lambda h: h.partial(total=len(DATA) + 1), REFUSED),
    "endless": (lambda h: (h.head(), [h.send(piece) for piece in h.forever(bytes(1 << 16))]), REFUSED),
    "endless-chunks": (lambda h: h.chunked(h.forever(bytes(1 << 16))), REFUSED),
    "one-endless-chunk": (
        lambda h: (h.head(Transfer_Encoding="chunked"), h.send("f" * 16 + "\r\n", bytes(10**6))),
        REFUSED,
    ),
    "broken-chunks": (lambda h: (h.head(Transfer_Encoding="chunked"), h.send("zz\r\nabc")), REFUSED),
    "compressed": (gzip_bomb, REFUSED),
    # contents
    "another-file": (lambda h: h.honest(OTHER), REFUSED),
    "another-file-without-ranges": (lambda h: h.whole(OTHER), REFUSED),
    # ends
    "cut": (cut, REFUSED),
    "cut-at-once": (lambda h: h.partial(), REFUSED),
    "cut-chunks": (lambda h: h.chunked([DATA[:1000]], end=b"fff\r\nabc"), REFUSED),
    "silent": (lambda h: (h.partial(), h.send(DATA[h.start : h.start + 1000]), hold(h)), REFUSED),
    "silent-at-once": (hold, REFUSED),
    "hung-up": (lambda h: None, REFUSED),
    "reset": (lambda h: h.connection.close(), REFUSED),
    "dripping": (lambda h: (h.partial(), h.drip(DATA[h.start :])), REFUSED),
    "dripping-chunks": (lambda h: (h.head(Transfer_Encoding="chunked"), h.drip(b"1\r\nx\r\n" * 9999)), REFUSED),
    "dripping-headers": (lambda h: h.drip(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 9999), REFUSED),
    # headers
    "no-http": (lambda h: h.send(b"220 smtp ready\r\n"), REFUSED),
    "noise": (lambda h: h.send(os.urandom(10_000)), REFUSED),
    "status-of-letters": (lambda h: h.send("HTTP/1.1 abc\r\n\r\n"), REFUSED),
    "many-headers": (lambda h: h.send("HTTP/1.1 200 OK\r\n", "X: y\r\n" * 100_000, "\r\n"), REFUSED),
    "a-long-header": (lambda h: h.send("HTTP/1.1 200 OK\r\nX: ", "y" * 10**6, "\r\n\r\n"), REFUSED),
    "endless-continue": (lambda h: [h.send(piece) for piece in h.forever(b"HTTP/1.1 100 Continue\r\n\r\n")], REFUSED),
    # redirections
    "round-and-round": (lambda h: h.redirect("/round-and-round/x"), REFUSED),
    "to-a-file": (lambda h: h.redirect("file:///etc/passwd"), REFUSED),
    "to-no-address": (lambda h: h.redirect("http://[bad"), REFUSED),
    "to-nowhere": (lambda h: h.redirect(""), REFUSED),
    "to-a-port-that-is-shut": (lambda h: h.redirect("http://127.0.0.1:9/x"), REFUSED),
    "to-control-characters": (lambda h: h.redirect("http://\x1b[31m/"), REFUSED),
    "with-an-endless-body": (
        lambda h: (h.head("302 Found", Location="/good/x"), [h.send(piece) for piece in h.forever(bytes(1 << 16))]),
        ALL,
    ),
    "without-a-location": (lambda h: h.head("302 Found", 0), REFUSED),
}


@pytest.fixture
def server(monkeypatch, tmp_path):
    monkeypatch.setenv("NUMPYVGG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(download, "TIMEOUT", 0.5)
    monkeypatch.setattr(download, "PATIENCE", 0.5)
    network = zoo.PUBLISHED[NAME]
    changes = {"size": len(DATA), "sha256": hashlib.sha256(DATA).hexdigest(), "earlier": None, "drive": ""}
    monkeypatch.setitem(zoo.PUBLISHED, NAME, dataclasses.replace(network, **changes))
    server = Server()
    monkeypatch.setattr(registry, "SOURCES", (f"http://127.0.0.1:{server.server_address[1]}/good/{{file}}",))
    server.address = f"http://127.0.0.1:{server.server_address[1]}"
    yield server
    server.stop.set()
    server.shutdown()
    server.server_close()


def part_of(path):
    return path.with_name(f"{path.name}.part")


def left(path):
    return sorted(file.name for file in path.parent.iterdir() if file.suffix != ".lock")


def test_there_are_sixty_manners():
    assert len(MANNERS) >= 60


@pytest.mark.thorough
@pytest.mark.parametrize("resumed", [False, True], ids=["fresh", "resumed"])
@pytest.mark.parametrize("manner", MANNERS)
def test_a_fetch_ends_loses_nothing_and_gives_no_wrong_file(manner, resumed, server, monkeypatch):
    monkeypatch.setattr(registry, "SOURCES", (f"{server.address}/{manner}/{{file}}",))
    path, arrives = zoo.published(NAME).path, MANNERS[manner][1]
    path.parent.mkdir()
    if resumed:
        part_of(path).write_bytes(DATA[:HAVE])
    begin = time.monotonic()
    if arrives:
        assert zoo.fetch(NAME).read_bytes() == DATA
        assert left(path) == [path.name, f"{path.name}.json"]
    else:
        with pytest.raises(FetchError, match=f"/{manner}/") as caught:
            zoo.fetch(NAME)
        assert str(caught.value).isprintable()
        assert not path.exists()
        assert set(left(path)) <= {part_of(path).name}
        kept = part_of(path).read_bytes() if part_of(path).exists() else b""
        assert len(kept) >= (HAVE if resumed else 0)
        assert len(kept) <= len(DATA)
        if manner not in ("another-file", "another-file-without-ranges"):
            assert kept == DATA[: len(kept)]
    assert time.monotonic() - begin < 60
    assert server.requests.count(manner) <= (10 if manner in ("round-and-round", "to-nowhere") else 2) * (1 + resumed)
    monkeypatch.setattr(registry, "SOURCES", (f"{server.address}/good/{{file}}",))
    assert zoo.fetch(NAME).read_bytes() == DATA


def test_a_good_part_survives_a_source_that_serves_another_file(server, monkeypatch):
    monkeypatch.setattr(registry, "SOURCES", tuple(f"{server.address}/{m}/{{file}}" for m in ("another-file", "good")))
    path = zoo.published(NAME).path
    path.parent.mkdir()
    part_of(path).write_bytes(DATA[:HAVE])
    assert zoo.fetch(NAME).read_bytes() == DATA
    assert server.requests == ["another-file", "another-file", "good"]


def test_space_is_counted_for_what_is_missing(server, monkeypatch):
    path = zoo.published(NAME).path
    path.parent.mkdir()
    part_of(path).write_bytes(DATA[:HAVE])
    free = len(DATA) - HAVE
    monkeypatch.setattr(download.shutil, "disk_usage", lambda folder: download.shutil._ntuple_diskusage(10**9, 0, free))
    assert zoo.fetch(NAME).read_bytes() == DATA
    path.unlink()
    with pytest.raises(FetchError, match=r"takes 300\.0 kB more, but 100\.0 kB are free"):
        zoo.fetch(NAME)


@pytest.mark.parametrize("resumed", ["no-ranges", "chunked"])
def test_where_there_is_no_room_for_two_parts_one_is_written_over_only_for_a_file_of_that_length(
    resumed, server, monkeypatch
):
    monkeypatch.setattr(registry, "SOURCES", (f"{server.address}/{resumed}/{{file}}",))
    path = zoo.published(NAME).path
    path.parent.mkdir()
    part_of(path).write_bytes(DATA[:HAVE])
    usage = download.shutil._ntuple_diskusage(10**9, 0, len(DATA) - 1)
    monkeypatch.setattr(download.shutil, "disk_usage", lambda folder: usage)
    if resumed == "no-ranges":
        assert zoo.fetch(NAME).read_bytes() == DATA
    else:
        with pytest.raises(FetchError, match="does not say how long"):
            zoo.fetch(NAME)
        assert part_of(path).read_bytes() == DATA[:HAVE]


@pytest.mark.parametrize("kind", ["link", "pipe", "folder", "hard link"])
def test_a_part_that_is_no_plain_file_is_not_written_to(kind, server, tmp_path):
    path = zoo.published(NAME).path
    path.parent.mkdir()
    other = tmp_path / "other"
    other.write_bytes(b"precious")
    make = {
        "link": lambda: part_of(path).symlink_to(other),
        "pipe": lambda: os.mkfifo(part_of(path)),
        "folder": lambda: part_of(path).mkdir(),
        "hard link": lambda: os.link(other, part_of(path)),
    }
    make[kind]()
    with pytest.raises(FetchError, match=r"cannot be written"):
        zoo.fetch(NAME)
    assert other.read_bytes() == b"precious"


def test_what_killed_processes_left_is_swept_and_what_others_write_is_not(server):
    path = zoo.published(NAME).path
    path.parent.mkdir()
    names = [
        f"{path.name}.abcd.part",
        "tmpabcdefgh",
        "tmpfull4567",
        "tmpyoung678",
        f"{path.name}.efgh.part",
        "other.part",
    ]
    for name in names:
        file = path.with_name(name)
        file.write_bytes(b"x" if name in ("tmpfull4567", f"{path.name}.abcd.part", "other.part") else b"")
        if name not in ("tmpyoung678", f"{path.name}.efgh.part"):
            os.utime(file, (time.time() - 10_000,) * 2)
    zoo.fetch(NAME)
    assert left(path) == sorted([path.name, f"{path.name}.json", "other.part", "tmpfull4567", "tmpyoung678", names[4]])


SUBPROCESS = """
import sys
from numpyvgg import cli, zoo
from numpyvgg.zoo import registry
import dataclasses
source, size, sha256 = sys.argv[1:]
registry.SOURCES = (source,)
network = zoo.PUBLISHED["age-imdb-wiki"]
changes = {"size": int(size), "sha256": sha256, "earlier": None, "drive": ""}
zoo.PUBLISHED["age-imdb-wiki"] = dataclasses.replace(network, **changes)
sys.exit(cli.main(["fetch", "age-imdb-wiki"]))
"""


def slowly(handler: Handler) -> None:
    """The file over about a second."""
    handler.partial()
    for start in range(handler.start, len(DATA), 6000):
        handler.send(DATA[start : start + 6000])
        time.sleep(0.02)


@pytest.mark.thorough
@pytest.mark.parametrize("kills", [int(os.environ.get("NUMPYVGG_KILLS", "3"))])
def test_a_fetch_that_is_killed_at_any_moment_loses_nothing(kills, server, monkeypatch):
    """100 moments with NUMPYVGG_KILLS=100, a few of them otherwise."""
    monkeypatch.setitem(MANNERS, "slowly", (slowly, ALL))
    network = zoo.published(NAME)
    source = f"{server.address}/slowly/{{file}}"
    command = [sys.executable, "-c", SUBPROCESS, source, str(network.size), network.sha256]
    rng, have, done = random.Random(0), 0, 0
    while done < kills:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(rng.uniform(0.0, 3.0))
        process.send_signal(rng.choice((signal.SIGKILL, signal.SIGTERM, signal.SIGINT)))
        process.communicate()
        done += 1
        if network.path.exists():
            assert network.path.read_bytes() == DATA
            network.path.unlink()
            have = 0
            continue
        part = part_of(network.path).read_bytes() if part_of(network.path).exists() else b""
        assert part == DATA[: len(part)]
        assert len(part) >= have
        have = len(part)
    monkeypatch.setattr(registry, "SOURCES", (f"{server.address}/good/{{file}}",))
    assert zoo.fetch(NAME).read_bytes() == DATA
    assert left(network.path) == [network.path.name, f"{network.path.name}.json"]
