"""Reads ``settings.DIRECTOR``. Only this module names the settings and their defaults.

A value is kept from its first use until ``override_settings`` changes it. Times are seconds, sizes are bytes.
"""

from __future__ import annotations

from typing import Any, Final

from django.conf import settings
from django.core.signals import setting_changed

KIB: Final = 1024

_WORD: Final = r"(?:(?<![A-Za-z])|(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z]))"
"""The begin of a word in a key: that of ``pwd`` in ``db_pwd``, ``dbPwd`` and ``DBPwd``."""
_END: Final = r"(?:[_ .-]?\d+)?$"
SECRET_KEYS: Final = [
    # Anywhere in a key.
    r"(?i)passw(?:or)?d|passphrase|secret(?!ar)|authorization|credential",
    r"(?i)connection[_ .-]?string|database[_ .-]?url",
    # But no number of tokens in a text, such as `total_tokens`.
    r"(?i)token(?!i[sz])(?!s(?![A-Za-z]))|^tokens$|(?:access|api|auth|refresh|bearer|secret)[_ .-]?tokens",
    r"(?i:(?:api|access|private|ssh|secret|signing|encryption|master)[_ .-]?keys?)(?![a-z])",
    r"(?i:card[_ .-]?(?:number|no))(?![a-z])",
    # Whole words of a key.
    _WORD + r"(?i:pwd|dsn|jwt|otp|cvv|cvc|iban)(?![a-z])",
    # The last word of a key. So `pass_count`, `auth_method` and `signature_date` are not secret.
    _WORD + r"(?i:pass|auth|bearer|cookies?|signature|pin)" + _END,
]
"""The patterns for keys whose values are secret; ``DIRECTOR["MASK"]`` replaces them."""

DEFAULTS: Final[dict[str, Any]] = {
    # Files, or folders of *.yml; None: BASE_DIR / "workflows.yml" if there is one.
    "WORKFLOWS": None,
    # Whether each `migrate` stores the definitions of the files.
    "SYNC_AFTER_MIGRATE": False,
    # For how long a running task counts as alive without a sign of life, and how often it gives one.
    "LEASE": 90,
    "RENEW": 30,
    # After how long a message that no worker has claimed is published again; it doubles up to an hour.
    "DISPATCH_GRACE": 60,
    # The alias of the database that has django-director's tables.
    "DATABASE": "default",
    # After how many seconds a worker opens the engine's connection to it anew; None: never; "django": when
    # `CONN_MAX_AGE` says so.
    "CONNECTION_MAX_AGE": 600,
    # The time from one round of the supervisor to the next.
    "TICK": 1,
    # "worker": each Celery worker starts a supervisor; "process": only `manage.py superviseworkflows` does.
    "SUPERVISOR": "worker",
    # How many runs a schedule starts for slots that it has missed while no worker ran: those of the last slots.
    "MAX_MISSED_SLOTS": 1,
    # How many times a task may lose its worker before it fails.
    "MAX_CRASHES": 3,
    # For how long a task that no worker knows is published before it fails.
    "UNKNOWN_TASK_TTL": 600,
    "MAX_TASKS_PER_RUN": 250_000,
    "MAX_RESULT": 256 * KIB,
    "MAX_PAYLOAD": 1024 * KIB,
    "MAX_TRACEBACK": 64 * KIB,
    "MAX_INPUT": 16 * 1024 * KIB,
    # Which finished runs are kept of workflows without `retention`.
    "RETENTION": {"offset": -1},
    # The queue of tasks for which nothing else names a queue; None: the default queue of Celery.
    "DEFAULT_QUEUE": None,
    # The hard time limit of tasks without a time limit of their own; None: they have none.
    "TASK_TIME_LIMIT": None,
    # Whether the log lines of a task are kept with its attempt.
    "CAPTURE_LOGS": True,
    # The dotted path of the function that decides who may do what; None: that of `access.authorization`.
    "AUTHORIZE": None,
    # Regular expressions for keys whose values are hidden in pages, in the API and in texts.
    "MASK": SECRET_KEYS,
}

MAX_GRACE: Final = 3600
"""The longest time between two publications of one queued task."""


class Settings:
    """Has each key of ``settings.DIRECTOR`` as an attribute, with its default."""

    def __getattr__(self, name: str) -> Any:
        if name not in DEFAULTS:
            raise AttributeError(f"no setting DIRECTOR[{name!r}]")
        value = self.__dict__[name] = self.given.get(name, DEFAULTS[name])
        return value

    def forget(self, *, setting: str, **_: object) -> None:
        """Receive ``setting_changed``: read all values again at their next use."""
        if setting == "DIRECTOR":
            self.__dict__.clear()

    @property
    def given(self) -> dict[str, Any]:
        """The settings that the project has in ``settings.DIRECTOR``."""
        given = getattr(settings, "DIRECTOR", {})
        return given if isinstance(given, dict) else {}

    @property
    def unknown(self) -> list[str]:
        """The keys of ``settings.DIRECTOR`` that have no meaning, mostly because of typing errors."""
        return sorted(set(self.given) - set(DEFAULTS))


director = Settings()
setting_changed.connect(director.forget, dispatch_uid="django_director.conf")
