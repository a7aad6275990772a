"""Lets PostgreSQL keep the plans of compiled statements, on the engine's own connections.

To plan such a statement takes PostgreSQL as long as to execute it. Django lets a site choose between two kinds of
cursors for all its queries, and only one of them can keep plans. The engine's statements are known to work with
it, so they get such a cursor whatever the site has chosen for its own queries.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from .errors import POOLED

logger = logging.getLogger(__name__)

THRESHOLD: Final = 5
"""After how many executions of a statement its plan is kept: the default of psycopg."""

_KEEPS: Final = "director_keeps_plans"
#: SQLSTATE "feature not supported": a migration has changed the types of what a kept plan reads.
_OUTDATED: Final = "0A000"
#: The databases behind a pooler that has mixed up sessions.
_refused: Final[set[str]] = set()


def keep(own: BaseDatabaseWrapper) -> None:
    """Let PostgreSQL keep plans on a connection that has just been opened, if nothing speaks against it."""
    driver: Any = own.connection
    if own.alias in _refused:
        setattr(own, _KEEPS, False)
        driver.prepare_threshold = None
        return
    setattr(own, _KEEPS, _may_keep(own))
    if getattr(own, _KEEPS) and driver.prepare_threshold is None:
        driver.prepare_threshold = THRESHOLD


def cursor(database: BaseDatabaseWrapper) -> CursorWrapper:
    """Return a new cursor for compiled statements."""
    database.ensure_connection()
    if not getattr(database, _KEEPS, False):
        return database.cursor()
    from django.db.backends.postgresql.base import ServerBindingCursor  # only with psycopg 3

    driver: Any = database.connection
    usual, driver.cursor_factory = driver.cursor_factory, ServerBindingCursor
    try:
        return database.cursor()
    finally:
        driver.cursor_factory = usual


def give_up(database: BaseDatabaseWrapper, error: Exception) -> bool:
    """Keep no more plans on a connection if an error was caused by them; return whether it was.

    The statement was not executed then. Unless it was in a transaction, it may be executed again at once.
    """
    state = getattr(error.__cause__, "sqlstate", None)
    driver: Any = database.connection
    if not getattr(database, _KEEPS, False) or driver is None or state not in {*POOLED, _OUTDATED}:
        return False
    driver.prepare_threshold = None
    if state in POOLED and database.alias not in _refused:
        _refused.add(database.alias)
        logger.warning(
            "A pooler before the database “%s” gives sessions of PostgreSQL to several clients and knows no "
            "prepared statements; the engine does without them.",
            database.alias,
        )
    return True


def is_plain(database: BaseDatabaseWrapper) -> bool:
    """Whether a connection is one of psycopg 3 itself, without anything that a tracing tool has put around it."""
    try:
        from psycopg import Connection
    except ImportError:
        return False
    return type(database.connection) is Connection


def _may_keep(own: BaseDatabaseWrapper) -> bool:
    if not is_plain(own):
        return False
    if "prepare_threshold" in own.settings_dict["OPTIONS"]:
        return own.settings_dict["OPTIONS"]["prepare_threshold"] is not None
    # Django's documentation asks for this setting behind a pooler that shares sessions.
    return not own.settings_dict.get("DISABLE_SERVER_SIDE_CURSORS") and not _is_pooler(own)


def _is_pooler(own: BaseDatabaseWrapper) -> bool:
    """Whether another program stands between this connection and PostgreSQL, such as PgBouncer.

    Such a program has told the client a number of its own in place of the id of PostgreSQL's process. It may give
    the session of a client to another one after each transaction, and psycopg names prepared statements by
    numbers: one client would execute the statement of another.
    """
    driver: Any = own.connection
    with own.cursor() as asking:
        asking.execute("SELECT pg_backend_pid()")
        (process,) = asking.fetchone()
    return bool(process != driver.info.backend_pid)
