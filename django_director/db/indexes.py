"""A partial index that also exists on databases which have no partial indexes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from django.db import models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.backends.ddl_references import Statement

NOTHING: Final = "DO 0"
"""A statement of MySQL and MariaDB that does nothing."""


class PartialIndex(models.Index):
    """An index with a condition; on MySQL and MariaDB, which know no such condition, an index of all rows.

    Django itself would create no index there, and the supervisor would read the whole table at each tick. With
    ``is_needed=False`` the index exists only where it may be partial: over all rows it would cost each write more
    than it gives.
    """

    def __init__(self, *expressions: Any, is_needed: bool = True, **kwargs: Any) -> None:
        self.is_needed = is_needed
        super().__init__(*expressions, **kwargs)

    def deconstruct(self) -> tuple[str, Sequence[Any], dict[str, Any]]:
        path, args, kwargs = super().deconstruct()
        return path, args, kwargs if self.is_needed else kwargs | {"is_needed": False}

    def create_sql(
        self, model: type[models.Model], schema_editor: BaseDatabaseSchemaEditor, using: str = "", **kwargs: Any
    ) -> Statement:
        if schema_editor.connection.features.supports_partial_indexes:
            return super().create_sql(model, schema_editor, using=using, **kwargs)
        if not self.is_needed:
            return Statement(NOTHING)
        return models.Index(fields=self.fields, name=self.name).create_sql(
            model, schema_editor, using=using, **kwargs
        )

    def remove_sql(self, model: type[models.Model], schema_editor: BaseDatabaseSchemaEditor, **kwargs: Any) -> Any:
        if self.is_needed or schema_editor.connection.features.supports_partial_indexes:
            return super().remove_sql(model, schema_editor, **kwargs)
        return Statement(NOTHING)
