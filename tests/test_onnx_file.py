"""The reader: what the `onnx` package writes, it reads; what is damaged, it says."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from make_standin import Layout, standin_model, write_standin
from onnx import TensorProto, helper, numpy_helper

from numpyvgg import ArgumentError, ModelFormatError, NumpyVggError, UnsupportedModelError, read_onnx
from numpyvgg.files.source import Source
from numpyvgg.files.write import bytes_field, integer_field, length_prefix, packed_varints, varint
from numpyvgg.graph.graph import Graph

TYPES = ["FLOAT", "DOUBLE", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64", "BOOL"]
TYPES += ["FLOAT16", "COMPLEX64", "COMPLEX128"]


def model_with(*tensors: TensorProto, nodes=(), opset: int = 17) -> onnx.ModelProto:
    """A model that holds the tensors and computes nothing of interest."""
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])
    nodes = [helper.make_node("Relu", ["x"], ["y"], name="relu"), *nodes]
    graph = helper.make_graph(nodes, "graph", [value], [result], list(tensors))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], producer_name="tests")


def sample(type_name: str, shape: tuple[int, ...]) -> np.ndarray:
    dtype = helper.tensor_dtype_to_np_dtype(getattr(TensorProto, type_name))
    numbers = np.random.default_rng(0).integers(0 if dtype.kind in "ub" else -100, 100, shape)
    return (numbers * (1 + 0.5j) if dtype.kind == "c" else numbers * 0.5 if dtype.kind == "f" else numbers).astype(
        dtype
    )


def assert_same(ours: np.ndarray, theirs: np.ndarray) -> None:
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype
    assert ours.tobytes() == theirs.tobytes()
    assert not ours.flags.writeable
    assert ours.flags.aligned


def test_the_first_operator_set_is_1():
    assert read_onnx(model_with(opset=1)).opset == 1
    with pytest.raises(ModelFormatError, match=r"version 0 of the standard operator set .*; the first is 1"):
        read_onnx(model_with(opset=0).SerializeToString())


@pytest.mark.parametrize(("shape", "read"), [(None, None), ([], ()), (["N", 3], ("N", 3))])
def test_no_shape_is_told_from_the_shape_of_a_single_number(shape, read):
    model = model_with()
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.FLOAT, shape))
    assert read_onnx(model).outputs[0].shape == read


# ---------------------------------------------------------------------- tensors


@pytest.mark.parametrize("shape", [(2, 3), (), (0, 3), (1,)], ids=str)
@pytest.mark.parametrize("type_name", TYPES)
def test_every_type_is_read_from_raw_data_and_from_its_typed_field(type_name, shape):
    array = sample(type_name, shape)
    typed = helper.make_tensor("typed", getattr(TensorProto, type_name), shape, array.flatten())
    model = read_onnx(model_with(typed, numpy_helper.from_array(array, "raw")))
    assert model.initializers.stored("raw").storage == "raw_data"
    assert model.initializers.stored("typed").storage != "raw_data"
    for name in ("typed", "raw"):
        assert_same(model.initializers[name], array)


@pytest.mark.parametrize("values", [[1.5, -2.25, 3e10], [float("inf")], []], ids=str)
def test_bfloat16_becomes_float32_as_the_onnx_package_has_it(values):
    tensor = helper.make_tensor("t", TensorProto.BFLOAT16, [len(values)], values)
    raw = TensorProto(name="raw", data_type=TensorProto.BFLOAT16, dims=[len(values)])
    raw.raw_data = numpy_helper.to_array(tensor).tobytes()
    model = read_onnx(model_with(tensor, raw))
    for name in ("t", "raw"):
        np.testing.assert_array_equal(model.initializers[name], numpy_helper.to_array(tensor).astype(np.float32))


def test_strings_are_read():
    tensor = helper.make_tensor("t", TensorProto.STRING, [2], [b"fifty", "años".encode()])
    assert read_onnx(model_with(tensor)).initializers["t"].tolist() == ["fifty", "años"]


@pytest.mark.parametrize(
    ("field", "type_name"), [(4, "FLOAT"), (10, "DOUBLE"), (5, "INT32"), (7, "INT64"), (11, "UINT64")]
)
def test_numbers_in_several_packed_and_unpacked_fields_append(field, type_name):
    array = sample(type_name, (7,))
    head, middle, tail = array[:2], array[2:3], array[3:]
    if array.dtype.kind == "f":
        unpacked = varint(field << 3 | (5 if array.itemsize == 4 else 1)) + middle.tobytes()
        pieces = [bytes_field(field, head.tobytes()), unpacked, bytes_field(field, tail.tobytes())]
    else:
        unpacked = integer_field(field, int(middle[0]))
        pieces = [bytes_field(field, packed_varints(head.tolist())), unpacked]
        pieces.append(bytes_field(field, packed_varints(tail.tolist())))
    tensor = TensorProto(name="t", data_type=getattr(TensorProto, type_name), dims=[7])
    wire = tensor.SerializeToString() + b"".join(pieces)
    assert numpy_helper.to_array(TensorProto.FromString(wire)).tolist() == array.tolist()  # onnx agrees on the bytes
    assert_same(read_onnx(graph_of(bytes_field(5, wire))).initializers["t"], array)


def graph_of(extra: bytes) -> bytes:
    """A model's bytes with something appended to its graph."""
    model = model_with()
    graph = model.graph.SerializeToString() + extra
    model.ClearField("graph")
    return model.SerializeToString() + bytes_field(7, graph)


