"""A TCP proxy that can fall silent: it goes on accepting, and passes nothing."""

from __future__ import annotations

import contextlib
import socket
import threading


class Proxy:
    """Passes bytes between a port of its own and ``target`` until ``freeze`` is called."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._passing = threading.Event()
        self._passing.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def freeze(self) -> None:
        """Accept and take everything, answer nothing."""
        self._passing.clear()

    def thaw(self) -> None:
        """Pass on again, also what was held back."""
        self._passing.set()

    def close(self) -> None:
        self.thaw()
        for held in [self._listener, *self._sockets]:
            held.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                self._sockets += [client, server]
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=self._pass, args=pair, daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._passing.wait()
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
