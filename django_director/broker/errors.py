"""The errors of the database that matter to the broker."""

from __future__ import annotations

from typing import Final

from django.db import InterfaceError, OperationalError

CONNECTION_ERRORS: Final = (OperationalError, InterfaceError)

_LOCK_STATES: Final = frozenset({"40001", "40P01", "55P03"})
_LOCK_NUMBERS: Final = frozenset({1020, 1205, 1213})


def met_a_lock(error: BaseException) -> bool:
    """Whether the database has done nothing because of a lock or a conflict with other sessions."""
    cause = error.__cause__ or error
    state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    number = cause.args[0] if cause.args else None
    return state in _LOCK_STATES or number in _LOCK_NUMBERS or "is locked" in str(cause)
