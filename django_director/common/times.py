"""Times as rows hold them: without a time zone if ``USE_TZ`` is off."""

from __future__ import annotations

from datetime import datetime
from typing import overload

from django.conf import settings
from django.utils import timezone


@overload
def aware(moment: datetime) -> datetime: ...


@overload
def aware(moment: datetime | None) -> datetime | None: ...


def aware(moment: datetime | None) -> datetime | None:
    """Return a stored time with its time zone, which is missing with ``USE_TZ = False``."""
    return timezone.make_aware(moment) if moment is not None and timezone.is_naive(moment) else moment


def stored(moment: datetime) -> datetime:
    """Return a time in the form that the database takes: without a time zone if ``USE_TZ`` is off."""
    return moment if settings.USE_TZ or timezone.is_naive(moment) else timezone.make_naive(moment)
