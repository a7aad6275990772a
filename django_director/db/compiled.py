"""Statements of Django's ORM that are compiled once and then only executed.

Building a query costs the ORM several times as much as the database takes to answer it. So the few statements that
every task needs are written as querysets with a ``Param`` for each value that changes. They are compiled at their
first use. The SQL is what Django would send, on every database.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from enum import Enum
from functools import cache, wraps
from typing import Any, Final, ParamSpec, TypeVar

from django.db import DatabaseError, connections, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from django.db.models import Case, Exists, When
from django.db.models.expressions import Expression
from django.db.models.sql import UpdateQuery
from django.db.models.sql.compiler import SQLCompiler

from django_director.conf import director

from . import plans

P = ParamSpec("P")
S = TypeVar("S")


class Param(Expression):
    """The place of a value that is given when a statement is executed; ``field`` converts it for the database."""

    def __init__(self, name: str, field: models.Field[Any, Any]) -> None:
        super().__init__(output_field=field)
        self.name = name

    def as_sql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> Any:
        """Return a placeholder, and as its parameter this object in place of the value."""
        return "%s", (self,)


INTEGER: Final = models.BigIntegerField()
TEXT: Final = models.TextField()
UUID_FIELD: Final = models.UUIDField()


class Locked(Exists):
    """An ``EXISTS`` that also locks the row which it finds, until the transaction ends. PostgreSQL only."""

    template = "EXISTS(%(subquery)s FOR UPDATE)"


class Fragment(Expression):
    """An expression that is given as SQL."""

    def __init__(self, sql: str, field: models.Field[Any, Any]) -> None:
        super().__init__(output_field=field)
        self.sql = sql

    def as_sql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> tuple[str, tuple[()]]:
        return self.sql, ()


class _Flag(Fragment):
    """A condition that is given as SQL."""

    conditional = True

    def __init__(self, sql: str) -> None:
        super().__init__(sql, models.BooleanField())


def matched(part: str) -> Expression:
    """Return the condition that a part of a ``WITH`` has matched a row; ``part`` is its name."""
    return _Flag(f'EXISTS(SELECT 1 FROM "{part}")')


_KEPT: Final = "director_cursor"
_FIRST_MATCHED: Final = matched("first")
SOON_DURABLE: Final = _Flag("set_config('synchronous_commit', 'off', true) IS NOT NULL")
"""A condition that is true. With it the commit of the transaction does not wait for the disk.

