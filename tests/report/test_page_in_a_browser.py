"""The page as a browser shows it: quiet, by itself, readable on every screen, and for those who hear it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from ship.report.page import write_page

CHROMIUM = shutil.which("chromium")
WAY_OUT = "needs chromium (tests/install_chromium)"
pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason=WAY_OUT)]
SCREENS = [(width, scheme) for width in (390, 1400) for scheme in ("light", "dark")]
SERIOUS = {"serious", "critical"}


class Opened(NamedTuple):
    page: object
    said: list[str]
    asked: list[str]


@pytest.fixture(scope="module")
def path(finished, tmp_path_factory) -> Path:
    """The page of a whole made-up experiment."""
    out = tmp_path_factory.mktemp("browser") / "index.html"
    write_page(finished.params, finished.root, out)
    return out


@pytest.fixture(scope="module")
def chromium():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(params=SCREENS, ids=lambda screen: f"{screen[0]}-{screen[1]}")
def opened(request, chromium, path) -> Opened:
    """The page on a screen, with all that it said and asked for."""
    width, scheme = request.param
    context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page, said, asked = context.new_page(), [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    yield Opened(page, said, asked)
    context.close()


def test_the_page_is_quiet_fits_the_screen_and_asks_nobody(opened, path):
    """No word in the console, no request but for the file itself, no sideways scroll."""
    assert opened.said == []
    assert [url for url in opened.asked if not url.startswith("data:")] == [path.as_uri()]
    width = opened.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert width[0] <= width[1]


def test_a_wide_screen_shows_whole_tables(chromium, path):
    """Nobody looks for columns that are not there."""
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    page.goto(path.as_uri())
    page.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
    parts = page.locator("#results .scroll, #tasks .scroll")
    assert parts.count() == 3
    assert parts.evaluate_all("all => all.map(part => part.scrollWidth - part.clientWidth)") == [0, 0, 0]
    page.close()


def test_the_page_is_accessible(opened):
    """By the rules of axe-core, of which none is broken seriously, with every part unfolded."""
    from axe_core_python.sync_playwright import Axe

    opened.page.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
    found = Axe().run(opened.page)["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in SERIOUS] == []


def test_a_table_is_sorted_by_the_heading_that_is_pressed(chromium, path):
    """By the keyboard too; numbers as numbers, the largest first, then the other way; the heading says which."""
    page = chromium.new_page()
    page.goto(path.as_uri())
    table = page.locator("#tasks table").first
    head = table.locator("thead th", has_text="accuracy, %").first
    column = "rows => rows.map(row => parseFloat(row.cells[3].textContent))"
    for key, order in (("Enter", "descending"), ("Space", "ascending")):
        head.locator("button").press(key)
        values = table.locator("tbody tr").evaluate_all(column)
        assert head.get_attribute("aria-sort") == order
        assert values == sorted(values, reverse=order == "descending")
    assert len(values) == 9
    page.close()


def test_looks_lie_on_their_pictures_until_they_are_switched_off(opened):
    """Each over the whole of its own; by the keyboard, and without a script."""
    opened.page.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
    pictures = opened.page.locator(".mistakes > li > svg > image")
    looks = opened.page.locator(".mistakes .look > image")
    assert pictures.count() == looks.count() == 3 * 12
    for picture, look in zip(pictures.all()[::12], looks.all()[::12], strict=True):
        under, over = picture.bounding_box(), look.bounding_box()
        assert all(abs(under[side] - over[side]) < 0.5 for side in under)
    switch = opened.page.get_by_label("show what ship looks at").first
    switch.press("Space")
    assert not looks.first.is_visible()
    assert pictures.first.is_visible()
    assert looks.nth(12).is_visible()  # of another task


def test_paper_has_looks_but_no_switch(opened):
    """Nor a menu; colours that a note explains are printed."""
    opened.page.emulate_media(media="print")
    opened.page.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
    assert opened.page.locator(".look image").first.is_visible()
    assert opened.page.locator("nav, .looks > input, .looks > label").evaluate_all(
        "all => all.every(one => !one.offsetParent)"
    )
    cell = opened.page.locator(".matrix .right").first
    assert cell.evaluate("cell => getComputedStyle(cell).printColorAdjust") == "exact"


def test_without_scripts_everything_is_there(chromium, path):
    """Tables are in the order of the experiment, and no button does nothing."""
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(path.as_uri())
    assert page.locator("button").count() == 0
    assert page.locator("#tasks tbody tr").count() == 9
    context.close()
