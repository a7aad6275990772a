"""A project's own Task class, as people make one, and what it and receivers of Celery's signals are told.

Each writes a line into the file that the payload names: so it must have been given the arguments of the function.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from celery import shared_task, signals

from django_director.celery import DirectorTask


def note(task: Any, what: str, task_id: Any, args: Any, kwargs: Any, **more: Any) -> None:
    """What somebody was told, and what the request says meanwhile."""
    request = task.request
    line = {
        "task": task.name,
        "what": what,
        "id": task_id,
        "args": args,
        "kwargs": sorted(kwargs),
        "request": [request.id, list(request.args or ()), sorted(request.kwargs or ())],
        "retries": request.retries,
        "headers": sorted(request.headers or ()),
    }
    with Path(kwargs["payload"]["notes"]).open("a") as file:
        file.write(json.dumps(line | more) + "\n")


class AcmeTask(DirectorTask):
    """As a project's that wants to measure, log or guard every task."""

    abstract = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        note(self, "__call__", self.request.id, args, kwargs)
        return super().__call__(*args, **kwargs)

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        note(self, "before_start", task_id, args, kwargs)
        super().before_start(task_id, args, kwargs)

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
        note(self, "on_success", task_id, args, kwargs, value=retval)

    def on_retry(self, exc: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        note(self, "on_retry", task_id, args, kwargs, value=str(exc))

    def on_failure(self, exc: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        note(self, "on_failure", task_id, args, kwargs, value=str(exc))

    def after_return(self, status: str, retval: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        note(self, "after_return", task_id, args, kwargs, value=status)


@shared_task(name="ACME", base=AcmeTask, bind=True)
def acme(self: Any, upstream: Any, payload: dict[str, Any], extra: Any = None) -> str:
    """Fail as often as the payload says."""
    note(self, "function", self.request.id, [upstream], {"payload": payload, "extra": extra})
    if self.request.retries < payload.get("failures", 0):
        raise ValueError("not yet")
    return str(self.request.id)


def _receiver(what: str) -> Callable[..., None]:
    def receive(sender: Any, task_id: Any = None, args: Any = None, kwargs: Any = None, **more: Any) -> None:
        if getattr(sender, "name", "") != "ACME":
            return
        # Some are given the request in place of its parts.
        request = more.get("request", sender.request)
        told = (request.id, request.args, request.kwargs) if task_id is None else (task_id, args, kwargs)
        note(sender, what, *told)

    return receive


for _name in ("task_prerun", "task_postrun", "task_success", "task_failure", "task_retry"):
    getattr(signals, _name).connect(_receiver(_name), weak=False, dispatch_uid=f"acme.{_name}")
