"""The page in a browser: it fits, says nothing to the console, asks nobody for anything, and everybody can use it."""

from __future__ import annotations

import pytest
from browsing import complaints, inaccessible, overflow, requests, visit
from conftest import PORTRAIT

from numpyvgg.photo.estimator import open_estimator
from numpyvgg.photo.faces.search import align_faces
from numpyvgg.report import explain
from numpyvgg.report.page import render


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A page as a file."""
    face = align_faces(PORTRAIT)[0]
    explanations = [explain(open_estimator(name), PORTRAIT, face=face) for name in ("age-small", "gender-small")]
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(render(explanations, title="portrait"), "utf-8")
    return path


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_and_is_alone_and_accessible(browser, page, width, dark):
    visit(browser, page, width, dark)
    assert requests(browser) == [page.as_uri()]
    assert overflow(browser) <= 0
    assert inaccessible(browser) == []
    assert complaints(browser) == []
