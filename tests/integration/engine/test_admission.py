"""`concurrency`: at most so many runs of one key at a time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from django_director import engine, signals
from django_director.definitions import Concurrency, Retry
from django_director.engine import stopping
from django_director.engine.attempts import finish
from django_director.engine.concurrency import admission, keys, pending_reasons
from django_director.engine.supervisor import agenda, audit, retention, timeouts
from django_director.engine.supervisor.loop import Supervisor
from django_director.exceptions import Conflict, InvalidPayload
from django_director.models import Run, Task
from django_director.status import RunStatus, Stop, TaskStatus
from tests.factories import definition, group, make_workflow, step

from . import driver

pytestmark = pytest.mark.django_db(transaction=True)

NAME = "test.FLOW"
PAST = "2026-01-01T00:00:00Z"
HOOKS = {name: (step(f"hooks.{name}", task="HOOK"),) for name in ("success", "failure", "canceled")}


@pytest.fixture(autouse=True)
def _published(published):
    return published


def define(*tasks: Any, limit: int = 1, on_conflict: Any = "queue", key: Any = None, **fields: Any) -> None:
    concurrency = Concurrency(limit=limit, key=key, on_conflict=on_conflict)
    make_workflow(definition(NAME, *tasks, concurrency=concurrency, **fields))


def start(payload: Any = None, **options: Any) -> Run:
    return engine.start(NAME, payload, **options)


def starts(number: int) -> list[Run]:
    return [start() for _ in range(number)]


def end(run: Run) -> None:
    driver.drain(run)
    assert run.is_finished


def states(*runs: Run) -> list[tuple[str, int | None]]:
    for run in runs:
        run.refresh_from_db()
    return [(run.status, run.slot) for run in runs]


RUNNING, PENDING, SUCCESS = (RunStatus.RUNNING, 0), (RunStatus.PENDING, None), (RunStatus.SUCCESS, None)


# queue


def test_one_after_the_other_the_oldest_first(published):
    define()
    first, second, third = starts(3)
    assert states(first, second, third) == [RUNNING, PENDING, PENDING]
    assert len(published) == 1
    end(first)
    assert states(first, second, third) == [SUCCESS, RUNNING, PENDING]
    assert [message.run_id for message in published if message.position == 0] == [first.pk, second.pk]
    end(second)
    end(third)
    assert states(third) == [SUCCESS]


def test_a_pending_run_has_not_begun():
    define()
    first, second = starts(2)
    assert second.started_at is None
    assert second.shown_status == "pending"
    assert driver.statuses(second) == {"A": "pending", "B": "pending"}
    end(first)
    second.refresh_from_db()
    assert second.started_at is not None
    driver.check_gates(second)


def test_as_many_as_the_limit_and_each_in_a_slot_of_its_own():
    define(limit=3)
    runs = starts(5)
    assert states(*runs) == [("running", 0), ("running", 1), ("running", 2), PENDING, PENDING]
    end(runs[1])
    assert states(*runs[2:]) == [("running", 2), ("running", 1), PENDING]


def test_each_value_of_the_key_has_its_own_slots():
    define(key="payload.order")
    a, b, c = start({"order": 1}), start({"order": 2}), start({"order": 1})
    assert states(a, b, c) == [RUNNING, RUNNING, PENDING]
    end(b)
    assert states(c) == [PENDING]
    end(a)
    assert states(c) == [RUNNING]


def test_other_workflows_have_slots_of_their_own():
    define(key="payload.order")
    other = driver.start(
        "A", name="test.OTHER", concurrency=Concurrency(key="payload.order"), payload={"order": 1}
    )
    assert states(start({"order": 1}), other) == [RUNNING, RUNNING]


def test_without_concurrency_nothing_waits():
    runs = [driver.start("A"), engine.start(NAME)]
    assert [(run.status, run.slot, run.concurrency_key, run.queued_at) for run in runs] == [
        ("running", None, None, None)
    ] * 2


def test_a_run_without_a_step_needs_no_slot():
    define(group("G"))
    assert states(*starts(2)) == [SUCCESS, SUCCESS]


def test_a_start_that_is_rolled_back_leaves_nothing_and_one_in_a_transaction_begins_after_it():
    define()
    with transaction.atomic():
        start()
        transaction.set_rollback(True)
    assert not Run.objects.exists()
    with transaction.atomic():
        run = start()
        assert run.status == RunStatus.PENDING
    assert states(run) == [RUNNING]


# The end of a run frees its slot, however it comes


def fail_fast(run: Run) -> None:
    driver.fail(run, "A")
    driver.drain(run)


def time_out(run: Run) -> None:
    Run.objects.filter(pk=run.pk).update(deadline_at=PAST)
    assert timeouts.stop_overdue_runs() == 1
    audit.close_stopped()


def lose_rows(run: Run) -> None:
    Task.objects.filter(run=run).delete()
    assert audit.audit() == 1


def cancel_by_force(run: Run) -> None:
    driver.claim(run, "A")
    engine.cancel(run, force=True)


ENDS = {
    "cancel": lambda run: engine.cancel(run),
    "force": cancel_by_force,
    "failure": fail_fast,
    "timeout": time_out,
    "lost rows": lose_rows,
}


@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("fast", [False, True], ids=["", "fail_fast"])
def test_every_end_frees_the_slot(how, fast):
    define(timeout=60, fail_fast=fast, hooks=HOOKS)
    first, second = starts(2)
    ENDS[how](first)
    assert states(first, second)[1] == RUNNING
    assert (first.is_finished, first.slot, first.queued_at, first.next_admission_at) == (True, None, None, None)


def test_hooks_hold_no_slot():
    define(hooks=HOOKS)
    first, second = starts(2)
    driver.succeed(first, "A")
    driver.succeed(first, "B")
    assert first.tasks.hooks().queued().count() == 1
    assert states(second) == [RUNNING]


def test_paused_and_canceling_runs_hold_their_slot():
    define()
    first, second = starts(2)
    engine.pause(first)
    Supervisor("one").tick()
    assert states(second) == [PENDING]
    engine.resume(first)
    claimed = driver.claim(first, "A")
    engine.cancel(first)
    assert (first.shown_status, *states(second)) == ("canceling", PENDING)
    driver.end(claimed, lambda claimed: None)
    audit.close_stopped()
    assert states(first, second) == [(RunStatus.CANCELED, None), RUNNING]


# What can be done with a pending run


def test_a_pending_run_can_be_canceled_with_its_hooks():
    define(hooks=HOOKS)
    first, second, third = starts(3)
    engine.cancel(second)
    assert states(second, third) == [(RunStatus.CANCELED, None), PENDING]
    assert [task.step for task in second.tasks.hooks()] == ["hooks.canceled"]
    end(first)
    assert states(third) == [RUNNING]


def test_a_paused_pending_run_lets_others_pass_until_it_is_resumed():
    define()
    first, second, third = starts(3)
    engine.pause(second)
    end(first)
    assert states(second, third) == [PENDING, RUNNING]
    end(third)
    engine.resume(second)
    assert states(second) == [RUNNING]


def test_the_time_limit_counts_from_the_admission():
    define(timeout=60)
    first, second = starts(2)
    assert second.deadline_at is None
    end(first)
    second.refresh_from_db()
    left = second.deadline_at - second.started_at
    assert left == timedelta(seconds=60)


def test_a_delayed_start_wants_its_slot_from_its_time_on():
    define()
    delayed = start(not_before=timezone.now() + timedelta(hours=1))
    now = start()
    assert states(delayed, now) == [PENDING, RUNNING]
    end(now)
    assert states(delayed) == [PENDING]
    Run.objects.filter(pk=delayed.pk).update(queued_at=PAST, next_admission_at=PAST)
    Supervisor("one").tick()
    assert states(delayed) == [RUNNING]


def test_a_retried_run_waits_for_a_slot_behind_the_others():
    define("A", "B")
    first, second, third = starts(3)
    driver.succeed(first, "A", 1)
    driver.fail(first, "B")
    assert states(first, second) == [(RunStatus.FAILED, None), RUNNING]
    again = engine.retry(first)
    assert (again.status, again.deadline_at) == (RunStatus.PENDING, None)
    assert driver.statuses(first) == {"A": "success", "B": "pending"}
    end(second)
    assert states(first, third) == [PENDING, RUNNING]
    end(third)
    assert states(first) == [RUNNING]
    driver.check_gates(first)
    driver.succeed(first, "B", 2)
    assert states(first) == [SUCCESS]
    assert first.result == 2


def test_a_retried_run_that_has_nothing_to_do_ends_and_hands_on():
    define("A")
    first, second = starts(2)
    claimed = driver.claim(first, "A")
    engine.cancel(first)
    driver.end(claimed, lambda claimed: 1)
    audit.close_stopped()
    assert states(first, second) == [(RunStatus.CANCELED, None), RUNNING]
    engine.retry(first)
    end(second)
    assert states(first) == [SUCCESS]


def test_a_rerun_of_a_success_and_a_skip_of_a_failure_need_a_slot_again():
    define("A", "B")
    first, second = starts(2)
    end(first)
    engine.rerun(first.tasks.get(step="B"))
    assert states(first, second) == [PENDING, RUNNING]
    driver.fail(second, "A")
    assert states(first, second) == [RUNNING, (RunStatus.FAILED, None)]
    engine.skip(second.tasks.get(step="A"))
    assert states(second) == [PENDING]
    end(first)
    assert states(second) == [RUNNING]
    driver.check_gates(second)
    end(second)
    assert (states(second), driver.statuses(second)) == ([SUCCESS], {"A": "skipped", "B": "success"})


def test_a_canceled_pending_run_can_be_retried():
    define()
    first, second = starts(2)
    engine.cancel(second)
    end(first)
    engine.retry(second)
    assert states(second) == [RUNNING]
    end(second)
    assert states(second) == [SUCCESS]


def test_a_relaunch_waits_as_any_run():
    define()
    first, second = starts(2)
    engine.cancel(first)
    again = engine.relaunch(first)
    assert states(second, again) == [RUNNING, PENDING]


def test_retention_leaves_pending_runs_alone(settings):
    settings.DIRECTOR = {"RETENTION": {"offset": 0}}
    define()
    first, second, third = starts(3)
    end(first)
    assert retention.clean() == {NAME: 1}
    assert states(second, third) == [RUNNING, PENDING]


def test_a_retry_of_a_task_needs_no_new_slot():
    define(step("A", retry=Retry(max=1, delay=5)))
    first, second = starts(2)
    claimed = driver.claim(first, "A")
    assert finish.retry_later(claimed, driver.Failure(error="ValueError: no"), 5)
    assert states(first, second) == [RUNNING, PENDING]


# skip


def test_skip_ends_it_at_once_with_the_reason_and_without_hooks():
    define(on_conflict="skip", hooks=HOOKS)
    first, second = starts(2)
    assert (second.status, second.stop, second.queued_at) == (RunStatus.CANCELED, Stop.SKIP, None)
    assert second.error == f"skipped: run {first.pk} had not ended"
    assert driver.statuses(second) == {"A": "canceled", "B": "canceled"}
    assert not second.tasks.hooks().exists()
    end(first)
    assert states(start()) == [RUNNING]


def test_skip_with_room_runs():
    define(on_conflict="skip", limit=2)
    assert states(*starts(3)) == [("running", 0), ("running", 1), (RunStatus.CANCELED, None)]


def test_a_skipped_run_is_retried_when_there_is_room():
    define(on_conflict="skip")
    first, second = starts(2)
    with pytest.raises(Conflict, match=f"can't be retried now: run {first.pk} had not ended"):
        engine.retry(second)
    end(first)
    engine.retry(second)
    assert (second.status, second.error) == (RunStatus.RUNNING, "")
    end(second)


def test_a_skipped_run_tells_that_it_has_ended():
    ended: list[Any] = []

    def receive(run: Run, **kwargs: Any) -> None:
        ended.append(run.pk)

    define(on_conflict="skip")
    signals.run_finished.connect(receive)
    try:
        _, second = starts(2)
    finally:
        signals.run_finished.disconnect(receive)
    assert ended == [second.pk]


# cancel_running


def test_cancel_running_cancels_the_older_ones_and_starts():
    define(on_conflict="cancel_running", hooks=HOOKS)
    first = start()
    second = start()
    assert states(first, second) == [(RunStatus.CANCELED, None), RUNNING]
    assert first.error == f"canceled: run {second.pk} has taken its place"
    assert [task.step for task in first.tasks.hooks()] == ["hooks.canceled"]
    assert second.error == ""


def test_cancel_running_waits_for_what_still_runs_and_the_newest_wins():
    define(on_conflict="cancel_running")
    first = start()
    claimed = driver.claim(first, "A")
    second, third = starts(2)
    assert states(second, third) == [(RunStatus.CANCELED, None), PENDING]
    driver.end(claimed, lambda claimed: None)
    audit.close_stopped()
    assert states(first, third) == [(RunStatus.CANCELED, None), RUNNING]


def test_cancel_running_cancels_nothing_while_there_is_room():
    define(on_conflict="cancel_running", limit=2)
    first, second = starts(2)
    assert states(first, second) == [("running", 0), ("running", 1)]
    third = start()
    assert states(first, second, third)[:2] == [(RunStatus.CANCELED, None)] * 2
    assert third.status == RunStatus.RUNNING


# Asked twice


def test_an_idempotency_key_gives_the_earlier_run_and_asks_for_no_key():
    define(key="payload.order")
    first = start({"order": 1}, idempotency_key="k")
    again = start({"order": 1}, idempotency_key="k")
    assert (again.pk, again.created, Run.objects.count()) == (first.pk, False, 1)


@pytest.mark.parametrize("on_conflict", ["queue", "skip", "cancel_running"])
def test_a_schedules_slot_gives_the_earlier_run(on_conflict):
    define(on_conflict=on_conflict)
    slot = {"schedule": "s", "scheduled_for": timezone.now()}
    first = start(**slot)
    again = start(**slot)
    assert (again.pk, again.created) == (first.pk, False)
    assert states(first) == [RUNNING]


# Keys


def test_a_key_that_fails_refuses_the_start():
    define(key="payload.order")
    with pytest.raises(InvalidPayload, match=r"`concurrency.key` gives no value: `payload.order`, column 8: "):
        start({})
    assert not Run.objects.exists()


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (None, ""),
        ("payload.order", "7"),
        ("run.workflow", '"test.FLOW"#'),
        ("run.trigger", '"manual"'),
        (5, "5"),
        ("payload", '{"order":7}#'),
        ("default(payload.no, null)", "null"),
    ],
)
def test_the_key_of_a_run(key, expected):
    define(key=key)
    found = start({"order": 7}).concurrency_key
    assert found == expected or (expected.endswith("#") and found.startswith(expected))


def test_values_that_are_equal_have_one_key_and_others_never():
    values = [
        "",
        "a",
        "A",
        "a ",
        "1",
        1,
        1.5,
        True,
        False,
        None,
        [],
        {},
        [1],
        {"a": 1},
        "é",
        "e",
        "x" * 500,
        "x" * 501,
    ]
    texts = [keys.text_of(value) for value in values]
    assert len({text.casefold().rstrip() for text in texts}) == len(values)
    assert max(map(len, texts)) <= 200
    assert keys.NO_KEY not in texts
    assert keys.text_of(1) == keys.text_of(1.0)
    assert keys.text_of({"a": 1, "b": [2.0]}) == keys.text_of({"b": [2], "a": 1.0})


@pytest.mark.parametrize("value", ["A", "a ", "ä", "😀" * 100, "x" * 1000, {"b": None, "a": [1.0]}, None, True])
def test_any_value_is_a_key_on_every_database(value):
    define(key="payload.key")
    a, b = start({"key": value}), start({"key": value})
    c = start({"key": "a"})
    assert states(a, b, c) == [RUNNING, PENDING, RUNNING]


def test_the_database_holds_that_no_slot_is_taken_twice():
    define()
    first, second = starts(2)
    row = Run.objects.filter(pk=second.pk)
    with pytest.raises(IntegrityError), transaction.atomic():
        row.update(status=RunStatus.RUNNING, slot=first.slot)
    with pytest.raises(IntegrityError), transaction.atomic():
        row.update(status=RunStatus.RUNNING)
    with pytest.raises(IntegrityError), transaction.atomic():
        row.update(next_admission_at=None)


# A limit that changes


def test_each_run_is_admitted_by_the_limit_of_its_own_version():
    define(limit=3)
    first, second = starts(2)
    define(limit=1)
    third = start()
    end(first)
    assert states(second, third) == [("running", 1), PENDING], "one more runs than the new limit allows"
    end(second)
    assert states(third) == [RUNNING]
    fourth = start()
    define(limit=2)
    fifth = start()
    assert states(fourth, fifth) == [PENDING, PENDING], "the oldest is first, whatever the others may"


def test_a_run_of_an_older_policy_in_front_does_not_save_a_newer_one():
    define()
    first, second = starts(2)
    define(on_conflict="skip")
    third = start()
    assert states(first, second, third) == [RUNNING, PENDING, (RunStatus.CANCELED, None)]


# A process that dies in between


def test_the_supervisor_starts_what_nobody_has_told_of(monkeypatch):
    define()
    first, second, third = starts(3)
    with monkeypatch.context() as patch:
        patch.setattr(admission, "admit_next", lambda run_id: None)
        end(first)
    assert states(second, third) == [PENDING, PENDING]
    Run.objects.filter(status=RunStatus.PENDING).update(next_admission_at=PAST)
    Supervisor("one").tick()
    assert states(second, third) == [RUNNING, PENDING]


@pytest.mark.parametrize(
    ("on_conflict", "expected"),
    [("skip", [RUNNING, (RunStatus.CANCELED, None)]), ("cancel_running", [(RunStatus.CANCELED, None), RUNNING])],
)
def test_the_supervisor_does_what_the_starter_could_not(monkeypatch, on_conflict, expected):
    define(on_conflict=on_conflict)
    first = start()
    with monkeypatch.context() as patch:
        patch.setattr(admission, "try_start", lambda run: None)
        second = start()
    assert states(first, second) == [RUNNING, PENDING]
    Run.objects.filter(pk=second.pk).update(next_admission_at=PAST)
    Supervisor("one").tick()
    assert states(first, second) == expected


def test_a_skipped_run_whose_tasks_were_not_swept_is_closed(monkeypatch):
    define(on_conflict="skip")
    first = start()
    with monkeypatch.context() as patch:
        patch.setattr(stopping, "continue_stop", lambda run_id: False)
        second = start()
    assert second.shown_status == "canceling"
    Supervisor("one").tick()
    assert states(first, second) == [RUNNING, (RunStatus.CANCELED, None)]
    assert second.error.startswith("skipped: ")
    assert set(driver.statuses(second).values()) == {TaskStatus.CANCELED}


def test_a_look_at_waiting_runs_is_put_off_and_costs_no_further_tick():
    define()
    starts(4)
    Run.objects.filter(status=RunStatus.PENDING).update(next_admission_at=PAST)
    supervisor = Supervisor("one")
    supervisor._acquire()
    supervisor.tick()
    assert not agenda.poll("supervisor").admitting
    with driver.queries(1):
        supervisor.tick()
    first, *others = Run.objects.filter(status=RunStatus.PENDING).order_by("queued_at", "pk")
    assert all(run.next_admission_at > first.next_admission_at for run in others)


def test_whoever_is_first_is_looked_at_soon():
    define()
    first, *_ = starts(4)
    Run.objects.filter(status=RunStatus.PENDING).update(next_admission_at="2100-01-01T00:00:00Z")
    end(first)
    waits = Run.objects.filter(status=RunStatus.PENDING).order_by("queued_at", "pk").first()
    assert waits.next_admission_at < timezone.now() + timedelta(seconds=60)


# What it costs


def test_a_plain_run_pays_nothing():
    make_workflow(definition(NAME, "A"))
    engine.start(NAME)
    with driver.queries(3):
        run = engine.start(NAME)
    claimed = driver.claim(run, "A")
    with driver.queries(1 if finish.finish_fast.can_pair() else 2):
        finish.finish(claimed, None)


# Why it waits


def test_a_pending_run_says_what_it_waits_for():
    define()
    first, second, third = starts(3)
    delayed = start(not_before=timezone.now() + timedelta(hours=1))
    found = pending_reasons.of_runs([first, second, third, delayed])
    assert first.pk not in found
    assert str(found[second.pk]) == f"waits for a slot, behind run {first.pk}"
    assert str(found[third.pk]) == f"waits for a slot, behind run {second.pk}"
    assert str(found[delayed.pk]).startswith("wants a slot from 20")
