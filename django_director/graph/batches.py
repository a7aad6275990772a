"""Blocks: the tasks that one message of a batch is for.

They are neighbours: items of a map, or members of a group, from a multiple of the batch's size on. So a message
names its block by its first task, and nobody has to note which tasks a message was for.
"""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

from django_director.common import ids

from .compiled_graph import Graph, Node


class Block(NamedTuple):
    """Some neighbouring tasks of a run. For a map there may be fewer items than that."""

    position: int
    """The position of the first of them."""
    item: int
    """The item of the first of them; -1 for members of a group."""
    size: int

    def first(self, run_id: UUID) -> UUID:
        """Return the id of the first of them in a run."""
        if self.item < 0:
            return ids.task_id(run_id, self.position)
        return ids.item_id(run_id, self.position, self.item)

    @property
    def positions(self) -> range:
        """The positions of the tasks."""
        return range(self.position, self.position + (self.size if self.item < 0 else 1))

    @property
    def indexes(self) -> range:
        """The items of the tasks; only -1 for members of a group."""
        return range(self.item, self.item + (1 if self.item < 0 else self.size))


def block_of(graph: Graph, position: int, index: int) -> Block | None:
    """Return the block that a task belongs to; ``None`` for a task that runs in no batch."""
    node = graph.node(position)
    if not node.batch:
        return None
    if node.map_position is not None:
        return Block(position, index - index % node.batch, node.batch)
    return _of_member(node)


def _of_member(node: Node) -> Block:
    start, stop = node.row or (node.position, node.position + 1)
    first = node.position - (node.position - start) % node.batch
    return Block(first, -1, min(node.batch, stop - first))


def items_at_once(node: Node) -> int | None:
    """Return how many items of a map are queued at the same time; ``None``: all.

    Of each batch one item is in work, the others wait for it.
    """
    return None if node.max_parallel is None else node.max_parallel * (node.step.batch or 1)


def has_lanes(node: Node) -> bool:
    """Whether the items of a map begin in batches of which `max_parallel` are in work."""
    return node.step.batch is not None and node.max_parallel is not None
