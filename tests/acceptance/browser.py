"""Fixtures of tests in a real browser."""

import contextlib
import importlib.util
import os
from pathlib import Path

import pytest
from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.test import Client
from django.test.testcases import LiveServerThread

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
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'"
)
PATIENCE = 20_000


def is_unexpected(line, expected):
    return line.type == "error" and expected not in line.text


def need(*modules):
    """Skip the test if Chromium or a package is missing; fail it where all must be there."""
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if not CHROMIUM.exists():
        missing.append(str(CHROMIUM))
    if missing:
        assert not os.environ.get("DIRECTOR_REQUIRE_SERVICES"), f"needs {missing}"
        pytest.skip(f"needs {', '.join(missing)}")


@contextlib.contextmanager
def chromium():
    need("playwright")
    from playwright.sync_api import sync_playwright

    with pytest.MonkeyPatch.context() as patched, sync_playwright() as playwright:
        # Playwright keeps an event loop in this thread, which Django takes for an async context.
        patched.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        opened = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield opened
        opened.close()


@contextlib.contextmanager
def server():
    """Serve the site of this process beside real workers; ``open_page`` has a server of its own."""
    thread = LiveServerThread("localhost", StaticFilesHandler)
    thread.daemon = True
    thread.start()
    thread.is_ready.wait()
    assert thread.error is None
    try:
        yield f"http://localhost:{thread.port}"
    finally:
        thread.terminate()


@pytest.fixture(scope="module")
def browser():
    with chromium() as opened:
        yield opened


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
