"""The names that programs use besides `run`: each program here says the same with onnxruntime and without it."""

from __future__ import annotations

import importlib
import json
import os
import threading
import warnings

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper
from test_session import RELU, make_model

import numpyvgg.session
from numpyvgg import ArgumentError, InferenceSession, ModelFormatError, NumpyVggError, SessionOptions
from numpyvgg.errors import MissingModelError, UnsupportedModelError

BOTH = pytest.mark.parametrize("ort", [onnxruntime, numpyvgg.session], ids=["onnxruntime", "numpyvgg"])
X = np.linspace(-1, 1, 24, dtype=np.float32).reshape(2, 3, 4)
MODEL = RELU.SerializeToString()


@BOTH
def test_a_model_tells_what_its_exporter_wrote_into_it(ort):
    model = onnx.ModelProto.FromString(MODEL)
    model.producer_name, model.domain, model.model_version, model.doc_string = "pytorch", "org.example", 7, "a test"
    model.graph.doc_string = "of a graph"
    helper.set_model_props(model, {"names": "{0: 'face'}", "imgsz": "[640, 640]"})
    meta = ort.InferenceSession(model.SerializeToString()).get_modelmeta()
    assert meta.custom_metadata_map == {"names": "{0: 'face'}", "imgsz": "[640, 640]"}
    assert (meta.producer_name, meta.graph_name, meta.domain, meta.version) == ("pytorch", "graph", "org.example", 7)
    assert (meta.description, meta.graph_description) == ("a test", "of a graph")


@BOTH
def test_inputs_and_outputs_are_bound_once(ort):
    session = ort.InferenceSession(MODEL)
    binding = session.io_binding()
    value = ort.OrtValue.ortvalue_from_numpy(X.copy(), "cpu", 0)
    place = ort.OrtValue.ortvalue_from_shape_and_type([2, 3, 4], np.float32)
    assert (value.shape(), value.data_type(), value.device_name()) == ([2, 3, 4], "tensor(float)", "cpu")
    assert (value.is_tensor(), value.has_value(), value.element_type()) == (True, True, 1)
    binding.bind_ortvalue_input("x", value)
    binding.bind_ortvalue_output("y", place)
    session.run_with_iobinding(binding)
    np.testing.assert_array_equal(place.numpy(), np.maximum(X, 0))
    value.update_inplace(-X)
    session.run_with_iobinding(binding)
    np.testing.assert_array_equal(binding.copy_outputs_to_cpu()[0], np.maximum(-X, 0))
    binding.clear_binding_outputs()
    binding.bind_cpu_input("x", X)
    binding.bind_output("y")
    session.run_with_iobinding(binding)
    np.testing.assert_array_equal(binding.get_outputs()[0].numpy(), np.maximum(X, 0))
    np.testing.assert_array_equal(session.run_with_ort_values(["y"], {"x": value})[0].numpy(), np.maximum(-X, 0))


@BOTH
def test_arrays_are_bound_by_their_address_as_other_libraries_give_it(ort):
    session = ort.InferenceSession(MODEL)
    binding = session.io_binding()
    x, y = X.copy(), np.empty_like(X)
    binding.bind_input("x", "cpu", 0, np.float32, x.shape, x.ctypes.data)
    binding.bind_output("y", "cpu", 0, np.float32, y.shape, y.ctypes.data)
    session.run_with_iobinding(binding)
    np.testing.assert_array_equal(y, np.maximum(X, 0))


@BOTH
def test_a_run_can_go_on_by_itself(ort):
    session, done, seen = ort.InferenceSession(MODEL), threading.Event(), []

    def take(results, user_data, error):
        seen.append((results, user_data, error))
        done.set()

    session.run_async(["y"], {"x": X}, take, "mine")
    assert done.wait(60)
    ((results, user_data, error),) = seen
    np.testing.assert_array_equal(results[0], np.maximum(X, 0))
    assert (user_data, error) == ("mine", "")


def test_what_goes_wrong_in_a_run_by_itself_is_told():
    done, seen = threading.Event(), []
    InferenceSession(RELU).run_async(["y"], {}, lambda *told: (seen.append(told), done.set()), None)
    assert done.wait(60)
    assert "are missing from input feed" in seen[0][2]


@BOTH
def test_a_profile_is_a_chrome_trace_with_the_nodes(ort, tmp_path):
    options = ort.SessionOptions()
    options.enable_profiling, options.profile_file_prefix = True, str(tmp_path / "profile")
    model = make_model(
        [helper.make_node("Relu", ["x"], ["a"], name="first"), helper.make_node("Exp", ["a"], ["y"], name="second")],
        [("x", [2])],
        [("y", [2])],
    )
    session = ort.InferenceSession(model.SerializeToString(), options)
    session.run(None, {"x": np.ones(2, np.float32)})
    path = session.end_profiling()
    assert os.path.dirname(path) == str(tmp_path)
    with open(path) as file:
        events = json.load(file)
    nodes = [event for event in events if event["name"].endswith("_kernel_time")]
    assert [(event["name"], event["args"]["op_name"]) for event in nodes] == [
        ("first_kernel_time", "Relu"),
        ("second_kernel_time", "Exp"),
    ]
    assert all({"ts", "dur", "pid", "tid", "ph", "cat"} <= set(event) for event in nodes)
    assert "model_run" in [event["name"] for event in events]


