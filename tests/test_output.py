"""What commands print and write: in every encoding, valid for every name, checked first, whole or not at all."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import try_locales
from conftest import PORTRAIT

from numpyvgg import ArgumentError, cli
from numpyvgg.cli import output
from numpyvgg.files.lines import csv_line, csv_path

ROOT = Path(__file__).parents[1]
#: One process runs every command line of the tool; each gets its own line of report, after a mark of its own
_RUN_ALL = """
import os, sys
sys.path[:0] = [os.environ["TOOLS"]]
import try_locales
from numpyvgg.cli import main
for number, arguments in enumerate(try_locales.command_lines()):
    for stream in (sys.stdout, sys.stderr):
        print(f"#{number}#", file=stream, flush=True)
    print(f"code {main(arguments)}", file=sys.stderr, flush=True)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("names")
    try_locales.make_folder(path)
    return path


def environment(**settings: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("LC_", "LANG", "PYTHON", "NUMPYVGG"))}
    return {**kept, "PYTHONPATH": str(ROOT), "TOOLS": str(ROOT / "tools"), **settings}


@pytest.mark.thorough
@pytest.mark.skipif(os.name == "nt", reason="file names that are bytes")
@pytest.mark.parametrize("name", try_locales.ENVIRONMENTS)
def test_no_file_name_ends_a_run_whatever_the_outputs_encoding(name, folder, tmp_path):
    setting, encoding = try_locales.ENVIRONMENTS[name]
    done = subprocess.run(
        [sys.executable, "-c", _RUN_ALL],
        cwd=folder,
        env=environment(NUMPYVGG_CACHE=str(tmp_path), **setting),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for number, arguments in enumerate(try_locales.command_lines()):
        out, err = (_part(stream, number) for stream in (done.stdout, done.stderr))
        *lines, code = err.splitlines(keepends=True)
        returncode = int(code.removeprefix(b"code "))
        wrong = try_locales.fault(returncode, out, b"".join(lines), encoding, "--csv" not in arguments)
        assert not wrong, (arguments, wrong)


def _part(stream: bytes, number: int) -> bytes:
    begun = stream.split(f"#{number}#\n".encode())[1]
    return begun.split(f"#{number + 1}#\n".encode())[0]


@pytest.mark.thorough
@pytest.mark.skipif(os.name == "nt", reason="a shell's way to close a stream")
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(
    "command", ["models", "inspect age.onnx", "predict plain.png --model age.onnx --csv", "fetch x"]
)
def test_closed_streams_end_in_an_exit_code_as_usual(command, closed, folder):
    done = subprocess.run(
        f"{sys.executable} -m numpyvgg {command} {closed}",
        shell=True,
        cwd=folder,
        env=environment(),
        capture_output=True,
    )
    assert done.returncode == (2 if command == "fetch x" else 0)
    assert b"Traceback" not in done.stderr


def test_missing_streams_are_no_error(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert cli.main(["models"]) == 0
    assert cli.main(["inspect", "missing.onnx"]) == 2


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux, always full")
@pytest.mark.parametrize("command", ["models", "--help", "--version"])
def test_a_full_disk_is_named_as_the_outputs(command):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "numpyvgg", command], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (2, "numpyvgg: the output: No space left on device\n")


def test_what_nobody_foresaw_is_one_line_that_says_whose_fault_it_is(monkeypatch, capsys):
    from numpyvgg.cli import models

    monkeypatch.setattr(models, "run", lambda args: [][0])
    assert cli.main(["models"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("numpyvgg: a fault of numpyvgg")
    assert "IndexError" in said
    assert said.count("\n") == 1
    monkeypatch.setenv("NUMPYVGG_TRACEBACK", "1")
    assert cli.main(["models"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_a_double_dash_before_the_command_is_no_fault_of_ours(capsys):
    assert cli.main(["--", "models"]) in (0, 2)  # newer versions of argparse take it
    assert "fault" not in capsys.readouterr().err


# ---------------------------------------------------------------------- lines


@pytest.mark.parametrize("name", ["=1+2", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1"])
def test_no_cell_of_csv_begins_a_formula(name):
    (row,) = csv.reader(io.StringIO(csv_line([name, csv_path(name), -1.5]), newline=""))
    assert row == [f"'{name}", os.path.join(".", name), "-1.5"]
    assert os.path.normpath(row[1]) == os.path.normpath(name)


@pytest.mark.parametrize("name", ["two\nlines", "cr\rname", 'a "quoted", name', "plain", "\x1b[2J", "年"])
def test_csv_gives_every_name_back(name):
    (row,) = csv.reader(io.StringIO(csv_line([name, "next"]), newline=""))
    assert row == [name, "next"]


def test_csv_on_a_terminal_has_no_control_characters(monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert csv_line(["\x1b[2J"]) == r"\x1b[2J"


@pytest.mark.parametrize("name", ["caf\udce9.jpg", "\x1b[2J\x7f\x85", "年\u2028", 'a"b'])
def test_json_gives_every_name_back_in_ascii(name):
    text = output.json_text({"image": name})
    assert text.isascii()
    assert json.loads(text) == {"image": name}


def test_json_has_null_where_there_is_no_number():
    text = output.json_text({"a": [float("nan"), 1.5], "b": float("-inf")})
    assert json.loads(text, parse_constant=lambda word: pytest.fail(word)) == {"a": [None, 1.5], "b": None}


# ---------------------------------------------------------------------- files


def test_outputs_that_cannot_be_written_are_refused_with_the_reason(tmp_path):
    there = tmp_path / "there.png"
    there.write_bytes(b"kept")
    cases = [
        ((tmp_path,), "that is a folder"),
        (("",), "that is a folder"),
        ((tmp_path / "missing" / "x.png",), "there is no folder"),
        ((there / "x.png",), "there is no folder"),
        ((tmp_path / "x.gif", (".png",)), r"does not end in \.png"),
        ((there, (".png",), [str(there)]), "that is the input itself"),
    ]
    for arguments, reason in cases:
        with pytest.raises(ArgumentError, match=f"--draw.*cannot be written: .*{reason}"):
            output.check_file("--draw", *arguments)
    output.check_file("--draw", tmp_path / "new.png", (".png",), [str(there)])
    with pytest.raises(ArgumentError, match="that is a file"):
        output.check_folder("-o", there)
    with pytest.raises(ArgumentError, match="Not a directory"):
        output.check_folder("-o", there / "folder")
    assert sorted(tmp_path.iterdir()) == [there]


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="a file system that takes no files")
def test_a_folder_that_takes_no_files_is_refused_before_the_work():
    with pytest.raises(ArgumentError, match=r"-o /proc/self/x\.html: cannot be written: /proc/self: "):
        output.check_file("-o", "/proc/self/x.html")
    with pytest.raises(ArgumentError, match="-o /proc/self/x: cannot be written"):
        output.check_folder("-o", "/proc/self/x")


def test_what_fails_while_it_is_written_leaves_what_was_there(tmp_path):
    path = tmp_path / "page.html"
    path.write_text("before")
    with pytest.raises(ArgumentError, match="cannot be written: disk full"):
        _write_half(path)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["before"]
    link = tmp_path / "link.html"
    link.symlink_to(path)
    with output.written("-o", link) as file:
        file.write(b"after")
    assert link.is_symlink()
    assert path.read_text() == "after"


def _write_half(path):
    with output.written("-o", path) as file:
        file.write(b"half")
        raise OSError(28, "disk full")


def test_what_a_full_disk_cuts_off_leaves_nothing(tmp_path):
    resource = pytest.importorskip("resource", reason="Windows has no limit on the size of files")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    full = pytest.raises(ArgumentError, match="cannot be written: File too large")
    try:
        with full, output.written("-o", tmp_path / "page.html") as file:
            file.write(b"more than ten bytes")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(tmp_path.iterdir())


def test_a_device_can_be_written_to():
    output.check_file("--json", os.devnull)
    with output.written("--json", os.devnull) as file:
        file.write(b"{}")
    assert not os.path.isfile(os.devnull)


@pytest.mark.parametrize(
    "arguments",
    [
        ["explain", "plain.png", "--model", "age.onnx", "-o", "missing/page.html"],
        ["explain", "plain.png", "--model", "age.onnx", "-o", "."],
        ["explain", "plain.png", "--model", "age.onnx", "-o", "plain.png"],
        ["align", "plain.png", "-o", "plain.png"],
        ["parity", "age.onnx", "--write", "plain.png"],
        ["bench", "age.onnx", "--systems", "numpyvgg", "--json", "missing/times.json"],
        ["predict", "plain.png", "--faces", "--model", "age.onnx", "--draw", "missing/out.png"],
    ],
    ids=lambda arguments: " ".join(arguments[:1] + arguments[-2:]),
)
def test_every_command_checks_its_output_before_its_work(arguments, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    before = sorted(folder.iterdir())
    assert cli.main(arguments) == 2
    assert f"{arguments[-2]} {arguments[-1]}: cannot be written: " in capsys.readouterr().err
    assert sorted(folder.iterdir()) == before
    assert PORTRAIT.exists()
