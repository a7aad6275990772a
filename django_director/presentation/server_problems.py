"""What is wrong with the database or the broker, in one sentence with its cure."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import DEFAULT_DB_ALIAS
from django.utils.functional import Promise
from django.utils.translation import gettext as _

from django_director.common.languages import lazy_text
from django_director.conf import director
from django_director.db.errors import is_unmigrated


def of_database(error: Exception) -> Promise:
    """Return what an error of the database means."""
    first_line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return lazy_text(_of_database, is_unmigrated(error), first_line)


def of_migrations(lacking: Sequence[str]) -> list[Promise]:
    """Return that the database lacks these migrations; nothing without any."""
    return [lazy_text(_of_migrations, ", ".join(lacking))] if lacking else []


def of_broker(refusal: str) -> Promise:
    """Return that the broker can't be reached, and why."""
    return lazy_text(_of_broker, refusal)


def migrate_command() -> str:
    """Return the command that creates django-director's tables."""
    return "manage.py migrate" + (
        "" if director.DATABASE == DEFAULT_DB_ALIAS else f" --database {director.DATABASE}"
    )


def _of_database(lacks_tables: bool, error: str) -> str:
    if lacks_tables:
        text = _("the database lacks tables: run “%(command)s” (%(error)s)")
        return text % {"command": migrate_command(), "error": error}
    return _("the database does not answer as it should: %(error)s") % {"error": error}


def _of_migrations(names: str) -> str:
    text = _("the database lacks migrations: run “%(command)s” (%(names)s)")
    return text % {"command": migrate_command(), "names": names}


def _of_broker(refusal: str) -> str:
    return _("the broker does not answer: queued tasks wait until it does (%(error)s)") % {"error": refusal}
