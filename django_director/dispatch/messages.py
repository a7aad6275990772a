"""The message that is sent for a task, its headers, and what became of messages that were to be sent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from django_director.common.json_values import JsonValue

HEADER: Final = "director"
"""The header of messages for the tasks of runs."""
BEAT_HEADER: Final = "director_beat"
"""The header of messages that beat sends for schedules. They start a run, so there is no task yet."""
INSTALLATION: Final = "installation"
"""The key in both headers under which the id of the sending installation stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """The message for one task: about 1 kB on the wire, however large the workflow is."""

    task_id: UUID
    sequence: int
    name: str
    queue: str
    run_id: UUID
    position: int
    version: str
    """The content hash of the definition."""
    map_index: int = -1
    """The number of the item of a map that the task is for, counted from 0; -1 for a task outside of maps."""
    retries: int = 0
    time_limit: float | None = None
    """Seconds after which the worker ends the task; ``None``: the task's own limit counts."""
    priority: int | None = None

    @property
    def header(self) -> dict[str, JsonValue]:
        """What the header ``HEADER`` says of the task."""
        header: dict[str, JsonValue] = {
            "run": str(self.run_id),
            "position": self.position,
            "version": self.version,
        }
        return header if self.map_index < 0 else header | {"index": self.map_index}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A message that can't be sent, while others can."""

    message: Message
    why: str
    """The reason as people read it: “can't be sent to queue `other`: …”."""
    is_final: bool
    """Whether the message will be refused until somebody changes the code or the settings."""


@dataclass(slots=True)
class Publication:
    """What became of messages that were to be sent. Each message is in one of the three lists."""

    sent: list[Message] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    untried: list[Message] = field(default_factory=list)
    """Messages that the broker did not take, or was not asked to take."""
