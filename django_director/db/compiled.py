"""ORM statements compiled once.

Building a query costs the ORM several times what the database takes to answer it. The few statements that every
task needs are therefore written as querysets, with a ``Param`` for each value that changes, compiled at their
first use, and then only executed. What Django would send is what is sent, on every database.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from functools import cache, wraps
from typing import Any, Final, ParamSpec, TypeVar

from django.db import connections, models
from django.db.models import Case, Exists, When
from django.db.models.expressions import Expression
from django.db.models.sql import UpdateQuery

from django_director.conf import director

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


class Locked(Exists):
    """As ``Exists``, and locks the row that it finds until the transaction ends. PostgreSQL only."""

    template = "EXISTS(%(subquery)s FOR UPDATE)"


class _Flag(Expression):
    """A condition in the database's own words."""

    conditional = True

    def __init__(self, sql: str) -> None:
        super().__init__(output_field=models.BooleanField())
        self.sql = sql

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        return self.sql, ()


_KEPT: Final = "director_cursor"
_FIRST_MATCHED: Final = _Flag('EXISTS(SELECT 1 FROM "first")')
SOON_DURABLE: Final = _Flag("set_config('synchronous_commit', 'off', true) IS NOT NULL")
"""True. The commit then waits for no disk: a crash of PostgreSQL may undo the transaction, never a part of it."""


ROW_SECONDS: Final = 3
"""How long a worker waits for a lock, with a message or an outcome in its hands, and a start waits."""


def wait_at_most(seconds: float) -> Expression:
    """A condition that is true; its transaction gives up after waiting so long for a lock. PostgreSQL only."""
    return _Flag(f"set_config('lock_timeout', '{round(seconds * 1000)}ms', true) IS NOT NULL")


def waiting_at_most(seconds: float, value: Any) -> Expression:
    """``value``, and what ``wait_at_most`` does, for where there is no condition: in a row to be inserted."""
    return Case(When(wait_at_most(seconds), then=value))


def can_pair() -> bool:
    """Say whether the database takes a ``Pair``."""
    return _is_postgresql(director.DATABASE)


@cache
def _is_postgresql(alias: str) -> bool:
    return connections[alias].vendor == "postgresql"


class Statement:
    """SQL and parameters, some of which are still open."""

    def __init__(self, sql: str, params: Sequence[Any]) -> None:
        self.sql = sql
        self.params = [_plain(param) for param in params]
        self._open: dict[str, tuple[models.Field[Any, Any], list[int]]] = {}
        for index, param in enumerate(params):
            if isinstance(param, Param):
                self._open.setdefault(param.name, (param.output_field, []))[1].append(index)

    def execute(self, values: dict[str, Any]) -> Any:
        """Execute it with a value for each name; return the cursor, which the next statement will use too."""
        connection: Any = connections[director.DATABASE]
        params = self.params.copy()
        for name, (field, places) in self._open.items():
            value = _plain(field.get_db_prep_save(values[name], connection))
            for index in places:
                params[index] = value
        cursor = _cursor(connection)
        cursor.execute(self.sql, params)
        return cursor


def _cursor(connection: Any) -> Any:
    """A cursor that is kept with its connection: making one takes a sixth of the time of a short statement."""
    if connection.vendor != "postgresql" or connection.queries_logged:
        return connection.cursor()
    connection.close_if_health_check_failed()
    kept = connection.__dict__.get(_KEPT)
    if kept is None or kept.closed or kept.connection is not connection.connection:
        kept = connection.__dict__[_KEPT] = connection.cursor()
    return kept


def _plain(value: Any) -> Any:
    # Of an enum psycopg looks through all base classes anew each time.
    return str(value) if isinstance(value, Enum) else value


class Update:
    """An UPDATE of what a queryset selects; ``changes`` are as for ``QuerySet.update``."""

    def __init__(self, rows: models.QuerySet[Any], **changes: Any) -> None:
        self._rows = rows
        self._changes = changes
        query: Any = rows.query.chain(UpdateQuery)
        query.add_update_values(changes)
        self.statement = Statement(*query.get_compiler(director.DATABASE).as_sql())

    def if_first_matched(self) -> Update:
        """The same as the second part of a ``Pair``."""
        return Update(self._rows.filter(_FIRST_MATCHED), **self._changes)

    def execute(self, **values: Any) -> int:
        """Give each ``Param`` its value; return the number of rows that were matched."""
        return int(self.statement.execute(values).rowcount)


class Pair:
    """Two UPDATEs in one statement; the second takes place only when the first has matched a row.

    PostgreSQL calls it data-modifying statements in WITH. Both see the rows as they were before, or as they are
    when somebody was waited for. It spares a short transaction its BEGIN, its COMMIT, and their way.
    """

    def __init__(self, first: Update, second: Update) -> None:
        one, other = first.statement, second.if_first_matched().statement
        self._statement = Statement(
            f'WITH "first" AS ({one.sql} RETURNING 1), "second" AS ({other.sql} RETURNING 1) '
            'SELECT (SELECT count(*) FROM "first"), (SELECT count(*) FROM "second")',
            [*one.params, *other.params],
        )

    def execute(self, **values: Any) -> tuple[int, int]:
        """Give each ``Param`` its value; return how many rows each of the two has matched."""
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
        """This, for when ``first`` has matched a row, and after it: one statement, see ``Pair``.

        The rows are read as they were before ``first``.
        """
        then = Select(self._rows.filter(_FIRST_MATCHED))
        one, other = first.statement, then.statement
        sql = f'WITH "first" AS ({one.sql} RETURNING 1) {other.sql}'
        then.statement = Statement(sql, [*one.params, *other.params])
        return then

    def rows(self, **values: Any) -> list[list[Any]]:
        """Give each ``Param`` its value; return all rows."""
        connection = connections[director.DATABASE]
        found = [list(row) for row in self.statement.execute(values).fetchall()]
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
