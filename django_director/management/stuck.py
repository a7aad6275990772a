"""Finds out why a run makes no progress, for a person who waits for it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from django.db.models import Min

from django_director.common.languages import in_english
from django_director.db.functions import Now
from django_director.dispatch import publisher, routing
from django_director.engine.concurrency import pending_reasons
from django_director.engine.supervisor import unsendable_tasks
from django_director.models import Run
from django_director.presentation import served_queues
from django_director.presentation.served_queues import Workers
from django_director.status import TASK_UNSTARTED, RunStatus

from .output import format_time

EAGER = "CELERY_TASK_ALWAYS_EAGER is set, so that nothing is sent to a worker"


class Reason(NamedTuple):
    """The reason why a run makes no progress. Reasons of one ``kind`` are printed only once."""

    kind: str
    text: str


def find_reason(run: Run, patience: float) -> Reason | None:
    """Return why a run has made no progress for ``patience`` seconds; ``None`` if it has, or if nobody knows."""
    if run.status == RunStatus.PENDING:
        place = pending_reasons.of_run(run)
        return Reason("slot", f"it {place}") if place else None
    if run.shown_status == "paused" or run.tasks.running().exists():
        return None
    found = _reason_of_queued(run, patience)
    if found is None:
        return None
    has_begun = run.tasks.exclude(status__in=TASK_UNSTARTED).exists()
    if has_begun:
        return Reason(found.kind, f"it waits: {found.text}")
    return Reason(found.kind, f"nothing has started yet: {found.text} (“runworkflow --local” needs none)")


def _reason_of_queued(run: Run, patience: float) -> Reason | None:
    """Return why the queued tasks of a run do not start; ``None`` if none has waited for ``patience`` seconds."""
    kinds = run.tasks.queued().order_by().values_list("name", "queue").annotate(since=Min("queued_at"))
    queues: dict[str, datetime] = {}
    now = None
    for name, chosen, since, at in kinds.annotate(now=Min(Now())):
        queue = routing.queue_of(name, chosen)
        queues[queue], now = min(since, queues.get(queue, since)), at
    late = {queue: since for queue, since in queues.items() if now and now - since >= timedelta(seconds=patience)}
    if not late:
        return None
    if text := unsendable_tasks.refusal_texts([run.pk]).get(run.pk):
        return Reason("unsendable", text)
    if publisher.is_silent():
        return Reason("eager", EAGER)
    return _reason_of_queues(late, Workers.load())


def _reason_of_queues(queues: dict[str, datetime], workers: Workers) -> Reason:
    if not workers:
        return Reason("worker", "does a Celery worker run? None gives a sign of life: celery -A … worker")
    for queue in queues:
        if workers.lack(queue):
            return Reason(
                queue,
                f"no worker takes tasks from queue `{queue}`; {in_english(served_queues.way_out, queue)}",
            )
    queue, since = min(queues.items(), key=lambda found: found[1])
    takers = ", ".join(workers.of(queue)[: served_queues.NAMED])
    where = f"in queue `{queue}`" if queue else "in a queue"
    return Reason(queue, f"{where} since {format_time(since)}; {takers} may be busy with others")
