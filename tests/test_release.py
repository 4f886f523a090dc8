"""What a release says about itself is one story: its version, its names, its pages."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpyvgg
import numpyvgg.session

ROOT = Path(__file__).parents[1]


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
