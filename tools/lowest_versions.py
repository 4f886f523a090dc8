"""Print the lowest versions of what the package and its pure-Python extras need, as constraints for pip.

python tools/lowest_versions.py > lowest.txt && pip install -c lowest.txt ".[test]"
"""

from __future__ import annotations

import sys
from importlib.metadata import requires

from packaging.requirements import Requirement

#: the others bring compiled runtimes, whose lowest versions do not agree about NumPy
EXTRAS = ("", "fetch", "report")


def main() -> int:
    """Read them off the installed package's metadata."""
    for line in requires("numpyvgg") or []:
        requirement = Requirement(line)
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in EXTRAS):
            (lowest,) = (bound.version for bound in requirement.specifier if bound.operator == ">=")
            print(f"{requirement.name}=={lowest}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
