"""Real processes with two databases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.core.management import call_command
from django.db import connections

from django_director import engine
from django_director.models import Run, Task, Workflow
from django_director.status import RunStatus
from django_director.sync import versions
from tests.acceptance.harness import database_url, wait_for, worker
from tests.factories import make_admin

pytestmark = [pytest.mark.django_db(transaction=True, databases="__all__"), pytest.mark.anywhere]

BROKER = "director://"


@pytest.fixture(autouse=True)
def _second_database(monkeypatch: pytest.MonkeyPatch, transactional_db: Any) -> None:
    monkeypatch.setenv("SECOND_DATABASE_URL", database_url("director"))


def test_a_worker_ends_what_a_user_has_started(tmp_path: Path):
    versions.sync()
    root = make_admin()
    with worker(BROKER, tmp_path, DJANGO_SETTINGS_MODULE="tests.two_databases.settings") as running:
        chain = engine.start("two.CHAIN", user=root, via="test")
        parent = engine.start("two.PARENT", user=root)
        failed, asked = engine.start("two.FAILS"), engine.start("two.ASK", user=root)
        assert [run.wait(30) for run in (chain, parent, failed)] == [
            *(RunStatus.SUCCESS, RunStatus.SUCCESS, RunStatus.FAILED),
        ]
        task = asked.tasks.get(step="OK")
        wait_for(lambda: Task.objects.filter(pk=task.pk, asked_at__isnull=False).exists())
        engine.approve(task, user=root)
        assert asked.wait(30) == RunStatus.SUCCESS
        assert engine.retry(failed, user=root).wait(30) == RunStatus.FAILED
        long = engine.start("two.LONG", user=root)
        wait_for(long.tasks.running().exists)
        engine.cancel(long, user=root)
        assert long.wait(30) == RunStatus.CANCELED
        assert running.errors() == []
    assert list(LogEntry.objects.order_by("pk").values_list("change_message", flat=True)) == [
        *("Started (test)", "Started", "Started", "Approved", "OK: Approved"),
        *("Retried", "Started", "Canceled"),
    ]
    assert not Run.objects.active().exists()


def test_flush_empties_either_database():
    versions.sync()
    make_admin()
    call_command("flush", database="default", interactive=False, verbosity=0)
    assert Workflow.objects.count() == 5
    call_command("flush", database="director", interactive=False, verbosity=0)
    assert Workflow.objects.count() == 0
    connections.close_all()
