"""Tells which migrations the database lacks, as after a new release that was started without ``migrate``."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import Final

from django.apps import apps
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

_OURS: Final = ("django_director", "django_director_broker")
_complete: Final[set[str]] = set()
"""The databases, by alias, that have them all: nobody takes a migration back while processes run."""


def unapplied(database: BaseDatabaseWrapper) -> list[str]:
    """Return the migrations of this package that ``database`` lacks, as ``app.name``; in one query, or in none."""
    if database.alias in _complete:
        return []
    wanted = {(label, name) for label in _OURS if label in apps.app_configs for name in _names(label)}
    rows = MigrationRecorder(database).migration_qs.filter(app__in=_OURS).values_list("app", "name")
    lacking = wanted.difference(rows) if wanted else set()
    if not lacking:
        _complete.add(database.alias)
    return sorted(f"{label}.{name}" for label, name in lacking)


def _names(label: str) -> list[str]:
    """Return the names of an app's migrations; none for a project that has switched them off."""
    module, _explicit = MigrationLoader.migrations_module(label)
    if module is None:
        return []
    return [name for _, name, is_package in iter_modules(import_module(module).__path__) if not is_package]
