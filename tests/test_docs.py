"""What the documentation shows is what happens: its code runs, its output is true, its commands exist, its links lead
somewhere."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import re
import shlex
import shutil
from pathlib import Path

import nbclient
import nbformat
import pytest
from conftest import PORTRAIT
from make_notebook import CHAPTERS, blocks, examples, notebook

from numpyvgg import zoo
from numpyvgg.cli import main
from numpyvgg.photo.images import load_image, to_tensor
from numpyvgg.vgg.standin import write_standin

ROOT = Path(__file__).parents[1]
WALKTHROUGH = ROOT / "docs" / "lesson" / "walkthrough.md"
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    WALKTHROUGH.with_name("README.md"),
    *CHAPTERS,
]
NAMES = [page.name for page in PAGES]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder to work in, with the photographs and the networks that the pages speak of."""
    monkeypatch.chdir(tmp_path)
    for photograph in ("photo.jpg", "party.jpg"):
        shutil.copy(PORTRAIT, photograph)
    write_standin(Path("model.onnx"), width=1 / 16)
    monkeypatch.setenv("NUMPYVGG_CACHE", str(tmp_path / "cache"))
    zoo.adopt("age-imdb-wiki", "model.onnx", verify=False)  # in place of half a gigabyte
    return tmp_path


def run(code: str, place: Path, line: int, names: dict[str, object]) -> str:
    """What the code prints; errors have the page's own line numbers."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile("\n" * (line - 1) + code, str(place), "exec"), names)
    return printed.getvalue()


@pytest.mark.thorough
@pytest.mark.parametrize("page", PAGES, ids=NAMES)
@pytest.mark.usefixtures("folder")
def test_every_block_of_python_runs_and_prints_what_stands_under_it(page, capsys):
    """Blocks that are marked `py` are for other places than this, such as a browser."""
    names: dict[str, object] = {"__name__": "__main__", "images": to_tensor(load_image(PORTRAIT))}
    count = 0
    for block, output in examples(page.read_text("utf-8")):
        printed = run(block.code, page, block.line, names)
        count += 1
        if output is not None or page in CHAPTERS:
            assert printed == (output or ""), f"{page.name}, line {block.line}"
    with capsys.disabled():
        print(f"\n{page.name}: {count} blocks of Python run", end=" ")
    assert count > 0 or page not in CHAPTERS


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_command_shown_is_one_that_there_is(page, monkeypatch):
    seen: list[object] = []
    for block in blocks(page.read_text("utf-8")):
        if block.language not in ("sh", "shell", "bash", "console"):
            continue
        for command in re.split(r"&&|[|;<>\n]", block.code):
            words = shlex.split(command.removeprefix("$ "), comments=True)
            if words[:1] == ["numpyvgg"] and len(words) > 1:
                module = importlib.import_module(f"numpyvgg.cli.{words[1]}")
                monkeypatch.setattr(module, "run", lambda args: seen.append(args) or 0)
                assert main(words[1:]) == 0


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_pip_install_shown_works_in_a_checkout_and_in_every_shell(page):
    """The package is on no index, so that its own name installs nothing; zsh expands brackets that are not quoted."""
    settings = (ROOT / "pyproject.toml").read_text("utf-8")  # Python 3.10 reads no TOML
    extras = re.findall(r"^(\w+) = \[", settings.split("[project.optional-dependencies]")[1], re.MULTILINE)
    needed = re.findall(r'"([\w-]+)[<>=][^"]*"', settings)
    for command in re.findall(r"(?<![\w-])pip install ([^`\n&#)]+)", page.read_text("utf-8")):
        for word in shlex.split(command):
            extra = word.partition("[")[2]
            named = word.partition("[")[0].partition("<")[0].partition(">")[0].partition("=")[0]
            assert word.startswith("-") or named in (".", *needed, "onnx", "torch"), word
            assert not extra or extra.rstrip("]") in extras, word
            assert not re.search(r"[\[<>]", word) or re.search(rf"[\"']{re.escape(word)}[\"']", command), command


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_path_given_to_jq_leads_to_a_value(page, folder, capsys):
    """The shell's quotes are there, and the JSON has what the path names."""
    (folder / "photos").mkdir()
    shutil.copy(PORTRAIT, folder / "photos")
    for command, path in re.findall(r"^numpyvgg (.*) \| jq (.*?) *(?:#.*)?$", page.read_text("utf-8"), re.MULTILINE):
        assert path[0] == path[-1] == "'", path
        assert main(shlex.split(command)) == 0
        value = json.loads(capsys.readouterr().out.splitlines()[0])
        for key, index in re.findall(r"\.(\w+)|\[(\d+)\]", path):
            value = value[key or int(index)]
        assert value is not None


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_link_to_a_file_leads_to_one(page):
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", CHAPTERS, ids=[page.stem for page in CHAPTERS])
def test_each_chapters_notebook_is_its_text(page):
    stored = nbformat.read(page.with_suffix(".ipynb"), as_version=4)
    assert stored == notebook(page.read_text("utf-8")), "make it anew: python tools/make_notebook.py"


@pytest.mark.thorough
def test_the_notebook_runs_and_prints_what_it_holds(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    stored = nbformat.read(WALKTHROUGH.with_suffix(".ipynb"), as_version=4)
    book = notebook(WALKTHROUGH.read_text("utf-8"))
    nbclient.NotebookClient(book, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    for cell, wanted in zip(book.cells, stored.cells, strict=True):
        if cell.cell_type == "code":
            assert _printed(cell) == _printed(wanted)


def _printed(cell: nbformat.NotebookNode) -> str:
    return "".join(output.text for output in cell.outputs if output.get("name") == "stdout")
