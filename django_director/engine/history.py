"""Who did what, in Django's own history of an object: the model ``LogEntry`` of ``django.contrib.admin``.

Each operation writes its line itself, whoever calls it, when what it did stands: after its own transaction, or as
part of the caller's. A line that can't be written is logged as a warning and harms no operation.
"""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeGuard

from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import connections, router, transaction
from django.db.models import Model
from django.db.models.signals import post_save, pre_save

from django_director.conf import director
from django_director.db.bulk_inserts import compile_insert
from django_director.db.compiled import INTEGER, TEXT, Param, Statement, prepared
from django_director.db.functions import Now
from django_director.db.transactions import after_commit
from django_director.models import Run, Task
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


@dataclass(frozen=True, slots=True)
class Note:
    """A line of the history that another statement writes along, with these ``values`` for ``noting``."""

    values: dict[str, Any]


def line(verb: str, via: str = "", of: Model | None = None) -> str:
    """Return what the history says of an operation that came ``via`` a face: "Relaunched from 0190… (API)"."""
    return PAST[verb] + (f" from {of.pk}" if of is not None else "") + (f" ({via})" if via else "")


def record(user: User, run: Run, message: str) -> None:
    """Write into the history of a run that ``user`` did what ``message`` says: "Canceled (API)".

    Nothing is written for a user without a row, nor where ``django.contrib.admin`` is not installed. Called when
    the operation has ended its own transaction, so that an error here undoes nothing.
    """
    _record(user, [(run, message)])


def record_on_task(user: User, task: Task, message: str) -> None:
    """Write into the histories of a task and of its run that ``user`` did to the task what ``message`` says.

    ``message`` holds no comment: the history of a run is for all who may see the run.
    """
    _record(user, [(task, message), (task.run, f"{task.label}: {message}")])


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

    try:
        with _together(router.db_for_write(LogEntry), lines):
            for row, message in lines if _is_stored(user) else ():
                LogEntry.objects.log_actions(
                    user_id=user.pk, queryset=[row], action_flag=CHANGE, change_message=message
                )
    # A receiver of the project may raise anything.
    except Exception as error:
        logger.warning(
            "“%s” by %s was done, but can't be written into Django's history: %s",
            lines[0][1],
            user,
            str(error).strip(),
            extra={"action": "history"},
        )


def _together(alias: str, lines: list[tuple[Model, str]]) -> contextlib.AbstractContextManager[None]:
    """Write all lines or none, and keep an error from the caller's transaction, if there is one."""
    is_needed = connections[alias].in_atomic_block or len(lines) > 1
    return transaction.atomic(using=alias) if is_needed else contextlib.nullcontext()


def _is_stored(user: AbstractBaseUser) -> bool:
    """Whether a line about ``user`` can't harm the caller's transaction, if there is one.

    There most databases look for the user's row at the commit only, and a user who is gone would undo all that the
    transaction holds.
    """
    from django.contrib.admin.models import LogEntry

    alias = router.db_for_write(LogEntry)
    features = connections[alias].features
    if not connections[alias].in_atomic_block or not features.can_defer_constraint_checks:
        return True
    if get_user_model()._base_manager.using(alias).filter(pk=user.pk).exists():
        return True
    logger.warning("Nothing is written into Django's history for %s, who has no row.", user)
    return False


def _is_elsewhere(user: object) -> bool:
    """Whether what ``user`` does is kept in another database than our rows, outside of their transactions."""
    if not _is_kept(user):
        return False
    from django.contrib.admin.models import LogEntry

    return bool(router.db_for_write(LogEntry) != director.DATABASE)


def can_note(user: User) -> bool:
    """Say whether a ``Note`` does what ``record`` would do: the history is in our database, and nobody listens."""
    if not _is_kept(user) or _is_elsewhere(user) or not _is_stored(user):
        return False
    from django.contrib.admin.models import LogEntry

    return not (pre_save.has_listeners(LogEntry) or post_save.has_listeners(LogEntry))


def note(user: AbstractBaseUser, obj: Model, message: str) -> Note:
    """Return what ``record`` would write, for ``noting``. Ask ``can_note`` first."""
    from django.contrib.contenttypes.models import ContentType

    kind = ContentType.objects.db_manager(director.DATABASE).get_for_model(obj, for_concrete_model=False)
    values = {"by": user.pk, "kind": kind.pk, "object": str(obj.pk), "shown": str(obj)[:200], "message": message}
    return Note(values)


@prepared
def noting() -> Statement:
    """Return the INSERT of a ``Note``."""
    from django.contrib.admin.models import CHANGE, LogEntry

    return compile_insert(
        LogEntry,
        action_time=Now(),
        user_id=Param("by", LogEntry._meta.get_field("user")),
        content_type_id=Param("kind", INTEGER),
        object_id=Param("object", TEXT),
        object_repr=Param("shown", TEXT),
        action_flag=CHANGE,
        change_message=Param("message", TEXT),
    )


def _is_kept(user: object) -> TypeGuard[AbstractBaseUser]:
    return getattr(user, "pk", None) is not None and apps.is_installed("django.contrib.admin")
