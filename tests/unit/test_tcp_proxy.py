"""The proxy that the outage tests trust: each of its ways to break a connection."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.acceptance.tcp_proxy import Proxy


@pytest.fixture
def echo() -> Iterator[tuple[str, int]]:
    """A server that answers each line with the same line, and remembers nothing."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()

    def answer(client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            while data := client.recv(65536):
                client.sendall(data)

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()
    listener.close()


@pytest.fixture
def proxy(echo: tuple[str, int]) -> Iterator[Proxy]:
    proxy = Proxy(echo)
    yield proxy
    proxy.close()


def connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=5)


def ask(client: socket.socket, data: bytes = b"hello") -> bytes:
    client.sendall(data)
    answer = b""
    while len(answer) < len(data):
        more = client.recv(65536)
        if not more:
            break
        answer += more
    return answer


def test_it_passes_everything(proxy: Proxy):
    with connect(proxy) as first, connect(proxy) as second:
        assert ask(first) == b"hello"
        assert ask(second, b"x" * 1_000_000) == b"x" * 1_000_000
        first.shutdown(socket.SHUT_WR)
        assert first.recv(1) == b"", "the end of one side is passed on"
        assert ask(second) == b"hello"


def test_delay_each_way(proxy: Proxy):
    with connect(proxy) as client:
        assert ask(client) == b"hello"
        proxy.delay(100, 200)
        began = time.monotonic()
        assert ask(client) == b"hello"
        assert 0.3 <= time.monotonic() - began < 2
        proxy.heal()
        began = time.monotonic()
        assert ask(client) == b"hello"
        assert time.monotonic() - began < 0.3


def test_many_late_chunks_are_each_late_once(proxy: Proxy):
    proxy.delay(200, 0)
    with connect(proxy) as client:
        began = time.monotonic()
        for _ in range(10):
            client.sendall(b"x")
            time.sleep(0.01)
        assert ask(client, b"") == b""
        received = b""
        while len(received) < 10:
            received += client.recv(10)
        assert time.monotonic() - began < 1, "not ten times 200 ms"


def test_freeze_takes_and_accepts_and_answers_nothing(proxy: Proxy):
    with connect(proxy) as old:
        assert ask(old) == b"hello"
        proxy.freeze()
        old.sendall(b"held")
        old.settimeout(0.3)
        with pytest.raises(TimeoutError):
            old.recv(4)
        with connect(proxy) as new:
            new.sendall(b"held too")
            new.settimeout(0.3)
            with pytest.raises(TimeoutError):
                new.recv(8)
            proxy.heal()
            old.settimeout(5)
            new.settimeout(5)
            assert old.recv(65536) == b"held"
            assert new.recv(65536) == b"held too"


def test_reset_tears_and_accepts(proxy: Proxy):
    with connect(proxy) as client:
        assert ask(client) == b"hello"
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    with connect(proxy) as client:
        assert ask(client) == b"hello"


def test_cut_closes_and_refuses_until_healed(proxy: Proxy):
    with connect(proxy) as client:
        assert ask(client) == b"hello"
        proxy.cut()
        assert client.recv(1) == b""
        assert proxy.connections == 0
        with pytest.raises(ConnectionRefusedError):
            connect(proxy)
    proxy.heal()
    with connect(proxy) as client:
        assert ask(client) == b"hello"


def test_an_answer_is_lost_once(proxy: Proxy):
    with connect(proxy) as client, connect(proxy) as other:
        assert ask(client, b"SELECT") == b"SELECT"
        proxy.lose_answer_to(b"COMMIT")
        assert ask(other, b"SELECT") == b"SELECT"
        assert ask(client, b"COMMIT") == b""
        assert proxy.answers_lost == 1
        assert ask(other, b"COMMIT") == b"COMMIT", "only once"


def test_a_target_that_is_down_closes(echo: tuple[str, int]):
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    proxy = Proxy(("127.0.0.1", port))
    with connect(proxy) as client:
        assert client.recv(1) == b""
    proxy.close()
