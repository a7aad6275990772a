"""Makes a Celery worker ready for tasks of runs: its parts, its signals, the classes of its tasks.

Celery imports this module with the app, before Django's apps are loaded: what needs models is imported inside
functions.
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
"""After how many tasks Celery itself closes connections: never. ``close_old_connections`` is called around tasks
in its place, so that ``CONN_MAX_AGE`` and ``CONN_HEALTH_CHECKS`` mean in a worker what they mean on the web."""


def _pin(app: Celery) -> None:
    """Keep what Celery looks up for each message: Django's settings take 0.03 ms to say that they lack it."""
    for key in ("task_always_eager", "task_send_sent_event", "broker_pool_acquire_timeout"):
        if key in app.conf:
            app.conf[key] = app.conf[key]


def _keep_connections(app: Any) -> None:
    """Take the care of connections between tasks over from Celery's Django fixup."""
    for fixup in app._fixups:
        if isinstance(fixup, DjangoFixup):
            # It may have read its setting already: it is made when the project's modules are imported.
            fixup.worker_fixup.db_reuse_max = KEEP_CONNECTIONS
    signals.task_prerun.connect(_refresh_connections, weak=False)
    signals.task_postrun.connect(_refresh_connections, weak=False)


def _refresh_connections(sender: Task[Any, Any], **_: object) -> None:
    # An eager task may run inside a transaction of its caller's.
    if not sender.request.is_eager:
        close_old_connections()


celery_log.hide_secrets()


@signals.celeryd_init.connect(weak=False)
def prepare_worker(instance: Worker, **_: object) -> None:
    """Prepare a worker of this app before its parts are made."""
    app = instance.app
    if not issubclass(app.Task, DirectorTask):
        return
    if app.conf.get("CELERY_DB_REUSE_MAX") is None:
        _keep_connections(app)
    _pin(app)
    adopt(app)
    from . import control, foreign_messages  # noqa: F401 - registers its answers; imports what only a worker has

    end_signals.prepare()
    signals.celeryd_after_setup.connect(time_limits.note_worker, weak=False)

    app.steps["consumer"].add(foreign_messages.Step)
    signals.worker_before_create_process.connect(bootsteps.prepare_to_fork, weak=False)
    signals.worker_process_init.connect(frozen_processes.take_place, weak=False)
    signals.worker_shutdown.connect(losses.say_farewell, weak=False)
    app.steps["worker"].update((losses.LossStep, bootsteps.SupervisorStep, end_signals.FarewellStep))


@signals.task_unknown.connect(weak=False)
def notice_unknown_task(sender: object, message: Message, name: str, id: str, **_: object) -> None:
    """Celery drops a message whose task it does not know; the row remembers, and is offered again."""
    if HEADER in (message.headers or {}):
        losses.reporter.drop(id, name)
