"""What is sent for a task, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What is sent for one task: about 1 kB on the wire, whatever the size of the workflow."""

    task_id: UUID
    sequence: int
    name: str
    queue: str
    run_id: UUID
    position: int
    version: str
    """The content hash of the definition."""
    map_index: int = -1
    """The item it is for; -1 outside of maps."""
    retries: int = 0
    time_limit: float | None = None
    """Seconds after which the worker ends it, in place of the task's own limit."""
    priority: int | None = None

    @property
    def header(self) -> dict[str, Any]:
        header = {"run": str(self.run_id), "position": self.position, "version": self.version}
        return header if self.map_index < 0 else header | {"index": self.map_index}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A message that can't be sent, though others can."""

    message: Message
    why: str
    """What people read: “can't be sent to queue `other`: …”."""
    is_final: bool
    """Whether that stays so until somebody changes something."""


@dataclass(slots=True)
class Publication:
    """What became of messages; each is in one of these."""

    sent: list[Message] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    untried: list[Message] = field(default_factory=list)
    """The broker did not take them, or was not asked."""
