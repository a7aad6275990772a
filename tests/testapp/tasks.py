"""Tasks for the tests: celery-director's example tasks with their signatures unchanged, and misbehaving ones."""

from __future__ import annotations

import datetime
import decimal
import logging
import os
import random
import sys
import time
import uuid
from pathlib import Path
from typing import Any

from celery import Task, shared_task
from celery.exceptions import Ignore, Reject
from django.db.backends.signals import connection_created

import django_director
from django_director import task
from django_director.celery import DirectorTask


@task(name="EXTRACT")
def extract(*args: Any, **kwargs: Any) -> dict[str, Any]:
    return {"rows": [1, 2, 3], "args": list(args)}


@task(name="TRANSFORM")
def transform(*args: Any, **kwargs: Any) -> list[int]:
    return [row * 10 for row in args[0]["rows"]]


@task(name="LOAD")
def load(*args: Any, **kwargs: Any) -> int:
    return sum(args[0])


@task(name="RANDOM")
def generate_random(*args: Any, **kwargs: Any) -> int:
    payload = kwargs["payload"]
    return random.randint(payload.get("start", 0), payload.get("end", 10))


@task(name="ADD")
def add(*args: Any, **kwargs: Any) -> int:
    return sum(args[0])


@task(name="ERROR")
def error(*args: Any, **kwargs: Any) -> None:
    raise ValueError("as asked")


@task(name="RETURN")
def give(*args: Any, **kwargs: Any) -> Any:
    return kwargs["payload"].get("value")


@task(name="LONG_LIST")
def give_a_long_list(*args: Any, **kwargs: Any) -> list[str]:
    """Give as many texts of 98 characters as the payload says."""
    return [f"{number:06}".ljust(98, "x") for number in range(kwargs["payload"]["size"])]


@task(name="SET")
def give_a_set(*args: Any, **kwargs: Any) -> Any:
    return {1, 2}


@task(name="ECHO")
def echo(*args: Any, **kwargs: Any) -> dict[str, Any]:
    return {"args": list(args), "payload": kwargs["payload"], "workflow_id": kwargs["workflow_id"]}


@task(name="GIVEN")
def given(*args: Any, **kwargs: Any) -> dict[str, Any]:
    return {"args": list(args), **kwargs}


@task(name="SAY")
def say(text: str) -> str:
    """Receives nothing but its text: the payload of its run is not read for it."""
    return text


@task(name="HOOK")
def hook(*args: Any, **kwargs: Any) -> str:
    return f"hook of {kwargs['workflow_id']}"


@task(name="NOOP")
def noop(*args: Any, **kwargs: Any) -> None:
    return None


@task(name="NAP")
def nap(*args: Any, **kwargs: Any) -> float:
    seconds = float(kwargs["payload"].get("seconds", 0.1))
    time.sleep(seconds)
    return seconds


@task(name="TRACE")
def trace(*args: Any, **kwargs: Any) -> str:
    """Append a line to a file: how often, and by whom, code really ran."""
    running = django_director.context()
    assert running is not None
    path = Path(kwargs["payload"]["trace"])
    with path.open("a") as file:
        file.write(f"{running.task_id} {running.attempt} {os.getpid()}\n")
    time.sleep(float(kwargs["payload"].get("seconds", 0)))
    return str(running.task_id)


@task(name="TRACE_ITEM")
def trace_item(item: Any, payload: dict[str, Any]) -> Any:
    """As TRACE, for an item of a map, which it returns."""
    trace(payload=payload)
    return item


@task(name="TRACE_SPAN")
def trace_span(item: Any, payload: dict[str, Any]) -> None:
    """Append to a file when it began and ended."""
    began = time.time()
    time.sleep(float(payload["seconds"]))
    with Path(payload["trace"]).open("a") as file:
        file.write(f"{began} {time.time()}\n")


@task(name="NAP_AT")
def nap_at(item: int, at: int, seconds: float) -> int:
    """Sleep for one of the items of a map."""
    time.sleep(seconds if item == at else 0)
    return item