A crash of PostgreSQL may then undo the transaction as a whole, but never a part of it.
"""


ROW_SECONDS: Final = 3
"""How many seconds a worker that has a message or an outcome waits for a lock; so long a start waits too."""


def wait_at_most(seconds: float) -> Expression:
    """Return a condition that is true and limits how long its transaction waits for a lock. PostgreSQL only."""
    return _Flag(f"set_config('lock_timeout', '{round(seconds * 1000)}ms', true) IS NOT NULL")


def waiting_at_most(seconds: float, value: Expression) -> Expression:
    """Return an expression for ``value`` that limits how long its transaction waits for a lock. PostgreSQL only.

    For a row to be inserted: an INSERT has no conditions, where ``wait_at_most`` could stand.
    """
    return Case(When(wait_at_most(seconds), then=value))


def can_pair() -> bool:
    """Whether the database can execute a ``Pair``."""
    return _is_postgresql(director.DATABASE)


@cache
def _is_postgresql(alias: str) -> bool:
    return connections[alias].vendor == "postgresql"


class Statement:
    """SQL and its parameters; some of them may be a ``Param``, whose value is given at execution."""

    def __init__(self, sql: str, params: Sequence[object]) -> None:
        self.sql = sql
        self.params: list[Any] = [_plain(param) for param in params]
        self._open: dict[str, tuple[models.Field[Any, Any], list[int]]] = {}
        for index, param in enumerate(params):
            if isinstance(param, Param):
                self._open.setdefault(param.name, (param.output_field, []))[1].append(index)

    def execute(self, values: Mapping[str, object]) -> CursorWrapper:
        """Execute the statement with a value for the name of each ``Param``; return the cursor.

        Read the result from the cursor at once: the next statement may use the same one.
        """
        connection = connections[director.DATABASE]
        params = self.params.copy()
        for name, (field, places) in self._open.items():
            value = _plain(field.get_db_prep_save(values[name], connection))
            for index in places:
                params[index] = value
        cursor = _cursor(connection)
        try:
            cursor.execute(self.sql, params)
        except DatabaseError as error:
            if not plans.give_up(connection, error) or connection.in_atomic_block:
                raise
            cursor.execute(self.sql, params)
        return cursor


def _cursor(connection: BaseDatabaseWrapper) -> CursorWrapper:
    """Return a cursor; on PostgreSQL it is kept with its connection.

    Making a cursor takes a sixth of the time of a short statement.
    """
    if connection.vendor != "postgresql" or connection.queries_logged:
        return connection.cursor()
    connection.close_if_health_check_failed()
    kept = connection.__dict__.get(_KEPT)
    if kept is None or kept.closed or kept.connection is not connection.connection:
        kept = connection.__dict__[_KEPT] = plans.cursor(connection)
    return kept


def _plain(value: object) -> object:
    # For a member of an enum psycopg would search all its base classes at each execution.
    return str(value) if isinstance(value, Enum) else value


class Update:
    """An UPDATE of the rows of a queryset; ``changes`` are given as for ``QuerySet.update``."""

    def __init__(self, rows: models.QuerySet[Any], **changes: object) -> None:
        self._rows = rows
        self._changes = changes
        query: Any = rows.query.chain(UpdateQuery)
        query.add_update_values(changes)
        self.statement = Statement(*query.get_compiler(director.DATABASE).as_sql())

    def only_if(self, condition: Expression) -> Update:
        """Return this UPDATE with a further condition."""
        return Update(self._rows.filter(condition), **self._changes)

    def execute(self, **values: object) -> int:
        """Execute the UPDATE with a value for each ``Param``; return how many rows it has matched."""
        return int(self.statement.execute(values).rowcount)


class Pair:
    """Two UPDATEs in one statement; the second changes rows only if the first has matched a row. PostgreSQL only.

    PostgreSQL calls this data-modifying statements in WITH. Both UPDATEs see the rows as they were before the
    statement; a row for whose lock the statement has waited they see as it is after that wait. A pair needs no
    BEGIN and COMMIT, and no round trips for them.
    """

    def __init__(self, first: Update, second: Update) -> None:
        one, other = first.statement, second.only_if(_FIRST_MATCHED).statement
        self._statement = Statement(
            f'WITH "first" AS ({one.sql} RETURNING 1), "second" AS ({other.sql} RETURNING 1) '
            'SELECT (SELECT count(*) FROM "first"), (SELECT count(*) FROM "second")',
            [*one.params, *other.params],
        )

    def execute(self, **values: object) -> tuple[int, int]:
        """Execute both UPDATEs with a value for each ``Param``; return how many rows each has matched."""
        first, second = self._statement.execute(values).fetchone()
        return int(first), int(second)


class Select:
    """A SELECT of the columns of a ``values_list`` queryset."""

    def __init__(self, rows: models.QuerySet[Any]) -> None:
        self._rows = rows
        compiler: Any = rows.query.get_compiler(director.DATABASE)
        self.statement = Statement(*compiler.as_sql())
        columns = [column[0] for column in compiler.select[: compiler.col_count]]
        self._converters = [
            (index, converters, expression)
            for index, (converters, expression) in compiler.get_converters(columns).items()
        ]

    def after(self, first: Update) -> Select:
        """Return a SELECT that executes the UPDATE ``first`` too, in one statement. PostgreSQL only.

        It returns rows only if ``first`` has matched a row. They are read as they were before ``first``.
        """
        then = Select(self._rows.filter(_FIRST_MATCHED))
        one, other = first.statement, then.statement
        sql = f'WITH "first" AS ({one.sql} RETURNING 1) {other.sql}'
        then.statement = Statement(sql, [*one.params, *other.params])
        return then

    def rows(self, **values: object) -> list[list[Any]]:
        """Execute the SELECT with a value for each ``Param``; return all rows."""
        connection = connections[director.DATABASE]
        found = [list(row) for row in self.statement.execute(values).fetchall()]
        for row in found:
            for index, converters, expression in self._converters:
                for convert in converters:
                    row[index] = convert(row[index], expression, connection)
        return found


def prepared(build: Callable[P, S]) -> Callable[P, S]:
    """Decorate a function that builds a statement: it is built once for each database and each set of arguments.

    The result of ``build`` must depend on nothing else that may change.
    """

    @cache
    def kept(alias: str, *args: object) -> object:
        return build(*args)  # type: ignore[call-arg, arg-type]

    @wraps(build)
    def get(*args: Hashable) -> object:
        return kept(director.DATABASE, *args)

    return get  # type: ignore[return-value]
