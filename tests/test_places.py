"""Where the package has to run: from a zip, without a home, where nothing can be mapped into memory."""

from __future__ import annotations

import mmap
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from caffe_writer import Writer, opencv_layers, opencv_net
from conftest import PORTRAIT
from make_standin import Layout
from make_standin import write_standin as write_layout

import numpyvgg
from numpyvgg import cli
from numpyvgg.files import cache, source
from numpyvgg.vgg.standin import write_standin

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The package as a wheel or a zipapp holds it."""
    path = tmp_path_factory.mktemp("zip") / "numpyvgg.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in (ROOT / "numpyvgg").rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                archive.write(file, file.relative_to(ROOT))
        for file in (ROOT / "models").iterdir():
            archive.write(file, Path("numpyvgg", "models", file.name))
        archive.writestr("__main__.py", "import sys\nfrom numpyvgg.cli import main\nsys.exit(main())\n")
    return path


def run(*command, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "HOME", "NUMPYVGG_CACHE")}
    return subprocess.run(
        list(map(str, command)), env={**kept, **environment}, cwd="/", capture_output=True, text=True, check=False
    )


@pytest.mark.thorough
def test_a_zipapp_answers_as_the_package_does(wheel, tmp_path, capsys):
    done = run(sys.executable, wheel, "predict", PORTRAIT, "--faces", "--model", "small", TMPDIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert cli.main(["predict", str(PORTRAIT), "--faces", "--model", "small"]) == 0
    assert done.stdout == capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []  # what was unpacked is gone


@pytest.mark.thorough
def test_a_wheel_on_the_path_finds_its_page_and_its_photograph(wheel, tmp_path):
    code = (
        "from importlib import resources; import numpyvgg, numpyvgg.report.page as page; "
        "print(len((resources.files('numpyvgg') / 'data' / 'eileen_collins.jpg').read_bytes()), "
        "numpyvgg.__file__.count('.zip'))"
    )
    done = run(sys.executable, "-c", code, PYTHONPATH=str(wheel))
    assert done.stdout.split() == [str(PORTRAIT.stat().st_size), "1"], done.stderr


def test_a_user_without_a_home_gets_answers_and_is_told_where_nothing_can_be_kept(monkeypatch, capsys):
    def nobody(*args, **kwargs):
        raise RuntimeError("could not determine the home directory")

    monkeypatch.delenv("NUMPYVGG_CACHE", raising=False)
    monkeypatch.setattr("platformdirs.user_cache_dir", nobody)
    assert len(numpyvgg.predict(PORTRAIT).answers) == 2
    assert cli.main(["models"]) == 0
    assert cli.main(["predict", str(PORTRAIT)]) == 0
    assert cli.main(["fetch", "age-imdb-wiki"]) == 2
    assert "cannot be written" in capsys.readouterr().err
    assert not os.path.exists(cache.cache_folder())


@pytest.mark.skipif(
    shutil.which("unshare") is None or run("unshare", "--user", "--map-user=54321", "true").returncode != 0,
    reason="user namespaces of Linux",
)
def test_a_user_whom_the_system_does_not_know_gets_answers():
    """A process without HOME under a number that no user has."""
    code = f"from numpyvgg.cli import main; print(main(['predict', {str(PORTRAIT)!r}]), main(['models']))"
    done = run("unshare", "--user", "--map-user=54321", sys.executable, "-c", code, PYTHONPATH=str(ROOT))
    assert "Traceback" not in done.stderr
    assert done.stdout.endswith("0 0\n")


class RefusingMap(mmap.mmap):
    """What the file system of a browser says to mmap."""

    def __new__(cls, *args, **kwargs):
        raise OSError(19, "No such device")


@pytest.fixture
def ranges(monkeypatch) -> list[int]:
    """Files are read by ranges; the sizes of what has been read so far."""
    sizes, read = [], os.pread

    def pread(descriptor: int, size: int, offset: int) -> bytes:
        sizes.append(size)
        return read(descriptor, size, offset)

    monkeypatch.setattr(os, "pread", pread)
    monkeypatch.setattr(mmap, "mmap", RefusingMap)
    monkeypatch.setattr(source, "_READ_WHOLE", 0)
    return sizes


@pytest.mark.parametrize(
    "layout",
    [
        Layout(),
        Layout(storage="raw", alignment=1),
        Layout(storage="external", opset=17, initializers_as_inputs=False),
    ],
    ids=["float_data", "raw", "external"],
)
@pytest.mark.parametrize("conv", ["im2col", "winograd"])
def test_a_large_file_that_cannot_be_mapped_is_read_by_ranges(tmp_path, ranges, layout, conv):
    path = write_layout(tmp_path / "net.onnx", layout, width=1 / 8)
    x = np.random.default_rng(0).integers(0, 256, (1, 3, 224, 224)).astype(np.float32)
    (expected,) = onnxruntime.InferenceSession(path).run(None, {"input": x})
    net = numpyvgg.VGG16.from_onnx(path, conv=conv, memory="small")
    there = sum(file.stat().st_size for file in tmp_path.iterdir())
    assert sum(ranges) < there / 2  # the structure, and the convolutions, which are rearranged
    for _ in range(2):
        np.testing.assert_allclose(net(x), expected, rtol=0, atol=1e-5 * expected.max())
    session = numpyvgg.InferenceSession(path)
    np.testing.assert_allclose(session.run(None, {"input": x})[0], expected, rtol=0, atol=1e-5 * expected.max())


def test_a_large_file_of_caffes_is_read_by_ranges_too(tmp_path, ranges):
    writer = Writer(size=(3, 32, 32))
    blob = writer.pool(writer.conv("data", "conv", 16, 3, pad=1), "pool", 2, 2)
    writer.softmax(writer.fc(blob, "fc", 101, gain=0.2))
    path = writer.write(tmp_path)
    x = np.random.default_rng(0).uniform(-1, 1, (1, 3, 32, 32)).astype(np.float32)
    session = numpyvgg.InferenceSession(path)
    assert ranges
    expected = opencv_layers(opencv_net(writer), x)["prob"]
    np.testing.assert_allclose(session.run(None, {"data": x})[0], expected, rtol=0, atol=1e-5 * expected.max())


def test_a_small_network_answers_from_ranges(monkeypatch, ranges):
    answer = str(numpyvgg.predict(PORTRAIT, ["small"]))
    assert ranges
    monkeypatch.undo()
    assert answer == str(numpyvgg.predict(PORTRAIT, ["small"]))


def test_a_file_that_becomes_shorter_while_it_is_read_is_said(tmp_path, ranges):
    path = write_layout(tmp_path / "net.onnx", Layout())
    model = numpyvgg.read_onnx(path)
    os.truncate(path, 1000)
    with pytest.raises(numpyvgg.ModelFormatError, match=r"net\.onnx: byte \d+: the file has become shorter"):
        model.initializers["fc8-101_W"]


def test_a_file_that_cannot_be_read_any_more_is_said(tmp_path, ranges, monkeypatch):
    def gone(*args):
        raise OSError(5, "Input/output error")

    model = numpyvgg.read_onnx(write_layout(tmp_path / "net.onnx", Layout()))
    monkeypatch.setattr(os, "pread", gone)
    with pytest.raises(numpyvgg.ModelFormatError, match=r"net\.onnx: byte \d+: Input/output error"):
        model.initializers["fc8-101_W"]


@pytest.mark.parametrize(
    "refusal", [OSError(19, "No such device"), OSError(12, "Cannot allocate memory"), ValueError()]
)
def test_where_nothing_can_be_mapped_files_are_read(refusal, monkeypatch):
    right = numpyvgg.predict(PORTRAIT, ["small"])

    class Refusing(mmap.mmap):
        def __new__(cls, *args, **kwargs):
            raise refusal

    monkeypatch.setattr(mmap, "mmap", Refusing)
    assert numpyvgg.predict(PORTRAIT, ["small"]) == right


def test_what_a_killed_process_left_is_swept_a_day_later(tmp_path):
    path = tmp_path / "net.onnx"
    old, new, resumed = (tmp_path / name for name in ("net.onnx.abc.part", "net.onnx.def.part", "net.onnx.part"))
    for leftover in (old, new, resumed):
        leftover.touch()
    os.utime(old, (1, 1))
    os.utime(resumed, (1, 1))
    with cache.written_whole(path) as file:
        file.write(b"whole")
    assert sorted(tmp_path.iterdir()) == [path, new, resumed]


@pytest.mark.thorough
def test_a_page_is_made_without_a_word_where_no_folder_can_be_written(tmp_path):
    """matplotlib, whose colours the page has, complains of a home that it cannot write to."""
    page = tmp_path / "page.html"
    network = tmp_path / "net.onnx"
    write_standin(network, width=1 / 16)
    command = [sys.executable, "-m", "numpyvgg", "explain", PORTRAIT, "--model", network, "-o", page]
    done = run(*command, PYTHONPATH=str(ROOT), HOME="/proc/nobody", MPLCONFIGDIR="/proc/nobody")
    assert page.exists(), done.stderr
    assert "atplotlib" not in done.stderr
    assert "mkdir" not in done.stderr
