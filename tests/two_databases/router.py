"""A router as sites have it: each table stands in one database, and nothing joins them."""

from __future__ import annotations

from typing import Any

from django.db.models import Model


class OneHome:
    def db_for_read(self, model: type[Model], **hints: Any) -> str:
        return self._home(model._meta.app_label)

    def db_for_write(self, model: type[Model], **hints: Any) -> str:
        return self._home(model._meta.app_label)

    def allow_relation(self, one: Model, other: Model, **hints: Any) -> bool:
        return self._home(one._meta.app_label) == self._home(other._meta.app_label)

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return db == self._home(app_label)

    def _home(self, app_label: str) -> str:
        return "director" if app_label == "django_director" else "default"
