"""Which installation of django-director this is: a random id in its database, which all its messages carry.

Two installations may share a broker by mistake. A message then says whose it is, see ``strangers``.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
from typing import Any

from django.apps import AppConfig
from django.db import DatabaseError, InterfaceError, connections, transaction
from django.db.models.signals import post_migrate

from django_director.conf import director

_Database = tuple[str, str, str, str]

_ids: dict[_Database, str] = {}
"""By database: a process may come to have another one, as tests do. A forked child has its parent's."""


def known() -> str:
    """The id, if this process has read it already; empty otherwise. No query."""
    return _ids.get(_database(), "")


def current() -> str:
    """The id; a query only for the first in a process. Empty while the database has none, or does not say."""
    return known() or _learn()


def learn(patience: float) -> None:
    """Read the id anew, for at most ``patience`` seconds.

    For the main process of a worker, which must not wait for a silent database, before it forks its pool.
    """
    reader = threading.Thread(target=_learn_apart, name="director-installation", daemon=True)
    reader.start()
    reader.join(patience)


def _learn_apart() -> None:
    try:
        _learn()
    finally:
        connections.close_all()


def _learn() -> str:
    try:
        found = _read() or _make()
    except (DatabaseError, InterfaceError):
        # Not migrated yet, or away: messages are sent without an id until it says.
        return known()
    if found:
        _ids[_database()] = found
    return found


def _read() -> str:
    from django_director.models import Installation  # an app's module may be imported before its models can be

    found = Installation.objects.values_list("uid", flat=True)
    with _unharmed():
        return found.first() or ""


def _make() -> str:
    """Make the row, unless another process was faster; empty inside a transaction, which may be rolled back."""
    from django_director.models import Installation

    if connections[director.DATABASE].in_atomic_block:
        return ""
    # After a flush what this process, and perhaps others, have sent and read before still holds.
    row = Installation(uid=known() or secrets.token_hex(8))
    Installation.objects.bulk_create([row], ignore_conflicts=True)
    return _read()


def _unharmed() -> Any:
    """A query that fails shall not take the caller's transaction with it."""
    if connections[director.DATABASE].in_atomic_block:
        return transaction.atomic(using=director.DATABASE)
    return contextlib.nullcontext()


def _database() -> _Database:
    given = connections[director.DATABASE].settings_dict
    return str(given["ENGINE"]), str(given["HOST"]), str(given["PORT"]), str(given["NAME"])


def establish(sender: AppConfig, using: str, **_: Any) -> None:
    """Make the id with the tables, and again after a flush."""
    if sender.label == "django_director" and using == director.DATABASE:
        _learn()


post_migrate.connect(establish, dispatch_uid="django_director.dispatch.installation")
