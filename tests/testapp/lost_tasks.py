"""Tasks of which no process is left to tell what became of them."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from celery import Task, shared_task
from celery.worker.request import Request

import django_director

LATE = {"acks_late": True, "reject_on_worker_lost": True}
"""As Celery's documentation recommends for tasks that may run twice."""


def hang_once(payload: dict[str, Any]) -> str:
    """Write down the execution; the first never ends."""
    running = django_director.context()
    assert running is not None
    with Path(payload["trace"]).open("a") as file:
        file.write(f"{running.task_id} {running.attempt} {os.getpid()}\n")
    if running.attempt == 1:
        time.sleep(3600)
    return "survived"


def hang(payload: dict[str, Any]) -> None:
    time.sleep(3600)


class OwnRequest(Request):
    """A project's class of requests, which knows nothing of django-director."""

    def on_failure(self, *args: Any, **kwargs: Any) -> Any:
        print("A request of the project's own has heard of it.", flush=True)
        return super().on_failure(*args, **kwargs)


class OwnRequestBase(Task):
    abstract = True
    Request = OwnRequest


shared_task(hang_once, name="HANG_ONCE")
shared_task(hang_once, name="HANG_ONCE_LATE", **LATE)
shared_task(hang_once, name="HANG_ONCE_OWN_BASE", base=OwnRequestBase)
shared_task(hang_once, name="HANG_ONCE_OWN_REQUEST", Request="tests.testapp.lost_tasks:OwnRequest")
shared_task(hang, name="HANG", time_limit=1)
shared_task(hang, name="HANG_LATE", time_limit=1, **LATE)
shared_task(hang, name="HANG_SENT_BACK", time_limit=1, acks_on_failure_or_timeout=False, **LATE)
