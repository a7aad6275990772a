"""Our pages under other looks of Django's admin: read, clicked and typed into, in light and dark."""

from __future__ import annotations

import re

import pytest

from . import axe
from .browser import chromium, need
from .visits import Visitor, served_situation

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]

THEMES = ("unfold", "jazzmin", "grappelli")
PAGES = ("overview", "runs", "run-failed", "task-failed", "workflow", "run-form", "retry")
OURS = (".director-page", ".director-chips", "#result_list .director-badge")
"""What these pages add to a theme; the rest is the theme's own."""


@pytest.fixture(scope="module", params=THEMES)
def situation(request):
    need("playwright", "axe_playwright_python", request.param)
    with served_situation("tests.acceptance.theme_settings", DIRECTOR_THEME=request.param) as served:
        yield served


@pytest.fixture(scope="module")
def visitor(situation):
    with chromium() as browser:
        yield Visitor(browser, situation)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_can_be_read(scheme, situation, visitor):
    found = {name: _faults(visitor, situation.pages[name], scheme) for name in PAGES}
    assert {name: faults for name, faults in found.items() if faults} == {}


def _faults(visitor, address, scheme):
    visitor.show(1400, scheme)
    window = visitor.open(address)
    # A theme may take its fonts from elsewhere.
    faults = [text for text in visitor.complaints if visitor.site in text or "http" not in text]
    if visitor.surplus(1280) > 0:
        faults.append("wider than 1280")
    axe.shorten_tables(window)
    visitor.show(1400, scheme)
    present = [place for place in OURS if window.locator(place).count()]
    return faults + axe.complaints(window, *axe.COLOURS, within=present)


def test_pages_can_be_used(situation, visitor):
    visitor.show(1400, "light")
    window = visitor.open(situation.pages["overview"])
    said = window.locator("#director-overview").inner_text()
    number = int(re.search(r"(\d+) runs have failed", said)[1])
    assert number > 14
    assert f"Failed in the last 24 hours {number} runs" in " ".join(said.split())
    window.get_by_role("button", name="Retry all 14…").click()
    window.get_by_role("heading", name="Retry failed").wait_for()
    visitor.open(situation.pages["runs"])
    rows = window.locator("#result_list tbody tr").count()
    with window.expect_response(lambda answer: "/run/live/" in answer.url, timeout=20_000) as asked:
        pass
    assert asked.value.text().count('/change/"') >= rows > 10
    window.locator(".director-chips summary", has_text="Status").click()
    window.locator(".director-chips").get_by_role("link", name="failed", exact=True).click()
    window.wait_for_url("**status__exact=failed**")
    visitor.open(situation.pages["run-failed"])
    assert window.get_by_role("heading", level=1, name="orders.IMPORT").is_visible()
    window.locator(".director-tabs").get_by_role("link", name="Timeline").click()
    window.wait_for_url("**tab=timeline**")
    visitor.open(situation.pages["run-form"])
    window.get_by_label("Comment").fill("by hand")
    assert _width(window.get_by_role("button", name="Run", exact=True)) > 40
    window.get_by_role("button", name="Run", exact=True).click()
    window.wait_for_url(re.compile(r"/run/[-0-9a-f]+/change/"))
    assert "by hand" in window.locator(".director-facts").inner_text()
    assert visitor.complaints == [text for text in visitor.complaints if visitor.site not in text]


def _width(element):
    return element.bounding_box()["width"]
