"""Pages that change by themselves, in a real browser: with a worker, under somebody's hands, without an answer."""

import contextlib

import pytest
from django.test import Client
from django.utils import timezone

from django_director.models import Run, Task, TaskLog
from tests import factories
from tests.integration.admin.pages import address, order

from .browser import server

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
in_rows = pytest.mark.django_db(transaction=True)

MINUTE = 60_000
HOUR = 60 * MINUTE


def finish(run, status="success"):
    now = timezone.now()
    run.tasks.update(status=status, finished_at=now, lease_until=None, claim=None, next_dispatch_at=None)
    Run.objects.filter(pk=run.pk).update(status=status, finished_at=now)


def queue(run, step):
    now = timezone.now()
    Task.objects.filter(run=run, step=step).update(status="queued", queued_at=now, next_dispatch_at=now)


def requests_of(page):
    asked = []
    page.on("request", lambda request: asked.append(request.url) if "/live/" in request.url else None)
    return asked


@pytest.mark.worker
def test_a_run_of_a_worker_is_watched_from_its_start_to_its_end(browser, site, tmp_path):
    site.worker(queues="celery")
    site.define("live.SHELVES", factories.step("COUNT", task="UNTIL_FILE"), factories.step("NEXT", task="ECHO"))
    go = tmp_path / "go"
    client = Client()
    client.force_login(factories.make_admin("watcher"))
    with server() as url, contextlib.closing(browser.new_context()) as context:
        context.add_cookies([{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": url}])
        run = site.start("live.SHELVES", {"go": str(go)})
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.goto(url + address("run_change", run.pk))
        page.evaluate("window.untouched = true")
        page.get_by_text("1/2 half of the shelves", exact=True).wait_for()
        asked = requests_of(page)
        go.touch()
        page.locator(".director-verdict.director-success").wait_for()
        assert page.locator('[data-field="progress"]').inner_text() == "2 / 2"
        assert page.locator(".director-wide .director-box.director-success").count() == 2
        assert page.evaluate("window.untouched")
        # It asks no more: the element that makes it ask is gone, and so is the timer.
        assert page.locator("[data-live]").count() == 0
        before = len(asked)
        page.wait_for_timeout(2_500)
        assert len(asked) == before
    site.check()


@in_rows
def test_rows_of_a_list_change_at_their_places_and_new_ones_are_counted(open_page):
    old, running = factories.make_run(order()), factories.make_run(order(), tasks={"FETCH": "running"})
    page = open_page(address("run_changelist"), with_clock=True)
    page.evaluate("window.untouched = true")
    row = page.locator("#result_list tbody tr", has_text=str(running.pk)[:13])
    row.locator(".action-select").check()
    finish(running)
    new = [factories.make_run(order()) for _ in range(3)]
    page.clock.run_for(6_000)
    row.locator(".director-badge.director-success").wait_for()
    assert row.get_by_text("4 / 4").count() == 1
    assert row.locator(".action-select").is_checked()
    assert page.locator("#result_list tbody tr").count() == 2
    assert "3 are new" in page.locator("[data-new]").inner_text()
    assert page.evaluate("window.untouched")
    assert str(old.pk)[:13] in page.locator("#result_list tbody tr").last.inner_text()
    page.get_by_role("link", name="show", exact=True).click()
    page.locator("#result_list tbody tr", has_text=str(new[-1].pk)[:13]).first.wait_for()
    assert page.locator("#result_list tbody tr").count() == 5


@in_rows
def test_the_list_of_workflows_shows_new_runs_and_goes_on_asking(open_page):
    running = factories.make_run(order(), tasks={"FETCH": "running"})
    page = open_page(address("workflow_changelist"), with_clock=True)
    page.evaluate("window.untouched = true")
    bars = page.locator("#result_list .director-strip a")
    assert bars.count() == 1
    finish(running)
    page.clock.run_for(11_000)
    page.locator("#result_list .director-strip a.director-success").wait_for()
    factories.make_run(order())
    page.clock.run_for(11_000)
    bars.nth(1).wait_for()
    assert page.evaluate("window.untouched")


@in_rows
@pytest.mark.parametrize("page_name", ["run_changelist", "task_changelist", "workflow_changelist"])
def test_a_hidden_list_asks_nothing_and_a_calm_one_seldom(page_name, open_page):
    factories.make_run(order(), tasks={"FETCH": "running"})
    page = open_page(address(page_name), with_clock=True)
    asked = requests_of(page)
    for _ in range(240):
        page.clock.run_for(500)
        page.wait_for_timeout(5)
    # Two minutes; at the usual pace these would be 24.
    assert 3 <= len(asked) <= 15
    page.evaluate("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
    page.clock.run_for(MINUTE)
    before = len(asked)
    page.clock.run_for(HOUR)
    assert len(asked) == before


@in_rows
def test_every_tab_changes_and_what_a_person_does_stays(open_page):
    chain = factories.chain("DEEP", "X", "Y")
    workflow = factories.make_workflow(factories.definition("a.B", "A", chain, factories.group("G", "P", "Q")))
    run = factories.make_run(workflow, tasks={"A": "running"}, payload={"text": "x" * 5_000})
    first = run.tasks.get(step="A")
    TaskLog.objects.create(task=first, sequence=1, attempt=1, text="2026-11-30T02:00:01.000Z ERROR a: one\n")

    page = open_page(address("run_change", run.pk), with_clock=True)
    closed = page.locator("details", has_text="DEEP").first
    closed.locator("summary").click()
    page.locator("summary", has_text="DEEP").focus()
    row = page.locator(f'[data-task="{first.pk}"] [data-field=error]')
    page.evaluate("document.querySelector('.director-picture').classList.add('zoomed')")
    Task.objects.filter(pk=first.pk).update(progress={"done": 1, "total": 3, "message": "one"})
    page.clock.run_for(3_000)
    row.get_by_text("1/3 one").wait_for()
    page.evaluate("el => getSelection().selectAllChildren(el)", row.element_handle())
    queue(run, "X")
    page.clock.run_for(3_000)
    page.locator("summary", has_text="DEEP").get_by_text("queued").wait_for()
    assert closed.get_attribute("open") is not None
    page.locator(".director-wide .director-box.director-queued").wait_for()
    assert page.locator(".director-picture.zoomed").count() == 1
    assert page.evaluate("document.activeElement.textContent").startswith("DEEP")
    assert page.evaluate("String(getSelection())") == "1/3 one"

    page.goto(page.url + "?tab=timeline")
    assert page.locator(".director-timeline a").count() == 2
    queue(run, "P")
    page.clock.run_for(3_000)
    page.locator(".director-timeline a", has_text="P").wait_for()

    page.goto(page.url.replace("timeline", "log") + "&level=ERROR")
    page.get_by_label("Words").fill("tw")
    TaskLog.objects.filter(task=first).update(
        text="2026-11-30T02:00:01.000Z ERROR a: one\n2026-11-30T02:00:02.000Z INFO a: hushed\n"
        "2026-11-30T02:00:03.000Z ERROR a: two\n"
    )
    page.clock.run_for(3_000)
    page.locator(".director-log").get_by_text("a: two").wait_for()
    assert page.get_by_text("hushed").count() == 0
    assert page.get_by_label("Words").input_value() == "tw"


@in_rows
def test_a_server_that_does_not_answer_is_told_and_asked_again(open_page):
    run = factories.make_run(order(), tasks={"FETCH": "running"})
    page = open_page(address("run_change", run.pk), with_clock=True, expects="502")
    page.route("**/live/**", lambda route: route.fulfill(status=502, body=""))
    for _ in range(4):
        page.clock.run_for(20_000)
        page.wait_for_timeout(50)
    page.locator("[data-silent]").wait_for(state="visible")
    page.unroute("**/live/**")
    finish(run)
    page.clock.run_for(2 * MINUTE)
    page.locator(".director-verdict.director-success").wait_for()
    assert page.locator("[data-silent]").is_hidden()


@in_rows
def test_an_old_page_stops_and_says_so(open_page):
    run = factories.make_run(order(), tasks={"FETCH": "running"})
    page = open_page(address("run_change", run.pk), with_clock=True)
    page.clock.fast_forward(13 * HOUR)
    page.locator("[data-stale]").wait_for(state="visible")
    asked = requests_of(page)
    page.clock.run_for(HOUR)
    assert asked == []
    page.locator("[data-stale]").get_by_role("link").click()
    page.locator("[data-live]").wait_for()
    assert page.locator("[data-stale]").is_hidden()


@in_rows
def test_the_id_of_a_run_is_copied(open_page):
    run = factories.make_run(order())
    page = open_page(address("run_change", run.pk), permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy the id").click()
    page.wait_for_function(
        "text => navigator.clipboard.readText().then((copied) => copied === text)", arg=str(run.pk)
    )
    without = open_page(address("run_change", run.pk), java_script_enabled=False)
    assert without.locator("[data-copy]").is_hidden()
