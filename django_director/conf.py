"""``settings.DIRECTOR``, typed. The only place that spells a setting.

Values are kept from their first access until ``override_settings`` changes them. Times are seconds, sizes bytes.
"""

from __future__ import annotations

from typing import Any, Final

from django.conf import settings
from django.core.signals import setting_changed

KIB: Final = 1024

_WORD: Final = r"(?:(?<![A-Za-z])|(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z]))"
"""Where a word of a key begins: ``db_pwd``, ``dbPwd``, ``DBPwd``."""
_END: Final = r"(?:[_ .-]?\d+)?$"
SECRET_KEYS: Final = [
    # Anywhere in a key.
    r"(?i)passw(?:or)?d|passphrase|secret(?!ar)|authorization|credential",
    r"(?i)connection[_ .-]?string|database[_ .-]?url",
    # Not what counts the tokens of a text, as `total_tokens`.
    r"(?i)token(?!i[sz])(?!s(?![A-Za-z]))|^tokens$|(?:access|api|auth|refresh|bearer|secret)[_ .-]?tokens",
    r"(?i:(?:api|access|private|ssh|secret|signing|encryption|master)[_ .-]?keys?)(?![a-z])",
    r"(?i:card[_ .-]?(?:number|no))(?![a-z])",
    # Whole words of a key.
    _WORD + r"(?i:pwd|dsn|jwt|otp|cvv|cvc|iban)(?![a-z])",
    # The last word: not `pass_count`, `auth_method` or `signature_date`.
    _WORD + r"(?i:pass|auth|bearer|cookies?|signature|pin)" + _END,
]
"""The keys that are taken for secret where ``DIRECTOR["MASK"]`` does not say another thing."""

DEFAULTS: Final[dict[str, Any]] = {
    # Files, or folders of *.yml; None: BASE_DIR / "workflows.yml" if there is one.
    "WORKFLOWS": None,
    # Store the files' definitions after each migrate.
    "SYNC_AFTER_MIGRATE": False,
    # How long a running task is believed to be alive without a sign, and how often it gives one.
    "LEASE": 90,
    "RENEW": 30,
    # How long a published message may take to be claimed before it is published again; doubles up to an hour.
    "DISPATCH_GRACE": 60,
    # The database alias of all of django-director's tables.
    "DATABASE": "default",
    # The supervisor's period.
    "TICK": 1,
    # "worker": every Celery worker starts one; "process": only `manage.py superviseworkflows`.
    "SUPERVISOR": "worker",
    # How many of the slots that a schedule missed while no worker ran are started: the last ones.
    "MAX_MISSED_SLOTS": 1,
    # How often a task may lose its worker before it fails.
    "MAX_CRASHES": 3,
    # How long a task that no worker knows is offered before it fails.
    "UNKNOWN_TASK_TTL": 600,
    "MAX_TASKS_PER_RUN": 100_000,
    "MAX_RESULT": 256 * KIB,
    "MAX_PAYLOAD": 1024 * KIB,
    "MAX_TRACEBACK": 64 * KIB,
    "MAX_INPUT": 16 * 1024 * KIB,
    # What is kept of finished runs of workflows without `retention`.
    "RETENTION": {"offset": -1},
    # The queue of tasks for which nothing else names one; None: Celery's.
    "DEFAULT_QUEUE": None,
    # The hard time limit of tasks that have none of their own; None: none.
    "TASK_TIME_LIMIT": None,
    # Keep the log lines of a task with its attempt.
    "CAPTURE_LOGS": True,
    # Dotted path of the function that says who may do what; None: django_director.access.authorization.is_allowed.
    "AUTHORIZE": None,
    # Regular expressions for keys whose values are hidden in pages, the API and texts.
    "MASK": SECRET_KEYS,
}

MAX_GRACE: Final = 3600
"""The longest time between two publications of one queued task."""


class Settings:
    """Attribute access to ``settings.DIRECTOR`` with defaults."""

    def __getattr__(self, name: str) -> Any:
        if name not in DEFAULTS:
            raise AttributeError(f"no setting DIRECTOR[{name!r}]")
        value = self.__dict__[name] = self.given.get(name, DEFAULTS[name])
        return value

    def forget(self, *, setting: str, **_: object) -> None:
        """Read the values anew."""
        if setting == "DIRECTOR":
            self.__dict__.clear()

    @property
    def given(self) -> dict[str, Any]:
        """What the project has set."""
        given = getattr(settings, "DIRECTOR", {})
        return given if isinstance(given, dict) else {}

    @property
    def unknown(self) -> list[str]:
        """Keys that mean nothing: mostly typing errors."""
        return sorted(set(self.given) - set(DEFAULTS))


director = Settings()
setting_changed.connect(director.forget, dispatch_uid="django_director.conf")
