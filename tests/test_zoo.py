"""The published networks: what is known of them, and that a file arrives whole or not at all."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import onnx
import platformdirs
import pytest

from numpyvgg import cli, zoo
from numpyvgg.errors import ArgumentError, FetchError, MissingExtraError, ModelFormatError
from numpyvgg.files.cache import cache_folder
from numpyvgg.vgg.standin import write_standin
from numpyvgg.zoo import download, registry

#: The Git LFS pointers in the ONNX model zoo's repository, folder validated/vision/body_analysis/age_gender/models
LFS_POINTERS = {
    "vgg_ilsvrc_16_age_chalearn_iccv2015.onnx": """version https://git-lfs.github.com/spec/v1
oid sha256:87d6cd8ddb43e575ea4b00488f16ce872148d6f57e8f8c3c07598381c7a680ed
size 538703700""",
    "vgg_ilsvrc_16_age_imdb_wiki.onnx": """version https://git-lfs.github.com/spec/v1
oid sha256:de4ee80ac6d7cb98143896e0bb153b569409b893e7256b09fbbfb1f858f899e8
size 538703692""",
    "vgg_ilsvrc_16_gender_imdb_wiki.onnx": """version https://git-lfs.github.com/spec/v1
oid sha256:7a7228714a0b477f16ef91aef54892aa17df050668908ea6c1334312946b4bb2
size 537081253""",
    "age_googlenet.onnx": """version https://git-lfs.github.com/spec/v1
oid sha256:fa2a3228e425056aa2b080b3afd3cf607327c86616e952602ed67b5fc16ab356
size 23960165""",
    "gender_googlenet.onnx": """version https://git-lfs.github.com/spec/v1
oid sha256:af24a4eaa9eaf70913cc9a337a0387c86f11549cbd9bbc16bffeefcdcf88cbf4
size 23935566""",
    "version-RFB-320.onnx": """version https://git-lfs.github.com/spec/v1
oid sha256:34cd7e60aeff28744c657de7a3dc64e872d506741de66987f3426f2b79f88017
size 1270727""",
    "version-RFB-640.onnx": """version https://git-lfs.github.com/spec/v1
