"""Fixtures of tests in a real browser."""

import importlib.util
import os
from pathlib import Path

import pytest
from django.test import Client

from tests import factories

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
POLICY = "default-src 'self'; style-src 'self'; script-src 'self'; object-src 'none'; base-uri 'none'"
PATIENCE = 20_000


def is_unexpected(line, expected):
    return line.type == "error" and expected not in line.text


@pytest.fixture(scope="module")
def browser():
    if importlib.util.find_spec("playwright") is None or not CHROMIUM.exists():
        assert not os.environ.get("DIRECTOR_REQUIRE_SERVICES"), "playwright and /usr/bin/chromium are needed"
        pytest.skip("needs playwright and /usr/bin/chromium")
    from playwright.sync_api import sync_playwright

    # Playwright keeps an event loop in this thread, which Django takes for an async context.
    before = os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE")
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield opened
        opened.close()
    if before is None:
        del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


# ``django_db_setup`` before ``live_server``: a server made earlier believes that the database is in memory, and
# shares one connection between its threads.
@pytest.fixture
def open_page(browser, transactional_db, django_db_setup, live_server):
    """Open a page of the admin as its administrator, under the strict policy; complaints end the test."""
    contexts, complaints = [], []
    client = Client()
    client.force_login(factories.make_admin())

    def guard(route):
        if route.request.resource_type != "document" or route.request.method != "GET":
            route.continue_()
            return
        response = route.fetch()
        route.fulfill(response=response, headers=response.headers | {"content-security-policy": POLICY})

    def make(path, *, with_clock=False, expects="404", **options):
        context = browser.new_context(**options)
        contexts.append(context)
        context.add_cookies(
            [{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}]
        )
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.route("**/*", guard)
        page.on("console", lambda line: complaints.append(line.text) if is_unexpected(line, expects) else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        if with_clock:
            page.clock.install()
        page.goto(live_server.url + path)
        return page

    yield make
    for context in contexts:
        context.close()
    assert [text for text in complaints if "favicon" not in text] == []
