"""UPDATE statements that are compiled once and give each of many rows values of its own.

The values travel as one parameter, a JSON text, which the database takes apart, as in ``bulk_inserts``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from django.db import connections, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.expressions import Expression
from django.db.models.sql import UpdateQuery
from django.db.models.sql.compiler import SQLCompiler

from django_director.conf import director

from .bulk_inserts import Row, rows_as_text, taken_apart
from .compiled import Param, Statement

_GIVEN: Final = "given"
"""The name of the table of given values, in the statement."""


class Given(Expression):
    """The value that a row of an ``UpdateMany`` is given under a name; ``field`` says of which type it is."""

    def __init__(self, name: str, field: models.Field[Any, Any]) -> None:
        super().__init__(output_field=field)
        # Not a name of a column of the table that is updated: in MySQL it would be ambiguous.
        self.column = f"{_GIVEN}_{name}"

    def as_sql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> tuple[str, tuple[()]]:
        """Return the column of the table of given values."""
        return f"{_GIVEN}.{self.column}", ()


class UpdateMany:
    """An UPDATE of many rows. ``rows`` and ``changes`` may contain each of ``given``, and each ``Param``.

    ``rows`` must say which of the given values belong to which row. Neither may contain a subquery.
    """

    def __init__(self, rows: models.QuerySet[Any], given: Iterable[Given], **changes: object) -> None:
        connection = connections[director.DATABASE]
        query: Any = rows.query.chain(UpdateQuery)
        query.add_update_values(changes)
        sql, params = query.get_compiler(director.DATABASE).as_sql()
        head, _, condition = sql.partition(" WHERE ")
        before = head.count("%s")
        given = list(given)
        own, source = taken_apart([value.output_field for value in given])
        named = ", ".join(f"{column} AS {value.column}" for column, value in zip(own, given, strict=True))
        table = f"(SELECT {named} FROM {source}) AS {_GIVEN}"
        values = Param("rows", models.TextField())
        if connection.vendor == "mysql":
            updated, _, changed = head.partition(" SET ")
            sql = f"{updated}, {table} SET {changed} WHERE {condition}"
            params = (values, *params)
        else:
            sql = f"{head} FROM {table} WHERE {condition}"
            params = (*params[:before], values, *params[before:])
        self._statement = Statement(sql, params)

    def execute(self, rows: Iterable[Row], **values: object) -> int:
        """Execute the UPDATE with rows of given values, and a value for each ``Param``; return how many matched.

        A value of a JSON column is given as JSON text.
        """
        return int(self._statement.execute(values | {"rows": rows_as_text(list(rows))}).rowcount)
