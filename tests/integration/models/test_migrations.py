"""Migrations, and what protects rows from them."""

from __future__ import annotations

import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import ProtectedError

from django_director.conf import director
from django_director.models import Run, Workflow
from django_director.sync.unapply_guard import NAMED, OVERRIDE
from tests.factories import make_run, make_workflow

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

APP = "django_director"


@pytest.fixture
def _tables_again():
    yield
    call_command("migrate", database=director.DATABASE, verbosity=0)


def to_zero():
    call_command("migrate", APP, "zero", database=director.DATABASE, verbosity=0)


def tables():
    names = connections[director.DATABASE].introspection.table_names()
    return [name for name in names if name.startswith("django_director_") and "broker" not in name]


@pytest.mark.usefixtures("_tables_again")
def test_tables_with_active_runs_are_not_dropped():
    for number in range(NAMED + 2):
        workflow = make_workflow(f"shop.W{number}")
        for _ in range(number + 1):
            make_run(workflow)
        make_run(workflow, "success")
    pending = make_run(make_workflow("shop.P"), "pending")
    before = MigrationRecorder(connections[director.DATABASE]).applied_migrations()
    with pytest.raises(CommandError) as caught:
        to_zero()
    text = str(caught.value)
    assert "29 are active: 7 of “shop.W6”, 6 of “shop.W5”" in text
    assert "and those of 3 more workflows" in text
    assert OVERRIDE in text
    assert Run.objects.filter(pk=pending.pk).exists()
    assert MigrationRecorder(connections[director.DATABASE]).applied_migrations() == before


@pytest.mark.slow
@pytest.mark.usefixtures("_tables_again")
@pytest.mark.parametrize("statuses", [(), ("success", "failed", "canceled"), ("running",)], ids=str)
def test_other_tables_are_dropped(statuses, monkeypatch):
    if "running" in statuses:
        monkeypatch.setenv(OVERRIDE, "1")
    for status in statuses:
        make_run(status=status)
    to_zero()
    assert tables() == []
    to_zero()


def test_a_workflow_with_runs_is_not_deleted():
    run = make_run()
    for delete in (run.workflow.delete, Workflow.objects.all().delete, run.version.delete):
        with pytest.raises(ProtectedError):
            delete()
    assert Run.objects.filter(pk=run.pk).exists()


def test_the_migrations_stand_in_one_line():
    """``migrate`` goes to one last migration."""
    executor = MigrationExecutor(connections[director.DATABASE])
    assert len(executor.loader.graph.leaf_nodes(APP)) == 1
