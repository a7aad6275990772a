"""ORM statements compiled once.

Building a query costs the ORM several times what the database takes to answer it. The few statements that every
task needs are therefore written as querysets, with a ``Param`` for each value that changes, compiled at their
first use, and then only executed. What Django would send is what is sent, on every database.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from typing import Any, Final, ParamSpec, TypeVar

from django.db import connections, models
from django.db.models.expressions import Expression
from django.db.models.sql import UpdateQuery

from .conf import director

P = ParamSpec("P")
S = TypeVar("S")


class Param(Expression):
    """A value that is given at execution; ``field`` says how the database wants it."""

    def __init__(self, name: str, field: models.Field[Any, Any]) -> None:
        super().__init__(output_field=field)
        self.name = name

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        """A placeholder, with itself in the place of the value."""
        return "%s", (self,)


INTEGER: Final = models.BigIntegerField()
TEXT: Final = models.TextField()
UUID_FIELD: Final = models.UUIDField()


class Statement:
    """SQL and parameters, some of which are still open."""

    def __init__(self, sql: str, params: tuple[Any, ...]) -> None:
        self._sql = sql
        self._params = list(params)
        self._open = [(index, param) for index, param in enumerate(params) if isinstance(param, Param)]

    def execute(self, cursor: Any, connection: Any, values: dict[str, Any]) -> None:
        params = self._params.copy()
        for index, param in self._open:
            params[index] = param.output_field.get_db_prep_save(values[param.name], connection)
        cursor.execute(self._sql, params)


class Update:
    """An UPDATE of what a queryset selects; ``changes`` are as for ``QuerySet.update``."""

    def __init__(self, rows: models.QuerySet[Any], **changes: Any) -> None:
        query: Any = rows.query.chain(UpdateQuery)
        query.add_update_values(changes)
        self._statement = Statement(*query.get_compiler(director.DATABASE).as_sql())

    def execute(self, **values: Any) -> int:
        """Give each ``Param`` its value; return the number of rows that were matched."""
        connection = connections[director.DATABASE]
        with connection.cursor() as cursor:
            self._statement.execute(cursor, connection, values)
            return int(cursor.rowcount)


class Select:
    """A SELECT of the columns of a ``values_list`` queryset."""

    def __init__(self, rows: models.QuerySet[Any]) -> None:
        compiler: Any = rows.query.get_compiler(director.DATABASE)
        self._statement = Statement(*compiler.as_sql())
        columns = [column[0] for column in compiler.select[: compiler.col_count]]
        self._converters = [
            (index, converters, expression)
            for index, (converters, expression) in compiler.get_converters(columns).items()
        ]

    def rows(self, **values: Any) -> list[list[Any]]:
        """Give each ``Param`` its value; return all rows."""
        connection = connections[director.DATABASE]
        with connection.cursor() as cursor:
            self._statement.execute(cursor, connection, values)
            found = [list(row) for row in cursor.fetchall()]
        for row in found:
            for index, converters, expression in self._converters:
                for convert in converters:
                    row[index] = convert(row[index], expression, connection)
        return found


def prepared(build: Callable[P, S]) -> Callable[P, S]:
    """Keep what ``build`` returns, by its arguments: whatever else it reads must not change."""

    @cache
    def kept(alias: str, *args: Any) -> Any:
        return build(*args)  # type: ignore[call-arg]

    @wraps(build)
    def get(*args: Any) -> Any:
        return kept(director.DATABASE, *args)

    return get  # type: ignore[return-value]
