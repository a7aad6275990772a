"""The order of tasks, what they receive, how runs end."""

from __future__ import annotations

import re
from contextlib import nullcontext
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import AnonymousUser
from django.db import IntegrityError, connection, transaction
from django.db.models.signals import post_save
from django.test.utils import CaptureQueriesContext

from django_director import engine
from django_director.common import ids
from django_director.conf import director
from django_director.db.compiled import can_pair
from django_director.definitions import TaskStep
from django_director.engine.attempts import claim as claims
from django_director.engine.attempts import finish
from django_director.engine.attempts.failures import Failure
from django_director.engine.supervisor import leases, publishing
from django_director.exceptions import (
    Conflict,
    DirectorError,
    InactiveWorkflow,
    InvalidPayload,
    Misuse,
    UnknownWorkflow,
)
from django_director.models import Attempt, Gate, Run, Task
from django_director.status import RunStatus, TaskStatus, Trigger
from tests.factories import chain, definition, group, make_run, make_workflow

from . import driver

pytestmark = pytest.mark.django_db


def test_a_chain_runs_in_order_and_passes_results():
    run = driver.start("A", "B", "C")
    seen: list[tuple[str, Any]] = []

    def body(claimed):
        seen.append((claimed.node.step.id, claimed.upstream))
        return claimed.node.step.id.lower()

    assert driver.drain(run, body) == 3
    assert seen == [("A", None), ("B", "a"), ("C", "b")]
    assert run.status == RunStatus.SUCCESS
    assert run.result == "c"
    assert run.duration is not None


def test_a_group_joins_in_file_order():
    run = driver.start("A", group("G", "X", chain("C", "Y1", "Y2"), group("H", "Z1", "Z2")), "E")
    received = {}

    def body(claimed):
        received[claimed.node.step.id] = claimed.upstream
        return claimed.node.step.id

    driver.drain(run, body)
    assert received["X"] == received["Y1"] == received["Z1"] == "A"
    assert received["E"] == ["X", "Y2", ["Z1", "Z2"]]
    assert run.status == RunStatus.SUCCESS
    driver.check_gates(run)


def test_group_to_group_needs_rows_for_the_joins_only():
    run = driver.start(group("G", *(f"A{n}" for n in range(130))), group("H", *(f"B{n}" for n in range(130))))
    assert run.tasks.count() == 260
    # 130 members: three counters of at most 64, and one above them; for each of the two groups.
    assert run.gates.count() == 8
    driver.drain(run)
    assert run.status == RunStatus.SUCCESS
    assert len(run.result) == 130
    driver.check_gates(run)


@pytest.mark.parametrize(
    ("tasks", "result"),
    [
        ((), None),
        ((group("G"),), []),
        ((chain("C"),), None),
        (("A", group("G")), []),
        ((group("G"), "A"), "A"),
        ((group("G", chain("C"), "A"), "B"), "B"),
    ],
)
def test_empty_containers(tasks, result):
    make_workflow(definition("test.FLOW", *(tasks or ("A",))))
    if not tasks:
        workflow = make_workflow(definition("test.EMPTY", group("G")))
        run = engine.start(workflow.name)
        assert run.status == RunStatus.SUCCESS
        assert run.finished_at is not None
        return
    run = engine.start("test.FLOW")
    driver.drain(run)
    assert run.status == RunStatus.SUCCESS
    assert run.result == result


def test_a_failure_breaks_what_depends_on_it_and_nothing_else():
    run = driver.start("A", group("G", chain("C", "X1", "X2", "X3"), chain("D", "Y1", "Y2")), "Z")

    def body(claimed):
        if claimed.node.step.id == "X1":
            raise ValueError("broken")
        return 1

    driver.drain(run, body)
    assert driver.statuses(run) == {
        "A": "success",
        "X1": "failed",
        "X2": "upstream_failed",
        "X3": "upstream_failed",
        "Y1": "success",
        "Y2": "success",
        "Z": "upstream_failed",
    }
    assert run.status == RunStatus.FAILED
    assert run.error == "X1: ValueError: broken"
    driver.check_gates(run)


