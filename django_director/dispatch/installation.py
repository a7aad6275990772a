"""The id of this installation of django-director: a random text in its database, which all its messages carry.

Two installations may share a broker by mistake. By the id a worker knows which messages are its own, see
``worker.foreign_messages``.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Iterator
from typing import Any

from django.apps import AppConfig, apps
from django.db import DatabaseError, InterfaceError, connections, models, transaction
from django.db.models.signals import post_migrate

from django_director.conf import director

_Database = tuple[str, str, str, str]

_ids: dict[_Database, str] = {}
"""The ids that this process knows, by database: a test may change the database of its process."""


def known_id() -> str:
    """Return the id, if this process has read it already; else an empty text. It needs no query."""
    return _ids.get(_database(), "")


def current_id() -> str:
    """Return the id; it needs a query only for the first time in a process.

    Empty while the database has no id, or does not answer.
    """
    return known_id() or _read_or_create()


def refresh_id(patience: float) -> None:
    """Read the id anew from the database; wait for it ``patience`` seconds at most.

    The main process of a worker does so before it forks its pool: it must not wait for a silent database.
    """
    reader = threading.Thread(target=_refresh_in_thread, name="director-installation", daemon=True)
    reader.start()
    reader.join(patience)


def _refresh_in_thread() -> None:
    try:
        _read_or_create()
    finally:
        connections.close_all()


def _read_or_create() -> str:
    try:
        found = _read_id() or _create()
    except (DatabaseError, InterfaceError):
        # The database is away, or not migrated yet. Messages are sent without an id until it answers.
        return known_id()
    if found:
        _ids[_database()] = found
    return found


def _rows() -> models.Manager[Any]:
    # Not imported: this room stands below the models, and may be imported before they are loaded.
    return apps.get_model("django_director", "Installation")._default_manager


def _read_id() -> str:
    with _in_savepoint():
        return _rows().values_list("uid", flat=True).first() or ""


def _create() -> str:
    """Create the row with the id, unless another process was faster; return the id that the row has.

    Empty inside a transaction: it may be rolled back.
    """
    if connections[director.DATABASE].in_atomic_block:
        return ""
    # After the tables were emptied the known id stays: messages of this process, and perhaps of others, carry it.
    rows = _rows()
    rows.bulk_create([rows.model(uid=known_id() or secrets.token_hex(8))], ignore_conflicts=True)
    return _read_id()


@contextlib.contextmanager
def _in_savepoint() -> Iterator[None]:
    """Keep the caller's transaction usable if a query of this block fails."""
    is_in_transaction = connections[director.DATABASE].in_atomic_block
    with transaction.atomic(using=director.DATABASE) if is_in_transaction else contextlib.nullcontext():
        yield


def _database() -> _Database:
    given = connections[director.DATABASE].settings_dict
    return str(given["ENGINE"]), str(given["HOST"]), str(given["PORT"]), str(given["NAME"])


def create_id(sender: AppConfig, using: str, **_: object) -> None:
    """Receive ``post_migrate``: create the id when the tables were created or emptied."""
    if sender.label == "django_director" and using == director.DATABASE:
        _read_or_create()


post_migrate.connect(create_id, dispatch_uid="django_director.dispatch.installation")