def test_the_last_of_a_repeated_singular_field_wins_and_messages_merge():
    first = TensorProto(name="first", data_type=TensorProto.FLOAT, dims=[2], raw_data=b"12345678")
    wire = first.SerializeToString() + bytes_field(8, "last") + bytes_field(9, np.float32([1, 2]).tobytes())
    model = model_with()
    second_graph = bytes_field(
        7, bytes_field(5, wire)
    )  # the graph occurs twice: its tensors join the first one's nodes
    read = read_onnx(model.SerializeToString() + second_graph)
    assert read.initializers["last"].tolist() == [1, 2]
    assert [node.op_type for node in read.nodes] == ["Relu"]


def test_unknown_fields_of_every_wire_type_are_skipped():
    unknown = [integer_field(900, 2**63), varint(901 << 3 | 1) + bytes(8), varint(902 << 3 | 5) + bytes(4)]
    unknown += [bytes_field(903, b"?"), varint(904 << 3 | 3) + integer_field(1, 5) + varint(904 << 3 | 4)]
    read = read_onnx(graph_of(b"".join(unknown)) + b"".join(unknown))
    assert [node.name for node in read.nodes] == ["relu"]


@pytest.mark.parametrize("alignment", range(4))
def test_unaligned_weights_are_copied_once_and_aligned_ones_never(alignment, tmp_path):
    path = write_standin(tmp_path / "net.onnx", Layout(alignment=alignment))
    model = read_onnx(path)
    stored = model.initializers.stored("fc6_W")
    weight = model.initializers["fc6_W"]
    assert stored.aligned == (alignment == 0)
    assert np.shares_memory(weight.view(np.uint8), stored.raw) == stored.aligned
    assert model.initializers["fc6_W"] is weight
    assert_same(weight, numpy_helper.to_array(next(t for t in onnx.load(path).graph.initializer if t.name == "fc6_W")))


@pytest.mark.parametrize("storage", ["float_data", "raw", "external"])
def test_rows_of_a_weight_can_be_read_a_few_at_a_time(storage, tmp_path):
    path = write_standin(tmp_path / "net.onnx", Layout(storage=storage, alignment=3))
    wanted = next(t for t in onnx.load(path).graph.initializer if t.name == "fc6_W")
    whole = numpy_helper.to_array(wanted)
    rows = read_onnx(path).initializers.stored("fc6_W").row_reader(whole.shape)
    assert rows.shape == whole.shape
    for first, last in ((0, 1), (5, 12), (len(whole) - 3, len(whole)), (0, len(whole))):
        some = np.empty((last - first, whole.shape[1]), rows.dtype)
        rows.read(first, some)
        np.testing.assert_array_equal(some, whole[first:last])
        rows.give_back()


def test_a_program_that_has_locked_its_memory_reads_all_the_same(tmp_path):
    class Locked:
        def madvise(self, *arguments: int) -> None:
            raise OSError(22, "Invalid argument")

    (tmp_path / "bytes").write_bytes(bytes(range(256)) * 64)
    source = Source.open(tmp_path / "bytes")
    source._map = Locked()
    assert source.copy(1, 9000).tobytes() == (bytes(range(256)) * 64)[1:9000]


