"""Reoffers: messages that a silent worker may have taken are sent again, long before it counts as lost.

A worker that is frozen, or whose machine has vanished, takes messages from the broker all the same: Redis gives it
one more, RabbitMQ as many as it may prefetch. So while one worker is silent and another one is not, what was sent
and has not started for a moment is sent once more. To be wrong about that costs a message and no more, for claims
are compare-and-set. A few seconds of silence are enough for that, and too few to take a running task away.

The rows of the tasks stay as they are: a copy must not change when the message itself is sent again, nor count as
one more that nobody took. When it did, what had really been lost was put off for minutes.

The number of messages is bounded: nothing of a backlog, in which messages wait for other reasons; nothing of a
queue that moves and takes about as long; each message a few times; and so many in all for each silent worker.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from typing import Final
from uuid import UUID

from django_director.conf import director
from django_director.db.functions import Now, later
from django_director.dispatch import publisher, routing
from django_director.engine import parking
from django_director.models import Task, Worker

from . import backlog, due_tasks
from .due_tasks import DueTask
from .workers import beat_period

FEW: Final = 50
"""More messages than this that wait at one time are a backlog."""
MOST: Final = 200
"""How many messages are sent again for one silent worker in all."""
TRIES: Final = 2
"""How often the same one is: the silent worker may take the second one too, as RabbitMQ deals in turn."""
MOST_TRIES: Final = 5
"""How often the same one is at most, however many workers are silent."""
PAUSE: Final = 0.3
"""Seconds after which a message should have been taken; each further try waits for twice as long."""
SILENT_FOR: Final = 300.0
"""Seconds after which a silent worker takes no messages any more: a broker has given up its connection."""

Key = tuple[UUID, int]
"""The id and the sequence of a queued task: its message."""


def silence() -> float:
    """Seconds without a sign of life after which a worker may be in trouble: one sign is overdue."""
    return beat_period() + max(1.0, beat_period() / 2)


class Reoffers:
    """The messages that one supervisor has sent again for the workers that are silent now."""

    def __init__(self) -> None:
        self._sent: Counter[Key] = Counter()
        self._due_at = -math.inf
        self._last = math.inf
        self._trusted_at = -math.inf

    def is_due(self) -> bool:
        """Whether it is time to look, by a supervisor that asks at each tick.

        After a gap all have been silent: the database was away, or this process. Each has time for a sign then.
        """
        now = time.monotonic()
        if now - self._last > 3 * director.TICK:
            self._trusted_at = now + silence()
        self._last = now
        return now >= max(self._due_at, self._trusted_at)

    def send(self) -> int:
        """Send copies of the messages that a silent worker may have taken; return how many the broker took."""
        self._due_at = time.monotonic() + director.TICK
        silent = _silent_beside_others()
        if not silent:
            self._sent.clear()
            return 0
        self._due_at = time.monotonic() + min(director.TICK, PAUSE / 2)
        tries = min(TRIES * silent, MOST_TRIES)
        chosen = [task for task in _waiting() if self._sent[_key(task)] < min(tries, _tries(task.age))]
        chosen = chosen[: max(0, MOST * silent - self._sent.total())]
        messages, _ = due_tasks.messages(chosen)
        sent = publisher.publish(messages).sent
        self._sent.update((task_id, message.sequence) for message in sent for task_id in message.task_ids)
        return len(sent)


def _tries(age: float) -> int:
    """Return how often a message of this age, in seconds, may have been sent again."""
    return math.floor(math.log2(max(age, PAUSE / 2) / PAUSE)) + 1


def _key(task: DueTask) -> Key:
    return task.pk, task.sequence


def _silent_beside_others() -> int:
    """Return how many workers are silent; 0 if all are, as nobody would be there to take a message."""
    seen = Worker.objects.filter(is_watched=True, seen_at__gte=later(-SILENT_FOR))
    times = list(seen.annotate(now=Now()).values_list("seen_at", "now"))
    silent = sum((now - seen_at).total_seconds() > silence() for seen_at, now in times)
    return silent if silent < len(times) else 0


def _waiting() -> list[DueTask]:
    """Tasks whose messages should have been taken by now; none if there are more than ``FEW``."""
    sent = Task.objects.queued().filter(
        # What is older than the grace is looked at anyway.
        queued_at__range=(later(-director.DISPATCH_GRACE), later(-PAUSE)),
        next_dispatch_at__gt=Now(),
        next_dispatch_at__lt=later(parking.PARKED),
        unknown_since=None,
        unsendable_since=None,
    )
    tasks = due_tasks.read_due(sent, FEW + 1)
    if len(tasks) > FEW:
        return []
    known = backlog.waits() if tasks else {}
    return [task for task in tasks if not task.is_held and not _is_explained(task, known)]


def _is_explained(task: DueTask, known: backlog.Waits) -> bool:
    wait = known.get(routing.destination(*task.kind))
    return wait is not None and wait.explains(task.age)
