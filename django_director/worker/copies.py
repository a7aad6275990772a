"""Messages with our own id, of runs that our database does not have.

The run was deleted, or the broker is shared with an installation whose database is a copy of ours or the other way
round, as staging's that was restored from production's: a copy has the same id. So such a message is handed on a
few times before it is dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from django_director.db.transactions import WORKER_PATIENCE, statement
from django_director.dispatch import publisher
from django_director.dispatch.messages import HEADER, INSTALLATION
from django_director.engine.attempts.tickets import Ticket
from django_director.models import Run

from .strangers import counted, delay, marked, queue_of, warn

if TYPE_CHECKING:
    from django_director.celery import DirectorTask

MISSED: Final = "missed"
"""How often a message has come to a worker whose database does not have its run."""
MOST: Final = 15
"""So often it is handed on, at longer and longer intervals; after that it is dropped."""
#: What a message of Celery has beside custom headers and what the worker adds to it.
_HEADERS: Final = (
    *("lang", "task", "id", "shadow", "expires", "group", "group_index", "retries", "timelimit", "root_id"),
    *("parent_id", "argsrepr", "kwargsrepr", "origin", "ignore_result", "replaced_task_nesting"),
    *("stamped_headers", "stamps"),
)
_NO_ARGUMENTS: Final[Any] = ((), {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None})


def hand_on(task: DirectorTask, request: Any, ticket: Ticket) -> None:
    """Hand on a message that nobody here can claim. If its run is here, it is a duplicate or out of date.

    ``request`` is what Celery knows of the message.
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
    times = counted(headers[HEADER], MISSED)
    if queue and times < MOST:
        _send(task, request, queue, delay(times))


def _is_here(ticket: Ticket) -> bool:
    run = Run.objects.filter(pk=ticket.run_id)
    return statement(run.exists, patience=WORKER_PATIENCE)


def _send(task: DirectorTask, request: Any, queue: str, countdown: float) -> None:
    given = vars(request)
    headers = {key: given[key] for key in _HEADERS if key in given} | request.headers
    eta = datetime.now(UTC) + timedelta(seconds=countdown)
    headers["eta"] = eta.isoformat() if countdown else None
    publisher.send_again(
        _NO_ARGUMENTS,
        marked(headers, MISSED, str(request.hostname)),
        queue,
        request.properties or {},
        serializer=task.app.conf.task_serializer,
    )
