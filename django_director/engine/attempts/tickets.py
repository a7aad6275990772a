"""Tickets: what a message says of its task, compared with that task.

Anybody who can write to the broker can write any message. So the Celery task, the run, the position and the
version that a message names are compared with the task's row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from uuid import UUID

from django_director.common import ids
from django_director.dispatch.messages import HEADER, SIZE
from django_director.engine import outbox
from django_director.graph import Graph, Node, block_of
from django_director.models import Task

T = TypeVar("T")

MAX_NUMBER: Final = (1 << 31) - 1
"""The highest position or index that a column holds."""
HASH_LENGTH: Final = 64


class UnfitMessage(Exception):
    """A message that can't be read, or that does not belong to the task that it names; the text says why.

    The text quotes nothing of the message, as anybody may have written it.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """What a message says of its task."""

    task_id: UUID
    sequence: int
    name: str
    """The Celery task that it asks to run."""
    run_id: UUID
    position: int
    version: str
    map_index: int = -1
    size: int = 1
    """For how many neighbouring tasks the message is; the others are those of the first."""

    @classmethod
    def parse(cls, message_id: object, name: str, header: object) -> Ticket:
        """Read the id of a message for the Celery task ``name``, and its header. Raises ``UnfitMessage``."""
        try:
            task_id, sequence = ids.parse_message_id(message_id)
        except ValueError:
            raise UnfitMessage("its id is not that of a task in a run") from None
        if not isinstance(header, dict):
            raise UnfitMessage(f"its header `{HEADER}` can't be read")
        return cls(
            task_id=task_id,
            sequence=sequence,
            name=name,
            run_id=_field(header, "run", _uuid),
            position=_field(header, "position", _number),
            version=_field(header, "version", _hash),
            map_index=_field(header, "index", _number) if "index" in header else -1,
            size=_field(header, SIZE, _number) if SIZE in header else 1,
        )

    @property
    def params(self) -> dict[str, Any]:
        """The parameters of the statement that claims the task."""
        return {
            "task": self.task_id,
            "run": self.run_id,
            "sequence": self.sequence,
            "version": self.version,
        }

    def fits(self, node: Node) -> bool:
        """Whether the message belongs to the task at ``node``. The run and the position give the task's id."""
        if node.name != self.name or node.position != self.position:
            return False
        if node.map_position is not None:
            return self.map_index >= 0 and self.task_id == ids.item_id(self.run_id, self.position, self.map_index)
        if node.is_hook:
            wanted = ids.hook_id(self.run_id, outbox.generation_of(self.sequence), self.position)
        else:
            wanted = ids.task_id(self.run_id, self.position)
        return self.map_index < 0 and self.task_id == wanted


def _field(header: dict[str, Any], key: str, parse: Callable[[Any], T]) -> T:
    try:
        return parse(header[key])
    except (KeyError, ValueError, TypeError, AttributeError):
        raise UnfitMessage(f"`{key}` in its header can't be read") from None


def _uuid(value: Any) -> UUID:
    return UUID(value)


def _number(value: object) -> int:
    if type(value) is not int or not 0 <= value <= MAX_NUMBER:
        raise ValueError
    return value


def _hash(value: object) -> str:
    if not isinstance(value, str) or len(value) > HASH_LENGTH or not (value.isascii() and value.isalnum()):
        raise ValueError
    return value


def node_of(ticket: Ticket, graph: Graph) -> Node:
    """Return the node of the task that a message names, in the version that it names. Raises ``UnfitMessage``."""
    try:
        node = graph.node(ticket.position)
    except IndexError:
        raise UnfitMessage(f"it is not of task {ticket.task_id}: its workflow has no such step") from None
    block = block_of(graph, ticket.position, ticket.map_index)
    is_batch = block == (ticket.position, ticket.map_index, ticket.size)
    if not ticket.fits(node) or not (ticket.size == 1 or is_batch):
        raise UnfitMessage(f"it is not of task {ticket.task_id}: it has another task's name or place")
    return node


def own_row(ticket: Ticket) -> tuple[str, int | None] | None:
    """Read status and claim of a task that a message could not claim; ``None`` if it has another sequence by now.

    Raises ``UnfitMessage``.
    """
    rows = Task.objects.filter(pk=ticket.task_id, sequence=ticket.sequence)
    columns = rows.values_list("status", "claim", "run_id", "run__version__content_hash")
    found = columns.first()
    if found is None:
        # Out of date, or of a run that was deleted.
        return None
    status, claimed, run_id, version = found
    if (run_id, version) != (ticket.run_id, ticket.version):
        raise UnfitMessage(f"it is not of task {ticket.task_id}: it has another run or version")
    return status, claimed
