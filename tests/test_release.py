"""What a release says about itself is one story: its version, its names, its pages."""

from __future__ import annotations

import argparse
import csv
import email
import importlib
import io
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import PORTRAIT
from test_parity import conv_case, conv_net

import numpyvgg
import numpyvgg.session
from numpyvgg.cli import COMMANDS, main
from numpyvgg.vgg.standin import write_standin

ROOT = Path(__file__).parents[1]
PYPROJECT = (ROOT / "pyproject.toml").read_text("utf-8")


def test_the_version_is_one_wherever_it_is_asked_for():
    assert numpyvgg.session.__version__ == numpyvgg.__version__
    command = [sys.executable, "-m", "numpyvgg", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"numpyvgg {numpyvgg.__version__}\n"


def test_the_version_is_known_in_a_zip_of_the_source(tmp_path):
    """Where nothing is installed there is no metadata to ask."""
    with zipfile.ZipFile(tmp_path / "numpyvgg.zip", "w") as archive:
        for path in (ROOT / "numpyvgg").rglob("*.py"):
            archive.write(path, path.relative_to(ROOT))
    code = "import numpyvgg, numpyvgg.session as s; print(numpyvgg.__file__, numpyvgg.__version__, s.__version__)"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "numpyvgg.zip")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    file, *versions = done.stdout.split()
    assert file.startswith(str(tmp_path))
    assert versions == [numpyvgg.__version__] * 2


# ---------------------------------------------------------------------- what is built


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """What the build says of the package, as it goes into wheels and source distributions."""
    folder = tmp_path_factory.mktemp("built")
    command = [sys.executable, "setup.py", "-q", "egg_info", "--egg-base", str(folder)]
    subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return folder / "numpyvgg.egg-info"


def test_links_and_pictures_of_the_readme_lead_somewhere_from_anywhere(built):
    metadata = email.message_from_string((built / "PKG-INFO").read_text("utf-8"))
    urls = dict(line.split(", ") for line in metadata.get_all("Project-URL"))
    targets = re.findall(r"\]\(([^)\s]+)[^)]*\)", metadata.get_payload())
    ours = [target for target in targets if target.startswith(urls["Repository"])]
    assert all("://" in target for target in targets)
    assert len(ours) == len(re.findall(r"\]\((?!https:)", (ROOT / "README.md").read_text("utf-8"))) > 10
    for target in ours:
        form, version, path = target.removeprefix(f"{urls['Repository']}/").partition("#")[0].split("/", 2)
        assert form == ("raw" if path.endswith((".jpg", ".png")) else "blob")
        assert version == f"v{numpyvgg.__version__}"
        assert (ROOT / path).exists()


def test_every_dependency_has_a_lower_bound(built):
    metadata = email.message_from_string((built / "PKG-INFO").read_text("utf-8"))
    for requirement in metadata.get_all("Requires-Dist"):
        assert ">=" in requirement or requirement.startswith("types-"), requirement


def test_the_source_distribution_has_whatever_the_tests_need(built):
    sources = {Path(line) for line in (built / "SOURCES.txt").read_text("utf-8").splitlines()}
    wanted = [
        path for folder in (".ci", "docs", "models", "numpyvgg", "tests", "tools") for path in walk(ROOT / folder)
    ]
    assert {path.relative_to(ROOT) for path in wanted} - sources == set()
    assert {Path(name) for name in ("README.md", "LICENSE", "CITATION.cff", "pyproject.toml", "setup.py")} <= sources


def test_whatever_lies_beside_the_modules_is_installed():
    """A file that is no module is part of a wheel only if `package-data` says so."""
    table = PYPROJECT.partition("[tool.setuptools.package-data]")[2].partition("\n[")[0]
    patterns = dict(re.findall(r'^"?(numpyvgg[.\w]*)"? = (\[.*\])$', table, re.MULTILINE))
    for path in walk(ROOT / "numpyvgg"):
        if path.suffix != ".py":
            package = ".".join(path.parent.relative_to(ROOT).parts)
            assert any(path.match(pattern) for pattern in json.loads(patterns.get(package, "[]"))), path


def walk(folder: Path) -> list[Path]:
    """Its files, but for what running Python leaves behind."""
    return [
        path for path in folder.rglob("*") if path.is_file() and not {"__pycache__", ".pytest_cache"} & {*path.parts}
    ]


