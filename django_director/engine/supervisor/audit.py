"""End stopped runs in which nothing is active any more, and continue runs that got stuck by changes by hand."""

from __future__ import annotations

import logging

from django.db.models import Exists, OuterRef

from django_director.db.transactions import BATCH
from django_director.engine import stopping
from django_director.engine.avoided_runs import avoided_run_ids, work_on_each
from django_director.engine.reset import recompute
from django_director.models import Run, Task
from django_director.status import RunStatus, Stop, TaskStatus

logger = logging.getLogger(__name__)


def close_stopped() -> int:
    """Cancel the unstarted tasks of stopped runs, and end the runs in which nothing is active; return how many."""
    stopped = Run.objects.stopping().exclude(pk__in=avoided_run_ids()).values_list("pk", flat=True)
    return work_on_each(list(stopped[:BATCH]), stopping.continue_stop, lambda run_id: run_id)


def audit() -> int:
    """Continue runs in which nothing is active although they have no outcome; return how many."""
    moving = Task.objects.filter(run_id=OuterRef("pk")).steps().active().exclude(status=TaskStatus.PENDING)
    # A map that waits does not move by itself.
    moving = moving.exclude(status=TaskStatus.WAITING, map_count__isnull=False)
    idle = Run.objects.filter(~Exists(moving), status=RunStatus.RUNNING, stop=Stop.NONE, paused_at=None)
    found = list(idle.select_related("version")[:BATCH])
    return work_on_each(found, _recompute, lambda run: run.pk)


def _recompute(run: Run) -> int:
    recompute.recompute(run)
    logger.error("Run %s had no outcome and nothing to do; recomputed.", run.pk, extra={"run_id": str(run.pk)})
    return 1
