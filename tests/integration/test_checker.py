"""The checker finds each violation that is planted, and nothing in a run that went well."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from django_director.definitions import Concurrency
from django_director.engine import parking
from django_director.models import Gate, Run, Task
from django_director.status import TaskStatus
from tests.acceptance import checker
from tests.acceptance.queues import Queues
from tests.factories import definition, group, make_run, make_workflow, step

from .engine import driver

pytestmark = pytest.mark.django_db

CLAIM = {"what": "claim", "task": "t", "sequence": 1, "claim": 5, "status": "running"}
END = {"what": "end", "task": "t", "sequence": 1, "status": "success"}
OUTCOME = {"what": "outcome", "run": "r", "generation": 0, "status": "success"}
RECORD = "[2026-11-24 13:00:00,000: {}/MainProcess] {}\n"
SAYS = "put off for {} s, while the queue takes {} s, published 0 times again"
TRACEBACK = 'Traceback (most recent call last):\n  File "django_director/worker/leases.py"\nValueError: planted\n'


@pytest.fixture
def run() -> Run:
    """A run of a join that ended well."""
    run = driver.start("A", group("G", "B", "C"), "D")
    driver.drain(run)
    return run


def test_too_many_runs_of_a_key_are_found():
    limited = make_workflow(definition("test.LIMITED", "A", concurrency=Concurrency(limit=2)))
    times = [datetime(2026, 1, 1, hour, tzinfo=UTC) for hour in range(4)]
    spans = [(0, 2), (1, 3), (2, 3)]
    for start, end in spans:
        make_run(limited, "success", concurrency_key="", started_at=times[start], finished_at=times[end])
    assert not letters(checker.concurrency(Run.objects.all()))
    make_run(limited, "running", concurrency_key="", slot=0, started_at=times[2])
    (found,) = checker.concurrency(Run.objects.all())
    assert (found.rule, found.what.rpartition(", ")[2]) == ("j", "the limit is 2")


def letters(*found: Any) -> set[str]:
    return {violation.rule for each in found for violation in each}


def what(found: list[checker.Violation]) -> list[str]:
    return [violation.what for violation in found]


def all_rules(run: Run) -> set[str]:
    run.refresh_from_db()
    return letters(checker.outcome(run), checker.statuses(run), checker.order(run), checker.gates(run))


def history_of(run: Run) -> list[dict[str, Any]]:
    tasks = [str(task.pk) for task in run.tasks.order_by("position")]
    return [
        {"task": task, "sequence": 1, "claim": number, **line}
        for number, task in enumerate(tasks)
        for line in (
            {"what": "claim", "before": "queued", "status": "running"},
            {"what": "end", "before": "running", "status": "success"},
        )
    ]


def test_a_good_run_has_no_violation(run: Run):
    history = history_of(run)
    assert not all_rules(run)
    assert not letters(
        checker.commits(history),
        checker.claims(history),
        checker.history_order(run, history),
        checker.transitions(history),
        checker.wasted(history, Counter(line["task"] for line in history if line["what"] == "claim")),
        Queues(timezone.now() - timedelta(hours=1)).look(),
        checker.slots([run]),
    )
    checker.check_run(run)


def test_a_no_outcome(run: Run):
    Run.objects.filter(pk=run.pk).update(status="running", finished_at=None)
    assert all_rules(run) == {"a"}
    with pytest.raises(AssertionError, match=r"\(a\) run .* no outcome: running"):
        checker.check_run(run)


def test_a_too_late(run: Run):
    Run.objects.filter(pk=run.pk).update(finished_at=run.started_at + timedelta(seconds=31))
    run.refresh_from_db()
    assert letters(checker.outcome(run, within=30)) == {"a"}
    assert not letters(checker.outcome(run, within=32))


@pytest.mark.parametrize("status", ["success", "failed"])
def test_a_an_outcome_that_its_tasks_do_not_mean(run: Run, status: str):
    Run.objects.filter(pk=run.pk).update(status=status)
    Task.objects.filter(run=run).update(status="success" if status == "failed" else "failed")
    assert "a" in all_rules(run)


def test_a_a_task_left_behind(run: Run):
    run.tasks.filter(step="D").update(status="waiting", finished_at=None)
    assert "a" in all_rules(run)


def test_b_two_results_of_one_generation():
    assert letters(checker.commits([END, END | {"sequence": 2}])) == {"b"}
    assert not letters(checker.commits([END, END | {"sequence": 65537}])), "another generation"


def test_b_two_outcomes_of_one_generation():
    assert letters(checker.commits([OUTCOME, OUTCOME])) == {"b"}
    assert not letters(checker.commits([OUTCOME, OUTCOME | {"generation": 1}]))


def test_b_a_transition_that_does_not_exist():
    assert letters(checker.transitions([END | {"before": "running"}, END | {"status": "failed"}])) == {"b"}
    assert letters(checker.transitions([END | {"before": "pending"}])) == {"b"}


def test_c_one_message_claimed_twice():
    assert letters(checker.claims([CLAIM, CLAIM | {"claim": 6}])) == {"c"}
    assert not letters(checker.claims([CLAIM, CLAIM])), "one claim that was told twice"
    assert not letters(checker.claims([CLAIM, CLAIM | {"claim": 6, "sequence": 2}]))


def test_d_a_successor_that_starts_too_early(run: Run):
    early = run.tasks.get(step="C").finished_at - timedelta(milliseconds=1)
    run.tasks.filter(step="D").update(started_at=early)
    (found,) = checker.order(run)
    assert (found.rule, "step D" in found.where) == ("d", True)


def test_d_a_successor_of_what_has_not_ended(run: Run):
    run.tasks.filter(step="B").update(status=TaskStatus.PENDING, finished_at=None)
    assert "d" in letters(checker.order(run))


def test_d_a_claim_in_the_history_that_the_rows_forgot(run: Run):
    history = history_of(run)
    late = history[0:2]
    (found,) = list(checker.history_order(run, [*history[2:4], *late, *history[4:]]))
    assert (found.rule, "step B" in found.where) == ("d", True)


def after(run: Run, **statuses: str) -> list[dict[str, Any]]:
    """A history in which tasks ended like this, and then the last of them was claimed."""
    tasks = {task.step: str(task.pk) for task in run.tasks.all()}
    lines = [
        {"what": "end", "task": tasks[name], "sequence": 1, "claim": 1, "status": status}
        for name, status in statuses.items()
    ]
    return [*lines[:-1], lines[-1] | {"what": "claim", "status": "running"}]


@pytest.mark.parametrize(
    ("rule", "before", "holds"),
    [
        ("none_failed", "success", True),
        ("none_failed", "skipped", True),
        ("none_failed", "failed", False),
        ("all_success", "skipped", False),
        ("any_failed", "failed", True),
        ("any_failed", "success", False),
        ("always", "failed", True),
        ("always", "running", False),
    ],
)
def test_d_a_claim_although_its_rule_does_not_hold(rule: str, before: str, holds: bool):
    run = driver.start("A", step("B", trigger_rule=rule), name="test.RULE")
    found = list(checker.history_order(run, after(run, A=before, B="running")))
    assert [violation.rule for violation in found] == ([] if holds else ["d"])


def test_d_a_claim_after_a_reset_counts_what_was_reset(run: Run):
    history = [*history_of(run), *after(run, A="pending", B="running")]
    (found,) = checker.history_order(run, history)
    assert "before positions [0] had ended" in found.what


def test_b_a_key_that_is_not_the_successes_that_were_replaced(run: Run):
    again = [{"what": "move", "task": str(run.tasks.get(step="A").pk), "before": "success", "status": "pending"}]
    assert letters(checker.keys(run, history_of(run))) == set()
    assert letters(checker.keys(run, [*history_of(run), *again])) == {"b"}
    run.tasks.filter(step="A").update(reruns=1)
    assert letters(checker.keys(run, history_of(run))) == {"b"}
    assert letters(checker.keys(run, [*history_of(run), *again])) == set()


@pytest.mark.parametrize("field", ["remaining", "failed"])
def test_e_a_gate_that_is_not_what_the_rows_say(run: Run, field: str):
    gate = Gate.objects.filter(run=run).first()
    assert gate is not None
    Gate.objects.filter(pk=gate.pk).update(**{field: 1})
    assert all_rules(run) == {"e"}


def test_e_a_gate_that_is_missing(run: Run):
    Gate.objects.filter(run=run).delete()
    assert all_rules(run) == {"e"}


def test_f_an_execution_without_a_claim():
    assert letters(checker.wasted([CLAIM, END], Counter({"t": 2}), kills=9)) == {"f"}


def test_f_more_executions_in_vain_than_faults():
    again = [CLAIM, CLAIM | {"sequence": 2}, END]
    assert letters(checker.wasted(again, Counter({"t": 2}))) == {"f"}
    assert not letters(checker.wasted(again, Counter({"t": 2}), kills=1))
    assert not letters(checker.wasted([*again, {"what": "lost", "task": "t"}], Counter({"t": 2})))


def test_g_a_task_that_stays_queued():
    run = driver.start("A")
    now = timezone.now()
    long_ago = now - timedelta(hours=1)
    assert not Queues(long_ago).look(now)
    run.tasks.update(queued_at=now - timedelta(seconds=121))
    assert what(Queues(long_ago).look(now)) == ["queued for 121.0 s, published 0 times again"]
    assert not Queues(now - timedelta(seconds=119)).look(now), "the broker was down until then"
    Run.objects.update(paused_at=now)
    assert not Queues(long_ago).look(now), "held back by a person"


@pytest.mark.parametrize(("published", "seconds"), [(1, 120), (2, 180), (3, 300), (4, 540)])
def test_g_what_was_published_in_vain_is_put_off_by_twice_as_much_each_time(published: int, seconds: int):
    run = driver.start("A")
    now = timezone.now()
    queued_at = now - timedelta(seconds=seconds)
    run.tasks.update(dispatches=published, next_dispatch_at=now, queued_at=queued_at)
    queues = Queues(now - timedelta(hours=1))
    assert not queues.look(now)
    assert len(queues.look(now + timedelta(seconds=1))) == 1


def test_g_a_task_that_is_due_and_not_published():
    run = driver.start("A")
    now = timezone.now()
    run.tasks.update(next_dispatch_at=now - timedelta(seconds=61))
    assert what(Queues(now - timedelta(hours=1)).look(now)) == ["due for 61.0 s, published 0 times again"]
    assert not Queues(now - timedelta(seconds=59)).look(now), "nobody could"


def test_g_a_long_queue_and_its_end():
    run = driver.start(group("G", "X", "Y"))
    queued_at = run.created_at
    driver.claim(run, "X")
    queues = Queues(queued_at, capacity=2)

    def look_after(seconds: float, waited: float) -> list[str]:
        """What is wrong when something has just been started that had waited so long."""
        now = queued_at + timedelta(seconds=seconds)
        run.tasks.filter(step="X").update(started_at=now, queued_at=now - timedelta(seconds=waited))
        run.tasks.filter(step="Y").update(next_dispatch_at=now)
        return what(queues.look(now))

    assert not look_after(300, 31), "it takes more than half of the grace"
    assert not look_after(420, 30)
    assert look_after(421, 30) == ["queued for 121.0 s, published 0 times again"]


def test_g_what_waits_for_a_process_waits_in_a_long_queue():
    run = driver.start(group("G", "X", "Y"))
    driver.claim(run, "X")
    now = run.created_at + timedelta(seconds=200)
    run.tasks.filter(step="X").update(started_at=now, queued_at=now)
    run.tasks.filter(step="Y").update(next_dispatch_at=now)
    assert not Queues(run.created_at, capacity=1).look(now)
    assert len(Queues(run.created_at, capacity=2).look(now)) == 1


def test_g_a_task_that_is_put_off_for_too_long():
    run = driver.start(group("G", "X", "Y"))
    driver.claim(run, "X")
    queues = Queues(run.created_at, capacity=1)

    def look_after(seconds: float, waited: float, put_off: float) -> list[str]:
        now = run.created_at + timedelta(seconds=seconds)
        run.tasks.filter(step="X").update(started_at=now, queued_at=now - timedelta(seconds=waited))
        run.tasks.filter(step="Y").update(next_dispatch_at=now + timedelta(seconds=put_off))
        return what(queues.look(now))

    assert not look_after(0, 100, 200)
    assert not look_after(60, 100, 201), "twice of it, in whole seconds"
    assert not look_after(61, 100, 203), "it may have taken a second more since"
    assert look_after(62, 100, 204) == [
        "put off for 204.0 s, while the queue takes 100.0 s, published 0 times again"
    ]
    assert not look_after(121, 20, 200), "it was long a moment ago"
    assert look_after(123, 20, 62) == [SAYS.format(62.0, 20.0)]


def test_g_a_parked_task_of_a_run_that_is_not_paused():
    run = driver.start("A")
    queues = Queues(run.created_at)
    run.tasks.update(next_dispatch_at=run.created_at + timedelta(seconds=parking.FAR))
    assert not queues.look(run.created_at), "somebody may just be about to bring it back"
    late = run.created_at + timedelta(seconds=61)
    assert what(queues.look(late)) == ["parked, though its run is not paused, published 0 times again"]


def test_h_two_runs_of_one_slot():
    now = timezone.now()
    runs = [Run(schedule="s", scheduled_for=now + timedelta(seconds=at)) for at in (0, 2, 2.1)]
    assert letters(checker.slots(runs, interval=2)) == {"h"}
    assert not letters(checker.slots(runs[:2], interval=2))
    assert letters(checker.slots([runs[0], Run(schedule="s", scheduled_for=now)])) == {"h"}
    assert not letters(checker.slots([runs[0], Run(schedule="other", scheduled_for=now)], interval=2))


@pytest.mark.parametrize(
    ("log", "finds"),
    [
        (RECORD.format("INFO", "Task X[1] succeeded"), False),
        (RECORD.format("ERROR", "The supervisor has died"), True),
        (RECORD.format("CRITICAL", "Unrecoverable error"), True),
        (RECORD.format("WARNING", "Something") + TRACEBACK, True),
        ("Exception in thread director-leases:\n" + TRACEBACK, True),
        (RECORD.format("ERROR", "Task X[1] raised unexpected: Planned('as asked')") + TRACEBACK, False),
        (RECORD.format("ERROR", "Task X[1] raised unexpected: OperationalError('gone')") + TRACEBACK, True),
        (RECORD.format("ERROR", "consumer: Cannot connect to redis"), False),
    ],
)
def test_i_errors_in_logs(log: str, finds: bool):
    log = RECORD.format("INFO", "before") + log + RECORD.format("INFO", "after")
    found = list(checker.logs(log, "w1", expected=["Cannot connect"], own_failures=["Planned("]))
    assert bool(found) is finds
    assert all((violation.rule, violation.where) == ("i", "w1") for violation in found)
