"""Cancel, retry, relaunch, and the audit of runs that a hand has broken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.db.models.signals import pre_save

from django_director import engine
from django_director.engine import stopping
from django_director.engine.attempts import claim as claims
from django_director.engine.attempts import finish
from django_director.engine.supervisor import audit
from django_director.exceptions import Conflict, InactiveWorkflow
from django_director.models import Gate, Run, Task, Workflow
from django_director.status import RunStatus, Stop, TaskStatus
from tests.factories import approval, chain, child, definition, group, make_workflow, step

from . import driver

pytestmark = pytest.mark.django_db


def test_cancel_settles_what_has_not_started(django_capture_on_commit_callbacks):
    run = driver.start("A", group("G", "X", "Y"), "Z")
    driver.succeed(run, "A")
    running = driver.claim(run, "X")
    with django_capture_on_commit_callbacks(execute=True):
        engine.cancel(run, user=get_user_model().objects.create(username="eva"))
    assert run.shown_status == "canceling"
    assert driver.statuses(run) == {"A": "success", "X": "running", "Y": "canceled", "Z": "canceled"}
    assert run.tasks.get(step="Y").reason == "canceled by eva"
    assert finish.finish(running, 1)
    assert audit.close_stopped() == 1
    run.refresh_from_db()
    assert run.status == RunStatus.CANCELED
    assert run.finished_at is not None


def test_a_retry_with_nothing_left_to_do_succeeds_at_once():
    """Canceled while its last task ran, which then succeeded. Found by the chaos run."""
    run = driver.start("A", hooks={"success": (step("HOOK"),)})
    last = driver.claim(run, "A")
    engine.cancel(run)
    assert finish.finish(last, 1)
    assert audit.close_stopped() == 1
    run.refresh_from_db()
    assert run.status == RunStatus.CANCELED
    assert engine.retry(run).status == RunStatus.SUCCESS
    assert (run.generation, run.stop, run.result) == (1, Stop.NONE, 1)
    assert run.tasks.hooks().count() == 1
    assert audit.audit() == 0


def test_nothing_starts_after_a_cancel():
    run = driver.start("A", "B")
    ticket = driver.ticket(run.tasks.get(step="A"))
    Run.objects.update(stop=Stop.CANCEL)
    assert claims.claim(ticket, "tests") is None


def test_a_successor_queued_during_the_sweep_is_swept_later():
    run = driver.start("A", "B")
    claimed = driver.claim(run, "A")
    Run.objects.update(stop=Stop.CANCEL)
    assert finish.finish(claimed, 1)
    assert run.tasks.get(step="B").status == TaskStatus.QUEUED
    assert audit.close_stopped() == 1
    assert driver.statuses(run) == {"A": "success", "B": "canceled"}


def test_the_last_finish_against_a_cancel():
    run = driver.start("A")
    claimed = driver.claim(run, "A")
    assert finish.finish(claimed, 1)
    with pytest.raises(Conflict, match="success"):
        engine.cancel(run)
    other = driver.start("A", name="test.OTHER")
    claimed = driver.claim(other, "A")
    Run.objects.filter(pk=other.pk).update(stop=Stop.CANCEL)
    assert finish.finish(claimed, 1)
    other.refresh_from_db()
    assert other.status == RunStatus.RUNNING
    assert stopping.close_if_idle(other.pk)
    other.refresh_from_db()
    assert other.status == RunStatus.CANCELED


def test_cancel_twice_is_a_conflict():
    run = driver.start("A")
    engine.cancel(run)
    with pytest.raises(Conflict, match="canceling"):
        engine.cancel(run)


def test_force_fences_what_runs(django_capture_on_commit_callbacks):
    run = driver.start("A", "B")
    claimed = driver.claim(run, "A")
    with django_capture_on_commit_callbacks(execute=True):
        engine.cancel(run, force=True)
    assert not finish.finish(claimed, 1)
    run.refresh_from_db()
    assert run.status == RunStatus.CANCELED
    assert driver.statuses(run) == {"A": "canceled", "B": "canceled"}


def _failing(run: Run, *steps: str) -> None:
    def body(claimed):
        if claimed.node.step.id in steps:
            raise ValueError("broken")
        return claimed.node.step.id

    driver.drain(run, body)


def test_retry_runs_the_failed_and_all_downstream_and_keeps_the_rest():
    run = driver.start("A", group("G", chain("C", "X1", "X2"), "Y"), "Z")
    _failing(run, "X1")
    preview = engine.preview_retry(run)
    assert [again.step for again in preview.again] == ["X1", "X2", "Z"]
    assert preview.kept == 2
    engine.retry(run)
    assert run.status == RunStatus.RUNNING
    assert run.generation == 1
    assert driver.statuses(run) == {
        "A": "success",
        "X1": "queued",
        "X2": "pending",
        "Y": "success",
        "Z": "pending",
    }
    driver.check_gates(run)
    ran = []
    driver.drain(run, lambda claimed: ran.append(claimed.node.step.id) or claimed.upstream)
    assert ran == ["X1", "X2", "Z"]
    assert run.status == RunStatus.SUCCESS
    assert run.error == ""
    assert run.tasks.get(step="X1").attempts.get().error == "ValueError: broken"


@pytest.mark.parametrize("force", [False, True])
def test_a_stop_that_is_carried_out_late_leaves_a_run_alone_that_was_taken_up_again(force: bool):
    run = driver.start("A", group("G", "X", "Y"))
    canceled = Run.objects.stopping().filter(pk=run.pk)
    engine.cancel(run)
    assert stopping.continue_stop(run.pk)
    engine.retry(run)
    driver.claim(run, "A")
    before = driver.statuses(run)
    stopping.sweep(canceled, run.pk)
    stopping.stop_children(canceled, run.pk, "canceled", force=force)
    assert not stopping.continue_stop(run.pk)
    assert driver.statuses(run) == before == {"A": "running", "X": "pending", "Y": "pending"}
    run.refresh_from_db()
    assert run.status == RunStatus.RUNNING


@pytest.mark.fault(20)
def test_a_message_from_before_the_retry_is_dropped():
    run = driver.start("A", "B")
    old = driver.ticket(run.tasks.get(step="A"))
    _failing(run, "A")
    engine.retry(run)
    assert claims.claim(old, "tests") is None
    driver.drain(run)
    assert run.status == RunStatus.SUCCESS


def test_retry_of_a_canceled_run(django_capture_on_commit_callbacks):
    run = driver.start("A", group("G", "X", "Y"), "Z")
    driver.succeed(run, "A")
    with django_capture_on_commit_callbacks(execute=True):
        engine.cancel(run)
    run.refresh_from_db()
    assert run.status == RunStatus.CANCELED
    engine.retry(run)
    assert run.stop == Stop.NONE
    assert driver.drain(run) == 3
    assert run.status == RunStatus.SUCCESS


def test_retry_is_refused_where_it_makes_no_sense():
    run = driver.start("A")
    with pytest.raises(Conflict, match="running"):
        engine.retry(run)
    driver.drain(run)
    with pytest.raises(Conflict, match="success"):
        engine.retry(run)


def test_hooks_run_again_with_each_outcome():
    from django_director.definitions import TaskStep

    run = driver.start("A", hooks={"failure": (TaskStep(id="hooks.failure", task="PAGE"),)})
    for _ in range(2):
        driver.fail(run, "A")
        run.refresh_from_db()
        assert run.status == RunStatus.FAILED
        engine.retry(run)
    assert sorted(run.tasks.hooks().values_list("generation", flat=True)) == [0, 1]


def test_relaunch_is_a_new_run():
    run = driver.start("A", payload={"order": 1})
    driver.drain(run)
    again = engine.relaunch(run)
    assert again.pk != run.pk
    assert (again.payload, again.trigger, again.relaunched_from_id) == ({"order": 1}, "relaunch", run.pk)
    assert engine.relaunch(run, {"order": 2}).payload == {"order": 2}


def test_relaunch_with_the_same_or_the_current_version():
    run = driver.start("A")
    make_workflow(definition("test.FLOW", "A", "B"))
    run = Run.objects.get(pk=run.pk)
    assert engine.relaunch(run, version="same").tasks.count() == 1
    assert engine.relaunch(run, version="current").tasks.count() == 2


def test_a_workflow_that_left_the_files_is_not_relaunched():
    run = driver.start("A")
    Workflow.objects.update(is_active=False)
    with pytest.raises(InactiveWorkflow):
        engine.relaunch(run)


@pytest.mark.fault(24)
def test_a_run_goes_on_with_its_own_version():
    run = driver.start("A", "B")
    make_workflow(definition("test.FLOW", "C"))
    assert driver.drain(run) == 2
    assert driver.statuses(run) == {"A": "success", "B": "success"}


def test_the_audit_mends_a_run_that_lost_its_gate():
    run = driver.start(group("G", "X", "Y"), "Z")
    driver.succeed(run, "X", 1)
    driver.succeed(run, "Y", 2)
    Task.objects.filter(run=run, step="Z").update(status=TaskStatus.PENDING)
    Gate.objects.filter(run=run).delete()
    assert audit.audit() == 1
    driver.check_gates(run)
    driver.drain(run, lambda claimed: claimed.upstream)
    assert run.result == [1, 2]


@pytest.mark.parametrize("deleted", [["A"], ["A", "B"]], ids=["some", "all"])
def test_the_audit_ends_a_run_whose_tasks_were_deleted(deleted):
    run = driver.start("A", "B")
    run.tasks.filter(step__in=deleted).delete()
    assert audit.audit() == 1
    run.refresh_from_db()
    assert run.status == RunStatus.FAILED
    assert audit.audit() == 0


def test_the_audit_leaves_healthy_runs_alone():
    run = driver.start("A", "B")
    assert audit.audit() == 0
    driver.claim(run, "A")
    assert audit.audit() == 0


def _with_child(*, is_paused: bool = False) -> Run:
    make_workflow(definition("test.BELOW", "X"))
    run = driver.start(child("C", "test.BELOW"), name="test.ABOVE")
    driver.drain(run)
    return engine.pause(run) if is_paused else run


def _waiting_for_approval() -> Task:
    run = driver.start(approval("OK"), "B")
    driver.drain(run)
    return run.tasks.get(step="OK")


def _failed() -> Run:
    run = driver.start("A", "B")
    driver.fail(run, "A")
    return run


def _is_child_paused() -> bool:
    return Run.objects.get(parent_task__isnull=False).paused_at is not None


BEGUN: dict[str, tuple[Callable[[], Any], Callable[[list[Any]], bool]]] = {
    "start": (lambda: make_workflow(definition("test.NEW", "A")), bool),
    "relaunch": (_failed, bool),
    "cancel": (_with_child, lambda _: not Run.objects.active().exists()),
    "pause": (_with_child, lambda _: _is_child_paused()),
    "resume": (lambda: _with_child(is_paused=True), lambda _: not _is_child_paused()),
    "retry": (_failed, bool),
    "rerun": (lambda: _failed().tasks.get(step="A"), bool),
    "skip": (lambda: _failed().tasks.get(step="A"), bool),
    "approve": (_waiting_for_approval, bool),
}
"""By operation: what it is done to, and whether what follows has been done, given the messages sent since."""


@pytest.mark.parametrize("verb", BEGUN)
@pytest.mark.django_db(transaction=True)
def test_what_follows_does_not_wait_for_the_line_in_the_history(published, verb):
    prepare, has_begun = BEGUN[verb]
    subject = prepare()
    eva = get_user_model().objects.create(username="eva")
    published.clear()
    seen = []

    def look(**_: Any) -> None:
        seen.append(has_begun(published))

    pre_save.connect(look, sender=LogEntry)
    try:
        getattr(engine, verb)(subject, user=eva)
    finally:
        pre_save.disconnect(look, sender=LogEntry)
    assert set(seen) == {True}
