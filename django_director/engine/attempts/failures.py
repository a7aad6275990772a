"""Failures of attempts, and how they are stored in databases that can't hold every text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from django_director.conf import director
from django_director.db.errors import is_of_data
from django_director.db.texts import storable
from django_director.models import REASON_LENGTH, Attempt

MAX_ERROR: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why an attempt failed, as people read it."""

    error: str
    traceback: str = ""
    reason: str = ""
    outcome: str = Attempt.Outcome.FAILED

    def in_ascii(self) -> Failure:
        """Return the failure with its error alone, as ASCII with escapes."""
        text = self.error[:MAX_ERROR].encode("ascii", "backslashreplace").decode()
        return Failure(error=text.replace("\0", "\\x00"), outcome=self.outcome)

    def columns(self) -> dict[str, str]:
        """Return the columns of a task for this failure, cut to size. Of a traceback the end is kept."""
        return {
            "error": storable(self.error)[:MAX_ERROR],
            "traceback": storable(self.traceback)[-director.MAX_TRACEBACK :],
            "reason": storable(self.reason)[:REASON_LENGTH],
        }


def stored(failure: Failure, write: Callable[[Failure], bool]) -> bool:
    """Write a failure; if the database refuses its text, write the error alone, in ASCII."""
    try:
        return write(failure)
    except Exception as error:
        if not is_of_data(error):
            raise
    return write(failure.in_ascii())
