"""What may come of a step that is no Celery task, besides its result."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final


class Held(Enum):
    """The type of ``HELD``."""

    HELD = "held"


HELD: Final = Held.HELD
"""The step waits: its row says so, and something else will end it."""


@dataclass(frozen=True, slots=True)
class Skip:
    """The step does not run."""

    reason: str
