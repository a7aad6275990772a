"""In which queue a task waits, since when, and who could take it, on the admin's pages and in the API."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_director import engine
from django_director.db.functions import Now
from django_director.models import Worker
from tests import factories
from tests.factories import step
from tests.integration.admin.pages import address, text

pytestmark = pytest.mark.django_db


@pytest.fixture
def run():
    described = factories.definition(
        "shop.ORDER", step("PACK", task="NOOP", queue="heavy"), step("SHIP", task="NOOP")
    )
    factories.make_workflow(described)
    return engine.start("shop.ORDER")


@pytest.fixture
def task(run):
    return run.tasks.get(step="PACK")


def place(task):
    return f"in queue “heavy” since {task.queued_at:%Y-%m-%d %H:%M:%S}"


def queries(client, url):
    with CaptureQueriesContext(
        connection,
    ) as asked:
        assert client.get(url).status_code == 200
    return len(asked)


def test_the_page_of_a_run_and_its_live_state(viewer, run, task):
    assert place(task) in text(viewer.get(address("run_change", run.pk)))
    assert f'<bdi data-field="error">{place(task)}</bdi>' in text(viewer.get(address("run_live", run.pk)))


def test_the_list_of_tasks(viewer, task):
    assert place(task) in text(viewer.get(address("task_changelist")))


def test_the_page_of_a_task(viewer, task):
    page = text(viewer.get(address("task_change", task.pk)))
    assert "<dt>Queue</dt><dd><bdi>heavy</bdi></dd>" in page
    assert f"<dt>Queued</dt><dd><bdi>{task.queued_at:%Y-%m-%d %H:%M:%S}</bdi></dd>" in page
    assert "Waits in queue “heavy”, which no worker serves: start one: celery -A … worker -Q heavy" in page
    Worker.objects.create(key=1, name="w1@host", started_at=Now(), seen_at=Now(), queues=["heavy"])
    assert "Waits for a worker in the queue heavy" in text(viewer.get(address("task_change", task.pk)))


def test_a_queue_that_celery_chooses(viewer, run, task):
    other = run.tasks.get(step="SHIP")
    run.tasks.filter(pk=other.pk).update(status="queued", queued_at=Now(), next_dispatch_at=Now())
    page = text(viewer.get(address("task_change", other.pk)))
    assert "<dt>Queue</dt><dd><bdi>celery</bdi></dd>" in page
    assert "in queue “celery” since" in text(viewer.get(address("run_change", run.pk)))


def test_a_paused_run_waits_in_no_queue(viewer, run, task):
    engine.pause(run)
    for page in (address("run_change", run.pk), address("task_changelist"), address("task_change", task.pk)):
        shown = text(viewer.get(page))
        assert "held back while the run is paused" in shown
        assert "in queue `" not in shown


def test_what_an_earlier_attempt_said_stays(operator, run, task):
    run.tasks.filter(pk=task.pk).update(error="ValueError: no")
    assert f"{place(task)}; ValueError: no" in text(operator.get(address("run_change", run.pk)))


def test_queries_do_not_grow(viewer, run):
    pages = [address("run_change", run.pk), address("task_changelist")]
    before = [queries(viewer, page) for page in pages]
    run.tasks.update(status="queued", queued_at=Now(), next_dispatch_at=Now())
    assert [queries(viewer, page) for page in pages] == before


def test_the_api(client_of, run, task):
    api = client_of("view_run", "view_task", name="bob")
    shown = api.get(f"/director/api/tasks/{task.pk}/").json()
    assert (shown["queue"], shown["queued_at"][:19]) == ("heavy", f"{task.queued_at:%Y-%m-%dT%H:%M:%S}")
    run.tasks.filter(step="SHIP").update(status="queued", queued_at=Now(), next_dispatch_at=Now())
    listed = api.get(f"/director/api/runs/{run.pk}/tasks/").json()["results"]
    assert [found["queue"] for found in listed] == ["heavy", "celery"]
