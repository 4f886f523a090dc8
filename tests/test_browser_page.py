"""The page that computes in a browser: what it answers, what it says where something is wrong, whom it asks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from browsing import appear, chromium, complaints, inaccessible, overflow, requests, visit
from conftest import PORTRAIT
from make_browser_page import make_page
from make_standin import Layout, write_standin
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait
from serving import Python, served
from test_packages import build

from numpyvgg import Predictor
from numpyvgg.photo.images import load_image

#: Elements that the page has hidden are there all the same
SHOWN = "const e = document.getElementById(arguments[0]); return e.hidden ? '' : e.textContent"
#: Of the last answer, as the worker told it
KEEP = "window.answer = null; const tell = told.answer; told.answer = (data) => { window.answer = data; tell(data); };"


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    make_page(build(tmp_path_factory.mktemp("wheel")), folder, "./pyodide/")
    return folder


def camera_film(path: Path) -> Path:
    """The portrait as a film of one picture, as Chromium's fake camera takes it: Y4M, 4:2:0."""
    image = load_image(PORTRAIT).convert("YCbCr")
    y, cb, cr = (np.asarray(plane) for plane in image.split())
    planes = [y, *(plane.reshape(256, 2, 256, 2).mean((1, 3)).round().astype(np.uint8) for plane in (cb, cr))]
    path.write_bytes(b"YUV4MPEG2 W512 H512 F5:1 Ip C420jpeg\nFRAME\n" + b"".join(map(bytes, planes)))
    return path


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    folder = tmp_path_factory.mktemp("camera")
    film = camera_film(folder / "portrait.y4m")
    flags = ("--use-fake-device-for-media-stream", f"--use-file-for-fake-video-capture={film}")
    yield from chromium(folder / "profile", *flags)


@pytest.fixture
def opened(browser, page, tmp_path):
    """The page, ready; its address."""
    with served(page, Python(tmp_path)) as address:
        visit(browser, address)
        wait_for(browser, "status", "Ready.")
        browser.execute_script(KEEP)
        yield address


def shown(browser, name: str) -> str:
    return browser.execute_script(SHOWN, name)


def wait_for(browser, name: str, text: str) -> None:
    try:
        WebDriverWait(browser, 120, 0.05).until(lambda _: text in shown(browser, name))
    except Exception:
        told = {name: shown(browser, name) for name in ("status", "error", "rows")}
        raise AssertionError(f"{told}, {complaints(browser)}") from None


def give(browser, name: str, *paths: Path) -> None:
    browser.find_element(By.ID, name).send_keys("\n".join(map(str, paths)))


def answers(browser) -> dict[str, list[float]]:
    """Of the first face, by network."""
    told = browser.execute_script("return JSON.stringify(window.answer)")
    return {each["network"]: each["probabilities"] for each in json.loads(told)["faces"][0]["answers"]}


def expected(faces: bool = True) -> dict[str, np.ndarray]:
    predictor, photo = Predictor("small"), load_image(PORTRAIT)
    first = predictor.faces(photo)[0] if faces else predictor(photo)
    return {name: answer.probabilities for name, answer in first.answers.items()}


def pixels_as_png(folder: Path) -> Path:
    """The portrait in a form that every decoder reads alike."""
    load_image(PORTRAIT).save(folder / "portrait.png")
    return folder / "portrait.png"


@pytest.mark.thorough
@pytest.mark.parametrize("faces", [True, False], ids=["faces", "whole"])
def test_a_photograph_is_answered_as_everywhere(browser, opened, tmp_path, faces):
    if not faces:
        browser.find_element(By.ID, "faces").click()
    give(browser, "file", pixels_as_png(tmp_path))
    wait_for(browser, "status", "Answered.")
    given, right = answers(browser), expected(faces)
    assert list(given) == list(right)
    for name in right:
        np.testing.assert_allclose(given[name], right[name], atol=1e-6)
    assert ("1 of 1" if faces else "whole") in shown(browser, "rows")
    assert "age-small" in shown(browser, "time")


@pytest.mark.thorough
def test_the_page_fits_and_is_alone_and_accessible(browser, opened):
    """Whoever looks at it; and once it is ready, Pyodide's stand-in is all that it speaks to."""
    assert all(asked.startswith(opened) for asked in requests(browser))
    give(browser, "file", PORTRAIT)
    wait_for(browser, "status", "Answered.")
    assert all(asked.startswith(f"{opened}pyodide/") for asked in requests(browser))
    for details in browser.find_elements(By.TAG_NAME, "details"):
        details.find_element(By.TAG_NAME, "summary").click()
    for width, dark in ((390, False), (1280, True)):
        appear(browser, width, dark)
        assert overflow(browser) <= 0
        assert inaccessible(browser) == []
    assert complaints(browser) == []
    assert "Nothing is uploaded" in browser.find_element(By.TAG_NAME, "main").text


@pytest.mark.thorough
def test_the_package_that_answers_is_the_wheel_beside_the_page(browser, opened, tmp_path):
    assert (tmp_path / "numpyvgg" / "models" / "age-v1.onnx").is_file()
    assert (tmp_path / "answers.py").is_file()


