"""What the processes of a pool show of themselves: which claim each works on, and that it moves.

It stands in a page of memory that a worker shares with all processes that it forks, so that nobody has to ask a
process, which may be frozen, or the database, which may be away. A process that was not forked shows nothing.
"""

from __future__ import annotations

import mmap
import os
import struct
from typing import Final, NamedTuple
from uuid import UUID

SLOTS: Final = 512
"""How many processes of a pool can show something."""
NO_CLAIM: Final = (b"", 0)

_OWNER: Final = struct.Struct("qq")
_CLAIM: Final = struct.Struct("16sq")
_SIZE: Final = _OWNER.size + _CLAIM.size


class Sign(NamedTuple):
    """What one process has shown."""

    pid: int
    moves: int
    """How often it has said that it moves."""
    task: bytes
    token: int
    """Of the claim that it works on; 0: of none."""

    @property
    def task_id(self) -> UUID:
        return UUID(bytes=self.task)


class Page:
    """One slot for each place in a pool; whoever comes to a place takes its slot over."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, SLOTS * _SIZE)
        self._slot: int | None = None
        self._moves = 0

    def take(self, place: int) -> None:
        """Let this process show itself at ``place`` from now on."""
        if 0 <= place < SLOTS:
            self._slot = place * _SIZE
            self._moves = 0
            self.hide_claim()
            self.move()

    def move(self) -> None:
        """Show that the threads of this process run."""
        if self._slot is not None:
            self._moves += 1
            _OWNER.pack_into(self._memory, self._slot, os.getpid(), self._moves)

    def show_claim(self, task_id: UUID, token: int) -> None:
        """Show what this process works on from now on."""
        if self._slot is not None:
            _CLAIM.pack_into(self._memory, self._slot + _OWNER.size, task_id.bytes, token)

    def hide_claim(self) -> None:
        """Show that it works on no claim."""
        if self._slot is not None:
            _CLAIM.pack_into(self._memory, self._slot + _OWNER.size, *NO_CLAIM)

    def read(self) -> dict[int, Sign]:
        """What is shown now, by place."""
        found = {}
        for place in range(SLOTS):
            slot = place * _SIZE
            pid, moves = _OWNER.unpack_from(self._memory, slot)
            if pid:
                found[place] = Sign(pid, moves, *_CLAIM.unpack_from(self._memory, slot + _OWNER.size))
        return found


page: Final = Page()
"""Of this worker, or of the one that this process was forked from."""
