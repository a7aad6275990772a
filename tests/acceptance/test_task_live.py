"""The page of a task in a real browser, while a worker runs the task; and that of a map under a strict policy."""

import contextlib

import pytest
from django.test import Client

from tests import factories
from tests.integration.admin.pages import address
from tests.integration.admin.test_map_page import make_map

from .browser import server

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]


@pytest.mark.worker
def test_log_lines_and_progress_of_a_task_are_seen_while_it_runs(browser, site, tmp_path):
    site.worker(queues="celery")
    site.define("live.COUNT", factories.step("COUNT", task="UNTIL_FILE"))
    go = tmp_path / "go"
    client = Client()
    client.force_login(factories.make_admin("watcher"))
    with server() as url, contextlib.closing(browser.new_context()) as context:
        context.add_cookies([{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": url}])
        run = site.start("live.COUNT", {"go": str(go)})
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.goto(url + address("task_change", run.tasks.get().pk))
        page.evaluate("window.untouched = true")
        page.get_by_text("1 of 2", exact=True).wait_for()
        page.locator("#logs pre", has_text="half of the shelves are counted").wait_for()
        assert page.locator(".director-verdict.director-running").count() == 1
        go.touch()
        page.locator(".director-verdict.director-success").wait_for()
        page.locator("#result", has_text="all shelves").wait_for()
        assert page.evaluate("window.untouched")
    site.check()


@pytest.mark.django_db(transaction=True)
def test_the_last_log_lines_stay_in_sight_unless_the_reader_looks_at_earlier_ones(open_page):
    task = factories.make_run(tasks={"A": "running"}).tasks.get(step="A")
    lines = "".join(f"line {number}\n" for number in range(200))
    log = task.logs.create(sequence=0, attempt=1, text=lines)
    page = open_page(address("task_change", task.pk), with_clock=True)
    block = page.locator("#logs pre")
    gap = "each => each.scrollHeight - each.scrollTop - each.clientHeight"

    def write(text):
        log.text, log.writes = log.text + text, log.writes + 1
        log.save()
        page.clock.run_for(2_500)
        page.locator("#logs pre", has_text=text.strip()).wait_for()

    assert block.evaluate(gap) < 20
    write("a new line\n")
    assert block.evaluate(gap) < 20
    block.evaluate("each => { each.scrollTop = 0 }")
    page.wait_for_function("document.querySelector('#logs pre').scrollTop === 0")
    page.wait_for_timeout(100)
    write("a newer line\n")
    assert block.evaluate("each => each.scrollTop") == 0


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1400, "dark")])
def test_a_cell_of_a_map_leads_to_its_item_and_that_to_the_next_failed(width, scheme, open_page):
    task = make_map([*["success"] * 5, "failed", *["success"] * 5, "failed", "pending"])
    page = open_page(
        address("task_change", task.pk), viewport={"width": width, "height": 800}, color_scheme=scheme
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.get_by_role("link", name="item 5: failed").click()
    page.wait_for_url("**/change/")
    page.get_by_role("link", name="next failed").click()
    page.get_by_text("item 11 of 0 to 12").wait_for()
