"""Make one web page of it all: README, lesson, guides, a microscope, the modules' pages; a warning is an error.

    pip install ".[test]" && python tools/make_site.py build/site    # then open build/site/index.html

The text is that of docs/, changed in two ways: formulas become MathML, and links to the code become links to its pages.
Material for MkDocs makes the pages: it is what readers of Python projects know, and has dark colours, search and a
layout for telephones, all of it from files. Nothing is asked of any other server.
"""

from __future__ import annotations

import os
import pkgutil
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
from functools import cache
from pathlib import Path, PurePosixPath

import pdoc
from latex2mathml.converter import convert

import numpyvgg
from numpyvgg.photo.estimator import open_estimator
from numpyvgg.photo.faces.search import align_faces
from numpyvgg.photo.predictor import SMALL_MODELS
from numpyvgg.report import explain
from numpyvgg.report.page import render

ROOT = Path(__file__).parents[1]
REPOSITORY = "https://github.com/numpyvgg/numpyvgg/tree/main"
#: pages that do not lie in docs/
PAGES = {"README.md": "index.md", "CHANGELOG.md": "CHANGELOG.md"}
#: whether each module's page has its code too
WITH_CODE = True
FOOTER = f"numpyvgg {numpyvgg.__version__}. Stable are the names of numpyvgg, numpyvgg.session and docs/api.md."

_FENCED = re.compile(r"(^```.*?^```$|`[^`\n]+`)", re.DOTALL | re.MULTILINE)
_FORMULA = re.compile(r"\$\$(?P<block>.+?)\$\$|\$(?P<inline>[^$\n]+)\$", re.DOTALL)
_LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)\s#]+)(#[^)\s]*)?(?=\))")


def with_mathml(text: str) -> str:
    """Formulas between dollars, outside of code, as MathML."""

    def one(match: re.Match[str]) -> str:
        if match["block"]:
            return convert(" ".join(match["block"].split()), display="block")
        return f"<span>{convert(match['inline'])}</span>"  # where a line begins with <math> Markdown sees a block

    parts = _FENCED.split(text)
    return "".join(part if part.startswith("`") else _FORMULA.sub(one, part) for part in parts)


def with_links(text: str, page: PurePosixPath) -> str:
    """Links as they are within the site; `page` is the text's own path in the repository."""

    def one(match: re.Match[str]) -> str:
        target = PurePosixPath(os.path.normpath(page.parent / match[1]))
        here = PurePosixPath(*_site_path(page).parts[:-1])
        found = _site_path(target)
        if found.is_absolute():
            return f"{REPOSITORY}/{target}"
        return os.path.relpath(found, here) + (match[2] or "")

    return _LINK.sub(one, text)


def _site_path(path: PurePosixPath) -> PurePosixPath:
    """Where a file of the repository is in the site; absolute where it is not in it."""
    if str(path) in PAGES:
        return PurePosixPath(PAGES[str(path)])
    if path.parts[:1] == ("docs",):
        return PurePosixPath(*path.parts[1:])
    module = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
    if module in modules():
        return PurePosixPath("api", *module.split(".")).with_suffix(".html")
    return PurePosixPath("/")


@cache
def modules() -> list[str]:
    """Every module that one can import for its names: not the commands, nor what runs as a program."""
    found = [module.name for module in pkgutil.walk_packages(numpyvgg.__path__, "numpyvgg.")]
    return [
        "numpyvgg",
        *(name for name in found if not name.startswith(("numpyvgg.cli", "numpyvgg.__")) and "__main__" not in name),
    ]


def write_module_pages(folder: Path) -> None:
    """A page for each module, from its docstrings; formulas stay text, since pdoc's come by another server's script."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # after `pip install .` the installed package is described, which is this one
        warnings.filterwarnings("ignore", r"'numpyvgg\S*' may refer to either the installed")
        # of packages without __all__, modules are listed too
        warnings.filterwarnings("ignore", "The module specification")
        # typing.NamedTuple forgets which module its fields' types were written in, so that pdoc cannot look them up
        warnings.filterwarnings("ignore", r"Error parsing type annotation ForwardRef.*__init__")
        pdoc.render.configure(docformat="numpy", footer_text=FOOTER, show_source=WITH_CODE)
        pdoc.pdoc(*modules(), output_directory=folder)


def write_microscope(path: Path) -> None:
    """Explain's page of the bundled networks, on the demo portrait's face."""
    portrait = ROOT / "numpyvgg" / "data" / "eileen_collins.jpg"
    face = align_faces(portrait)[0]
    explanations = [explain(open_estimator(name), portrait, face=face) for name in SMALL_MODELS]
    path.write_text(render(explanations, title=portrait.name), "utf-8")


def prepare(folder: Path) -> None:
    """Put the site's sources into a folder: pages, pictures, the microscope, the modules' pages."""
    shutil.copytree(ROOT / "docs", folder)
    for name in ("site.css", "site.js"):
        shutil.copy(ROOT / "tools" / name, folder)
    for name, page in PAGES.items():
        shutil.copy(ROOT / name, folder / page)
    write_microscope(folder / "lesson" / "microscope.html")
    write_module_pages(folder / "api")
    sources = {folder / page: PurePosixPath(name) for name, page in PAGES.items()}
    for path in folder.rglob("*.md"):
        source = sources.get(path, PurePosixPath("docs", *path.relative_to(folder).parts))
        path.write_text(with_links(with_mathml(path.read_text("utf-8")), source), "utf-8")


def build(site: Path) -> None:
    """Build the site in a folder.

    Raises
    ------
    subprocess.CalledProcessError
        A link leads nowhere, or another thing is wrong; it was printed.
    """
    with tempfile.TemporaryDirectory() as temporary:
        prepare(Path(temporary) / "docs")
        shutil.copy(ROOT / "tools" / "site.yml", temporary)
        command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-f", "site.yml"]
        environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}  # Material's advertisement
        subprocess.run([*command, "-d", str(site.resolve())], cwd=temporary, env=environment, check=True)


def main() -> int:
    """Build the site in the folder that is named."""
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    site = Path(sys.argv[1])
    try:
        build(site)
    except subprocess.CalledProcessError as error:
        return error.returncode
    print(f"{len(list(site.rglob('*.html')))} pages: {site / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
