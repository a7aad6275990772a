"""Who did what, in Django's own history of an object."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.apps import apps
from django.db.models import Model


def record(user: Any, obj: Model, message: str) -> None:
    """Write into the history of ``obj`` that ``user`` did what ``message`` says: "Canceled (API)".

    Nothing is written for ``None`` or an anonymous user, nor where ``django.contrib.admin`` is not installed.
    """
    record_many(user, [obj], message)


def record_many(user: Any, objects: Iterable[Model], message: str) -> None:
    """The same for several objects of one model, in one query."""
    if getattr(user, "pk", None) is None or not apps.is_installed("django.contrib.admin"):
        return
    # Importing a model of an app that is not installed raises.
    from django.contrib.admin.models import CHANGE, LogEntry

    LogEntry.objects.log_actions(
        user_id=user.pk,
        queryset=list(objects),
        action_flag=CHANGE,
        change_message=message,
    )


def said(what: str, comment: str) -> str:
    """What somebody did, with the comment: "Rejected: too expensive"."""
    return f"{what}: {comment}" if comment else what
