"""Every face with the app's tables in one database, and users, permissions, history and schedules in another."""

from __future__ import annotations

import contextlib
import json
import time
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core.management import CommandError, call_command
from django.db import connections, router, transaction
from django.test import TestCase
from django_celery_beat.models import PeriodicTask

from django_director import engine, testing
from django_director.checks.static import check_database, check_routers
from django_director.conf import director
from django_director.db.lock_limits import VERB_SECONDS
from django_director.models import Run, Task, Workflow
from django_director.schedules import beat_rows
from django_director.schedules.tasks import SENT_AT, run_workflow
from django_director.status import RunStatus, Trigger
from django_director.sync import versions
from tests.integration.admin.pages import address, messages, text

pytestmark = pytest.mark.django_db(databases="__all__")

API = "/director/api"


def command(*args, **options):
    out = StringIO()
    call_command(*args, stdout=out, stderr=StringIO(), **options)
    return out.getvalue()


def committed(call, *args, **options):
    """What ``call`` returns, with what it leaves for after the commit done."""
    with TestCase.captureOnCommitCallbacks(using="director", execute=True):
        return call(*args, **options)


def ask(user=None):
    """A run of two.ASK whose approval waits, and the approval."""
    run = testing.run_workflow("two.ASK", user=user)
    return run, run.tasks.get(step="OK")


def history_of(obj):
    entries = LogEntry.objects.filter(object_id=str(obj.pk)).order_by("pk")
    return [(entry.user.username, entry.change_message) for entry in entries]


@pytest.mark.skipif(
    connections["default"].vendor != "postgresql", reason="skipped: a lock that PostgreSQL can hold on a table"
)
@pytest.mark.django_db(transaction=True, databases="__all__")
@pytest.mark.parametrize("inside", [False, True], ids=["alone", "in_a_transaction"])
def test_a_history_in_another_database_holds_nothing_up(root, inside, caplog):
    other = connections["default"].copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("LOCK TABLE django_admin_log IN ACCESS EXCLUSIVE MODE")
            began = time.monotonic()
            with transaction.atomic() if inside else contextlib.nullcontext():
                run = engine.start("two.ASK", user=root)
            assert time.monotonic() - began < VERB_SECONDS - 1
    finally:
        other.close()
    assert "can't be written into Django's history" in caplog.text
    assert Run.objects.filter(pk=run.pk).exists()


def test_the_setup_is_content():
    assert director.DATABASE == "director"
    assert [*check_database(), *check_routers()] == []


def test_permissions_are_where_users_are():
    found = Permission.objects.filter(content_type__app_label="django_director")
    assert found.db == "default"
    assert {"run_workflow", "view_run", "approve_task"} <= set(found.values_list("codename", flat=True))


@pytest.mark.skipif(not router.routers, reason="without a router both databases have every table")
@pytest.mark.anywhere
def test_each_table_is_in_one_database():
    tables = {alias: set(connections[alias].introspection.table_names()) for alias in ("default", "director")}
    assert "django_director_run" in tables["director"] - tables["default"]
    assert "auth_user" in tables["default"] - tables["director"]


def test_a_run_with_and_without_a_user(root):
    for user, name in ((root, "root"), (None, "")):
        run = committed(engine.start, "two.CHAIN", user=user, via="test")
        found = Run.objects.get(pk=run.pk)
        assert (found.user, found.user_name) == (user, name)
        assert history_of(run) == ([("root", "Started (test)")] if user else [])
        assert testing.run_workflow("two.CHAIN", user=user).status == RunStatus.SUCCESS


def test_a_child_run_has_the_user_too(root):
    run = testing.run_workflow("two.PARENT", user=root)
    child = Run.objects.get(parent_task__run=run)
    assert (run.status, child.status) == (RunStatus.SUCCESS, RunStatus.SUCCESS)
    assert (child.user, child.user_name) == (root, "root")


def test_a_start_goes_with_the_transaction_of_its_own_database(root):
    with transaction.atomic(using="director"):
        run = engine.start("two.CHAIN", user=root, via="test")
        transaction.set_rollback(True, using="director")
    assert not Run.objects.exists()
    assert history_of(run) == []


def test_a_deleted_user_stays_readable(root, pages):
    ann = get_user_model().objects.create_user("ann")
    run = testing.run_workflow("two.CHAIN", user=ann)
    asked, task = ask(ann)
    testing.approve(asked, user=ann)
    ann.delete()
    run, task = Run.objects.get(pk=run.pk), Task.objects.get(pk=task.pk)
    assert (run.user, run.user_name) == (None, "ann")
    assert (task.decided_by, task.decision["by"]) == (None, "ann")
    assert "ann" in text(pages.get(address("run_changelist")))
    assert "ann" in text(pages.get(address("run_change", run.pk)))
    assert "approved by ann" in text(pages.get(address("task_change", task.pk)))


