"""Tasks that harm the process they run in, or raise what is hard to write down."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import socket
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

from celery import Task, shared_task
from celery.exceptions import Retry

import django_director
from django_director.models import Run


def _trace(path: str) -> None:
    """Append a line: how often code really ran."""
    running = django_director.context()
    assert running is not None
    with Path(path).open("a") as file:
        file.write(f"{running.task_id} {running.attempt} {os.getpid()}\n")


@shared_task(name="SIGNAL")
def send_signal(payload: dict[str, Any]) -> str:
    """Send a signal to its own process, or to the group of the whole worker."""
    _trace(payload["trace"])
    number = signal.Signals[payload["signal"]]
    if payload.get("group"):
        os.killpg(os.getpgrp(), number)
    else:
        os.kill(os.getpid(), number)
    time.sleep(payload.get("seconds", 0.2))
    return "lived on"


@shared_task(name="HOLD_GIL")
def hold_gil(payload: dict[str, Any]) -> str:
    """Be in C code for some seconds that lets no other thread of its process run, as a broken library does."""
    _trace(payload["trace"])
    if payload.get("once") and Path(payload["trace"]).read_text().count("\n") > 1:
        return "survived"
    # Functions of a PyDLL keep the lock.
    ctypes.PyDLL(None).sleep(payload["seconds"])
    return "survived"


class OwnBaseException(BaseException):
    """What a library may raise past every ``except Exception``."""


class Unprintable(Exception):
    """Can't be written down in any way, and can't be pickled."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    def __repr__(self) -> str:
        raise OwnBaseException("no text either")

    def __reduce__(self) -> Any:
        raise TypeError("no pickle")

    @property
    def __notes__(self) -> Any:
        raise OwnBaseException("no notes")


class NoInit(Exception):
    """Can be pickled, and not read back."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__("only this")


def _raise(*_: Any) -> Any:
    raise OwnBaseException("not to be had")


class _Unnamed(type):
    """Of a class whose names nobody can ask for."""

    __name__ = __module__ = __mro__ = property(_raise)


class _Mute(type):
    """Of a class that answers nothing at all."""

    __getattribute__ = __instancecheck__ = __eq__ = __hash__ = _raise


class Unnamed(ValueError, metaclass=_Unnamed):
    pass


class Mute(ValueError, metaclass=_Mute):
    __getattribute__ = __setattr__ = __eq__ = __hash__ = __bool__ = __reduce_ex__ = _raise


class Pretender(ValueError):
    """Says that it is of another class."""

    __class__ = property(lambda _: Retry)  # type: ignore[assignment]


class Traceless(ValueError):
    """Has a traceback that is none, and can't be set."""

    __traceback__ = property(lambda _: 1)  # type: ignore[assignment]


class Causeless(ValueError):
    """Can't be asked for what is behind it."""

    __cause__ = __context__ = __suppress_context__ = property(_raise)  # type: ignore[assignment]


class _Text(str):
    """A text that can't be used."""

    __format__ = __len__ = __add__ = __eq__ = __hash__ = rstrip = encode = replace = __getitem__ = _raise


class OddText(ValueError):
    def __str__(self) -> str:
        return _Text("as asked")


ERRORS: dict[str, Any] = {
    "CancelledError": lambda: asyncio.CancelledError("as asked"),
    "GeneratorExit": lambda: GeneratorExit("as asked"),
    "KeyboardInterrupt": lambda: KeyboardInterrupt("as asked"),
    "BaseExceptionGroup": lambda: BaseExceptionGroup("as asked", [OwnBaseException("inside")]),
    "OwnBaseException": lambda: OwnBaseException("as asked"),
    "MemoryError": lambda: MemoryError("as asked"),
    "Unprintable": Unprintable,
    "NoInit": lambda: NoInit("one", "two"),
    "Large": lambda: ValueError("x" * 10_000_000),
    "Unnamed": lambda: Unnamed("as asked"),
    "Mute": lambda: Mute("as asked"),
    "Pretender": lambda: Pretender("as asked"),
    "Traceless": lambda: Traceless("as asked"),
    "Causeless": lambda: Causeless("as asked"),
    "OddText": lambda: OddText("as asked"),
}
#: How the error of a task begins, where it is not as the exception's own text.
SAYS = {
    "BaseExceptionGroup": "BaseExceptionGroup: as asked (1 sub-exception)",
    "Unprintable": "Unprintable: (its text can't be had: RuntimeError)",
    "NoInit": "NoInit: only this",
    "Large": "ValueError: xxx",
}


