"""What has happened to a run, in the order of time: who steered or relaunched it, and how attempts ended."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Any, Final, NamedTuple

from django.apps import apps
from django.db import OperationalError, connections
from django.db.models import QuerySet
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from django_director.db.errors import is_locked
from django_director.db.lock_limits import limited_transaction
from django_director.models import Attempt, Run, Task
from django_director.presentation import relaunches, visible_errors
from django_director.schedules.timings import aware
from django_director.status import TaskStatus

from . import formatting, history_lines

HISTORY_SECONDS: Final = 1.0
READ: Final = 300
"""How many rows of each kind are read, the newest first."""


class Event(NamedTuple):
    """Something that has happened."""

    at: datetime
    what: str
    task: Task | None = None
    status: str = ""
    who: str = ""
    detail: str = ""
    new: Run | None = None
    """The run that was started."""
    new_id: str = ""


def context(run: Run, *, sees_payload: bool, sees_tasks: bool) -> dict[str, Any]:
    """Return what the template needs, the newest event first. It takes four queries at most."""
    new = relaunches.of_run(run, READ)
    people = _of_people(run, known={str(each.pk) for each in new})
    tasks = _of_tasks(run, sees_payload=sees_payload) if sees_tasks else ()
    found = [*_of_run(run), *_of_relaunches(new), *people, *tasks]
    # Of those at one moment the later in this list is the newer.
    ordered = sorted(found, key=lambda event: event.at)[::-1]
    return {"events": [_shown(event) for event in ordered[:READ]], "is_cut": len(ordered) > READ, "limit": READ}


def _shown(event: Event) -> tuple[Event, str, SafeString | str]:
    badge = formatting.badge(event.status) if event.status else ""
    return event, formatting.moment(event.at), badge


def _of_run(run: Run) -> Iterator[Event]:
    moments = (
        (run.created_at, _("Created")),
        (run.started_at, _("Started")),
        (run.paused_at, _("Paused")),
        (run.finished_at, _("Ended")),
    )
    for moment, what in moments:
        if (at := aware(moment)) is not None:
            yield Event(at, what, status=run.status if what == _("Ended") else "")


def _of_relaunches(runs: list[Run]) -> Iterator[Event]:
    for new in runs:
        if (at := aware(new.created_at)) is not None:
            who, new_id = formatting.name(new.user_name), formatting.short_id(new.pk)
            yield Event(at, _("Relaunched as"), status=new.shown_status, who=who, new=new, new_id=new_id)


def _of_people(run: Run, known: Collection[str]) -> Iterator[Event]:
    """Yield what Django's history of the run tells, but for relaunches as one of the ``known`` runs."""
    if not apps.is_installed("django.contrib.admin"):
        return
    from django.contrib.admin.models import LogEntry
    from django.contrib.contenttypes.models import ContentType

    kind = ContentType.objects.get_for_model(Run, for_concrete_model=False)
    lines = LogEntry.objects.filter(content_type=kind, object_id=str(run.pk)).select_related("user")
    for line in _read(lines.order_by("-action_time")[:READ]):
        message = line.get_change_message()
        if (at := aware(line.action_time)) is not None and history_lines.new_run_of(message) not in known:
            yield Event(
                at,
                history_lines.translate(message),
                who=formatting.name(line.user.get_username()),
            )


def _read(lines: QuerySet[Any, Any]) -> list[Any]:
    """Read lines of the history; none if another session has locked its table, for which a page must not wait."""
    try:
        with limited_transaction(connections[lines.db], HISTORY_SECONDS):
            return list(lines)
    except OperationalError as error:
        if not is_locked(error):
            raise
        return []


def _of_tasks(run: Run, *, sees_payload: bool) -> Iterator[Event]:
    heavy = ("task__result", "task__item", "task__traceback", "traceback")
    attempts = Attempt.objects.filter(task__run=run.pk).select_related("task").defer(*heavy).order_by("-pk")
    for attempt in attempts[:READ]:
        if (at := aware(attempt.finished_at)) is not None:
            error = formatting.error_line(visible_errors.of_task(attempt.error, sees_payload=sees_payload))
            number = _("Attempt %(number)s") % {"number": attempt.number}
            yield Event(at, number, attempt.task, attempt.outcome, detail=error)
    ended = run.tasks.for_listing().filter(finished_at__isnull=False, started_at__isnull=False)
    for task in ended.order_by("-finished_at")[:READ]:
        if (at := aware(task.finished_at)) is not None:
            error = formatting.error_line(visible_errors.of_task(task.error, sees_payload=sees_payload))
            taken = formatting.seconds(task.duration) if task.status == TaskStatus.SUCCESS else ""
            yield Event(at, _("Ended"), task, task.status, detail=error or taken)
