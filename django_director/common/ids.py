"""Identifiers of runs, tasks and messages. They can be computed, so nobody has to ask the database for them.

Runs have a UUIDv7 (RFC 9562, section 5.7; its 12 bits ``rand_a`` hold the fraction of the millisecond, section
6.2, method 3), so they sort by time. The id of a task follows from its run and its position in the graph: a worker
that finishes a task knows the ids of the tasks after it without a query.
"""

from __future__ import annotations

import os
import time
from functools import lru_cache
from hashlib import blake2b
from typing import Final
from uuid import UUID, uuid5

POSITION_BITS: Final = 24
"""Room for 16 million tasks in a run; 38 random bits per quarter of a microsecond are left for runs."""

RANDOM_BITS: Final = 62

MAX_SEQUENCE: Final = (1 << 63) - 1
"""The highest sequence number that its database column can hold."""


def new_id() -> UUID:
    """Return a new UUIDv7 with 62 random bits."""
    return _uuid7(int.from_bytes(os.urandom(8)))


def new_run_id() -> UUID:
    """Return a new UUIDv7 whose lowest bits are zero: they are the room for the positions of the run's tasks."""
    return _uuid7(int.from_bytes(os.urandom(8)) >> POSITION_BITS << POSITION_BITS)


def task_id(run_id: UUID, position: int) -> UUID:
    """Return the id of the task at ``position`` (counted from 0) of a run."""
    return UUID(int=run_id.int + position + 1)


def task_hex(run_id: UUID, position: int) -> str:
    """Return the id of the task at ``position`` (counted from 0) of a run as 32 hexadecimal digits.

    For inserts of many rows: making a ``UUID`` object for each of them would cost more than all the rest.
    """
    return f"{run_id.int + position + 1:032x}"


def item_id(run_id: UUID, position: int, index: int) -> UUID:
    """Return the id of the task at ``position``, a step inside a map, for the item ``index`` (counted from 0)."""
    return UUID(int=_first_item(run_id, position) + index)


def item_hex(run_id: UUID, position: int, index: int) -> str:
    """Return the id of a map's task at ``position`` for the item ``index`` as 32 hexadecimal digits."""
    return f"{_first_item(run_id, position) + index:032x}"


@lru_cache(maxsize=1024)
def _first_item(run_id: UUID, position: int) -> int:
    """Return the number that is the id of a position's first item.

    The items of one position have ids one after the other, near those of the run's own tasks: so an index of the
    database grows at one place, and not at random ones.
    """
    digest = blake2b(run_id.bytes + position.to_bytes(8), digest_size=8).digest()
    random = int.from_bytes(digest) >> 2 >> POSITION_BITS << POSITION_BITS
    return run_id.int >> RANDOM_BITS << RANDOM_BITS | random


def hook_id(run_id: UUID, generation: int, position: int) -> UUID:
    """Return the id of the hook task at ``position`` that starts when a run ends in this ``generation``."""
    return uuid5(run_id, f"{generation}-{position}")


def message_id(task: UUID, sequence: int) -> str:
    """Return the Celery id of the message that offers a task under this ``sequence``.

    No id is used twice: a worker would discard further messages under an id that somebody has revoked.
    """
    return f"{task}-{sequence}"


def parse_message_id(value: object) -> tuple[UUID, int]:
    """Return the task's id and the sequence of a message's id. Raises ``ValueError`` for any other value."""
    task, _, sequence = str(value).rpartition("-")
    parsed = UUID(task), int(sequence)
    if message_id(*parsed) != value or not 0 <= parsed[1] <= MAX_SEQUENCE:
        raise ValueError("not the id of a message")
    return parsed


def _uuid7(random: int) -> UUID:
    milliseconds, nanoseconds = divmod(time.time_ns(), 1_000_000)
    fraction = (nanoseconds << 12) // 1_000_000
    return UUID(int=milliseconds << 80 | 7 << 76 | fraction << 64 | 2 << 62 | random & (1 << RANDOM_BITS) - 1)
