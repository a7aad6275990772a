"""The cause of a database error: the data, a lock, other sessions that write, the connection, or something else.

PostgreSQL's errors have an SQLSTATE. The driver of MySQL and MariaDB gives a number, and that of SQLite a code.
"""

from __future__ import annotations

from typing import Any, Final

from django.db import DatabaseError, DataError, IntegrityError, InterfaceError, OperationalError, ProgrammingError

#: SQLSTATE of a serialisation failure and of a deadlock.
_CONTENTION: Final = frozenset({"40001", "40P01"})
#: SQLSTATE: a prepared statement does not exist; one with its name exists already. So it is behind a pooler that
#: gives the session of one client to another. ``plans`` prepares none after such an error.
POOLED: Final = frozenset({"26000", "42P05"})
#: MariaDB has a number of its own, 1467, for a deadlock over an auto-increment lock.
_MYSQL_CONTENTION: Final = frozenset({1020, 1213, 1467})
#: Classes of SQLSTATE: data exception, integrity constraint violation, a limit of the program exceeded.
_DATA: Final = ("22", "23", "54")
#: Errors of the data that the driver does not raise as ``DataError``: a packet, a row or a text that is too large;
#: a text that the character set can't hold; text that is no JSON; a value of the wrong type or out of range; a
#: value that breaks a CHECK constraint.
_MYSQL_DATA: Final = frozenset({1118, 1153, 1300, 1366, 1367, 1690, 3140, 3141, 3156, 3157, 3819, 3854, 3988})
_MYSQL_DATA_MARIADB: Final = frozenset({4025, 4036, 4037, 4038, 4039, 4040, 4041, 4042})
#: SQLite's SQLITE_TOOBIG, SQLITE_CONSTRAINT, SQLITE_MISMATCH.
_SQLITE_DATA: Final = frozenset({18, 19, 20})
_POSTGRES_LOCKED: Final = "55P03"
_MYSQL_LOCKED: Final = frozenset({1205, 3572})

#: Phrases of error messages about a table or a column that does not exist.
_MISSING: Final[dict[type[Exception], tuple[str, ...]]] = {
    ProgrammingError: ("does not exist", "doesn't exist"),
    OperationalError: ("no such table", "no such column", "has no column", "unknown column"),
}

Error = DatabaseError | InterfaceError


def is_contention(error: Error) -> bool:
    """Whether other sessions are the cause: another try may succeed at once on the same connection."""
    state, number = _codes(error)
    return state in _CONTENTION or state in POOLED or number in _MYSQL_CONTENTION or "is locked" in str(error)


def is_of_data(error: BaseException) -> bool:
    """Whether the database refuses the data that was to be written, so that it would refuse them again."""
    if isinstance(error, UnicodeError):
        # The driver can't write a text in the character set of its connection.
        return True
    if not isinstance(error, DatabaseError | InterfaceError):
        return False
    state, number = _codes(error)
    if state is not None:
        return state.startswith(_DATA)
    if number is not None and (number in _MYSQL_DATA or number in _MYSQL_DATA_MARIADB):
        return True
    return isinstance(error, DataError | IntegrityError) or _sqlite_code(error) in _SQLITE_DATA


def is_unmigrated(error: BaseException) -> bool:
    """Whether the database lacks a table or a column: then a migration has not been applied yet."""
    text = str(error).lower()
    return any(
        isinstance(error, kind) and any(phrase in text for phrase in phrases) for kind, phrases in _MISSING.items()
    )


def is_loss(error: Error) -> bool:
    """Whether a lost connection may be the cause of the error."""
    return isinstance(error, OperationalError | InterfaceError) and not is_of_data(error)


def is_locked(error: BaseException) -> bool:
    """Whether a statement was given up because another session holds a lock."""
    return is_row_locked(error) or (isinstance(error, OperationalError) and "database is locked" in str(error))


def is_row_locked(error: BaseException) -> bool:
    """Whether a statement was given up because another session holds a lock on a row; never so on SQLite."""
    cause = error.__cause__ or error
    code = cause.args[0] if cause.args else None
    return getattr(cause, "sqlstate", None) == _POSTGRES_LOCKED or (
        isinstance(code, int) and code in _MYSQL_LOCKED
    )


def _codes(error: Error) -> tuple[str | None, int | None]:
    """Return the SQLSTATE and MySQL's number; each is ``None`` where the driver gives none."""
    cause: Any = error.__cause__ or error
    state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    code = cause.args[0] if cause.args else None
    return state, code if isinstance(code, int) else None


def _sqlite_code(error: Error) -> int | None:
    code = getattr(error.__cause__ or error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF
