"""The Celery app of the workers that ``test_broker`` starts. What tasks do is seen in ``BROKER_TEST_OUT``."""

import os
import time
from pathlib import Path

import celery

import django_director.broker  # noqa: F401 - makes director:// known

app = celery.Celery("broker_app", broker="director://", set_as_current=False)
app.conf.update(
    broker_connection_retry_on_startup=True,
    broker_transport_options={"sweep": 1},
    task_ignore_result=True,
    task_acks_late=True,
    worker_hijack_root_logger=False,
    worker_cancel_long_running_tasks_on_connection_loss=False,
)
OUT = Path(os.environ.get("BROKER_TEST_OUT", "."))


def note(kind: str, text: str) -> None:
    """Append a line; one write in append mode is never torn."""
    with (OUT / kind).open("a") as file:
        file.write(f"{text}\n")


@app.task(name="noop")
def noop() -> None:
    """Nothing, for measuring."""


@app.task(name="mark")
def mark(name: str, seconds: float = 0) -> None:
    note("started", name)
    time.sleep(seconds)
    note("done", name)


@app.task(name="stamp")
def stamp(sent_at: float) -> None:
    note("latency", str(time.time() - sent_at))


@app.task(name="again", bind=True)
def again(self: celery.Task, name: str) -> None:
    """Refuses its first delivery."""
    note("started", name)
    if not self.request.delivery_info.get("redelivered"):
        raise celery.exceptions.Reject("once more", requeue=True)
    note("done", name)


@app.task(name="pid")
def pid(name: str) -> None:
    note("pids", f"{name} {os.getpid()}")
