"""Keeps ``manage.py migrate django_director zero`` from deleting runs that are still active."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

from django.apps import AppConfig
from django.core.management import CommandError
from django.db import connections
from django.db.migrations import Migration
from django.db.models import Count
from django.db.models.signals import pre_migrate

from django_director.models import Run

OVERRIDE: Final = "DIRECTOR_DELETE_ACTIVE_RUNS"
"""The environment variable that lets active runs be deleted, when it is ``1``."""
NAMED: Final = 5
"""How many workflows the refusal names."""


def refuse_to_drop_active_runs(
    sender: AppConfig, using: str, plan: Sequence[tuple[Migration, bool]] = (), **_: object
) -> None:
    """Receive ``pre_migrate``: raise ``CommandError`` if ``migrate`` is about to drop tables with active runs.

    It is called before the first migration is unapplied, so that none is undone in part. If ``migrate`` drops no
    tables, it asks the database nothing.
    """
    if sender.label != "django_director" or os.environ.get(OVERRIDE) == "1":
        return
    drops = [migration.name for migration, is_backwards in plan if is_backwards and _makes_tables(migration)]
    active = _active_runs(using) if drops else []
    if active:
        raise CommandError(_refusal(active, drops[-1]))


def _makes_tables(migration: Migration) -> bool:
    """Whether this is django-director's first migration: it depends on none of its migrations."""
    label = "django_director"
    return migration.app_label == label and all(app != label for app, _ in migration.dependencies)


def _active_runs(using: str) -> list[tuple[str, int]]:
    """Return the workflows with active runs in a database, each with their number, the most first."""
    if Run._meta.db_table not in connections[using].introspection.table_names():
        return []
    # Only columns that every version of the table has: later migrations may not have been applied.
    runs = Run.objects.using(using).filter(finished_at=None).order_by()
    counted = runs.values_list("workflow__name").annotate(number=Count("pk"))
    return list(counted.order_by("-number", "workflow__name"))


def _refusal(active: list[tuple[str, int]], name: str) -> str:
    total = sum(number for _, number in active)
    listed = ", ".join(f"{number:,} of “{workflow}”" for workflow, number in active[:NAMED])
    more = len(active) - NAMED
    listed += f", and those of {more:,} more workflows" if more > 0 else ""
    return (
        f"unapplying django_director.{name} deletes all runs, and {total:,} are active: {listed}. "
        "Cancel them (`manage.py listruns` shows them, `manage.py cancelworkflow RUN` cancels one) and wait until "
        f"they have ended; or set {OVERRIDE}=1 in the environment of this command to delete them as they are."
    )


pre_migrate.connect(refuse_to_drop_active_runs, dispatch_uid="django_director.sync.unapply_guard")
