"""Users as rows keep them: a key and a name in plain columns.

The table of users may be in another database than django-director's tables, and a user may be deleted, or renamed,
while the runs that the user started stay. So nothing here is a foreign key, and no query joins that table.
"""

from __future__ import annotations

from typing import Final, Protocol, TypeAlias

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db.models import Model

LENGTH: Final = 254
"""Characters of a key, and of a name: an e-mail address is no longer."""


class Account(Protocol):
    """What django-director asks of a user: each user model with permissions, and ``AnonymousUser``, has this."""

    @property
    def pk(self) -> object: ...
    @property
    def is_superuser(self) -> bool: ...
    def get_username(self) -> str: ...
    def has_perm(self, perm: str, /) -> bool: ...


User: TypeAlias = Account | None
"""A user of the project, signed in or not; ``None`` for nobody, and for a user who was deleted."""


def key_of(user: User) -> str:
    """The primary key of a user as text; empty for ``None``, and for a user without a row."""
    pk = getattr(user, "pk", None)
    return "" if pk is None else str(pk)[:LENGTH]


def name_of(user: User) -> str:
    """The user's name as it is now; empty for ``None``, and for a user without a row."""
    return user.get_username()[:LENGTH] if user is not None and key_of(user) else ""


def find(key: str) -> User:
    """The user with this key, from the user model's database; ``None`` when it is empty, or the user is gone."""
    if not key:
        return None
    try:
        return get_user_model()._base_manager.filter(pk=key).first()
    except (ValueError, ValidationError):
        # The project has changed its user model, and with it the kind of keys.
        return None


class Reference:
    """Remembers the user of one row's column, as a foreign key would; kept in the row's ``__dict__``."""

    def __init__(self, column: str) -> None:
        self.column = column
        self._kept = f"_{column}_user"

    def get(self, row: Model) -> User:
        """The user whose key stands in the column: one query at the first call."""
        key = getattr(row, self.column)
        known, user = row.__dict__.get(self._kept, ("", None))
        if key and key != known:
            user = find(key)
            self.keep(row, user, key)
        return user if key else None

    def keep(self, row: Model, user: User, key: str) -> None:
        """Remember that ``user`` has ``key``."""
        row.__dict__[self._kept] = (key, user)
