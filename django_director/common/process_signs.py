"""Signs of life of the processes of a pool: which claim each process works on, and that its threads run.

The signs stand in a page of memory that a worker shares with all processes that it forks. So the worker need not
ask a process, which may be frozen, nor the database, which may be away. A process that was not forked gives no
signs.
"""

from __future__ import annotations

import mmap
import os
import struct
from typing import Final, NamedTuple
from uuid import UUID

SLOTS: Final = 512
"""For how many processes of a pool the page has room."""
NO_CLAIM: Final = (b"", 0)

_OWNER: Final = struct.Struct("qq")
_CLAIM: Final = struct.Struct("16sq")
_LAST: Final = struct.Struct("q16sq")
"""The process that had the slot before, and the claim that it worked on when it ended."""
_SIZE: Final = _OWNER.size + _CLAIM.size + _LAST.size


class Sign(NamedTuple):
    """The last signs of one process."""

    pid: int
    moves: int
    """How often the process has said that its threads run."""
    task: bytes
    """The 16 bytes of the id of the task that it works on."""
    token: int
    """The token of the claim that it works on; 0 when it works on none."""

    @property
    def task_id(self) -> UUID:
        """The id of the task that the process works on."""
        return UUID(bytes=self.task)


class Page:
    """The shared memory, with one slot for each place in a pool.

    A process that takes the place of one that has ended takes over its slot.
    """

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, SLOTS * _SIZE)
        self._slot: int | None = None
        self._moves = 0

    def take(self, place: int) -> None:
        """Let this process give its signs in the slot of ``place`` from now on."""
        if 0 <= place < SLOTS:
            self._slot = place * _SIZE
            self._keep_last()
            self._moves = 0
            self.hide_claim()
            self.move()

    def move(self) -> None:
        """Give a sign that the threads of this process run."""
        if self._slot is not None:
            self._moves += 1
            _OWNER.pack_into(self._memory, self._slot, os.getpid(), self._moves)

    def show_claim(self, task_id: UUID, token: int) -> None:
        """Show which claim this process works on from now on."""
        if self._slot is not None:
            _CLAIM.pack_into(self._memory, self._slot + _OWNER.size, task_id.bytes, token)

    def hide_claim(self) -> None:
        """Show that this process works on no claim."""
        if self._slot is not None:
            _CLAIM.pack_into(self._memory, self._slot + _OWNER.size, *NO_CLAIM)

    def _keep_last(self) -> None:
        assert self._slot is not None
        pid, _ = _OWNER.unpack_from(self._memory, self._slot)
        claim = _CLAIM.unpack_from(self._memory, self._slot + _OWNER.size)
        _LAST.pack_into(self._memory, self._slot + _OWNER.size + _CLAIM.size, pid, *claim)

    def last_task(self, pid: int) -> UUID | None:
        """Return the id of the task that a process works on, or has worked on when it ended, if that is known.

        Another process may have its place by now.
        """
        for place in range(SLOTS):
            slot = place * _SIZE
            owner, _ = _OWNER.unpack_from(self._memory, slot)
            task, token = _CLAIM.unpack_from(self._memory, slot + _OWNER.size)
            before, last, last_token = _LAST.unpack_from(self._memory, slot + _OWNER.size + _CLAIM.size)
            if owner == pid and token:
                return UUID(bytes=task)
            if before == pid and last_token:
                return UUID(bytes=last)
        return None

    def signs(self) -> dict[int, Sign]:
        """Return the present signs of all processes, by their places in the pool."""
        found = {}
        for place in range(SLOTS):
            slot = place * _SIZE
            pid, moves = _OWNER.unpack_from(self._memory, slot)
            if pid:
                found[place] = Sign(pid, moves, *_CLAIM.unpack_from(self._memory, slot + _OWNER.size))
        return found


page: Final = Page()
"""The page of this worker, or of the worker from which this process was forked."""
