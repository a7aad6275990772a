"""INSERTs compiled once, beside the statements of ``prepared``.

Rows that are alike but for a few columns are made by the database: what differs travels as one parameter, JSON
text, which the database takes apart itself. Neither Python nor the database then builds or parses a statement
whose length grows with the rows.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from itertools import islice
from typing import Any, Final

from django.db import connections, models

from django_director.conf import director

from .compiled import ROW_SECONDS, Param, Select, Statement

BATCH: Final = 2_000
"""How many rows one statement inserts at most."""
ROOT: Final = '"root"'
CREATED_AT: Final = '"created_at"'
"""Quoted for PostgreSQL."""

Row = Sequence[str | int | None]


def inserting(model: type[models.Model], **values: Any) -> Statement:
    """An INSERT of one row.

    ``values`` are as for ``create``: constants, expressions, and a ``Param`` for what changes. Columns that are
    not given have their defaults.
    """
    names, placeholders, params = _columns(model, values)
    sql = f"INSERT INTO {_table(model)} ({', '.join(names)}) VALUES ({', '.join(placeholders)})"
    return Statement(sql, params)


class Insert:
    """An INSERT of one row, which tells its ``created_at``; ``values`` as for ``inserting``."""

    def __init__(self, model: type[models.Model], **values: Any) -> None:
        connection = connections[director.DATABASE]
        self.row = self._statement = inserting(model, **values)
        self.row.sql = _giving_up(self.row.sql)
        self._field = _field(model, "created_at")
        self._read: Select | None = None
        if connection.features.can_return_columns_from_insert:
            self._statement = Statement(f"{self.row.sql} RETURNING {_quoted('created_at')}", self.row.params)
        else:
            pk: Any = model._meta.pk
            rows = model._default_manager.filter(pk=Param(pk.attname, pk)).order_by()
            self._read = Select(rows.values_list("created_at"))

    def execute(self, **values: Any) -> Any:
        """Give each ``Param`` its value; return ``created_at`` as the database wrote it."""
        cursor = self._statement.execute(values)
        if self._read is None:
            return self._converted(cursor.fetchall()[0][0], connections[director.DATABASE])
        return self._read.rows(**values)[0][0]

    def _converted(self, value: Any, connection: Any) -> Any:
        column = self._field.get_col(self._field.model._meta.db_table)
        converters = [*connection.ops.get_db_converters(column), *column.get_db_converters(connection)]
        for convert in converters:
            value = convert(value, column, connection)
        return value


def _giving_up(sql: str) -> str:
    """The INSERT, which on MariaDB waits ``ROW_SECONDS`` at most for the rows that the new one refers to."""
    connection: Any = connections[director.DATABASE]
    is_mariadb = connection.vendor == "mysql" and connection.mysql_is_mariadb
    return f"SET STATEMENT innodb_lock_wait_timeout={ROW_SECONDS} FOR {sql}" if is_mariadb else sql


class InsertMany:
    """An INSERT of rows that differ in the columns ``varying``; ``values`` as for ``inserting``.

    ``given_as`` is the name of the parameter with the rows. ``elapsed``, for a part of an ``InsertTree``, are
    those of the varying columns that are times, given as seconds since the ``created_at`` of the tree's root. What
    is given for a JSON column is its text.
    """

    def __init__(
        self,
        model: type[models.Model],
        varying: Sequence[str],
        *,
        given_as: str = "rows",
        elapsed: Collection[str] = (),
        **values: Any,
    ) -> None:
        self.given_as = given_as
        self._fields = [_field(model, column) for column in varying]
        names, placeholders, params = _columns(model, values, but=varying)
        own, source = _taken_apart(self._fields, elapsed)
        columns = [_quoted(field.column) for field in self._fields]
        sql = (
            f"INSERT INTO {_table(model)} ({', '.join([*columns, *names])}) "
            f"SELECT {', '.join([*own, *placeholders])} FROM {source}"
        )
        self.statement = Statement(sql, (*params, Param(given_as, models.TextField())))

    def execute(self, rows: Iterable[Row], **values: Any) -> None:
        """Insert ``rows``, each with its values for ``varying``; one statement for each ``BATCH``."""
        left = iter(rows)
        while batch := list(islice(left, BATCH)):
            self.statement.execute(values | {self.given_as: rows_as_text(batch)})


class InsertTree:
    """One row and all that belongs to it in one statement, see ``Pair``; tells the ``created_at`` of the row.

    It spares BEGIN, COMMIT and a way for each table.
    """

    def __init__(self, root: Insert, *parts: Statement) -> None:
        withs = [f"{ROOT} AS ({root.row.sql} RETURNING {CREATED_AT})"]
        withs += [f'"part{number}" AS ({part.sql})' for number, part in enumerate(parts)]
        sql = f"WITH {', '.join(withs)} SELECT {CREATED_AT} FROM {ROOT}"
        self._statement = Statement(sql, [param for part in (root.row, *parts) for param in part.params])

    def execute(self, **values: Any) -> Any:
        """Give each ``Param`` its value, and each ``InsertMany`` its rows, up to ``BATCH``, as text."""
        return self._statement.execute(values).fetchone()[0]


def rows_as_text(rows: Sequence[Row]) -> str:
    """Rows as an ``InsertMany`` sends them."""
    return json.dumps(rows, ensure_ascii=False, separators=(",", ":"))


def insert_from(model: type[models.Model], rows: models.QuerySet[Any], **values: Any) -> None:
    """Insert a row of ``model`` for each of ``rows``, in one statement that no row of which comes to Python.

    ``values`` are expressions over ``rows``, one for each column but a key that counts up.
    """
    connection = connections[director.DATABASE]
    # Under names that are no field's: an annotation must not be called like one.
    named = {f"own_{name}": value for name, value in values.items()}
    compiler = rows.order_by().annotate(**named).values_list(*named).query.get_compiler(director.DATABASE)
    select, params = compiler.as_sql()
    columns = ", ".join(_quoted(_field(model, name).column) for name in values)
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {_table(model)} ({columns}) {select}", params)


def as_text(field: models.Field[Any, Any], value: Any) -> str | None:
    """A value as ``InsertMany`` takes it, for a column that holds neither text nor a number."""
    return None if value is None else str(field.get_db_prep_save(value, connections[director.DATABASE]))


def _columns(
    model: type[models.Model], values: dict[str, Any], but: Sequence[str] = ()
) -> tuple[list[str], list[str], list[Any]]:
    """Names, placeholders and parameters of the columns that have a value; the others are NULL, or count up."""
    compiler: Any = models.QuerySet(model).query.get_compiler(director.DATABASE)
    names, placeholders, params = [], [], []
    for field in model._meta.concrete_fields:
        value = values.get(field.attname, field.get_default())
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


def _taken_apart(fields: Sequence[Any], elapsed: Collection[str]) -> tuple[list[str], str]:
    """The columns of JSON arrays and the table they stand in, whose only parameter is the text."""
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


def _quoted(name: Any) -> str:
    return connections[director.DATABASE].ops.quote_name(name)
