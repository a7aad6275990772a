"""Due tasks: queued tasks whose messages are to be sent, and those messages."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.db import DatabaseError

from django_director.db.functions import Now
from django_director.db.transactions import unlocked
from django_director.dispatch.messages import Message, Refusal
from django_director.engine import blocks, outbox
from django_director.models import Task
from django_director.models.querysets import TaskQuerySet


class DueTask(NamedTuple):
    """A queued task whose message is to be sent."""

    pk: UUID
    run_id: UUID
    position: int
    map_index: int
    name: str
    queue: str
    sequence: int
    failures: int
    dispatches: int
    queued_at: datetime | None
    next_dispatch_at: datetime
    unknown_since: datetime | None
    unsendable_since: datetime | None
    is_hook: bool
    run__paused_at: datetime | None
    run__version__content_hash: str
    as_of: datetime

    @property
    def is_held(self) -> bool:
        return self.run__paused_at is not None and not self.is_hook

    @property
    def is_offered_again(self) -> bool:
        """Whether a worker did not know the task, or the broker did not take its message."""
        return self.unknown_since is not None or self.unsendable_since is not None

    @property
    def is_sent(self) -> bool:
        """Whether its message may be in its queue: it was sent, and no worker has dropped it."""
        was_sent = self.queued_at is not None and self.next_dispatch_at > self.queued_at
        return was_sent and not self.is_offered_again

    @property
    def kind(self) -> tuple[str, str]:
        """The name and the queue of the task, by which its message is routed."""
        return self.name, self.queue

    @property
    def age(self) -> float:
        """Seconds since it was queued."""
        return (self.as_of - (self.queued_at or self.as_of)).total_seconds()


def select_due(limit: int) -> list[DueTask]:
    """Tasks that are due, oldest first: ``limit`` of them, or fewer if there are tasks to be offered again."""
    rows = Task.objects.queued().filter(next_dispatch_at__lte=Now())
    tasks = read_due(rows, limit)
    again = [task for task in tasks if task.is_offered_again]
    if len(tasks) < limit or not again:
        return tasks
    # A backlog that one worker drops, or that can't be sent, must not hold up the others.
    fresh = read_due(rows.filter(unknown_since=None, unsendable_since=None), limit)
    return fresh + again[: max(0, limit - 1 - len(fresh))]


def read_due(rows: TaskQuerySet, limit: int) -> list[DueTask]:
    """Read at most ``limit`` of these tasks, those that are due first. Locked rows are left out."""
    # What is locked can't be postponed, and would be published at each look.
    rows = unlocked(rows.order_by("next_dispatch_at"), limit)
    # Whole rows take longer to make than to read, and there may be many.
    columns = rows.annotate(as_of=Now()).values_list(*DueTask._fields)
    return [DueTask(*row) for row in columns]


def messages(tasks: Iterable[DueTask]) -> tuple[list[Message], list[Refusal]]:
    """Make the messages of tasks; return them, and refusals for tasks whose message can't be made."""
    made: list[Message] = []
    refused: list[Refusal] = []
    for task in tasks:
        try:
            made.append(outbox.message_of(task, task.run__version__content_hash))
        except DatabaseError:
            raise
        # A definition that this process can't read, as it is from another release.
        except Exception as error:
            refused.append(_unreadable(task, error))
    return blocks.together(made), refused


def _unreadable(task: DueTask, error: Exception) -> Refusal:
    version = task.run__version__content_hash
    message = Message(
        task_id=task.pk,
        sequence=task.sequence,
        name=task.name,
        queue=task.queue,
        run_id=task.run_id,
        position=task.position,
        version=version,
    )
    why = f"can't be sent: this process can't read the definition {version}: {type(error).__name__}"
    return Refusal(message=message, why=why, is_final=False)
