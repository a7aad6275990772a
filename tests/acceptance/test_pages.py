"""The admin in a real browser: a strict policy, windows narrow and wide, live updates, the keyboard."""

import os
from pathlib import Path

import pytest
from django.utils import timezone

from django_director import engine
from django_director.models import Run, Task
from django_director.presentation import causes
from tests import factories
from tests.asking import ask, asked
from tests.integration.admin.pages import address, order

OVERVIEW = "/admin/django_director/"

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True), pytest.mark.timeout(240)]


def finish(run, status="success"):
    now = timezone.now()
    run.tasks.update(status=status, finished_at=now, lease_until=None, claim=None, next_dispatch_at=None)
    Run.objects.filter(pk=run.pk).update(status=status, finished_at=now)


@pytest.mark.parametrize(
    ("scheme", "width"),
    [
        ("light", 390),
        ("dark", 1400),
        pytest.param("light", 1400, marks=pytest.mark.slow),
        pytest.param("dark", 390, marks=pytest.mark.slow),
    ],
)
def test_every_page_fits_its_window_under_a_strict_policy(width, scheme, open_page):
    wide = factories.group("G", *[f"t{number}" for number in range(60)])
    workflow = factories.make_workflow(
        factories.definition("shop.ORDER", "A" * 100, wide, "END", source="x" * 3_000)
    )
    ended = dict.fromkeys(["A" * 100, *(f"t{number}" for number in range(60))], "success")
    statuses = ended | {"t3": "failed", "END": "upstream_failed"}
    run = factories.make_run(workflow, "failed", statuses, error="e" * 3_000, comment="c" * 900)
    properties = {"order": {"type": "integer"}, "w" * 90: {"type": "string"}, "password": {"type": "string"}}
    described = factories.definition("shop.PAY", "A", schema={"type": "object", "properties": properties})
    given = {"order": 7, "w" * 90: "n" * 300, "password": "p"}
    with_fields = factories.make_run(
        factories.make_workflow(described), "success", {"A": "success"}, payload=given
    )
    factories.make_workflow(described)
    task = run.tasks.get(step="t3")
    Task.objects.filter(pk=task.pk).update(error="e" * 3_000, traceback="t" * 30_000)
    hostile = "<b>" + "p" * 300 + "\u202eabc\n" + "q " * 900
    asking, approval = asked(factories.approval("OK", prompt=hostile, timeout=60), "SHIP", name="shop.ASK")
    decided = asked(factories.approval("OK", prompt=hostile), "SHIP", name="shop.DECIDED")[1]
    engine.reject(decided, comment=hostile[:1_000])
    for path in (
        address("run_change", asking.pk),
        address("task_change", approval.pk),
        address("task_reject", approval.pk),
        address("task_change", decided.pk),
        address("task_changelist"),
        address("run_change", run.pk),
        address("run_retry", run.pk),
        address("run_relaunch_with_changes", run.pk),
        address("run_relaunch_with_changes", with_fields.pk),
        address("task_change", task.pk),
        address("task_rerun", task.pk),
        address("task_rerun", run.tasks.get(step="END").pk),
        address("task_skip", task.pk),
        address("workflow_change", workflow.pk),
        address("workflow_run", workflow.pk),
        address("run_changelist"),
        address("run_changelist") + "?status__exact=failed&ended=24h",
        address("workflow_changelist"),
        OVERVIEW,
        *(f"{address('run_change', run.pk)}?tab={tab}" for tab in ("timeline", "log", "data", "events")),
        address("run_many_retry") + f"?cause={causes.key_of('', 'e' * 1000)}",
    ):
        page = open_page(path, viewport={"width": width, "height": 900}, color_scheme=scheme)
        if folder := os.environ.get("DIRECTOR_SCREENSHOTS"):
            name = f"{scheme}-{width}-{path.strip('/').replace('/', '-')}.png"
            page.screenshot(path=Path(folder) / name, full_page=True)
        surplus = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        page.context.close()
        assert surplus <= 0, path


def test_a_run_is_watched_without_a_reload(open_page):
    run = factories.make_run(order(), tasks={"FETCH": "running"})
    page = open_page(address("run_change", run.pk))
    page.evaluate("window.untouched = true")
    assert page.locator('[data-button="cancel"]').is_visible()
    task = run.tasks.get(step="FETCH")
    Task.objects.filter(pk=task.pk).update(
        status="success", finished_at=timezone.now(), lease_until=None, claim=None
    )
    page.wait_for_selector('.director-box.director-success[data-box="0"]')
    assert page.locator('[data-box="0"] .director-note').all_text_contents() == ["success", "success"]
    assert page.locator(f'[data-task="{task.pk}"] [data-field="status"]').inner_text() == "success"
    assert page.locator('[data-field="progress"]').inner_text() == "1 / 4"

    finish(run)
    page.wait_for_selector('[data-button="relaunch"]', state="visible")
    assert page.locator('[data-button="cancel"]').is_hidden()
    assert page.locator('[data-part="head"] [data-field="status"]').inner_text() == "success"
    assert page.evaluate("window.untouched")


