"""How long an operation that people call waits for rows that other sessions have locked, and what it says then."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import ParamSpec, TypeVar

from django.core.exceptions import ObjectDoesNotExist
from django.db import OperationalError

from django_director.db.errors import is_locked
from django_director.db.lock_limits import VERB_SECONDS, bounded
from django_director.exceptions import Conflict, LockedRow

P = ParamSpec("P")
T = TypeVar("T")


def patient(verb: Callable[P, T]) -> Callable[P, T]:
    """Decorate an operation on a run or a task: it waits ``VERB_SECONDS`` for locks, then raises ``LockedRow``.

    It raises ``Conflict`` if the row was deleted meanwhile.
    """

    @wraps(verb)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            with bounded(VERB_SECONDS):
                return verb(*args, **kwargs)
        except OperationalError as error:
            if not is_locked(error):
                raise
            raise LockedRow(_name_subject(args, kwargs)) from error
        except ObjectDoesNotExist as error:
            raise Conflict(f"{_name_subject(args, kwargs)} is not there any more") from error

    return wrapped


def _name_subject(args: Sequence[object], kwargs: Mapping[str, object]) -> str:
    """Name the row that an operation was called with: its first argument."""
    what = next(iter([*args, *kwargs.values()]))
    return f"{type(what).__name__.lower()} {what}"
