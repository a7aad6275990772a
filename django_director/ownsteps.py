"""What a worker does for a step that is no Celery task of the user's. Each kind of step has its function here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from .engine import maps
from .engine.claim import Claim


class Held(Enum):
    HELD = "held"


HELD: Final = Held.HELD
"""The step waits: its row was made to, and somebody else will end it."""


@dataclass(frozen=True, slots=True)
class Skip:
    """The step does not run."""

    reason: str


def perform(claimed: Claim) -> Any:
    """Do a step of ours; return its result, ``HELD`` or a ``Skip``. Errors fail the step, as those of a task."""
    return _PERFORM[claimed.node.kind](claimed)


def _head(claimed: Claim) -> bool:
    # The members of a container read from its head's result that it ran.
    return True


def _map(claimed: Claim) -> Any:
    assert claimed.values is not None
    texts = maps.read_items(claimed.values.evaluate("over", claimed.names))
    if not texts:
        return []
    maps.expand(claimed, texts)
    return HELD


_PERFORM: Final[Mapping[str, Callable[[Claim], Any]]] = {"group": _head, "map": _map}
