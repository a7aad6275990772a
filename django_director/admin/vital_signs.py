"""What the overview says of workers, supervisor, broker, queues and schedules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_director.models import Workflow
from django_director.presentation import health
from django_director.schedules import beat_rows, upcoming
from django_director.schedules.enabled import Enabled

from . import formatting

BROKER_SECONDS: Final = 10.0
"""For so many seconds a process that serves pages believes what the broker has answered."""
NEXT_SHOWN: Final = 5


@dataclass(frozen=True, kw_only=True)
class VitalSigns:
    """Whether what the engine needs is alive, as far as the rows tell."""

    silence: str
    """That no worker is alive, and how many tasks wait; empty if one is alive."""
    problems: Sequence[str]
    """What else is wrong, each with what a person can do about it; a queue without a worker from the first moment.

    Schedules that can't start a run come first.
    """
    facts: Sequence[str]
    queues: Sequence[dict[str, Any]]
    schedules: Sequence[dict[str, Any]]
    """The schedules that are due next."""


def read(*, with_names: bool, with_workflows: bool, site: str) -> VitalSigns:
    """Read the signs of life. The names of schedules contain those of workflows: ``with_names`` shows them.

    ``with_workflows`` links them to the pages of their workflows.
    """
    schedules = Enabled()
    found = health.read_health(
        with_names=with_names,
        with_details=False,
        with_migrations=False,
        broker_seconds=BROKER_SECONDS,
        is_limited=False,
        schedules=schedules,
    )
    silence = "" if _is_any_alive(found) else _silence(found)
    due = upcoming.find_next(schedules.rows, NEXT_SHOWN) if with_names else []
    return VitalSigns(
        silence=silence,
        problems=_others(found),
        facts=list(_facts(found)),
        queues=[queue_for_page(queue) for queue in found["queues"]],
        schedules=_schedules(due, schedules.workflows if with_workflows else {}, site),
    )


def problems(found: health.Json) -> list[str]:
    """Return in sentences what is wrong, each with what a person can do about it; the cause before all else."""
    if _is_any_alive(found):
        return _others(found)
    return [f"{_silence(found)}. {cure()}", *_others(found)]


def cure() -> str:
    """Return what to do when no worker is alive."""
    return _("Start one: celery -A … worker")


def _others(found: health.Json) -> list[str]:
    """Return the problems, without those that are there only because no worker is alive.

    People are told at once of a queue that no worker serves; programs, when it has lasted.
    """
    if _is_any_alive(found):
        others = [*found["problems"], *health.newly_unserved(found)]
    else:
        others = health.besides_workers(found)
    return [formatting.sentence(text) for text in others]


def _is_any_alive(found: health.Json) -> bool:
    """Whether a worker is alive; it counts as such while the database can't tell."""
    return not found["database"] or not all(worker["is_lost"] for worker in found["workers"])


def _silence(found: health.Json) -> str:
    """Return that no worker is alive, who was the last, and how many tasks wait. It has no point at its end."""
    text = _("No worker is alive")
    if found["workers"]:
        last = min(found["workers"], key=lambda worker: worker["seconds"])
        seen = formatting.clock(datetime.fromisoformat(last["seen_at"]))
        text = _("No worker is alive: the last, %(name)s, was seen at %(time)s")
        text = text % {"name": formatting.name(last["name"]), "time": seen}
    if number := sum(queue["tasks"] for queue in found["queues"]):
        waiting = ngettext("%(silence)s; %(n)s task waits", "%(silence)s; %(n)s tasks wait", number)
        text = waiting % {"silence": text, "n": formatting.number(number)}
    return text


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
        yield _("workflow files up to date")


def queue_for_page(queue: dict[str, Any]) -> dict[str, Any]:
    """Return what a page shows of a queue of ``health.read_health``."""
    return {
        "name": formatting.name(queue["name"] or formatting.NOTHING),
        "tasks": queue["tasks"],
        "oldest": formatting.when(datetime.fromisoformat(queue["queued_at"])),
        "workers": [formatting.name(name) for name in queue["workers"]],
        "is_served": queue["is_served"],
    }


def _schedules(due: Sequence[upcoming.Next], workflows: Mapping[str, Workflow], site: str) -> list[dict[str, Any]]:
    """Return what the overview shows of these schedules, with links to those ``workflows`` that start."""
    return [
        {
            "workflow": formatting.name(each.workflow),
            "address": formatting.address("workflow_change", workflows[each.workflow].pk, site=site)
            if each.workflow in workflows
            else "",
            # The name of a schedule of the files says no more than the workflow's.
            "name": "" if beat_rows.is_of_files(each.name) else formatting.name(each.name),
            "due": formatting.when(each.due),
        }
        for each in due
    ]
