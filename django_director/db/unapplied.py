"""Tells which migrations the database lacks, as after a new release that was started without ``migrate``."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import Final

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

_APP: Final = "django_director"
_complete: Final[set[str]] = set()
"""The databases, by alias, that have them all: nobody takes a migration back while processes run."""


def unapplied(database: BaseDatabaseWrapper) -> list[str]:
    """Return the migrations of the engine that ``database`` lacks, as ``app.name``; in one query, or in none.

    Those of the embedded broker are not asked for: a project may keep its tables in another database.
    """
    if database.alias in _complete:
        return []
    wanted = _names()
    applied = MigrationRecorder(database).migration_qs.filter(app=_APP).values_list("name", flat=True)
    lacking = wanted.difference(applied) if wanted else set()
    if not lacking:
        _complete.add(database.alias)
    return sorted(f"{_APP}.{name}" for name in lacking)


def _names() -> set[str]:
    """Return the names of the app's migrations; none for a project that has switched them off."""
    module, _explicit = MigrationLoader.migrations_module(_APP)
    if module is None:
        return set()
    return {name for _, name, is_package in iter_modules(import_module(module).__path__) if not is_package}
