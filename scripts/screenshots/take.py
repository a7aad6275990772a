"""Takes the pictures: light and dark, wide and narrow, of each page, into a folder.

python -m scripts.screenshots.take [--language CODE] [FOLDER [PAGE...]]
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Container, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

WIDTHS = (1400, 420)
CHROMIUM = "/usr/bin/chromium"
DOCUMENTED = {"overview": 1010, "run-failed": 770, "workflow": 560, "graph": 900}
"""The pictures in the documentation: by their names, how many pixels of the page's top they show."""
IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu"]


def main(folder: Path, wanted: Container[str] = (), language: str = "") -> None:
    """Make the situation in a database of its own, serve it, and take a picture of each page that is wanted."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as var:
        os.environ |= {"EXAMPLE_VAR": var, "DJANGO_ALLOW_ASYNC_UNSAFE": "1", "DATABASE_URL": ""}
        os.environ["DJANGO_SETTINGS_MODULE"] = "example_project.settings"
        import django
        from django.conf import settings

        settings.LANGUAGE_CODE = language or settings.LANGUAGE_CODE
        django.setup()
        _take(folder, wanted)


def _take(folder: Path, wanted: Container[str]) -> None:
    from django.contrib.staticfiles.handlers import StaticFilesHandler
    from django.core.management import call_command
    from django.test.testcases import LiveServerThread

    from django_director.sync import condition

    from . import situation, tasks

    # The rows are made up. That they differ from the files of the project is no part of the situation.
    condition._watch.look = lambda seconds: condition.Condition(files=("shop/workflows.yml",))  # type: ignore[method-assign]
    call_command("migrate", verbosity=0)
    shown = [(name, path) for name, path in pages(situation.make()) if not wanted or name in wanted]
    server = LiveServerThread("localhost", StaticFilesHandler)
    server.daemon = True
    server.start()
    server.is_ready.wait()
    try:
        _photograph(f"http://localhost:{server.port}", shown, folder, "root")
        # They come later: their runs would stand on the overview too.
        _photograph(f"http://localhost:{server.port}", list(tasks.pages()), folder, "ann")
    finally:
        server.terminate()


def pages(made: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the name of each picture, and the address of its page."""
    from django.urls import reverse

    from django_director.presentation import causes
    from tests.integration.admin.pages import address

    load = made["failed"].tasks.get(step="LOAD")
    yield "overview", reverse("admin:app_list", args=["django_director"])
    yield "system", address("system")
    yield "workflows", address("workflow_changelist")
    yield "workflow", address("workflow_change", made["imports"].pk)
    yield "schedule", address("workflow_schedule_change", made["imports"].pk, made["schedule"].pk)
    yield "runs", address("run_changelist")
    yield "run-failed", address("run_change", made["failed"].pk)
    for tab in ("timeline", "log", "events"):
        yield f"run-{tab}", f"{address('run_change', made['failed'].pk)}?tab={tab}"
    yield "run-running", address("run_change", made["running"].pk)
    yield "graph", address("run_change", made["graph"].pk)
    yield "graph-long", address("run_change", made["long"].pk)
    yield "graph-workflow", address("workflow_change", made["graph"].workflow_id)
    yield "task-failed", address("task_change", load.pk)
    yield "task-asked", address("task_change", made["asked"].pk)
    yield "tasks", address("task_changelist")
    yield "run-form", address("workflow_run", made["imports"].pk)
    yield "run-form-fields", address("workflow_run", made["orders"].pk)
    yield "retry-map", address("run_retry", made["mapped"].pk)
    yield "cancel", address("run_cancel", made["running"].pk)
    yield "many", f"{address('run_many_retry')}?cause={causes.key_of('LOAD', made['failed'].error[6:])}"
    yield "relaunch-form", address("run_relaunch_with_changes", made["asked"].run_id)
    yield "approve", address("task_approve", made["asked"].pk)
    yield "retry", address("run_retry", made["failed"].pk)


def _photograph(site: str, pages: list[tuple[str, str]], folder: Path, user: str) -> None:
    from django.conf import settings
    from django.test import Client
    from playwright.sync_api import sync_playwright

    from tests import factories

    from . import situation

    client = Client()
    client.force_login(factories.make_admin(user))
    cookie = {"name": settings.SESSION_COOKIE_NAME, "value": client.cookies["sessionid"].value, "url": site}
    # Playwright keeps an event loop in this thread, in which Django refuses to ask the database.
    with ThreadPoolExecutor(1) as thread, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for scheme in ("light", "dark"):
            for width in WIDTHS:
                context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
                context.add_cookies([cookie])
                page = context.new_page()
                for name, address in pages:
                    thread.submit(situation.renew_signs).result()
                    page.goto(site + address)
                    is_wide = width == WIDTHS[0]
                    is_documented = name in DOCUMENTED and settings.LANGUAGE_CODE.startswith("en")
                    page.screenshot(path=folder / f"{name}-{scheme}-{width}.png", full_page=is_wide)
                    if is_wide and scheme == "light" and is_documented:
                        clip = {"x": 0, "y": 0, "width": width, "height": DOCUMENTED[name]}
                        page.screenshot(path=IMAGES / f"{name}.png", full_page=True, clip=clip)
                context.close()
        browser.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Take pictures of the admin's pages.")
    parser.add_argument("folder", nargs="?", type=Path, default=Path("var/screenshots"))
    parser.add_argument("pages", nargs="*", help="the names of the pages; all without any")
    parser.add_argument("--language", default="", help="such as ru; without it that of the example project")
    given = parser.parse_args()
    main(given.folder, given.pages, given.language)