def test_the_profile_says_which_convolutions_the_kernels_computed(tmp_path):
    """A weight that is fed cannot be prepared; one behind a node that is computed from constants can."""
    options = SessionOptions()
    options.enable_profiling, options.profile_file_prefix = True, str(tmp_path / "profile")
    model = make_model(
        [
            helper.make_node("Conv", ["x", "w"], ["a"], name="fed"),
            helper.make_node("Neg", ["v"], ["n"]),
            helper.make_node("Conv", ["a", "n"], ["y"], name="fixed"),
        ],
        [("x", [1, 1, 3, 3]), ("w", [1, 1, 1, 1])],
        [("y", [1, 1, 3, 3])],
    )
    model.graph.initializer.append(numpy_helper.from_array(np.ones((1, 1, 1, 1), np.float32), "v"))
    session = InferenceSession(model.SerializeToString(), options)
    session.run(None, {"x": np.ones((1, 1, 3, 3), np.float32), "w": np.ones((1, 1, 1, 1), np.float32)})
    with open(session.end_profiling()) as file:
        said = {event["name"]: event["args"].get("computed_by") for event in json.load(file)}
    assert said["fed_kernel_time"] == "operator"
    assert said["fixed_kernel_time"] == "kernels"


@BOTH
def test_what_programs_set_and_ask_is_there(ort):
    ort.disable_telemetry_events()
    ort.set_seed(1)
    ort.set_default_logger_severity(3)
    ort.set_default_logger_verbosity(0)
    assert isinstance(ort.get_version_string(), str)
    assert ort.__version__ == ort.get_version_string()
    assert isinstance(ort.get_build_info(), str)
    session = ort.InferenceSession(MODEL, disabled_optimizers=["ConstantFolding"], enable_fallback=False)
    session.set_providers(["CPUExecutionProvider"])
    session.disable_fallback()
    assert session.end_profiling() == ""
    options = ort.SessionOptions()
    options.intra_op_num_threads = -1
    ort.InferenceSession(MODEL, options).run(None, {"x": X})
    with pytest.raises(AttributeError):
        options.intra_op_threads = 2


@BOTH
@pytest.mark.parametrize("module", ["_pybind_state", "onnxruntime_pybind11_state"])
def test_exceptions_are_caught_under_onnxruntimes_names(ort, module, tmp_path):
    state = importlib.import_module(f"{ort.__name__}.capi.{module}")
    with pytest.raises(state.NoSuchFile):
        ort.InferenceSession(str(tmp_path / "nothing.onnx"))
    with pytest.raises(state.InvalidArgument):
        ort.InferenceSession(MODEL).run(None, {"x": X[0]})
    with pytest.raises((state.InvalidGraph, state.InvalidProtobuf)):
        ort.InferenceSession(b"no model")
    assert "CPUExecutionProvider" in state.get_available_providers()


def test_the_same_exceptions_are_this_packages_own(tmp_path):
    state = numpyvgg.session.capi.onnxruntime_pybind11_state
    unknown = make_model([helper.make_node("GRU", ["x", "x", "x"], ["y"])], [("x", [2])], [("y", None)])
    for kind, ours, model in (
        (state.NoSuchFile, MissingModelError, tmp_path / "nothing.onnx"),
        (state.InvalidGraph, ModelFormatError, b"no model"),
        (state.NotImplemented, UnsupportedModelError, unknown),
    ):
        with pytest.raises(kind) as caught:
            InferenceSession(model)
        assert isinstance(caught.value, ours)
        assert isinstance(caught.value, NumpyVggError)
    with pytest.raises(state.InvalidArgument) as caught:
        InferenceSession(RELU).run(None, {"x": X[0]})
    assert isinstance(caught.value, ArgumentError)


def test_there_is_one_class_of_each_exception_whatever_the_package_is_called(monkeypatch):
    for name in [name for name in importlib.sys.modules if name.partition(".")[0] == "onnxruntime"]:
        monkeypatch.delitem(importlib.sys.modules, name)
    monkeypatch.setitem(importlib.sys.modules, "onnxruntime", numpyvgg.session)
    from onnxruntime.capi import _pybind_state
    from onnxruntime.capi.onnxruntime_pybind11_state import Fail

    assert Fail is numpyvgg.session.exceptions.Fail
    assert _pybind_state.InvalidArgument is numpyvgg.session.exceptions.InvalidArgument
    for name in [name for name in importlib.sys.modules if name.startswith("onnxruntime.")]:
        monkeypatch.delitem(importlib.sys.modules, name)


def test_infinities_are_no_warnings_in_any_thread():
    weights = {"w": np.ones((8, 8, 3, 3), np.float32)}
    nodes = [helper.make_node("Conv", ["x", "w"], ["a"]), helper.make_node("Conv", ["a", "w"], ["y"])]
    options = SessionOptions()
    options.intra_op_num_threads = 2
    session = InferenceSession(make_model(nodes, [("x", [1, 8, 96, 96])], [("y", None)], weights), options)
    x = np.full((1, 8, 96, 96), np.inf, np.float32)
    x[:, ::2] *= -1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(5):
            assert np.isnan(session.run(None, {"x": x})[0]).all()
