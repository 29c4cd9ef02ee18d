"""A report in a real browser: no errors, no requests, series can be chosen, tables sorted, and it fits a phone.

Needs the package playwright and a Chromium: its own (`playwright install chromium`), one on the path, or the program
that the environment variable TITANS_TS_CHROMIUM names. Skipped elsewhere.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.report.common import FOREIGN, HOSTILE, record
from titans_ts.report import forecast_report

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright and a Chromium")
NAMES = [*HOSTILE, *FOREIGN, *(f"shop {i}" for i in range(6))]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    names = ("chromium", "chromium-headless-shell", "google-chrome", "chromium-browser")
    program = os.environ.get("TITANS_TS_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    with playwright.sync_playwright() as started:
        try:
            found = started.chromium.launch(executable_path=program, args=["--no-sandbox"])
        except playwright.Error as error:
            pytest.skip(f"no Chromium can be started: {str(error).splitlines()[0]}")
        yield found
        found.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    forecast_report(record(NAMES, length=300, windows=3, name=HOSTILE[0])).to_html(path)
    return path


def opened(browser: Any, file: Path, width: int = 1280, scheme: str = "light") -> tuple[Any, list[str]]:
    """A page that has drawn its charts, and what went wrong on it so far."""
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("dialog", lambda dialog: (wrong.append(f"dialog {dialog.message}"), dialog.dismiss()))
    page.on(
        "request",
        lambda request: None if request.url.startswith(("file:", "data:", "blob:")) else wrong.append(request.url),
    )
    page.goto(file.as_uri())
    page.wait_for_function("document.documentElement.dataset.drawn === 'true'", timeout=60_000)
    return page, wrong


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_draws_without_errors_and_fits(browser: Any, file: Path, width: int, scheme: str) -> None:
    page, wrong = opened(browser, file, width, scheme)
    assert page.locator(".js-plotly-plot").count() == page.locator(".chart").count() > 3
    assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    assert wrong == []
    page.close()


def test_series_can_be_chosen_found_and_shown_whole(browser: Any, file: Path) -> None:
    page, wrong = opened(browser, file)
    points = "document.getElementById('chart0').data.find((trace) => trace.name === 'history').x.length"
    title = page.locator("#chart0-name")
    assert title.text_content() == HOSTILE[0]
    page.select_option("#chart0-choice", label=FOREIGN[1])
    assert title.text_content() == FOREIGN[1]
    page.click("#chart0-after")
    assert title.text_content() == FOREIGN[2]
    page.fill("#chart0-filter", "SHOP 4")
    assert title.text_content() == "shop 4" and page.locator("#chart0-choice option").count() == 1
    few = page.evaluate(points)
    page.click("#chart0-whole")
    assert few < page.evaluate(points) == 300
    page.click("summary >> nth=0")
    assert page.locator("#chart0-numbers tbody tr").count() == 7
    assert wrong == []
    page.close()


def test_tables_are_sorted_by_their_headers(browser: Any, file: Path) -> None:
    page, wrong = opened(browser, file)
    table = page.locator("table.sortable").first
    head = table.locator("thead th").nth(1)
    for way, first in (("ascending", "theta 7"), ("descending", "seasonal naive")):
        head.locator("button").click()
        assert head.get_attribute("aria-sort") == way
        assert table.locator("tbody th").first.text_content() == first
    assert wrong == []
    page.close()


def test_it_prints_in_light_colours(browser: Any, file: Path) -> None:
    page, wrong = opened(browser, file, scheme="dark")
    assert page.pdf(format="A4").startswith(b"%PDF")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
    assert wrong == []
    page.close()


def test_every_control_has_a_name(browser: Any, file: Path) -> None:
    page, _ = opened(browser, file)
    unnamed = page.evaluate(
        "Array.from(document.querySelectorAll('main button, main select, main input')).filter((one) => "
        "!(one.textContent.trim() || one.getAttribute('aria-label') || (one.labels && one.labels.length))).length"
    )
    assert unnamed == 0
    page.close()
