"""How large the messages are that reach a queue, seen by Redis' MONITOR."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

DEADLINE = 30


@dataclass
class Sizes:
    """Bytes of each message, in order; as many as the text of it has characters."""

    found: list[int] = field(default_factory=list)

    @property
    def largest(self) -> int:
        return max(self.found)


@contextmanager
def tapped(broker: str, queue: str) -> Iterator[Sizes]:
    """The sizes of what is published to ``queue`` meanwhile; complete after the block. Redis only."""
    import redis

    sizes, end = Sizes(), uuid.uuid4().hex
    client: Any = redis.Redis.from_url(broker)
    number = client.connection_pool.connection_kwargs.get("db", 0)
    push = f"LPUSH {queue} "

    def listen() -> None:
        for seen in monitor.listen():
            command = str(seen["command"])
            if end in command:
                return
            if seen["db"] == number and command.startswith(push):
                sizes.found.append(len(command) - len(push))

    with client.monitor() as monitor:
        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        try:
            yield sizes
        finally:
            client.echo(end)
            listener.join(DEADLINE)
    client.close()