# ---------------------------------------------------------------------- graphs


def test_nodes_attributes_inputs_and_outputs_are_those_that_the_onnx_package_reads():
    proto = standin_model(Layout(opset=12, batch="N", initializers_as_inputs=True))
    extra = helper.make_node(
        "Anything",
        ["x"],
        ["z"],
        domain="here",
        i=-3,
        least=-(2**63),
        f=0.5,
        s="text",
        ints=[1, -2, 2**63 - 1, -(2**63)],
        floats=[0.5, 2.0],
        strings=["a", "b"],
    )
    extra.attribute.append(helper.make_attribute("t", numpy_helper.from_array(np.arange(3))))
    proto.graph.node.append(extra)
    model = read_onnx(proto)
    for ours, theirs in zip(model.nodes, proto.graph.node, strict=True):
        assert (ours.op_type, ours.name, ours.domain) == (theirs.op_type, theirs.name, theirs.domain)
        assert (ours.inputs, ours.outputs) == (list(theirs.input), list(theirs.output))
        assert list(ours.attributes) == [attribute.name for attribute in theirs.attribute]
        for attribute in theirs.attribute:
            value = helper.get_attribute_value(attribute)
            expected = numpy_helper.to_array(value) if isinstance(value, TensorProto) else decoded(value)
            np.testing.assert_array_equal(ours.attributes[attribute.name], expected)
    assert [(v.name, v.dtype, v.shape) for v in model.inputs] == [("input", "float32", ("N", 3, 224, 224))]
    assert [(v.name, v.dtype, v.shape) for v in model.outputs] == [("prob_Y", "float32", ("N", 101))]
    assert (model.opset, model.producer, model.ir_version) == (12, "caffe", proto.ir_version)
    assert set(model.overridable) == {t.name for t in proto.graph.initializer}


def decoded(value):
    if isinstance(value, list):
        return [decoded(item) for item in value]
    return value.decode() if isinstance(value, bytes) else value