def test_a_failure_before_a_wide_group_is_a_few_statements():
    run = driver.start("A", group("G", *(f"B{n}" for n in range(500))), "Z")
    claimed = driver.claim(run, "A")
    # Own row, one for each gate level (and its rest), the followers, the error, the run.
    with driver.queries(7):
        assert finish.fail(claimed, Failure(error="ValueError: no"))
    run.refresh_from_db()
    assert run.status == RunStatus.FAILED
    assert run.tasks.filter(status=TaskStatus.UPSTREAM_FAILED).count() == 501
    driver.check_gates(run)


@pytest.mark.parametrize("fails", [False, True])
def test_the_hook_of_the_outcome_runs_once(fails):
    hooks = {
        "success": (TaskStep(id="hooks.success", task="MAIL_OK"),),
        "failure": (TaskStep(id="hooks.failure", task="MAIL_KO"),),
    }
    run = driver.start("A", hooks=hooks)
    if fails:
        driver.fail(run, "A")
    else:
        driver.succeed(run, "A", 1)
    hook = run.tasks.hooks().get()
    assert hook.name == ("MAIL_KO" if fails else "MAIL_OK")
    claimed = driver.claim(run, hook.step)
    assert claimed.upstream is None
    assert finish.fail(claimed, Failure(error="ValueError: the hook"))
    run.refresh_from_db()
    assert run.status == (RunStatus.FAILED if fails else RunStatus.SUCCESS)
    assert run.tasks.hooks().get().status == TaskStatus.FAILED


def test_query_counts():
    # PostgreSQL does in one statement what others do in a short transaction.
    usual = 1 if can_pair() else 2
    run = driver.start("A", "B", group("G", "X", "Y", "Z"), "E")
    ticket = _ticket(run, "A")
    with driver.queries(usual):
        first = claims.claim(ticket, "tests")
    with driver.queries(usual):
        finish.finish(first, 1)
    driver.succeed(run, "B")
    ticket = _ticket(run, "X")
    with driver.queries(usual):
        member = claims.claim(ticket, "tests")
    with driver.queries(usual):
        finish.finish(member, 1)
    driver.succeed(run, "Y")
    # The member that opens the join: its row, two tries of the gate, the gate's failures, the successor.
    last = driver.claim(run, "Z")
    with driver.queries(6 if can_pair() else 5):
        finish.finish(last, 1)
    ticket = _ticket(run, "E")
    with driver.queries(2):
        joined = claims.claim(ticket, "tests")
    assert joined.upstream == [1, None, 1]
    with driver.queries(usual):
        finish.finish(joined, 1)


def _ticket(run: Run, step: str) -> claims.Ticket:
    return driver.ticket(run.tasks.select_related("run__version").get(step=step))


def test_starting_takes_a_fixed_number_of_queries():
    counts = []
    for size in (10, 300):
        make_workflow(definition(f"test.S{size}", group("G", *(f"A{n}" for n in range(size))), "B"))
        engine.start(f"test.S{size}")
        with CaptureQueriesContext(connection) as captured:
            engine.start(f"test.S{size}")
        queries = [query["sql"] for query in captured]
        if can_pair():
            # The workflow; SAVEPOINT and RELEASE, for a test is a transaction; and all rows at once.
            assert [query.split(" (")[0] for query in queries if "INSERT" in query] == ['WITH "root" AS']
            assert len(queries) == 4
        # MariaDB's limit of a wait for locks stands before its statement.
        found = [re.match(r"(?:SET STATEMENT \S+ FOR )?(INSERT INTO [^(]+)", query) for query in queries]
        inserts = {match[1] for match in found if match}
        tables = {f"INSERT INTO {connection.ops.quote_name(t._meta.db_table)} " for t in (Run, Task, Gate)}
        assert can_pair() or inserts == tables
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 9


