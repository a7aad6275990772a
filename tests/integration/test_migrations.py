"""Migrations of installations that have rows."""

from __future__ import annotations

from copy import copy
from uuid import uuid4

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.db import connections
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import ProtectedError
from django.utils import timezone

from django_director.conf import director
from django_director.models import Run, Task, Workflow
from django_director.sync.unapply_guard import NAMED, OVERRIDE
from tests.factories import make_run, make_workflow

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

APP = "django_director"
BEFORE = "0002_narrower_conditions"
AFTER = "0004_users_without_joins"
ROWS = 3
"""More than a batch holds; see ``small_batches``."""


@pytest.fixture
def migrate():
    """Go to a migration of the app; at the end of the test all are applied again."""
    connection = connections[director.DATABASE]

    def to(*names):
        executor = MigrationExecutor(connection)
        executor.migrate([(APP, name) for name in names])
        return MigrationExecutor(connection).loader.project_state([(APP, name) for name in names]).apps

    yield to
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes(APP))


@pytest.fixture
def _small_batches(monkeypatch):
    from importlib import import_module

    monkeypatch.setattr(import_module(f"django_director.migrations.{AFTER}"), "BATCH", 2)


def constrain(apps, name, field_name):
    """Give a foreign key the constraint that the first 0001 made."""
    model = apps.get_model(APP, name)
    old = model._meta.get_field(field_name)
    new = copy(old)
    new.db_constraint = True
    with connections[director.DATABASE].schema_editor() as editor:
        editor.alter_field(model, old, new)


def make_rows(apps, user, other):
    """Runs of two users and of nobody, with a decided task each."""

    def rows(name):
        return apps.get_model(APP, name).objects.using(director.DATABASE)

    workflow = rows("workflow").create(name="shop.ORDER")
    numbered = {"workflow": workflow, "number": 1, "content_hash": "1"}
    version = rows("workflowversion").create(**numbered, definition={}, source="")
    for who in [user] * ROWS + [other, None]:
        key = None if who is None else who.pk
        run = rows("run").create(
            id=uuid4(), workflow=workflow, version=version, user_id=key, created_at=timezone.now()
        )
        rows("task").create(run=run, position=0, step="A", name="A", decided_by_id=key)


@pytest.mark.usefixtures("_small_batches")
@pytest.mark.parametrize("is_constrained", [True, False], ids=["constraint", "no constraint"])
def test_users_become_plain_columns_and_foreign_keys_again(migrate, is_constrained):
    ann, bob = (get_user_model().objects.create_user(name) for name in ("ann", "bob"))
    apps = migrate(BEFORE)
    try:
        if is_constrained and director.DATABASE == "default":
            constrain(apps, "run", "user")
            constrain(apps, "task", "decided_by")
        make_rows(apps, ann, bob)
        migrate(AFTER)
        expected = [(str(ann.pk), "ann")] * ROWS + [(str(bob.pk), "bob"), ("", "")]
        runs = Run.objects.values_list("user_id", "user_name")
        assert sorted(runs) == sorted(expected)
        assert sorted(Task.objects.values_list("decided_by_id", flat=True)) == sorted(k for k, _ in expected)
        assert Run.objects.filter(user_name="bob").get().user == bob
        bob.delete()

        apps = migrate(BEFORE)
        for name, column in (("run", "user_id"), ("task", "decided_by_id")):
            rows = apps.get_model(APP, name).objects.using(director.DATABASE)
            found = list(rows.values_list(column, flat=True))
            assert (found.count(ann.pk), found.count(None)) == (ROWS, 2)
    finally:
        migrate(AFTER)


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
    call_command("migrate", APP, BEFORE, database=director.DATABASE, verbosity=0)
    with pytest.raises(CommandError, match="29 are active"):
        to_zero()


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
