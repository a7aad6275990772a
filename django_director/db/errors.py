"""What an error of the database is about: the data, others who write, the connection, or none of these.

PostgreSQL's errors carry an SQLSTATE. MySQL's and MariaDB's driver gives their numbers, and SQLite's a code of its
own, which are told apart by number here.
"""

from __future__ import annotations

from typing import Any, Final

from django.db import DatabaseError, DataError, IntegrityError, InterfaceError, OperationalError, ProgrammingError

#: Serialisation failure, deadlock.
_CONTENTION: Final = frozenset({"40001", "40P01"})
#: MariaDB tells a deadlock over an auto-increment lock by 1467, a number of its own.
_MYSQL_CONTENTION: Final = frozenset({1020, 1213, 1467})
#: Classes of SQLSTATE: data exception, integrity constraint violation, a limit of the program exceeded.
_DATA: Final = ("22", "23", "54")
#: What the driver does not call a DataError: a packet, a row or a text that is too large; a text that the
#: character set can't hold; JSON that is none; a value of the wrong type or out of range; a CHECK constraint.
_MYSQL_DATA: Final = frozenset({1118, 1153, 1300, 1366, 1367, 1690, 3140, 3141, 3156, 3157, 3819, 3854, 3988})
_MYSQL_DATA_MARIADB: Final = frozenset({4025, 4036, 4037, 4038, 4039, 4040, 4041, 4042})
#: SQLite's SQLITE_TOOBIG, SQLITE_CONSTRAINT, SQLITE_MISMATCH.
_SQLITE_DATA: Final = frozenset({18, 19, 20})

#: What the databases say of a table or column that a migration has yet to make.
_MISSING: Final[dict[type[Exception], tuple[str, ...]]] = {
    ProgrammingError: ("does not exist", "doesn't exist"),
    OperationalError: ("no such table", "no such column", "has no column", "unknown column"),
}

Error = DatabaseError | InterfaceError


def is_contention(error: Error) -> bool:
    """Whether others wrote the same rows: it may succeed at once on the same connection."""
    state, number = _codes(error)
    return state in _CONTENTION or number in _MYSQL_CONTENTION or "is locked" in str(error)


def is_of_data(error: BaseException) -> bool:
    """Whether the database refuses what was to be written, now and at every other time."""
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
    """Whether the database lacks a table or a column, so that a migration is to be applied."""
    text = str(error).lower()
    return any(
        isinstance(error, kind) and any(phrase in text for phrase in phrases) for kind, phrases in _MISSING.items()
    )


def is_loss(error: Error) -> bool:
    """Whether the connection may be the cause."""
    return isinstance(error, OperationalError | InterfaceError) and not is_of_data(error)


def _codes(error: Error) -> tuple[str | None, int | None]:
    """The SQLSTATE and the number of MySQL's own, each ``None`` where the driver tells none."""
    cause: Any = error.__cause__ or error
    code = cause.args[0] if cause.args else None
    return getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None), code if isinstance(
        code, int
    ) else None


def _sqlite_code(error: Error) -> int | None:
    code = getattr(error.__cause__ or error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF
