"""How long messages wait in their queues, and when a message that nobody has taken is sent once more."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Final

from django_director import dispatch
from django_director.clock import Now, later
from django_director.conf import MAX_GRACE, director
from django_director.models import Task
from django_director.querysets import TaskQuerySet

from . import hold
from .transactions import statement

SAMPLE: Final = 500
"""How many running tasks are looked at, those that started last."""
CHUNK: Final = 500
CHUNKS: Final = 20
"""How many chunks one look hastens; what is left waits for the next one."""

Waits = dict[str, float]


def waits() -> Waits:
    """Seconds that a message waits now, by queue: of queues in which something runs.

    The least that a running task has waited, for one that was published anew did not wait in a queue; and at least
    the time since the last start, for all workers may be busy.
    """
    running = Task.objects.all_running().filter(queued_at__isnull=False, started_at__isnull=False)
    least: dict[str, timedelta] = {}
    since: dict[str, timedelta] = {}
    columns = running.annotate(now=Now()).values_list("name", "queue", "queued_at", "started_at", "now")
    for name, chosen, queued_at, started_at, now in columns.order_by("-started_at")[:SAMPLE]:
        queue = dispatch.destination(name, chosen)
        waited = started_at - queued_at
        least[queue] = min(waited, least.get(queue, waited))
        since.setdefault(queue, now - started_at)
    return {queue: max(least[queue], since[queue]).total_seconds() for queue in least}


def delay(name: str, chosen: str, dispatches: int, known: Waits) -> float:
    """Seconds from a publication to the next one.

    A backlog must not be published over and over: twice what the queue takes now. Where nothing runs there may be
    no worker: each further message waits twice as long. Either may turn out to be too long, see ``hasten``.
    """
    queue = dispatch.destination(name, chosen)
    if queue in known:
        return _twice(known[queue])
    return min(float(director.DISPATCH_GRACE) * 2.0 ** min(dispatches, 16), MAX_GRACE)


def hasten() -> int:
    """Bring forward what waits for longer than its queue takes now; return how many tasks.

    What was put off while there was no worker, or while a backlog or an outage made the queue look long, must not
    wait so long when that is over: its message may be lost. What is parked stays so, see ``hold``.
    """
    known = waits()
    late = Task.objects.queued().filter(
        next_dispatch_at__gt=later(director.DISPATCH_GRACE), next_dispatch_at__lt=later(hold.PARKED)
    )
    hastened = 0
    for name, chosen, dispatches in late.order_by().values_list("name", "queue", "dispatches").distinct():
        kind = late.filter(name=name, queue=chosen, dispatches=dispatches)
        hastened += _hasten(kind, delay(name, chosen, dispatches, known))
    return hastened


def _hasten(tasks: TaskQuerySet, seconds: float) -> int:
    hastened = 0
    for _ in range(CHUNKS):
        late = tasks.filter(next_dispatch_at__gt=later(seconds)).order_by("-next_dispatch_at")
        chunk = list(late.values_list("pk", flat=True)[:CHUNK])
        if chunk:
            hastened += statement(partial(_bring_forward, Task.objects.filter(pk__in=chunk), seconds))
        if len(chunk) < CHUNK:
            break
    return hastened


def _bring_forward(tasks: TaskQuerySet, seconds: float) -> int:
    return tasks.queued().filter(next_dispatch_at__gt=later(seconds)).update(next_dispatch_at=later(seconds))


def _twice(wait: float) -> float:
    # In whole seconds of waiting, so that few statements postpone a batch.
    return max(float(director.DISPATCH_GRACE), 2.0 * round(wait))
