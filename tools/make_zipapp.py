"""Make one file of a wheel and its pure-Python dependencies; it runs wherever Python, NumPy and Pillow are installed.

python -m build
python tools/make_zipapp.py dist/numpyvgg-*.whl
python numpyvgg.pyz predict photo.jpg
"""

from __future__ import annotations

import argparse
import email
import re
import shutil
import subprocess
import sys
import tempfile
import zipapp
import zipfile
from pathlib import Path

#: What is compiled has to be there already
COMPILED = ("numpy", "pillow")
MAIN = """\
import sys

try:
    import numpy  # the only one that nothing can be done without
except ImportError:
    sys.exit("numpyvgg.pyz: NumPy is not installed here: python -m pip install numpy pillow")
from numpyvgg.cli import script

script()
"""


def pure_requirements(wheel: Path) -> list[str]:
    """What a wheel needs beside the compiled packages, without its extras."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = email.message_from_bytes(archive.read(name))
    needed = [requirement for requirement in metadata.get_all("Requires-Dist", []) if ";" not in requirement]
    return [requirement for requirement in needed if re.split(r"[^\w-]", requirement)[0].lower() not in COMPILED]


def make_zipapp(wheel: Path, output: Path) -> None:
    """Write the file; pip brings the dependencies."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "install", "-q", "--no-compile", "--no-deps", "--target", folder]
        subprocess.run([*command, str(wheel), *pure_requirements(wheel)], check=True)
        shutil.rmtree(Path(folder, "bin"), ignore_errors=True)  # commands, with this machine's path of Python
        Path(folder, "__main__.py").write_text(MAIN, "utf-8")
        zipapp.create_archive(folder, output, "/usr/bin/env python3", compressed=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", metavar="WHEEL", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("numpyvgg.pyz"))
    args = parser.parse_args()
    make_zipapp(args.wheel, args.output)
    print(f"{args.output}: {args.output.stat().st_size / 1e6:.1f} MB")
