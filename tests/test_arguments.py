"""Whatever an argument of the Python interface is, it is answered, or refused by its name with what would do."""

import copy
import os
import pickle
import re
import threading

import numpy as np
import pytest
from conftest import PORTRAIT
from onnx import TensorProto
from onnx.helper import make_graph, make_model, make_node, make_tensor, make_tensor_value_info
from PIL import Image

import numpyvgg
from numpyvgg.cli import main
from numpyvgg.errors import ArgumentError, ImageError, NumpyVggError
from numpyvgg.files.caffe import read_caffe, read_mean
from numpyvgg.files.onnx import Node, ValueInfo
from numpyvgg.files.write import onnx_file
from numpyvgg.parity import compare
from numpyvgg.parity.golden import read_golden
from numpyvgg.photo.answers import answer, expected_age
from numpyvgg.photo.estimator import _by_channel, _pair
from numpyvgg.photo.images import load_image, to_tensor
from numpyvgg.session import InferenceSession, OrtValue, SessionOptions
from numpyvgg.vgg.layer import check_images
from numpyvgg.zoo.labels import labels_for

RELU = b"".join(
    onnx_file(
        [Node("Relu", "", ["x"], ["y"], {})],
        [],
        [ValueInfo("x", "float32", (1, 3))],
        [ValueInfo("y", "float32", (1, 3))],
        graph_name="relu",
        producer="tests",
        ir_version=8,
        opset=17,
    )[1]
)
X = np.ones((1, 3), np.float32)
NONSENSE = (None, True, 3, 1.5, object(), [[1], [1, 2]], b"x", {"a": 1}, "\0")


def named(thing):
    """What it is, without its address: the processes of a parallel run have to find tests of the same names."""
    return re.sub(r" at 0x\w+", "", repr(thing))


def session(**options):
    return InferenceSession(RELU, **options)


def with_option(name, value):
    options = SessionOptions()
    setattr(options, name, value)
    return session(sess_options=options)


def with_entry(key, value):
    options = SessionOptions()
    options.add_session_config_entry(key, value)
    return session(sess_options=options)


def bound(name, *arguments):
    binding = session().io_binding()
    binding.bind_output("y")
    getattr(binding, name)(*arguments)


def bound_to(value):
    ours = session()
    binding = ours.io_binding()
    binding.bind_cpu_input("x", X)
    binding.bind_ortvalue_output("y", OrtValue(value))
    ours.run_with_iobinding(binding)


