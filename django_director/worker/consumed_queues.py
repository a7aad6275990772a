"""The queues from which a worker takes tasks, in memory that its main process shares with the supervisor's.

The main process knows the queues, and the supervisor's process writes them to the database. They may change while
the worker runs (``celery control add_consumer``).
"""

from __future__ import annotations

import contextlib
import json
import mmap
import struct
from typing import Final

from .protocols import Worker

SIZE: Final = 16_384
"""How many bytes the names may have together. The queues of a worker with longer names are not known."""
_LENGTH: Final = struct.Struct("q")


class Consumed:
    """The names of a worker's queues, in memory that it shares with the processes that it forks."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _LENGTH.size + SIZE)
        self._shown: list[str] | None = None
        self._read: list[str] | None = None

    def write(self, worker: Worker) -> None:
        """Write the present names to the memory; the main process calls this each second."""
        names = _names(worker)
        if names == self._shown:
            return
        self._shown = names
        text = json.dumps(names).encode()
        _LENGTH.pack_into(self._memory, 0, 0)
        if len(text) <= SIZE:
            self._memory[_LENGTH.size : _LENGTH.size + len(text)] = text
            _LENGTH.pack_into(self._memory, 0, len(text))

    def names(self) -> list[str] | None:
        """Return the names; ``None`` if they are not known. The supervisor's process calls this."""
        (length,) = _LENGTH.unpack_from(self._memory)
        # If the names are being written just now, the text is incomplete: then the names that were read last
        # count.
        with contextlib.suppress(ValueError):
            self._read = json.loads(self._memory[_LENGTH.size : _LENGTH.size + length]) if length else None
        return self._read


def _names(worker: Worker) -> list[str]:
    tasks = getattr(getattr(worker, "consumer", None), "task_consumer", None)
    # While it has no connection to the broker, the queues with which it was started count.
    queues = tasks.queues if tasks is not None else worker.app.amqp.queues.consume_from.values()
    return sorted({str(queue.name) for queue in queues})
