"""Clients of an API."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from .processes import Program

HOST = "127.0.0.1"
CLIENTS = 8


@dataclass(frozen=True, slots=True)
class Request:
    """A POST that starts a run."""

    path: str
    body: dict[str, Any]
    authorization: str = ""


class Site(Protocol):
    """A contender with an API."""

    def web(self, port: int) -> Program: ...

    def request(self) -> Request: ...


@contextmanager
def served(site: Site) -> Iterator[tuple[int, Program]]:
    """Its web server, listening: port and program."""
    port = free_port()
    program = site.web(port)
    try:
        _post(port, site.request(), deadline=time.monotonic() + 60)
        yield port, program
    except Exception as error:
        raise RuntimeError(f"{error}\n{program.tail()}") from error
    finally:
        program.stop()


def free_port() -> int:
    """A port of this machine at which nobody listens now."""
    with socket.socket() as free:
        free.bind((HOST, 0))
        return int(free.getsockname()[1])


def wait_for_answer(port: int, path: str, seconds: float) -> None:
    """Return when a server on this machine answers 200. Raises ``TimeoutError`` after ``seconds``."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection(HOST, port, timeout=5)
            connection.request("GET", path)
            if connection.getresponse().status == http.client.OK:
                return
        if time.monotonic() > deadline:
            raise TimeoutError(f"no answer from port {port} in {seconds:.0f} s")
        time.sleep(0.2)


def starts_per_second(port: int, request: Request, count: int) -> float:
    """``count`` starts by eight clients at once, each with a new connection: sync workers keep none.

    Raises ``RuntimeError`` for an answer that is not 201.
    """
    begun = time.monotonic()
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(lambda _: _post(port, request), range(count)))
    return count / (time.monotonic() - begun)


def _post(port: int, request: Request, deadline: float = 0.0) -> None:
    headers = {"Content-Type": "application/json"}
    if request.authorization:
        headers["Authorization"] = request.authorization
    while True:
        connection = http.client.HTTPConnection(HOST, port, timeout=30)
        try:
            connection.request("POST", request.path, json.dumps(request.body), headers)
            answer = connection.getresponse()
            text = answer.read()
            break
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        finally:
            connection.close()
    if answer.status != http.client.CREATED:
        raise RuntimeError(f"{answer.status}: {text[:500]!r}")
