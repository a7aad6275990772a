"""INSERT statements that are compiled once and then only executed, also for many rows at a time.

Rows that differ in a few columns only are made by the database itself: the values of these columns travel as one
parameter, a JSON text, which the database takes apart. So neither Python nor the database builds or parses a
statement whose length grows with the number of rows.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, Final

from django.db import connections, models
from django.db.backends.base.base import BaseDatabaseWrapper

from django_director.conf import director

from .compiled import ROW_SECONDS, Param, Select, Statement

BATCH: Final = 2_000
"""How many rows one statement inserts at most."""
ROOT: Final = '"root"'
CREATED_AT: Final = '"created_at"'
"""The name of the column, quoted for PostgreSQL."""

Row = Sequence[str | int | None]


def compile_insert(model: type[models.Model], **values: object) -> Statement:
    """Compile an INSERT of one row.

    ``values`` are given as for ``QuerySet.create``: constants, expressions, and a ``Param`` for each value that
    changes with the execution. A column that is not given has its default.
    """
    names, placeholders, params = _columns(model, values)
    sql = f"INSERT INTO {_table(model)} ({', '.join(names)}) VALUES ({', '.join(placeholders)})"
    return Statement(sql, params)


class Insert:
    """An INSERT of one row, which returns the row's ``created_at``; ``values`` are as for ``compile_insert``."""

    def __init__(self, model: type[models.Model], **values: object) -> None:
        connection = connections[director.DATABASE]
        self.row = self._statement = compile_insert(model, **values)
        self.row.sql = _giving_up(self.row.sql)
        self._field = _field(model, "created_at")
        self._read: Select | None = None
        if connection.features.can_return_columns_from_insert:
            self._statement = Statement(f"{self.row.sql} RETURNING {_quoted('created_at')}", self.row.params)
        else:
            pk: Any = model._meta.pk
            rows = model._default_manager.filter(pk=Param(pk.attname, pk)).order_by()
            self._read = Select(rows.values_list("created_at"))

    def execute(self, **values: object) -> Any:
        """Insert the row with a value for each ``Param``; return ``created_at`` as the database has written it."""
        cursor = self._statement.execute(values)
        if self._read is None:
            return self._converted(cursor.fetchall()[0][0], connections[director.DATABASE])
        return self._read.rows(**values)[0][0]

    def _converted(self, value: object, connection: BaseDatabaseWrapper) -> object:
        column = self._field.get_col(self._field.model._meta.db_table)
        for convert in [*connection.ops.get_db_converters(column), *column.get_db_converters(connection)]:
            value = convert(value, column, connection)
        return value


def _giving_up(sql: str) -> str:
    """Return the INSERT with a limit for MariaDB: it waits ``ROW_SECONDS`` at most for locks.

    An INSERT needs locks on the rows to which the new row's foreign keys refer.
    """
    connection: Any = connections[director.DATABASE]
    is_mariadb = connection.vendor == "mysql" and connection.mysql_is_mariadb
    return f"SET STATEMENT innodb_lock_wait_timeout={ROW_SECONDS} FOR {sql}" if is_mariadb else sql


class InsertMany:
    """An INSERT of many rows that differ only in the columns ``varying``.

    ``values`` are those of the other columns, given as for ``compile_insert``. ``given_as`` is the name of the
    parameter that holds the rows. A value of a JSON column is given as JSON text. ``elapsed`` is for a part of an
    ``InsertTree``: it names the varying columns that are times, and their values are given as seconds since the
    ``created_at`` of the tree's root.
    """

    def __init__(
        self,
        model: type[models.Model],
        varying: Sequence[str],
        *,
        given_as: str = "rows",
        elapsed: Collection[str] = (),
        **values: object,
    ) -> None:
        self.given_as = given_as
        self._fields = [_field(model, column) for column in varying]
        names, placeholders, params = _columns(model, values, but=varying)
        own, source = taken_apart(self._fields, elapsed)
        columns = [_quoted(field.column) for field in self._fields]
        sql = (
            f"INSERT INTO {_table(model)} ({', '.join([*columns, *names])}) "
            f"SELECT {', '.join([*own, *placeholders])} FROM {source}"
        )
        self.statement = Statement(sql, (*params, Param(given_as, models.TextField())))

    def execute(self, rows: Iterable[Row], **values: object) -> None:
        """Insert ``rows``, each of which has its values for ``varying``; one statement for each ``BATCH`` rows."""
        left = iter(rows)
        while batch := list(islice(left, BATCH)):
            self.statement.execute(values | {self.given_as: rows_as_text(batch)})


