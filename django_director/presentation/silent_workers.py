"""Running tasks whose workers give no sign of life any more.

They are those that the supervisor takes from their workers. While no worker is alive there is mostly no supervisor
either: then the rows say for hours that such tasks run.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from django.db.models import BooleanField, Exists, ExpressionWrapper, OuterRef, Q, Subquery

from django_director.common.times import aware
from django_director.conf import director
from django_director.db.functions import Now, later
from django_director.engine.supervisor.workers import silence_limit
from django_director.models import Task, Worker
from django_director.models.querysets import TaskQuerySet
from django_director.status import Stop, TaskStatus

MARK: Final = "has_silent_worker"
SEEN: Final = "worker_seen_at"
"""The attributes that only tasks of ``marked`` have."""


def is_silent() -> Q:
    """Return the condition of running tasks whose leases have ended, or whose workers give no sign, by now.

    A lease that was renewed lately is a sign of life too.
    """
    own = Worker.objects.filter(pk=OuterRef("worker_key"), is_watched=True)
    is_quiet = Q(lease_until__lt=later(director.LEASE - silence_limit()))
    has_ended = Q(lease_until__lt=Now())
    silent = own.filter(seen_at__lt=later(-silence_limit()))
    return Q(status=TaskStatus.RUNNING) & (has_ended | (is_quiet & Q(Exists(silent))))


def marked(tasks: TaskQuerySet) -> TaskQuerySet:
    """Let each task say whether and since when it runs on a worker that gives no sign, see ``last_sign``."""
    seen = Worker.objects.filter(pk=OuterRef("worker_key")).values("seen_at")
    mark = ExpressionWrapper(is_silent(), output_field=BooleanField())
    found: TaskQuerySet = tasks.annotate(**{MARK: mark, SEEN: Subquery(seen)})
    return found


def is_marked(task: Task) -> bool:
    """Whether a task of ``marked`` runs on a worker that gives no sign; ``False`` for other tasks."""
    return bool(getattr(task, MARK, False))


def last_sign(task: Task) -> datetime | None:
    """Return when the silent worker of a task of ``marked`` gave its last sign; ``None`` if it is not silent."""
    lease_until, seen_at = aware(task.lease_until), aware(getattr(task, SEEN, None))
    if not is_marked(task) or lease_until is None:
        return None
    renewed = lease_until - timedelta(seconds=director.LEASE)
    return renewed if seen_at is None else max(renewed, seen_at)


def starts_again(task: Task) -> bool:
    """Whether a task that loses its worker now is queued again, and does not fail for good."""
    return bool(task.crashes < director.MAX_CRASHES - 1)


def goes_on(task: Task) -> bool:
    """Whether the run of a task that loses its worker goes on: it is neither paused nor stopped."""
    return bool(task.run.stop == Stop.NONE and task.run.paused_at is None)
