"""Finished runs in bulk: copies of one, each a second older than the one before. PostgreSQL only."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from django.db.models import Model

BATCH = 50_000


def fill(template: UUID, first: int, last: int) -> None:
    """Copy the finished run ``template`` with all its rows, as the runs numbered ``first`` to ``last``."""
    from django.db import connection

    from django_director.models import Gate, Run, Task

    for begin in range(first, last + 1, BATCH):
        end = min(begin + BATCH - 1, last)
        with connection.cursor() as cursor:
            for model, key in ((Run, "id"), (Task, "run_id"), (Gate, "run_id")):
                cursor.execute(_copy(model, key, template), [begin, end, template])
    with connection.cursor() as cursor:
        # As autovacuum does in a database that grew slowly.
        cursor.execute("VACUUM ANALYZE")


def _copy(model: type[Model], key: str, template: UUID) -> str:
    from django.db import connection
    from django.db.models import AutoField, DateTimeField

    quote = connection.ops.quote_name
    copied = {}
    for field in model._meta.concrete_fields:
        column = str(field.column)
        if isinstance(field, AutoField):
            continue
        copied[column] = f"t.{quote(column)}"
        if isinstance(field, DateTimeField):
            copied[column] += " - i * interval '1 second'"
    # As `ids.py` makes them: by time, and a task's from its run's and its position.
    if model.__name__ == "Task":
        copied["id"] = _id(template, "t.position + 1")
    copied[key] = _id(template, "0")
    columns, values = ", ".join(map(quote, copied)), ", ".join(copied.values())
    table = quote(model._meta.db_table)
    return (
        f"INSERT INTO {table} ({columns}) SELECT {values} "
        f"FROM {table} t, generate_series(%s::integer, %s::integer) i WHERE t.{quote(key)} = %s"
    )


def _id(template: UUID, position: str) -> str:
    parts = [_hex(f"{template.int >> 80} - i * 1000::bigint", 12), "'70008000'", _hex("i", 6), _hex(position, 6)]
    return f"({' || '.join(parts)})::uuid"


def _hex(number: str, digits: int) -> str:
    return f"lpad(to_hex({number}), {digits}, '0')"