@pytest.mark.parametrize(
    ("attribute", "expected"),
    [
        ({"value": numpy_helper.from_array(np.arange(4).reshape(2, 2))}, [[0, 1], [2, 3]]),
        ({"value_float": 0.5}, 0.5),
        ({"value_floats": [0.5, 1.5]}, [0.5, 1.5]),
        ({"value_int": 3}, 3),
        ({"value_ints": [3, 4]}, [3, 4]),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_constant_node_is_worth_its_attribute(attribute, expected):
    model = read_onnx(model_with(nodes=[helper.make_node("Constant", [], ["c"], **attribute)]))
    np.testing.assert_array_equal(Graph(model).constant("c"), expected)
    assert Graph(model).constant("y") is None


def test_a_path_bytes_and_a_model_proto_give_the_same_model(tmp_path):
    proto = standin_model()
    onnx.save(proto, tmp_path / "net.onnx")
    models = [read_onnx(tmp_path / "net.onnx"), read_onnx(proto.SerializeToString()), read_onnx(proto)]
    for model in models:
        assert list(model.initializers) == [t.name for t in proto.graph.initializer]
        assert all(
            np.array_equal(model.initializers[name], models[0].initializers[name]) for name in model.initializers
        )


# ---------------------------------------------------------------------- damaged files


def small_model() -> bytes:
    tensors = [numpy_helper.from_array(sample("FLOAT", (4, 8)), f"t{i}") for i in range(4)]
    return model_with(*tensors).SerializeToString()


def test_a_file_cut_off_at_any_byte_is_a_format_error_that_names_it(tmp_path):
    whole, path = small_model(), tmp_path / "cut.onnx"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ModelFormatError, match=r"cut\.onnx: "):
            read_onnx(path)
    path.write_bytes(whole)
    assert len(read_onnx(path).initializers) == 4


@pytest.mark.parametrize("last", [0x00, 0x01, 0x03, 0x7F])
def test_a_varint_of_ten_bytes_keeps_its_lowest_64_bits(last):
    """Seventy bits fit into ten bytes; protobuf's own reader drops the upper six."""
    data = model_with().SerializeToString() + b"\x08" + b"\xff" * 9 + bytes([last])
    assert read_onnx(data).ir_version == onnx.load_from_string(data).ir_version


HUGE = 2**62
NAME, FLOAT = bytes_field(8, "bad"), integer_field(2, TensorProto.FLOAT)
#: What is wrong with a tensor -> (its fields, why it is refused)
BAD_TENSORS = {
    "a shape beyond its data": (FLOAT + integer_field(1, 3) + bytes_field(9, bytes(8)), "takes 12 bytes.* holds 8"),
    "data beyond its shape": (FLOAT + integer_field(1, 1) + bytes_field(9, bytes(8)), "takes 4 bytes.* holds 8"),
    "more numbers than its shape": (FLOAT + integer_field(1, 1) + bytes_field(4, bytes(8)), "takes 1 numbers"),
    "a negative dimension": (FLOAT + integer_field(1, -1) + bytes_field(9, bytes(4)), "negative dimension"),
    "two negative dimensions": (FLOAT + 2 * integer_field(1, -1) + bytes_field(9, bytes(4)), "negative dimension"),
    "huge dimensions": (FLOAT + 2 * integer_field(1, HUGE) + bytes_field(9, bytes(4)), "beyond what a machine"),
    "dimensions whose product overflows to 0": (
        FLOAT + 2 * integer_field(1, 2**32) + bytes_field(9, b""), "beyond what a machine"),
    "more dimensions than an array has": (FLOAT + 65 * integer_field(1, 1) + bytes_field(9, bytes(4)), "65 dimensions"),
    "no data": (FLOAT + integer_field(1, 3), "takes 3 numbers, but float_data holds 0"),
    "floats of 3 bytes": (FLOAT + integer_field(1, 1) + bytes_field(4, bytes(3)), "3 bytes, no multiple of 4"),
    "half a complex number": (
        integer_field(2, TensorProto.COMPLEX64) + integer_field(1, 1) + bytes_field(4, bytes(4)), "takes 1 numbers"),
    "a length past the end": (FLOAT + integer_field(1, 1) + length_prefix(9, HUGE), "only 0 are left"),
    "a number where bytes belong": (FLOAT + integer_field(9, 5), "field 9 is a varint where"),
    "bytes where a number belongs": (bytes_field(2, b"float"), "field 2 is a length and bytes where a varint"),
    "text that is not UTF-8": (FLOAT + bytes_field(8, b"\xff\xfe"), "field 8 is not UTF-8"),
    "strings as raw_data": (
        integer_field(2, TensorProto.STRING) + integer_field(1, 1) + bytes_field(9, b"text"), "strings cannot be"),
    "an endless varint": (FLOAT + b"\x08" + b"\xff" * 20, "varint of more than 10 bytes"),
    "an endless packed varint": (FLOAT + bytes_field(1, b"\xff" * 20 + b"\x01"), "varint of more than 10 bytes"),
    "a packed varint that is cut off": (FLOAT + bytes_field(1, b"\xff"), "a number runs past the end"),
    "a group that does not end": (varint(99 << 3 | 3), "the group of field 99 does not end"),
    "a group that ends twice": (varint(99 << 3 | 4), "field 99 has wire type 4"),
    "a group that another one ends": (varint(99 << 3 | 3) + varint(98 << 3 | 4), "field 98 has wire type 4"),
    "a wire type that does not exist": (varint(99 << 3 | 7) + bytes(9), "field 99 has wire type 7"),
    "field number 0": (b"\x00\x00", "field number 0, which does not exist"),
    "a segment": (FLOAT + bytes_field(3, b""), "a segment of a larger tensor"),
}  # fmt: skip


@pytest.mark.parametrize(("fields", "reason"), BAD_TENSORS.values(), ids=BAD_TENSORS.keys())
def test_a_bad_tensor_is_a_format_error_and_allocates_nothing(fields, reason):
    wire = graph_of(bytes_field(5, NAME + fields))
    tracemalloc.start()
    try:
        with pytest.raises(ModelFormatError, match=rf"<bytes>: .*in ModelProto\.graph\.initializer\[0\].*{reason}"):
            read_onnx(wire)
        assert tracemalloc.get_traced_memory()[1] < 200_000
    finally:
        tracemalloc.stop()


def test_two_initializers_of_one_name_are_refused():
    tensor = numpy_helper.from_array(np.zeros(1, np.float32), "twice")
    with pytest.raises(ModelFormatError, match="another initializer has this name"):
        read_onnx(model_with(tensor, tensor))


def test_sparse_initializers_are_named():
    values, indices = numpy_helper.from_array(np.float32([1, 2]), "sparse"), numpy_helper.from_array(np.array([0, 3]))
    model = model_with()
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [5]))
    with pytest.raises(UnsupportedModelError, match="sparse initializers cannot be read"):
        read_onnx(model)


