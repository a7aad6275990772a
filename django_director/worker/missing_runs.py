"""Messages with the id of this installation, but of runs that its database does not have.

Either the run was deleted, or the broker is shared with an installation whose database is a copy, such as a
staging database that was restored from production: a copy has the same id. So a worker puts such a message back
into its queue a few times before it drops it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from celery.app.task import Context

from django_director.db.transactions import WORKER_PATIENCE, statement
from django_director.dispatch import publisher
from django_director.dispatch.messages import HEADER, INSTALLATION
from django_director.engine.attempts.tickets import Ticket
from django_director.models import Run

from .foreign_messages import count_of, hold_seconds, mark_headers, queue_of, warn
from .protocols import StepTask

MISSED: Final = "missed"
"""The key in the header for how often a message has come to a worker whose database does not have its run."""
MOST: Final = 15
"""How often a message is put back, at longer and longer intervals; after that it is dropped."""
#: The headers that Celery gives a message, without custom ones and those that the worker adds.
_HEADERS: Final = (
    *("lang", "task", "id", "shadow", "expires", "group", "group_index", "retries", "timelimit", "root_id"),
    *("parent_id", "argsrepr", "kwargsrepr", "origin", "ignore_result", "replaced_task_nesting"),
    *("stamped_headers", "stamps"),
)
_NO_ARGUMENTS: Final[Any] = ((), {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None})


def forward(task: StepTask, request: Context, ticket: Ticket) -> None:
    """Put a message that could not be claimed back into its queue, if its run is not in this database.

    If the run is here, the message is a duplicate or out of date, and is dropped.
    """
    headers: Mapping[str, Any] = request.headers or {}
    if request.is_eager or not headers.get(HEADER, {}).get(INSTALLATION) or _is_here(ticket):
        return
    queue = queue_of(task.app, request.delivery_info)
    warn(
        "This worker took a message from queue `%s` on %s of run %s, which its database does not have: it was "
        "deleted, or the broker is shared with a project whose database is a copy of this one; give a copy an id "
        "of its own, see “One broker for several projects” in the documentation",
        queue,
        task.app.connection_for_read(),
        ticket.run_id,
    )
    times = count_of(headers[HEADER], MISSED)
    if queue and times < MOST:
        _send(task, request, queue, hold_seconds(times))


def _is_here(ticket: Ticket) -> bool:
    run = Run.objects.filter(pk=ticket.run_id)
    return statement(run.exists, patience=WORKER_PATIENCE)


def _send(task: StepTask, request: Context, queue: str, countdown: float) -> None:
    given = vars(request)
    headers = {key: given[key] for key in _HEADERS if key in given} | (request.headers or {})
    eta = datetime.now(UTC) + timedelta(seconds=countdown)
    headers["eta"] = eta.isoformat() if countdown else None
    publisher.send_again(
        _NO_ARGUMENTS,
        mark_headers(headers, MISSED, str(request.hostname)),
        queue,
        request.properties or {},
        serializer=task.app.conf.task_serializer,
    )
