"""Tasks whose message can't be sent: to a queue that there is not, through a router of the project that fails.

They are tried again and again, beside all others, and fail when that has been so for ``UNKNOWN_TASK_TTL`` seconds.
"""

from __future__ import annotations

from functools import partial

from django_director.clock import Now, later
from django_director.conf import director
from django_director.models import Task

from . import finish
from .finish import Failure
from .hold import PARKED
from .recovery import read
from .transactions import transact


def fail() -> int:
    """Fail tasks that could not be sent for ``UNKNOWN_TASK_TTL`` seconds, up to the last try; return how many."""
    expired = Task.objects.all_queued().filter(unsendable_since__lt=later(-director.UNKNOWN_TASK_TTL))
    # What is due was not tried of late: the broker may have been away.
    tried = expired.filter(next_dispatch_at__gt=Now(), next_dispatch_at__lt=later(PARKED))
    return sum(transact(partial(_fail, task)) for task in read(tried))


def _fail(task: Task) -> bool:
    failure = Failure(
        error=f"Unsendable: for {director.UNKNOWN_TASK_TTL} s the task “{task.name}” {task.reason}; "
        "correct the queue or the route, then retry the run"
    )
    return finish.fail_row(task, failure)
