"""The database's clock. No status carries a worker's time: workers' clocks differ."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import functions
from django.db.models.expressions import CombinedExpression


class Now(functions.Now):
    """The database's present time in UTC, with fractions of a second."""

    def as_mysql(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        # CURRENT_TIMESTAMP would be in the session's zone, while Django stores UTC.
        return self.as_sql(compiler, connection, template="UTC_TIMESTAMP(6)", **extra)


def later(seconds: float) -> CombinedExpression:
    """The database's time in ``seconds``."""
    return Now() + timedelta(seconds=seconds)


def iso(moment: datetime | None) -> str | None:
    """ISO 8601 in UTC with a ``Z``, as JSON has times."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z") if moment else None
