"""Reads in one query what the rows tell of the engine's health: signs of life, queues, and unwritten outcomes."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NamedTuple

from django.db.models import BigIntegerField, Count, DateTimeField, F, Field, JSONField, Min, Value
from django.db.models.functions import Cast

from django_director.db.functions import Now
from django_director.models import Lease, Task, UnwrittenOutcome, Worker

from . import served_queues
from .served_queues import Backlog

COLUMNS: Final = (
    *("text", "other", "part", "about", "number", "at", "now"),
    *("begun", "watched", "served", "installed"),
)
"""The columns of the query, which each part of it uses for what it has; the others are empty."""


class Sign(NamedTuple):
    """The last sign of life of a holder of a lease; ``now`` is the database's time at which it was read."""

    name: str
    seen_at: datetime
    now: datetime


class WorkerSign(NamedTuple):
    """The last sign of life of a worker, and what is known of it."""

    key: int
    name: str
    seen_at: datetime
    now: datetime
    started_at: datetime
    is_watched: bool
    queues: list[str] | None
    versions: dict[str, str] | None


@dataclass(slots=True)
class VitalRows:
    """What the rows tell of the engine's health."""

    signs: dict[str, Sign] = field(default_factory=dict)
    """Those of the leases that somebody holds, by the lease's name."""
    workers: list[WorkerSign] = field(default_factory=list)
    running: dict[int | None, int] = field(default_factory=dict)
    """How many tasks each worker runs, by the worker's key."""
    backlogs: list[Backlog] = field(default_factory=list)
    unwritten: int = 0


def read() -> VitalRows:
    """Read the rows, in one query."""
    found, waiting = VitalRows(), []
    # The workers come first, as they have a value of each type: a column has the type of the first part.
    parts = [part.values_list(*COLUMNS) for part in (_workers(), _leases(), _queued(), _running(), _unwritten())]
    for text, other, part, about, number, at, now, *worker in parts[0].union(*parts[1:], all=True):
        match part:
            case "worker":
                found.workers.append(WorkerSign(about, text, at, now, *worker))
            case "lease":
                found.signs[other] = Sign(text, at, now)
            case "backlog":
                waiting.append((text, other, number, at, now))
            case "work":
                found.running[about] = number
            case _:
                found.unwritten += number
    found.workers.sort(key=lambda worker: (worker.name, worker.key))
    found.backlogs = served_queues.collect(waiting)
    return found


# In each part the columns are written in the order of `COLUMNS`: databases go by their places.


def _workers() -> Any:
    named = Worker.objects.order_by().values(text=F("name"), other=Value(""))
    signs = named.annotate(part=Value("worker"), about=F("key"), number=Value(1), at=F("seen_at"), now=Now())
    return signs.annotate(
        begun=F("started_at"), watched=F("is_watched"), served=F("queues"), installed=F("versions")
    )


def _leases() -> Any:
    named = Lease.objects.exclude(holder="").order_by().values(text=F("holder"), other=F("name"))
    signs = named.annotate(part=Value("lease"), about=_nothing(BigIntegerField()), number=Value(1))
    return signs.annotate(at=F("beat_at"), now=Now(), **_no_worker())


def _queued() -> Any:
    kinds = served_queues.waiting_tasks().values(text=F("name"), other=F("queue"))
    numbers = kinds.annotate(part=Value("backlog"), about=_nothing(BigIntegerField()), number=Count("pk"))
    return numbers.annotate(at=Min("queued_at"), now=Min(Now()), **_no_worker())


def _running() -> Any:
    running = Task.objects.all_running().order_by().values(text=Value(""), other=Value(""))
    by_worker = running.annotate(part=Value("work"), about=F("worker_key")).values(
        "text", "other", "part", "about"
    )
    numbers = by_worker.annotate(number=Count("pk"), at=_nothing(DateTimeField()), now=Min(Now()))
    return numbers.annotate(**_no_worker())


def _unwritten() -> Any:
    kinds = UnwrittenOutcome.objects.order_by().values(text=F("end"), other=Value(""))
    numbers = kinds.annotate(part=Value("unwritten"), about=_nothing(BigIntegerField()), number=Count("pk"))
    return numbers.annotate(at=_nothing(DateTimeField()), now=Min(Now()), **_no_worker())


def _no_worker() -> dict[str, Any]:
    return {
        "begun": _nothing(DateTimeField()),
        # MySQL casts nothing to a boolean.
        "watched": Value(True),
        "served": _nothing(JSONField()),
        "installed": _nothing(JSONField()),
    }


def _nothing(kind: Field[Any, Any]) -> Cast:
    return Cast(Value(None), kind)
