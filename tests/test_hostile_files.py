"""Whatever a file is and says, reading it is bounded: in memory, in time, and in what it can reach."""

from __future__ import annotations

import io
import mmap
import os
import re
import socket
import subprocess
import sys
import threading
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from make_standin import Layout, standin_model, write_standin

from numpyvgg import (
    VGG,
    ArgumentError,
    InternalError,
    ModelFormatError,
    NumpyVggError,
    UnsupportedModelError,
    cli,
    read_onnx,
)
from numpyvgg.files import onnx as reader
from numpyvgg.files import wire
from numpyvgg.files.caffe import read_caffe, read_mean, read_model
from numpyvgg.files.source import Source, open_plain
from numpyvgg.files.write import bytes_field, integer_field, varint
from numpyvgg.parity.golden import read_golden
from numpyvgg.zoo.labels import labels_for

PORTRAIT = str(Path(cli.__file__).parents[1] / "data" / "eileen_collins.jpg")
HOSTILE = Path(__file__).parent / "data" / "hostile"


def onnx_file(graph: bytes) -> bytes:
    return integer_field(1, 8) + bytes_field(7, graph) + bytes_field(8, integer_field(2, 17))


def tensor(data_type: int, count: int, fields: bytes) -> bytes:
    return bytes_field(5, integer_field(1, count) + integer_field(2, data_type) + bytes_field(8, "t") + fields)


def attribute(data_type: int, fields: bytes) -> bytes:
    return bytes_field(
        1, bytes_field(4, "A") + bytes_field(5, bytes_field(1, "a") + integer_field(20, data_type) + fields)
    )


# ---------------------------------------------------------------------- memory

STRUCTURE, N = "structure .* would take more than", 200_000
#: A graph of many small things, made where its test runs -> why it is refused, or None
MANY = {
    "nodes": (lambda: bytes_field(1, bytes_field(4, "A")) * N, STRUCTURE),
    "nodes of different lengths": (
        lambda: b"".join(bytes_field(1, bytes_field(4, "A" * (i % 9))) for i in range(N)),
        STRUCTURE,
    ),
    "initializers": (lambda: tensor(2, 1, bytes_field(9, b"a")) * N, STRUCTURE),
    "inputs": (lambda: bytes_field(11, b"") * N, STRUCTURE),
    "names": (lambda: bytes_field(1, bytes_field(1, "ab") * N), STRUCTURE),
    "empty names": (lambda: bytes_field(1, bytes_field(1, b"") * N), STRUCTURE),
    "attributes": (lambda: bytes_field(1, bytes_field(4, "A") + bytes_field(5, b"") * N), STRUCTURE),
    "integers in an attribute": (lambda: attribute(7, bytes_field(8, b"\x05" * N)), STRUCTURE),
    "unpacked integers in an attribute": (lambda: attribute(7, integer_field(8, 300) * N), STRUCTURE),
    "floats in an attribute": (lambda: attribute(6, bytes_field(7, bytes(4 * N))), STRUCTURE),
    "texts in an attribute": (lambda: attribute(8, bytes_field(9, b"ab") * N), STRUCTURE),
    "graphs in an attribute": (lambda: attribute(10, bytes_field(11, b"") * N), STRUCTURE),
    "packed floats, one by one": (lambda: tensor(1, N, bytes_field(4, bytes(4)) * N), STRUCTURE),
    "dimensions": (lambda: tensor(1, 1, integer_field(1, 1) * N), STRUCTURE),
    "fields in turns": (lambda: (integer_field(12, 1) + integer_field(13, 1)) * N, "fields in turns"),
    "groups": (lambda: (varint(12 << 3 | 3) + varint(12 << 3 | 4)) * N, "fields in turns"),
    "graphs that merge": (bytes, "fields in turns"),
    "unpacked integers": (lambda: tensor(7, N, b"".join(integer_field(7, i % 300) for i in range(N))), None),
    "packed integers": (lambda: tensor(6, N, bytes_field(5, b"\x05" * N)), None),
    "unpacked floats": (lambda: tensor(1, N, (varint(4 << 3 | 5) + bytes(4)) * N), None),
    "unknown numbers": (lambda: integer_field(99, 3) * N, None),
    "unknown texts": (lambda: bytes_field(99, "abc") * N, None),
}


