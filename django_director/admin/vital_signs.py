"""What the overview says of workers, supervisor, broker, queues and schedules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_director.presentation import health
from django_director.schedules import beat_rows, upcoming

from . import formatting

BROKER_SECONDS: Final = 10.0
"""For so many seconds a process that serves pages believes what the broker has answered."""
NEXT_SHOWN: Final = 5


@dataclass(frozen=True, kw_only=True)
class VitalSigns:
    """Whether what the engine needs is alive, as far as the rows tell."""

    problems: Sequence[str]
    """What is wrong, each with what a person can do about it."""
    facts: Sequence[str]
    queues: Sequence[dict[str, Any]]
    unserved: int
    """In how many queues tasks wait that no worker serves, although not yet for so long that it is a problem."""
    schedules: Sequence[dict[str, Any]]
    """The schedules that are due next."""


def read(*, with_names: bool) -> VitalSigns:
    """Read the signs of life. The names of schedules contain those of workflows: ``with_names`` shows them."""
    schedules = list(beat_rows.enabled_rows())
    found = health.read_health(
        with_names=with_names,
        with_details=False,
        broker_seconds=BROKER_SECONDS,
        is_limited=False,
        schedules=schedules,
    )
    return VitalSigns(
        problems=problems(found),
        unserved=sum(not queue["is_served"] and not health.is_unserved(queue) for queue in found["queues"]),
        facts=list(_facts(found)),
        queues=[queue_for_page(queue) for queue in found["queues"]],
        schedules=[_schedule(each) for each in upcoming.find_next(schedules, NEXT_SHOWN)] if with_names else [],
    )


def problems(found: health.Json) -> list[str]:
    """Return in sentences what is wrong, each with what a person can do about it."""
    return [*_dead(found), *map(formatting.sentence, found["problems"])]


def _dead(found: health.Json) -> Iterator[str]:
    """Yield that no worker is alive, with who was the last."""
    workers = found["workers"]
    if not found["database"] or not all(worker["is_lost"] for worker in workers):
        return
    if not workers:
        yield _("No worker is alive: start one: celery -A … worker")
        return
    last = min(workers, key=lambda worker: worker["seconds"])
    text = _("No worker is alive: the last, %(name)s, was seen %(time)s ago. Start one: celery -A … worker")
    yield text % {"name": formatting.name(last["name"]), "time": formatting.roughly(last["seconds"])}


def _facts(found: health.Json) -> Iterator[str]:
    living = [worker for worker in found["workers"] if not worker["is_lost"]]
    yield ngettext("%(n)s worker", "%(n)s workers", len(living)) % {"n": formatting.number(len(living))}
    if supervisor := found["supervisor"]:
        yield _("supervisor %(time)s ago") % {"time": formatting.roughly(supervisor["seconds"])}
    yield _("broker answers") if found["broker"] else _("broker does not answer")
    if beat := found["beat"]:
        yield _("beat %(time)s ago") % {"time": formatting.roughly(beat["seconds"])}
    elif not found["late_schedules"]:
        yield _("no schedule is late")
    if found["files"] and found["files"]["in_step"]:
        yield _("files in step")


def queue_for_page(queue: dict[str, Any]) -> dict[str, Any]:
    """Return what a page shows of a queue of ``health.read_health``."""
    return {
        "name": formatting.name(queue["name"] or formatting.NOTHING),
        "tasks": queue["tasks"],
        "oldest": formatting.when(datetime.fromisoformat(queue["queued_at"])),
        "workers": [formatting.name(name) for name in queue["workers"]],
        "is_served": queue["is_served"],
    }


def _schedule(each: upcoming.Next) -> dict[str, SafeString | str]:
    return {"name": formatting.name(each.name), "due": formatting.when(each.due)}
