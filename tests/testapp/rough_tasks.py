"""Tasks that harm the process they run in, or raise what is hard to write down."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import time
from pathlib import Path
from typing import Any

from celery import Task, shared_task

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
