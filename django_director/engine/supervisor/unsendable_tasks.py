"""Unsendable tasks: their queue does not exist, or a router of the project fails, so no message can be sent.

They are tried again and again, beside all others, and fail when that has been so for ``UNKNOWN_TASK_TTL`` seconds.
"""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from django_director.conf import director
from django_director.db.functions import Now, later
from django_director.db.transactions import in_transaction
from django_director.engine.attempts import endings
from django_director.engine.attempts.failures import Failure
from django_director.engine.avoided_runs import work_on_each
from django_director.engine.parking import PARKED
from django_director.engine.queries import read_to_end, run_of
from django_director.models import Task


def fail_unsendable_tasks() -> int:
    """Fail tasks whose messages could not be sent for ``UNKNOWN_TASK_TTL`` seconds; return how many."""
    expired = Task.objects.all_queued().filter(unsendable_since__lt=later(-director.UNKNOWN_TASK_TTL))
    # What is due was not tried of late: the broker may have been away.
    tried = expired.filter(next_dispatch_at__gt=Now(), next_dispatch_at__lt=later(PARKED))
    return work_on_each(read_to_end(tried), _fail, run_of)


def refusal_texts(runs: Collection[UUID]) -> dict[UUID, str]:
    """A task that can't be sent and why, by run, for those of ``runs`` that have one. One query at most."""
    if not runs:
        return {}
    tasks = Task.objects.filter(run__in=list(runs), unsendable_since__isnull=False).queued().order_by("-position")
    found = tasks.only("run_id", "step", "map_index", "reason")
    return {task.run_id: f"{task.label} {task.reason}" for task in found}


@in_transaction()
def _fail(task: Task) -> bool:
    failure = Failure(
        error=f"Unsendable: for {director.UNKNOWN_TASK_TTL} s the task “{task.name}” {task.reason}; "
        "correct the route or CELERY_TASK_QUEUES and retry the run, or the queue in its file, sync and relaunch it"
    )
    return endings.fail_row(task, failure)
