"""The message that is sent for a task, its headers, and what became of messages that were to be sent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from django_director.common import ids
from django_director.common.json_values import JsonValue

HEADER: Final = "director"
"""The header of messages for the tasks of runs."""
SIZE: Final = "size"
"""The key in it for how many neighbouring tasks a message is, where it is for several."""
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
    batch: int = 0
    """For how many neighbouring tasks one message may be sent in place of one for each; 0: only for this task."""
    size: int = 1
    """For how many neighbouring tasks it is; ``task_id``, ``position`` and ``map_index`` are those of the first.

    There may be fewer, if they are the last items of a map.
    """

    @property
    def task_ids(self) -> list[UUID]:
        """The ids of the tasks that it is for."""
        if self.size == 1:
            return [self.task_id]
        if self.map_index < 0:
            return [ids.task_id(self.run_id, self.position + number) for number in range(self.size)]
        return [ids.item_id(self.run_id, self.position, self.map_index + number) for number in range(self.size)]

    @property
    def header(self) -> dict[str, JsonValue]:
        """What the header ``HEADER`` says of the task."""
        header: dict[str, JsonValue] = {
            "run": str(self.run_id),
            "position": self.position,
            "version": self.version,
        }
        if self.map_index >= 0:
            header["index"] = self.map_index
        return header if self.size == 1 else header | {SIZE: self.size}


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
