"""Schedules that people add, change, switch and delete in the admin.

The workflow files own the timing and the payload of their schedules; everybody's switch is the row's. A name made
by people never looks like one of the files, so no sync touches the row.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from celery import schedules
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import F

from django_director.definitions import Schedule
from django_director.engine import history
from django_director.exceptions import Conflict
from django_director.models import Workflow
from django_director.models.users import User

from . import beat_rows, timings
from .beat_rows import CRON_FIELDS, PREFIX, TASK, Change
from .timings import PeriodicRow, Timing

NAME_LENGTH: Final = 150
"""Characters of the name of a schedule."""
EDITABLE: Final = ("crontab", "interval")


def find(workflow: Workflow, pk: int) -> PeriodicRow | None:
    """Return the schedule ``pk`` of a workflow; ``None`` if there is none. It takes one query."""
    row: PeriodicRow | None = beat_rows.periodic_tasks().filter(pk=pk, task=TASK).first()
    return row if row is not None and beat_rows.workflow_of(row) == workflow.name else None


def is_of_file(row: PeriodicRow) -> bool:
    """Whether the workflow files own this schedule."""
    return beat_rows.is_of_files(row.name)


def is_editable(row: PeriodicRow) -> bool:
    """Whether people may change the timing of this schedule here."""
    return not is_of_file(row) and kind_of(row) in EDITABLE


def kind_of(row: PeriodicRow) -> str | None:
    """Return ``crontab``, ``interval``, ``solar`` or ``clocked``; ``None`` for a row without a timing."""
    return next((kind for kind in beat_rows.KINDS if getattr(row, f"{kind}_id") is not None), None)


def as_schedule(row: PeriodicRow) -> Schedule:
    """Return a crontab or an interval as an entry of ``periodic``."""
    zone = str(row.crontab.timezone) if row.crontab is not None else None
    return Schedule(
        kind="interval" if row.interval is not None else "crontab",
        value=beat_rows.value_of(row),
        timezone=zone,
        enabled=row.enabled,
        payload=beat_rows.payload_of(row),
    )


def state_of(row: PeriodicRow) -> str:
    """Return a text that is another one after each change of what people see of a schedule."""
    seen = [
        row.name,
        row.enabled,
        kind_of(row),
        beat_rows.value_of(row),
        str(row.crontab and row.crontab.timezone),
    ]
    return hashlib.sha256(json.dumps([*seen, row.args, row.kwargs]).encode()).hexdigest()[:16]


def next_times(schedule: Schedule, number: int) -> list[datetime]:
    """Return the next times at which a schedule would be due, if it were written now."""
    timing = _timing(schedule)
    found: list[datetime] = []
    after: datetime | None = datetime.now(UTC)
    while after is not None and len(found) < number:
        after = timing.next(after)
        found += [] if after is None else [after]
    return found


def _timing(schedule: Schedule) -> Timing:
    if schedule.kind == "interval":
        return Timing(interval=timedelta(seconds=float(schedule.value)))
    fields = dict(zip(CRON_FIELDS, schedule.value.split(), strict=True))
    zone = ZoneInfo(schedule.timezone or beat_rows.default_timezone())
    crontab: Any = schedules.crontab(**fields)
    return Timing(cron=timings.cron_of(crontab), zone=zone)


def is_free(name: str) -> bool:
    """Whether no periodic task has this name."""
    return not beat_rows.periodic_tasks().filter(name=name).exists()


def add(workflow: Workflow, name: str, schedule: Schedule, *, user: User, via: str) -> None:
    """Add a schedule with a name of its own. Raises ``Conflict`` if a periodic task of this name exists."""
    taken = Conflict(f"there is a periodic task “{name}” already: choose another name")
    if name.startswith(PREFIX) or not is_free(name):
        raise taken
    new = Change(name=name, action="added", workflow=workflow.name, schedule=schedule)
    try:
        beat_rows.apply_changes([new])
    # Somebody has taken the name since: beat's model or the database says so.
    except IntegrityError as error:
        raise taken from error
    except ValidationError as error:
        if "name" in getattr(error, "error_dict", {}):
            raise taken from error
        raise
    history.record(user, workflow, _line(f"Schedule “{name}” added", via))


def change(workflow: Workflow, pk: int, schedule: Schedule, *, seen: str, user: User, via: str) -> None:
    """Give a schedule another timing or payload. Raises ``Conflict`` if it is not as it was ``seen``."""
    with _locked(workflow, pk) as row:
        _refuse_changed(row, seen)
        if not is_editable(row):
            raise Conflict(f"the workflow files own the schedule “{row.name}”: change it there, then sync")
        changed = Change(name=row.name, action="changed", row=row, workflow=workflow.name, schedule=schedule)
        beat_rows.apply_changes([changed])
    history.record(user, workflow, _line(f"Schedule “{row.name}” changed", via))


def switch(workflow: Workflow, pk: int, *, enabled: bool, user: User, via: str) -> bool:
    """Switch a schedule on or off, also one of the files; return whether it was not so already."""
    with _locked(workflow, pk) as row:
        if row.enabled == enabled:
            return False
        if enabled and not workflow.is_active:
            raise Conflict(f"“{workflow.name}” has left the workflow files: its schedules can't be switched on")
        row.enabled = enabled
        # A sync does not switch on again what a person has switched off.
        row.description = row.description.replace(beat_rows.SWITCHED_OFF, "").strip()
        row.save(update_fields=["enabled", "description", "last_run_at", "date_changed"])
    history.record(user, workflow, _line(f"Schedule “{row.name}” switched {'on' if enabled else 'off'}", via))
    return True


def delete(workflow: Workflow, pk: int, *, seen: str, user: User, via: str) -> None:
    """Delete a schedule that the files do not own. Raises ``Conflict`` if it is not as it was ``seen``."""
    with _locked(workflow, pk) as row:
        _refuse_changed(row, seen)
        if is_of_file(row):
            raise Conflict(f"the workflow files own the schedule “{row.name}”: take it out there, then sync")
        name = row.name
        row.delete()
    history.record(user, workflow, _line(f"Schedule “{name}” deleted", via))


@contextmanager
def _locked(workflow: Workflow, pk: int) -> Iterator[PeriodicRow]:
    """Hold the row of a schedule to the end of this block, in a transaction."""
    with transaction.atomic(using=beat_rows.beat_database()):
        # A write, because SQLite has no other lock.
        beat_rows.periodic_tasks().filter(pk=pk).update(total_run_count=F("total_run_count"))
        row = find(workflow, pk)
        if row is None:
            raise Conflict("somebody has deleted this schedule in the meantime")
        yield row


def _refuse_changed(row: PeriodicRow, seen: str) -> None:
    if state_of(row) != seen:
        raise Conflict(f"somebody has changed the schedule “{row.name}” in the meantime: look at it again")


def _line(text: str, via: str) -> str:
    return f"{text} ({via})"


def details(row: PeriodicRow) -> dict[str, Any]:
    """Return what pages need to offer changes of a schedule."""
    return {"pk": row.pk, "is_of_file": is_of_file(row), "is_editable": is_editable(row), "state": state_of(row)}
