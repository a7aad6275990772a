"""Writes the ``periodic:`` entries of workflows as rows of django-celery-beat, if that is installed.

A row belongs to django-director if it has its task and a name made here (``director: shop.ORDER``, with `` #2``
for the second entry). The files decide on the timing and the payload of such a row, and the admin on everything
else: its switch, queue, priority and expiry. Rows with other names that run a workflow were made by hand. They are
shown, but never changed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar
from zoneinfo import ZoneInfo, available_timezones

from celery import current_app
from django.apps import apps
from django.db import router, transaction
from django.db.models import Model, QuerySet

from django_director.db.functions import Now
from django_director.definitions import Definition, Schedule

from .timings import PeriodicRow, Timing, aware

Json = dict[str, Any]
T = TypeVar("T", dict[str, Any], list[Any])

TASK: Final = "django_director.run_workflow"
PREFIX: Final = "director: "
SWITCHED_OFF: Final = "Switched off by django-director: the workflow has left the files."
"""This stands in the description of a row that was switched off here. Only such a row is switched on again."""

_OURS: Final = re.compile(r"director: (?P<workflow>\S+)(?: #\d+)?")
CRON_FIELDS: Final = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")
KINDS: Final = ("interval", "crontab", "solar", "clocked")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is to be done with one periodic task; ``row`` is ``None`` if it is to be created."""

    name: str
    action: str
    """``added``, ``changed``, ``deleted``, ``switched off`` or ``switched on``."""
    row: PeriodicRow | None = None
    workflow: str = ""
    schedule: Schedule | None = None

    def __str__(self) -> str:
        return f"{self.name} ({self.action})"


def is_installed() -> bool:
    """Whether the project uses django-celery-beat."""
    return apps.is_installed("django_celery_beat")


def plan_changes(definitions: Iterable[Definition]) -> list[Change]:
    """Return the changes that make the rows agree with the definitions. It takes one query.

    Without django-celery-beat there are none.
    """
    if not is_installed():
        return []
    wanted = {
        row_name(definition.name, number): (definition.name, schedule)
        for definition in definitions
        for number, schedule in enumerate(definition.schedules, start=1)
    }
    found = {row.name: row for row in periodic_tasks().filter(name__startswith=PREFIX)}
    in_files = {definition.name for definition in definitions}
    changes = [_change(name, *wanted[name], found.get(name)) for name in wanted]
    changes += [_removal(row, in_files) for name, row in found.items() if name not in wanted]
    return [change for change in changes if change is not None]


def apply_changes(changes: Iterable[Change]) -> None:
    """Write the changes of ``plan_changes`` in one transaction. Without changes beat reads nothing again.

    Beat's tables may be in another database than django-director's, so the caller's transaction need not cover
    them.
    """
    wanted = list(changes)
    if not wanted:
        return
    with transaction.atomic(using=beat_database()):
        for change in wanted:
            _apply(change)


def beat_database() -> str:
    """Return the alias of the database with django-celery-beat's tables. It must be installed."""
    return router.db_for_write(periodic_tasks().model)


def enabled_rows() -> Iterable[PeriodicRow]:
    """Return the rows of all schedules of workflows that are switched on. It takes one query.

    Each row has the time of the database as ``present``.
    """
    return periodic_tasks().annotate(present=Now()).filter(task=TASK, enabled=True) if is_installed() else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Periodic:
    """The present state of a periodic task."""

    timing: Timing
    until: datetime
    """No slot is due after this time.

    It is the database's present time, or the time at which the task was switched off or expired.
    """
    workflow: str | None
    payload: Any


def find_periodic(name: str) -> Periodic | None:
    """Return the periodic task ``name``; ``None`` if there is none of this name any more. It takes one query."""
    row = periodic_tasks().annotate(present=Now()).filter(name=name).first() if is_installed() else None
    if row is None:
        return None
    # Beat does not write a row that is switched off, so it was changed last when it was switched off. A task that
    # is sent once has no slot after that.
    changed = None if row.enabled and not row.one_off else row.date_changed
    ends = [aware(moment) for moment in (row.present, row.expires, changed)]
    return Periodic(
        timing=Timing.of(row),
        until=min(moment for moment in ends if moment is not None),
        workflow=workflow_of(row),
        payload=payload_of(row),
    )


def row_name(workflow: str, number: int) -> str:
    """Return the name of the periodic task for an entry of ``periodic``; entries are counted from 1."""
    return f"{PREFIX}{workflow}" + (f" #{number}" if number > 1 else "")


def is_of_files(name: str) -> bool:
    """Whether a periodic task of this name is one that stands in the workflow files."""
    return _OURS.fullmatch(name) is not None


def _apply(change: Change) -> None:
    if change.schedule is not None:
        _write(change, change.schedule)
    elif change.row is not None and change.action == "deleted":
        change.row.delete()
    elif change.row is not None:
        _switch_off(change.row)


def periodic_tasks() -> QuerySet[Any]:
    """Return a queryset of all periodic tasks. django-celery-beat must be installed."""
    # Imported here: the models of an app that is not installed can't be imported.
    from django_celery_beat.models import PeriodicTask

    found: QuerySet[Any] = PeriodicTask.objects.select_related(*KINDS)
    return found