def test_a_tensor_type_without_a_counterpart_in_numpy_is_named():
    tensor = TensorProto(name="t", data_type=TensorProto.FLOAT8E4M3FN, dims=[1], raw_data=b"0")
    with pytest.raises(UnsupportedModelError, match="data type 17"):
        read_onnx(model_with(tensor))


OTHER_FILES = {
    "a text file": (b"this is not a model\n" * 20, "a text file"),
    "a web page": (b"<!DOCTYPE html><html>\xc3\xa4</html>", "a web page"),
    "a zip archive": (b"PK\x03\x04" + bytes(100), "a zip archive"),
    "a gzip archive": (b"\x1f\x8b\x08" + bytes(100), "a gzip archive, .*unpack it first"),
    "the text form": (b'<\n  ir_version: 8,\n  opset_import: ["" : 17]\n>\nagraph', "ONNX.s text form, .*onnx.parser"),
    "the form of ONNX Runtime": (b"\x18\0\0\0ORTM" + bytes(100), "own format .*take the .onnx file"),
    "a Git LFS pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 538703700\n",
        "git lfs pull",
    ),
    "an empty file": (b"", "empty"),
    "zeros": (bytes(1000), "field number 0"),
    "a message without a graph": (integer_field(1, 8), "is this an ONNX file"),
}


@pytest.mark.parametrize(("content", "reason"), OTHER_FILES.values(), ids=OTHER_FILES.keys())
def test_other_files_are_told_from_models(content, reason, tmp_path):
    path = tmp_path / "other.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelFormatError, match=rf"other\.onnx: byte \d+.*{reason}"):
        read_onnx(path)


@pytest.mark.parametrize("name", ["missing.onnx", ".", "nul\0.onnx"])
def test_what_is_no_file_is_a_format_error(name, tmp_path):
    with pytest.raises(ModelFormatError):
        read_onnx(os.path.join(tmp_path, name))


def test_a_wrong_argument_is_told():
    with pytest.raises(ArgumentError, match="cannot read a model from int"):
        read_onnx(3)


@pytest.mark.thorough
@settings(max_examples=300, deadline=None)
@given(st.data())
def test_whatever_a_file_holds_the_reader_answers_or_says_why(data):
    wire = bytearray(small_model())
    for _ in range(data.draw(st.integers(1, 6))):
        position = data.draw(st.integers(0, len(wire) - 1))
        wire[position] = data.draw(st.integers(0, 255))
    try:
        model = read_onnx(bytes(wire))
        for name in model.initializers:
            assert model.initializers[name].flags.aligned
    except NumpyVggError:
        pass


# ---------------------------------------------------------------------- external data


