"""What the package is handed on as: a wheel, a slim one, one file, and what PyInstaller is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy
import PIL
import pytest
from conftest import PORTRAIT
from make_zipapp import make_zipapp, pure_requirements

from numpyvgg import cli
from numpyvgg.__pyinstaller import get_hook_dirs

ROOT = Path(__file__).parents[1]


def build(folder: Path, **environment: str) -> Path:
    """A wheel of the checkout, built aside from it."""
    steps = ["build", "--build-base", folder / "build", "egg_info", "--egg-base", folder, "bdist_wheel", "-d", folder]
    subprocess.run(
        [sys.executable, "setup.py", "-q", *map(str, steps)],
        cwd=ROOT, env={**os.environ, **environment}, capture_output=True, check=True,
    )  # fmt: skip
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    return build(tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def slim(tmp_path_factory) -> Path:
    return build(tmp_path_factory.mktemp("slim"), NUMPYVGG_SLIM="1")


def bare(folder: Path) -> dict[str, str]:
    """The environment of a Python that has NumPy and Pillow, and nothing else, if it is started with -S."""
    for module in (numpy, PIL):
        package = Path(module.__file__).parent
        for path in (package, package.with_name(f"{package.name}.libs"), package.with_name("pillow.libs")):
            if path.exists() and not (folder / path.name).exists():
                (folder / path.name).symlink_to(path)
    return {**os.environ, "PYTHONPATH": str(folder)}


@pytest.mark.thorough
def test_one_file_answers_where_only_numpy_and_pillow_are_installed(wheel, tmp_path, capsys):
    program, elsewhere = tmp_path / "numpyvgg.pyz", tmp_path / "site"
    make_zipapp(wheel, program)
    elsewhere.mkdir()
    command = [sys.executable, "-S", program, "predict", PORTRAIT, "--faces", "--model", "small"]
    done = subprocess.run(command, env=bare(elsewhere), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert cli.main(["predict", str(PORTRAIT), "--faces", "--model", "small"]) == 0
    assert done.stdout == capsys.readouterr().out
    refused = subprocess.run(
        [sys.executable, "-I", "-S", program, "models"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "NumPy is not installed" in refused.stderr


@pytest.mark.thorough
def test_one_file_holds_what_the_wheel_needs_beside_compiled_packages(wheel):
    names = {requirement.split(">")[0] for requirement in pure_requirements(wheel)}
    assert names == {"platformdirs", "threadpoolctl", "tqdm"}


@pytest.mark.thorough
def test_a_slim_wheel_has_all_but_the_age_network_and_says_so(wheel, slim, tmp_path):
    whole, part = (set(zipfile.ZipFile(path).namelist()) for path in (wheel, slim))
    assert {name for name in whole - part if ".dist-info/" not in name} == {"numpyvgg/models/age-v1.onnx"}
    assert "+slim-" in slim.name
    code = (
        "import sys; from numpyvgg.cli import main; "
        "print(*(main(['predict', sys.argv[1], '--model', name]) for name in ('gender-small', 'small')))"
    )
    environment = {**os.environ, "PYTHONPATH": str(slim)}
    command = [sys.executable, "-c", code, str(PORTRAIT)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.endswith("\n0 2\n")
    assert "age-small is not a part of this slim numpyvgg" in done.stderr


@pytest.mark.thorough
def test_pyinstaller_is_told_of_every_command_and_every_file_that_is_no_module(wheel, tmp_path):
    """The hook is run as PyInstaller does, on the package as it is installed."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
        (entry_points,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
        assert (
            "[pyinstaller40]\nhook-dirs = numpyvgg.__pyinstaller:get_hook_dirs" in archive.read(entry_points).decode()
        )
    (folder,) = get_hook_dirs()
    code = (
        "import json, runpy, sys; hook = runpy.run_path(sys.argv[1]); print(json.dumps([hook['hiddenimports'], "
        "hook['datas']]))"
    )
    command = [sys.executable, "-c", code, str(Path(folder, "hook-numpyvgg.py"))]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    modules, files = json.loads(done.stdout)
    assert {f"numpyvgg.cli.{name}" for name in cli.COMMANDS} <= set(modules)
    package = (tmp_path / "numpyvgg").rglob("*")
    wanted = {str(path) for path in package if path.is_file() and path.suffix != ".py"}
    assert wanted <= {source for source, _ in files}
    for source, target in files:
        assert Path(target) == Path(source).parent.relative_to(tmp_path)
