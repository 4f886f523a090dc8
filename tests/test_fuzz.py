"""The fuzzer: what it makes can be made again, and it sees what it looks for."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import fuzz
import pytest

from numpyvgg.errors import InternalError, ModelFormatError
from numpyvgg.files.onnx import read_onnx

TOOL = Path(fuzz.__file__)
SEEDS = fuzz.collect_seeds(["caffe", "text"])


def test_a_change_depends_on_its_seed_and_number_alone():
    changes = [fuzz.Changes(SEEDS, 7)[i][1] for i in range(100)]
    assert changes == [fuzz.Changes(SEEDS, 7)[i][1] for i in range(100)]
    assert changes != [fuzz.Changes(SEEDS, 8)[i][1] for i in range(100)]
    assert len(set(changes)) > 90


def test_what_is_parsed_is_written_as_it_was():
    data = fuzz.caffe_network()
    assert fuzz.serialize(fuzz.parse(data)) == data
    assert fuzz.parse(data[:-1]) is None


@pytest.mark.parametrize("seed", [*SEEDS["caffe"], *SEEDS["text"]], ids=lambda seed: seed.name)
def test_the_sound_files_are_read(seed, tmp_path):
    words, details = fuzz.outcome(fuzz.Judge(tmp_path, lambda stage: None), seed.kind, seed.name, seed.data)
    assert "read" in words, details
    assert "refused" not in words


FAULTS = {
    "foreign": IndexError("list index out of range"),
    "refused": ModelFormatError("net.onnx: no"),
    "out of memory": MemoryError(),
}


@pytest.mark.parametrize("word", FAULTS)
def test_each_outcome_has_its_word(word, tmp_path, monkeypatch):
    def fail(data):
        raise FAULTS[word]

    judge = fuzz.Judge(tmp_path, lambda stage: None)
    monkeypatch.setattr(fuzz.numpyvgg, "read_onnx", fail)
    words, details = fuzz.outcome(judge, "onnx", "x.onnx", b"")
    assert words == [word]
    assert ("IndexError" in details) == (word == "foreign")


def test_a_fault_that_the_package_reports_of_itself_is_a_fault(tmp_path, monkeypatch):
    def fail(data):
        raise InternalError("net.onnx: a fault of numpyvgg")

    judge = fuzz.Judge(tmp_path, lambda stage: None)
    monkeypatch.setattr(fuzz.numpyvgg, "read_onnx", fail)
    assert fuzz.outcome(judge, "onnx", "x.onnx", b"")[0] == ["foreign"]


def test_too_much_memory_and_time_are_seen(tmp_path, monkeypatch):
    judge = fuzz.Judge(tmp_path, lambda stage: None)
    monkeypatch.setattr(fuzz, "SLOW", -1.0)
    monkeypatch.setattr(fuzz.numpyvgg, "read_onnx", lambda data: [bytearray(b"x" * 250_000_000), read_onnx(3)][0])
    words, _ = fuzz.outcome(judge, "onnx", "x.onnx", b"")
    assert words == ["refused", "slow", "large"]


@pytest.mark.thorough
def test_a_campaign_goes_on_where_it_stopped(tmp_path):
    def run(count: int) -> dict:
        command = [sys.executable, TOOL, tmp_path, "--seed", "5", "--count", str(count), "--kinds", "text"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.startswith("seed 5\n")
        return json.loads((tmp_path / "state-5.json").read_text())

    assert run(20)["counts"]["files"] == 20
    state = run(50)
    assert (state["next"], state["counts"]["files"], state["counts"]["text: files"]) == (50, 50, 50)


@pytest.mark.thorough
def test_a_death_is_counted_and_the_next_file_is_opened(tmp_path, monkeypatch):
    """The third file of a child ends it."""
    source = TOOL.read_text().replace('told("start")', 'told("start"); index == 2 and os.kill(os.getpid(), 11)')
    source = source.replace('Path(__file__).parents[1] / "tests"', f"Path({str(TOOL.parents[1])!r}) / 'tests'")
    tool = tmp_path / "fuzz_that_dies.py"
    tool.write_text(
        f"import sys; sys.path.insert(0, {str(TOOL.parent)!r})\n" + re.sub(r"(?m)^from __future__.*$", "", source)
    )
    command = [sys.executable, tool, tmp_path / "runs", "--seed", "5", "--count", "10", "--kinds", "text"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    counts = json.loads((tmp_path / "runs" / "state-5.json").read_text())["counts"]
    assert (counts["files"], counts["death"]) == (10, 1)
    assert '"death", "start"' in done.stdout
