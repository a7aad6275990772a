"""Tasks that a worker does not know, as one with old code during a deployment: Celery drops their messages.

They are offered again and again, so that chance brings them to a worker that knows them. They fail when they have
been unknown for ``UNKNOWN_TASK_TTL`` seconds and no worker says that it knows them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from functools import partial
from typing import Any, Final
from uuid import UUID

from django.db.models import Case, When
from django.db.models.functions import Coalesce

from django_director import dispatch
from django_director.clock import Now, later
from django_director.conf import director
from django_director.dispatch import Message
from django_director.models import Task
from django_director.querysets import TaskQuerySet

from . import finish, locks, outbox
from .finish import Failure
from .recovery import BATCH, read
from .transactions import statement, transact

OFFERS: Final = (1.0, 2.0, 4.0, 8.0, 15.0)
"""Seconds until a task is offered again: about as long as it has been unknown by then."""
SPREAD: Final = 8
"""Among how many moments, up to twice as late, what was dropped at once is spread."""


def note(messages: Iterable[tuple[UUID, int]], worker: str) -> None:
    """Write down that a worker has dropped these messages because it has no such tasks; offer them again soon.

    Tasks whose rows another session has locked are left alone: what is queued is offered again in any case, later.
    """
    by_sequence: defaultdict[int, list[UUID]] = defaultdict(list)
    for task_id, sequence in messages:
        by_sequence[sequence].append(task_id)
    reason = f"{worker} does not know this task"[:500]
    for sequence, task_ids in by_sequence.items():
        for moment in range(SPREAD):
            _offer_again(task_ids[moment::SPREAD], sequence, 1 + moment / SPREAD, reason)


def fail() -> int:
    """Fail tasks that no worker has known for ``UNKNOWN_TASK_TTL`` seconds; return how many.

    A task of which a worker runs another just now, or that it says it knows, has its time anew.
    """
    expired = Task.objects.all_queued().filter(unknown_since__lt=later(-director.UNKNOWN_TASK_TTL))
    kinds: defaultdict[tuple[str, str], list[Task]] = defaultdict(list)
    for task in read(expired):
        kinds[task.name, task.queue].append(task)
    known = _known([tasks[0] for tasks in kinds.values()])
    if known is None:
        return 0
    for name, queue in known:
        _renew(expired.filter(name=name, queue=queue))
        del kinds[name, queue]
    return sum(transact(partial(_fail, task)) for tasks in kinds.values() for task in tasks)


def _known(tasks: list[Task]) -> set[tuple[str, str]] | None:
    """Names and queues of those that a worker knows; ``None``: nobody could be asked."""
    known: set[tuple[str, str]] = set()
    asked: list[Message] = []
    for task in tasks:
        if Task.objects.all_running().filter(name=task.name, queue=task.queue).exists():
            known.add((task.name, task.queue))
        else:
            asked.append(outbox.message_of(task, task.run.version.content_hash))
    answers = dispatch.known(asked) if asked else []
    return None if answers is None else known | {(message.name, message.queue) for message in answers}


def _offer_again(task_ids: list[UUID], sequence: int, stretch: float, reason: str) -> None:
    # A worker that drops messages takes the next at once: of a burst, one that works would get hardly any.
    *short, longest = OFFERS
    offers = [When(unknown_since__gt=later(-2 * delay), then=later(delay * stretch)) for delay in short]
    first = When(unknown_since=None, then=later(OFFERS[0] * stretch))
    changes: dict[str, Any] = {
        # Before `unknown_since`: MySQL evaluates assignments in order.
        "next_dispatch_at": Case(first, *offers, default=later(longest * stretch)),
        "unknown_since": Coalesce("unknown_since", Now()),
        # It has arrived: the broker delivers.
        "dispatches": 0,
        "reason": reason,
    }
    for start in range(0, len(task_ids), BATCH):
        chunk = Task.objects.queued().filter(pk__in=task_ids[start : start + BATCH], sequence=sequence)
        statement(partial(_update_free, chunk, changes))


def _update_free(tasks: TaskQuerySet, changes: dict[str, Any]) -> None:
    with locks.impatient():
        Task.objects.filter(pk__in=locks.free(tasks)).update(**changes)


def _renew(tasks: TaskQuerySet) -> None:
    found = list(tasks.values_list("pk", flat=True))
    for start in range(0, len(found), BATCH):
        chunk = Task.objects.queued().filter(pk__in=found[start : start + BATCH])
        statement(partial(chunk.update, unknown_since=Now()))


def _fail(task: Task) -> bool:
    failure = Failure(
        error=f"UnknownTask: no worker has known the task “{task.name}” for {director.UNKNOWN_TASK_TTL} s; "
        "start a worker that imports it, then retry the run"
    )
    return finish.fail_row(task, failure)
