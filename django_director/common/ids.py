"""Identifiers that can be computed instead of being asked for.

Runs have a UUIDv7 (RFC 9562, section 5.7; its 12 bits ``rand_a`` hold the fraction of the millisecond, section
6.2, method 3), so they sort by time. The id of a task follows from its run and its
position in the graph: whoever finishes a task knows its successors' ids without a query.
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
"""The highest that a column holds."""


def new_id() -> UUID:
    """A UUIDv7 with 62 random bits."""
    return _uuid7(int.from_bytes(os.urandom(8)))


def new_run_id() -> UUID:
    """A UUIDv7 whose lowest bits are zero: the room for the positions of its tasks."""
    return _uuid7(int.from_bytes(os.urandom(8)) >> POSITION_BITS << POSITION_BITS)


def task_id(run_id: UUID, position: int) -> UUID:
    """The id of the task at ``position`` (from 0) of a run."""
    return UUID(int=run_id.int + position + 1)


def task_hex(run_id: UUID, position: int) -> str:
    """The same as 32 hexadecimal digits: for many rows objects cost more than all the rest."""
    return f"{run_id.int + position + 1:032x}"


def item_id(run_id: UUID, position: int, index: int) -> UUID:
    """The id of the task at ``position``, inside of a map, for the item ``index`` (from 0)."""
    return UUID(int=_first_item(run_id, position) + index)


def item_hex(run_id: UUID, position: int, index: int) -> str:
    """The same as 32 hexadecimal digits."""
    return f"{_first_item(run_id, position) + index:032x}"


@lru_cache(maxsize=1024)
def _first_item(run_id: UUID, position: int) -> int:
    """The items of one position are neighbours, near the run's own tasks: no insert is somewhere at random."""
    digest = blake2b(run_id.bytes + position.to_bytes(8), digest_size=8).digest()
    random = int.from_bytes(digest) >> 2 >> POSITION_BITS << POSITION_BITS
    return run_id.int >> RANDOM_BITS << RANDOM_BITS | random


def hook_id(run_id: UUID, generation: int, position: int) -> UUID:
    """The id of the hook at ``position`` that the end of a run in this generation starts."""
    return uuid5(run_id, f"{generation}-{position}")


def message_id(task: UUID, sequence: int) -> str:
    """The Celery id of a message: never used twice, for a worker discards later messages of a revoked id."""
    return f"{task}-{sequence}"


def parse_message_id(value: object) -> tuple[UUID, int]:
    """The inverse of ``message_id``. Raises ``ValueError`` for what it can't have made."""
    task, _, sequence = str(value).rpartition("-")
    parsed = UUID(task), int(sequence)
    if message_id(*parsed) != value or not 0 <= parsed[1] <= MAX_SEQUENCE:
        raise ValueError("not the id of a message")
    return parsed


def _uuid7(random: int) -> UUID:
    milliseconds, nanoseconds = divmod(time.time_ns(), 1_000_000)
    fraction = (nanoseconds << 12) // 1_000_000
    return UUID(int=milliseconds << 80 | 7 << 76 | fraction << 64 | 2 << 62 | random & (1 << RANDOM_BITS) - 1)
