"""Checks the values of ``settings.DIRECTOR``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from django_director.access.authorization import authorize_function
from django_director.common.suggestions import did_you_mean
from django_director.conf import DEFAULTS, director
from django_director.exceptions import InvalidSettings
from django_director.masking.values import secret_keys

from .tags import TAG, AppConfigs

Fits = Callable[[object], bool]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_name(value: object) -> bool:
    return value is None or (isinstance(value, str) and bool(value))


def _is_paths(value: object) -> bool:
    return value is None or (isinstance(value, list | tuple) and all(isinstance(p, str | Path) for p in value))


def _is_mask(value: object) -> bool:
    return isinstance(value, str) or (isinstance(value, list | tuple) and all(isinstance(p, str) for p in value))


def _is_retention(value: object) -> bool:
    return isinstance(value, dict) and all(
        (key == "offset" and isinstance(number, int) and number >= -1) or (key == "days" and _is_count(number))
        for key, number in value.items()
    )


def _is_age(value: object) -> bool:
    return value in (None, "django") or value == 0 or _is_number(value)


_NUMBER: Final = (_is_number, "a number of seconds above 0")
_COUNT: Final = (_is_count, "a whole number above 0")
_SWITCH: Final = (lambda value: isinstance(value, bool), "True or False")
_NAME: Final = (_is_name, "text, or None")

RULES: Final[dict[str, tuple[Fits, str]]] = {
    "WORKFLOWS": (_is_paths, "a list of paths, or None"),
    "SYNC_AFTER_MIGRATE": _SWITCH,
    "LEASE": _NUMBER,
    "RENEW": _NUMBER,
    "DISPATCH_GRACE": _NUMBER,
    "DATABASE": (lambda value: isinstance(value, str), "the alias of a database"),
    "CONNECTION_MAX_AGE": (_is_age, 'a number of seconds, None, or "django"'),
    "TICK": _NUMBER,
    "SUPERVISOR": (lambda value: value in ("worker", "process"), '"worker" or "process"'),
    "MAX_MISSED_SLOTS": _COUNT,
    "MAX_CRASHES": _COUNT,
    "UNKNOWN_TASK_TTL": _NUMBER,
    "MAX_TASKS_PER_RUN": _COUNT,
    "MAX_RESULT": _COUNT,
    "MAX_PAYLOAD": _COUNT,
    "MAX_TRACEBACK": _COUNT,
    "MAX_INPUT": _COUNT,
    "RETENTION": (_is_retention, 'a dict as {"offset": 50, "days": 90}'),
    "DEFAULT_QUEUE": _NAME,
    "TASK_TIME_LIMIT": (lambda value: value is None or _is_number(value), "a number of seconds, or None"),
    "CAPTURE_LOGS": _SWITCH,
    "AUTHORIZE": (lambda value: callable(value) or _is_name(value), "a dotted path, or None"),
    "MASK": (_is_mask, "a regular expression, or a list of them"),
}


@register(TAG)
def check_settings(app_configs: AppConfigs = None, **kwargs: object) -> list[CheckMessage]:
    """E001: it is no dict. E002: it has unknown keys. E003: a value has a wrong type or range.

    E004: ``RENEW`` is not below ``LEASE``. E007: a value can't be used.
    """
    if not isinstance(getattr(settings, "DIRECTOR", {}), dict):
        hint = 'Write DIRECTOR = {"LEASE": 90, …}, or leave it out.'
        return [Error("The setting DIRECTOR is not a dict.", hint=hint, id="director.E001")]
    return [*_unknown_keys(), *_wrong_values(), *_unusable_values()]


def _unknown_keys() -> Iterator[CheckMessage]:
    for key in director.unknown:
        near = did_you_mean(str(key), DEFAULTS)
        hint = near.replace("did", "Did").replace("`", "") if near else f"Known keys: {', '.join(DEFAULTS)}."
        yield Error(f"DIRECTOR has the unknown key {key!r}.", hint=hint, id="director.E002")


def _wrong_values() -> Iterator[CheckMessage]:
    wrong = {key for key, (fits, _) in RULES.items() if not fits(getattr(director, key))}
    for key in sorted(wrong):
        message = f"DIRECTOR[{key!r}] is {getattr(director, key)!r}, and must be {RULES[key][1]}."
        yield Error(message, hint=f"The default is {DEFAULTS[key]!r}.", id="director.E003")
    if not wrong & {"LEASE", "RENEW"} and director.RENEW >= director.LEASE:
        message = f"DIRECTOR['RENEW'] ({director.RENEW}) is not below DIRECTOR['LEASE'] ({director.LEASE})."
        hint = "A lease that is renewed after it has ended makes every long task run twice; use a third of it."
        yield Error(message, hint=hint, id="director.E004")


def _unusable_values() -> Iterator[CheckMessage]:
    for key, use in (("AUTHORIZE", authorize_function), ("MASK", secret_keys)):
        fits, kind = RULES[key]
        if not fits(getattr(director, key)):
            continue  # E003
        try:
            use()
        except InvalidSettings as error:
            yield Error(f"{error}.", hint=f"It must be {kind}.", id="director.E007")
