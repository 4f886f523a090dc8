"""Put the browser's page and a wheel into one folder, which any web server can serve: no build step.

python -m build
python tools/make_browser_page.py dist/numpyvgg-*.whl
python -m http.server -d browser
"""

from __future__ import annotations

import argparse
import re
import shutil
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "browser"


def make_page(wheel: Path, folder: Path, pyodide: str | None = None) -> None:
    """Write the folder; `pyodide` is the address that Pyodide is fetched from, or as `worker.js` has it."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in PAGE.iterdir():
        if file.is_file():
            shutil.copyfile(file, folder / file.name)
    shutil.copyfile(wheel, folder / "numpyvgg.whl")
    if pyodide is not None:
        worker = (PAGE / "worker.js").read_text("utf-8")
        worker = re.sub(r'^(const PYODIDE = ").*(";)$', rf"\g<1>{pyodide}\g<2>", worker, flags=re.MULTILINE)
        (folder / "worker.js").write_text(worker, "utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", metavar="WHEEL", type=Path)
    parser.add_argument("-o", "--output", metavar="DIR", type=Path, default=Path("browser"))
    parser.add_argument("--pyodide", metavar="ADDRESS", help="where Pyodide lies, such as ./pyodide/ beside the page")
    args = parser.parse_args()
    make_page(args.wheel, args.output, args.pyodide)
    print(f"{args.output}: python -m http.server -d {args.output}")
