"""Makes the rows of tasks worth looking at: tried again, running, waiting, and maps with many items."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from django_director.common import ids
from django_director.definitions import Retry
from django_director.engine.outbox import first_sequence
from django_director.models import Attempt, Run, Task, TaskLog
from django_director.status import RunStatus, TaskStatus
from tests import factories

from .situation import HOSTILE, LINES, TRACEBACK

SLOW = "TimeoutError: no answer from stock.example.com within 30 s"
LATE = """Traceback (most recent call last):
  File "/srv/shop/orders/tasks.py", line 41, in resize
    raise ValueError(f"image {number} is no image")
ValueError: image is no image
"""
MANY = 2_000
CHECKED = ("task-running", "task-retried", "map-running", "map-item")
"""The pages that browser checks open."""


def pages(*names: str) -> Iterator[tuple[str, str]]:
    """Write the rows, and yield the name of each picture and the address of its page; of some only, if given."""
    from tests.integration.admin.pages import address

    made = make()
    found = {name: address("task_change", task.pk) for name, task in made.items()}
    found["task-first-attempt"] = f"{found['task-retried']}?attempt=0.2"
    found["map-item"] = address("task_change", made["map"].run.tasks.get(map_index=6).pk)
    yield from ((name, path) for name, path in found.items() if not names or name in names)


def make() -> dict[str, Task]:
    """Write the rows; return the tasks by the names of their pictures."""
    now = timezone.now()
    retry = Retry(max=3, delay=30)
    steps = [factories.step(name, retry=retry) for name in ("FETCH", "CHECK", "LOAD")]
    workflow = factories.make_workflow(factories.definition("orders.STOCK", *steps))
    return {
        "task-running": _running(workflow, now),
        "task-retry": _waiting(workflow, now),
        "task-retried": _retried(workflow, now),
        "task-hostile": _hostile(now),
        "map": _map("images.RESIZE", 20, lambda index: "failed" if index in (6, 13) else "success"),
        "map-running": _map("orders.CHECK_ALL", MANY, _status_of_many),
    }


def _running(workflow: Any, now: datetime) -> Task:
    run = factories.make_run(workflow, tasks={"FETCH": "success", "CHECK": "running"}, payload={"shop": "Paris"})
    task = run.tasks.get(step="CHECK")
    told = {"done": 11_738, "total": 20_000, "message": "checking shelf B7"}
    began = now - timedelta(seconds=72)
    Task.objects.filter(pk=task.pk).update(
        progress=told,
        started_at=began,
        attempt=2,
        failures=1,
        sequence=2,
        worker="celery@shop-1",
        error=SLOW,
    )
    _attempt(task, 1, now - timedelta(minutes=2))
    TaskLog.objects.create(task=task, sequence=1, attempt=1, text=LINES)
    lines = "".join(
        f"2026-11-30T02:12:{n:02}.120Z INFO orders.tasks: shelf \x1b[32mB{n}\x1b[0m checked\n" for n in range(40)
    )
    TaskLog.objects.create(task=task, sequence=2, attempt=2, text=lines, level=30)
    return task


def _attempt(task: Task, number: int, at: datetime, **fields: Any) -> None:
    given = {"error": SLOW, "traceback": TRACEBACK, "worker": "celery@shop-2", "outcome": "failed"}
    times = {"started_at": at - timedelta(seconds=31), "finished_at": at}
    Attempt.objects.create(task=task, number=number, **(given | times | fields))


def _waiting(workflow: Any, now: datetime) -> Task:
    run = factories.make_run(workflow, tasks={"FETCH": "success"})
    task = run.tasks.get(step="CHECK")
    Task.objects.filter(pk=task.pk).update(
        status=TaskStatus.WAITING,
        attempt=1,
        failures=1,
        sequence=1,
        error=SLOW,
        not_before=now + timedelta(seconds=25),
        started_at=now - timedelta(seconds=36),
    )
    _attempt(task, 1, now - timedelta(seconds=5))
    return task


def _retried(workflow: Any, now: datetime) -> Task:
    statuses = {"FETCH": "success", "CHECK": "failed", "LOAD": "upstream_failed"}
    run = factories.make_run(workflow, RunStatus.FAILED, statuses, generation=1, error=f"CHECK: {SLOW}")
    task = run.tasks.get(step="CHECK")
    sequence = first_sequence(1)
    Task.objects.filter(pk=task.pk).update(
        attempt=3,
        failures=3,
        error=SLOW,
        traceback=TRACEBACK,
        sequence=sequence,
        worker="celery@shop-1",
    )
    for number in (1, 2, 3, 4):
        _attempt(task, number, now - timedelta(minutes=20 - number), outcome="lost" if number == 2 else "failed")
    for number in (1, 2):
        _attempt(task, number, now - timedelta(minutes=5 - number), generation=1)
    TaskLog.objects.create(task=task, sequence=sequence, attempt=3, generation=1, text=LINES)
    return task


def _hostile(now: datetime) -> Task:
    step = factories.step(HOSTILE[:60], retry=Retry(max=3))
    run = factories.make_run(factories.make_workflow(factories.definition("odd.TASKS", step)), "failed")
    task = run.tasks.get()
    error = HOSTILE + "y" * 300 + "\nsecond line\n" + "z" * 300
    Task.objects.filter(pk=task.pk).update(
        status=TaskStatus.FAILED,
        attempt=1,
        error=error,
        traceback=error,
        worker=HOSTILE,
        started_at=now,
        finished_at=now,
    )
    TaskLog.objects.create(task=task, sequence=0, attempt=1, text=f"{HOSTILE}\x1b[31mred\x1b[0m\n" * 30)
    return task


def _status_of_many(index: int) -> str:
    if index in (501, 1_170):
        return "failed"
    return "success" if index < 1_174 else "running" if index < 1_178 else "queued" if index < 1_198 else "pending"


def _map(name: str, count: int, status_of: Callable[[int], str]) -> Task:
    is_over = count < 1_000
    workflow = factories.make_workflow(factories.definition(name, factories.mapped("CHECK", "ONE"), "AFTER"))
    run: Run = factories.make_run(
        workflow, "failed" if is_over else "running", {"CHECK": "failed" if is_over else "waiting"}
    )
    first = factories.make_task(run, 2, status_of(0), map_index=0)
    rows = [_item(run, first, index, status_of(index)) for index in range(1, count)]
    Task.objects.bulk_create(rows, batch_size=1_000)
    task = run.tasks.get(step="CHECK")
    error = f"2 of {count} items failed" if is_over else ""
    Task.objects.filter(pk=task.pk).update(map_count=count, error=error, attempt=1, started_at=timezone.now())
    return task


def _item(run: Run, first: Task, index: int, status: str) -> Task:
    now = timezone.now()
    ended = {"finished_at": now + timedelta(seconds=0.2)} if status in ("success", "failed") else {}
    failed = {"error": f"ValueError: image {index} is no image", "traceback": LATE} if status == "failed" else {}
    leased = {"lease_until": now + timedelta(minutes=5), "claim": 1} if status == "running" else {}
    sent = {"next_dispatch_at": now, "queued_at": now, "sequence": 1} if status == "queued" else {}
    begun = {"started_at": now, "attempt": 1} if status not in ("pending", "queued") else {}
    return Task(
        id=ids.item_id(run.pk, first.position, index),
        run=run,
        position=first.position,
        step=first.step,
        name=first.name,
        map_index=index,
        status=status,
        **(ended | failed | leased | sent | begun),
    )