@pytest.mark.thorough
@pytest.mark.parametrize("name", MANY)
def test_reading_takes_no_object_for_each_field(name, monkeypatch):
    """The limit on structure is a fiftieth of what it is, and so are the files."""
    graph, reason = MANY[name]
    wire_bytes = onnx_file(graph())
    if name == "graphs that merge":
        wire_bytes = onnx_file(integer_field(99, 1)) + bytes_field(7, integer_field(99, 1) + integer_field(98, 1)) * N
    monkeypatch.setattr(wire, "LARGEST_STRUCTURE", 2_000_000)
    tracemalloc.start()
    try:
        if reason:
            with pytest.raises(ModelFormatError, match=rf"^<bytes>: .*{reason}"):
                read_onnx(wire_bytes)
        else:
            read_onnx(wire_bytes)
        # numbers are decoded in pieces, and NumPy takes eight bytes for each byte of one
        assert tracemalloc.get_traced_memory()[1] < len(wire_bytes) + 2_000_000 + 5_000_000
    finally:
        tracemalloc.stop()


def test_what_is_counted_is_what_it_takes(monkeypatch):
    """A file that just passes takes no more than was counted."""
    inputs = [bytes_field(1, f"name {i}") for i in range(4)]
    node = bytes_field(1, b"".join(inputs) + bytes_field(2, "out") + bytes_field(4, "Conv") + bytes_field(3, "node"))
    data = onnx_file(node * 2000)
    read_onnx(data)
    tracemalloc.start()
    try:
        model = read_onnx(data)
        assert len(model.nodes) == 2000
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    source = Source("x", data)
    monkeypatch.setattr(wire, "LARGEST_STRUCTURE", taken)
    with pytest.raises(ModelFormatError, match=STRUCTURE):
        reader._read_model(source, None)


def test_numbers_of_every_length_are_read_in_long_runs_and_short_ones():
    rng = np.random.default_rng(0)
    for count in (1, 63, 64, 65, 5000, 100_000):
        numbers = rng.integers(-(2**63), 2**63 - 1, count) >> rng.integers(0, 63, count)
        unpacked = b"".join(integer_field(7, int(number)) for number in numbers)
        packed = bytes_field(7, b"".join(varint(int(number)) for number in numbers))
        for fields in (unpacked, packed, packed[:0] + unpacked):
            read = read_onnx(onnx_file(tensor(7, count, fields))).initializers["t"]
            np.testing.assert_array_equal(read, numbers)


@pytest.mark.parametrize("size", [4, 8])
def test_unpacked_floats_are_read_in_long_runs_and_broken_ones(size):
    number, data_type, wire_type = (4, 1, 5) if size == 4 else (10, 11, 1)
    numbers = np.random.default_rng(0).standard_normal(3000).astype(f"<f{size}")
    fields = [varint(number << 3 | wire_type) + value.tobytes() for value in numbers]
    fields.insert(700, integer_field(99, 1))  # breaks the run
    fields[1500] = bytes_field(number, numbers[1499].tobytes())  # one is packed
    read = read_onnx(onnx_file(tensor(data_type, 3000, b"".join(fields)))).initializers["t"]
    np.testing.assert_array_equal(read, numbers)


def test_texts_of_equal_and_of_different_lengths_keep_their_order():
    texts = ["ab"] * 500 + [str(i) for i in range(500)] + ["xy"] * 200
    graph = bytes_field(1, b"".join(bytes_field(1, text) for text in texts) + bytes_field(4, "Sum"))
    assert read_onnx(onnx_file(graph)).nodes[0].inputs == texts


SHAPES = {
    "65 dimensions": ([1] * 65, "65 dimensions"),
    "a number of 5000 digits": ([2**62] * 300, "300 dimensions"),
    "zero times too much": ([0, 2**62, 2**62], "beyond what a machine can address"),
    "a number that overflows to 0": ([2**32, 2**32], "beyond what a machine can address"),
    "two negative ones": ([-1, -1], "negative dimension"),
}


