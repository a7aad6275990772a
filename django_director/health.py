"""Whether the engine works: what ``GET health/`` and ``directorstatus`` say."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from django.db import DEFAULT_DB_ALIAS, DatabaseError, InterfaceError
from django.db.models import Min

from . import dispatch
from .clock import Now, iso, later
from .conf import director
from .engine.errors import is_unmigrated
from .engine.hold import PARKED
from .engine.supervise import LEASE_NAME
from .engine.workers import patience
from .models import Lease, Task, UnwrittenOutcome, Worker

Json = dict[str, Any]

OLD_TICK: Final = 30.0
"""Seconds without work of a supervisor after which something is wrong."""


def read() -> Json:
    """The state of database, broker, supervisor, workers and queues. ``problems`` is empty when all is well.

    Takes a few seconds at most where the broker is silent.
    """
    found: Json = {"healthy": False, "problems": [], "database": True, "broker": dispatch.answers()}
    try:
        found |= _rows()
    except (DatabaseError, InterfaceError) as error:
        found |= {"database": False, "supervisor": None, "workers": [], "oldest_queued": None, "unwritten": 0}
        found["problems"].append(_of_database(error))
    else:
        found["problems"] += _of_supervisor(found["supervisor"])
    if not found["broker"]:
        found["problems"].append("the broker does not answer: queued tasks wait until it does")
    found["healthy"] = not found["problems"]
    return found


def _rows() -> Json:
    supervisor = Lease.objects.filter(name=LEASE_NAME).exclude(holder="").annotate(now=Now()).first()
    workers = Worker.objects.annotate(now=Now()).order_by("name", "key")
    return {
        "supervisor": None if supervisor is None else _seen(supervisor.holder, supervisor.beat_at, supervisor.now),
        "workers": [
            _seen(worker.name, worker.seen_at, worker.now) | {"started_at": iso(worker.started_at)}
            for worker in workers
        ],
        "oldest_queued": _oldest_queued(),
        "unwritten": UnwrittenOutcome.objects.count(),
    }


def _oldest_queued() -> Json | None:
    """The task that waits longest for a worker; those of paused runs do not wait for one."""
    queued = Task.objects.all_queued().filter(next_dispatch_at__lt=later(PARKED))
    oldest = queued.aggregate(since=Min("queued_at"), now=Min(Now()))
    if oldest["since"] is None:
        return None
    return {"queued_at": iso(oldest["since"]), "seconds": _seconds(oldest["since"], oldest["now"])}


def _of_database(error: Exception) -> str:
    if is_unmigrated(error):
        return f"the database lacks tables: run “{migrate()}” ({_first_line(error)})"
    return f"the database does not answer as it should: {_first_line(error)}"


def migrate() -> str:
    """The command that makes our tables."""
    return "manage.py migrate" + (
        "" if director.DATABASE == DEFAULT_DB_ALIAS else f" --database {director.DATABASE}"
    )


def _of_supervisor(supervisor: Json | None) -> list[str]:
    cure = "start a worker, or `manage.py superviseworkflows` where DIRECTOR['SUPERVISOR'] is \"process\""
    if supervisor is None:
        return [f"no supervisor works: {cure}"]
    if supervisor["seconds"] > OLD_TICK:
        return [f"no supervisor has worked for {supervisor['seconds']:.0f} s: {cure}"]
    return []


def is_silent(worker: Json) -> bool:
    """Whether a worker of ``read`` has given no sign of life for so long that it counts as lost."""
    return bool(worker["seconds"] > patience())


def _seen(name: str, at: datetime, now: datetime) -> Json:
    return {"name": name, "seen_at": iso(at), "seconds": _seconds(at, now)}


def _seconds(since: datetime, now: datetime) -> float:
    return round(max(0.0, (now - since).total_seconds()), 1)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
