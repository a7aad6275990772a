"""Empty the database after a test that commits, at a fraction of what Django's ``flush`` takes.

Django empties every table, and then ``post_migrate`` writes content types, permissions and the installation's id
again. This command empties the tables that have rows, and leaves those three alone while no test has changed them.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.core.management.commands import flush
from django.db import DatabaseError, connections, router, transaction

from django_director.models import Installation

KEPT = (ContentType, Permission, Installation)
_found: dict[str, list[Any]] = {}
"""By database: what the kept tables had after the last flush of Django's."""


class Command(flush.Command):
    def handle(self, **options: Any) -> None:
        """Do as Django does, but quickly at the end of a test, which is where ``reset_sequences`` is false."""
        database = options["database"]
        is_end_of_test = not options.get("reset_sequences", True) and not options.get("inhibit_post_migrate")
        if is_end_of_test and _empty(database):
            return
        super().handle(**options)
        _found.pop(database, None)
        if is_end_of_test:
            _found[database] = _look(database)


def _empty(database: str) -> bool:
    """Delete all rows but those of ``KEPT``; false, with nothing deleted, when only Django's ``flush`` will do."""
    connection = connections[database]
    try:
        with transaction.atomic(using=database), connection.constraint_checks_disabled():
            if database not in _found or _found[database] != _look(database):
                return False
            for table in _filled(connection):
                with connection.cursor() as cursor:
                    cursor.execute(f"DELETE FROM {connection.ops.quote_name(table)}")
    except DatabaseError:
        return False
    return True


def _look(database: str) -> list[Any]:
    there = [model for model in KEPT if router.allow_migrate_model(database, model)]
    return [sorted(model._default_manager.using(database).values_list()) for model in there]


def _filled(connection: Any) -> list[str]:
    tables = set(connection.introspection.django_table_names()) - {model._meta.db_table for model in KEPT}
    selects = [
        f"SELECT '{name}' WHERE EXISTS (SELECT 1 FROM {connection.ops.quote_name(name)})" for name in tables
    ]
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(selects))
        return [name for (name,) in cursor.fetchall()]