@pytest.fixture
def external(tmp_path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    return write_standin(folder / "net.onnx", Layout(opset=17, storage="external", alignment=1))


def test_external_data_is_read_as_the_onnx_package_reads_it(external):
    model = read_onnx(external)
    for tensor in onnx.load(external).graph.initializer:
        assert_same(model.initializers[tensor.name], numpy_helper.to_array(tensor))
    assert model.initializers.stored("fc6_W").storage == "external:net.onnx.data"


def relocate(path: Path, **entries: str) -> None:
    """Change external-data entries of fc6_W."""
    proto = onnx.load(path, load_external_data=False)
    tensor = next(t for t in proto.graph.initializer if t.name == "fc6_W")
    kept = {entry.key: entry.value for entry in tensor.external_data}
    del tensor.external_data[:]
    for key, value in {**kept, **entries}.items():
        tensor.external_data.add(key=key, value=value)
    path.write_bytes(proto.SerializeToString())


@pytest.fixture
def secret(external) -> Path:
    """A file that the model may not read, of which fc6_W could be made: exactly as long."""
    path = external.parent.parent / "secret"
    path.write_bytes(np.arange(256 * 1568, dtype="<f4").tobytes())
    return path


def make_nothing(secret: Path, folder: Path) -> None:
    """The attack is in the location alone."""


#: An attack -> (location, what it needs in the model's folder, why it is refused)
ATTACKS = {
    "the folder above": ("../secret", make_nothing, "plain path inside"),
    "the folder above, by way of one inside": (
        "sub/../../secret", lambda secret, folder: (folder / "sub").mkdir(), "plain path inside"),
    "a symbolic link": (
        "link", lambda secret, folder: (folder / "link").symlink_to(secret), "a symbolic link, to .*secret"),
    "a relative symbolic link": (
        "link", lambda secret, folder: (folder / "link").symlink_to("../secret"), "a symbolic link, to .*secret"),
    "a folder that is a symbolic link": (
        "sub/secret", lambda secret, folder: (folder / "sub").symlink_to(".."), "behind, a symbolic link, to .*secret"),
    "a hard link": ("hard", lambda secret, folder: os.link(secret, folder / "hard"), "a plain file with one name"),
    "a name with a NUL": ("../secret\0", make_nothing, "plain path inside"),
    "no name": ("", make_nothing, "plain path inside"),
    "the folder itself": (".", make_nothing, "plain path inside"),
    "a folder": ("sub", lambda secret, folder: (folder / "sub").mkdir(), "a folder, not a file"),
    "a pipe that nobody writes to": ("pipe", lambda secret, folder: os.mkfifo(folder / "pipe"), "a pipe, not a file"),
    "a file that is not there": ("missing", make_nothing, "No such file"),
}  # fmt: skip


@pytest.mark.parametrize(("location", "prepare", "reason"), ATTACKS.values(), ids=ATTACKS.keys())
def test_external_data_cannot_leave_the_models_folder(location, prepare, reason, external, secret):
    prepare(secret, external.parent)
    relocate(external, location=location, offset="0")
    with pytest.raises(ModelFormatError, match=rf"net\.onnx: .*in .*'fc6_W'.*: external data .*{reason}"):
        read_onnx(external)


def test_external_data_cannot_be_named_by_an_absolute_path(external, secret):
    relocate(external, location=str(secret), offset="0")
    with pytest.raises(ModelFormatError, match=r"net\.onnx: .*in .*'fc6_W'.*: external data .*plain path inside"):
        read_onnx(external)


@pytest.mark.parametrize("location", ["copy", "sub/copy", "./copy"])
def test_the_same_file_inside_the_models_folder_is_read(location, external, secret):
    """So none of the attacks above fails for its length, its offset or its model."""
    copy = external.parent / location
    copy.parent.mkdir(exist_ok=True)
    copy.write_bytes(secret.read_bytes())
    relocate(external, location=location, offset="0")
    weight = read_onnx(external).initializers["fc6_W"]
    np.testing.assert_array_equal(weight.ravel(), np.arange(256 * 1568, dtype=np.float32))


#: Where in the file -> (entries of external data, why they are refused)
PLACES = {
    "before the beginning": ({"offset": "-4"}, "offset '-4', which is no byte count"),
    "a float": ({"offset": "1e3"}, "offset '1e3', which is no byte count"),
    "digits of another script": ({"offset": "\u0663"}, "which is no byte count"),
    "beyond 64 bits": ({"offset": str(2**70)}, "which is no byte count"),
    "beyond the end": ({"offset": "10000000", "length": "0"}, "ends at byte 10000000 of .*, which has"),
    "longer than the file": ({"length": str(2**62)}, "ends at byte .* of .*, which has"),
    "shorter than the shape": ({"length": "8"}, "takes 1605632 bytes, but external:net.onnx.data holds 8"),
}


@pytest.mark.parametrize(("entries", "reason"), PLACES.values(), ids=PLACES.keys())
def test_external_data_cannot_leave_its_file(entries, reason, external):
    relocate(external, **entries)
    with pytest.raises(ModelFormatError, match=rf"net\.onnx: .*in .*'fc6_W'.*: .*{reason}"):
        read_onnx(external)


def test_external_data_needs_a_path(external):
    with pytest.raises(ModelFormatError, match="can only be found from a model's path"):
        read_onnx(external.read_bytes())
