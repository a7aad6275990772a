"""Plants hostile texts in every text of the rows that exist, whatever columns the models have."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, Final

from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.db import models
from django_celery_beat.models import PeriodicTask

from django_director.models import Workflow
from django_director.schedules import beat_rows

HOSTILE: Final = (
    "\x1b[31m<b>bold</b>\u202egnp.exe\u2066\u200f\x07\x9b\r\n\u2028'\"&amp;</pre></script>" + "W" * 300
)
KEPT: Final = {
    # What these hold is looked up, not shown.
    "Installation.uid",
    "LogEntry.object_id",
    "Run.user_id",
    "Task.decided_by_id",
    "WorkflowVersion.content_hash",
    # Rights, and the one row of its kind.
    "Workflow.allowed_groups",
    "Lease.name",
    # It goes with a slot.
    "Run.concurrency_key",
    # The names of steps must fit the definition: one workflow of the situation has hostile ones.
    "Task.step",
    # JSON that Django itself makes.
    "LogEntry.change_message",
}
TOLD: Final = frozenset({"description", "prompt", "title"})
"""The keys of a definition whose values are prose."""
_numbers = count(1)


def plant() -> None:
    """Replace the texts of all rows of this app and of their schedules, and what Django's history calls them."""
    schedules = _schedules()
    for model in (*apps.get_app_config("django_director").get_models(), LogEntry):
        columns = dict(_columns(model))
        rows = list(model._default_manager.all())
        for row in rows:
            for name, change in columns.items():
                setattr(row, name, change(getattr(row, name)))
        if columns and rows:
            model._default_manager.bulk_update(rows, list(columns), batch_size=100)
    for row, workflow in schedules:
        row.name = row.description = _fitted(200)(None)
        row.kwargs = json.dumps({"name": Workflow.objects.get(pk=workflow).name, "payload": _poisoned({"a": ""})})
        row.save()


def _schedules() -> list[tuple[PeriodicTask, int]]:
    """Return the schedules of workflows, each with the key of its workflow."""
    keys = dict(Workflow.objects.values_list("name", "pk"))
    return [
        (row, keys[str(beat_rows.workflow_of(row))]) for row in PeriodicTask.objects.filter(task=beat_rows.TASK)
    ]


def _columns(model: type[models.Model]) -> Iterator[tuple[str, Callable[[Any], Any]]]:
    for field in model._meta.concrete_fields:
        if f"{model.__name__}.{field.name}" in KEPT or field.choices or field.primary_key:
            continue
        if isinstance(field, models.JSONField):
            yield field.name, _told if field.name == "definition" else _poisoned
        elif isinstance(field, models.CharField | models.TextField):
            yield field.name, _fitted(field.max_length)


def _fitted(length: int | None) -> Callable[[object], str]:
    """Return a function that makes a hostile text of at most ``length`` characters, each time another one."""

    def make(_: object) -> str:
        number = str(next(_numbers))
        return HOSTILE[: (length or len(HOSTILE) + 10) - len(number)] + number

    return make


def _poisoned(value: Any) -> Any:
    """Return a JSON value with all strings replaced; a field of its own is added to an object."""
    if isinstance(value, dict):
        return {key: _poisoned(each) for key, each in value.items()} | {HOSTILE: HOSTILE}
    if isinstance(value, list):
        return [_poisoned(each) for each in value]
    return HOSTILE if isinstance(value, str) else value


def _told(value: Any) -> Any:
    """Return a definition with its prose replaced."""
    if isinstance(value, dict):
        return {
            key: HOSTILE if key in TOLD and isinstance(each, str) else _told(each) for key, each in value.items()
        }
    return [_told(each) for each in value] if isinstance(value, list) else value