def _change(name: str, workflow: str, schedule: Schedule, row: PeriodicRow | None) -> Change | None:
    if row is None:
        action = "added"
    elif SWITCHED_OFF in row.description:
        action = "switched on"
    elif _has_drifted(row, workflow, schedule):
        action = "changed"
    else:
        return None
    return Change(name=name, action=action, row=row, workflow=workflow, schedule=schedule)


def _removal(row: PeriodicRow, in_files: set[str]) -> Change | None:
    """Return the change of a row that belongs to no entry of ``periodic`` any more."""
    ours = _OURS.fullmatch(row.name)
    if ours is None or row.task != TASK:
        return None
    if ours["workflow"] in in_files:
        return Change(name=row.name, action="deleted", row=row)
    return Change(name=row.name, action="switched off", row=row) if row.enabled else None


def _has_drifted(row: PeriodicRow, workflow: str, schedule: Schedule) -> bool:
    return (
        row.task != TASK
        or _loaded(row.args, list) != []
        or _loaded(row.kwargs, dict) != _kwargs(workflow, schedule)
        or not _has_timing(row, schedule)
    )


def _has_timing(row: PeriodicRow, schedule: Schedule) -> bool:
    set_kinds = [kind for kind in KINDS if getattr(row, f"{kind}_id") is not None]
    if set_kinds != [schedule.kind]:
        return False
    actual, wanted = getattr(row, schedule.kind), _spec(schedule)
    return all(str(getattr(actual, name)) == str(value) for name, value in wanted.items())


def _spec(schedule: Schedule) -> dict[str, Any]:
    """Return the columns and values of django-celery-beat's row for this timing."""
    if schedule.kind == "crontab":
        fields = dict(zip(CRON_FIELDS, schedule.value.split(), strict=True))
        return {**fields, "timezone": ZoneInfo(schedule.timezone or default_timezone())}
    seconds = float(schedule.value)
    if seconds.is_integer():
        return {"every": int(seconds), "period": "seconds"}
    return {"every": round(seconds * 1_000_000), "period": "microseconds"}


def default_timezone() -> str:
    """Return the name of Celery's time zone, which counts for crontabs without a time zone of their own."""
    name = str(current_app.timezone)
    return name if name in available_timezones() else "UTC"


def _kwargs(workflow: str, schedule: Schedule) -> Json:
    return {"name": workflow, "payload": schedule.payload}


def _write(change: Change, schedule: Schedule) -> None:
    from django_celery_beat.models import PeriodicTask

    row = change.row or PeriodicTask(name=change.name, enabled=schedule.enabled)
    fields = ["task", "args", "kwargs", *KINDS, "last_run_at", "date_changed"]
    row.task, row.args = TASK, "[]"
    row.kwargs = json.dumps(_kwargs(change.workflow, schedule), ensure_ascii=False)
    if change.row is None or not _has_timing(row, schedule):
        for kind in KINDS:
            setattr(row, kind, None)
        setattr(row, schedule.kind, _timing_row(schedule))
        # So beat counts from now on. Else it might send for a time of the new schedule that is past already.
        row.last_run_at = None
    if change.action == "switched on":
        row.enabled = True
        row.description = row.description.replace(SWITCHED_OFF, "").strip()
        fields += ["enabled", "description"]
    if change.row is None:
        row.save(force_insert=True)
    else:
        row.save(update_fields=fields)


def _switch_off(row: PeriodicRow) -> None:
    row.enabled = False
    if SWITCHED_OFF not in row.description:
        row.description = "\n".join(filter(None, [row.description, SWITCHED_OFF]))
    row.save(update_fields=["enabled", "description", "last_run_at", "date_changed"])


def _timing_row(schedule: Schedule) -> Model:
    """Return a row of django-celery-beat with the timing of an entry; create it if there is none."""
    from django_celery_beat.models import CrontabSchedule, IntervalSchedule

    model = CrontabSchedule if schedule.kind == "crontab" else IntervalSchedule
    spec = _spec(schedule)
    # There may be several equal rows: beat's tables have no unique constraint.
    row: Model = model.objects.filter(**spec).order_by("pk").first() or model.objects.create(**spec)
    return row


def workflow_of(row: PeriodicRow) -> str | None:
    """Return the name of the workflow that a periodic task runs, by its keyword or positional arguments."""
    name = _loaded(row.kwargs, dict).get("name") or next(iter(_loaded(row.args, list)), None)
    return name if isinstance(name, str) else None


def payload_of(row: PeriodicRow) -> Any:
    """Return the payload that a periodic task gives to its runs, by its keyword or positional arguments."""
    second = next(iter(_loaded(row.args, list)[1:]), None)
    return _loaded(row.kwargs, dict).get("payload", second)


def value_of(row: PeriodicRow) -> str:
    """Return when a periodic task is due: the fields of a crontab, the seconds of an interval, or else a text."""
    if row.crontab is not None:
        return " ".join(str(getattr(row.crontab, field)) for field in CRON_FIELDS)
    if row.interval is not None:
        seconds: float = row.interval.schedule.run_every.total_seconds()
        return str(int(seconds)) if seconds.is_integer() else repr(seconds)
    return str(row.solar or row.clocked or "")


def _loaded(text: str | None, kind: type[T]) -> T:
    """Return the JSON value of arguments that a person may have typed; an empty one if it is of another kind."""
    try:
        value = json.loads(text or "null")
    except ValueError:
        return kind()
    return value if isinstance(value, kind) else kind()
