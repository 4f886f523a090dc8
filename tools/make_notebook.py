"""Make the notebooks from the lesson's text: the same words, the same code, the same output.

    python tools/make_notebook.py           # docs/lesson/*.md -> *.ipynb
    python tools/make_notebook.py --run     # first run the code, and write what it prints into the texts

A block of Python and the block of text after it are a cell and its output. The test suite runs both, and holds the
notebook to the text.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat

#: the chapters, which are notebooks too
CHAPTERS = [
    path for path in sorted((Path(__file__).parents[1] / "docs" / "lesson").glob("*.md")) if path.name != "README.md"
]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```\n?", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, its lines, the first one's number, and the words before it."""

    language: str
    code: str
    line: int
    words: str


def blocks(text: str) -> Iterator[Block]:
    """The fenced blocks of a Markdown text; the words after the last one come with a block without a language."""
    end = 0
    for match in _FENCE.finditer(text):
        yield Block(match[1], match[2], text.count("\n", 0, match.start()) + 2, text[end : match.start()].strip("\n"))
        end = match.end()
    yield Block("", "", 0, text[end:].strip("\n"))


def examples(text: str) -> Iterator[tuple[Block, str | None]]:
    """Each block of Python with the output that stands directly under it; None where there is none."""
    following = list(blocks(text))
    for block, after in zip(following, [*following[1:], None], strict=True):
        if block.language == "python":
            shown = after is not None and after.language == "text" and not after.words
            yield block, after.code if after is not None and shown else None


def notebook(text: str) -> nbformat.NotebookNode:
    """The text as cells, outputs in their place."""
    cells = []
    outputs = {block.line: output for block, output in examples(text)}
    for block in blocks(text):
        if block.words:
            cells.append(nbformat.v4.new_markdown_cell(block.words))
        if block.language == "python":
            cell = nbformat.v4.new_code_cell(block.code.rstrip("\n"))
            if output := outputs[block.line]:
                cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=output)]
            cells.append(cell)
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"  # nbformat's own are random
    book = nbformat.v4.new_notebook(cells=cells)
    book.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return book


def run(text: str) -> str:
    """The text with every output as it is now."""
    names: dict[str, object] = {"__name__": "__main__"}
    parts, end = [], 0
    matches = list(_FENCE.finditer(text))
    for match, after in zip(matches, [*matches[1:], None], strict=True):
        if match[1] != "python":
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(match[2], "chapter", "exec"), names)
        parts.append(text[end : match.end()])
        end = match.end()
        if after is not None and after[1] == "text" and not text[end : after.start()].strip():
            end = after.end()
        if printed.getvalue():
            parts.append(f"\n```text\n{printed.getvalue()}```\n")
    return "".join(parts) + text[end:]


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", action="store_true", help="renew the outputs in the text first")
    args = parser.parse_args()
    for path in CHAPTERS:
        if args.run:
            text = path.read_text("utf-8")
            with tempfile.TemporaryDirectory() as folder:
                here = os.getcwd()
                os.chdir(folder)
                path.write_text(run(text), "utf-8")
                os.chdir(here)
        nbformat.write(notebook(path.read_text("utf-8")), path.with_suffix(".ipynb"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