@shared_task(name="RAISE")
def raise_any(payload: dict[str, Any]) -> None:
    """Raise what the payload names."""
    _trace(payload["trace"])
    raise ERRORS[payload["error"]]()


#: What comes of a task whose handler of that name raises.
HANDLERS = {
    "before_start": ("failed", "before_start: RuntimeError: of before_start"),
    "on_success": ("success", ""),
    "on_failure": ("failed", "on_failure: ValueError: its own"),
    "after_return": ("success", ""),
}


class Handlers(Task):
    """A base class whose handlers raise, each in the task that is called after it."""

    abstract = True

    def before_start(self, *args: Any) -> None:
        self._raise("before_start")

    def on_success(self, *args: Any) -> None:
        self._raise("on_success")

    def on_failure(self, *args: Any) -> None:
        self._raise("on_failure")

    def after_return(self, *args: Any) -> None:
        self._raise("after_return")

    def _raise(self, handler: str) -> None:
        if self.name == handler:
            raise RuntimeError(f"of {handler}")


@shared_task(name="before_start", base=Handlers)
def before_start(payload: dict[str, Any]) -> str:
    return "done"


@shared_task(name="on_success", base=Handlers)
def on_success(payload: dict[str, Any]) -> str:
    return "done"


@shared_task(name="on_failure", base=Handlers)
def on_failure(payload: dict[str, Any]) -> None:
    raise ValueError("its own")


@shared_task(name="after_return", base=Handlers)
def after_return(payload: dict[str, Any]) -> str:
    return "done"


@shared_task(name="LIMITED", time_limit=1)
def limited(payload: dict[str, Any]) -> str:
    """Run longer than its own limit."""
    _trace(payload["trace"])
    time.sleep(payload["seconds"])
    return "late"


@shared_task(name="LONG")
def run_long(payload: dict[str, Any]) -> str:
    """Run longer than any limit that others name."""
    _trace(payload["trace"])
    time.sleep(payload["seconds"])
    return "late"


@shared_task(name="WAITING_FOR")
def wait_for_run(payload: dict[str, Any]) -> str:
    """Wait inside a task for another run."""
    run = Run.objects.get(pk=payload["run"])
    return str(run.wait(payload.get("timeout")))


def _lower_recursion_limit() -> None:
    """As low as it can be set here."""
    for limit in range(10, 1000):
        with contextlib.suppress(RecursionError):
            sys.setrecursionlimit(limit)
            return


def _leave_deleted_folder() -> None:
    folder = tempfile.mkdtemp()
    os.chdir(folder)
    Path(folder).rmdir()


def _remove_output() -> None:
    sys.stdout = sys.stderr = None  # type: ignore[assignment]


#: What a task may leave behind in its process; the last costs the process.
LEFT: dict[str, Any] = {
    "recursion limit": _lower_recursion_limit,
    "alarm": lambda: signal.setitimer(signal.ITIMER_REAL, 0.3),
    "deleted folder": _leave_deleted_folder,
    "no output": _remove_output,
    "standard error closed": lambda: os.close(2),
    "warnings": lambda: warnings.simplefilter("error"),
    "socket timeout": lambda: socket.setdefaulttimeout(0.0001),
    "logging": lambda: logging.disable(logging.CRITICAL),
    "umask": lambda: os.umask(0o777),
    "ignored signal": lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN),
    "all files closed": lambda: os.closerange(0, 1024),
}


@shared_task(name="LEAVE")
def leave_behind(payload: dict[str, Any]) -> str:
    """Leave something behind in the process, and return or raise."""
    _trace(payload["trace"])
    LEFT[payload["what"]]()
    if payload["raises"]:
        raise ValueError("as asked")
    return "done"
