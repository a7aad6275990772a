"""The Celery app of django-director, and its tasks."""

import os
import time

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.settings")

from celery import Celery

from .stamps import record

app = Celery("bench", task_cls="django_director.celery:DirectorTask")
app.config_from_object("django.conf:settings", namespace="CELERY")


@app.task(name="NOOP")
def noop(*args: object, **kwargs: object) -> None:
    record(time.monotonic())
