"""A partial index that does not vanish where partial indexes do not exist."""

from __future__ import annotations

from typing import Any

from django.db import models


class PartialIndex(models.Index):
    """An index with a condition; on MySQL and MariaDB the same index without it.

    Django creates no index at all there, which would leave the supervisor scanning the whole table.
    """

    def create_sql(self, model: Any, schema_editor: Any, using: str = "", **kwargs: Any) -> Any:
        if schema_editor.connection.features.supports_partial_indexes:
            return super().create_sql(model, schema_editor, using=using, **kwargs)
        return models.Index(fields=self.fields, name=self.name).create_sql(
            model, schema_editor, using=using, **kwargs
        )
