"""What callers hand over, checked: a wrong argument is named, not met in a query."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any, Final, NoReturn

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.utils import timezone

from django_director.db.texts import storable
from django_director.exceptions import DirectorError, Misuse
from django_director.models import COMMENT_LENGTH, KEY_LENGTH, Run, Task, Workflow
from django_director.models.users import User
from django_director.status import Trigger

KEY_RULE: Final = f"give 1 to {KEY_LENGTH} printable characters"
VERSIONS: Final = ("current", "same")
SHOWN: Final = 100
"""How much of a wrong argument an error shows."""


def checked_comment(comment: str) -> str:
    """Return the comment as it is kept: without what no database takes, and without blanks around it.

    Raises ``Misuse``, and ``DirectorError`` for one that is too long.
    """
    if not isinstance(comment, str):
        _refuse("comment", "text", comment)
    comment = storable(comment).strip()
    if len(comment) > COMMENT_LENGTH:
        raise DirectorError(f"the comment has {len(comment):,} characters; {COMMENT_LENGTH:,} are possible")
    return comment


def checked_user(user: object, verb: str) -> User:
    """Return the user that ``verb`` is called with; ``None`` for one without a row, as an ``AnonymousUser``.

    Raises ``Misuse``.
    """
    if user is None or isinstance(user, AnonymousUser):
        return None
    if not isinstance(user, get_user_model()):
        _refuse(f"{verb}(): user", "a user, or None", user)
    return None if user.pk is None else user


def checked_key(key: str | None) -> str | None:
    """Return the idempotency key. Raises ``DirectorError`` for what the API refuses too, and ``Misuse``."""
    if key is None:
        return None
    if not isinstance(key, str):
        _refuse("idempotency_key", "text, or None", key)
    if not is_key(key):
        raise DirectorError(f"idempotency key: {KEY_RULE}")
    return key


def checked_columns(verb: str, **given: Any) -> dict[str, Any]:
    """Return the columns that the caller of ``verb`` gives a new run, checked. Raises what the checks raise."""
    checks: dict[str, Callable[[Any], object]] = {
        "user": lambda user: checked_user(user, verb),
        "comment": checked_comment,
        "idempotency_key": checked_key,
        "trigger": checked_trigger,
        "schedule": partial(checked_text, "schedule"),
        "scheduled_for": partial(checked_moment, "scheduled_for"),
        "sent_at": partial(checked_moment, "sent_at"),
    }
    return {name: checks[name](value) for name, value in given.items()}


def is_key(text: str) -> bool:
    """Whether the text may be an idempotency key; see ``KEY_RULE``."""
    return 0 < len(text) <= KEY_LENGTH and text.isprintable()


def checked_moment(name: str, moment: datetime | None) -> datetime | None:
    """Return the time that the argument ``name`` gives. Raises ``Misuse``, also for one without a zone."""
    if moment is None:
        return None
    if not isinstance(moment, datetime):
        _refuse(name, "a datetime, or None", moment)
    if settings.USE_TZ and timezone.is_naive(moment):
        raise Misuse(f"{name} must have a time zone: begin with django.utils.timezone.now()")
    return moment


def checked_text(name: str, text: str | None) -> str | None:
    """Return the text that the argument ``name`` gives. Raises ``Misuse``."""
    if text is not None and not isinstance(text, str):
        _refuse(name, "text, or None", text)
    return text


def checked_via(via: str) -> str:
    """Return what a caller says of the way it was reached, for Django's history: "API". Raises ``Misuse``."""
    if not isinstance(via, str):
        _refuse("via", "text", via)
    return storable(via)


def checked_trigger(trigger: str) -> Trigger:
    """How a run is started, a word that filters and pages know. Raises ``Misuse``."""
    if trigger not in Trigger.values:
        _refuse("trigger", f"one of {', '.join(Trigger.values)}", trigger)
    return Trigger(trigger)


def checked_version(version: str) -> str:
    """Return the version that a relaunch takes: ``current``, or ``same`` as the old run's. Raises ``Misuse``."""
    if version not in VERSIONS:
        _refuse("version", "“current” or “same”", version)
    return version


def checked_name(name: str | Workflow) -> str | Workflow:
    """Return the name, or the row, of a workflow to start. Raises ``Misuse``."""
    if not isinstance(name, str | Workflow):
        _refuse("name", "the name of a workflow, or its row", name)
    return name


def checked_run(run: object, verb: str) -> Run:
    """Return the run that the function ``verb`` is called with. Raises ``Misuse``."""
    if not isinstance(run, Run):
        way = "its run is `task.run`" if isinstance(run, Task) else "Run.objects.get(pk=…)"
        raise Misuse(f"{verb}() takes a Run, not {_kind(run)}: {way}")
    return run


def checked_task(task: object, verb: str) -> Task:
    """Return the task that the function ``verb`` is called with. Raises ``Misuse``."""
    if not isinstance(task, Task):
        way = "run.tasks.get(step=…)" if isinstance(task, Run) else "Task.objects.get(pk=…)"
        raise Misuse(f"{verb}() takes a Task, not {_kind(task)}: {way}")
    return task


def _kind(given: object) -> str:
    name = "None" if given is None else type(given).__name__
    return name if given is None else f"{'an' if name[0] in 'aeioAEIO' else 'a'} {name}"


def _refuse(name: str, kind: str, given: object) -> NoReturn:
    raise Misuse(f"{name} must be {kind}, not {repr(given)[:SHOWN]}")
