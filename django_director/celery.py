"""The class of a project's Celery tasks: ``app = Celery("proj", task_cls="django_director.celery:DirectorTask")``.

A project says so once. Its tasks keep their names and options; outside a run a ``DirectorTask`` behaves as any
Celery task. Importing this module makes the broker ``director://`` known and the app's workers ready for runs.
"""

from __future__ import annotations

from . import broker  # noqa: F401 - registers its URL scheme
from .worker import startup  # noqa: F401 - listens to Celery's signals
from .worker.task import DirectorTask

__all__ = ["DirectorTask"]
