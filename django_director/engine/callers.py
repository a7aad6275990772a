"""What callers of ``start`` and ``relaunch`` hand over, checked: a wrong argument is named, not met in a query."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, NoReturn

from django.contrib.auth import get_user_model

from django_director.exceptions import DirectorError, Misuse
from django_director.models import COMMENT_LENGTH, KEY_LENGTH, Workflow
from django_director.status import Trigger

from .texts import storable

KEY_RULE: Final = f"give 1 to {KEY_LENGTH} printable characters"
SHOWN: Final = 100
"""How much of a wrong argument an error shows."""


def checked_comment(comment: str) -> str:
    """The comment as it is kept, on every face: without what no database takes, and without blanks around it.

    Raises ``Misuse``, and ``DirectorError`` for one that is too long.
    """
    if not isinstance(comment, str):
        _refuse("comment", "text", comment)
    comment = storable(comment).strip()
    if len(comment) > COMMENT_LENGTH:
        raise DirectorError(f"the comment has {len(comment):,} characters; {COMMENT_LENGTH:,} are possible")
    return comment


def checked_user(user: Any) -> Any:
    """The user for a run's row; ``None`` for one who is no row, as an ``AnonymousUser``. Raises ``Misuse``."""
    if user is None or getattr(user, "pk", user) is None:
        return None
    if not isinstance(user, get_user_model()):
        _refuse("user", "a user, or None", user)
    return user


def checked_key(key: str | None) -> str | None:
    """The idempotency key. Raises ``DirectorError`` for what the API does not take either, and ``Misuse``."""
    if key is None:
        return None
    if not isinstance(key, str):
        _refuse("idempotency_key", "text, or None", key)
    if not is_key(key):
        raise DirectorError(f"idempotency key: {KEY_RULE}")
    return key


def is_key(text: str) -> bool:
    """Whether the text may be an idempotency key; see ``KEY_RULE``."""
    return 0 < len(text) <= KEY_LENGTH and text.isprintable()


def checked_moment(not_before: datetime | None) -> datetime | None:
    """The time before which nothing of a run begins. Raises ``Misuse``."""
    if not_before is not None and not isinstance(not_before, datetime):
        _refuse("not_before", "a datetime, or None", not_before)
    return not_before


def checked_trigger(trigger: str) -> Trigger:
    """How a run is started, a word that filters and pages know. Raises ``Misuse``."""
    if trigger not in Trigger.values:
        _refuse("trigger", f"one of {', '.join(Trigger.values)}", trigger)
    return Trigger(trigger)


def checked_name(name: str | Workflow) -> str | Workflow:
    """What names a workflow to start. Raises ``Misuse``."""
    if not isinstance(name, str | Workflow):
        _refuse("name", "the name of a workflow, or its row", name)
    return name


def _refuse(name: str, kind: str, given: Any) -> NoReturn:
    raise Misuse(f"{name} must be {kind}, not {repr(given)[:SHOWN]}")
