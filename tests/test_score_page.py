"""report.html: what its charts show, and that it is one page that everybody can use and that asks nobody."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
from browsing import faults

from numpyvgg.score.page import CELL, calibration, render, scatter
from numpyvgg.score.scores import Answers, scores
from numpyvgg.score.table import Row, Table

rng = np.random.default_rng(7)
N = 300
TRUTH = rng.integers(0, 100, N).astype(float)
ESTIMATE = (TRUTH + rng.normal(0, 6, N)).clip(0, 100)
GENDERS = rng.choice(["female", "male"], N)


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    """Of UTKFace, which has published figures, by a network of ages and one of genders."""
    folder = tmp_path_factory.mktemp("page")
    names = ["<b>&.jpg", "caf\udce9.jpg", *(f"{i}.jpg" for i in range(2, N))]
    races = rng.choice(["Asian", "White"], N)
    rows = [
        Row(*each)
        for each in zip(names, TRUTH.tolist(), [None] * N, GENDERS.tolist(), [""] * N, races.tolist(), strict=True)
    ]
    table = Table(folder, rows, unused=[("61_1_2017.jpg", "its name is not AGE_GENDER_RACE_DATE")])
    ages = Answers(ESTIMATE.copy(), np.full(N, 4.0), [""] * N)
    ages.expected[0] = TRUTH[0] + 60  # the worst by far
    genders = Answers(np.full(N, np.nan), np.full(N, np.nan), rng.choice(["female", "male"], N).tolist())
    about = {"sha256": "", "weights": "", "preparation": "224x224, BGR", "labels": "ages 0 to 100"}
    networks = {
        "age": {**about, "kind": "age", "classes": []},
        "gender": {**about, "kind": "gender", "classes": ["female", "male"]},
    }
    manifest = {
        "format": "utkface",
        "protocol": "all",
        "settings": {"version": "0", "faces": "none", "networks": networks},
    }
    answers = {"age": ages, "gender": genders}
    path = folder / "report.html"
    path.write_text(
        render(table, scores(table, manifest, answers, Counter({"no face was found": 2})), answers), "utf-8"
    )
    return path


@pytest.mark.parametrize(("width", "dark"), [(390, False), (1280, True)])
def test_the_page_fits_and_is_alone_and_accessible(browser, page, width, dark):
    assert faults(browser, page, width, dark) == []


def test_the_page_has_what_people_look_at(page):
    text = page.read_text("utf-8")
    for heading in ("Error by age", "Confusion", "Groups", "Largest errors", "Published by others"):
        assert f"{heading}</h" in text
    assert "not answered: 2: no face was found" in text
    worst = re.search(r'Largest errors.*?<a href="(.*?)">(.*?)</a>', text, re.DOTALL)
    assert worst.groups() == ((page.parent / "<b>&.jpg").as_uri(), "&lt;b&gt;&amp;.jpg")
    correct = [(gender == GENDERS).sum() for gender in ("female", "male")]
    rows = re.findall(r"<tr><th scope=\"row\">(?:fe)?male</th><td[^>]*>(\d+)</td><td[^>]*>(\d+)</td>", text)
    assert [sum(map(int, row)) for row in rows] == correct


def test_the_scatter_plot_has_every_photograph():
    cells = scatter(TRUTH, ESTIMATE)
    wanted = Counter(
        (int(x // CELL) * CELL, int(min(y, 99.9) // CELL) * CELL) for x, y in zip(TRUTH, ESTIMATE, strict=True)
    )
    most = max(wanted.values())
    assert {(x, y) for x, y, _ in cells} == set(wanted)
    for x, y, shade in cells:
        assert shade == pytest.approx(np.log1p(wanted[x, y]) / np.log1p(most), abs=0.005)
    assert scatter(np.array([np.nan]), np.array([3.0])) == []


def test_calibration_is_that_of_a_normal_distribution():
    deviation = np.random.default_rng(8).uniform(2, 9, N)
    for share, found in calibration(TRUTH, ESTIMATE, deviation):
        reach = deviation * NormalDist().inv_cdf(0.5 + share / 200)
        assert found == pytest.approx(100 * np.mean(np.abs(TRUTH - ESTIMATE) <= reach))
    assert calibration(TRUTH, ESTIMATE, np.full(N, np.nan)) == []
