"""Describes the schedules of workflows, as pages, the API and commands show them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django_director.models import Workflow

from . import by_hand, obstacles
from .beat_rows import KINDS, TASK, is_installed, periodic_tasks, value_of, workflow_of
from .timings import PeriodicRow, next_run_at

Json = dict[str, Any]


def describe(workflow: Workflow) -> list[Json]:
    """Return the schedules of one workflow, each as ``describe_many`` describes it."""
    return describe_many([workflow])[workflow.pk]


def describe_many(workflows: Iterable[Workflow], times: int = 0) -> dict[Any, list[Json]]:
    """Return the schedules of workflows, by the workflow's id. It takes one query.

    Each schedule is ``{name, kind, value, timezone, enabled, next_run_at}``. Schedules that were made by hand are
    included. ``value`` is text: the seconds of an interval, or the five fields of a crontab. ``next_run_at`` is an
    aware time or ``None``. With ``times`` there is also ``next_times``, so many times at which it is due next.
    """
    listed = list(workflows)
    return {pk: [_as_json(row) | _more(row, times) for row in rows] for pk, rows in _rows_of(listed).items()}


def describe_for_pages(workflows: Iterable[Workflow], times: int = 0) -> dict[Any, list[Json]]:
    """Return what ``describe_many`` returns, with what pages need to offer changes, and with ``obstacle``.

    This is the ``Obstacle`` of a schedule that could start no run now, else ``None``. The workflows need their
    current versions. It takes one query, and those of ``obstacles.find``.
    """
    listed = list(workflows)
    by_workflow = _rows_of(listed)
    named = {workflow.name: workflow for workflow in listed}
    found = obstacles.find((row for rows in by_workflow.values() for row in rows), named)
    return {
        pk: [
            _as_json(row) | _more(row, times) | by_hand.details(row) | {"obstacle": found.get(row.pk)}
            for row in rows
        ]
        for pk, rows in by_workflow.items()
    }


def _rows_of(workflows: Sequence[Workflow]) -> dict[Any, list[PeriodicRow]]:
    """Return the rows of django-celery-beat that start these workflows, by the workflow's id."""
    by_name = {workflow.name: workflow.pk for workflow in workflows}
    found: dict[Any, list[PeriodicRow]] = {workflow.pk: [] for workflow in workflows}
    for row in periodic_tasks().filter(task=TASK).order_by("name") if workflows and is_installed() else ():
        pk = by_name.get(workflow_of(row) or "")
        if pk is not None:
            found[pk].append(row)
    return found


def _more(row: PeriodicRow, times: int) -> Json:
    return {"next_times": _next_times(row, times)} if times else {}


def _next_times(row: PeriodicRow, number: int) -> list[datetime]:
    found: list[datetime] = []
    after = datetime.now(UTC)
    while row.enabled and len(found) < number and (due := next_run_at(row, after)) is not None:
        if found and due <= found[-1]:
            # A schedule that is due once.
            break
        found.append(due)
        after = due + timedelta(seconds=1)
    return found


def _as_json(row: PeriodicRow) -> Json:
    kind = next((kind for kind in KINDS if getattr(row, f"{kind}_id") is not None), None)
    zone = str(row.crontab.timezone) if kind == "crontab" else None
    return {
        "name": row.name,
        "kind": kind,
        "value": value_of(row),
        "timezone": zone,
        "enabled": row.enabled,
        "next_run_at": next_run_at(row, datetime.now(UTC)) if kind and row.enabled else None,
    }
