"""A page in Chromium, as a reader would have it: its size, its colours, what it fetches, what it complains about."""

from __future__ import annotations

import importlib.resources
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


def chromium(folder: Path, *flags: str) -> Iterator[Any]:
    """Selenium's driver of a Chromium with a profile of its own in `folder`; where CI has none, a test fails."""
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not browser or not driver:
        say = pytest.fail if os.environ.get("CI") else pytest.skip
        say("no Chromium with its driver here: apt-get install chromium chromium-driver")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in (*FLAGS, *flags, f"--user-data-dir={folder}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chrome = webdriver.Chrome(options, webdriver.ChromeService(driver))
    chrome.set_script_timeout(60)
    yield chrome
    chrome.quit()


def visit(browser: Any, address: str | Path, width: int = 1280, dark: bool = False) -> None:
    """Open a page, by its address or its file's path, in a window of so many pixels."""
    appear(browser, width, dark)
    complaints(browser), requests(browser)  # those of the page before
    browser.get(address.resolve().as_uri() if isinstance(address, Path) else address)


def appear(browser: Any, width: int, dark: bool) -> None:
    """Have the window so wide, and in dark colours or light ones."""
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})


def complaints(browser: Any) -> list[str]:
    """What the console has said since it was last asked."""
    return [entry["message"] for entry in browser.get_log("browser")]


def requests(browser: Any) -> list[str]:
    """The addresses asked for since the last time; without data in the page, and what the browser shows before it."""
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    return [address for address in sent if not address.startswith(("data:", "blob:", "chrome:"))]


def overflow(browser: Any) -> int:
    """By how many pixels the page is wider than its window."""
    return browser.execute_script("const e = document.documentElement; return e.scrollWidth - e.clientWidth")


def inaccessible(browser: Any) -> list[str]:
    """What axe-core (https://github.com/dequelabs/axe-core) finds wrong by the rules of WCAG 2.1, A and AA."""
    browser.execute_script(importlib.resources.files("axe_core_python").joinpath("axe.min.js").read_text("utf-8"))
    run = """const done = arguments[0], runOnly = {type: "tag", values: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]};
        axe.run({runOnly, resultTypes: ["violations"]}).then(found => done(found.violations.flatMap(
            rule => rule.nodes.map(node => rule.id + ": " + node.target.join(" ") + ": " + node.failureSummary))))"""
    return browser.execute_async_script(run)


def faults(browser: Any, page: Path, width: int, dark: bool, folder: Path | None = None) -> list[str]:
    """Open a page -> all that is wrong with it: too wide, hard to use, complaints, requests.

    It may ask for itself, once, or for anything in its `folder`.
    """
    visit(browser, page, width, dark)
    asked, wide = requests(browser), overflow(browser)
    if folder is None:
        found = [] if asked == [page.as_uri()] else [f"asks for {asked}"]
    else:
        found = [f"asks for {address}" for address in asked if not address.startswith(folder.as_uri())]
    found += [f"{wide} pixels too wide"] if wide > 0 else []
    return [*found, *inaccessible(browser), *complaints(browser)]
