"""What a worker does with connections between tasks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from celery import Celery, signals
from celery.fixups.django import DjangoFixup
from django.db import connection

from django_director.worker import startup


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Iterator[Celery]:
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "tests.settings")
    yield Celery("connections", task_cls=startup.DirectorTask, set_as_current=False)
    for signal in (signals.task_prerun, signals.task_postrun):
        signal.disconnect(startup._refresh_connections)


@pytest.mark.django_db(transaction=True)
def test_celery_closes_no_connection_though_its_fixup_came_first(app: Celery):
    """A project that imports its tasks early has made the fixup, with its setting read, before the worker."""
    (fixup,) = [fixup for fixup in app._fixups if isinstance(fixup, DjangoFixup)]
    worker_fixup = fixup.worker_fixup
    connection.ensure_connection()
    before = connection.connection
    startup._close_connections_by_age(app)
    worker_fixup.close_database()
    assert connection.connection is before