@pytest.mark.thorough
def test_a_picture_of_the_camera_is_answered_and_the_camera_closed(browser, opened):
    browser.execute_cdp_cmd("Browser.grantPermissions", {"permissions": ["videoCapture"], "origin": opened})
    browser.find_element(By.ID, "camera").click()
    WebDriverWait(browser, 20).until(lambda _: browser.find_element(By.ID, "shutter").is_displayed())
    assert inaccessible(browser) == []
    browser.find_element(By.ID, "shutter").click()
    wait_for(browser, "status", "Answered.")
    assert "1 of 1" in shown(browser, "rows")
    assert browser.execute_script("return document.getElementById('video').srcObject.active") is False


def test_a_camera_that_is_refused_is_said_in_words(browser, opened):
    settings = {"permission": {"name": "camera"}, "setting": "denied", "origin": opened}
    browser.execute_cdp_cmd("Browser.setPermission", settings)
    browser.find_element(By.ID, "camera").click()
    wait_for(browser, "error", "The camera is not allowed")
    assert shown(browser, "status") == "Ready."


@pytest.mark.thorough
def test_a_network_from_the_disk_is_asked_too(browser, opened, tmp_path):
    path = write_standin(tmp_path / "mine.onnx", Layout(), width=1 / 16)
    give(browser, "network", path)
    wait_for(browser, "status", "mine.onnx is asked")
    assert "16 layers of mine.onnx" in shown(browser, "list")
    assert "conv1_1" in shown(browser, "list")
    give(browser, "file", pixels_as_png(tmp_path))
    wait_for(browser, "status", "Answered.")
    right = Predictor([path])(load_image(PORTRAIT))
    faces = Predictor([path]).faces(load_image(PORTRAIT))[0]
    (given,) = (numbers for name, numbers in answers(browser).items() if name == "mine.onnx")
    np.testing.assert_allclose(given, faces.answers[str(path)].probabilities, atol=1e-6)
    assert not np.allclose(given, right.answers[str(path)].probabilities, atol=1e-6)


def test_networks_that_are_not_wanted_are_not_asked(browser, opened):
    boxes = browser.find_elements(By.CSS_SELECTOR, "#list input")
    boxes[0].click()
    give(browser, "file", PORTRAIT)
    wait_for(browser, "status", "Answered.")
    assert list(answers(browser)) == ["gender-small"]
    boxes[1].click()
    give(browser, "file", PORTRAIT)
    wait_for(browser, "error", "No network is asked: choose one below.")


def damaged(folder: Path) -> Path:
    path = folder / "damaged.onnx"
    path.write_bytes(b"\x08\x07" + b"\xff" * 100)
    return path


def text(folder: Path) -> Path:
    path = folder / "letter.jpg"
    path.write_text("Dear all")
    return path


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("where", "what", "words"),
    [("network", damaged, "damaged.onnx: byte 2"), ("file", text, "letter.jpg is no photograph that this browser")],
    ids=["network", "photograph"],
)
def test_what_cannot_be_read_is_said_in_words_and_the_page_goes_on(browser, opened, tmp_path, where, what, words):
    give(browser, where, what(tmp_path))
    wait_for(browser, "error", words)
    assert "Traceback" not in shown(browser, "error")
    assert inaccessible(browser) == []
    give(browser, "file", PORTRAIT)
    wait_for(browser, "status", "Answered.")
    assert shown(browser, "error") == ""


@pytest.mark.parametrize("missing", ["pyodide.mjs", "numpy", "numpyvgg.whl"])
def test_what_cannot_be_fetched_is_named(browser, page, tmp_path, missing):
    whole = {file.name: file.read_bytes() for file in page.iterdir() if file.name != missing}
    folder = tmp_path / "page"
    folder.mkdir()
    for name, content in whole.items():
        (folder / name).write_bytes(content)
    if missing == "pyodide.mjs":
        worker = (folder / "worker.js").read_text().replace("./pyodide/", "./elsewhere/")
        (folder / "worker.js").write_text(worker)
    with served(folder, Python(tmp_path, packages=() if missing == "numpy" else ("numpy",))) as address:
        visit(browser, address)
        wait_for(browser, "error", {"pyodide.mjs": "Pyodide cannot", "numpy": "NumPy cannot"}.get(missing, missing))
        assert shown(browser, "status") == "Not started."
        assert not browser.find_element(By.ID, "file").is_enabled()


def test_from_a_file_the_page_says_how_it_is_served(browser, page):
    visit(browser, page / "index.html")
    wait_for(browser, "error", "python -m http.server")


@pytest.mark.thorough
def test_the_address_of_pyodide_is_one_line(page):
    source = Path(__file__).parents[1] / "docs" / "browser"
    changed = [
        (ours, theirs)
        for file in source.iterdir() if file.is_file()
        for ours, theirs in zip(file.read_text().splitlines(), (page / file.name).read_text().splitlines(), strict=True)
        if ours != theirs
    ]  # fmt: skip
    assert changed == [
        ('const PYODIDE = "https://cdn.jsdelivr.net/pyodide/v0.28.3/full/";', 'const PYODIDE = "./pyodide/";')
    ]


@pytest.mark.thorough
def test_the_tool_says_how_the_folder_is_served(tmp_path):
    tool = Path(__file__).parents[1] / "tools" / "make_browser_page.py"
    wheel = tmp_path / "some.whl"
    wheel.write_bytes(b"wheel")
    command = [sys.executable, tool, wheel, "-o", tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"{tmp_path / 'out'}: python -m http.server -d {tmp_path / 'out'}\n"
    assert (tmp_path / "out" / "numpyvgg.whl").read_bytes() == b"wheel"
    assert (tmp_path / "out" / "index.html").is_file()