@pytest.mark.parametrize(("dims", "reason"), SHAPES.values(), ids=SHAPES)
def test_shapes_that_numpy_cannot_have_are_refused_by_their_reason(dims, reason, tmp_path):
    fields = b"".join(integer_field(1, dim) for dim in dims) + integer_field(2, 1) + bytes_field(8, "t")
    with pytest.raises(ModelFormatError, match=reason):
        read_onnx(onnx_file(bytes_field(5, fields + bytes_field(9, b"abcd"))))
    blob = bytes_field(7, b"".join(integer_field(1, dim) for dim in dims)) + bytes_field(5, bytes(4))
    (tmp_path / "mean.binaryproto").write_bytes(blob)
    with pytest.raises(ModelFormatError, match=reason):
        read_mean(tmp_path / "mean.binaryproto")


def test_booleans_are_what_they_mean_whatever_their_bytes():
    stored = read_onnx(onnx_file(tensor(9, 4, bytes_field(9, b"\x00\x01\x02\xff")))).initializers["t"]
    assert stored.view(np.uint8).tolist() == [0, 1, 1, 1]


def test_groups_may_be_nested_as_deep_as_protobufs_own_readers_go():
    begin, end = varint(12 << 3 | 3), varint(12 << 3 | 4)
    assert read_onnx(onnx_file(begin * 100 + end * 100)).nodes == []
    with pytest.raises(ModelFormatError, match="more than 100 deep"):
        read_onnx(onnx_file(begin * 101 + end * 101))


# ---------------------------------------------------------------------- attributes and constants

CONSTANTS = {
    "value_int": integer_field(20, 3) + bytes_field(4, "text"),
    "value_ints": integer_field(20, 3) + bytes_field(4, "text"),
    "value_float": integer_field(20, 7) + integer_field(8, 1),
    "value_strings": integer_field(20, 2) + integer_field(3, 1),
    "value": integer_field(20, 5) + bytes_field(6, b""),
}


@pytest.mark.parametrize("key", CONSTANTS)
def test_a_constant_of_another_type_than_it_says_is_refused(key):
    node = bytes_field(2, "c") + bytes_field(4, "Constant") + bytes_field(5, bytes_field(1, key) + CONSTANTS[key])
    (node,) = read_onnx(onnx_file(bytes_field(1, node))).nodes
    with pytest.raises(ModelFormatError, match=f"attribute {key} is of another type than its name says"):
        reader.constant_value(node)


@pytest.mark.parametrize("path", sorted(HOSTILE.glob("*.onnx")), ids=lambda path: path.stem)
def test_every_file_that_ever_ended_a_process_is_read_or_refused(path):
    refusal = ""
    try:
        model = read_onnx(path)
        assert all(model.initializers[name].flags.aligned for name in model.initializers)
    except NumpyVggError as error:
        refusal = str(error)
    assert refusal == "" or refusal.startswith(str(path))
    assert "fault of numpyvgg" not in refusal


@pytest.mark.parametrize("read", [read_onnx, read_caffe, read_mean])
def test_what_the_reader_did_not_foresee_is_its_own_fault_and_names_the_file(read, tmp_path, monkeypatch):
    path = tmp_path / "net.onnx"
    path.write_bytes(onnx_file(b""))
    monkeypatch.setattr(wire.Message, "_walk", lambda *args: [][0])
    with pytest.raises(InternalError, match=r"net\.onnx: a fault of numpyvgg.*IndexError"):
        read(path)


def test_a_model_that_cannot_be_serialized_is_the_callers_fault():
    class Broken:
        def SerializeToString(self):
            raise ValueError("larger than 2 GB")

    with pytest.raises(ArgumentError, match="larger than 2 GB"):
        read_onnx(Broken())


# ---------------------------------------------------------------------- files that are none


def within(seconds: float, function, *args):
    """What a function returns or raises, if it does so in time."""
    result: list = []

    def call() -> None:
        try:
            result.append((function(*args), None))
        except Exception as error:
            result.append((None, error))

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(seconds)
    assert result, f"{function.__name__} still waits after {seconds} s"
    return result[0]


