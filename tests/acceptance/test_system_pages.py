"""Schedules by form, and what the overview says of a worker that ends, in a real browser."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django_celery_beat.models import PeriodicTask

from django_director.presentation import health
from tests import factories
from tests.integration.admin.pages import address

from .browser import PATIENCE
from .harness import Worker

OVERVIEW = "/admin/django_director/"

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True), pytest.mark.timeout(240)]


@pytest.mark.parametrize("java_script_enabled", [True, False])
def test_a_schedule_is_added_by_form_and_switched(java_script_enabled: bool, open_page: Callable[..., Any]):
    workflow = factories.make_workflow("shop.ORDER")
    page = open_page(
        address("workflow_change", workflow.pk), expects="400", java_script_enabled=java_script_enabled
    )
    page.get_by_role("link", name="Add…").click()
    page.get_by_label("Name").fill("nightly")
    page.locator("#director-crontab").fill("30 25 * * *")
    assert page.locator("#director-interval").is_hidden()
    page.get_by_label("Time zone").fill("Europe/Paris")
    page.get_by_role("button", name="Show the next times").click()
    assert "25 is not between 0 and 23" in page.locator(".errors").inner_text()
    assert page.get_by_label("Time zone").input_value() == "Europe/Paris"
    page.locator("#director-crontab").fill("30 2 * * *")
    page.get_by_role("button", name="Show the next times").click()
    page.locator(".director-preview tbody tr").nth(4).wait_for()
    assert page.locator(".director-preview tbody tr").count() == 5
    assert not PeriodicTask.objects.exists()
    take_picture(page, "schedule-preview")
    page.get_by_role("button", name="Save").click()
    page.wait_for_url(f"**{address('workflow_change', workflow.pk)}")
    assert page.locator("#director-schedules ~ div tbody td").nth(3).inner_text().count("UTC") == 5
    page.get_by_role("button", name="Switch off nightly").click()
    page.wait_for_selector(".messagelist")
    assert not PeriodicTask.objects.get().enabled
    page.goto(page.url.partition("/admin/")[0] + address("workflow_changelist"))
    page.get_by_role("button", name="Switch on nightly").click()
    page.wait_for_url(f"**{address('workflow_changelist')}")
    assert PeriodicTask.objects.get().enabled


@pytest.mark.parametrize("width", [390, 1400])
def test_the_pages_fit_their_windows(width: int, open_page: Callable[..., Any]):
    described = factories.definition("shop.ORDER", description="d" * 300)
    workflow = factories.make_workflow(described)
    for path in (address("system"), address("workflow_schedule_add", workflow.pk)):
        page = open_page(path, viewport={"width": width, "height": 900})
        surplus = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        page.context.close()
        assert surplus <= 0, path


def take_picture(page: Any, name: str) -> None:
    if folder := os.environ.get("DIRECTOR_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


@pytest.mark.worker
def test_a_worker_that_ends_is_missed_on_the_overview_and_a_new_one_is_seen(
    open_page: Callable[..., Any],
    broker_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("django_director.admin.vital_signs.BROKER_SECONDS", 0.0)
    health._broker.forget()
    first, second = Worker(broker_url, tmp_path), Worker(broker_url, tmp_path)
    try:
        first.start()
        page = open_page(OVERVIEW, with_clock=True)
        page.get_by_text("1 worker · supervisor").wait_for()
        first.stop()
        trouble = page.get_by_text("No worker is alive")
        _let_it_ask(page, until=trouble.is_visible)
        second.start()
        _let_it_ask(page, until=lambda: not trouble.count())
        page.get_by_text("1 worker · supervisor").wait_for()
        page.get_by_role("link", name="System", exact=True).click()
        page.get_by_text("All that runs need is alive.").wait_for()
        assert second.hostname in page.locator("#content").inner_text()
    finally:
        first.kill()
        second.kill()


def _let_it_ask(page: Any, *, until: Callable[[], bool]) -> None:
    """Let the page ask for news, as it does every ten seconds, until they are there."""
    deadline = time.monotonic() + 2 * PATIENCE / 1000
    while not until():
        assert time.monotonic() < deadline, page.locator("#content").inner_text()
        page.clock.run_for(11_000)
        page.wait_for_timeout(200)
