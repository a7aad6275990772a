import pytest
from django.utils import timezone

from django_director.models import Run
from django_director.status import TaskStatus
from tests import factories
from tests.integration.admin.pages import address, order

pytestmark = pytest.mark.django_db


def look(client, run, tag=None, **parameters):
    headers = {"If-None-Match": tag} if tag else {}
    return client.get(address("run_live", run.pk), parameters, headers=headers)


def test_it_tells_everything_that_can_change(operator):
    run = factories.make_run(order(), tasks={"FETCH": "success", "STOCK": "running"})
    data = look(operator, run).json()
    assert (data["status"], data["finished"], data["total"], data["is_live"]) == ("running", 1, 4, True)
    assert data["buttons"] == ["cancel", "pause"]
    assert [box[0] for box in data["boxes"]] == ["success", "running", "pending", "pending"]
    assert [row["status"] for row in data["rows"]] == ["success", "running", "pending", "pending"]
    assert data["counts"] == {"running": "1", "pending": "2", "success": "1"}
    assert data["rows"][1]["since"] == int(run.tasks.get(step="STOCK").started_at.timestamp())


def test_nothing_is_sent_twice(viewer):
    run = factories.make_run(order(), tasks={"FETCH": "running"})
    first = look(viewer, run)
    again = look(viewer, run, first["ETag"])
    assert (again.status_code, again.content) == (304, b"")
    run.tasks.filter(step="FETCH").update(
        status=TaskStatus.SUCCESS, finished_at=timezone.now(), lease_until=None, claim=None
    )
    changed = look(viewer, run, first["ETag"])
    assert changed.status_code == 200
    assert changed.json()["boxes"][0][0] == "success"
    assert changed["ETag"] != first["ETag"]


def test_it_stops_at_the_outcome(viewer):
    run = factories.make_run(order(), tasks=dict.fromkeys(("FETCH", "STOCK", "PRICE", "SHIP"), "success"))
    assert look(viewer, run).json()["is_live"]
    Run.objects.filter(pk=run.pk).update(status="success", finished_at=timezone.now())
    assert not look(viewer, run).json()["is_live"]


def test_it_goes_on_while_a_hook_runs(viewer):
    workflow = order(hooks={"failure": (factories.step("PAGE"),)})
    run = factories.make_run(workflow, "failed", dict.fromkeys(("FETCH", "STOCK", "PRICE", "SHIP"), "failed"))
    hook = factories.make_task(run, 4, "running")
    assert look(viewer, run).json()["is_live"]
    hook.delete()
    assert not look(viewer, run).json()["is_live"]


def test_only_the_rows_of_the_page_are_sent(viewer):
    names = [f"t{number}" for number in range(250)]
    workflow = factories.make_workflow(factories.definition("a.B", factories.group("G", *names)))
    run = factories.make_run(workflow, tasks={"t7": "failed"})
    assert len(look(viewer, run).json()["rows"]) == 200
    assert len(look(viewer, run, page="2").json()["rows"]) == 50
    assert len(look(viewer, run, status="failed").json()["rows"]) == 1


def test_it_is_read_only_and_not_for_strangers(viewer, client):
    run = factories.make_run(order())
    assert viewer.post(address("run_live", run.pk)).status_code == 405
    assert look(client, run).status_code == 302
    assert viewer.get(address("run_live", "01a207d5-24ac-784a-9cc1-6b3fe7000000")).status_code == 404