def test_the_lists_of_the_admin(pages, root):
    run = testing.run_workflow("two.CHAIN", user=root)
    failed = testing.run_workflow("two.FAILS")
    ask(root)
    workflow = run.workflow
    queries = {
        "run": (
            *("", "q=root", "q=two.CHAIN", f"q={run.pk}", "place=all", "status__exact=success", "o=8", "o=-8.1"),
            *(f"workflow__id__exact={workflow.pk}", "trigger__exact=manual"),
            "created_at__gte=2020-01-01+00:00:00%2B00:00",
        ),
        "task": (
            *("", "q=NOOP", f"q={run.pk}", "status__exact=failed", "decision=you", "decision=anybody"),
            *(f"run__workflow__id__exact={workflow.pk}", "is_hook__exact=0"),
        ),
        "workflow": ("", "q=two", "is_active__exact=1"),
    }
    for page, asked in queries.items():
        for query in asked:
            response = pages.get(f"{address(f'{page}_changelist')}?{query}")
            assert response.status_code == 200, query
    by_user = text(pages.get(f"{address('run_changelist')}?q=root"))
    assert str(run.pk)[-8:] in by_user
    assert str(failed.pk)[-8:] not in by_user


def test_the_pages_of_the_admin(pages, root):
    run, task = ask(root)
    for page, obj in (("run", run), ("task", task), ("workflow", run.workflow)):
        for view in ("change", "history"):
            assert pages.get(address(f"{page}_{view}", obj.pk)).status_code == 200
    assert pages.get(address("run_live", run.pk)).status_code == 200
    assert "root" in text(pages.get(address("run_change", run.pk)))
    assert "root" in text(pages.get(address("workflow_change", run.workflow.pk)))
    assert pages.get("/admin/").status_code == 200
    assert pages.get(f"/admin/auth/user/{root.pk}/delete/").status_code == 200


def test_the_verbs_of_the_admin(pages, root):
    form = address("workflow_run", Workflow.objects.get(name="two.FAILS").pk)
    assert pages.get(form).status_code == 200
    response = committed(pages.post, form, {"payload": "{}", "comment": "by hand"})
    run = Run.objects.get()
    assert (response.status_code, run.user, run.trigger) == (302, root, Trigger.ADMIN)
    assert history_of(run) == [("root", "Started (admin)")]
    for verb in ("pause", "resume", "cancel"):
        page = committed(pages.post, address(f"run_{verb}", run.pk), follow=True)
        assert page.status_code == 200
        assert messages(page)
    failed = testing.run_workflow("two.FAILS")
    again = {"action": "retry_runs", "_selected_action": [str(failed.pk)]}
    preview = pages.post(address("run_changelist"), again)
    confirmed = {"run": preview.context["ids"]}
    assert committed(pages.post, address("run_many_retry"), confirmed).status_code == 302
    assert pages.get("/admin/django_director/").status_code == 200
    assert pages.get(f"{address('run_change', failed.pk)}?tab=events").status_code == 200
    assert history_of(failed) == [("root", "Retried (admin)")]
    local = testing.run_workflow("two.CHAIN")
    assert committed(pages.post, address("run_relaunch", local.pk)).status_code == 302
    rerun = address("task_rerun", local.tasks.get(step="ECHO").pk)
    assert pages.get(rerun).status_code == 200
    assert committed(pages.post, rerun).status_code == 302
    new = Run.objects.get(relaunched_from=local)
    told = [f"Relaunched as {new.pk} (admin)", "ECHO: Rerun (admin)"]
    assert [message for _, message in history_of(local)] == told
    assert history_of(new) == [("root", f"Relaunched from {local.pk} (admin)")]
    assert pages.get(address("run_history", new.pk)).content.count(b"Relaunched") == 1


def test_an_approval_in_the_admin(pages, root):
    run, task = ask()
    answer = {"asked": task.sequence, "comment": "fine"}
    assert committed(pages.post, address("task_approve", task.pk), answer).status_code == 302
    task = Task.objects.get(pk=task.pk)
    assert (task.decided_by, task.decision["by"]) == (root, "root")
    assert history_of(task) == [("root", "Approved (admin)")]
    assert "Approved" in text(pages.get(address("run_history", run.pk)))


