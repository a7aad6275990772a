"""Who did what, in Django's own history of an object."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.db import router
from django.db.models import Model
from django.db.models.signals import post_save, pre_save

from django_director.conf import director
from django_director.db.bulk_inserts import compile_insert
from django_director.db.compiled import INTEGER, TEXT, Param, Statement, prepared
from django_director.db.functions import Now
from django_director.models import Task


@dataclass(frozen=True, slots=True)
class Note:
    """A line of the history that another statement writes along, with these ``values`` for ``noting``."""

    values: dict[str, Any]


def record(user: Any, obj: Model, message: str) -> None:
    """Write into the history of ``obj`` that ``user`` did what ``message`` says: "Canceled (API)".

    Nothing is written for ``None`` or an anonymous user, nor where ``django.contrib.admin`` is not installed.
    """
    record_many(user, [obj], message)


def record_on_task(user: Any, task: Task, message: str) -> None:
    """The same for a task, in its history and in that of its run.

    ``message`` holds no comment: the history of a run is for all who may see the run.
    """
    record(user, task, message)
    record(user, task.run, f"{task.label}: {message}")


def record_many(user: Any, objects: Iterable[Model], message: str) -> None:
    """The same for several objects of one model, in one query."""
    if not _is_kept(user):
        return
    # Importing a model of an app that is not installed raises.
    from django.contrib.admin.models import CHANGE, LogEntry

    LogEntry.objects.log_actions(
        user_id=user.pk,
        queryset=list(objects),
        action_flag=CHANGE,
        change_message=message,
    )


def is_elsewhere(user: Any) -> bool:
    """Whether what ``user`` does is kept in another database than our rows, outside of their transactions."""
    if not _is_kept(user):
        return False
    from django.contrib.admin.models import LogEntry

    return bool(router.db_for_write(LogEntry) != director.DATABASE)


def can_note(user: Any) -> bool:
    """Say whether a ``Note`` does what ``record`` would do in this transaction: nobody must listen."""
    if not _is_kept(user) or is_elsewhere(user):
        return True
    from django.contrib.admin.models import LogEntry

    return not (pre_save.has_listeners(LogEntry) or post_save.has_listeners(LogEntry))


def note(user: Any, obj: Model, message: str) -> Note | None:
    """What ``record`` would write, for ``noting``; ``None`` where it would write nothing, or elsewhere."""
    if not message or not _is_kept(user) or is_elsewhere(user):
        return None
    from django.contrib.contenttypes.models import ContentType

    kind = ContentType.objects.db_manager(director.DATABASE).get_for_model(obj, for_concrete_model=False)
    values = {"by": user.pk, "kind": kind.pk, "object": str(obj.pk), "shown": str(obj)[:200], "message": message}
    return Note(values)


@prepared
def noting() -> Statement:
    """The INSERT of a ``Note``."""
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


def _is_kept(user: Any) -> bool:
    return getattr(user, "pk", None) is not None and apps.is_installed("django.contrib.admin")