def read_only():
    return np.broadcast_to(np.float32(1), (1, 3))


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda: session().run(None, None), "input_feed is a NoneType, and has to be a dictionary: {'x': array}"),
        (lambda: session().run(None, [X]), "input_feed is a list"),
        (lambda: session().run(None, {"x": [[10**400, 1, 1]]}), "'x' cannot be made of a list: int too large"),
        (lambda: session().run(3, {"x": X}), "output_names is 3"),
        (lambda: session().run([["y"]], {"x": X}), r"invalid output name: \['y'\]"),
        (lambda: session().run_with_ort_values(None, None), "input_feed is a NoneType"),
        (lambda: session().run_with_iobinding(session().io_binding()), "with an output bound"),
        (lambda: session().run_with_iobinding(None), "needs an IOBinding"),
        (lambda: session().run_async(None, {"x": X}, None, None), "callback is a NoneType"),
        (lambda: session(max_bytes="1"), "max_bytes='1': a whole number"),
        (lambda: session(max_bytes=float("nan")), "max_bytes=nan"),
        (lambda: session(max_bytes=True), "max_bytes=True"),
        (lambda: session(providers=3), "providers=3: give a list"),
        (lambda: session(providers=[()]), r"provider \(\): give its name"),
        (lambda: session(sess_options={"threads": 1}), "sess_options is a builtins.dict"),
        (lambda: with_option("intra_op_num_threads", "2"), "intra_op_num_threads='2'"),
        (lambda: with_option("intra_op_num_threads", 10**9), "from .* to 1024"),
        (lambda: with_entry("numpyvgg.cnov", "winograd"), "'numpyvgg.cnov' has no meaning"),
        (lambda: OrtValue.ortvalue_from_numpy([[1], [1, 2]]), "an OrtValue: .*inhomogeneous"),
        (lambda: OrtValue(None), "made of an array, not of a NoneType"),
        (lambda: OrtValue(np.zeros(1, "M8[s]")).element_type(), "no element type in ONNX"),
        (lambda: OrtValue.ortvalue_from_shape_and_type([-1]), "negative dimensions"),
        (lambda: OrtValue.ortvalue_from_shape_and_type([1] * 70), "maximum supported dimension"),
        (lambda: OrtValue.ortvalue_from_shape_and_type([1], "nope"), "element type 'nope'"),
        (lambda: OrtValue(read_only()).update_inplace(X), "read-only"),
        (lambda: OrtValue(X).update_inplace([1]), "takes an array, not a list"),
        (lambda: bound("bind_ortvalue_input", "x", X), "an OrtValue is bound here, not a ndarray"),
        (lambda: bound("bind_input", "x", "cpu", 0, np.float32, [1, 3], 0), "buffer_ptr=0"),
        (lambda: bound("bind_input", "x", "cpu", 0, np.float32, [-1, 3], 64), "dimension=-1"),
        (lambda: bound("bind_input", "x", "cpu", 0, object, [1, 3], 64), "texts are no numbers"),
        (lambda: bound_to(read_only()), "output 'y': .*read-only"),
    ],
)
def test_a_session_names_the_argument_that_it_cannot_take(call, reason):
    with pytest.raises(ArgumentError, match=reason):
        call()


def test_a_session_takes_one_provider_by_its_name_and_a_string_of_texts_has_its_type():
    with pytest.warns(UserWarning, match="'CUDAExecutionProvider'"):
        session(providers="CUDAExecutionProvider")
    assert OrtValue(np.array(["a"])).element_type() == 8


@pytest.mark.parametrize("thing", NONSENSE, ids=named)
def test_no_function_that_takes_a_file_a_photograph_or_numbers_fails_on_nonsense(thing):
    unlabelled = "net.onnx"
    for call in (
        numpyvgg.read_onnx,
        numpyvgg.InferenceSession,
        numpyvgg.VGG.from_onnx,
        read_caffe,
        read_mean,
        load_image,
        to_tensor,
        numpyvgg.Predictor,
        expected_age,
        answer,
        lambda x: check_images(x, (3, 224, 224)),
        lambda x: labels_for(x, 7, unlabelled),
        lambda x: list(numpyvgg.Predictor("age-small").many(x)),
        lambda x: numpyvgg.Predictor("age-small").faces(Image.new("RGB", (9, 9)), faces=x),
    ):
        error = None
        try:
            call(thing)
        except NumpyVggError as raised:
            error = raised
        assert not isinstance(error, numpyvgg.InternalError), error


@pytest.mark.parametrize("thing", [None, 1.5, "224", float("nan"), (1, 2, 3), {1, 2, 3}, object()], ids=named)
def test_sizes_and_means_are_refused_by_name(thing):
    with pytest.raises(ArgumentError, match="size"):
        _pair("size", thing)
    if not isinstance(thing, float | tuple | set) or thing != thing:
        with pytest.raises(ArgumentError, match="mean"):
            _by_channel("mean", object() if thing == "224" else thing)


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((9, 9), np.uint8),
        np.zeros((9, 9, 4), np.uint8),
        np.zeros((9, 9, 3), np.float32),
        np.zeros((0, 9, 3), np.uint8),
        Image.new("P", (9, 9)),
        Image.new("CMYK", (9, 9)),
        Image.new("RGB", (0, 0)),
        Image.Image,
    ],
    ids=named,
)
def test_what_is_no_rgb_image_never_becomes_a_tensor(picture):
    with pytest.raises(ImageError, match="an RGB image with pixels is needed"):
        to_tensor(picture)


