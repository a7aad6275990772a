"""Who did what, in Django's own history of an object: the model ``LogEntry`` of ``django.contrib.admin``.

Each operation writes its line itself, whoever calls it, and last: what it did stands by then, and what follows
from it has begun. Inside a transaction of the caller's the line is a part of that transaction. For a lock of
another session it waits ``LINE_SECONDS`` at most. A line that can't be written is logged as a warning and harms no
operation.
"""

from __future__ import annotations

import logging
import math
import time
from functools import partial
from typing import TYPE_CHECKING, Final, TypeGuard

from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import OperationalError, connections, router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model

from django_director.conf import director
from django_director.db.errors import is_locked
from django_director.db.lock_limits import LEAST_SECONDS, hold_keys, limited_transaction
from django_director.db.transactions import after_commit
from django_director.models import Run, Task, Workflow
from django_director.models.users import User

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser

logger = logging.getLogger(__name__)

PAST: Final = {
    "start": "Started",
    "cancel": "Canceled",
    "pause": "Paused",
    "resume": "Resumed",
    "retry": "Retried",
    "relaunch": "Relaunched",
    "rerun": "Rerun",
    "skip": "Skipped",
    "approve": "Approved",
    "reject": "Rejected",
}
"""By operation: what was done."""


LINE_SECONDS: Final = 1.0
"""How many seconds a line waits for each lock. What it tells of is done, so nobody is to wait long for it."""
LOCKED_SECONDS: Final = 15.0
"""For how many seconds lines hardly wait after one has waited in vain."""


def line(verb: str, via: str = "", to: str = "") -> str:
    """Return what the history says of an operation that came ``via`` a face: "Relaunched from 0190… (API)".

    ``to`` says to what else it was done: "from 0190…".
    """
    return PAST[verb] + (f" {to}" if to else "") + (f" ({via})" if via else "")


def record(user: User, row: Run | Workflow, message: str) -> None:
    """Write into the history of a run or a workflow that ``user`` did what ``message`` says: "Canceled (API)".

    Nothing is written for a user without a row, nor where ``django.contrib.admin`` is not installed. An operation
    calls this last: when its own transaction has ended and its messages are sent.
    """
    _record(user, [(row, message)])


def record_on_task(user: User, task: Task, message: str) -> None:
    """Write into the histories of a task and of its run that ``user`` did to the task what ``message`` says.

    ``message`` holds no comment: the history of a run is for all who may see the run.
    """
    _record(user, [(task, message), (task.run, f"{task.label}: {message}")])


def record_relaunch(user: User, old: Run, new: Run, via: str) -> None:
    """Write into the histories of two runs that ``user`` has started the ``new`` one from the ``old`` one."""
    backward, forward = (line("relaunch", via, to) for to in (f"from {old.pk}", f"as {new.pk}"))
    _record(user, [(new, backward), (old, forward)])


def _record(user: User, lines: list[tuple[Model, str]]) -> None:
    if not _is_kept(user):
        return
    work = partial(_write, user, lines)
    if _is_elsewhere(user):
        # A line written at once would stay when the caller's transaction is rolled back.
        after_commit(work)
    else:
        work()


def _write(user: AbstractBaseUser, lines: list[tuple[Model, str]]) -> None:
    # Importing a model of an app that is not installed raises.
    from django.contrib.admin.models import CHANGE, LogEntry

    database = connections[router.db_for_write(LogEntry)]
    try:
        with limited_transaction(database, _seconds()):
            for row, message in lines if _can_refer(database, user, lines) else ():
                LogEntry.objects.log_actions(
                    user_id=user.pk, queryset=[row], action_flag=CHANGE, change_message=message
                )
    # A receiver of the project may raise anything.
    except Exception as error:
        if isinstance(error, OperationalError) and is_locked(error):
            _locked.note()
        logger.warning(
            "“%s” by %s was done, but can't be written into Django's history: %s",
            lines[0][1],
            user,
            str(error).strip(),
            extra={"action": "history"},
        )


class _Locked:
    """When this process has last waited in vain for the tables of the history."""

    def __init__(self) -> None:
        self.until = -math.inf

    def note(self) -> None:
        self.until = time.monotonic() + LOCKED_SECONDS


_locked: Final = _Locked()


def _seconds() -> float:
    """Return how long a line waits for locks: an operation on many runs must not wait the whole time for each."""
    return LEAST_SECONDS if time.monotonic() < _locked.until else LINE_SECONDS


def _can_refer(database: BaseDatabaseWrapper, user: AbstractBaseUser, lines: list[tuple[Model, str]]) -> bool:
    """Whether the rows that the lines refer to can't harm the transaction of the caller, if there is one.

    Most databases look for these rows at the commit only. A user who is gone would undo all that the transaction
    holds, and for a row that is locked the commit would wait without a limit.
    """
    is_callers = bool(database.savepoint_ids)
    if not is_callers or not database.features.can_defer_constraint_checks:
        return True
    from django.contrib.contenttypes.models import ContentType

    kinds = ContentType.objects.db_manager(database.alias)
    keys = {kinds.get_for_model(row, for_concrete_model=False).pk for row, _ in lines}
    users = get_user_model()._base_manager.using(database.alias)
    if hold_keys(database, users.filter(pk=user.pk)):
        hold_keys(database, kinds.filter(pk__in=keys))
        return True
    logger.warning("Nothing is written into Django's history for %s, who has no row.", user)
    return False


def _is_elsewhere(user: object) -> bool:
    """Whether what ``user`` does is kept in another database than our rows, outside of their transactions."""
    if not _is_kept(user):
        return False
    from django.contrib.admin.models import LogEntry

    return bool(router.db_for_write(LogEntry) != director.DATABASE)


def _is_kept(user: object) -> TypeGuard[AbstractBaseUser]:
    return getattr(user, "pk", None) is not None and apps.is_installed("django.contrib.admin")
