"""The state of the engine, as ``GET health/`` and ``directorstatus`` show it."""

from __future__ import annotations

import math
import time
from datetime import datetime
from typing import Any, Final

from django.db import DEFAULT_DB_ALIAS, DatabaseError, InterfaceError

from django_director.conf import director
from django_director.db.errors import is_unmigrated
from django_director.db.functions import Now, iso
from django_director.dispatch import remote_control
from django_director.engine.supervisor.leadership import LEASE_NAME
from django_director.models import Lease, UnwrittenOutcome, Worker
from django_director.schedules import overdue

from . import served_queues
from .served_queues import Backlog, Workers

Json = dict[str, Any]

OLD_TICK: Final = 30.0
"""After so many seconds without work of a supervisor something is wrong."""


def read_health(*, with_names: bool = True, broker_seconds: float = 0.0) -> Json:
    """Return the state of database, broker, supervisor, workers, queues and beat.

    ``problems`` is empty if all is well. If the broker does not answer, this takes a few seconds, unless this
    process has asked it within the last ``broker_seconds``. The names of schedules contain those of workflows, and
    those of queues may: without ``with_names`` they are left out.
    """
    found: Json = {
        "healthy": False,
        "problems": [],
        "database": True,
        "broker": _broker.answers(broker_seconds),
    }
    try:
        found |= _rows(with_names=with_names)
    except (DatabaseError, InterfaceError) as error:
        found |= {"database": False, "supervisor": None, "workers": [], "queues": []}
        found |= {"oldest_queued": None, "late_schedules": [], "unwritten": 0}
        found["problems"].append(_database_problem(error))
    else:
        found["problems"] += _supervisor_problems(found["supervisor"])
        if not with_names:
            _hide_queues(found)
        found["problems"] += map(_queue_problem, filter(is_unserved, found["queues"]))
    if not found["broker"]:
        found["problems"].append("the broker does not answer: queued tasks wait until it does")
    found["healthy"] = not found["problems"]
    return found


class _Broker:
    """Whether the broker answered when this process asked it last."""

    def __init__(self) -> None:
        self._asked_at = -math.inf
        self._answer = False

    def answers(self, seconds: float) -> bool:
        """Whether the broker answers; an answer from within the last ``seconds`` is used again."""
        if time.monotonic() - self._asked_at >= seconds:
            self._answer = remote_control.is_broker_reachable()
            self._asked_at = time.monotonic()
        return self._answer


_broker: Final = _Broker()


def _rows(*, with_names: bool = True) -> Json:
    supervisor = Lease.objects.filter(name=LEASE_NAME).exclude(holder="").annotate(now=Now()).first()
    workers = list(Worker.objects.annotate(now=Now()).order_by("name", "key"))
    living, backlogs, late = Workers(workers), served_queues.backlogs(), overdue.find_late()
    return {
        "problems": [problem] if (problem := overdue.describe(late, with_names=with_names)) else [],
        "supervisor": None
        if supervisor is None
        else _sign_of_life(supervisor.holder, supervisor.beat_at, supervisor.now),
        "workers": [
            _sign_of_life(worker.name, worker.seen_at, worker.now)
            | {"started_at": iso(worker.started_at), "queues": worker.queues}
            for worker in workers
        ],
        "queues": [_queue(backlog, living) for backlog in backlogs],
        "oldest_queued": _oldest(backlogs),
        "late_schedules": [
            {
                "name": each.name if with_names else None,
                "due_at": iso(each.due),
                "seconds": round(each.seconds, 1),
            }
            for each in late
        ],
        "unwritten": UnwrittenOutcome.objects.count(),
    }


def _oldest(backlogs: list[Backlog]) -> Json | None:
    """Return since when the oldest waiting task waits for a worker; ``None`` if none waits."""
    return _since(backlogs[0]) if backlogs else None


def _queue(backlog: Backlog, living: Workers) -> Json:
    """Return how many tasks wait in a queue, and the names of the workers that take tasks from it."""
    return {
        "name": backlog.queue or None,
        "tasks": backlog.tasks,
        **_since(backlog),
        "workers": [] if living.lack(backlog.queue) else living.of(backlog.queue),
        "is_served": not living.lack(backlog.queue),
    }


def _hide_queues(found: Json) -> None:
    """Take the names of queues out."""
    for queue in found["queues"]:
        queue["name"] = None
    for worker in found["workers"]:
        worker["queues"] = None


def _since(backlog: Backlog) -> Json:
    return {"queued_at": iso(backlog.since), "seconds": round(backlog.seconds, 1)}


def is_unserved(queue: Json) -> bool:
    """Whether tasks wait in a queue without a worker for so long that people should know."""
    return not queue["is_served"] and queue["seconds"] > served_queues.UNSERVED_SECONDS


def _queue_problem(queue: Json) -> str:
    waits = "1 task waits" if queue["tasks"] == 1 else f"{queue['tasks']:,} tasks wait"
    minutes = round(queue["seconds"] / 60)
    name = queue["name"]
    where = f"queue `{name}`" if name else "one of the queues"
    return (
        f"no worker takes tasks from {where}: {waits}, the oldest for {minutes:,} min; "
        f"{served_queues.way_out(name or 'QUEUE')}"
    )


def _database_problem(error: Exception) -> str:
    if is_unmigrated(error):
        return f"the database lacks tables: run “{migrate_command()}” ({_first_line(error)})"
    return f"the database does not answer as it should: {_first_line(error)}"


def migrate_command() -> str:
    """Return the command that creates django-director's tables."""
    return "manage.py migrate" + (
        "" if director.DATABASE == DEFAULT_DB_ALIAS else f" --database {director.DATABASE}"
    )


def _supervisor_problems(supervisor: Json | None) -> list[str]:
    is_apart = director.SUPERVISOR == "process"
    cure = (
        "start it with `manage.py superviseworkflows`, for DIRECTOR['SUPERVISOR'] is \"process\""
        if is_apart
        else "start a worker, each has one: celery -A … worker"
    )
    if supervisor is None:
        return [f"no supervisor works: {cure}"]
    if supervisor["seconds"] > OLD_TICK:
        return [f"no supervisor has worked for {supervisor['seconds']:.0f} s: {cure}"]
    return []


def is_silent(worker: Json) -> bool:
    """Whether a worker of ``read_health`` has given no sign of life for so long that it counts as lost."""
    return served_queues.is_silent(worker["seconds"])


def _sign_of_life(name: str, at: datetime, now: datetime) -> Json:
    return {"name": name, "seen_at": iso(at), "seconds": _seconds(at, now)}


def _seconds(since: datetime, now: datetime) -> float:
    return round(max(0.0, (now - since).total_seconds()), 1)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
