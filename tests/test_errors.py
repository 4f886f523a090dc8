"""What every error promises: one line, bounded, without control characters, and who is to blame."""

import pickle

import pytest

from numpyvgg.errors import ArgumentError, InternalError, MissingExtraError, NumpyVggError, printable, reported_as_ours
from numpyvgg.files.onnx import Node
from numpyvgg.text import table

NAMES = {  # a name and how it is printed
    "\x1b[31mred\x1b[0m": r"\x1b[31mred\x1b[0m",
    "two\nlines\r": r"two\nlines\r",
    "gpj.\u202eexe": r"gpj.\u202eexe",  # right to left override: shows what follows backwards
    "\u2028": r"\u2028",  # a line end of Unicode's own
    "caf\udce9.jpg": r"caf\udce9.jpg",  # a file name in Latin-1
    "nul\0": r"nul\x00",
    "Müller 日本語 \u202f8.00\u00a0PM": "Müller 日本語 \u202f8.00\u00a0PM",  # a screenshot's name on a Mac
    "👨\u200d👩\u200d👧": "👨\u200d👩\u200d👧",
}


@pytest.mark.parametrize(("name", "shown"), NAMES.items())
def test_whatever_is_printed_has_no_control_characters(name, shown):
    assert printable(name) == shown
    assert str(NumpyVggError(f"{name}: is no model")) == f"{shown}: is no model"
    assert str(Node("Relu", name, [], [], {})) in (f"Relu node {shown!r}", f"Relu node {name!r}")
    assert table(["name"], [[name]]).splitlines()[2:] == [shown.rstrip()]
    shown.encode()  # nor anything that UTF-8 cannot hold


def test_a_message_is_bounded_however_long_a_name_is():
    assert len(str(NumpyVggError("begin " + "x" * 10**6 + " end"))) < 5000
    assert str(NumpyVggError("begin " + "x" * 10**6 + " end")).endswith(" end")


@pytest.mark.parametrize("kind", [NumpyVggError, ArgumentError, MissingExtraError, InternalError])
def test_errors_survive_the_way_between_processes(kind):
    error = pickle.loads(pickle.dumps(kind("net.onnx: no")))
    assert (type(error), str(error), error.args) == (kind, "net.onnx: no", ("net.onnx: no",))


@pytest.mark.parametrize("error", [KeyError("x"), RecursionError("deep"), ZeroDivisionError(), OSError(5, "I/O")])
def test_what_was_not_foreseen_is_reported_as_this_packages_fault(error):
    message = r"^net\.onnx: a fault of numpyvgg.*please report"
    with pytest.raises(InternalError, match=message) as caught, reported_as_ours("net.onnx"):
        raise error
    assert type(error).__name__ in str(caught.value)
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [ArgumentError("no"), MemoryError(), KeyboardInterrupt(), SystemExit(3)])
def test_what_is_nobodys_fault_or_has_its_own_error_passes(error):
    with pytest.raises(type(error)) as caught, reported_as_ours("net.onnx"):
        raise error
    assert caught.value is error
