"""Cancel with “End running tasks too”, and Cancel by force for a run that is being canceled."""

from datetime import timedelta

import pytest
from django.utils import timezone

from django_director.models import Run, Worker
from tests import factories
from tests.integration.admin.pages import Page, address, messages, order, shown_buttons, text
from tests.integration.admin.test_operations import choose, history

pytestmark = pytest.mark.django_db(transaction=True)

BOX = 'name="force"'


def running_run(workflow=None, *, stop="", worker="shop1@vm", steps=("SHIP",), **fields):
    """A run whose ``steps`` are running on ``worker``; the other steps have succeeded."""
    workflow = workflow or order()
    statuses = dict.fromkeys(("FETCH", "STOCK", "PRICE", "SHIP"), "success")
    run = factories.make_run(workflow, "running", statuses | dict.fromkeys(steps, "running"), stop=stop, **fields)
    run.tasks.running().update(worker=worker)
    return run


def worker(name="shop1@vm", seconds=0.0):
    """A worker that gave its last sign of life so many seconds ago."""
    seen = timezone.now() - timedelta(seconds=seconds)
    return Worker.objects.create(key=len(name), name=name, started_at=seen, seen_at=seen)


def run_page(client, run, **parameters):
    return client.get(address("run_change", run.pk), parameters)


def headline(response):
    return response.context["state"].headline


def test_the_box_ends_running_tasks_too(operator):
    run = running_run()
    shown = text(operator.get(address("run_cancel", run.pk)))
    assert not Page(shown).forbidden
    assert f'type="checkbox" id="director-force" {BOX}' in shown
    assert "End running tasks too" in shown
    page = operator.post(address("run_cancel", run.pk), {"force": "on"}, follow=True)
    assert messages(page) == ["1 run is canceled by force: what still ran is given up."]
    run.refresh_from_db()
    assert (run.status, run.tasks.get(step="SHIP").status) == ("canceled", "canceled")
    assert history(run) == [("olga", "Canceled (admin)")]


def test_without_the_box_running_tasks_may_end(operator):
    run = running_run()
    operator.post(address("run_cancel", run.pk))
    run.refresh_from_db()
    assert (run.shown_status, run.tasks.get(step="SHIP").status) == ("canceling", "running")


@pytest.mark.parametrize("name", ["pause", "relaunch"])
def test_no_other_operation_has_the_box(operator, name):
    run = running_run() if name == "pause" else factories.make_run(order(), "failed")
    assert BOX not in text(operator.get(address(f"run_{name}", run.pk)))
    operator.post(address(f"run_{name}", run.pk), {"force": "on"})
    assert not run.tasks.canceled().exists()


def test_a_run_that_is_being_canceled_offers_force(operator, viewer):
    run = running_run(stop="cancel")
    assert shown_buttons(run_page(operator, run)) == {"cancel_by_force"}
    assert shown_buttons(run_page(viewer, run)) == set()
    shown = text(operator.get(address("run_cancel_by_force", run.pk)))
    assert "1 task is running: its worker is told to kill it, and what it returns is discarded." in shown
    assert BOX not in shown
    page = operator.post(address("run_cancel_by_force", run.pk), follow=True)
    assert page.redirect_chain[-1][0] == address("run_change", run.pk)
    run.refresh_from_db()
    assert run.status == "canceled"


def test_force_asks_for_the_permission_of_cancel(viewer, client_of):
    run = running_run(stop="cancel")
    strict = client_of("view_run", "cancel_run", name="bob", enforce_csrf_checks=True)
    for client in (viewer, strict):
        assert client.post(address("run_cancel_by_force", run.pk)).status_code == 403
    assert viewer.get(address("run_cancel_by_force", run.pk)).status_code == 403
    assert strict.get(address("run_cancel_by_force", run.pk)).status_code == 200
    assert run.tasks.running().exists()


@pytest.mark.parametrize("status", ["running", "canceled"])
def test_whoever_comes_late_with_force_is_told_and_does_nothing(operator, status):
    """Meanwhile the run may have ended, and somebody may have retried it: what works now was never canceled."""
    run = running_run() if status == "running" else factories.make_run(order(), "canceled", stop="cancel")
    assert 'type="submit"' not in text(operator.get(address("run_cancel_by_force", run.pk))).split("<form")[-1]
    page = operator.post(address("run_cancel_by_force", run.pk), follow=True)
    assert [message.level_tag for message in page.context["messages"]] == ["warning"]
    run.refresh_from_db()
    assert (run.status, history(run)) == (status, [])


def test_two_people_cancel_one_run(operator):
    run = running_run(stop="cancel")
    shown = text(operator.get(address("run_cancel", run.pk)))
    assert "It is being canceled already" in shown
    assert BOX not in shown
    page = operator.post(address("run_cancel", run.pk), follow=True)
    assert [message.level_tag for message in page.context["messages"]] == ["warning"]
    assert history(run) == []


def test_many_runs_with_the_box(operator):
    workflow = order()
    runs = [running_run(workflow) for _ in range(2)]
    preview = choose(operator, "cancel_runs", *runs)
    assert BOX in text(preview)
    assert BOX not in text(choose(operator, "relaunch_runs", factories.make_run(workflow, "failed")))
    given = {"run": preview.context["ids"], "force": "on"}
    said = messages(operator.post(address("run_many_cancel"), given, follow=True))
    assert said == ["2 runs are canceled by force: what still ran is given up."]
    assert {Run.objects.get(pk=run.pk).status for run in runs} == {"canceled"}


def test_the_headline_says_what_a_canceled_run_waits_for(operator, client_of):
    worker()
    run = running_run(stop="cancel")
    page = run_page(operator, run)
    assert headline(page) == "Is being canceled: waits for SHIP to end on shop1@vm"
    assert "running since <time " in text(page)
    assert headline(run_page(client_of("view_run", name="bob"), run)) == "Is being canceled"


def test_the_headline_says_that_the_worker_is_silent(operator):
    worker(seconds=3_600)
    run = running_run(stop="cancel")
    assert headline(run_page(operator, run)) == (
        "Is being canceled: waits for SHIP to end on shop1@vm, which gives no sign of life"
    )


def test_the_page_learns_that_the_worker_has_become_silent(operator):
    alive = worker()
    run = running_run(stop="cancel")
    tag = operator.get(address("run_live", run.pk)).headers["ETag"]
    asked = {"headers": {"If-None-Match": tag}}
    assert operator.get(address("run_live", run.pk), **asked).status_code == 304
    Worker.objects.filter(pk=alive.pk).update(seen_at=timezone.now() - timedelta(seconds=3_600))
    assert operator.get(address("run_live", run.pk), **asked).status_code == 200


def test_the_headline_of_several_tasks_on_several_workers(operator):
    worker()
    run = running_run(stop="cancel", steps=("STOCK", "PRICE"))
    run.tasks.filter(step="PRICE").update(worker="shop2@vm")
    assert headline(run_page(operator, run)) == (
        "Is being canceled: waits for STOCK, PRICE to end; no sign of life from shop2@vm"
    )


def test_the_headline_of_a_run_that_waits_for_a_child_run(operator):
    factories.make_workflow(factories.definition("shop.INNER", "A"))
    workflow = factories.make_workflow(factories.definition("shop.OUTER", factories.child("CALL", "shop.INNER")))
    run = factories.make_run(workflow, "running", {"CALL": "waiting"}, stop="cancel", error="a newer run")
    run.tasks.update(child_run=run.pk)
    assert headline(run_page(operator, run)) == (
        "Is being canceled: a newer run; waits for the child run of CALL to end"
    )
