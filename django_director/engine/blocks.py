"""Makes one message of those for neighbouring tasks that run as a batch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from django_director.dispatch.messages import Message
from django_director.graph import Block, block_of
from django_director.models import graph_of


def together(messages: Iterable[Message]) -> list[Message]:
    """Return messages to be sent in place of these: one for each block of tasks that run as a batch."""
    made: dict[object, Message] = {}
    for number, one in enumerate(messages):
        block = block_of(graph_of(one.version), one.position, one.map_index) if one.batch else None
        if block is None or block.size == 1:
            made[number] = one
        elif (key := (one.run_id, block)) not in made:
            made[key] = _of_block(one, block)
    return list(made.values())


def _of_block(one: Message, block: Block) -> Message:
    first = block.first(one.run_id)
    return replace(one, task_id=first, position=block.position, map_index=block.item, size=block.size)
