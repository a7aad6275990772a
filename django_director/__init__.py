"""Workflows of Celery tasks, as a pluggable Django app.

Each public name is imported at its first use. So the package can be imported before the settings are configured.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from celery import shared_task as task

    from .engine import approve, astart, cancel, pause, reject, relaunch, rerun, resume, retry, skip, start
    from .worker.context import context

__version__ = "0.1.0"

_HOMES = {
    "start": "django_director.engine",
    "astart": "django_director.engine",
    "cancel": "django_director.engine",
    "retry": "django_director.engine",
    "rerun": "django_director.engine",
    "relaunch": "django_director.engine",
    "skip": "django_director.engine",
    "pause": "django_director.engine",
    "resume": "django_director.engine",
    "approve": "django_director.engine",
    "reject": "django_director.engine",
    "context": "django_director.worker.context",
}

__all__ = [
    "approve",
    "astart",
    "cancel",
    "context",
    "pause",
    "reject",
    "relaunch",
    "rerun",
    "resume",
    "retry",
    "skip",
    "start",
    "task",
]


def __getattr__(name: str) -> object:
    if name == "task":
        # For projects that come from celery-director, whose tasks have `from director import task`.
        return import_module("celery").shared_task
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
