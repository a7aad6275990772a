"""The class of a project's Celery tasks: ``app = Celery("proj", task_cls="django_director.celery:DirectorTask")``.

A project needs this argument once. Its tasks keep their names and options, and outside of a run a ``DirectorTask``
behaves like any Celery task. The import of this module registers the broker ``director://`` with kombu and
prepares the workers of the app for runs.
"""

from __future__ import annotations

from . import broker  # noqa: F401 - registers its URL scheme
from .worker import startup  # noqa: F401 - listens to Celery's signals
from .worker.task import DirectorTask

__all__ = ["DirectorTask"]