@pytest.fixture
def special(tmp_path, monkeypatch) -> Path:
    """A folder with one of everything that is not a file."""
    monkeypatch.chdir(tmp_path)  # a socket's path may have 100 characters
    os.mkfifo("pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
    os.mkdir("folder")
    os.symlink("loop", "loop")
    os.symlink("/dev/zero", "device")
    os.symlink("pipe", "link to pipe")
    return tmp_path


SPECIAL = {
    "pipe": "this is a pipe, not a file",
    "link to pipe": "this is a pipe, not a file",
    "socket": "No such device|not supported|this is a socket",
    "folder": "this is a folder, not a file",
    "loop": "Too many levels of symbolic links",
    "device": "this is a device, not a file",
    "missing": "No such file",
    "nul\0": "null",
}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes among its files")
@pytest.mark.parametrize("read", [read_onnx, read_model, read_caffe, read_mean])
@pytest.mark.parametrize("name", SPECIAL)
def test_what_is_no_file_is_refused_by_name_and_never_waited_for(name, read, special):
    _, error = within(20, read, name)
    assert isinstance(error, ModelFormatError)
    with pytest.raises(ModelFormatError, match=SPECIAL[name]):
        raise error
    assert str(error).isprintable()


COMMANDS = {
    "inspect": ["inspect", "{special}"],
    "predict": ["predict", "--model", "{special}", PORTRAIT],
    "an image": ["predict", "--model", "age-small", "{special}"],
    "labels": ["predict", "--model", "age-small", "--labels", "{special}", PORTRAIT],
    "parity": ["parity", "--against", "onnxruntime", "{special}"],
    "convert": ["convert", "{special}", "out.onnx"],
    "a prototxt": ["convert", "net.caffemodel", "{special}", "out.onnx"],
    "fetch": ["fetch", "age-imdb-wiki", "--from", "{special}"],
}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes among its files")
@pytest.mark.parametrize("name", ["pipe", "device", "loop"])
@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_waits_for_what_is_no_file(command, name, special, monkeypatch, capsys):
    monkeypatch.setenv("NUMPYVGG_CACHE", str(special / "cache"))
    Path("net.caffemodel").write_bytes(
        bytes_field(1, "net") + bytes_field(100, bytes_field(1, "c") + bytes_field(2, "ReLU"))
    )
    arguments = [argument.format(special=name) for argument in COMMANDS[command]]
    code, error = within(60, cli.main, arguments)
    assert error is None
    assert code in ((1, 2) if command == "an image" else (2,))
    captured = capsys.readouterr()
    assert re.search(
        r"a pipe, not a file|a device, not a file|Too many levels|symbolic links", captured.err + captured.out
    )


def test_golden_tensors_that_are_pipes_or_no_arrays_are_refused(special):
    model = read_onnx(write_standin(special / "net.onnx", Layout()))
    (special / "golden").mkdir()
    os.mkfifo("golden/x.npz")
    _, error = within(20, read_golden, model, "golden")
    with pytest.raises(ModelFormatError, match="this is a pipe, not a file"):
        raise error
    for content in (b"PK", b"", b"\x93NUMPY", zipped(b"no array"), zipped(b"\x93NUMPY\x01\x00\x06\x00{(((((")):
        os.path.lexists("golden/x.npz") and os.unlink("golden/x.npz")
        Path("golden/x.npz").write_bytes(content)
        with pytest.raises(ModelFormatError, match=r"x\.npz: not an \.npz of arrays"):
            read_golden(model, "golden")
    huge = io.BytesIO()
    np.lib.format.write_array_header_1_0(huge, {"descr": "<f4", "fortran_order": False, "shape": (10**12,)})
    Path("golden/x.npz").write_bytes(zipped(huge.getvalue()))
    with pytest.raises(ModelFormatError, match=r"x\.npz: says that its arrays have more bytes than"):
        read_golden(model, "golden")


def zipped(content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("input.npy", content)
    return file.getvalue()


def test_a_file_of_labels_is_small(tmp_path):
    (tmp_path / "labels.txt").write_bytes(b"x\n" * 2_000_000)
    with pytest.raises(ArgumentError, match=r"labels\.txt: cannot be read: this has more than the 2000000 bytes"):
        labels_for(tmp_path / "labels.txt", 3, "net")


NESTED = {"braces": "a {" * 100_000, "closed": "a {" * 100_000 + "}" * 100_000, "lists": "a: [" * 100_000}


@pytest.mark.parametrize("text", NESTED.values(), ids=NESTED)
def test_a_definition_nested_without_end_is_refused(text, tmp_path):
    (tmp_path / "net.prototxt").write_text('name: "net" ' + text)
    with pytest.raises(NumpyVggError, match=r"net\.prototxt") as caught:
        read_caffe(tmp_path / "net.prototxt")
    assert "fault of numpyvgg" not in str(caught.value)


def test_a_missing_file_is_also_pythons_own_error():
    with pytest.raises(FileNotFoundError, match=r"^missing\.onnx: "):
        read_onnx("missing.onnx")


def test_a_file_that_cannot_be_mapped_is_read(tmp_path, monkeypatch):
    path = write_standin(tmp_path / "net.onnx", Layout())

    class Refusing(mmap.mmap):
        def __new__(cls, *args, **kwargs):
            raise OSError(19, "No such device")

    expected = read_onnx(path)
    monkeypatch.setattr(mmap, "mmap", Refusing)
    model = read_onnx(path)
    assert all(np.array_equal(model.initializers[name], expected.initializers[name]) for name in expected.initializers)


@pytest.mark.skipif(not os.path.exists("/proc/self/smaps"), reason="only Linux tells which pages of a file are mapped")
def test_an_opened_network_holds_no_pages_of_its_file(tmp_path):
    path = write_standin(tmp_path / "net.onnx", Layout())
    model = read_onnx(path)
    lines = iter(Path("/proc/self/smaps").read_text().splitlines())
    resident = [next(line for line in lines if line.startswith("Rss:")) for line in lines if str(path) in line]
    assert [line.split()[1] for line in resident] == ["0"]
    assert model.initializers["fc6_W"].any()


def test_no_file_is_left_open(tmp_path):
    (tmp_path / "folder").mkdir()
    before = os.listdir("/dev/fd")
    for _ in range(3):
        with pytest.raises(OSError, match="folder"):
            open_plain(tmp_path / "folder")
    assert len(os.listdir("/dev/fd")) == len(before)


# ---------------------------------------------------------------------- external data


@pytest.fixture
def external(tmp_path) -> Path:
    """A model whose weights are beside it, and a file outside of its folder that has the size of fc6_W."""
    folder = tmp_path / "model"
    folder.mkdir()
    path = write_standin(folder / "net.onnx", Layout(opset=17, storage="external", alignment=1))
    (tmp_path / "secret").write_bytes(bytes(size_of(path)))
    return path


def size_of(path: Path, name: str = "fc6_W") -> int:
    tensor = next(t for t in onnx.load(path, load_external_data=False).graph.initializer if t.name == name)
    return int(np.prod(tensor.dims)) * 4


def relocate(path: Path, location: str, **entries: str) -> None:
    """Say that fc6_W is a whole file."""
    proto = onnx.load(path, load_external_data=False)
    tensor = next(t for t in proto.graph.initializer if t.name == "fc6_W")
    del tensor.external_data[:]
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=value)
    path.write_bytes(proto.SerializeToString())


PLAIN, LINK, MISSING = "is not a plain path inside", "symbolic link, to .*put a copy of the file there", "No such file"
#: What a model says, what there is under that name in its folder, and why it is refused
ATTACKS = {
    "the folder above": ("../secret", None, PLAIN),
    "down and up": ("sub/../../secret", None, PLAIN),
    "an absolute path": ("{outside}/secret", None, PLAIN),
    "nothing": ("", None, PLAIN),
    "the folder": (".", None, PLAIN),
    "a NUL": ("secret\0", None, PLAIN),
    "a link": ("link", lambda inside: (inside / "link").symlink_to("../secret"), LINK),
    "a link to a file inside": ("link", lambda inside: (inside / "link").symlink_to("net.onnx.data"), LINK),
    "a linked folder": ("sub/secret", lambda inside: (inside / "sub").symlink_to(".."), LINK),
    "a linked folder in a folder": ("a/b/secret", lambda inside: linked_deep(inside), LINK),
    "a link in a loop": ("loop", lambda inside: (inside / "loop").symlink_to("loop"), "symbolic link"),
    "a hard link": ("hard", lambda inside: os.link(inside.parent / "secret", inside / "hard"), "one name; copy it"),
    "a pipe": ("pipe", lambda inside: os.mkfifo(inside / "pipe"), "this is a pipe, not a file"),
    "a folder's name": ("sub", lambda inside: (inside / "sub").mkdir(), "this is a folder, not a file"),
    "a file as a folder": ("net.onnx.data/x", None, "Not a directory"),
    "an empty file": ("empty", lambda inside: (inside / "empty").touch(), "the file is empty"),
    "a missing file": ("missing", None, MISSING),
    "a Windows path": ("..\\secret", None, MISSING),
    "a drive": ("C:\\secret", None, MISSING),
}


def linked_deep(inside: Path) -> None:
    (inside / "a").mkdir()
    (inside / "a" / "b").symlink_to("../..")


@pytest.mark.parametrize("name", ATTACKS)
def test_external_data_cannot_leave_the_folder(name, external):
    location, prepare, reason = ATTACKS[name]
    if prepare:
        prepare(external.parent)
    relocate(external, location.format(outside=external.parent.parent))
    _, error = within(20, read_onnx, external)
    with pytest.raises(ModelFormatError, match=rf"(?s)net\.onnx: .*in .*fc6_W.*{reason}|{reason}"):
        raise error


@pytest.mark.parametrize("location", ["whole", "./whole", "sub/whole", "sub//whole", "sub/./whole", "ü 日本"])
def test_external_data_in_the_folder_and_below_is_read(location, external):
    path = external.parent / location
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(np.full(size_of(external) // 4, 0.5, "<f4").tobytes())
    relocate(external, location)
    assert np.all(read_onnx(external).initializers["fc6_W"] == 0.5)


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ({"offset": "-4"}, "offset '-4', which is no byte count"),
        ({"offset": "1e3"}, "offset '1e3', which is no byte count"),
        ({"offset": "٣"}, "which is no byte count"),
        ({"offset": str(2**70)}, "which is no byte count"),
        ({"length": str(2**62)}, "external data ends at byte"),
        ({"offset": "4"}, "takes .* bytes, but external:whole holds"),
        ({"length": "8"}, "takes .* bytes, but external:whole holds 8"),
        ({"offset": str(2**40)}, "external data ends at byte"),
    ],
    ids=str,
)
def test_external_numbers_are_held_against_the_file(entries, reason, external):
    (external.parent / "whole").write_bytes(bytes(size_of(external)))
    relocate(external, "whole", **entries)
    with pytest.raises(ModelFormatError, match=reason):
        read_onnx(external)


@pytest.mark.parametrize("moment", ["folder", "file"])
def test_nothing_can_be_swapped_between_looking_and_opening(moment, external, monkeypatch):
    """Whatever becomes a link to another place once it has been looked at, that place is not read."""
    inside, sub = external.parent, external.parent / "sub"
    sub.mkdir()
    (sub / "whole").write_bytes(np.full(size_of(external) // 4, 0.5, "<f4").tobytes())
    outside = inside.parent / "outside"
    outside.mkdir()
    (outside / "whole").write_bytes(np.full(size_of(external) // 4, 666, "<f4").tobytes())
    relocate(external, "sub/whole")
    real_open, swapped = os.open, []

    def swapping(path, flags, mode=0o777, *, dir_fd=None):
        name = os.path.basename(os.fspath(path))
        if moment == "file" and name == "whole" and not swapped:
            swapped.append(True)
            (sub / "whole").unlink()
            (sub / "whole").symlink_to(outside / "whole")
        descriptor = real_open(path, flags, mode, dir_fd=dir_fd)
        if moment == "folder" and name == "sub" and not swapped:
            swapped.append(True)
            sub.rename(inside / "gone")
            sub.symlink_to(outside)
        return descriptor

    monkeypatch.setattr(os, "open", swapping)
    monkeypatch.setattr("numpyvgg.files.external._RELATIVE", True)
    if moment == "folder":
        assert np.all(read_onnx(external).initializers["fc6_W"] == 0.5)
    else:
        with pytest.raises(ModelFormatError, match="symbolic link"):
            read_onnx(external)
    assert swapped


def test_where_folders_cannot_be_opened_links_are_refused_all_the_same(external, monkeypatch):
    monkeypatch.setattr("numpyvgg.files.external._RELATIVE", False)
    assert read_onnx(external).initializers["fc6_W"].any()
    for name in ("a link", "a linked folder", "the folder above"):
        location, prepare, reason = ATTACKS[name]
        if prepare:
            prepare(external.parent)
        relocate(external, location)
        with pytest.raises(ModelFormatError, match=reason):
            read_onnx(external)


def hugging_face(external: Path, store: str = "blobs", data_in: str | None = None) -> Path:
    """The model and its data as Hugging Face's cache keeps them: by their hashes in one folder, linked from another."""
    root = external.parent.parent / "models--x"
    snapshot = root / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    for name, folder in (("net.onnx", store), ("net.onnx.data", data_in or store)):
        (root / folder).mkdir(exist_ok=True)
        (external.parent / name).rename(root / folder / f"hash-of-{name}")
        (snapshot / name).symlink_to(f"../../{folder}/hash-of-{name}")
    return snapshot / "net.onnx"


def test_a_model_in_hugging_faces_cache_is_read(external):
    expected = {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(external).graph.initializer}
    model = read_onnx(hugging_face(external))
    assert expected.keys() == set(model.initializers)
    assert all(np.array_equal(model.initializers[name], array) for name, array in expected.items())


@pytest.mark.parametrize(("store", "data_in"), [("blobs", "elsewhere"), ("store", "store")])
def test_links_to_another_place_than_the_models_store_are_not_followed(store, data_in, external):
    with pytest.raises(ModelFormatError, match=LINK):
        read_onnx(hugging_face(external, store, data_in))


def test_a_link_to_a_model_finds_the_data_where_the_model_is(external, tmp_path):
    (tmp_path / "link.onnx").symlink_to(external)
    assert read_onnx(tmp_path / "link.onnx").initializers["fc6_W"].any()


def test_each_file_of_external_data_is_mapped_once(external):
    model = read_onnx(external)
    stored = [model.initializers.stored(name) for name in ("fc6_W", "fc7_W", "conv1_1_W")]
    assert {tensor.storage for tensor in stored} == {"external:net.onnx.data"}
    assert len({id(tensor.source) for tensor in stored}) == 1


# ---------------------------------------------------------------------- the command line


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["producer_escape", "einstein_alt_ops_newline", "dims65", "vgg_identity_cycle"])
def test_the_command_line_prints_hostile_files_without_control_characters(name):
    run = subprocess.run(
        [sys.executable, "-m", "numpyvgg", "inspect", HOSTILE / f"{name}.onnx"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in run.stderr
    assert run.returncode in (0, 2)
    assert len(run.stderr.splitlines()) == (run.returncode == 2)
    assert all(line.isprintable() for line in (run.stdout + run.stderr).splitlines())


@pytest.mark.parametrize("version", [0, -1, -(2**63)])
def test_operator_sets_are_counted_from_1(version):
    data = integer_field(1, 8) + bytes_field(7, b"") + bytes_field(8, integer_field(2, version))
    with pytest.raises(ModelFormatError, match=f"version {version} of the standard operator set"):
        read_onnx(data)


def test_an_operator_of_another_domain_is_not_taken_for_onnxs_own():
    model = standin_model(Layout())
    model.graph.node[4].domain = "elsewhere"
    model.opset_import.add(domain="elsewhere", version=1)
    with pytest.raises(UnsupportedModelError, match="the operator is not available"):
        VGG.from_onnx(model)


def test_a_type_that_is_not_there_is_named():
    with pytest.raises(UnsupportedModelError, match="data type 99"):
        read_onnx(onnx_file(tensor(99, 1, b"")))
