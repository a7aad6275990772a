"""Prepares a Celery worker for tasks of runs: its parts, its signals, and the classes of its tasks.

The project imports this module when it makes its Celery app, before Django's apps are loaded. So functions import
what needs models.
"""

from __future__ import annotations

from typing import Any, Final

from celery import Celery, Task, signals
from celery.fixups.django import DjangoFixup
from django.db import close_old_connections

from django_director.dispatch.publisher import HEADER

from . import bootsteps, celery_log, end_signals, frozen_processes, losses, time_limits
from .protocols import Message, Worker
from .task import DirectorTask, adopt

KEEP_CONNECTIONS: Final = 2**31
"""After how many tasks Celery closes connections: the number means never.

``close_old_connections`` is called before and after each task instead. So ``CONN_MAX_AGE`` and
``CONN_HEALTH_CHECKS`` have the effect on connections of tasks that they have in a web server. The engine's own
connections have a setting of their own, see ``db.own_connections``.
"""


def _copy_settings(app: Celery) -> None:
    """Copy settings that Celery reads for each message: it takes 0.03 ms to find out that Django's lack one."""
    for key in ("task_always_eager", "task_send_sent_event", "broker_pool_acquire_timeout"):
        if key in app.conf:
            app.conf[key] = app.conf[key]


def _close_connections_by_age(app: Any) -> None:
    """Close old connections between tasks, in place of Celery's Django fixup."""
    for fixup in app._fixups:
        if isinstance(fixup, DjangoFixup):
            # The fixup may have read its setting already: it is made when the project's modules are imported.
            fixup.worker_fixup.db_reuse_max = KEEP_CONNECTIONS
    signals.task_prerun.connect(_refresh_connections, weak=False)
    signals.task_postrun.connect(_refresh_connections, weak=False)


def _refresh_connections(sender: Task[Any, Any], **_: object) -> None:
    # An eager task may run inside a transaction of its caller.
    if not sender.request.is_eager:
        close_old_connections()


def _close_own_connections(**_: object) -> None:
    from django_director.db.own_connections import close_idle  # only a worker needs it

    close_idle()


celery_log.hide_secrets()


@signals.celeryd_init.connect(weak=False)
def prepare_worker(instance: Worker, **_: object) -> None:
    """Prepare a worker of this app before its parts are made."""
    app = instance.app
    if not issubclass(app.Task, DirectorTask):
        return
    if app.conf.get("CELERY_DB_REUSE_MAX") is None:
        _close_connections_by_age(app)
    _copy_settings(app)
    adopt(app)
    from . import control, foreign_messages  # noqa: F401 - registers commands; only a worker needs it

    end_signals.prepare()
    signals.celeryd_after_setup.connect(time_limits.note_worker, weak=False)

    app.steps["consumer"].add(foreign_messages.Step)
    signals.worker_before_create_process.connect(bootsteps.prepare_to_fork, weak=False)
    signals.worker_process_init.connect(frozen_processes.take_place, weak=False)
    signals.worker_shutdown.connect(losses.say_farewell, weak=False)
    signals.worker_shutdown.connect(_close_own_connections, weak=False)
    signals.worker_process_shutdown.connect(_close_own_connections, weak=False)
    app.steps["worker"].update((losses.LossStep, bootsteps.SupervisorStep, end_signals.FarewellStep))


@signals.task_unknown.connect(weak=False)
def notice_unknown_task(sender: object, message: Message, name: str, id: str, **_: object) -> None:
    """Receive ``task_unknown``: report a message that Celery drops because the worker does not know its task."""
    if HEADER in (message.headers or {}):
        losses.reporter.note_dropped_message(id, name)
