"""The checks that need a database (``manage.py check --database``), and those of ``--deploy``."""

from __future__ import annotations

from collections.abc import Sequence

from django.apps import apps
from django.core.checks import CheckMessage, Tags, Warning, register
from django.db import connections

from django_director.common.languages import in_english
from django_director.conf import director
from django_director.dispatch import routing
from django_director.models import Run
from django_director.schedules import beat_rows, overdue

from .tags import TAG


@register(Tags.database)
def check_beat(databases: Sequence[str] | None = None, **kwargs: object) -> list[CheckMessage]:
    """W008: there are schedules that beat should have sent, but has not."""
    if not beat_rows.is_installed():
        return []
    tables = {
        director.DATABASE: Run._meta.db_table,
        beat_rows.beat_database(): apps.get_model("django_celery_beat", "PeriodicTask")._meta.db_table,
    }
    # The `migrate` that creates these tables runs this check too.
    if any(alias not in (databases or ()) or table not in _tables(alias) for alias, table in tables.items()):
        return []
    problem = in_english(overdue.describe, overdue.find_late(beat_rows.enabled_rows()))
    hint = "`manage.py directorstatus` says so too. A schedule that shall not run is switched off in the admin."
    return [Warning(f"{problem[:1].upper()}{problem[1:]}.", hint=hint, id="director.W008")] if problem else []


@register(TAG, deploy=True)
def check_eager(**kwargs: object) -> list[CheckMessage]:
    """W009: Celery's eager mode is on, so no run makes progress."""
    if not routing.app().conf.task_always_eager:
        return []
    message = "CELERY_TASK_ALWAYS_EAGER is on: nothing is sent to a worker, and no run that is started goes on."
    return [Warning(message, hint="Leave it to the settings of your tests.", id="director.W009")]


def _tables(alias: str) -> list[str]:
    return connections[alias].introspection.table_names()