def test_the_api(api, root):
    url = f"{API}/workflows/two.CHAIN/runs/"
    first = committed(api.post, url, {"payload": {"n": 1}}, format="json", headers={"Idempotency-Key": "k"})
    again = api.post(url, {"payload": {"n": 1}}, format="json", headers={"Idempotency-Key": "k"})
    other = api.post(url, {"payload": {"n": 2}}, format="json", headers={"Idempotency-Key": "k"})
    assert [first.status_code, again.status_code, other.status_code] == [201, 200, 409]
    assert first.json()["user"] == "root"
    run = Run.objects.get()
    assert history_of(run) == [("root", "Started (API)")]
    for path in (
        *("workflows/", "workflows/two.CHAIN/", "runs/", "runs/?user=root", "runs/?search=root", "ping/"),
        *(f"runs/{run.pk}/", f"runs/{run.pk}/tasks/", f"runs/{run.pk}/graph/"),
        *(f"runs/?workflow=two.CHAIN&status=running&trigger=api&parent_run={run.pk}",),
        *(f"tasks/{run.tasks.first().pk}/",),
    ):
        assert api.get(f"{API}/{path}").status_code == 200, path
    assert [found["id"] for found in api.get(f"{API}/runs/?user=root").json()["results"]] == [str(run.pk)]
    for verb, status in (("pause", 200), ("resume", 200), ("cancel", 200), ("cancel", 409), ("retry", 200)):
        response = committed(api.post, f"{API}/runs/{run.pk}/{verb}/", {}, format="json")
        assert response.status_code == status, (verb, response.json())
    done = testing.run_workflow("two.CHAIN", user=root)
    assert committed(api.post, f"{API}/runs/{done.pk}/relaunch/", {}, format="json").status_code == 201
    task = done.tasks.get(step="ECHO")
    assert committed(api.post, f"{API}/tasks/{task.pk}/rerun/", {}, format="json").status_code == 200
    failed = testing.run_workflow("two.FAILS").tasks.get(step="ERROR")
    assert committed(api.post, f"{API}/tasks/{failed.pk}/skip/", {}, format="json").status_code == 200
    _, task = ask()
    assert committed(api.post, f"{API}/tasks/{task.pk}/reject/", {}, format="json").status_code == 200
    assert api.get(f"{API}/tasks/{task.pk}/").json()["decision"]["by"] == "root"


def test_the_commands(member):
    started = json.loads(committed(command, "runworkflow", "two.CHAIN", user="max", json=True))
    run = Run.objects.get(pk=started["id"])
    assert (run.user, started["user"]) == (member, "max")
    assert history_of(run) == [("max", "Started (command)")]
    assert json.loads(command("runworkflow", "two.CHAIN", local=True, json=True))["status"] == "success"
    for name, options in (
        *(("listruns", {}), ("listworkflows", {}), ("syncworkflows", {}), ("showworkflow", {"name": "two.CHAIN"})),
        *(("showrun", {"run": str(run.pk)}), ("check", {}), ("superviseworkflows", {"once": True})),
    ):
        args = [options.pop(key) for key in ("name", "run") if key in options]
        committed(command, name, *args, **options)
    committed(command, "cancelworkflow", str(run.pk), user="max")
    _, task = ask()
    committed(command, "approvetask", str(task.pk), user="max", comment="fine")
    task.refresh_from_db()
    assert (task.decided_by, task.reason) == (member, "approved by max: fine")


def test_allowed_groups_are_those_of_the_users_database(member):
    stranger = get_user_model().objects.create_user("sam")
    stranger.user_permissions.set(member.user_permissions.all())
    with pytest.raises(CommandError, match="ops"):
        command("runworkflow", "two.ASK", user="sam")
    assert json.loads(committed(command, "runworkflow", "two.ASK", user="max", json=True))["user"] == "max"


def test_schedules_are_where_beat_looks(pages):
    row = PeriodicTask.objects.get(name="director: two.CHAIN")
    assert (row._state.db, row.enabled) == ("default", True)
    sent = datetime.now(UTC)
    headers = {"periodic_task_name": row.name, "celery_beat_task": True, SENT_AT: sent.isoformat()}
    for expected in (1, 1):
        options = {"kwargs": {"name": "two.CHAIN", "payload": {}}, "headers": headers, "throw": True}
        committed(run_workflow.apply, **options)
        assert Run.objects.filter(schedule=row.name).count() == expected
    assert not versions.sync().is_due
    assert versions.store([]).schedules == ["director: two.CHAIN (switched off)"]
    assert pages.get(address("workflow_changelist")).status_code == 200


@pytest.mark.usefixtures("_synced")
def test_a_sync_that_fails_changes_no_schedule(monkeypatch):
    def delete(row):
        row.delete()
        raise ZeroDivisionError

    monkeypatch.setattr(beat_rows, "_switch_off", delete)
    with pytest.raises(ZeroDivisionError):
        versions.store([])
    assert PeriodicTask.objects.filter(name="director: two.CHAIN", enabled=True).exists()
    assert Workflow.objects.active().count() == 5


def test_retention(root):
    run = testing.run_workflow("two.CHAIN", user=root)
    Run.objects.filter(pk=run.pk).update(finished_at=run.finished_at - timedelta(days=1))
    command("cleanupworkflows")
    assert not Run.objects.filter(pk=run.pk).exists()


@pytest.mark.anywhere
@pytest.mark.parametrize("order", [("default", "director"), ("director", "default")])
def test_workflows_are_synced_by_the_last_migrate(settings, order, capsys):
    settings.DIRECTOR = settings.DIRECTOR | {"SYNC_AFTER_MIGRATE": True}
    for alias in order:
        call_command("migrate", database=alias, verbosity=0)
    assert Workflow.objects.active().count() == 5
    assert PeriodicTask.objects.filter(name="director: two.CHAIN").exists()
    assert capsys.readouterr().err == ""
