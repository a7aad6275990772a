"""``periodic:`` as django-celery-beat's rows. Used only when django-celery-beat is installed.

A row is ours when it has our task and a name made here (``director: shop.ORDER``, `` #2`` for the second
entry). The files own its timing and payload, the admin everything else: the switch, queue, priority, expiry.
Rows of other names that run a workflow were made by hand; they are shown and left alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo, available_timezones

from celery import current_app
from django.apps import apps
from django.db import router, transaction

from django_director.db.functions import Now
from django_director.definitions import Definition, Schedule

from .timings import Timing, aware, next_run_at

if TYPE_CHECKING:
    from django_director.models import Workflow

Json = dict[str, Any]

TASK: Final = "django_director.run_workflow"
PREFIX: Final = "director: "
SWITCHED_OFF: Final = "Switched off by django-director: the workflow has left the files."
"""In the description of a row that we switched off: only such a row is switched on again."""

_OURS: Final = re.compile(r"director: (?P<workflow>\S+)(?: #\d+)?")
_CRON_FIELDS: Final = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")
_KINDS: Final = ("interval", "crontab", "solar", "clocked")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What has to be done to one periodic task; ``row`` is ``None`` when it is to be made."""

    name: str
    action: str
    """``added``, ``changed``, ``deleted``, ``switched off`` or ``switched on``."""
    row: Any = None
    workflow: str = ""
    schedule: Schedule | None = None

    def __str__(self) -> str:
        return f"{self.name} ({self.action})"


def is_installed() -> bool:
    """Say whether the project uses django-celery-beat."""
    return apps.is_installed("django_celery_beat")


def plan(definitions: Iterable[Definition]) -> list[Change]:
    """What differs between the files and the rows; empty without django-celery-beat. One query."""
    if not is_installed():
        return []
    wanted = {
        row_name(definition.name, number): (definition.name, schedule)
        for definition in definitions
        for number, schedule in enumerate(definition.schedules, start=1)
    }
    rows = {row.name: row for row in _rows().filter(name__startswith=PREFIX)}
    in_files = {definition.name for definition in definitions}
    changes = [_change(name, *wanted[name], rows.get(name)) for name in wanted]
    changes += [_farewell(row, in_files) for name, row in rows.items() if name not in wanted]
    return [change for change in changes if change is not None]


def apply(changes: Iterable[Change]) -> None:
    """Write what ``plan`` found, all or nothing; beat reads its schedule again only if there is something.

    Beat's tables may be in another database than ours: the caller's transaction need not hold for them.
    """
    wanted = list(changes)
    if not wanted:
        return
    with transaction.atomic(using=database()):
        for change in wanted:
            _apply(change)


def database() -> str:
    """The alias of the database with django-celery-beat's tables, which must be installed."""
    return router.db_for_write(_rows().model)


def describe(workflow: Workflow) -> list[Json]:
    """The schedules of one workflow; see ``describe_many``."""
    return describe_many([workflow])[workflow.pk]


def describe_many(workflows: Iterable[Workflow]) -> dict[Any, list[Json]]:
    """By workflow's id: its schedules as ``{name, kind, value, timezone, enabled, next_run_at}``. One query.

    Those made by hand are included. ``value`` is text (seconds of an interval, five fields of a crontab),
    ``next_run_at`` an aware time or ``None``.
    """
    listed = list(workflows)
    by_name = {workflow.name: workflow.pk for workflow in listed}
    found: dict[Any, list[Json]] = {workflow.pk: [] for workflow in listed}
    for row in _rows().filter(task=TASK).order_by("name") if listed and is_installed() else ():
        pk = by_name.get(_workflow_of(row) or "")
        if pk is not None:
            found[pk].append(_as_json(row))
    return found


def enabled() -> Iterable[Any]:
    """The periodic tasks that start workflows and are not switched off, with the ``present`` time. One query."""
    return _rows().annotate(present=Now()).filter(task=TASK, enabled=True) if is_installed() else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Periodic:
    """A periodic task as it is now."""

    timing: Timing
    until: datetime
    """The present time of the database, or when it was switched off or expired: no slot is due after it."""
    workflow: str | None
    payload: Any


def periodic(name: str) -> Periodic | None:
    """The periodic task ``name``; ``None`` when there is none of this name any more. One query."""
    row = _rows().annotate(present=Now()).filter(name=name).first() if is_installed() else None
    if row is None:
        return None
    # Beat writes no row that is off: it was changed when that happened. One that is sent once has no next slot.
    changed = None if row.enabled and not row.one_off else row.date_changed
    ends = [aware(moment) for moment in (row.present, row.expires, changed)]
    given = _loaded(row.kwargs, dict)
    second = next(iter(_loaded(row.args, list)[1:]), None)
    return Periodic(
        timing=Timing.of(row),
        until=min(moment for moment in ends if moment is not None),
        workflow=_workflow_of(row),
        payload=given.get("payload", second),
    )


def row_name(workflow: str, number: int) -> str:
    """The name of the periodic task for one entry of ``periodic``, counted from 1."""
    return f"{PREFIX}{workflow}" + (f" #{number}" if number > 1 else "")


def _apply(change: Change) -> None:
    if change.schedule is not None:
        _write(change, change.schedule)
    elif change.action == "deleted":
        change.row.delete()
    else:
        _switch_off(change.row)


def _rows() -> Any:
    # An app that is not installed can't be imported.
    from django_celery_beat.models import PeriodicTask

    return PeriodicTask.objects.select_related(*_KINDS)


