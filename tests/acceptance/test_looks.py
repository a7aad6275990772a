"""Every page of the admin in a browser: a strict policy, all people, each width, hostile texts."""

from __future__ import annotations

import re

import pytest
from django.contrib import admin
from django.urls import resolve

from django_director.models import Run, Task, Workflow

from . import axe
from .browser import chromium, need
from .visits import Visitor, served_situation

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]

WIDTHS = (1280, 420)
ACTING = r"""() => {
  const acts = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]|(?<!\\u001b)\[31m/;
  const found = [document.title];
  // What is edited stays as it is, in a box of its own.
  for (const element of document.querySelectorAll(":not(input, textarea, option)")) {
    for (const attribute of element.attributes) found.push(attribute.value);
    for (const node of element.childNodes) if (node.nodeType === Node.TEXT_NODE) found.push(node.data);
  }
  return found.filter((text) => acts.test(text)).map((text) => text.trim().slice(0, 100));
}"""
"""Finds texts with characters that change how others are shown, or with codes of terminals for colours."""
NO_PAGES = {
    # Files, and a part of a page that is opened as a whole.
    "run_log",
    "run_payload",
    "run_result",
    "overview",
    # Data, which open pages ask for.
    "run_live",
    "run_list_live",
    "task_live",
    "task_list_live",
    "workflow_list_live",
    # More files, and what only a button asks for.
    "task_download",
    *(f"{page}_graph_{form}" for page in ("run", "workflow") for form in ("svg", "dot", "mermaid")),
    "workflow_schedule_switch",
    # Django has these addresses for each model; ours answer that nobody may add or delete.
    *(f"{model}_{what}" for model in ("run", "task", "workflow") for what in ("add", "delete")),
}


@pytest.fixture(scope="module")
def situation():
    need("playwright", "axe_playwright_python")
    with served_situation("tests.acceptance.looks_settings") as served:
        yield served


@pytest.fixture(scope="module")
def browser():
    with chromium() as opened:
        yield opened


def test_every_page_is_looked_at(situation):
    """Whoever adds a page adds it to ``scripts/screenshots``, or to the exceptions above."""
    names = {url.name for model in (Run, Task, Workflow) for url in admin.site._registry[model].urls}
    ours = {name.removeprefix("django_director_") for name in names if name}
    seen = {resolve(address.partition("?")[0]).url_name for address in situation.pages.values()}
    assert ours - {name.removeprefix("django_director_") for name in seen} == NO_PAGES
    assert ours >= NO_PAGES


def test_every_page_can_be_used_by_everybody(situation, browser):
    visitor = Visitor(browser, situation)
    found = {
        name: _faults(visitor, address, in_full=name in situation.pictured)
        for name, address in situation.pages.items()
    }
    assert {name: faults for name, faults in found.items() if faults} == {}


def test_everything_can_be_done_without_javascript(situation, browser):
    visitor = Visitor(browser, situation, java_script_enabled=False)
    window = visitor.open(situation.pages["run-form"])
    window.get_by_label("Comment").fill("without a script")
    _press(window, "Run")
    assert "without a script" in window.locator(".director-facts").inner_text()
    _press(window, "Cancel…")
    _press(window, "Cancel")
    assert "is being canceled" in _told(window)
    visitor.open(situation.pages["run-failed"])
    _press(window, "Retry failed…")
    _press(window, "Retry failed")
    assert "Retrying 1 run" in _told(window)
    visitor.open(situation.pages["overview"])
    _press(window, "Retry all 13…")
    _press(window, re.compile("^Retry failed"))
    assert "Retrying 13 runs" in _told(window)
    window.get_by_text("Decide…").click()
    _press(window, "Approve")
    assert "approved" in _told(window).lower()
    visitor.open(situation.pages["runs"])
    for number in (0, 1):
        window.locator("#result_list input.action-select").nth(number).check()
    window.locator("select[name=action]").select_option(label="Cancel…")
    _press(window, "Go")
    _press(window, re.compile("^Cancel"))
    assert "canceled" in _told(window)


def _press(window, name):
    content = window.locator("#content")
    content.get_by_role("button", name=name, exact=isinstance(name, str)).or_(
        content.get_by_role("link", name=name, exact=isinstance(name, str))
    ).first.click()


def _told(window):
    return window.locator(".messagelist").inner_text()


def test_hostile_texts_are_shown_and_do_nothing(situation, browser):
    """The last test of this module: what it plants stays."""
    situation.become_hostile()
    visitor = Visitor(browser, situation)
    found = {name: _harms(visitor, address) for name, address in situation.pages.items()}
    assert {name: harms for name, harms in found.items() if harms} == {}


def _harms(visitor: Visitor, address: str) -> list[str]:
    """Return what hostile texts do to a page: widen it, act in it, or turn its letters around."""
    window = visitor.open(address)
    harms = list(visitor.complaints)
    harms += [f"wider than {width}" for width in WIDTHS if visitor.surplus(width) > 0]
    harms += [f"acts: {text!r}" for text in window.evaluate(ACTING)]
    if window.locator("b", has_text="bold").count():
        harms.append("markup")
    return harms


def _faults(visitor: Visitor, address: str, *, in_full: bool) -> list[str]:
    """Return what is wrong with a page: its policy, its scripts, its width, and what axe finds.

    A page that looks like another one is not looked at in the dark and on a phone again.
    """
    visitor.show(1400, "light")
    window = visitor.open(address)
    # Before axe, which puts styles of its own into the page.
    faults = list(visitor.complaints)
    faults += [f"wider than {width}" for width in WIDTHS if visitor.surplus(width) > 0]
    axe.shorten_tables(window)
    visitor.show(1400, "light")
    faults += axe.complaints(window)
    if not in_full:
        return faults
    visitor.show(1400, "dark")
    faults += [f"dark: {fault}" for fault in axe.complaints(window, *axe.COLOURS)]
    visitor.show(420, "light")
    return faults + [f"on a phone: {fault}" for fault in axe.complaints(window, *axe.SIZES)]
