"""SQL functions. Most concern the database's clock: all times in rows are its, as the clocks of workers differ."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Func, IntegerField, functions
from django.db.models.expressions import Combinable, CombinedExpression
from django.db.models.sql.compiler import SQLCompiler

Time: TypeAlias = datetime | str | Combinable | None
"""What may be written into a column of times: a value, the text of one, or an expression."""
Number: TypeAlias = int | Combinable
"""What may be written into a column of integers."""
Text: TypeAlias = str | Combinable
"""What may be written into a column of texts."""


class Now(functions.Now):
    """The present time of the database in UTC, with fractions of a second."""

    def as_mysql(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **extra: Any
    ) -> tuple[str, tuple[str | int, ...]]:
        # CURRENT_TIMESTAMP would be in the session's time zone, but Django stores UTC.
        return self.as_sql(compiler, connection, template="UTC_TIMESTAMP(6)", **extra)


class StoredSize(Func):
    """About how many bytes a value takes in its row. PostgreSQL knows it without reading a value that is large."""

    function = "LENGTH"
    output_field = IntegerField()

    def as_postgresql(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **extra: Any
    ) -> tuple[str, tuple[str | int, ...]]:
        return self.as_sql(compiler, connection, function="pg_column_size", **extra)


def later(seconds: float) -> CombinedExpression:
    """Return the time of the database ``seconds`` from now; negative seconds give a time in the past."""
    return Now() + timedelta(seconds=seconds)


def moved_on(moment: Combinable, since: Combinable) -> Combinable:
    """Return ``moment`` moved on by the time from ``since`` until now."""
    return moment + (Now() - since)


def iso(moment: datetime | None) -> str | None:
    """Return a time as ISO 8601 in UTC with a ``Z``, which is how times stand in JSON; ``None`` for ``None``."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z") if moment else None
