"""Batches: one message for several items of a map or members of a group, each of which is a task of its own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from celery import current_app, signals
from celery.app.trace import build_tracer
from celery.exceptions import SoftTimeLimitExceeded
from django.db import connection
from django.test.utils import CaptureQueriesContext

import django_director
from django_director import engine
from django_director.common import ids, shutdown
from django_director.definitions import Retry
from django_director.dispatch.messages import HEADER, Message
from django_director.engine import blocks, outbox, stopping
from django_director.engine.attempts import finish
from django_director.engine.attempts.claim import Claim
from django_director.engine.attempts.failures import Failure
from django_director.engine.attempts.tickets import Ticket, UnfitMessage
from django_director.engine.batches import finish as together
from django_director.engine.batches import unstarted
from django_director.engine.batches.claims import claim as claim_batch
from django_director.engine.flow import item_rows
from django_director.engine.supervisor import due_tasks, leases, lost_attempts
from django_director.models import Run, Task
from django_director.status import RunStatus
from django_director.worker import batches
from django_director.worker import local as local_worker
from django_director.worker.lost_batches import LostBatch
from django_director.worker.task import adopt
from tests.factories import group, mapped, step

from . import driver

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def nobody_listens(monkeypatch):
    """Results are committed together only if nobody listens to `task_success`, as `tests.testapp.acme` does."""
    monkeypatch.setattr(signals.task_success, "receivers", [])


Body = Callable[..., Any]
_names = itertools.count()


@contextmanager
def task(body: Body, **options: Any) -> Iterator[str]:
    """A Celery task that calls ``body`` with itself and its first argument."""
    name = f"tests.BATCHED_{next(_names)}"

    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        return body(self, *args)

    current_app.task(name=name, bind=True, **options)(run)
    adopt(current_app._get_current_object())
    try:
        yield name
    finally:
        del current_app.tasks[name]


def messages(run: Run) -> list[Message]:
    """What would be sent for all that is queued."""
    if Run.objects.stopping().filter(pk=run.pk).exists():
        # Inside a test's transaction nothing is called after a commit.
        stopping.continue_stop(run.pk)
    queued = run.tasks.queued().select_related("run__version").order_by("position", "map_index")
    return blocks.together(outbox.message_of(task, task.run.version.content_hash) for task in queued)


def ticket(message: Message) -> Ticket:
    return Ticket.parse(ids.message_id(message.task_id, message.sequence), message.name, message.header)


def claim(run: Run, number: int = 0) -> list[Claim]:
    return claim_batch(ticket(messages(run)[number]), "tests").claims


def deliver(message: Message) -> object:
    """Let this process do what a worker does with a message."""
    celery_task = current_app.tasks[message.name]
    tracer = build_tracer(message.name, celery_task, eager=True, app=current_app)
    request = {
        "id": ids.message_id(message.task_id, message.sequence),
        "hostname": "tests",
        "headers": {HEADER: message.header},
        "is_eager": True,
        "delivery_info": {"is_eager": True, "routing_key": None},
    }
    return celery_task_trace(celery_task, tracer, message, request)


def celery_task_trace(celery_task: Any, tracer: Any, message: Message, request: Any) -> object:
    from django_director.worker.task import _trace

    return _trace(celery_task, tracer, request["id"], (), {}, request)


def work_off(run: Run) -> int:
    """Deliver messages until nothing is queued; return how many there were."""
    number = 0
    while queued := messages(run):
        for message in queued:
            deliver(message)
            number += 1
    run.refresh_from_db()
    return number


def start(name: str, items: Any, *, batch: int | None = 3, **options: Any) -> Run:
    """A run of a map in batches, which has its items."""
    fields = {key: options.pop(key) for key in ("max_parallel",) if key in options}
    flow = {key: options.pop(key) for key in ("fail_fast", "hooks") if key in options}
    body = step("S", task=name, **options)
    run = driver.start(mapped("M", body, batch=batch, **fields), payload={"items": items}, **flow)
    driver.expand(run, "M")
    return run


def of_items(run: Run) -> list[str]:
    return list(run.tasks.filter(map_index__gte=0).order_by("map_index").values_list("status", flat=True))


def test_each_item_is_a_task_of_its_own():
    seen = []

    def body(self: Any, item: int) -> int:
        running = django_director.context()
        assert running is not None
        seen.append((self.request.id, str(running.task_id), running.attempt, self.request.retries))
        return item * 2

    with task(body) as name:
        run = start(name, list(range(7)))
        assert work_off(run) == 3
    assert (run.status, run.result) == (RunStatus.SUCCESS, [n * 2 for n in range(7)])
    tasks = list(run.tasks.filter(map_index__gte=0).order_by("map_index"))
    assert seen == [(str(t.pk), str(t.pk), 1, 0) for t in tasks]
    assert all(t.started_at <= t.finished_at for t in tasks)
    assert all(t.claim and t.lease_until is None and t.worker == "tests" for t in tasks)
    assert all(a.finished_at <= b.started_at for a, b in itertools.pairwise(tasks[:3]))
    driver.check_gates(run)


@pytest.mark.parametrize(
    "items", [[None, 1, 'x\\"é 😀', {"a": [1, None]}, [], 2.5, True], [None], ["", "null", 0]]
)
def test_results_are_what_json_has(items):
    with task(lambda self, item: item) as name:
        run = start(name, items, batch=4)
        work_off(run)
    assert (run.status, run.result) == (RunStatus.SUCCESS, items)


@pytest.mark.parametrize("size", [2, 63, 64, 65, 129])
def test_the_counters_of_many_items(size):
    with task(lambda self, item: item) as name:
        run = start(name, list(range(130)), batch=size)
        assert work_off(run) == -(-130 // size)
    assert run.result == list(range(130))
    driver.check_gates(run)


def test_a_batch_needs_few_statements(monkeypatch):
    # However slow the machine is.
    monkeypatch.setattr(batches, "PERIOD", 1000.0)
    with task(lambda self, item: item) as name:
        run = start(name, list(range(100)), batch=50)
        (first, _) = messages(run)
        with CaptureQueriesContext(connection) as captured:
            deliver(first)
    plain = [q["sql"] for q in captured if not q["sql"].startswith(driver.TRANSACTION_WORDS)]
    # The version, the claim, its tasks and their run; the results, and a counter.
    assert len(plain) <= 6, "\n".join(plain)


def test_arguments_are_bound_for_each_item():
    received = []
    values = {"n": "${{ item }}", "at": "${{ index }}", "before": "${{ tasks.A.result }}"}

    def body(self: Any, *args: Any) -> Any:
        given = self.request.kwargs
        received.append((args, given["n"], given["at"], list(given["before"])))
        self.request.kwargs["before"].append("changed")
        return None

    with task(body) as name:
        run = driver.start(
            "A", mapped("M", step("S", task=name, kwargs=values), batch=2), payload={"items": ["a", "b", "c"]}
        )
        driver.succeed(run, "A", [1])
        driver.expand(run, "M")
        work_off(run)
    assert received == [(("a",), "a", 0, [1]), (("b",), "b", 1, [1]), (("c",), "c", 2, [1])]
    assert run.status == RunStatus.SUCCESS


def test_a_condition_skips_its_item_only():
    with task(lambda self, item: item) as name:
        run = start(name, [1, 2, 3, 4], batch=4, when="item != 2")
        work_off(run)
    assert of_items(run) == ["success", "skipped", "success", "success"]
    assert run.result == [1, None, 3, 4]
    driver.check_gates(run)


def test_a_failure_fails_its_item_only():
    def body(self: Any, item: int) -> int:
        if item == 2:
            raise ValueError("two")
        return item

    with task(body) as name:
        run = start(name, [1, 2, 3], batch=3)
        assert work_off(run) == 1
    assert of_items(run) == ["success", "failed", "success"]
    assert run.tasks.get(map_index=1).error == "ValueError: two"
    assert (run.status, run.error) == (RunStatus.FAILED, "S[1]: ValueError: two")
    driver.check_gates(run)


def test_what_failed_is_tried_again_alone():
    seen = []

    def body(self: Any, item: int) -> int:
        seen.append((item, self.request.retries))
        if item == 2 and self.request.retries < 2:
            raise ValueError("not yet")
        return item

    with task(body) as name:
        run = start(name, [1, 2, 3], batch=3, retry=Retry(max=3))
        deliver(messages(run)[0])
        (again,) = messages(run)
        assert (again.size, again.map_index, again.retries) == (1, 1, 1)
        work_off(run)
    assert seen == [(1, 0), (2, 0), (3, 0), (2, 1), (2, 2)]
    assert (run.status, run.result) == (RunStatus.SUCCESS, [1, 2, 3])
    assert run.tasks.get(map_index=1).attempts.count() == 2


def test_handlers_and_signals_are_called_for_each_item():
    calls: list[Any] = []

    def body(self: Any, item: int) -> int:
        if item == 2:
            raise ValueError("two")
        return item

    class Handlers(current_app.Task):  # type: ignore[name-defined,misc]
        abstract = True

        def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
            calls.append(("before_start", *args))

        def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
            # As without a batch it is committed by now.
            calls.append(("on_success", *args, Task.objects.get(pk=task_id).status))

        def on_failure(self, exc: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
            calls.append(("on_failure", *args, str(exc)))

    def note(name: str) -> Any:
        def receive(args: Any = (), **_: Any) -> None:
            calls.append((name, *args))

        return receive

    before, after = note("prerun"), note("postrun")
    signals.task_prerun.connect(before)
    signals.task_postrun.connect(after)
    try:
        with task(body, base=Handlers) as name:
            run = start(name, [1, 2], batch=2)
            work_off(run)
    finally:
        signals.task_prerun.disconnect(before)
        signals.task_postrun.disconnect(after)
    assert calls == [
        *(("prerun", 1), ("before_start", 1), ("on_success", 1, "success"), ("postrun", 1)),
        *(("prerun", 2), ("before_start", 2), ("on_failure", 2, "two"), ("postrun", 2)),
    ]


def test_logs_are_kept_for_each_item():
    import logging

    with task(lambda self, item: logging.getLogger("tests").warning("item %s", item)) as name:
        run = start(name, [1, 2], batch=2)
        work_off(run)
    kept = {log.task.map_index: log.text for task in run.tasks.all() for log in task.logs.all()}
    assert set(kept) == {0, 1}
    assert "item 1" in kept[0]
    assert "item 2" in kept[1]


def test_a_result_that_can_not_be_stored_fails_its_item_only():
    with task(lambda self, item: {1} if item == 2 else item) as name:
        run = start(name, [1, 2, 3], batch=3)
        work_off(run)
    assert of_items(run) == ["success", "failed", "success"]
    assert "can't be stored" in run.tasks.get(map_index=1).error


def test_a_duplicate_claims_nothing():
    with task(lambda self, item: item) as name:
        run = start(name, [1, 2, 3], batch=3)
        (message,) = messages(run)
        assert len(claim_batch(ticket(message), "one").claims) == 3
        assert claim_batch(ticket(message), "other").claims == []


def test_a_message_that_names_another_block_is_refused():
    with task(lambda self, item: item) as name:
        run = start(name, [1, 2, 3, 4], batch=2)
        (message, _) = messages(run)
        for wrong in ({"size": 3}, {"size": 1000}, {"index": 1}, {"size": 0}):
            bad = Ticket.parse(
                ids.message_id(message.task_id, message.sequence), message.name, message.header | wrong
            )
            with pytest.raises(UnfitMessage):
                claim_batch(bad, "tests")
        assert claim_batch(ticket(message), "tests").claims


def test_a_lost_batch_comes_back_item_by_item():
    with task(lambda self, item: item) as name:
        run = start(name, [1, 2, 3], batch=3)
        claims = claim(run)
        now = run.tasks.get(map_index=0).started_at
        assert together.finish_together([together.Done(claims[0], "kept", now, now)], is_last=False)
        Task.objects.running().update(lease_until="2026-01-01T00:00:00Z")
        assert leases.expire_leases() == 2
        assert [(m.size, m.map_index) for m in messages(run)] == [(1, 1), (1, 2)]
        # What the lost worker still says counts no more.
        assert not together.finish_together([together.Done(claims[1], "late", now, now)], is_last=True)
        assert not finish.finish(claims[1], "late")
        work_off(run)
    assert run.result == ["kept", 2, 3]
    assert [t.crashes for t in run.tasks.filter(map_index__gte=0).order_by("map_index")] == [0, 1, 1]
    driver.check_gates(run)


@pytest.mark.parametrize("parallel", [None, 1])
def test_a_dead_process_tells_which_item_ran(parallel):
    with task(lambda self, item: item) as name:
        run = start(name, [1, 2, 3, 4], batch=4, max_parallel=parallel)
        claims = claim(run)
        first = claims[0]
        batch = LostBatch(run.pk, first.node.position, 0, 4, running=claims[1].task_id)
        assert lost_attempts.write_down(first.task_id, first.sequence, "as asked", batch=batch)
        assert [t.crashes for t in run.tasks.filter(map_index__gte=0).order_by("map_index")] == [1, 1, 0, 0]
        if parallel:
            assert driver.lanes(run, run.version.graph.nodes[0]) == 1
        work_off(run)
    assert run.result == [1, 2, 3, 4]
    driver.check_gates(run)


def test_a_revoked_message_lets_each_item_go_alone():
    with task(lambda self, item: item) as name:
        run = start(name, [1, 2], batch=2)
        (message,) = messages(run)
        batch = LostBatch(run.pk, message.position, 0, 2, running=None)
        assert lost_attempts.write_down(message.task_id, message.sequence, "it was revoked", batch=batch)
        assert [(again.size, again.sequence) for again in messages(run)] == [(1, 2), (1, 2)]
        work_off(run)
    assert run.result == [1, 2]
    assert all(t.attempt == 1 for t in run.tasks.filter(map_index__gte=0))


def test_nothing_is_committed_of_a_batch_that_was_lost_in_part():
    with task(lambda self, item: item) as name:
        run = start(name, [1, 2], batch=2)
        claims = claim(run)
        now = run.tasks.get(map_index=0).started_at
        leases.mark_message_lost(claims[0].task_id, claims[0].sequence, "as asked")
        done = [together.Done(claimed, "mine", now, now) for claimed in claims]
        assert not together.finish_together(done, is_last=True)
        assert of_items(run) == ["queued", "running"]
        driver.check_gates(run)


def test_results_are_committed_once_though_the_answer_was_lost():
    with task(lambda self, item: item) as name:
        run = start(name, [1, 2, 3], batch=3)
        claims = claim(run)
        now = run.tasks.get(map_index=0).started_at
        done = [together.Done(claimed, "mine", now, now) for claimed in claims[:2]]
        assert together.finish_together(done, is_last=False)
        # The worker has not heard of it, and writes once more.
        assert not together.finish_together(done, is_last=False)
        assert all(finish.finish(one.claim, one.result) for one in done)
        driver.check_gates(run)
        assert finish.finish(claims[2], "last")
        run.refresh_from_db()
        assert run.result == ["mine", "mine", "last"]


def test_fail_fast_stops_before_the_next_item():
    ran = []

    def body(self: Any, item: int) -> int:
        ran.append(item)
        if item == 2:
            raise ValueError("two")
        return item

    with task(body) as name:
        run = start(name, [1, 2, 3, 4], batch=4, fail_fast=True)
        work_off(run)
    assert ran == [1, 2]
    assert of_items(run) == ["success", "failed", "canceled", "canceled"]
    assert (run.status, run.error) == (RunStatus.FAILED, "S[1]: ValueError: two")


@pytest.mark.parametrize("parallel", [None, 1])
def test_a_cancel_cancels_what_has_not_begun(parallel, monkeypatch):
    monkeypatch.setattr(batches, "PERIOD", 0.0)
    ran = []

    def body(self: Any, item: int) -> int:
        ran.append(item)
        if item == 2:
            engine.cancel(Run.objects.get())
        return item

    with task(body) as name:
        run = start(name, [1, 2, 3, 4], batch=4, max_parallel=parallel)
        work_off(run)
    assert ran == [1, 2]
    assert of_items(run) == ["success", "success", "canceled", "canceled"]
    assert run.status == RunStatus.CANCELED


@pytest.mark.parametrize("parallel", [None, 1])
def test_a_pause_puts_back_what_has_not_begun(parallel, monkeypatch):
    monkeypatch.setattr(batches, "PERIOD", 0.0)
    ran = []

    def body(self: Any, item: int) -> int:
        ran.append(item)
        if item == 2:
            engine.pause(Run.objects.get())
        return item

    with task(body) as name:
        run = start(name, [1, 2, 3, 4], batch=4, max_parallel=parallel)
        deliver(messages(run)[0])
        assert ran == [1, 2]
        for message in messages(run):
            deliver(message)
        assert ran == [1, 2]
        assert not run.tasks.running().exists()
        run.refresh_from_db()
        engine.resume(run)
        work_off(run)
    assert ran == [1, 2, 3, 4]
    assert run.result == [1, 2, 3, 4]
    assert not any(t.crashes or t.failures for t in run.tasks.all())
    driver.check_gates(run)


def test_a_worker_that_ends_gives_back_what_has_not_begun():
    ran = []

    def body(self: Any, item: int) -> int:
        ran.append(item)
        if len(ran) == 1:
            shutdown.begin()
        return item

    with task(body) as name:
        run = start(name, [1, 2, 3], batch=3)
        try:
            deliver(messages(run)[0])
        finally:
            shutdown.forget()
        assert of_items(run) == ["success", "queued", "queued"]
        work_off(run)
    assert run.result == [1, 2, 3]
    assert all(t.attempt == 1 for t in run.tasks.filter(map_index__gte=0))


def test_an_error_that_ends_the_process_gives_back_what_has_not_begun():
    def body(self: Any, item: int) -> int:
        if item == 2 and django_director.context().attempt == 1:  # type: ignore[union-attr]
            raise KeyboardInterrupt
        return item

    with task(body) as name:
        run = start(name, [1, 2, 3], batch=3)
        with pytest.raises(KeyboardInterrupt):
            deliver(messages(run)[0])
        statuses = of_items(run)
    assert statuses[0] == "success"
    assert statuses[2] == "queued"
    assert not run.tasks.running().exists()


def in_work(run: Run) -> int:
    """How many items are in work: of each batch one, those that wait for a retry too."""
    rows = run.tasks.filter(map_index__gte=0).active().exclude(status="pending")
    found = set()
    for status, token, index, sequence in rows.values_list("status", "claim", "map_index", "sequence"):
        if status == "running":
            found.add(token - index)
        elif status == "queued" and sequence == 1:
            found.add(("block", index // 3))
        else:
            found.add(("alone", index))
    return len(found)


def test_max_parallel_goes_on_where_each_item_is_committed_alone():
    def hear(**_: object) -> None: ...

    signals.task_success.connect(hear)
    try:
        with task(lambda self, item: item) as name:
            run = start(name, list(range(20)), max_parallel=2)
            work_off(run)
    finally:
        signals.task_success.disconnect(hear)
    assert run.result == list(range(20))


def test_max_parallel_goes_on_where_the_clock_commits_before_the_batch_has_ended(monkeypatch):
    # As the clock does while a handler that is called after the last task takes long.
    run_one = batches._Batch._run_one

    def then_commit(self: Any, *args: Any) -> None:
        run_one(self, *args)
        self._flush()

    monkeypatch.setattr(batches._Batch, "_run_one", then_commit)
    with task(lambda self, item: item) as name:
        run = start(name, list(range(20)), max_parallel=2)
        work_off(run)
    assert run.result == list(range(20))


@pytest.mark.parametrize("parallel", [1, 2, 3, 100])
def test_max_parallel_counts_batches_in_work(parallel):
    most = 0

    def body(self: Any, item: int) -> int:
        nonlocal most
        most = max(most, in_work(Run.objects.get()))
        return item

    with task(body) as name:
        run = start(name, list(range(20)), max_parallel=parallel)
        assert len(messages(run)) == min(parallel, 7)
        work_off(run)
    assert run.result == list(range(20))
    assert most <= parallel
    driver.check_gates(run)


@pytest.mark.parametrize("delay", [0, 100])
def test_an_item_that_waits_for_its_retry_is_in_work(delay):
    ran = []

    def body(self: Any, item: int) -> int:
        ran.append(item)
        if item == 1 and self.request.retries == 0:
            raise ValueError("not yet")
        return item

    with task(body) as name:
        run = start(name, list(range(7)), max_parallel=1, retry=Retry(max=1, delay=delay))
        deliver(messages(run)[0])
        assert ran == [0, 1]
        assert of_items(run) == ["success", "waiting" if delay else "queued", *["pending"] * 5]
        run.tasks.waiting().filter(map_index=1).update(not_before="2026-01-01T00:00:00Z")
        from django_director.engine.supervisor import publishing

        publishing.wake()
        work_off(run)
    assert run.result == list(range(7))
    assert ran == [0, 1, 1, 2, 3, 4, 5, 6]
    # It was given back, and its first message must not begin it again.
    assert run.tasks.get(map_index=2).sequence > 1
    driver.check_gates(run)


def test_a_lost_batch_does_not_exceed_max_parallel():
    with task(lambda self, item: item) as name:
        run = start(name, list(range(9)), max_parallel=2)
        claims = claim(run)
        for claimed in claims:
            assert leases.mark_message_lost(claimed.task_id, claimed.sequence, "as asked")
        assert in_work(run) == 2
        work_off(run)
    assert run.result == list(range(9))
    driver.check_gates(run)


def test_what_a_hand_has_changed_is_topped_up():
    with task(lambda self, item: item) as name:
        run = start(name, list(range(9)), max_parallel=2)
        run.tasks.queued().update(status="pending", next_dispatch_at=None)
        assert item_rows.top_up() == 6
        assert in_work(run) == 2
        work_off(run)
    assert run.result == list(range(9))


def test_a_retry_of_the_run_goes_in_batches_again():
    broken = True

    def body(self: Any, item: int) -> int:
        if broken and item in (1, 2, 5, 8):
            raise ValueError("no")
        return item

    with task(body) as name:
        run = start(name, list(range(9)), max_parallel=2)
        work_off(run)
        assert run.status == RunStatus.FAILED
        broken = False
        engine.retry(run)
        run.refresh_from_db()
        assert [(m.map_index, m.size) for m in messages(run)] == [(0, 3), (3, 3)]
        work_off(run)
    assert (run.status, run.result) == (RunStatus.SUCCESS, list(range(9)))
    driver.check_gates(run)


def test_the_supervisor_sends_a_batch_again_as_a_batch():
    with task(lambda self, item: item) as name:
        run = start(name, list(range(7)))
        claim(run)
        run.tasks.queued().update(next_dispatch_at="2026-01-01T00:00:00Z")
        due = due_tasks.select_due(100)
        made, refused = due_tasks.messages(due)
        assert len(due) == 4
        assert not refused
        assert {(m.map_index, m.size) for m in made} == {(3, 3), (6, 3)}
        assert {i for m in made for i in m.task_ids} >= {t.pk for t in due}


def test_leases_are_renewed_together():
    with task(lambda self, item: item) as name:
        run = start(name, [1, 2, 3], batch=3)
        claims = claim(run)
        run.tasks.running().update(lease_until="2026-01-01T00:00:00Z")
        with driver.queries(1):
            unstarted.renew(claims)
        assert leases.expire_leases() == 0


def test_local_runs_need_no_batches():
    with task(lambda self, item: item + 1) as name:
        run = driver.start(mapped("M", step("S", task=name), batch=50), payload={"items": [1, 2, 3]})
        local_worker.run_to_end(run)
    assert run.result == [2, 3, 4]


def test_a_group_of_one_task():
    received = []

    def body(self: Any, *args: Any) -> Any:
        received.append(([list(arg) for arg in args], self.request.kwargs["n"]))
        args[0].append("changed")
        return self.request.kwargs["n"]

    with task(body) as name:
        members = [step(f"S{n}", task=name, kwargs={"n": n}) for n in range(7)]
        run = driver.start("A", group("G", *members, batch=3), "Z")
        driver.succeed(run, "A", [0])
        assert [(m.position, m.size) for m in messages(run)] == [(1, 3), (4, 3), (7, 1)]
        for message in messages(run):
            deliver(message)
    assert received == [([[0]], n) for n in range(7)]
    assert [driver.claim(run, "Z").upstream] == [list(range(7))]
    driver.check_gates(run)


def test_a_group_in_batches_ends_the_run():
    with task(lambda self, *args: "done") as name:
        run = driver.start(group("G", *(step(f"S{n}", task=name) for n in range(70)), batch=50))
        assert [m.size for m in messages(run)] == [50, 20]
        work_off(run)
    assert (run.status, run.result) == (RunStatus.SUCCESS, ["done"] * 70)
    driver.check_gates(run)


def test_a_failure_in_a_group():
    def body(self: Any, *args: Any) -> Any:
        if self.request.kwargs["n"] == 1:
            raise SoftTimeLimitExceeded
        return self.request.kwargs["n"]

    with task(body) as name:
        members = [step(f"S{n}", task=name, kwargs={"n": n}) for n in range(4)]
        run = driver.start(group("G", *members, batch=4), "Z")
        work_off(run)
    assert driver.statuses(run) == {
        **{f"S{n}": "failed" if n == 1 else "success" for n in range(4)},
        "Z": "upstream_failed",
    }
    driver.check_gates(run)


def test_a_failure_is_that_of_the_engine_too():
    """An outcome that somebody else writes of one task of a batch leaves the others alone."""
    with task(lambda self, item: item) as name:
        run = start(name, [1, 2, 3], batch=3)
        claims = claim(run)
        assert finish.fail(claims[1], Failure(error="ValueError: no"))
        assert of_items(run) == ["running", "failed", "running"]
        driver.check_gates(run)
