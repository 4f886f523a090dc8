"""What many tests share: a photograph, and full-size networks, made once and kept in the cache folder."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from browsing import chromium
from make_standin import Layout, write_standin

from numpyvgg.files.cache import cache_folder
from numpyvgg.photo.images import load_image, to_tensor
from numpyvgg.text import table

PORTRAIT = Path(__file__).parents[1] / "numpyvgg" / "data" / "eileen_collins.jpg"
MODERN = Layout(opset=17, storage="raw", no_ops=(), flatten="Flatten", alignment=0)


def full_size(name: str, layout: Layout, classes: int, seed: int) -> Path:
    """A full-size stand-in network's file; it takes 513 MB and about ten seconds to make."""
    path = cache_folder() / "tests" / name
    if not path.exists():
        part = path.parent / "part" / name  # the file's name is the graph's
        part.parent.mkdir(parents=True, exist_ok=True)
        write_standin(part, layout, width=1, classes=classes, seed=seed)
        part.replace(path)  # a file in its own place is a whole one
    return path


@pytest.fixture(scope="session")
def zoo_path() -> Path:
    """101 classes as the published file is written, to the byte: float_data, no-ops, weights mostly unaligned."""
    return full_size("vgg_ilsvrc_16_age_imdb_wiki.onnx", Layout(), classes=101, seed=0)


@pytest.fixture(scope="session")
def raw_path() -> Path:
    """The same weights as a modern exporter writes them, all aligned."""
    return full_size("age-raw.onnx", MODERN, classes=101, seed=0)


@pytest.fixture(scope="session")
def gender_path() -> Path:
    """2 classes, as the published file is written."""
    return full_size("vgg_ilsvrc_16_gender_imdb_wiki.onnx", Layout(), classes=2, seed=1)


@pytest.fixture(scope="session")
def portrait() -> np.ndarray:
    """The portrait as the networks take it: float32 [1, 3, 224, 224]."""
    return to_tensor(load_image(PORTRAIT))


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """Chromium, driven by Selenium; `browsing` has what one asks of it."""
    yield from chromium(tmp_path_factory.mktemp("chromium"))


def pytest_configure(config):
    """Have each process of a parallel run (`-n`) compute in one thread of BLAS: two would wait for a core."""
    if getattr(config.option, "numprocesses", None):
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the processes that it starts inherit it


def pytest_addoption(parser):
    parser.addoption("--thorough", action="store_true", help="also run the tests that take seconds, as .ci/run does")


def pytest_collection_modifyitems(config, items):
    """Mark the tests that use a network or the browser above, and leave out those that only a thorough run has.

    Tests that ask for a full-size network by name, or make one, say so themselves.
    """
    for item in items:
        if {"zoo_path", "raw_path", "gender_path"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("full_size")
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker("thorough")
    if not config.getoption("--thorough"):
        left_out = [item for item in items if item.get_closest_marker("thorough")]
        items[:] = [item for item in items if not item.get_closest_marker("thorough")]
        config.hook.pytest_deselected(items=left_out)


def pytest_terminal_summary(terminalreporter):
    """Print the table that `test_layouts` and `test_caffe` fill: each layout with its difference from its oracle."""
    reports = [report for outcome in ("passed", "failed") for report in terminalreporter.getreports(outcome)]
    rows = [value for report in reports for name, value in getattr(report, "user_properties", []) if name == "layout"]
    if rows:
        header = ["layout", "exporter", "opset", "oracle", "largest difference"]
        cells = [[*row[:-1], f"{row[-1]:.1e}"] for row in rows]
        terminalreporter.write_sep("=", "every layout against its oracle, probabilities")
        terminalreporter.write_line(table(header, cells, "<<><>"))