@task(name="ABORT_AT")
def abort_at(item: int, at: int) -> int:
    """Kill the process for one of the items of a map."""
    if item == at:
        os.abort()
    return item


@task(name="CLOCK")
def clock(*args: Any, **kwargs: Any) -> float:
    """What this worker takes for the present time."""
    return time.time()


@shared_task(name="BOUND", bind=True, max_retries=3)
def bound(self: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
    """Fail as often as the payload says, through ``self.retry``."""
    if self.request.retries < kwargs["payload"].get("failures", 0):
        raise self.retry(countdown=kwargs["payload"].get("countdown", 0), exc=ValueError("not yet"))
    return {"retries": self.request.retries, "id": self.request.id}


@shared_task(name="AUTORETRY", bind=True, autoretry_for=(ConnectionError,), max_retries=2, default_retry_delay=0)
def autoretry(self: Any, *args: Any, **kwargs: Any) -> int:
    if self.request.retries < kwargs["payload"].get("failures", 0):
        raise ConnectionError("gone")
    return int(self.request.retries)


@shared_task(name="TYPED")
def typed(rows: list[int], payload: dict[str, Any], factor: int = 2) -> list[int]:
    return [row * factor for row in rows]


@task(name="ABORT")
def abort(*args: Any, **kwargs: Any) -> None:
    os.abort()


@task(name="ABORT_ONCE")
def abort_once(*args: Any, **kwargs: Any) -> str:
    """Kill the process at the first attempt only."""
    running = django_director.context()
    assert running is not None
    if running.attempt == 1:
        os.kill(os.getpid(), 9)
    return "survived"


@task(name="EXIT")
def leave(*args: Any, **kwargs: Any) -> None:
    sys.exit(3)


@task(name="IGNORE")
def ignore(*args: Any, **kwargs: Any) -> None:
    raise Ignore


@task(name="REJECT")
def reject(*args: Any, **kwargs: Any) -> None:
    raise Reject("no", requeue=True)


@task(name="OPEN_TRANSACTION")
def open_transaction(*args: Any, **kwargs: Any) -> str:
    from django.db import transaction

    transaction.atomic().__enter__()
    return "left open"


@task(name="FORK")
def fork(*args: Any, **kwargs: Any) -> str:
    child = os.fork()
    if child == 0:
        return "the child came back"
    os.waitpid(child, 0)
    return "the parent"


@task(name="FORK_EXIT")
def fork_exit(*args: Any, **kwargs: Any) -> str:
    child = os.fork()
    if child == 0:
        sys.exit(1)
    os.waitpid(child, 0)
    return "the parent"


@task(name="CLOSE_CONNECTION")
def close_connection(*args: Any, **kwargs: Any) -> str:
    from django.db import connection

    if connection.vendor == "sqlite":
        connection.close()
    elif connection.connection is not None:
        connection.connection.close()
    return "closed"


@task(name="HARD_LIMIT", time_limit=1)
def hard_limit(*args: Any, **kwargs: Any) -> None:
    time.sleep(60)


@task(name="SOFT_LIMIT", soft_time_limit=1)
def soft_limit(*args: Any, **kwargs: Any) -> None:
    time.sleep(60)


@shared_task(name="CANCELABLE")
def cancelable(payload: dict[str, Any]) -> str:
    """Run until the context says to give up."""
    running = django_director.context()
    assert running is not None
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if running.canceled:
            return "gave up"
        time.sleep(0.05)
    return "nobody asked"


@shared_task(name="PROGRESS")
def progress(payload: dict[str, Any]) -> None:
    running = django_director.context()
    assert running is not None
    running.progress(3, 10, "three of ten")


@shared_task(name="UNTIL_FILE")
def until_file(payload: dict[str, Any]) -> str:
    """Report the half, wait for the file ``go``, and report the rest."""
    running = django_director.context()
    assert running is not None
    running.progress(1, 2, "half of the shelves")
    logging.getLogger(__name__).info("half of the shelves are counted")
    deadline = time.monotonic() + 60
    while not Path(payload["go"]).exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    return "all shelves"


@shared_task(name="READ_FILE")
def read_file(payload: dict[str, Any]) -> str:
    """Return what the file ``file`` holds; fail while there is none."""
    return Path(payload["file"]).read_text()


@shared_task(name="WHERE", bind=True)
def where(self: Any, *args: Any, **kwargs: Any) -> str:
    """The queue this message came through."""
    return str(self.request.delivery_info["routing_key"])


@shared_task(name="ROUTED", bind=True)
def routed(self: Any, *args: Any, **kwargs: Any) -> str:
    """As WHERE; the settings of the acceptance tests route it."""
    return str(self.request.delivery_info["routing_key"])


@shared_task(name="PRIORITIZED", bind=True)
def prioritized(self: Any, *args: Any, **kwargs: Any) -> int:
    return int(self.request.delivery_info["priority"])


@shared_task(name="RATED", rate_limit="2/s")
def rated(*args: Any, **kwargs: Any) -> float:
    return time.time()


@task(name="RICH")
def give_rich(*args: Any, **kwargs: Any) -> Any:
    """What JSON has no word for and Django's encoder writes all the same."""
    return {
        "date": datetime.date(2026, 11, 23),
        "price": decimal.Decimal("1.10"),
        "id": uuid.UUID(int=1),
        "pair": (1, 2),
    }


class OwnBase(Task):
    """A base class that knows nothing of django-director."""

    abstract = True
    greeting = "hello"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return [self.greeting, super().__call__(*args, **kwargs)]


@shared_task(name="OWN_BASE", base=OwnBase, bind=True)
def own_base(self: Any, *args: Any, **kwargs: Any) -> bool:
    return isinstance(self, OwnBase)


class OwnCall(DirectorTask):
    """A base class made of the app's own, which never calls its parent's ``__call__``."""

    abstract = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return ["own call", self.run(*args, **kwargs)]


@shared_task(name="OWN_CALL", base=OwnCall, bind=True, max_retries=2, default_retry_delay=0)
def own_call(self: Any, payload: dict[str, Any]) -> int:
    """Fail as often as the payload says, through ``self.retry``."""
    if self.request.retries < payload.get("failures", 0):
        raise self.retry(exc=ValueError("not yet"))
    return int(self.request.retries)


_opened = 0


@connection_created.connect
def _count(**_: Any) -> None:
    global _opened
    _opened += 1


@task(name="CONNECTIONS")
def connections_opened(*args: Any, **kwargs: Any) -> dict[str, int]:
    return {"pid": os.getpid(), "opened": _opened}


@task(name="SPOIL")
def spoil(*args: Any, **kwargs: Any) -> str:
    """Do something to this process's session that it does not undo; ``raw``: beneath Django."""
    from django.db import connection, transaction

    payload = kwargs["payload"]
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        if payload.get("autocommit"):
            transaction.set_autocommit(False)
            cursor.execute("UPDATE auth_group SET name = name")
        for statement in payload.get("statements", []):
            (cursor.cursor if payload.get("raw") else cursor).execute(statement)
    return "spoilt"


@task(name="STORE")
def store(*args: Any, **kwargs: Any) -> int:
    """What most tasks do: read and write rows with Django's connection."""
    from django.contrib.auth.models import Group

    return int(Group.objects.create(name=str(kwargs["workflow_id"])).pk)


@task(name="EMOJI")
def fail_with_emoji(*args: Any, **kwargs: Any) -> None:
    """Fail, and log, with characters that not every character set has."""
    payload = kwargs["payload"]
    logging.getLogger(__name__).warning("logged: %s", payload["text"])
    running = django_director.context()
    assert running is not None
    running.progress(1, 2, payload["text"])
    raise ValueError(payload["text"])