def test_it_stops_asking_at_the_outcome_and_while_hidden(open_page):
    run = factories.make_run(order(), tasks={"FETCH": "running"})
    page = open_page(address("run_change", run.pk), with_clock=True)
    asked = []
    page.on("request", lambda request: asked.append(request.url) if "/live/" in request.url else None)
    with page.expect_response("**/live/**"):
        page.clock.run_for(2_000)
    page.evaluate("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
    before = len(asked)
    page.clock.run_for(60_000)
    assert len(asked) == before

    finish(run)
    page.evaluate("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
    page.clock.run_for(100)
    page.wait_for_selector('[data-button="relaunch"]', state="visible")
    before = len(asked)
    page.clock.run_for(60_000)
    assert len(asked) == before


def test_it_says_so_when_it_can_not_go_on(open_page):
    run = factories.make_run(order(), tasks={"FETCH": "running"})
    page = open_page(address("run_change", run.pk))
    page.context.clear_cookies()
    page.wait_for_selector("[data-stale]", state="visible")


def test_the_graph_is_reached_by_keyboard(open_page):
    run = factories.make_run(order(), "failed", {"FETCH": "failed"})
    page = open_page(address("run_change", run.pk))
    page.locator("[data-do=full]").focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "FETCH: failed"
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{address('task_change', run.tasks.get(step='FETCH').pk)}")


def test_a_workflow_is_run_and_canceled_by_hand(open_page):
    workflow = order(schema={"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]})
    page = open_page(address("workflow_change", workflow.pk))
    page.get_by_text("Run…").click()
    page.get_by_label("n (required)").fill("7")
    page.get_by_role("button", name="Run").click()
    page.wait_for_url("**/change/")
    assert Run.objects.get().payload == {"n": 7}
    page.get_by_role("button", name="Cancel…").click()
    assert "4 tasks have not started" in page.locator("#content").inner_text()
    page.get_by_role("button", name="Cancel").click()
    page.wait_for_selector(".messagelist")
    assert Run.objects.get().stop == "cancel"


def test_a_menu_of_filters_closes_by_escape_and_by_a_click_elsewhere(open_page):
    factories.make_run(order())
    page = open_page(address("run_changelist"))
    button, entry = (
        page.locator(".director-chips summary", has_text="Status"),
        page.get_by_role("link", name="failed"),
    )
    for close in (lambda: page.keyboard.press("Escape"), lambda: page.locator("h1").click()):
        button.click()
        entry.wait_for()
        close()
        entry.wait_for(state="hidden")
    button.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.textContent").strip() == "Status"


def test_all_runs_of_a_cause_are_retried_from_the_overview(open_page):
    for number in range(3):
        tasks = {"FETCH": "failed", "STOCK": "upstream_failed", "PRICE": "upstream_failed"}
        factories.make_run(order(), "failed", tasks, error=f"FETCH: OSError: no answer from 10.0.0.{number}")
    page = open_page(OVERVIEW)
    page.get_by_role("button", name="Retry all 3…").click()
    assert "Retry failed: 3 runs" in page.locator("#content").inner_text()
    assert {run.status for run in Run.objects.all()} == {"failed"}
    page.get_by_role("button", name="Retry failed: 3 runs").click()
    page.wait_for_url(f"**{OVERVIEW}")
    assert "Retrying 3 runs." in page.locator(".messagelist").inner_text()
    assert {run.status for run in Run.objects.all()} == {"running"}


@pytest.mark.parametrize("java_script_enabled", [True, False])
def test_an_approval_is_decided_on_the_overview(java_script_enabled, open_page):
    _, approval = asked(factories.approval("OK", prompt="Ship?"), "SHIP")
    page = open_page(OVERVIEW, java_script_enabled=java_script_enabled)
    page.get_by_text("Decide…").click()
    page.get_by_label("Comment").fill("fine")
    page.get_by_role("button", name="Approve").click()
    page.wait_for_url(f"**{OVERVIEW}")
    approval.refresh_from_db()
    assert (approval.status, approval.decision["comment"]) == ("success", "fine")


def test_the_overview_changes_without_a_reload_but_not_under_the_hands(open_page):
    page = open_page(OVERVIEW, with_clock=True)
    page.evaluate("window.untouched = true")
    asked(factories.approval("OK", prompt="Ship?"), "SHIP")
    page.clock.run_for(11_000)
    page.get_by_text("Ship?").wait_for()
    page.get_by_text("Decide…").click()
    page.get_by_label("Comment").fill("half a senten")
    factories.make_run(order(), "failed", error="FETCH: OSError: x")
    page.clock.run_for(25_000)
    assert page.get_by_label("Comment").input_value() == "half a senten"
    assert page.evaluate("window.untouched")


def test_pages_work_without_javascript(open_page):
    run = factories.make_run(order(), "failed", {"FETCH": "failed"})
    page = open_page(address("run_change", run.pk), java_script_enabled=False)
    page.get_by_role("button", name="Retry failed…").click()
    assert "will run" in page.locator("#content").inner_text()


def test_a_question_shows_without_a_reload_and_is_answered_by_hand(open_page):
    run, first = asked(
        factories.approval("OK", prompt="Ship?"), factories.approval("SURE", prompt="Sure?"), "SHIP"
    )
    page = open_page(address("run_change", run.pk))
    page.locator(".director-asked", has_text="Ship?").wait_for()
    page.evaluate("window.untouched = true")
    engine.approve(first)
    second = ask(run, "SURE")
    page.locator(".director-asked", has_text="Sure?").wait_for()
    assert page.locator(".director-asked li").count() == 1
    assert page.evaluate("window.untouched")
    page.locator(".director-asked").get_by_role("link", name="SURE").click()
    page.wait_for_url(f"**{address('task_change', second.pk)}")
    page.get_by_role("button", name="Reject…").click()
    page.get_by_label("Comment").fill("not today")
    page.get_by_role("button", name="Reject").click()
    page.wait_for_selector(".messagelist")
    second.refresh_from_db()
    assert (second.status, second.error) == ("failed", "Rejected by root: not today")
