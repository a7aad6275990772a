"""A TCP proxy that breaks connections the ways networks do: no firewall, no root needed."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, Final

CHUNK: Final = 65536
#: A close with this option is a reset (RST) instead of a good-bye (FIN).
RESET: Final = struct.pack("ii", 1, 0)
Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(eq=False)
class _Link:
    """One client's connection, and ours to the target on its behalf."""

    client: Stream
    server: Stream
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    loses_answer: bool = False

    def close(self, *, reset: bool = False) -> None:
        for _, writer in (self.client, self.server):
            if reset:
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            writer.transport.abort()
        for task in self.tasks:
            task.cancel()


class Proxy:
    """Passes bytes between a port of its own and ``target``, as well as it is told to; thread-safe.

    One event loop in a thread serves all connections. Every method returns when its change is in force.
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._links: set[_Link] = set()
        self._delays = {"up": 0.0, "down": 0.0}
        self._forgotten = b""
        self._answers_lost = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tcp-proxy", daemon=True)
        self._thread.start()
        self._passing = asyncio.Event()
        self._server: asyncio.Server | None = None
        self.port: int = 0
        self._do(self._listen())
        self._do(self._let_pass())

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._links)

    @property
    def answers_lost(self) -> int:
        """How often ``lose_answer_to`` has struck."""
        return self._answers_lost

    def heal(self) -> None:
        """Be a perfect wire again: pass, also what was held back; accept; no delay."""
        self._delays = {"up": 0.0, "down": 0.0}
        self._forgotten = b""
        self._do(self._listen())
        self._do(self._let_pass())

    thaw = heal

    def delay(self, up: float, down: float | None = None) -> None:
        """Deliver everything late: ``up`` milliseconds to the target, ``down`` (as much) to the client."""
        self._delays = {"up": up / 1000, "down": (up if down is None else down) / 1000}

    def freeze(self) -> None:
        """Accept and take everything, and pass nothing either way: what a cut cable looks like."""
        self._do(self._hold())

    def reset(self) -> None:
        """Tear all connections with an RST; new ones are welcome."""
        self._do(self._tear(reset=True))

    def cut(self) -> None:
        """Close all connections and refuse new ones until ``heal``: what a stopped server looks like."""
        self._do(self._refuse())
        self._do(self._tear(reset=False))

    def lose_answer_to(self, words: bytes) -> None:
        """Once: let a request with these words reach the target, and close instead of passing the answer."""
        self._forgotten = words

    def close(self) -> None:
        """Close everything; the proxy can't be used any more."""
        if self._loop.is_closed():
            return
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, change: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(change, self._loop).result(10)

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, reuse_address=True)
            self.port = self._server.sockets[0].getsockname()[1]

    async def _refuse(self) -> None:
        if self._server is not None:
            # Not `wait_closed`: since Python 3.12 it waits for the connections too.
            self._server.close()
            self._server = None

    async def _let_pass(self) -> None:
        self._passing.set()

    async def _hold(self) -> None:
        self._passing.clear()

    async def _tear(self, *, reset: bool) -> None:
        while self._links:
            self._links.pop().close(reset=reset)
        # The transports close in the loop's next turn.
        await asyncio.sleep(0)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        if self._server is None:
            # Cut while we were connecting.
            writer.transport.abort()
            server[1].transport.abort()
            return
        link = _Link((reader, writer), server)
        self._links.add(link)
        link.tasks = [
            asyncio.ensure_future(self._pass(link, "up", link.client[0], link.server[1])),
            asyncio.ensure_future(self._pass(link, "down", link.server[0], link.client[1])),
        ]
        await asyncio.gather(*link.tasks, return_exceptions=True)
        self._links.discard(link)
        link.close()

    async def _pass(self, link: _Link, way: str, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        """Read into a queue and write from it: a late chunk must not make the next one later still."""
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        reading = asyncio.ensure_future(self._read(source, way, waiting))
        try:
            while True:
                due, data = await waiting.get()
                await asyncio.sleep(max(0.0, due - self._loop.time()))
                await self._passing.wait()
                if way == "down" and link.loses_answer:
                    self._answers_lost += 1
                    link.close()
                    return
                if not data:
                    sink.write_eof()
                    return
                if way == "up" and self._forgotten and self._forgotten in data:
                    self._forgotten = b""
                    link.loses_answer = True
                sink.write(data)
                await sink.drain()
        except OSError:
            link.close()
        finally:
            reading.cancel()

    async def _read(self, source: asyncio.StreamReader, way: str, waiting: asyncio.Queue[Any]) -> None:
        data = b"begin"
        while data:
            try:
                data = await source.read(CHUNK)
            except OSError:
                data = b""
            waiting.put_nowait((self._loop.time() + self._delays[way], data))
