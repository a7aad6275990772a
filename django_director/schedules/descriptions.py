"""Describes the schedules of workflows, as pages, the API and commands show them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from django_director.models import Workflow

from .beat_rows import KINDS, TASK, is_installed, periodic_tasks, value_of, workflow_of
from .timings import PeriodicRow, next_run_at

Json = dict[str, Any]


def describe(workflow: Workflow) -> list[Json]:
    """Return the schedules of one workflow, each as ``describe_many`` describes it."""
    return describe_many([workflow])[workflow.pk]


def describe_many(
    workflows: Iterable[Workflow], times: int = 0, more: Callable[[PeriodicRow], Json] = lambda _: {}
) -> dict[Any, list[Json]]:
    """Return the schedules of workflows, by the workflow's id. It takes one query.

    Each schedule is ``{name, kind, value, timezone, enabled, next_run_at}``. Schedules that were made by hand are
    included. ``value`` is text: the seconds of an interval, or the five fields of a crontab. ``next_run_at`` is an
    aware time or ``None``. With ``times`` there is also ``next_times``, so many times at which it is due next,
    and what ``more`` returns for its row.
    """
    listed = list(workflows)
    by_name = {workflow.name: workflow.pk for workflow in listed}
    found: dict[Any, list[Json]] = {workflow.pk: [] for workflow in listed}
    for row in periodic_tasks().filter(task=TASK).order_by("name") if listed and is_installed() else ():
        pk = by_name.get(workflow_of(row) or "")
        if pk is not None:
            found[pk].append(_as_json(row) | _more(row, times) | more(row))
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
