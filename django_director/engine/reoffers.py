"""Messages that a silent worker may have taken: they are sent again, long before it counts as lost.

A worker that is frozen, or whose machine has vanished, takes messages from the broker all the same: Redis gives it
one more, RabbitMQ as many as it may prefetch. So while one worker is silent and another one is not, what was sent
and has not started for some seconds is sent once more. To be wrong about that costs a message and no more, for
claims are compare-and-set. A few seconds of silence are enough for that, and too few to take a running task away.

The number of messages is bounded: nothing of a backlog, in which messages wait for other reasons; nothing of a
queue that moves and takes about as long; each message a few times; and so many in all for each silent worker.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from typing import Final
from uuid import UUID

from django_director import routing
from django_director.clock import Now, later
from django_director.conf import director
from django_director.models import Task, Worker

from . import backlog, hold, outbox
from .workers import FORGET_SECONDS, beat_period

FEW: Final = 50
"""More messages than this that wait at one time are a backlog."""
MOST: Final = 200
"""How many messages are sent again for one silent worker in all."""
TRIES: Final = 2
"""How often the same one is: the silent worker may take the second one too, as RabbitMQ deals in turn."""
PAUSE: Final = 1.0
"""Seconds after which a message should have been taken, and between two tries."""

Key = tuple[UUID, int]
"""The id and the sequence of a queued task: its message."""


def silence() -> float:
    """Seconds without a sign of life after which a worker may be in trouble: one sign is overdue."""
    return beat_period() + max(1.0, beat_period() / 2)


class Reoffers:
    """What one supervisor has sent again for the workers that are silent now."""

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
        """Let messages that a silent worker may have taken be sent with the next ones; return how many."""
        self._due_at = time.monotonic() + director.TICK
        silent = _silent_beside_others()
        if not silent:
            self._sent.clear()
            return 0
        chosen = [key for key, age in _waiting() if self._sent[key] < min(TRIES * silent, age // PAUSE)]
        chosen = chosen[: max(0, MOST * silent - self._sent.total())]
        self._sent.update(chosen)
        return outbox.expedite(task_id for task_id, _ in chosen)


def _silent_beside_others() -> int:
    """How many workers are silent, if another one is not: else nobody would be there to take a message."""
    seen = Worker.objects.filter(is_watched=True, seen_at__gte=later(-FORGET_SECONDS))
    times = list(seen.annotate(now=Now()).values_list("seen_at", "now"))
    silent = sum((now - seen_at).total_seconds() > silence() for seen_at, now in times)
    return silent if silent < len(times) else 0


def _waiting() -> list[tuple[Key, float]]:
    """Messages that should have been taken by now, and their ages; none where there are more than a ``FEW``."""
    sent = Task.objects.all_queued().filter(
        # What is older than the grace is looked at anyway.
        queued_at__range=(later(-director.DISPATCH_GRACE), later(-PAUSE)),
        next_dispatch_at__gt=Now(),
        next_dispatch_at__lt=later(hold.PARKED),
        unknown_since=None,
        unsendable_since=None,
    )
    columns = sent.annotate(now=Now()).values_list("pk", "sequence", "name", "queue", "queued_at", "now")
    rows = list(columns.order_by("-next_dispatch_at")[: FEW + 1])
    if len(rows) > FEW:
        return []
    known = backlog.waits() if rows else {}
    waiting = []
    for task_id, sequence, name, queue, queued_at, now in rows:
        age = (now - queued_at).total_seconds()
        wait = known.get(routing.destination(name, queue))
        if wait is None or not wait.explains(age):
            waiting.append(((task_id, sequence), age))
    return waiting
