"""What a worker's main process knows of a batch whose process has ended: its tasks, and which of them ran."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple
from uuid import UUID

from django_director.common.process_signs import page
from django_director.dispatch.messages import SIZE


class LostBatch(NamedTuple):
    """The batch of a message, as its header says."""

    run_id: UUID
    position: int
    item: int
    size: int
    running: UUID | None
    """The task that had begun last when the process ended, if its sign is there; those behind it had not begun."""


def lost_batch(header: Any, pid: int | None) -> LostBatch | None:
    """Return the batch that a message is for, which process ``pid`` worked on; ``None``: it is for one task."""
    if not isinstance(header, Mapping) or SIZE not in header:
        return None
    try:
        place = (UUID(header["run"]), int(header["position"]), int(header.get("index", -1)), int(header[SIZE]))
    except (KeyError, ValueError, TypeError, AttributeError):
        # Such a message is refused, so there is nothing to lose.
        return None
    return LostBatch(*place, running=None if pid is None else page.last_task(pid))
