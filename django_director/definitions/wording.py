"""Values of definitions as people read them: durations, expressions, long texts; secrets are masked."""

from __future__ import annotations

import json
from typing import Final

from django_director.masking.values import mask

from .definition import Seconds

VALUE_SHOWN: Final = 200
"""So many characters of a value, an expression or a prompt are shown."""
_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "m"))


def shown_span(seconds: Seconds | None) -> str | None:
    """Return a duration as a file may say it: ``10s``, ``5m``, ``2d``."""
    if seconds is None:
        return None
    for size, unit in _UNITS:
        if seconds and seconds % size == 0:
            return f"{seconds // size:g}{unit}"
    return f"{seconds:g}s"


def shown_value(value: object) -> str | None:
    """Return an expression as it stands, another value as JSON; secrets in it are masked."""
    if value is None:
        return None
    shown = mask(value)
    return shortened(shown if isinstance(shown, str) else json.dumps(shown, ensure_ascii=False, default=str))


def shortened(text: str) -> str | None:
    """Return the beginning of a long text; ``None`` for an empty one."""
    return (text if len(text) <= VALUE_SHOWN else text[: VALUE_SHOWN - 1] + "…") or None
