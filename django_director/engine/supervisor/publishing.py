"""Send the messages of queued tasks that are due, and queue waiting tasks whose time has come."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from functools import partial
from typing import Final
from uuid import UUID

from django.db.models import F

from django_director.common import failpoints
from django_director.conf import MAX_GRACE
from django_director.db.functions import Now, later
from django_director.db.transactions import BATCH, statement, update_unlocked
from django_director.dispatch import publisher, refusals, routing
from django_director.engine import outbox, parking, transitions
from django_director.models import Task
from django_director.models.querysets import TaskQuerySet

from . import backlog, due_tasks, probes
from .due_tasks import DueTask

EARLY_BATCHES: Final = 20
"""How many batches one tick puts off before it publishes one."""


def wake() -> int:
    """Queue waiting tasks whose time has come; return how many. They are due now."""
    due = Task.objects.waiting().filter(not_before__lte=Now()).order_by("not_before")
    return update_unlocked(due, _wake)


def wake_tasks(tasks: TaskQuerySet) -> int:
    """Queue those of ``tasks`` that wait; return how many. They are due now."""
    return statement(partial(_wake, tasks))


def _wake(tasks: TaskQuerySet) -> int:
    return tasks.waiting().update(**transitions.woken())


def publish_due(watch: backlog.Watch | None = None) -> int:
    """Send the messages of queued tasks that are due, oldest first; return how many the broker took.

    If it returns ``BATCH`` or more, more tasks may be due. It never does so for tasks that a worker did not know:
    a worker drops them faster than another one can take them, so they are sent once in a tick. A caller that calls
    this again and again gives the same ``watch``; without one, queues are judged by what runs now.
    """
    watch = watch or backlog.Watch(looks=1)
    watch.begin()
    probes.release(watch)
    published = 0
    for _ in range(EARLY_BATCHES):
        found = due_tasks.select_due(BATCH)
        wanted = _without_paused(found)
        if not wanted or publisher.breaker.is_open:
            break
        tasks, early = _divide(wanted, watch)
        for delay, chunk in early.items():
            _postpone(chunk, delay, wanted[0].as_of)
        sent, refused = _publish(tasks, watch.waits)
        published += sent
        if sent >= BATCH // 2 or len(found) < BATCH or not (early or refused):
            break
    return published if len(found) == BATCH else min(published, BATCH - 1)


def _divide(found: list[DueTask], watch: backlog.Watch) -> tuple[list[DueTask], dict[float, list[UUID]]]:
    """Divide due tasks into those to send now, and those to leave alone, by seconds, as their messages wait."""
    queues = {kind: routing.destination(*kind) for kind in {task.kind for task in found if task.is_sent}}
    doubtful = watch.doubtful(queues.values())
    tasks: list[DueTask] = []
    early: defaultdict[float, list[UUID]] = defaultdict(list)
    for task in found:
        queue = queues[task.kind] if task.is_sent else None
        wait = None if queue is None else watch.waits.get(queue)
        if wait is not None and wait.explains(task.age):
            early[wait.until_next_look].append(task.pk)
        elif queue is None or wait is not None:
            tasks.append(task)
        elif queue in doubtful:
            continue
        elif task.pk in probes.choose_probes(watch, queue):
            tasks.append(task)
        else:
            early[MAX_GRACE].append(task.pk)
    return tasks, early


def _publish(tasks: list[DueTask], waits: backlog.Waits) -> tuple[int, int]:
    """Send the messages of tasks; return how many the broker took, and how many can't be sent."""
    if not tasks:
        return 0, 0
    messages, unreadable = due_tasks.messages(tasks)
    failpoints.point("supervise.claimed")
    publication = publisher.publish(messages)
    failpoints.point("supervise.published")
    sent = {task_id for message in publication.sent for task_id in message.task_ids}
    by_changes: defaultdict[tuple[float, bool], list[UUID]] = defaultdict(list)
    for task in tasks:
        if task.pk in sent:
            wait = backlog.delay(task.name, task.queue, task.dispatches, waits)
            by_changes[wait, task.unsendable_since is not None].append(task.pk)
    for (wait, is_again), chunk in by_changes.items():
        changes = {"unsendable_since": None, "reason": ""} if is_again else {}
        _postpone(chunk, wait, tasks[0].as_of, dispatches=F("dispatches") + 1, **changes)
    refusals.report(unreadable)
    refused = [*publication.refused, *unreadable]
    outbox.put_off(refused)
    return sum(task.pk in sent for task in tasks), len(refused)


def _without_paused(tasks: list[DueTask]) -> list[DueTask]:
    """Park the tasks of paused runs; return the others."""
    held = {task.pk for task in tasks if task.is_held}
    parking.defer_ids(held)
    return [task for task in tasks if task.pk not in held]


def _postpone(chunk: list[UUID], delay: float, as_of: datetime, **changes: object) -> None:
    # What a worker has said since, that it does not know the task, stands.
    due = Task.objects.filter(pk__in=chunk, next_dispatch_at__lte=as_of).queued()
    changes |= {"next_dispatch_at": later(delay)}
    update_unlocked(due, lambda tasks: tasks.filter(next_dispatch_at__lte=as_of).queued().update(**changes))
