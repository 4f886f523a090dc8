"""The web page of it all, in a browser: it fits, says nothing to the console, asks nobody for anything, can be used."""

from __future__ import annotations

from pathlib import PurePosixPath

import make_site
import numpy as np
import pytest
from browsing import faults

from numpyvgg.report import explanation


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch:  # colouring the code takes a third of the time
        patch.setattr(make_site, "WITH_CODE", False)
        patch.setattr(explanation, "occlusion", lambda net, x, labels: np.zeros((6, 6)))
        make_site.build(folder)
    return folder


@pytest.mark.thorough
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("page", ["index", "lesson/walkthrough", "lesson/exercises"])
def test_a_page_fits_and_is_alone_and_accessible(browser, site, page, width, dark):
    assert faults(browser, site / f"{page}.html", width, dark, folder=site) == []
    scheme = browser.execute_script("return document.body.dataset.mdColorScheme")
    assert scheme == ("slate" if dark else "default")


@pytest.mark.thorough
def test_the_microscope_is_in_its_place(browser, site):
    assert faults(browser, site / "lesson" / "microscope.html", 1280, dark=False) == []
    assert browser.execute_script("return document.querySelector('.microscope [role=status]').textContent")
    browser.get((site / "index.html").as_uri())
    assert browser.find_elements("css selector", "a[href$='lesson/microscope.html']")


def test_formulas_become_mathml_and_code_stays_as_it_is():
    text = make_site.with_mathml("so $2^{24}$ it `is $x$`\n\n```sh\necho $HOME $$\n```\n\n$$x$$\n")
    assert "<msup><mn>2</mn><mrow><mn>24</mn></mrow></msup>" in text
    assert '<math xmlns="http://www.w3.org/1998/Math/MathML" display="block">' in text
    assert "`is $x$`" in text
    assert "echo $HOME $$" in text


@pytest.mark.parametrize(
    ("page", "link", "becomes"),
    [
        ("README.md", "docs/faces.md#angles", "faces.md#angles"),
        ("docs/lesson/sizes.md", "walkthrough.md", "walkthrough.md"),
        ("docs/lesson/README.md", "../faces.md", "../faces.md"),
        ("docs/lesson/sizes.md", "../../README.md", "../index.md"),
        ("docs/layout.md", "../numpyvgg/kernels", "api/numpyvgg/kernels.html"),
        ("docs/lesson/learning.md", "../../numpyvgg/layers.py", "../api/numpyvgg/layers.html"),
        ("docs/api.md", "../numpyvgg/lesson/__init__.py", "api/numpyvgg/lesson.html"),
        ("docs/layout.md", "../numpyvgg/cli", f"{make_site.REPOSITORY}/numpyvgg/cli"),
        ("README.md", "https://onnx.ai/x.md", "https://onnx.ai/x.md"),
        ("docs/faces.md", "#angles", "#angles"),
    ],
)
def test_links_lead_to_the_same_thing_within_the_site(page, link, becomes):
    assert make_site.with_links(f"[a]({link})", PurePosixPath(page)) == f"[a]({becomes})"
