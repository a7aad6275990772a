"""From which queues a worker takes tasks: its own process knows, and the one beside it writes that down.

The queues may change while a worker runs (``celery control add_consumer``), so they stand in memory that both
share.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import struct
from typing import Any, Final

SIZE: Final = 16_384
"""Bytes for the names. A worker with more of them does not say which."""
_LENGTH: Final = struct.Struct("q")


class Consumed:
    """The names of the queues of one worker, shared with the processes that it forks."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _LENGTH.size + SIZE)
        self._shown: list[str] | None = None
        self._read: list[str] | None = None

    def show(self, worker: Any) -> None:
        """Called in the worker's own process, again and again: cheap when nothing has changed."""
        names = _names(worker)
        if names == self._shown:
            return
        self._shown = names
        text = json.dumps(names).encode()
        _LENGTH.pack_into(self._memory, 0, 0)
        if len(text) <= SIZE:
            self._memory[_LENGTH.size : _LENGTH.size + len(text)] = text
            _LENGTH.pack_into(self._memory, 0, len(text))

    def read(self) -> list[str] | None:
        """The names; ``None`` where they are not known. Called in the process beside the worker."""
        (length,) = _LENGTH.unpack_from(self._memory)
        # Half of them is what is being written just now: the next look has the rest.
        with contextlib.suppress(ValueError):
            self._read = json.loads(self._memory[_LENGTH.size : _LENGTH.size + length]) if length else None
        return self._read


def _names(worker: Any) -> list[str]:
    tasks = getattr(getattr(worker, "consumer", None), "task_consumer", None)
    # Without a connection to the broker the queues that it was started with.
    queues = tasks.queues if tasks is not None else worker.app.amqp.queues.consume_from.values()
    return sorted({str(queue.name) for queue in queues})
