"""Approvals: asked once, decided once, by a person or by the clock."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

import django_director
from django_director import engine
from django_director.db.functions import Now
from django_director.engine import stopping
from django_director.engine.attempts import finish
from django_director.engine.attempts.claim import Claim
from django_director.engine.steps import approvals, timers
from django_director.engine.supervisor import agenda, audit, leases, publishing, timeouts
from django_director.engine.supervisor.leadership import LEASE_NAME
from django_director.engine.supervisor.loop import Supervisor
from django_director.exceptions import Conflict, DirectorError
from django_director.models import Lease, Run, Task
from django_director.status import RunStatus, TaskStatus
from django_director.worker import inputs, own_steps
from tests.factories import approval, chain, definition, group, make_admin, make_user, make_workflow, step

from . import driver

pytestmark = pytest.mark.django_db
PAST = "2026-01-01T00:00:00Z"


def ask(run: Run, name: str = "OK") -> Task:
    assert own_steps.perform(driver.claim(run, name)) is own_steps.HELD
    return run.tasks.get(step=name)


def asked(*tasks: Any, **fields: Any) -> tuple[Run, Task]:
    """A run that waits for the approval OK, with what stands around it."""
    run = driver.start(*(tasks or (approval("OK"), "SHIP")), **fields)
    for task in run.tasks.queued():
        if task.step != "OK":
            driver.succeed(run, task.step, f"result of {task.step}")
    return run, ask(run)


def refused(call: Any, *args: Any, **options: Any) -> str:
    with pytest.raises(Conflict) as caught:
        call(*args, **options)
    return str(caught.value)


def received(run: Run, name: str) -> Any:
    return driver.claim(run, name).upstream


def test_the_names_of_the_package():
    assert (django_director.approve, django_director.reject) == (engine.approve, engine.reject)


def test_an_asked_approval_waits_without_a_worker():
    run, task = asked()
    assert (task.status, task.claim, task.lease_until, task.deadline_at) == (TaskStatus.WAITING, None, None, None)
    assert task.asked_at is not None
    assert task.reason == "waits for approval"
    assert task.decision is None
    assert driver.statuses(run) == {"OK": "waiting", "SHIP": "pending"}
    assert (publishing.wake(), timers.fire(), leases.expire_leases(), audit.audit()) == (0, 0, 0, 0)


def test_approved_goes_on():
    run, task = asked()
    ann = make_user("ann")
    now = engine.approve(task, user=ann, comment="fine")
    assert (now.status, now.reason, now.error) == (TaskStatus.SUCCESS, "approved by ann: fine", "")
    assert now.decision | {"at": None} == {"approved": True, "by": "ann", "comment": "fine", "at": None}
    assert abs((datetime.fromisoformat(now.decision["at"]) - now.finished_at).total_seconds()) < 60
    assert (now.decided_by, now.asked_at) == (ann, None)
    assert driver.drain(run) == 1
    assert run.status == RunStatus.SUCCESS


def test_rejected_is_failed_with_the_reason():
    run, task = asked(approval("OK"), "SHIP", step("SORRY", trigger_rule="any_failed"))
    now = engine.reject(task, user=make_user("bob"), comment="too expensive")
    assert now.status == TaskStatus.FAILED
    assert now.error == "Rejected by bob: too expensive"
    assert now.reason == "rejected by bob: too expensive"
    assert now.decision["approved"] is False
    driver.drain(run)
    assert driver.statuses(run) == {"OK": "failed", "SHIP": "upstream_failed", "SORRY": "success"}
    assert (run.status, run.error) == (RunStatus.FAILED, "OK: Rejected by bob: too expensive")


def test_without_a_user_nobody_is_named():
    _, task = asked()
    assert engine.reject(task).error == "Rejected"
    assert Task.objects.get(pk=task.pk).decision["by"] is None


def test_a_comment_is_kept_whole_and_without_what_no_database_takes():
    _, task = asked()
    comment = "a\0\ud800" + "x" * 997
    with pytest.raises(DirectorError, match="the comment has 1,001 characters; 1,000 are possible"):
        engine.reject(task, comment=f"{comment}x")
    task = engine.reject(task, comment=f" {comment}\n")
    assert task.decision["comment"] == "a\N{REPLACEMENT CHARACTER}?" + "x" * 997
    assert task.reason.endswith("x" * 997)


# Who is first


def test_who_comes_second_hears_who_has_decided():
    run, task = asked()
    engine.approve(task, user=make_user("ann"), comment="fine")
    assert refused(engine.reject, task, user=make_user("bob")) == (
        f"“OK” of run {run.pk} can't be rejected: it was approved by ann"
    )
    assert Task.objects.get(pk=task.pk).decision["by"] == "ann"


def test_what_can_not_be_decided():
    run = driver.start("A", approval("OK"))
    task = run.tasks.get(step="OK")
    text = f"“OK” of run {run.pk} can't be approved: "
    assert refused(engine.approve, task) == text + "nobody was asked yet, its status is pending"
    assert refused(engine.approve, run.tasks.get(step="A")) == (
        f"“A” of run {run.pk} can't be approved: it is no approval"
    )
    driver.succeed(run, "A")
    claimed = driver.claim(run, "OK")
    assert refused(engine.approve, task) == text + "nobody was asked yet, its status is running"
    own_steps.perform(claimed)
    Run.objects.update(stop="cancel")
    assert refused(engine.approve, task) == text + "its run is canceling"
    stopping.continue_stop(run.pk)
    assert refused(engine.approve, task) == text + "its status is canceled"
    Run.objects.all().delete()
    assert refused(engine.approve, task) == f"task {task.pk} is not there any more"


def test_check_waits_refuses_as_a_decision_would():
    run, task = asked()
    engine.check_waits(task)
    engine.approve(task)
    assert refused(engine.check_waits, task) == (f"“OK” of run {run.pk} can't be decided: it was approved")


# Time


@pytest.mark.parametrize(
    ("on_timeout", "status", "approved", "reason"),
    [
        ("reject", "failed", False, "rejected: nobody has decided within 3600 s"),
        ("approve", "success", True, "approved: nobody has decided within 3600 s"),
        ("skip", "skipped", None, "skipped: nobody has decided within 3600 s"),
    ],
)
def test_the_timeout_decides(on_timeout, status, approved, reason):
    ok = approval("OK", timeout=3600, on_timeout=on_timeout)
    run, task = asked(ok, step("SHIP", trigger_rule="always"))
    assert 3500 < (task.deadline_at - task.asked_at).total_seconds() < 3700
    assert timers.fire() == 0
    Task.objects.update(deadline_at=PAST)
    assert timers.fire() == 1
    task.refresh_from_db()
    assert (task.status, task.reason) == (status, reason)
    assert task.error == ("Rejected: nobody has decided within 3600 s" if status == "failed" else "")
    assert task.decision | {"at": None} == {"approved": approved, "by": None, "comment": "", "at": None}
    assert task.decision["at"] is not None
    assert (task.deadline_at, task.asked_at) == (None, None)
    assert refused(engine.approve, task).endswith(f"can't be approved: it was {reason}")
    driver.drain(run)
    assert run.status == (RunStatus.FAILED if status == "failed" else RunStatus.SUCCESS)


def test_the_timeout_counts_from_the_asking():
    run = driver.start("A", approval("OK", timeout=60))
    assert run.tasks.get(step="OK").deadline_at is None
    driver.succeed(run, "A")
    claimed = driver.claim(run, "OK")
    assert Task.objects.get(step="OK").deadline_at is None
    own_steps.perform(claimed)
    assert Task.objects.get(step="OK").deadline_at is not None


def test_the_supervisor_sees_a_timeout_in_its_one_look():
    run, _ = asked(approval("OK", timeout=60), "SHIP")
    Lease.objects.create(name=LEASE_NAME, holder="one", until=Now(), beat_at=Now())
    assert not agenda.poll(LEASE_NAME).firing
    Task.objects.waiting().update(deadline_at=PAST)
    with CaptureQueriesContext(connection) as captured:
        assert agenda.poll(LEASE_NAME).firing
    assert len(captured) == 1
    assert Supervisor("one").tick().fired == 1
    assert driver.statuses(run)["OK"] == "failed"


def test_an_idle_tick_with_somebody_asked_is_one_query():
    asked(approval("OK", timeout=60), "SHIP")
    Lease.objects.create(name=LEASE_NAME, holder="one", until=Now(), beat_at=Now())
    supervisor = Supervisor("one")
    supervisor.tick()
    with CaptureQueriesContext(connection) as captured:
        assert not supervisor.tick()
    assert len(captured) == 1, captured.captured_queries


# Conditions and what follows


def test_when_and_rules_are_judged_before_anybody_is_asked():
    run = driver.start("A", approval("OK", when="payload.amount > 1000"), "SHIP", payload={"amount": 5})
    driver.drain(run)
    assert driver.statuses(run) == {"A": "success", "OK": "skipped", "SHIP": "success"}
    assert run.tasks.get(step="OK").decision is None
    run = driver.start("A", approval("OK"), name="test.RULES")
    driver.fail(run, "A")
    assert driver.statuses(run)["OK"] == "upstream_failed"


def test_what_it_received_is_passed_on():
    run, task = asked("PRICE", approval("OK"), "SHIP")
    engine.approve(task)
    assert received(run, "SHIP") == "result of PRICE"


def test_several_needs_are_passed_on_in_the_order_written():
    run, task = asked("A", step("B", needs=()), approval("OK", needs=("B", "A")), "SHIP")
    engine.approve(task)
    assert received(run, "SHIP") == ["result of B", "result of A"]


def test_what_it_received_is_passed_on_though_it_did_not_run():
    run = driver.start("PRICE", approval("OK", when=False), "SHIP")
    driver.succeed(run, "PRICE", 7)
    driver.end(driver.claim(run, "OK"), lambda claimed: None)
    assert received(run, "SHIP") == 7


def test_as_the_last_entry_it_gives_the_result_of_the_run():
    run, task = asked("PRICE", approval("OK"))
    engine.approve(task)
    run.refresh_from_db()
    assert (run.status, run.result) == (RunStatus.SUCCESS, "result of PRICE")


def test_in_a_group_it_passes_on_what_the_group_received():
    run, task = asked("A", group("G", "B", approval("OK")), "SHIP")
    driver.succeed(run, "B", 2)
    engine.approve(task)
    assert received(run, "SHIP") == [2, "result of A"]


def test_in_a_container_with_a_condition():
    run = driver.start("A", chain("C", approval("OK"), when="payload.yes"), "SHIP", payload={"yes": True})
    driver.succeed(run, "A", 1)
    driver.end(driver.claim(run, "C"), lambda claimed: None)
    engine.approve(ask(run))
    assert received(run, "SHIP") == 1


def test_the_decision_in_expressions():
    decided = {"by": "${{ tasks.OK.decision.by }}", "comment": "said: ${{ tasks.OK.decision.comment }}"}
    late = step("SHIP", when="tasks.OK.decision.approved", kwargs=decided)
    seen = step("SEEN", when='tasks.OK.status == "success"', kwargs={"got": "${{ tasks.OK.result }}"})
    run, task = asked("A", approval("OK"), late, seen, result="tasks.OK.decision.by")
    now = engine.approve(task, user=make_user("ann"), comment="fine")
    claimed = driver.claim(run, "SHIP")
    assert claimed.names["tasks"]["OK"]["decision"] == now.decision
    assert given(claimed) == {"by": "ann", "comment": "said: fine"}
    assert finish.finish(claimed, None)
    assert given(driver.claim(run, "SEEN")) == {"got": "result of A"}
    Task.objects.running().update(lease_until=PAST)
    leases.expire_leases()
    driver.drain(run)
    assert run.result == "ann"


def test_the_decision_of_an_approval_that_nobody_was_asked_for():
    late = step("SHIP", kwargs={"all": "${{ tasks.OK.decision }}"})
    run = driver.start(approval("OK", when=False), late)
    driver.end(driver.claim(run, "OK"), lambda claimed: None)
    assert given(driver.claim(run, "SHIP")) == {"all": {"approved": None, "by": None, "comment": "", "at": None}}


def given(claimed: Claim) -> dict[str, Any]:
    return inputs.evaluate_with(claimed)


# The run around it


def test_retry_asks_again():
    run, task = asked("A", approval("OK", timeout=60), "SHIP")
    ann = make_user("ann")
    engine.reject(task, user=ann, comment="no")
    run.refresh_from_db()
    engine.retry(run)
    task.refresh_from_db()
    assert (task.status, task.decision, task.decided_by, task.asked_at) == ("queued", None, None, None)
    assert (task.deadline_at, task.reason, task.error) == (None, "", "")
    assert task.attempts.get().error == "Rejected by ann: no"
    assert run.tasks.get(step="A").status == TaskStatus.SUCCESS
    assert refused(engine.approve, task).endswith("nobody was asked yet, its status is queued")
    engine.approve(ask(run))
    assert driver.drain(run) == 1
    assert run.status == RunStatus.SUCCESS


def test_a_decision_of_before_the_retry_is_not_taken_for_one_of_after():
    run, task = asked()
    stale = approvals_row(task)
    engine.reject(task)
    run.refresh_from_db()
    engine.retry(run)
    ask(run)
    with pytest.MonkeyPatch.context() as patch:
        rows = iter([stale, approvals_row(task)])
        patch.setattr(engine.approvals, "_read", lambda task: next(rows))
        assert "can't be approved" in refused(engine.approve, task)
    assert driver.statuses(run)["OK"] == "waiting"


def approvals_row(task: Task) -> Any:
    return engine.approvals._read(task)


def test_cancel_ends_the_asking(django_capture_on_commit_callbacks):
    run, task = asked(approval("OK", timeout=60), "SHIP")
    with django_capture_on_commit_callbacks(execute=True):
        engine.cancel(run)
    task.refresh_from_db()
    run.refresh_from_db()
    assert (task.status, task.reason, task.asked_at) == (TaskStatus.CANCELED, "canceled", None)
    assert (task.deadline_at, run.status) == (None, RunStatus.CANCELED)
    engine.retry(run)
    assert driver.statuses(run)["OK"] == "queued"


def test_an_approval_asked_while_its_run_is_canceled_is_swept(django_capture_on_commit_callbacks):
    run = driver.start(approval("OK"), "SHIP")
    claimed = driver.claim(run, "OK")
    with django_capture_on_commit_callbacks(execute=True):
        engine.cancel(run)
    own_steps.perform(claimed)
    assert driver.statuses(run)["OK"] == "waiting"
    assert audit.close_stopped() == 1
    assert driver.statuses(run)["OK"] == "canceled"


def test_the_clock_does_not_decide_in_a_stopped_run():
    run, _ = asked(approval("OK", timeout=60, on_timeout="approve"), "SHIP")
    Run.objects.update(stop="cancel")
    Task.objects.waiting().update(deadline_at=PAST)
    assert timers.fire() == 0
    assert driver.statuses(run)["OK"] == "waiting"


def test_fail_fast_ends_the_asking_and_spares_what_is_spared():
    tasks = ("A", approval("OK", needs=()), approval("ANYWAY", needs=(), trigger_rule="always"))
    run = driver.start(*tasks, fail_fast=True)
    ask(run)
    ask(run, "ANYWAY")
    driver.fail(run, "A")
    assert refused(engine.approve, run.tasks.get(step="OK")).endswith("its run is running")
    stopping.continue_stop(run.pk)
    assert driver.statuses(run) == {"A": "failed", "OK": "canceled", "ANYWAY": "waiting"}
    engine.approve(run.tasks.get(step="ANYWAY"))
    stopping.continue_stop(run.pk)
    run.refresh_from_db()
    assert (run.status, run.error) == (RunStatus.FAILED, "A: ValueError: no")


def test_a_rejection_is_a_failure_for_fail_fast(django_capture_on_commit_callbacks):
    run = driver.start(group("G", approval("OK"), chain("C", "A", "B")), fail_fast=True)
    task = ask(run)
    with django_capture_on_commit_callbacks(execute=True):
        engine.reject(task)
    assert driver.statuses(run) == {"OK": "failed", "A": "canceled", "B": "canceled"}


def test_the_runs_timeout_ends_the_asking():
    _, task = asked(approval("OK"), "SHIP", timeout=60)
    Run.objects.update(deadline_at=PAST)
    timeouts.stop_overdue_runs()
    assert refused(engine.approve, task).endswith("its run is canceling")
    assert audit.close_stopped() == 1
    task.refresh_from_db()
    assert (task.status, task.reason) == (TaskStatus.CANCELED, "the run's time was up")


def test_approvals_go_on_in_a_paused_run_and_what_follows_is_held():
    run, task = asked()
    engine.pause(run)
    assert engine.approve(task).status == TaskStatus.SUCCESS
    assert driver.statuses(run) == {"OK": "success", "SHIP": "queued"}
    assert driver.claims.claim(driver.ticket(run.tasks.get(step="SHIP")), "tests") is None
    run, _ = asked(approval("OK", timeout=60), "SHIP", name="test.LATE")
    engine.pause(run)
    Task.objects.waiting().update(deadline_at=PAST)
    assert timers.fire() == 1


def test_nobody_is_asked_in_a_paused_run():
    run = driver.start(approval("OK"))
    engine.pause(run)
    assert driver.claims.claim(driver.ticket(run.tasks.get(step="OK")), "tests") is None


def test_a_delayed_start_is_no_asking():
    make_workflow(definition("test.LATER", approval("OK")))
    run = engine.start("test.LATER", not_before=timezone.now())
    task = run.tasks.get()
    assert task.status == TaskStatus.WAITING
    assert refused(engine.approve, task).endswith("nobody was asked yet, its status is waiting")
    assert not Task.objects.asked().exists()
    assert publishing.wake() == 1
    engine.approve(ask(run))


def test_a_worker_that_dies_before_it_has_asked():
    run = driver.start(approval("OK"), "SHIP")
    lost = driver.claim(run, "OK")
    Task.objects.running().update(lease_until=PAST)
    assert leases.expire_leases() == 1
    ask(run)
    assert not approvals.ask(lost, None)
    engine.approve(run.tasks.get(step="OK"))
    assert driver.statuses(run)["OK"] == "success"


# Cost


def test_what_it_costs():
    run = driver.start(approval("OK"), "SHIP")
    claimed = driver.claim(run, "OK")
    with driver.queries(1):
        own_steps.perform(claimed)
    task = run.tasks.get(step="OK")
    # Read, end, queue what follows, read again.
    with driver.queries(4):
        engine.approve(task)


def test_deleting_who_has_decided_keeps_the_decision():
    _, task = asked()
    ann = make_admin("ann")
    engine.approve(task, user=ann)
    ann.delete()
    task.refresh_from_db()
    assert (task.decided_by, task.decision["by"]) == (None, "ann")
