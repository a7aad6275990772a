"""Unknown tasks: a worker with old code does not know a new task, and Celery drops its message.

They are offered again and again, so that chance brings them to a worker that knows them. They fail when they have
been unknown for ``UNKNOWN_TASK_TTL`` seconds and no worker says that it knows them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Final
from uuid import UUID

from django.db.models.functions import Coalesce

from django_director.conf import director
from django_director.db.functions import Now, later
from django_director.db.transactions import BATCH, in_transaction, update_unlocked
from django_director.dispatch import remote_control
from django_director.dispatch.messages import Message
from django_director.engine import outbox
from django_director.engine.attempts import endings
from django_director.engine.attempts.failures import Failure
from django_director.engine.avoided_runs import work_on_each
from django_director.engine.offer_times import next_offer
from django_director.engine.queries import read_to_end, run_of
from django_director.models import Task
from django_director.models.querysets import TaskQuerySet

SPREAD: Final = 8
"""Among how many moments, up to twice as late, what was dropped at once is spread."""


def note_dropped(messages: Iterable[tuple[UUID, int, str]], worker: str) -> None:
    """Note that a worker has dropped messages because it does not know their tasks, and offer these again soon.

    Each has the id of its task, its sequence, and the name of the Celery task that it asked for: where that is not
    the row's, it was no message of the row.

    Tasks whose rows another session has locked are left alone: what is queued is offered again in any case, later.
    """
    kinds: defaultdict[tuple[int, str, int], list[UUID]] = defaultdict(list)
    for number, (task_id, sequence, name) in enumerate(messages):
        kinds[sequence, name, number % SPREAD].append(task_id)
    reason = f"{worker} does not know this task"[:500]
    for (sequence, name, moment), task_ids in kinds.items():
        _offer_again(task_ids, sequence, name, 1 + moment / SPREAD, reason)


def fail_unknown_tasks() -> int:
    """Fail tasks that no worker has known for ``UNKNOWN_TASK_TTL`` seconds; return how many.

    A task of which a worker runs another just now, or that it says it knows, has its time anew.
    """
    expired = Task.objects.all_queued().filter(unknown_since__lt=later(-director.UNKNOWN_TASK_TTL))
    kinds: defaultdict[tuple[str, str], list[Task]] = defaultdict(list)
    for task in read_to_end(expired):
        kinds[task.name, task.queue].append(task)
    known = _find_known([tasks[0] for tasks in kinds.values()])
    if known is None:
        return 0
    for name, queue in known:
        _renew(expired.filter(name=name, queue=queue))
        del kinds[name, queue]
    failing = [task for tasks in kinds.values() for task in tasks]
    return work_on_each(failing, _fail, run_of)


def _find_known(tasks: list[Task]) -> set[tuple[str, str]] | None:
    """Return the names and queues of the tasks that some worker knows; ``None`` if nobody could be asked."""
    known: set[tuple[str, str]] = set()
    asked: list[Message] = []
    for task in tasks:
        if Task.objects.all_running().filter(name=task.name, queue=task.queue).exists():
            known.add((task.name, task.queue))
        else:
            asked.append(outbox.message_of(task, task.run.version.content_hash))
    answers = remote_control.find_known(asked) if asked else []
    return None if answers is None else known | {(message.name, message.queue) for message in answers}


def _offer_again(task_ids: list[UUID], sequence: int, name: str, stretch: float, reason: str) -> None:
    # A worker that drops messages takes the next at once: of a burst, one that works would get hardly any.
    changes: dict[str, Any] = {
        # Before `unknown_since`: MySQL evaluates assignments in order.
        "next_dispatch_at": next_offer("unknown_since", stretch),
        "unknown_since": Coalesce("unknown_since", Now()),
        # A message has arrived: the broker delivers.
        "dispatches": 0,
        "reason": reason,
    }
    for start in range(0, len(task_ids), BATCH):
        chunk = Task.objects.queued().filter(pk__in=task_ids[start : start + BATCH], sequence=sequence, name=name)
        update_unlocked(chunk, lambda tasks: tasks.queued().filter(sequence=sequence).update(**changes))


def _renew(tasks: TaskQuerySet) -> None:
    found = list(tasks.values_list("pk", flat=True))
    for start in range(0, len(found), BATCH):
        chunk = Task.objects.queued().filter(pk__in=found[start : start + BATCH])
        update_unlocked(chunk, lambda rows: rows.queued().update(unknown_since=Now()))


@in_transaction()
def _fail(task: Task) -> bool:
    failure = Failure(
        error=f"UnknownTask: no worker has known the task “{task.name}” for {director.UNKNOWN_TASK_TTL} s; "
        "start a worker that imports it, then retry the run"
    )
    return endings.fail_row(task, failure)
