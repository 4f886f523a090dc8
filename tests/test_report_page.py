"""The page in a browser: it fits, says nothing to the console, asks nobody for anything, and everybody can use it."""

from __future__ import annotations

import base64

import numpy as np
import pytest
from browsing import complaints, faults, inaccessible, overflow, visit
from conftest import PORTRAIT
from selenium.webdriver.common.keys import Keys

from numpyvgg import operators
from numpyvgg.graph.graph import Graph
from numpyvgg.photo.estimator import open_estimator
from numpyvgg.photo.faces.search import align_faces
from numpyvgg.report import explain, explanation
from numpyvgg.report.page import render
from numpyvgg.zoo import open_model


@pytest.fixture(scope="module")
def explanations():
    face = align_faces(PORTRAIT)[0]
    with pytest.MonkeyPatch.context() as patch:  # 36 passes of which the page shows the result only
        patch.setattr(explanation, "occlusion", lambda net, x, labels: np.arange(-18.0, 18.0).reshape(6, 6))
        return [explain(open_estimator(name), PORTRAIT, face=face) for name in ("age-small", "gender-small")]


@pytest.fixture(scope="module")
def page(tmp_path_factory, explanations):
    """A page as a file."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(render(explanations, title=str(PORTRAIT)), "utf-8")
    return path


@pytest.mark.thorough
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_and_is_alone_and_accessible(browser, page, width, dark):
    assert faults(browser, page, width, dark) == []


def in_double(explanation):
    """Every tensor in float64, by the operators as the specification has them."""
    graph = Graph(explanation.network.model)
    values = {graph.model.inputs[0].name: explanation.x.astype(np.float64)}
    for node in graph.nodes:
        if not graph.is_fixed(node.outputs[0]):
            read = [values[name] if name in values else graph.constant(name) for name in node.inputs]
            double = [x.astype(np.float64) if x.dtype == np.float32 else x for x in read]
            values[node.outputs[0]] = operators.bind(node, graph.model)(*double)
    return values


@pytest.mark.thorough
def test_every_pixel_that_the_page_computes_is_that_of_numpy_in_float64(browser, page, explanations):
    visit(browser, page)
    values, compared = in_double(explanations[0]), 0
    for number in browser.execute_script("return Object.keys(data.layers).map(Number)"):
        view = explanations[0].layers[number]
        channels, height, width = view.layer.output_shape
        told = browser.execute_script(
            """const [n, c, h, w] = arguments;
            for (let k = 0; k < c; k++) for (let i = 0; i < h; i++) for (let j = 0; j < w; j++) value(n, k, i, j);
            let bytes = "";
            for (const byte of new Uint8Array(data.layers[n].out.buffer)) bytes += String.fromCharCode(byte);
            return btoa(bytes)""",
            *(number, channels, height, width),
        )
        theirs = np.frombuffer(base64.b64decode(told), "<f8")
        np.testing.assert_allclose(theirs, values[view.layer.output][0].ravel(), rtol=0, atol=1e-6)
        compared += len(theirs)
    assert compared > 100_000


@pytest.mark.thorough
def test_the_line_to_copy_computes_the_number_and_the_bytes_are_those_of_the_file(browser, page, explanations):
    visit(browser, page)
    setup, layers = browser.execute_script("return [data.setup, Object.keys(data.layers).map(Number)]")
    names: dict = {}
    exec(setup, names)
    for number in layers:
        channels, height, width = explanations[0].layers[number].layer.output_shape
        for place in ((0, 0, 0), (channels - 1, height - 1, width - 1), (channels // 2, height // 2, 1)):
            line, number_there = browser.execute_script(
                "const [n, ...p] = arguments; return [lineOfNumPy(partsOf(data.layers[n], ...p)).line, value(n, ...p)]",
                number,
                *place,
            )
            assert eval(line, names) == pytest.approx(number_there, rel=1e-4, abs=1e-4)
    file = open_model("age-small").path
    rows = browser.execute_script(
        "return [...document.querySelectorAll('.bytes tbody tr')].map(r => [...r.cells].map(c => c.textContent))"
    )
    assert len(rows) == 3 * 7 * 7
    with open(file, "rb") as stream:
        for _, number, offset, shown in rows:
            stream.seek(int(offset))
            read = stream.read(4)
            assert read.hex(" ") == shown
            assert np.frombuffer(read, "<f4")[0] == np.float32(float(number))


@pytest.mark.thorough
def test_the_keyboard_reaches_every_pixel_and_the_sliders_fill_in_the_formula(browser, page):
    visit(browser, page, 390)
    lens, panel = "document.querySelector('#layer1 .lens')", "document.querySelector('.microscope [role=status]')"
    browser.execute_script(f"{lens}.focus()")
    for key in ("ARROW_DOWN", "ARROW_RIGHT", "ARROW_RIGHT"):
        browser.switch_to.active_element.send_keys(getattr(Keys, key))
    told = browser.execute_script(f"return {panel}.textContent")
    assert ", 8, 9] = " in told
    browser.switch_to.active_element.send_keys(Keys.ARROW_UP * 20)
    assert ", 0, 9] = " in browser.execute_script(f"return {panel}.textContent")
    assert browser.find_elements("css selector", "#layer1 .microscope")
    formula = "document.querySelector('#sizes .formula')"
    assert browser.execute_script(f"return {formula}.textContent").endswith(
        "= 6; pixels at the end that no window sees: 1"
    )
    kernel = browser.find_elements("css selector", "#sizes input")[1]
    kernel.send_keys(Keys.ARROW_RIGHT)
    assert browser.execute_script(f"return {formula}.textContent").endswith("= 6")
    assert browser.execute_script("return document.querySelectorAll('#sizes .tap').length") == 6 * 4
    assert overflow(browser) <= 0
    assert inaccessible(browser) == []
    assert complaints(browser) == []


FOCUS = """
window.walked = [];
document.addEventListener("focusin", event => {
    const style = getComputedStyle(event.target), shown = style.outlineStyle !== "none" && style.outlineWidth !== "0px";
    walked.push([window.stops.indexOf(event.target), shown]);
});
const seen = "a[href], button, input, summary, [tabindex='0']", shut = "details:not([open]) > :not(summary) *";
const stops = [...document.querySelectorAll(seen)];
window.stops = stops.filter(e => e.tabIndex >= 0 && e.checkVisibility() && !e.matches(shut));
return window.stops.length
"""


@pytest.mark.thorough
@pytest.mark.parametrize("width", [390, 1280])
def test_the_tab_key_stops_at_everything_once_in_order_and_shows_where(browser, page, width):
    visit(browser, page, width)
    count = browser.execute_script(FOCUS)
    browser.find_element("tag name", "body").send_keys(Keys.TAB * count)
    walked = browser.execute_script("return walked")
    assert [stop for stop, _ in walked] == list(range(count))
    assert all(shown for _, shown in walked)
    layers = browser.execute_script("return Object.keys(data.layers).length")
    assert browser.execute_script("return stops.filter(e => e.matches('.tiles .lens')).length") == layers


@pytest.mark.thorough
def test_the_keyboards_numbers_reach_every_channel(browser, page):
    visit(browser, page)
    last = int(browser.execute_script("return data.layers[0].shape[0]")) - 1
    field = browser.find_element("css selector", ".chooser input")
    field.send_keys(Keys.CONTROL + "a")
    field.send_keys(f"{last}{Keys.TAB}")
    assert f"[0, {last}, " in browser.find_element("css selector", ".microscope [role=status]").text
    assert browser.execute_script("return document.activeElement.closest('.chooser') !== null")


@pytest.mark.thorough
def test_without_scripts_the_page_shows_what_it_showed(browser, page):
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        visit(browser, page)
        assert len(browser.find_elements("css selector", ".tiles img")) > 200
        assert not browser.find_elements("css selector", ".microscope, .lens")
        assert not browser.find_element("id", "sizes").is_displayed()
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