def test_what_a_start_writes_has_the_time_of_its_run():
    run = driver.start("A", "B", timeout=60)
    first, second = run.tasks.in_order()
    assert run.created_at == run.started_at == first.queued_at == Run.objects.get().created_at
    grace = timedelta(seconds=director.DISPATCH_GRACE)
    assert first.next_dispatch_at == run.created_at + grace
    assert (second.queued_at, second.next_dispatch_at, second.not_before) == (None, None, None)
    assert run.deadline_at == Run.objects.get().deadline_at == run.created_at + timedelta(seconds=60)


def test_a_refused_start_leaves_the_transaction_of_the_caller_alone(monkeypatch):
    run = driver.start("A")
    monkeypatch.setattr(ids, "new_run_id", lambda: run.pk)
    with transaction.atomic():
        assert engine.start("test.FLOW").pk == run.pk
        assert Run.objects.count() == 1


def test_the_history_has_a_line_of_the_start(django_user_model):
    make_workflow(definition("test.FLOW", "A"))
    user = django_user_model.objects.create(username="ann")
    run = engine.start("test.FLOW", user=user, via="test")
    assert_noted(run, user)


def test_who_listens_to_the_history_hears_of_a_start(django_user_model):
    make_workflow(definition("test.FLOW", "A"))
    user = django_user_model.objects.create(username="ann")
    heard = []
    receiver = lambda instance, **_: heard.append(instance.object_id)  # noqa: E731
    post_save.connect(receiver, sender=LogEntry)
    try:
        run = engine.start("test.FLOW", user=user, via="test")
    finally:
        post_save.disconnect(receiver, sender=LogEntry)
    assert list(map(str, heard)) == [str(run.pk)]
    assert_noted(run, user)


def assert_noted(run: Run, user: Any) -> None:
    entry = LogEntry.objects.get()
    assert (entry.user, entry.get_edited_object(), entry.object_repr) == (user, run, str(run))
    assert (entry.is_change(), entry.get_change_message()) == (True, "Started (test)")
    assert abs(entry.action_time - run.created_at) < timedelta(minutes=1)


def test_start_refuses_bad_input():
    make_workflow(definition("test.FLOW", "A", schema={"type": "object", "required": ["order"]}))
    with pytest.raises(UnknownWorkflow, match=r"did you mean “test\.FLOW”"):
        engine.start("test.FLOWS")
    with pytest.raises(InvalidPayload, match="order"):
        engine.start("test.FLOW", {})
    with pytest.raises(InvalidPayload, match="type set"):
        engine.start("test.FLOW", {"order": {1}})
    with pytest.raises(InvalidPayload, match="limit"):
        engine.start("test.FLOW", {"order": "x" * 2_000_000})
    workflow = make_workflow(definition("test.GONE", "A"))
    workflow.is_active = False
    workflow.save(update_fields=["is_active"])
    with pytest.raises(InactiveWorkflow):
        engine.start("test.GONE")
    assert not Run.objects.exists()


def test_a_workflow_over_the_limit_is_refused(settings):
    settings.DIRECTOR = {"MAX_TASKS_PER_RUN": 2}
    make_workflow(definition("test.FLOW", "A", "B", "C"))
    with pytest.raises(DirectorError, match="3 tasks"):
        engine.start("test.FLOW")


def test_the_idempotency_key_names_one_run():
    make_workflow(definition("test.FLOW", "A"))
    first = engine.start("test.FLOW", {"order": 7}, idempotency_key="order-7")
    second = engine.start("test.FLOW", {"order": 7}, idempotency_key="order-7")
    assert (first.created, second.created) == (True, False)
    assert first.pk == second.pk
    with pytest.raises(Conflict, match="another payload"):
        engine.start("test.FLOW", {"order": 8}, idempotency_key="order-7")
    assert Run.objects.count() == 1


@pytest.mark.fault(31)
def test_a_start_rolls_back_with_its_transaction():
    make_workflow(definition("test.FLOW", "A"))
    with transaction.atomic():
        engine.start("test.FLOW")
        transaction.set_rollback(True)
    assert not Run.objects.exists()
    assert not Task.objects.exists()


def test_waiting_inside_a_transaction_is_refused():
    run = driver.start("A")
    with pytest.raises(DirectorError, match="inside a transaction"):
        run.wait(1)


