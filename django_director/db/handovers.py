"""One statement that ends a row and lets a waiting one begin in its place. PostgreSQL only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet
from django.db.models.expressions import Expression

from .compiled import Fragment, Select, Statement, Update, matched

GivenExpression = Callable[[Expression], Update]
"""Makes an UPDATE whose rows are chosen with an expression: a further condition, or the key of the row."""


class Handover:
    """Four parts of one statement, each of which does something only if the one before has found its row.

    They lock the row that ends; find a row that waits, and lock it too; count the end at a third row; and end the
    one and begin the other. So where one of the rows is not there, nothing is changed at all. Rows that wait and
    are locked by others are left out, so the statement waits for the first row and the third one only.
    """

    def __init__(
        self,
        ending: QuerySet[Any],
        waiting: QuerySet[Any],
        count: GivenExpression,
        end: Update,
        begin: GivenExpression,
    ) -> None:
        """``waiting`` is ordered, and its first row is taken; it has one column, whose value ``execute`` returns.

        ``count`` takes a condition, and ``begin`` the key of the row that begins.
        """
        column, key = waiting.query.values_select[0], waiting.model._meta.pk
        mine = Select(ending.order_by().values_list("pk")).statement
        chosen = Select(waiting.filter(matched("mine")).values_list("pk", column)[:1]).statement
        counted = count(matched("next")).statement
        ended = end.only_if(matched("counted")).statement
        begun = begin(Fragment('(SELECT "id" FROM "next")', key)).only_if(matched("ended")).statement
        parts = (mine, chosen, counted, ended, begun)
        self._statement = Statement(
            f'WITH "mine" AS ({mine.sql} FOR UPDATE), '
            f'"next" ("id", "label") AS ({chosen.sql} FOR UPDATE SKIP LOCKED), '
            f'"counted" AS ({counted.sql} RETURNING 1), "ended" AS ({ended.sql} RETURNING 1), '
            f'"begun" AS ({begun.sql} RETURNING 1) '
            'SELECT "label" FROM "next" WHERE EXISTS(SELECT 1 FROM "begun")',
            [param for part in parts for param in part.params],
        )

    def execute(self, **values: object) -> Any:
        """Execute it with a value for each ``Param``; return the column of the row that has begun, or ``None``."""
        row = self._statement.execute(values).fetchone()
        return None if row is None else row[0]
