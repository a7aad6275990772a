"""The tasks of the chaos run. With ``DIRECTOR_TEST_TRACE``, a file, each execution writes a line into it."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path
from typing import Any

from celery import shared_task
from django.db import InterfaceError, OperationalError, connection

import django_director


class Planned(Exception):
    """A failure that the chaos run asks for."""


def note() -> Any:
    """Write down that the code of this attempt runs; return its context."""
    running = django_director.context()
    assert running is not None
    with Path(os.environ["DIRECTOR_TEST_TRACE"]).open("a") as file:
        file.write(f"{running.task_id} {running.attempt} {os.getpid()}\n")
    return running


@shared_task(name="CHAOS_STEP")
def step(*args: Any, **kwargs: Any) -> str:
    running = note()
    time.sleep(random.uniform(0, 0.2))
    return str(running.task_id)


@shared_task(name="CHAOS_SLOW")
def slow(*args: Any, **kwargs: Any) -> str:
    """Longer than the lease of the acceptance tests."""
    running = note()
    time.sleep(random.uniform(4, 8))
    return str(running.task_id)


@shared_task(name="CHAOS_FLAKY", bind=True, max_retries=5)
def flaky(self: Any, *args: Any, **kwargs: Any) -> int:
    """Try again once or twice, at once or after a second."""
    note()
    if self.request.retries < 1 + (self.request.retries < 2 and random.random() < 0.5):
        raise self.retry(countdown=random.choice([0, 1]), exc=Planned("not yet"))
    return int(self.request.retries)


@shared_task(name="CHAOS_FAIL")
def fail(*args: Any, **kwargs: Any) -> None:
    note()
    if random.random() < 0.7:
        raise Planned("as asked")


@shared_task(name="CHAOS_SIGNAL")
def signal_itself(*args: Any, **kwargs: Any) -> str:
    """At its first attempt: what ends a process, from inside."""
    running = note()
    if running.attempt == 1:
        os.kill(os.getpid(), random.choice([signal.SIGTERM, signal.SIGHUP, signal.SIGKILL]))
        # The handler of Python runs between two of its instructions.
        time.sleep(0.1)
    return str(running.task_id)


SPOILS = {
    "postgresql": (
        "BEGIN",
        "SET search_path TO nowhere",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
        "SET TIME ZONE 'Asia/Tokyo'",
        "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE",
    ),
    "mysql": (
        "BEGIN",
        "SET SESSION TRANSACTION READ ONLY",
        "SET time_zone = '+09:00'",
        "SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        "SET autocommit = 0",
    ),
    "sqlite": ("BEGIN", "PRAGMA query_only = ON"),
}


@shared_task(name="CHAOS_SPOIL")
def spoil(*args: Any, **kwargs: Any) -> str:
    """Leave the session of the process in a state that nobody would work in."""
    running = note()
    try:
        with connection.cursor() as cursor:
            cursor.execute(random.choice(SPOILS[connection.vendor]))
    except (OperationalError, InterfaceError) as error:
        raise Planned("the run has cut its connection") from error
    return str(running.task_id)