class InsertTree:
    """One INSERT of a row together with INSERTs of further rows, as a single statement. PostgreSQL only.

    It returns the ``created_at`` of the first row. Like a ``Pair`` it uses data-modifying statements in WITH. So
    it needs no BEGIN and COMMIT, and no round trip to the database for each table.
    """

    def __init__(self, root: Insert, *parts: Statement) -> None:
        withs = [f"{ROOT} AS ({root.row.sql} RETURNING {CREATED_AT})"]
        withs += [f'"part{number}" AS ({part.sql})' for number, part in enumerate(parts)]
        sql = f"WITH {', '.join(withs)} SELECT {CREATED_AT} FROM {ROOT}"
        self._statement = Statement(sql, [param for part in (root.row, *parts) for param in part.params])

    def execute(self, **values: object) -> datetime:
        """Insert all rows; return the ``created_at`` of the first.

        ``values`` are those of each ``Param``, and for each ``InsertMany`` its rows, at most ``BATCH``, as the
        text that ``rows_as_text`` makes.
        """
        created: datetime = self._statement.execute(values).fetchone()[0]
        return created


def rows_as_text(rows: Sequence[Row]) -> str:
    """Return rows as the JSON text that an ``InsertMany`` sends."""
    return json.dumps(rows, ensure_ascii=False, separators=(",", ":"))


def insert_from(model: type[models.Model], rows: models.QuerySet[Any], **values: object) -> None:
    """Insert a row of ``model`` for each of ``rows`` in one statement; Python reads none of these rows.

    ``values`` are expressions over ``rows``, one for each column of ``model`` but an automatic primary key.
    """
    connection = connections[director.DATABASE]
    # Django refuses an annotation that has the name of a field.
    named: dict[str, Any] = {f"own_{name}": value for name, value in values.items()}
    compiler = rows.order_by().annotate(**named).values_list(*named).query.get_compiler(director.DATABASE)
    select, params = compiler.as_sql()
    columns = ", ".join(_quoted(_field(model, name).column) for name in values)
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {_table(model)} ({columns}) {select}", params)


def as_text(field: models.Field[Any, Any], value: object) -> str | None:
    """Return a value of a column that holds neither text nor a number as the text that ``InsertMany`` takes."""
    return None if value is None else str(field.get_db_prep_save(value, connections[director.DATABASE]))


def _columns(
    model: type[models.Model], values: Mapping[str, object], but: Sequence[str] = ()
) -> tuple[list[str], list[str], list[object]]:
    """Return the names, placeholders and parameters of the columns that have a value.

    The other columns are NULL, or automatic keys.
    """
    compiler: Any = models.QuerySet(model).query.get_compiler(director.DATABASE)
    names, placeholders, params = [], [], []
    for field in model._meta.concrete_fields:
        value: Any = values.get(field.attname, field.get_default())
        if value is None or field.name in but or isinstance(field, models.AutoField | models.BigAutoField):
            continue
        if hasattr(value, "resolve_expression"):
            placeholder, own = compiler.compile(value.resolve_expression(compiler.query))
        else:
            placeholder, own = "%s", [field.get_db_prep_save(value, compiler.connection)]
        names.append(_quoted(field.column))
        placeholders.append(placeholder)
        params += own
    return names, placeholders, params


def taken_apart(fields: Sequence[Any], elapsed: Collection[str] = ()) -> tuple[list[str], str]:
    """Return SQL for the columns of rows that are given as JSON text, and SQL for the table that has them.

    The text is the only parameter of the table.
    """
    connection = connections[director.DATABASE]
    types = [field.db_type(connection) for field in fields]
    if connection.vendor == "postgresql":
        own = [
            f"{ROOT}.{CREATED_AT} + (item->>{n})::interval" if field.name in elapsed else f"(item->>{n})::{kind}"
            for n, (field, kind) in enumerate(zip(fields, types, strict=True))
        ]
        root = f"{ROOT}, " if elapsed else ""
        return own, f"{root}json_array_elements(%s::json) AS item"
    if connection.vendor == "sqlite":
        return [f"json_extract(value, '$[{n}]')" for n in range(len(types))], "json_each(%s)"
    sizes = ("LONGTEXT" if isinstance(field, models.JSONField) else "VARCHAR(255)" for field in fields)
    columns = ", ".join(f"c{n} {size} CHARACTER SET utf8mb4 PATH '$[{n}]'" for n, size in enumerate(sizes))
    return [f"c{n}" for n in range(len(types))], f"JSON_TABLE(%s, '$[*]' COLUMNS ({columns})) AS items"


def _field(model: type[models.Model], name: str) -> Any:
    return model._meta.get_field(name)


def _table(model: type[models.Model]) -> str:
    return _quoted(model._meta.db_table)


def _quoted(name: str | None) -> str:
    assert name is not None
    return connections[director.DATABASE].ops.quote_name(name)
