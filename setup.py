"""What pyproject.toml cannot say: the package's folders, of which one lies elsewhere, and README with whole addresses.

README's links lead to files beside it. On the package index there are none, so there they are addresses in the
repository, at the tag of the release.

With ``NUMPYVGG_SLIM=1`` in the environment a wheel is built without the age network, 10.8 of its 12 MB, as version
``+slim``; faces, genders, and networks that are fetched or brought are as ever.
"""

import os
import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent


def whole_addresses(text: str) -> str:
    """Markdown with links and pictures that lead from anywhere to where they lead from the checkout."""
    repository = re.search(r'^Repository = "(.*)"', (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)[1]
    version = re.search(r'__version__ = "(.*)"', (ROOT / "numpyvgg" / "version.py").read_text("utf-8"))[1]
    text = re.sub(r"(!\[[^]]*\]\()(?![a-z]+:|#)", rf"\1{repository}/raw/v{version}/", text)
    return re.sub(r"(\]\()(?![a-z]+:|#)", rf"\1{repository}/blob/v{version}/", text)


slim = os.environ.get("NUMPYVGG_SLIM") == "1"
setup(
    packages=[*find_packages(include=["numpyvgg", "numpyvgg.*"]), "numpyvgg.data", "numpyvgg.models"],
    package_dir={"numpyvgg.models": "models"},
    exclude_package_data={"numpyvgg.models": ["age-v1.onnx"]} if slim else {},
    options={"egg_info": {"tag_build": "+slim"}} if slim else {},
    long_description=whole_addresses((ROOT / "README.md").read_text("utf-8")),
    long_description_content_type="text/markdown",
)
