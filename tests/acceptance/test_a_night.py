"""One night at the admin, with a real browser, server and worker: start, watch, find out why, repair, approve."""

import contextlib

import pytest

from tests import factories
from tests.integration.admin.pages import address

from .browser import server

pytestmark = [pytest.mark.browser, pytest.mark.worker, pytest.mark.timeout(240)]

OVERVIEW = "/admin/django_director/"
SCHEMA = {
    "type": "object",
    "properties": {"go": {"type": "string"}, "file": {"type": "string"}},
    "required": ["go", "file"],
}


def sign_in(page, url, name):
    page.goto(url + OVERVIEW)
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill("night")
    page.get_by_role("button", name="Log in").click()


def start(page, url, workflow, go, file):
    """Run the workflow by its form, at first with a field left empty; end at the page of the run."""
    page.goto(url + address("workflow_change", workflow.pk))
    page.get_by_role("link", name="Run…").click()
    page.get_by_label("file (required)").fill(str(file))
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_role("alert").get_by_text("go").first.wait_for()
    page.get_by_label("go (required)").fill(str(go))
    page.get_by_role("button", name="Run", exact=True).click()
    page.wait_for_url("**/change/")


def watch(page, status):
    """Wait until the run has this status; the page must not have been loaded anew meanwhile."""
    page.locator(f".director-verdict.director-{status}").wait_for()
    assert page.evaluate("window.untouched")


def test_a_run_is_started_watched_repaired_approved_and_run_again(browser, site, tmp_path):
    site.worker(queues="celery")
    sign = factories.approval("SIGN", prompt="Deliver these prices?", needs=("LOAD",))
    count, load = factories.step("COUNT", task="UNTIL_FILE"), factories.step("LOAD", task="READ_FILE")
    workflow = factories.make_workflow(factories.definition("night.PRICES", count, load, sign, schema=SCHEMA))
    user = factories.make_admin("night")
    user.set_password("night")
    user.save()
    go, file = tmp_path / "go", tmp_path / "prices"
    with server() as url, contextlib.closing(browser.new_context()) as context:
        page = context.new_page()
        page.set_default_timeout(30_000)
        sign_in(page, url, "night")

        start(page, url, workflow, go, file)
        run = workflow.runs.get()
        page.evaluate("window.untouched = true")
        page.get_by_text("1/2 half of the shelves", exact=True).wait_for()
        go.touch()
        watch(page, "failed")

        why = page.locator(".director-failure")
        assert "FileNotFoundError" in why.inner_text()
        assert "read_text()" in why.inner_text(), "the own line of code"
        why.get_by_role("link", name="LOAD").first.click()
        page.wait_for_url(f"**{address('task_change', run.tasks.get(step='LOAD').pk)}")
        assert "FileNotFoundError" in page.locator(".director-verdict").inner_text()

        file.write_text("7")
        page.goto(url + address("run_change", run.pk))
        page.get_by_role("button", name="Retry failed…").click()
        page.get_by_role("button", name="Retry failed", exact=True).click()
        page.wait_for_url(f"**{address('run_change', run.pk)}")
        page.evaluate("window.untouched = true")
        page.get_by_text("Deliver these prices?").first.wait_for()
        assert page.evaluate("window.untouched")

        page.goto(url + OVERVIEW)
        page.get_by_text("Decide…").click()
        page.get_by_role("button", name="Approve").click()
        page.wait_for_url(f"**{OVERVIEW}")
        run.wait(30)
        assert run.status == "success"

        page.goto(url + address("run_change", run.pk))
        page.get_by_role("button", name="Relaunch with changes…").click()
        page.get_by_label("go (required)").fill(str(tmp_path / "never"))
        page.get_by_role("button", name="Relaunch", exact=True).click()
        page.wait_for_url("**/change/")
        again = workflow.runs.exclude(pk=run.pk).get()
        assert page.url.endswith(address("run_change", again.pk))
        page.evaluate("window.untouched = true")
        page.get_by_text("1/2 half of the shelves", exact=True).wait_for()
        page.get_by_role("button", name="Cancel…").click()
        page.get_by_role("button", name="Cancel", exact=True).click()
        page.wait_for_url(f"**{address('run_change', again.pk)}")
        page.evaluate("window.untouched = true")
        (tmp_path / "never").touch()
        watch(page, "canceled")
    site.runs += [run, again]
    site.check()
