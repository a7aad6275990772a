"""Plain Celery with results in Redis: the limit, and the chains and chords to compare with."""

import os
import time

from celery import Celery

from .stamps import record

QUEUE = "bench-plain"

# Not the current app: in the driver that is the one through which django-director publishes.
app = Celery(
    "plain",
    set_as_current=False,
    broker=os.environ["CELERY_BROKER_URL"],
    backend=os.environ["BENCH_RESULTS_URL"],
)
app.conf.task_default_queue = QUEUE
app.conf.broker_connection_retry_on_startup = True
app.conf.result_expires = 600


@app.task(name="noop")
def noop(*args: object, **kwargs: object) -> None:
    record(time.monotonic())


@app.task(name="ignored", ignore_result=True)
def ignored(*args: object, **kwargs: object) -> None:
    record(time.monotonic())
