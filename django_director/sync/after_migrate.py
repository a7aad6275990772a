"""Syncs the workflow files after ``manage.py migrate``, where ``SYNC_AFTER_MIGRATE`` says so."""

from __future__ import annotations

import sys
from typing import TextIO

from django.apps import AppConfig, apps
from django.db import connections
from django.db.models.signals import post_migrate

from django_director.conf import director
from django_director.exceptions import InvalidDefinitions
from django_director.models import Lease, Workflow, WorkflowVersion
from django_director.schedules import beat_rows

from . import versions


def sync_after_migrate(
    sender: AppConfig, using: str, verbosity: int = 1, stdout: TextIO | None = None, **_: object
) -> None:
    """Receive ``post_migrate``: sync the workflow files if the project wants that and all tables exist.

    Problems are printed, and ``migrate`` goes on.
    """
    if sender.label != "django_director" or not director.SYNC_AFTER_MIGRATE or using not in _databases().values():
        return
    missing = _missing_tables()
    if missing:
        print(f"Workflows not synced: there is no table {', '.join(missing)} yet.", file=sys.stderr)
        return
    try:
        report = versions.sync()
    except InvalidDefinitions as error:
        print(f"Workflows not synced, because of problems in their files:\n{error}", file=sys.stderr)
        return
    for warning in report.warnings:
        print(f"Warning: {warning}.", file=sys.stderr)
    if verbosity:
        versions.write(report, lambda line: print(line, file=stdout or sys.stdout))


def _databases() -> dict[str, str]:
    """Return the tables that a sync needs, each with the alias of its database: beat's may be in another one."""
    found = {model._meta.db_table: director.DATABASE for model in (Lease, Workflow, WorkflowVersion)}
    if beat_rows.is_installed():
        found[apps.get_model("django_celery_beat", "PeriodicTask")._meta.db_table] = beat_rows.beat_database()
    return found


def _missing_tables() -> list[str]:
    """Return the tables that a sync needs and that do not exist, as after ``migrate APP`` or a migration back."""
    wanted = _databases()
    existing = {alias: set(connections[alias].introspection.table_names()) for alias in set(wanted.values())}
    return [table for table, alias in wanted.items() if table not in existing[alias]]


post_migrate.connect(sync_after_migrate, dispatch_uid="django_director.sync.after_migrate")