oid sha256:8f4c659275977e7a3bfbfa339a9c769ad793df50f9c0baa8c14b11baa1646430
size 1588012""",
}


#: All but those that are brought by hand
SERVED = {name: network for name, network in zoo.PUBLISHED.items() if network.sources}


def test_sizes_and_hashes_are_those_of_the_model_zoos_own_pointers():
    known = {network.file: (network.sha256, network.size) for network in SERVED.values()}
    pointers = {file: pointer.split() for file, pointer in LFS_POINTERS.items()}
    assert known == {file: (words[3].removeprefix("sha256:"), int(words[5])) for file, words in pointers.items()}


def test_each_network_is_asked_for_at_its_own_repository_first_and_then_at_the_legacy_one():
    for network in SERVED.values():
        stem = network.file.removesuffix(".onnx")
        first, second = network.sources[:2]
        assert first == f"https://huggingface.co/onnxmodelzoo/{stem}/resolve/main/{network.file}"
        assert second.startswith("https://huggingface.co/onnxmodelzoo/legacy_models/resolve/main/validated/vision/")
        folder = "ultraface" if network.file.startswith("version-RFB") else "age_gender"
        assert second.endswith(f"/body_analysis/{folder}/models/{network.file}")


# ---------------------------------------------------------------------- a server that misbehaves on demand


class Server(ThreadingHTTPServer):
    """Serves ``/MANNER/FILE``; `requests` lists what was asked for, as (manner, Range header)."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.requests: list[tuple[str, str | None]] = []
        self.stop = threading.Event()
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def handle_error(self, request, client_address):
        """A client that hangs up is what some tests are about."""

    def source(self, manner):
        return f"http://127.0.0.1:{self.server_port}/{manner}/{{file}}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        _, manner, file = self.path.split("/")
        self.server.requests.append((manner, self.headers["Range"]))
        getattr(self, manner)(file, self.server.files[file])

    def good(self, file, data):
        start = int((self.headers["Range"] or "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        place = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if start else {}
        self.send(data[start:], 206 if start else 200, **place)

    def no_ranges(self, file, data):
        self.send(data, 200)

    def redirect(self, file, data):
        self.send(b"", 302, Location=f"/good/{file}")

    def gone(self, file, data):
        self.send(b"", 404)

    def wrong(self, file, data):
        self.send(data[:-1] + bytes([data[-1] ^ 1]), 200)

    def short(self, file, data):
        self.send(data[:-1], 200)

    def cut(self, file, data):
        """The whole is announced, half of it is sent."""
        self.send(data[: len(data) // 2], 200, length=len(data))
        self.close_connection = True

    def slow(self, file, data):
        """A tenth at a time, each with a pause."""
        self.send(b"", 200, length=len(data))
        step = len(data) // 10 + 1
        for start in range(0, len(data), step):
            time.sleep(0.02)
            self.wfile.write(data[start : start + step])

    def silent(self, file, data):
        """A half, and then nothing until the test is over."""
        self.send(data[: len(data) // 2], 200, length=len(data))
        self.wfile.flush()
        self.server.stop.wait(20)
        self.close_connection = True

    def send(self, body, status, length=None, **headers):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def server(published):
    server = Server()
    server.files = {network.file: published[network.name] for network in zoo.PUBLISHED.values()}
    yield server
    server.stop.set()
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """A small network of the right kind for each published one: name -> bytes."""
    folder = tmp_path_factory.mktemp("published")
    for seed, network in enumerate(zoo.PUBLISHED.values()):
        write_standin(folder / network.name, width=1 / 32, classes=network.classes, seed=seed)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def measured(data):
    return {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


@pytest.fixture
def published(files, monkeypatch, tmp_path):
    """The registry with the small networks' sizes and hashes, and an empty cache."""
    small = {
        name: dataclasses.replace(network, earlier=None, drive="", **measured(files[name]))
        for name, network in zoo.PUBLISHED.items()
    }
    for name, network in small.items():
        monkeypatch.setitem(zoo.PUBLISHED, name, network)
    monkeypatch.setenv("NUMPYVGG_CACHE", str(tmp_path / "cache"))
    return files


@pytest.fixture
def serve(server, monkeypatch):
    """Let the sources be served in the given manners."""
    return lambda *manners: monkeypatch.setattr(registry, "SOURCES", [server.source(manner) for manner in manners])


NAME = "age-imdb-wiki"


def in_cache():
    """What lies in the cache folder under any name, the locks apart."""
    folder = zoo.published(NAME).path.parent
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock") if folder.exists() else []


# ---------------------------------------------------------------------- fetching


@pytest.mark.parametrize("name", SERVED)
def test_each_network_is_fetched_and_verified(name, published, serve, capsys):
    serve("good")
    assert cli.main(["fetch", name]) == 0
    network = zoo.PUBLISHED[name]
    assert str(network.path) in capsys.readouterr().out
    assert network.path.read_bytes() == published[name]
    assert zoo.record(name).verified is not None
    model = onnx.load(network.path)
    assert model.graph.output[0].type.tensor_type.shape.dim[1].dim_value == network.classes


def test_all_are_fetched_at_once_and_not_again(published, serve, server):
    serve("good")
    assert cli.main(["fetch", "--all"]) == 0
    assert cli.main(["fetch", "--all"]) == 0
    assert len(server.requests) == len(SERVED)


@pytest.mark.parametrize("manners", [["redirect"], ["slow"], ["gone", "good"], ["wrong", "good"], ["short", "good"]])
def test_a_file_arrives_whole_from_the_first_source_that_has_it(manners, published, serve, server):
    serve(*manners)
    assert zoo.fetch(NAME).read_bytes() == published[NAME]
    assert zoo.record(NAME).source == zoo.published(NAME).sources[-1]
    assert in_cache() == [zoo.published(NAME).file, f"{zoo.published(NAME).file}.json"]


@pytest.mark.parametrize(
    ("manner", "reason"),
    [
        ("gone", "404 Not Found"),
        ("wrong", "another sha256"),
        ("short", "not the published file's"),
        ("cut", "the connection was cut"),
        ("silent", "no connection, or none that spoke within 0.2 s"),
    ],
)
def test_the_message_says_what_happened_at_each_source_and_nothing_gets_the_final_name(
    manner, reason, published, serve, server, monkeypatch
):
    monkeypatch.setattr(download, "TIMEOUT", 0.2)
    serve(manner, manner)  # the second goes on where the first ended
    with pytest.raises(FetchError) as error:
        zoo.fetch(NAME)
    assert str(error.value).count(reason) == 2
    for source in zoo.published(NAME).sources:
        assert source in str(error.value)
    assert "--from FILE" in str(error.value)
    assert set(in_cache()) <= {f"{zoo.published(NAME).file}.part"}


def test_a_machine_that_is_offline_is_told_so_in_one_line(published, monkeypatch, capsys):
    monkeypatch.setattr(registry, "SOURCES", ["http://127.0.0.1:9/{file}"])  # port 9, discard: nobody listens
    assert cli.main(["fetch", NAME]) == 2
    captured = capsys.readouterr()
    assert "no connection" in captured.err
    assert captured.err.count("\n") == 1
    assert in_cache() == []


@pytest.mark.parametrize(("second", "resumed"), [("good", True), ("no_ranges", False)])
def test_an_interrupted_download_goes_on_where_the_server_can_do_that_and_starts_anew_where_not(
    second, resumed, published, serve, server
):
    serve("cut")
    with pytest.raises(FetchError, match="cut"):
        zoo.fetch(NAME)
    arrived = (zoo.published(NAME).path.parent / f"{zoo.published(NAME).file}.part").stat().st_size
    assert arrived > 0
    serve(second)
    assert zoo.fetch(NAME).read_bytes() == published[NAME]
    assert server.requests[-1] == (second, f"bytes={arrived}-")
    assert len(server.requests) == 2


def test_a_part_of_something_else_is_thrown_away_and_fetched_anew(published, serve, server):
    serve("good")
    path = zoo.published(NAME).path
    path.parent.mkdir()
    path.with_name(f"{path.name}.part").write_bytes(b"not the beginning of that file")
    assert zoo.fetch(NAME).read_bytes() == published[NAME]
    assert [asked for _, asked in server.requests] == ["bytes=30-", None]


SUBPROCESS = """
import dataclasses, sys
from numpyvgg import cli, zoo
from numpyvgg.zoo import registry
name, source, size, sha256, *limit = sys.argv[1:]
if limit:
    import resource, signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit[0]), int(limit[0])))
registry.SOURCES = [source]
zoo.PUBLISHED[name] = dataclasses.replace(zoo.PUBLISHED[name], size=int(size), sha256=sha256)
sys.exit(cli.main(["fetch", name]))
"""


def fetch_in_another_process(server, manner, *limit):
    network = zoo.published(NAME)
    command = [sys.executable, "-c", SUBPROCESS, NAME, server.source(manner), str(network.size), network.sha256, *limit]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.thorough
def test_processes_that_fetch_at_once_are_all_served_by_one_download(published, server):
    processes = [fetch_in_another_process(server, "slow") for _ in range(3)]
    ends = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], ends
    assert len(server.requests) == 1
    assert zoo.published(NAME).path.read_bytes() == published[NAME]


def test_a_process_that_is_killed_leaves_a_part_that_the_next_one_completes(published, serve, server):
    process = fetch_in_another_process(server, "silent")
    part = zoo.published(NAME).path.with_name(f"{zoo.published(NAME).file}.part")
    for _ in range(500):
        if server.requests and part.exists() and part.stat().st_size:
            break
        time.sleep(0.02)
    process.kill()
    process.communicate()
    assert not zoo.published(NAME).path.exists()
    serve("good")
    assert zoo.fetch(NAME).read_bytes() == published[NAME]


def test_a_full_disk_is_said_so_before_the_download(published, serve, server, monkeypatch):
    serve("good")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9 - 1000, 1000))
    with pytest.raises(FetchError, match=r"1\.0 kB are free: make room, or set NUMPYVGG_CACHE"):
        zoo.fetch(NAME)
    assert server.requests == []


def test_a_disk_that_fills_up_meanwhile_is_said_so_and_loses_nothing(published, serve, server):
    process = fetch_in_another_process(server, "good", "300000")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert os.strerror(errno.EFBIG) in err
    assert "of it are kept in " in err
    assert err.count("\n") == 1
    assert in_cache() == [f"{zoo.published(NAME).file}.part"]
    serve("good")
    assert zoo.fetch(NAME).read_bytes() == published[NAME]
    assert server.requests[-1] == ("good", "bytes=300000-")


@pytest.mark.parametrize("missing", ["requests", "filelock"])
def test_without_an_extra_the_message_says_what_to_install(missing, published, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingExtraError, match=r"pip install requests filelock"):
        zoo.fetch(NAME)


# ---------------------------------------------------------------------- two editions


def test_the_page_s_own_links_are_asked_last():
    links = {"age-chalearn": "1V75U1kUJ0udBLs6bg3lGqBk3ym8q9guV", "age-imdb-wiki": "1ECle8EvsXiIid_vMa1_vwMJk6abhzrPF"}
    links["gender-imdb-wiki"] = "1epLM5ghucLcnGZg-NCIf1r16lotN004I"
    assert {name: network.drive for name, network in zoo.PUBLISHED.items() if network.drive} == links
    for name, link in links.items():
        assert f"id={link}&" in zoo.PUBLISHED[name].sources[-1]


#: The model zoo's pointers of 31 October 2020
FIRST = {
    "age-imdb-wiki": (538_703_668, "734a4dd6a3d58d0b2a8e240293d32509b3f62b9f484e65988b2e77cd423084c3"),
    "gender-imdb-wiki": (537_081_229, "a39bcbd2bb4b52919cdd5c36350d632b9855b6950ece2768076b58db716e8428"),
}


def test_the_first_edition_is_24_bytes_shorter_than_the_second():
    earlier = {name: network.earlier for name, network in zoo.PUBLISHED.items() if network.earlier}
    assert {name: (edition.size, edition.sha256) for name, edition in earlier.items()} == FIRST
    assert all(zoo.PUBLISHED[name].size - edition.size == 24 for name, edition in earlier.items())


@pytest.fixture
def first_edition(published, monkeypatch):
    """The first edition of NAME, as bytes."""
    data = published["age-chalearn"]
    edition = registry.Edition("October 2020", **measured(data))
    monkeypatch.setitem(zoo.PUBLISHED, NAME, dataclasses.replace(zoo.PUBLISHED[NAME], earlier=edition))
    return data


@pytest.mark.parametrize("have", [0, 1000, 10**9])
def test_either_edition_is_fetched_whatever_of_the_other_is_here(have, first_edition, published, serve, server):
    serve("good")
    server.files[zoo.published(NAME).file] = first_edition
    path = zoo.published(NAME).path
    if have:
        path.parent.mkdir()
        path.with_name(f"{path.name}.part").write_bytes(published[NAME][:have])
    if have > len(published[NAME]):  # all of the other edition is here already
        assert zoo.fetch(NAME).read_bytes() == published[NAME]
    else:
        assert zoo.fetch(NAME).read_bytes() == first_edition
    assert zoo.record(NAME).verified


def test_either_edition_is_adopted_identified_and_listed(first_edition, published, tmp_path, capsys):
    for data in (first_edition, published[NAME]):
        (tmp_path / "carried.onnx").write_bytes(data)
        assert zoo.identify(tmp_path / "carried.onnx", "", 101).name in (NAME, "age-chalearn")
        assert cli.main(["fetch", NAME, "--from", str(tmp_path / "carried.onnx")]) == 0
        assert zoo.find(NAME).read_bytes() == data
        capsys.readouterr()
        assert cli.main(["models"]) == 0
        out = capsys.readouterr().out
        assert ("edition of October 2020\n" in out) == (data is first_edition)
        assert hashlib.sha256(first_edition).hexdigest() in out
    assert cli.main(["models", "--json"]) == 0
    listed = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert listed[NAME]["earlier"]["size"] == len(first_edition)


DAMAGED = ["", "[", "[" * 100_000, "{}", "null", "3", '{"size": 1}', "\0", '{"a": "%s"}' % ("x" * 20_000)]


@pytest.mark.parametrize("text", DAMAGED, ids=lambda text: text[:12])
def test_a_damaged_record_is_no_record(text, published):
    path = zoo.published(NAME).path
    path.parent.mkdir()
    path.write_bytes(published[NAME])
    path.with_name(f"{path.name}.json").write_text(text)
    assert zoo.record(NAME) is None
    status = path.stat()
    fields = {"size": status.st_size, "modified": status.st_mtime_ns, "verified": ["x"], "source": {}}
    path.with_name(f"{path.name}.json").write_text(json.dumps(fields))
    assert zoo.record(NAME) is None
    assert zoo.find(NAME) == path  # it is verified anew


# ---------------------------------------------------------------------- by hand


def test_a_file_brought_by_hand_is_verified_without_what_fetches(published, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "requests", None)
    monkeypatch.setitem(sys.modules, "filelock", None)
    (tmp_path / "carried.onnx").write_bytes(published[NAME])
    assert cli.main(["fetch", NAME, "--from", str(tmp_path / "carried.onnx")]) == 0
    assert zoo.find(NAME).read_bytes() == published[NAME]
    assert zoo.record(NAME).verified is not None


def test_another_file_is_refused_and_taken_only_on_insistence(published, tmp_path, capsys):
    other = tmp_path / "other.onnx"
    other.write_bytes(published["age-chalearn"])
    assert cli.main(["fetch", NAME, "--from", str(other)]) == 2
    assert "--no-verify" in capsys.readouterr().err
    assert in_cache() == []
    assert cli.main(["fetch", NAME, "--from", str(other), "--no-verify"]) == 0
    assert zoo.find(NAME).read_bytes() == published["age-chalearn"]
    assert zoo.record(NAME).verified is None
    assert cli.main(["models"]) == 0
    assert f"not verified, from {other}" in capsys.readouterr().out


def test_a_file_put_into_the_cache_folder_is_verified_when_it_is_used(published):
    path = zoo.published(NAME).path
    path.parent.mkdir()
    path.write_bytes(published[NAME])
    assert zoo.record(NAME) is None
    assert zoo.find(NAME) == path
    assert zoo.record(NAME).verified is not None
    path.write_bytes(published[NAME][:-1])  # and verified again once it has changed
    with pytest.raises(FetchError, match="not the published age-imdb-wiki"):
        zoo.find(NAME)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nobody"], "no network is called 'nobody'"),
        ([], "--all"),
        (["--all", NAME], "--all"),
        ([NAME, "--no-verify"], "--no-verify goes with --from"),
        (["--all", "--from", "x"], "one network at a time"),
        ([NAME, "--from", "missing.onnx"], "missing.onnx: No such file or directory\n"),
        (["age-small"], "age-small is bundled with this package: there is nothing to fetch"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_code_2(arguments, says, published, capsys):
    assert cli.main(["fetch", *arguments]) == 2
    assert says in capsys.readouterr().err


# ---------------------------------------------------------------------- names and paths


def test_a_path_works_where_a_name_does_and_a_missing_network_names_the_command(published, tmp_path):
    assert zoo.find(tmp_path / "net.onnx") == tmp_path / "net.onnx"
    with pytest.raises(FetchError, match=r"age-imdb-wiki \(\d+\.\d kB\) is not in .*numpyvgg fetch age-imdb-wiki"):
        zoo.find(NAME)
    with pytest.raises(ArgumentError, match="there are age-chalearn, age-imdb-wiki, gender-imdb-wiki"):
        zoo.find("age-imdbwiki")


def test_models_tells_what_is_here_and_where(published, serve, capsys):
    serve("good")
    zoo.fetch(NAME)
    assert cli.main(["models", "--json"]) == 0
    listed = {network["name"]: network for network in json.loads(capsys.readouterr().out)}
    here = {NAME, *zoo.BUNDLED}
    assert {name: network["here"] for name, network in listed.items()} == {name: name in here for name in zoo.NETWORKS}
    assert listed[NAME]["path"] == str(zoo.published(NAME).path)
    assert listed[NAME]["verified"] == zoo.record(NAME).verified
    assert listed[NAME]["licence"] == "Apache-2.0"


def test_the_cache_is_the_platforms_own_folder_unless_said_otherwise(monkeypatch, tmp_path):
    monkeypatch.setenv("NUMPYVGG_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("NUMPYVGG_CACHE")
    assert cache_folder() == platformdirs.user_cache_path("numpyvgg", appauthor=False)


@pytest.mark.thorough
@pytest.mark.parametrize("file", LFS_POINTERS)
def test_a_pointer_of_the_model_zoo_names_the_command_that_brings_its_network(file, tmp_path):
    """Whoever cloned the zoo without Git LFS has these; `git lfs pull` brings nothing any more."""
    name = next(network.name for network in zoo.PUBLISHED.values() if network.file == file)
    for path in (tmp_path / file, tmp_path / "model.onnx"):
        path.write_text(LFS_POINTERS[file])
        with pytest.raises(ModelFormatError, match=f"a Git LFS pointer, .*`numpyvgg fetch {name}` brings it"):
            zoo.open_model(path)
