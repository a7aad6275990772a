"""The driver's own Django: the benchmark's database with its workflows, made anew and dropped."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from .contenders.ours import write_workflows
from .places import Places, remove

MARK = "made_by_benchmarks"
"""A table that says whose database it is."""


@contextmanager
def project(places: Places) -> Iterator[None]:
    """Django set up in this process on a new database with the workflows of every suite. Once in a process."""
    os.environ.update(places.environment())
    import django

    django.setup()
    import_module("benchmarks.app")
    from django.core.management import call_command
    from django.db import connection

    write_workflows(places.folder / "workflows" / "workflows.yml")
    name = str(connection.settings_dict["NAME"])
    refuse_strange(name)
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    try:
        mark(name)
        call_command("syncworkflows", verbosity=0)
        yield
    finally:
        connection.creation.destroy_test_db(name, verbosity=0)
        remove(places)


@contextmanager
def empty_database(name: str) -> Iterator[None]:
    """One more database beside the benchmark's own, for a contender to fill. Not on SQLite."""
    from django.db import connection

    refuse_strange(name)
    quoted = connection.ops.quote_name(name)
    is_postgres = connection.vendor == "postgresql"
    drop = f"DROP DATABASE IF EXISTS {quoted}" + " WITH (FORCE)" * is_postgres
    with connection.cursor() as cursor:
        cursor.execute(drop)
        cursor.execute(f"CREATE DATABASE {quoted}" + " CHARACTER SET utf8mb4" * (not is_postgres))
    try:
        mark(name)
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(drop)


def refuse_strange(name: str) -> None:
    """Raise ``SystemExit`` when there is such a database and no benchmark made it: it would be dropped."""
    from django.db import DatabaseError

    with _connected(name) as other:
        try:
            is_ours = MARK in other.introspection.table_names()
        except DatabaseError:  # there is none
            return
    if not is_ours:
        raise SystemExit(
            f"There is a database “{name}” that no benchmark made: drop it, or give another --database"
        )


def mark(name: str) -> None:
    """Say that the benchmark made this database and may drop it."""
    with _connected(name) as other, other.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {MARK} (one integer)")


@contextmanager
def _connected(name: str) -> Iterator[Any]:
    from django.db import connection

    other = connection.copy()
    other.settings_dict["NAME"] = name
    try:
        yield other
    finally:
        other.close()
