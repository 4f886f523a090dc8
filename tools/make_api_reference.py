"""Make the API reference from the docstrings, a page for each module; a warning is an error.

python tools/make_api_reference.py build/api
"""

from __future__ import annotations

import pkgutil
import sys
import warnings
from pathlib import Path

import pdoc

import numpyvgg

FOOTER = f"numpyvgg {numpyvgg.__version__}. Stable are the names of numpyvgg, numpyvgg.session and docs/api.md."


def modules() -> list[str]:
    """Every module that one can import for its names: not the commands, nor what runs as a program."""
    found = [module.name for module in pkgutil.walk_packages(numpyvgg.__path__, "numpyvgg.")]
    return [
        "numpyvgg",
        *(name for name in found if not name.startswith(("numpyvgg.cli", "numpyvgg.__")) and "__main__" not in name),
    ]


def main() -> int:
    """Write the pages to the folder that is named."""
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", "The module specification")  # of packages without __all__, modules are listed too
    # typing.NamedTuple forgets which module its fields' types were written in, so that pdoc cannot look them up
    warnings.filterwarnings("ignore", r"Error parsing type annotation ForwardRef.*__init__")
    pdoc.render.configure(docformat="numpy", math=True, footer_text=FOOTER)
    pdoc.pdoc(*modules(), output_directory=Path(sys.argv[1]))
    print(f"{len(modules())} modules: {Path(sys.argv[1]) / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