def _change(name: str, workflow: str, schedule: Schedule, row: Any) -> Change | None:
    if row is None:
        action = "added"
    elif SWITCHED_OFF in row.description:
        action = "switched on"
    elif _has_drifted(row, workflow, schedule):
        action = "changed"
    else:
        return None
    return Change(name=name, action=action, row=row, workflow=workflow, schedule=schedule)


def _farewell(row: Any, in_files: set[str]) -> Change | None:
    """What becomes of a row that no entry asks for."""
    ours = _OURS.fullmatch(row.name)
    if ours is None or row.task != TASK:
        return None
    if ours["workflow"] in in_files:
        return Change(name=row.name, action="deleted", row=row)
    return Change(name=row.name, action="switched off", row=row) if row.enabled else None


def _has_drifted(row: Any, workflow: str, schedule: Schedule) -> bool:
    return (
        row.task != TASK
        or _loaded(row.args, list) != []
        or _loaded(row.kwargs, dict) != _kwargs(workflow, schedule)
        or not _has_timing(row, schedule)
    )


def _has_timing(row: Any, schedule: Schedule) -> bool:
    set_kinds = [kind for kind in _KINDS if getattr(row, f"{kind}_id") is not None]
    if set_kinds != [schedule.kind]:
        return False
    actual, wanted = getattr(row, schedule.kind), _spec(schedule)
    return all(str(getattr(actual, name)) == str(value) for name, value in wanted.items())


def _spec(schedule: Schedule) -> dict[str, Any]:
    """The columns of the row of django-celery-beat that holds this timing."""
    if schedule.kind == "crontab":
        fields = dict(zip(_CRON_FIELDS, schedule.value.split(), strict=True))
        return {**fields, "timezone": ZoneInfo(schedule.timezone or default_timezone())}
    seconds = float(schedule.value)
    if seconds.is_integer():
        return {"every": int(seconds), "period": "seconds"}
    return {"every": round(seconds * 1_000_000), "period": "microseconds"}


def default_timezone() -> str:
    """The name of Celery's time zone, which crontabs without one of their own are in."""
    name = str(current_app.timezone)
    return name if name in available_timezones() else "UTC"


def _kwargs(workflow: str, schedule: Schedule) -> Json:
    return {"name": workflow, "payload": schedule.payload}


def _write(change: Change, schedule: Schedule) -> None:
    from django_celery_beat.models import PeriodicTask

    row = change.row or PeriodicTask(name=change.name, enabled=schedule.enabled)
    fields = ["task", "args", "kwargs", *_KINDS, "last_run_at", "date_changed"]
    row.task, row.args = TASK, "[]"
    row.kwargs = json.dumps(_kwargs(change.workflow, schedule), ensure_ascii=False)
    if change.row is None or not _has_timing(row, schedule):
        for kind in _KINDS:
            setattr(row, kind, None)
        setattr(row, schedule.kind, _timing_row(schedule))
        # Beat counts from now, instead of sending for a time of the new schedule that is past already.
        row.last_run_at = None
    if change.action == "switched on":
        row.enabled = True
        row.description = row.description.replace(SWITCHED_OFF, "").strip()
        fields += ["enabled", "description"]
    if change.row is None:
        row.save(force_insert=True)
    else:
        row.save(update_fields=fields)


def _switch_off(row: Any) -> None:
    row.enabled = False
    if SWITCHED_OFF not in row.description:
        row.description = "\n".join(filter(None, [row.description, SWITCHED_OFF]))
    row.save(update_fields=["enabled", "description", "last_run_at", "date_changed"])


def _timing_row(schedule: Schedule) -> Any:
    from django_celery_beat.models import CrontabSchedule, IntervalSchedule

    model = CrontabSchedule if schedule.kind == "crontab" else IntervalSchedule
    spec = _spec(schedule)
    # Beat's own rows may be there several times: nothing makes them unique.
    return model.objects.filter(**spec).order_by("pk").first() or model.objects.create(**spec)


def _workflow_of(row: Any) -> str | None:
    """The name of the workflow that a periodic task runs, however its arguments were written."""
    name = _loaded(row.kwargs, dict).get("name") or next(iter(_loaded(row.args, list)), None)
    return name if isinstance(name, str) else None


def _loaded(text: str | None, kind: type[Any]) -> Any:
    """Arguments as somebody may have typed them: what is not JSON of this kind counts as none."""
    try:
        value = json.loads(text or "null")
    except ValueError:
        return kind()
    return value if isinstance(value, kind) else kind()


def _as_json(row: Any) -> Json:
    kind = next((kind for kind in _KINDS if getattr(row, f"{kind}_id") is not None), None)
    zone = str(row.crontab.timezone) if kind == "crontab" else None
    return {
        "name": row.name,
        "kind": kind,
        "value": _value(row, kind),
        "timezone": zone,
        "enabled": row.enabled,
        "next_run_at": next_run_at(row, datetime.now(UTC)) if kind and row.enabled else None,
    }


def _value(row: Any, kind: str | None) -> str:
    if kind == "crontab":
        return " ".join(str(getattr(row.crontab, field)) for field in _CRON_FIELDS)
    if kind == "interval":
        seconds = row.interval.schedule.run_every.total_seconds()
        return str(int(seconds)) if seconds.is_integer() else repr(seconds)
    return str(getattr(row, kind)) if kind else ""