def test_ids_of_tasks_follow_from_the_run():
    run = driver.start("A", "B")
    for task in run.tasks.all():
        assert task.pk == ids.task_id(run.pk, task.position)


def test_a_second_message_is_refused():
    run = driver.start("A", "B")
    stale = driver.ticket(run.tasks.get(step="A"))
    claimed = claims.claim(stale, "one")
    assert claims.claim(stale, "two") is None
    assert finish.finish(claimed, 1)
    assert claims.claim(stale, "three") is None
    assert not run.tasks.filter(step="A").exclude(worker="one").exists()


def test_a_late_finish_is_discarded():
    run = driver.start("A", "B")
    slow = driver.claim(run, "A")
    task = run.tasks.select_related("run__version").get(step="A")
    assert finish.mark_lost(task, Failure(error="WorkerLost: test", outcome=Attempt.Outcome.LOST))
    quick = driver.claim(run, "A")
    assert quick.attempt == 2
    assert finish.finish(quick, "quick")
    assert not finish.finish(slow, "slow")
    assert not finish.fail(slow, Failure(error="late"))
    task.refresh_from_db()
    assert (task.result, task.crashes, task.failures) == ("quick", 1, 0)
    assert task.attempts.get().outcome == Attempt.Outcome.LOST


def test_a_lost_answer_of_our_own_commit_is_no_duplicate():
    run = driver.start("A", "B")
    claimed = driver.claim(run, "A")
    assert finish.finish(claimed, 1)
    assert finish.finish(claimed, 1)
    assert run.tasks.get(step="B").status == TaskStatus.QUEUED


def test_a_poison_task_fails_after_max_crashes(settings):
    settings.DIRECTOR = {"MAX_CRASHES": 2}
    run = driver.start("A", "B")
    for _ in range(2):
        driver.claim(run, "A")
        task = run.tasks.get(step="A")
        assert leases.mark_message_lost(task.pk, task.sequence, "its process died")
    run.refresh_from_db()
    assert run.status == RunStatus.FAILED
    assert "2 times" in run.tasks.get(step="A").error
    assert driver.statuses(run) == {"A": "failed", "B": "upstream_failed"}


def test_a_retry_waits_and_runs_again():
    run = driver.start("A", "B")
    assert finish.retry_later(driver.claim(run, "A"), Failure(error="ValueError: not yet"), 60)
    task = run.tasks.get(step="A")
    assert (task.status, task.failures, task.attempt) == (TaskStatus.WAITING, 1, 1)
    assert publishing.wake() == 0
    run.tasks.filter(step="A").update(not_before=run.created_at)
    assert publishing.wake() == 1
    again = driver.claim(run, "A")
    assert (again.attempt, again.failures) == (2, 1)
    assert finish.retry_later(again, Failure(error="ValueError: not yet"), 0)
    assert run.tasks.get(step="A").status == TaskStatus.QUEUED
    driver.drain(run)
    assert run.status == RunStatus.SUCCESS
    assert list(task.attempts.values_list("number", "outcome")) == [(1, "failed"), (2, "failed")]


def test_the_database_holds_the_invariants():
    run = driver.start("A")
    with pytest.raises(IntegrityError), transaction.atomic():
        run.tasks.update(status=TaskStatus.RUNNING)
    with pytest.raises(IntegrityError), transaction.atomic():
        run.tasks.update(status=TaskStatus.QUEUED, next_dispatch_at=None)
    with pytest.raises(IntegrityError), transaction.atomic():
        run.tasks.update(status=TaskStatus.SUCCESS)
    with pytest.raises(IntegrityError), transaction.atomic():
        Run.objects.update(status=RunStatus.SUCCESS)
    with pytest.raises(IntegrityError), transaction.atomic():
        Task.objects.create(run=run, position=0, step="A", name="A")
    with pytest.raises(IntegrityError), transaction.atomic():
        Gate.objects.bulk_create([Gate(run=run, seq=0, remaining=1), Gate(run=run, seq=0, remaining=1)])