def test_citation_and_changelog_are_of_this_version():
    assert f"\nversion: {numpyvgg.__version__}\n" in (ROOT / "CITATION.cff").read_text("utf-8")
    newest = re.search(r"^## ([^\s,]+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)[1]
    assert newest == numpyvgg.__version__


# ---------------------------------------------------------------------- the page of stable names


def section(title: str) -> str:
    page = (ROOT / "docs" / "api.md").read_text("utf-8")
    return page.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def quoted(text: str) -> list[str]:
    """What stands in backquotes; a bar in a table is written with a backslash."""
    return [name.replace("\\", "") for name in re.findall(r"`([^`]+)`", text)]


def rows(title: str) -> dict[str, list[str]]:
    """The table under a title: what its first cells quote first -> what its second cells quote."""
    lines = [re.split(r"(?<!\\)\|", line) for line in section(title).splitlines() if re.match(r"\|.*`", line)]
    return {quoted(cells[1])[0]: quoted(cells[2]) for cells in lines}


@pytest.mark.parametrize("module", [numpyvgg, numpyvgg.session], ids=lambda module: module.__name__)
def test_the_page_of_stable_names_has_those_that_there_are(module):
    text = section(f"Names in `{module.__name__}`")
    assert set(module.__all__) <= set(quoted(text)), "a new name is a promise: write it down"
    for name in quoted(text):
        if name.isidentifier() and (name[0].isupper() or name.startswith("__")):
            assert name in module.__all__
    for name in module.__all__:
        assert hasattr(module, name)


def test_the_page_has_every_command_with_its_options():
    table = rows("Commands")
    assert table.pop("numpyvgg") == ["--version"]
    assert list(table) == [f"numpyvgg {name}" for name in COMMANDS]
    for name in COMMANDS:
        parser = argparse.ArgumentParser(add_help=False)
        importlib.import_module(f"numpyvgg.cli.{name}").add_arguments(parser)
        options = [word for action in parser._actions for word in action.option_strings or [action.metavar]]
        assert set(table[f"numpyvgg {name}"]) == set(options), name


def test_the_page_has_every_column_of_csv(capsys):
    plain, faces, top = (quoted(paragraph) for paragraph in re.split(r"With ", section("Columns of CSV")))
    assert main(["predict", str(PORTRAIT), "--csv", "--faces", "--top", "1"]) == 0
    header = next(csv.reader(io.StringIO(capsys.readouterr().out)))
    first, *others = plain[1:]
    added = [name for name in faces if not name.startswith("--")], [name for name in top if name.startswith("top_1")]
    assert header == [first, *added[0], *others, *added[1]]


def keys(value: object, path: str = "") -> set[str]:
    """Of all objects in it, from the outside in; lists of numbers are values."""
    if isinstance(value, dict) and path != "opset_imports":
        return set().union(*(keys(inner, f"{path}.{key}".lstrip(".")) for key, inner in value.items()))
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return set().union(*(keys(inner, f"{path}[]" if path else "") for inner in value))
    return {path}


def test_the_page_has_every_key_of_json(tmp_path, capsys):
    network, small = (
        str(tmp_path / "net.onnx"),
        conv_net(tmp_path, conv_case(3, 4, 8)[1], name="small.onnx", size=(8, 8)),
    )
    write_standin(Path(network), width=1 / 32)

    def printed(*words: str) -> set[str]:
        assert main([*words, "--json"]) == 0
        return keys(json.loads(capsys.readouterr().out))

    table = rows("Keys of JSON")
    plain, top = set(table["predict --json"]), set(table["--top"])
    faces = {name for name in table["--faces"] if name.startswith("faces[].")}
    assert printed("predict", str(PORTRAIT)) == plain
    assert printed("predict", str(PORTRAIT), "--top", "1") == plain | top
    inside = {f"faces[].{name}" for name in plain - {"image", "conv"}}
    assert printed("predict", str(PORTRAIT), "--faces") == {"image", "conv", *inside, *faces}
    assert printed("inspect", network) == set(table["inspect --json"])
    assert printed("models") == set(table["models --json"])
    assert printed("parity", small, "--against", "onnxruntime") == set(table["parity --json"])
    assert printed("parity", small, "--self-test") == set(table["parity --self-test --json"])


def test_the_page_has_every_key_and_column_of_scores(tmp_path):
    """From a benchmark that has all: folds, groups, genders, published figures, a row without a label and one lost."""
    photograph = tmp_path / "aligned" / "1" / "landmark_aligned_face.1.a.jpg"
    photograph.parent.mkdir(parents=True)
    photograph.write_bytes(PORTRAIT.read_bytes())
    for fold in range(5):
        age = ("(25, 32)", "(38, 43)")[fold % 2]
        lines = [
            "user_id original_image face_id age gender",
            f"1 a.jpg 1 {age} f",
            "1 b.jpg 1 55 m",
            "1 c.jpg 1 None u",
        ]
        text = "\n".join(lines).replace(" ", "\t").replace(",\t", ", ")
        (tmp_path / f"fold_{fold}_data.txt").write_text(text)
    assert main(["score", "adience", str(tmp_path), "-o", str(tmp_path / "out"), "--model", "small"]) == 1
    table = rows("Files of `score`")
    assert keys(json.loads((tmp_path / "out" / "scores.json").read_bytes())) == set(table.pop("scores.json"))
    for name, columns in table.items():
        assert next(csv.reader(io.StringIO((tmp_path / "out" / name).read_text("utf-8")))) == columns
