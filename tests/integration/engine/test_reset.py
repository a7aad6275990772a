"""Rerun and skip: one reset with retry. What runs again, what is kept, and who is refused."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import OperationalError
from django.db.models import F

from django_director import engine
from django_director.engine.attempts import claim as claims
from django_director.engine.reset import apply
from django_director.engine.reset.previews import SHOWN
from django_director.engine.supervisor import audit
from django_director.exceptions import Conflict
from django_director.models import Attempt, Run, Task
from django_director.status import RunStatus, Stop, TaskStatus
from tests.factories import chain, definition, group, make_workflow, step

from . import driver

pytestmark = pytest.mark.django_db


def task(run: Run, name: str) -> Task:
    return run.tasks.select_related("run__version").get(step=name)


def ran(*tasks: Any, failing: str = "", **fields: Any) -> Run:
    """A run that has ended; the steps named in ``failing`` have failed."""
    run = driver.start(*tasks, **fields)
    drain(run, failing)
    return run


def drain(run: Run, failing: str = "") -> list[str]:
    order: list[str] = []

    def body(claimed: Any) -> str:
        order.append(claimed.node.step.id)
        if claimed.node.step.id in failing.split():
            raise ValueError("broken")
        return f"{claimed.node.step.id} got {claimed.upstream}"

    driver.drain(run, body)
    return order


# Rerun


def test_a_rerun_runs_the_task_and_all_downstream_again_and_keeps_the_rest():
    run = ran("A", group("G", chain("C", "X1", "X2"), "Y"), "Z")
    assert run.status == RunStatus.SUCCESS
    kept = list(run.tasks.filter(step__in="AY").values())
    again = engine.rerun(task(run, "X1"))
    assert (again.status, again.sequence, again.run.status, again.run.generation) == (
        "queued",
        65537,
        "running",
        1,
    )
    assert driver.statuses(run) == {
        "A": "success",
        "X1": "queued",
        "Y": "success",
        "X2": "pending",
        "Z": "pending",
    }
    driver.check_gates(Run.objects.get(pk=run.pk))
    assert drain(run) == ["X1", "X2", "Z"]
    assert run.status == RunStatus.SUCCESS
    assert list(run.tasks.filter(step__in="AY").values()) == kept


def test_a_replaced_success_is_kept_as_an_attempt_and_makes_a_new_key():
    run = ran("A", "B", failing="B")
    driver.check_gates(run)
    first = dict(run.tasks.values_list("step", "attempt"))
    engine.rerun(task(run, "A"))
    assert {row.step: row.reruns for row in run.tasks.all()} == {"A": 1, "B": 0}
    found = {row.task.step: row for row in Attempt.objects.select_related("task")}
    assert {name: (row.outcome, row.number, row.generation) for name, row in found.items()} == {
        "A": ("replaced", first["A"], 0),
        "B": ("failed", first["B"], 0),
    }
    assert found["A"].worker == "tests"
    assert found["A"].started_at <= found["A"].finished_at
    assert "broken" in found["B"].error


def test_a_task_that_never_ran_leaves_no_attempt():
    run = ran("A", "B", failing="A")
    engine.rerun(task(run, "A"))
    assert list(Attempt.objects.values_list("task__step", flat=True)) == ["A"]


def test_budgets_begin_anew():
    run = driver.start("A")
    Task.objects.update(failures=2, crashes=1)
    driver.drain(run)
    assert run.tasks.get().attempt == 4
    again = engine.rerun(task(run, "A"))
    assert (again.attempt, again.failures, again.crashes) == (0, 0, 0)
    assert driver.claim(run, "A").attempt == 1


def test_a_rerun_of_one_failed_task_leaves_the_others_failed():
    run = ran(group("G", "A", "B"), "Z", failing="A B")
    engine.rerun(task(run, "A"))
    assert drain(run) == ["A"]
    assert driver.statuses(run) == {"A": "success", "B": "failed", "Z": "upstream_failed"}
    assert (run.status, run.error) == (RunStatus.FAILED, "B: ValueError: broken")


def test_what_a_cancel_has_left_counts_as_failed_after_a_rerun():
    run = driver.start(group("G", "A", "B"))
    driver.succeed(run, "A")
    engine.cancel(run, user=get_user_model().objects.create(username="eva"))
    audit.close_stopped()
    Task.objects.canceled().update(reason="canceled by eva")
    run.refresh_from_db()
    assert run.status == RunStatus.CANCELED
    engine.rerun(task(run, "A"))
    drain(run)
    assert (run.status, run.error) == (RunStatus.FAILED, "B: canceled by eva")
    engine.retry(run)
    assert drain(run) == ["B"]
    assert run.status == RunStatus.SUCCESS


def test_rules_and_conditions_are_judged_anew():
    run = ran("A", step("ALARM", trigger_rule="any_failed"), step("B", needs=("A",)), failing="A")
    assert driver.statuses(run) == {"A": "failed", "ALARM": "success", "B": "upstream_failed"}
    engine.rerun(task(run, "A"))
    drain(run)
    assert driver.statuses(run) == {"A": "success", "ALARM": "skipped", "B": "success"}


def test_a_head_is_rerun_with_all_that_is_inside():
    run = ran("A", group("G", "X", "Y", when="payload.on"), "Z", payload={"on": False})
    assert driver.statuses(run) == {"A": "success", "G": "skipped", "X": "skipped", "Y": "skipped", "Z": "success"}
    Run.objects.update(payload={"on": True})
    engine.rerun(task(run, "G"))
    assert drain(run) == ["X", "Y", "Z"]
    assert driver.statuses(run) == {"A": "success", "G": "success", "X": "success", "Y": "success", "Z": "success"}


def test_a_run_that_has_failed_fast_goes_on():
    run = driver.start(group("G", "A", "B"), step("Z", trigger_rule="always"), fail_fast=True)
    driver.fail(run, "A")
    drain(run)
    assert driver.statuses(run) == {"A": "failed", "B": "canceled", "Z": "success"}
    engine.rerun(task(run, "A"))
    assert drain(run) == ["A", "Z"]
    assert (run.status, run.stop, run.error) == (
        RunStatus.FAILED,
        Stop.NONE,
        "B: fail_fast: another step has failed",
    )


def test_hooks_follow_each_outcome():
    run = ran("A", hooks={"success": (step("hooks.success"),)})
    drain(run)
    engine.rerun(task(run, "A"))
    drain(run)
    assert list(run.tasks.hooks().values_list("generation", "status")) == [(0, "success"), (1, "success")]


def test_a_run_of_a_changed_workflow_is_taken_up_with_its_own_version():
    run = ran("A", "B", failing="B")
    make_workflow(definition("test.FLOW", "A", "C"))
    run = Run.objects.get(pk=run.pk)
    engine.rerun(task(run, "A"))
    assert drain(run, "B") == ["A", "B"]
    engine.retry(run)
    assert drain(run) == ["B"]
    assert (run.status, run.version.number) == (RunStatus.SUCCESS, 1)


@pytest.mark.fault(20)
def test_a_message_from_before_the_rerun_is_dropped():
    run = driver.start("A", "B")
    old = driver.ticket(task(run, "A"))
    driver.drain(run)
    engine.rerun(task(run, "A"))
    assert claims.claim(old, "tests") is None
    assert drain(run) == ["A", "B"]


def test_the_time_out_of_the_run_begins_anew():
    run = ran("A", timeout=60)
    Run.objects.update(deadline_at="2026-01-01T00:00:00Z")
    again = engine.rerun(task(run, "A"))
    assert again.run.deadline_at is not None
    assert again.run.deadline_at > again.queued_at


# Skip


def test_a_skip_lets_what_is_downstream_run_without_the_task():
    run = ran("A", "B", step("C", trigger_rule="all_success"), step("D", needs=("B",)), failing="B")
    assert run.status == RunStatus.FAILED
    eva = get_user_model().objects.create(username="eva")
    skipped = engine.skip(task(run, "B"), user=eva, comment="done by hand")
    assert (skipped.status, skipped.reason, skipped.error) == ("skipped", "skipped by eva: done by hand", "")
    assert skipped.attempts.get().error == "ValueError: broken"
    assert driver.statuses(run) == {"A": "success", "B": "skipped", "C": "skipped", "D": "queued"}
    assert drain(run) == ["D"]
    assert run.status == RunStatus.SUCCESS
    assert run.tasks.get(step="D").result == "D got None"


def test_a_skip_of_the_last_task_ends_the_run_at_once():
    run = ran("A", "B", failing="B", hooks={"success": (step("hooks.success"),)})
    skipped = engine.skip(task(run, "B"))
    assert (skipped.run.status, skipped.run.error, skipped.reason) == (RunStatus.SUCCESS, "", "skipped")
    assert run.tasks.hooks().get().generation == 1
    driver.check_gates(skipped.run)


def test_a_canceled_task_can_be_skipped(django_capture_on_commit_callbacks):
    run = driver.start("A", "B", "C")
    driver.succeed(run, "A")
    with django_capture_on_commit_callbacks(execute=True):
        engine.cancel(run)
    engine.skip(task(run, "B"))
    assert drain(run) == ["C"]
    assert run.status == RunStatus.SUCCESS


def test_a_skipped_head_skips_all_inside():
    run = ran("A", group("G", "X", "Y", when="payload.none"), "Z")
    assert driver.statuses(run)["G"] == "failed"
    engine.skip(task(run, "G"))
    assert drain(run) == ["Z"]
    assert driver.statuses(run) == {"A": "success", "G": "skipped", "X": "skipped", "Y": "skipped", "Z": "success"}
    assert run.status == RunStatus.SUCCESS


def test_what_a_skip_made_run_again_has_a_new_key():
    run = ran("A", step("Z", trigger_rule="always"), failing="A")
    engine.skip(task(run, "A"))
    assert {row.step: row.reruns for row in run.tasks.all()} == {"A": 0, "Z": 1}


# Who is refused

REFUSED = [
    ("rerun", "A", "running", "the run is running; wait for its outcome, or cancel it"),
    ("skip", "A", "running", "the run is running; wait for its outcome, or cancel it"),
    ("skip", "A", "ended", "its status is success; only failed and canceled tasks can"),
    ("skip", "C", "ended", "its status is upstream_failed; only failed and canceled tasks can"),
    (
        "rerun",
        "C",
        "ended",
        "it would be upstream_failed again, as long as “B” is failed; rerun that, or retry the run",
    ),
    (
        "rerun",
        "hooks.failure",
        "ended",
        "it is a hook, and each outcome of the run starts its hooks anew",
    ),
    ("rerun", "A", "deleted", None),
]


@pytest.mark.parametrize(("verb", "name", "state", "why"), REFUSED)
def test_who_is_refused_is_told_why(verb, name, state, why):
    run = driver.start("A", "B", "C", hooks={"failure": (step("hooks.failure"),)})
    if state != "running":
        drain(run, "B")
    if state == "deleted":
        Run.objects.update(stop=Stop.DELETE)
    chosen = task(run, name)
    before = list(Task.objects.order_by("pk").values())
    for deed in (getattr(engine, verb), getattr(engine, f"preview_{verb}")):
        with pytest.raises(Conflict) as caught:
            deed(chosen)
        done = {"rerun": "rerun", "skip": "skipped"}[verb]
        assert str(caught.value) == (
            f"task “{name}” of run {run.pk} can't be {done}: {why}"
            if why
            else f"run {run.pk} can't be {done}: it is being deleted"
        )
    assert list(Task.objects.order_by("pk").values()) == before


def test_a_member_of_a_skipped_container_is_not_rerun_alone():
    run = ran("A", group("G", "X", "Y", when=False))
    with pytest.raises(Conflict, match="it would be skipped again, as long as “G” is skipped"):
        engine.rerun(task(run, "X"))


def test_many_reasons_are_counted():
    names = [f"S{number}" for number in range(6)]
    run = ran(group("G", *names), "Z", failing=" ".join(names))
    with pytest.raises(Conflict, match=r"“S0” is failed, “S1” is failed, “S2” is failed and 3 more; rerun"):
        engine.rerun(task(run, "Z"))


def test_of_two_who_have_looked_one_is_refused():
    run = ran("A", "B", failing="B")
    plan = apply.plans.of_skip(task(run, "B"))
    engine.rerun(task(run, "A"))
    drain(run, "B")
    with pytest.raises(Conflict, match="can't be skipped: somebody else has just changed it"):
        apply._reset(plan)
    assert driver.statuses(run) == {"A": "success", "B": "failed"}


# Previews


def test_a_preview_says_what_runs_again_and_what_is_kept():
    run = ran(group("G", "A", "B"), chain("C", "X", "Y"), step("W", needs=("A",)), failing="B X")
    preview = engine.preview_rerun(task(run, "A"))
    assert [row.step for row in preview.again] == ["A", "W"]
    assert [(row.step, row.status) for row in preview.stays] == [("B", "failed")]
    # X waits for B too.
    assert (preview.runs, preview.kept, preview.idle, preview.broken) == (2, 1, 2, 1)
    assert preview.skipped is None
    preview = engine.preview_skip(task(run, "B"))
    assert preview.skipped is not None
    assert (preview.skipped.step, preview.skipped.status) == ("B", "failed")
    assert [row.step for row in preview.again] == ["X", "Y"]
    assert (preview.runs, preview.kept, preview.idle, preview.broken) == (2, 2, 0, 0)
    assert run.generation == 0


def test_a_preview_is_bounded():
    run = ran("A", group("G", *[f"S{number}" for number in range(2 * SHOWN)]), failing="A")
    preview = engine.preview_rerun(task(run, "A"))
    assert (len(preview.again), preview.runs) == (SHOWN, 2 * SHOWN + 1)


# Its statements


@pytest.mark.parametrize("members", [3, 300])
def test_a_rerun_costs_the_same_whatever_the_size(members):
    run = ran("A", group("G", *[f"S{number}" for number in range(members)]), "Z")
    chosen = task(run, "A")
    with driver.queries(10):
        engine.rerun(chosen)


def test_a_reset_of_scattered_tasks():
    """Each range in a statement of its own kind would be too much for SQLite, and slow elsewhere."""
    run = driver.start(group("G", *[f"S{number}" for number in range(7_000)]), "Z")
    now = run.created_at
    run.tasks.exclude(step="Z").update(
        status=TaskStatus.SUCCESS, attempt=1, finished_at=now, started_at=now, next_dispatch_at=None
    )
    run.tasks.annotate(rest=F("position") % 7).filter(rest__gt=0, position__lt=7_000).update(status="failed")
    run.tasks.filter(step="Z").update(status=TaskStatus.UPSTREAM_FAILED, finished_at=now)
    Run.objects.update(status=RunStatus.FAILED, finished_at=now)
    with driver.queries(11):
        engine.retry(run)
    assert Counter(run.tasks.values_list("status", flat=True)) == {"queued": 6_000, "success": 1_000, "pending": 1}
    assert Attempt.objects.count() == 6_000
    driver.check_gates(run)


@pytest.mark.fault(32)
def test_a_lost_answer_of_the_commit_is_recognised(monkeypatch):
    """The commit went through, its answer did not; the second try must see that it is its own."""
    run = ran("A", "B")
    real, tries = apply.apply_plan, []

    def unlucky(*args: Any) -> None:
        real(*args)
        tries.append(args)
        if len(tries) == 1:
            raise OperationalError("server closed the connection unexpectedly")

    def persevere(work: Any, **_: Any) -> Any:
        try:
            return work()
        except OperationalError:
            return work()

    monkeypatch.setattr(apply, "apply_plan", unlucky)
    monkeypatch.setattr(apply, "transact", persevere)
    again = engine.rerun(task(run, "A"))
    assert (len(tries), again.status, again.run.generation) == (2, TaskStatus.QUEUED, 1)
    assert drain(run) == ["A", "B"]