@pytest.mark.parametrize("key", ["", "x" * 201, "a\0b", "line\nline", "\ud83d"])
def test_a_key_that_no_door_takes_starts_nothing(key):
    make_workflow(definition("test.FLOW", "A"))
    with pytest.raises(DirectorError, match="idempotency key: give 1 to 200 printable characters"):
        engine.start("test.FLOW", idempotency_key=key)
    assert not Run.objects.exists()


def test_a_key_may_be_as_long_as_its_column():
    make_workflow(definition("test.FLOW", "A"))
    key = "ü" * 200
    run = engine.start("test.FLOW", idempotency_key=key)
    assert engine.start("test.FLOW", idempotency_key=key).pk == run.pk


def test_a_comment_is_kept_without_what_no_database_takes():
    make_workflow(definition("test.FLOW", "A"))
    run = engine.start("test.FLOW", comment="a\0b\ud83d")
    again = engine.relaunch(run, comment="\0" * 1000)
    run.refresh_from_db()
    again.refresh_from_db()
    assert run.comment == "a\N{REPLACEMENT CHARACTER}b?"
    assert again.comment == "\N{REPLACEMENT CHARACTER}" * 1000


@pytest.mark.parametrize("act", ["start", "relaunch", "skip"])
def test_a_comment_that_is_too_long_is_refused_wherever_it_is_given(act):
    workflow = make_workflow(definition("test.FLOW", "A"))
    run = make_run(workflow, "failed", {"A": "failed"})
    for comment, is_possible in (("x" * 1000, True), ("x" * 1001, False)):
        with nullcontext() if is_possible else pytest.raises(DirectorError, match="1,001 characters; 1,000 are"):
            if act == "start":
                assert engine.start("test.FLOW", comment=f" {comment} ").comment == comment
            elif act == "relaunch":
                assert engine.relaunch(run, comment=comment).comment == comment
            else:
                assert engine.skip(run.tasks.get(), comment=comment).reason == f"skipped: {comment}"
                run = make_run(workflow, "failed", {"A": "failed"})


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"user": "root"}, "start(): user must be a user, or None, not 'root'"),
        ({"user": 1}, "start(): user must be a user, or None, not 1"),
        ({"comment": 5}, "comment must be text, not 5"),
        ({"comment": None}, "comment must be text, not None"),
        ({"idempotency_key": 7}, "idempotency_key must be text, or None, not 7"),
        (
            {"trigger": "cron"},
            f"trigger must be one of {', '.join(Trigger.values)}, not 'cron'",
        ),
        ({"not_before": "tomorrow"}, "not_before must be a datetime, or None, not 'tomorrow'"),
        (
            {"not_before": date(2026, 1, 1)},
            "not_before must be a datetime, or None, not datetime.date(2026, 1, 1)",
        ),
        *(
            ({name: datetime(2026, 1, 1)}, f"{name} must have a time zone: begin with django.utils.timezone.now()")
            for name in ("not_before", "scheduled_for", "sent_at")
        ),
        ({"schedule": 5}, "schedule must be text, or None, not 5"),
    ],
)
def test_an_argument_of_the_wrong_kind_is_named(wrong, words):
    make_workflow(definition("test.FLOW", "A"))
    with pytest.raises(Misuse) as caught:
        engine.start("test.FLOW", **wrong)
    assert str(caught.value) == words
    assert not Run.objects.exists()


@pytest.mark.parametrize("wrong", [5, None, ["test.FLOW"]])
def test_a_workflow_is_named_by_text_or_given_as_its_row(wrong):
    with pytest.raises(Misuse) as caught:
        engine.start(wrong)
    assert str(caught.value) == f"name must be the name of a workflow, or its row, not {wrong!r}"


def test_a_user_that_is_no_row_is_none():
    make_workflow(definition("test.FLOW", "A"))
    run = engine.start("test.FLOW", user=AnonymousUser())
    assert engine.relaunch(run, user=AnonymousUser()).user is None is run.user
    with pytest.raises(Misuse, match="user must be a user"):
        engine.relaunch(run, user="root")