@pytest.mark.parametrize("number", [0, -3, 1.5, True, float("nan"), "a"], ids=named)
def test_at_least_is_a_number_of_pixels(number):
    with pytest.raises(ArgumentError, match="at_least"):
        load_image(np.zeros((9, 9, 3), np.uint8), number)


def test_threads_are_bounded():
    with pytest.raises(ArgumentError, match="threads=1000000000: a whole number is needed, from 1 to 1024"):
        numpyvgg.kernels.operations("im2col", 10**9, "float32")


def test_many_takes_a_list_and_an_event():
    predictor = numpyvgg.Predictor("age-small")
    with pytest.raises(ArgumentError, match="sources: give a list of photographs, not str"):
        next(predictor.many("photo.jpg"))
    with pytest.raises(ArgumentError, match="stop=3"):
        next(predictor.many([], stop=3))
    with pytest.raises(ArgumentError, match="gave None, and has to give a list of Face"):
        next(predictor.many([np.zeros((9, 9, 3), np.uint8)], lambda photo, name: None))
    assert predictor.faces(Image.new("RGB", (9, 9)), faces=[]) == []
    assert list(predictor.many([], stop=threading.Event())) == []


@pytest.mark.parametrize("make", [session, lambda: numpyvgg.read_onnx(RELU), lambda: numpyvgg.Predictor("age-small")])
@pytest.mark.parametrize("act", [pickle.dumps, copy.deepcopy])
def test_what_cannot_be_sent_says_what_can(make, act):
    with pytest.raises(ArgumentError, match=r"cannot be pickled or copied: .* send the path"):
        act(make())


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda model: compare(model, X, 3), "runtime=3: give a function"),
        (lambda model: compare(model, [[1], [1, 2]], lambda x: x), "parity takes a batch of floats: .*inhomogeneous"),
        (lambda model: compare(model, X, lambda x: {"y": [[1], [1, 2]]}), "the runtime returned 'y': .*inhomogeneous"),
        (lambda model: compare(model, X, lambda x: {3: X}), r"what the runtime returned \(3"),
        (lambda model: read_golden(model, None), "a path is needed, not NoneType"),
    ],
)
def test_parity_names_what_it_cannot_take(call, reason):
    with pytest.raises(ArgumentError, match=reason):
        call(numpyvgg.read_onnx(RELU))


def convolution(filters, **attributes):
    weight = make_tensor("w", TensorProto.FLOAT, [filters, 3, 3, 3], np.zeros(27 * filters))
    graph = make_graph(
        [make_node("Conv", ["x", "w"], ["y"], **attributes)],
        "g",
        [make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 6, 6])],
        [make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [weight],
    )
    return InferenceSession(make_model(graph))


def test_a_convolution_whose_strides_overflow_is_refused():
    with pytest.raises(NumpyVggError, match="go beyond 2147483647"):
        convolution(2, strides=[2**62, 2**62])


def test_a_convolution_without_filters_makes_nothing():
    (y,) = convolution(0).run(None, {"x": np.ones((1, 3, 6, 6), np.float32)})
    assert y.shape == (1, 0, 4, 4)


@pytest.mark.parametrize(
    "arguments",
    [
        ["align", "face.jpg", "-o", ""],
        ["predict", "face.jpg", "-o", ""],
        ["score", "csv", "", "-o", "results"],
        ["parity", "net.onnx", "face.jpg", "--write", ""],
        ["bench", "net.onnx", "--json", ""],
    ],
    ids=lambda arguments: arguments[0],
)
def test_an_empty_name_is_no_name(arguments, capsys):
    assert main(arguments) == 2
    assert "the name is empty" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
def test_answers_do_not_go_to_a_pipe(tmp_path, capsys):
    os.mkfifo(tmp_path / "answers.csv")
    assert main(["predict", "--model", "age-small", str(PORTRAIT), "-o", str(tmp_path / "answers.csv")]) == 2
    assert "answers.csv: cannot be written: that is a pipe or a device" in capsys.readouterr().err
