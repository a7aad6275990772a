"""Each operation writes into Django's history, called from Python, the admin, the API or a command."""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import Iterator
from contextlib import nullcontext
from io import StringIO
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import AnonymousUser, Group, User
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import OperationalError, connection, transaction
from django.db.models.signals import post_save, pre_save
from django.test import Client

import django_director
from django_director.db.lock_limits import VERB_SECONDS
from django_director.engine import history
from django_director.exceptions import Conflict, Misuse
from django_director.models import Run, Task
from tests import factories
from tests.asking import asked
from tests.factories import definition, make_workflow

pytestmark = pytest.mark.django_db

API, ADMIN = "/director/api", "/admin/django_director"
FACES = {"python": "", "admin": " (admin)", "api": " (API)", "command": " (command)"}
DONE = {
    "start": "Started",
    "cancel": "Canceled",
    "pause": "Paused",
    "resume": "Resumed",
    "retry": "Retried",
    "relaunch": "Relaunched from {run}",
    "rerun": "Rerun",
    "skip": "Skipped",
    "approve": "Approved",
    "reject": "Rejected",
}
COMMANDS = {
    "start": ("runworkflow",),
    "cancel": ("cancelworkflow",),
    "pause": ("pauseworkflow",),
    "resume": ("resumeworkflow",),
    "retry": ("retryworkflow",),
    "relaunch": ("relaunchworkflow",),
    "rerun": ("reruntask",),
    "skip": ("skiptask",),
    "approve": ("approvetask",),
    "reject": ("approvetask", "--reject"),
}


def subject(verb: str) -> Any:
    """A workflow, run or task that the operation can be done to."""
    match verb:
        case "start":
            return make_workflow(definition("test.FLOW", "A"))
        case "cancel" | "pause" | "resume":
            make_workflow(definition("test.FLOW", "A"))
            run = django_director.start("test.FLOW")
            return django_director.pause(run) if verb == "resume" else run
        case "retry" | "relaunch":
            return factories.make_run(status="failed", tasks={"A": "failed"})
        case "rerun" | "skip":
            return factories.make_run(status="failed", tasks={"A": "failed"}).tasks.get(step="A")
    return asked()[1]


def from_python(verb: str, what: Any, user: Any) -> Any:
    return getattr(django_director, verb)(what, user=user)


def from_admin(verb: str, what: Any, user: Any) -> None:
    kind = type(what).__name__.lower()
    data = {"payload": "{}", "asked": getattr(what, "sequence", "")}
    button = "run" if verb == "start" else verb
    assert client(user).post(f"{ADMIN}/{kind}/{what.pk}/{button}/", data).status_code == 302


def from_api(verb: str, what: Any, user: Any) -> None:
    path = f"workflows/{what}/runs" if verb == "start" else f"{type(what).__name__.lower()}s/{what.pk}/{verb}"
    answer = client(user).post(f"{API}/{path}/", json.dumps({}), content_type="application/json")
    assert answer.status_code in (200, 201), answer.content


def from_command(verb: str, what: Any, user: Any) -> None:
    name, *more = COMMANDS[verb]
    target = str(what) if verb == "start" else str(what.pk)
    call_command(name, target, *more, user=user.username, stdout=StringIO(), stderr=StringIO())


CALLS = {"python": from_python, "admin": from_admin, "api": from_api, "command": from_command}


def client(user: Any) -> Client:
    made = Client()
    made.force_login(user)
    return made


def lines() -> list[tuple[str, str, str]]:
    entries = LogEntry.objects.order_by("pk").values_list("user__username", "object_id", "change_message")
    return list(entries)


def expected(verb: str, what: Any, face: str) -> list[tuple[str, str, str]]:
    if isinstance(what, Task):
        said = f"{DONE[verb]}{FACES[face]}"
        return [("root", str(what.pk), said), ("root", str(what.run_id), f"{what.step}: {said}")]
    said = DONE[verb].format(run=getattr(what, "pk", "")) + FACES[face]
    run = Run.objects.order_by("-pk")[0] if verb in ("start", "relaunch") else what
    forward = [("root", str(what.pk), f"Relaunched as {run.pk}{FACES[face]}")] if verb == "relaunch" else []
    return [("root", str(run.pk), said), *forward]


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("verb", DONE)
def test_each_operation_writes_one_line_wherever_it_is_called(verb, face):
    what, root = subject(verb), factories.make_admin()
    CALLS[face](verb, what, root)
    assert lines() == expected(verb, what, face)


@pytest.mark.django_db(transaction=True)
def test_each_operation_writes_one_line_outside_of_a_transaction():
    root = factories.make_admin()
    for verb in DONE:
        what = subject(verb)
        from_python(verb, what, root)
        assert lines() == expected(verb, what, "python")
        LogEntry.objects.all().delete()


@pytest.mark.parametrize("user", [None, AnonymousUser()], ids=["none", "anonymous"])
def test_nothing_is_written_where_nobody_is_named(user):
    for verb in DONE:
        from_python(verb, subject(verb), user)
    assert not LogEntry.objects.exists()


def test_a_caller_says_what_it_is():
    root = factories.make_admin()
    for verb in DONE:
        getattr(django_director, verb)(subject(verb), user=root, via="shop")
    assert len(lines()) == len(DONE) + 5, "four operations on tasks and a relaunch have two lines each"
    assert all(said.endswith(" (shop)") for _, _, said in lines())


@pytest.mark.parametrize("verb", DONE)
def test_what_is_no_user_is_refused_before_anything_is_done(verb):
    what = subject(verb)
    before = rows()
    for wrong in ({"user": "root"}, {"user": 7}, {"via": 7}):
        with pytest.raises(Misuse, match=f"must be .*, not {next(iter(wrong.values()))!r}"):
            getattr(django_director, verb)(what, **wrong)
    assert rows() == before


def rows() -> tuple[list[Any], list[Any]]:
    return list(Run.objects.order_by("pk").values()), list(Task.objects.order_by("pk").values())


def test_a_second_call_with_the_same_key_writes_no_second_line():
    make_workflow(definition("test.FLOW", "A"))
    root = factories.make_admin()
    run = django_director.start("test.FLOW", user=root, idempotency_key="k")
    django_director.start("test.FLOW", user=root, idempotency_key="k")
    for _ in range(2):
        new = django_director.relaunch(run, user=root, idempotency_key="again")
    said = ["Started", f"Relaunched from {run.pk}", f"Relaunched as {new.pk}"]
    assert [line for _, _, line in lines()] == said


def test_what_is_refused_leaves_no_line():
    run = factories.make_run(status="success", tasks={"A": "success"})
    with pytest.raises(Conflict):
        django_director.cancel(run, user=factories.make_admin())
    assert not LogEntry.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_line_goes_with_the_transaction_of_the_caller():
    root = factories.make_admin()
    for verb in DONE:
        what = subject(verb)
        with transaction.atomic():
            from_python(verb, what, root)
            transaction.set_rollback(True)
    assert not LogEntry.objects.exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("verb", DONE)
def test_a_user_who_is_gone_takes_no_transaction_along(verb):
    gone = factories.make_admin()
    type(gone).objects.filter(pk=gone.pk).delete()
    what, before = subject(verb), rows()
    with transaction.atomic():
        factories.make_admin("bystander")
        from_python(verb, what, gone)
    assert rows() != before
    assert type(gone).objects.filter(username="bystander").exists()
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize("inside", [False, True], ids=["alone", "in_a_transaction"])
@pytest.mark.django_db(transaction=True)
def test_a_receiver_that_fails_harms_no_operation(inside, caplog):
    def fail(**_: Any) -> None:
        raise RuntimeError("a receiver of the project")

    root = factories.make_admin()
    post_save.connect(fail, sender=LogEntry)
    try:
        for verb in DONE:
            what, before = subject(verb), rows()
            caplog.clear()
            with transaction.atomic() if inside else nullcontext():
                from_python(verb, what, root)
            assert rows() != before, verb
            assert "can't be written into Django's history: a receiver of the project" in caplog.text
    finally:
        post_save.disconnect(fail, sender=LogEntry)


def test_both_lines_of_a_task_are_written_or_none():
    lines = []

    def fail_at_the_second(**_: Any) -> None:
        lines.append(1)
        if len(lines) == 2:
            raise RuntimeError("the second line")

    pre_save.connect(fail_at_the_second, sender=LogEntry)
    try:
        from_python("approve", subject("approve"), factories.make_admin())
    finally:
        pre_save.disconnect(fail_at_the_second, sender=LogEntry)
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize("user", [AnonymousUser(), User(username="unsaved")], ids=["anonymous", "unsaved"])
def test_nobody_is_named_who_has_no_row(user):
    run = subject("cancel")
    from_python("cancel", run, user)
    assert {task.reason for task in run.tasks.all()} <= {"canceled", ""}
    task = subject("approve")
    assert from_python("approve", task, user).decision["by"] is None


@pytest.mark.parametrize("verb", DONE)
def test_an_unsaved_row_that_is_no_user_is_refused(verb):
    what, before = subject(verb), rows()
    with pytest.raises(Misuse, match="user must be a user, or None"):
        from_python(verb, what, Group(name="grp"))
    assert rows() == before


@pytest.fixture
def without_table(transactional_db):
    with connection.schema_editor() as editor:
        editor.delete_model(LogEntry)
    yield
    with connection.schema_editor() as editor:
        editor.create_model(LogEntry)


@pytest.mark.parametrize("inside", [False, True], ids=["alone", "in_a_transaction"])
def test_a_history_that_fails_harms_no_operation(inside, caplog, without_table):
    root = factories.make_admin()
    for verb in DONE:
        what = subject(verb)
        before = rows()
        caplog.clear()
        with transaction.atomic() if inside else nullcontext():
            from_python(verb, what, root)
        assert rows() != before, verb
        assert "can't be written into Django's history" in caplog.text


def test_without_the_admin_there_is_no_history(settings):
    root = factories.make_admin()
    settings.INSTALLED_APPS = [app for app in settings.INSTALLED_APPS if app != "django.contrib.admin"]
    for verb in DONE:
        from_python(verb, subject(verb), root)
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize("verb", sorted(DONE.keys() - {"start"}))
def test_a_row_that_was_deleted_meanwhile_is_a_conflict(verb):
    what = subject(verb)
    run = what if isinstance(what, Run) else what.run
    Run.objects.filter(pk=run.pk).delete()
    with pytest.raises(Conflict, match="is not there any more"):
        from_python(verb, what, None)


has_locks = pytest.mark.skipif(connection.vendor == "sqlite", reason="skipped: SQLite locks whole databases only")
inside_or_not = pytest.mark.parametrize("inside", [False, True], ids=["alone", "in_a_transaction"])
LOCKED_TABLES = {"lines": LogEntry, "users": User, "kinds": ContentType}


@contextlib.contextmanager
def held_by_another_session(what: str, user: Any) -> Iterator[None]:
    """Another session has locked a table of Django's, or the row of ``user``, or those of all content types."""
    other = connection.copy()
    rows = {"user": f"auth_user WHERE id = {user.pk}", "kind": "django_content_type"}
    try:
        with other.cursor() as cursor:
            if what in rows:
                cursor.execute("BEGIN")
                cursor.execute(f"SELECT id FROM {rows[what]} FOR UPDATE")
            elif connection.vendor == "postgresql":
                cursor.execute("BEGIN")
                cursor.execute(f"LOCK TABLE {LOCKED_TABLES[what]._meta.db_table} IN ACCESS EXCLUSIVE MODE")
            else:
                cursor.execute(f"LOCK TABLES {LOCKED_TABLES[what]._meta.db_table} WRITE")
        yield
    finally:
        other.close()


def limits_of_the_session() -> Any:
    with connection.cursor() as cursor:
        names = "lock_timeout" if connection.vendor == "postgresql" else "VARIABLES LIKE '%lock_wait_timeout'"
        cursor.execute(f"SHOW {names}")
        return cursor.fetchall()


@has_locks
@inside_or_not
@pytest.mark.parametrize("verb", DONE)
@pytest.mark.django_db(transaction=True)
def test_no_operation_waits_long_for_its_line(verb, inside, caplog, monkeypatch):
    monkeypatch.setattr(history, "LINE_SECONDS", 0.2)
    what, root = subject(verb), factories.make_admin()
    before, limits = rows(), limits_of_the_session()
    with held_by_another_session("lines", root), caplog.at_level(logging.WARNING):
        began = time.monotonic()
        with transaction.atomic() if inside else nullcontext():
            from_python(verb, what, root)
            assert limits_of_the_session() == limits
        took = time.monotonic() - began
        assert rows() != before
    assert took < VERB_SECONDS - 1
    assert f"{DONE[verb].partition(' ')[0]}" in caplog.text
    assert "can't be written into Django's history" in caplog.text
    assert not LogEntry.objects.exists()
    assert limits_of_the_session() == limits


@has_locks
@inside_or_not
@pytest.mark.parametrize("locked", ["users", "user", "kinds", "kind"])
@pytest.mark.parametrize("verb", ["start", "cancel"])
@pytest.mark.django_db(transaction=True)
def test_no_operation_waits_long_for_what_its_line_refers_to(verb, locked, inside, caplog, monkeypatch):
    monkeypatch.setattr(history, "LINE_SECONDS", 0.2)
    what, root = subject(verb), factories.make_admin()
    before = rows()
    ContentType.objects.clear_cache()
    with held_by_another_session(locked, root), caplog.at_level(logging.WARNING):
        began = time.monotonic()
        with transaction.atomic() if inside else nullcontext():
            from_python(verb, what, root)
        took = time.monotonic() - began
        assert rows() != before
    assert took < VERB_SECONDS - 1
    # MariaDB does not need the locked table of users for the foreign key, and writes the line.
    assert ("can't be written into Django's history" in caplog.text) != LogEntry.objects.exists()


@has_locks
@inside_or_not
@pytest.mark.django_db(transaction=True)
def test_a_line_leaves_the_limits_of_the_session_as_they_were(inside):
    run, root = subject("cancel"), factories.make_admin()
    with transaction.atomic() if inside else nullcontext():
        before = limits_of_the_session()
        from_python("cancel", run, root)
        assert limits_of_the_session() == before
    assert lines() == expected("cancel", run, "python")


@pytest.mark.skipif(connection.vendor != "postgresql", reason="skipped: only PostgreSQL looks at the commit")
@pytest.mark.django_db(transaction=True)
def test_nobody_can_delete_the_user_of_a_line_before_its_transaction_commits():
    run, root = subject("cancel"), factories.make_admin()
    other = connection.copy()
    try:
        with transaction.atomic(), other.cursor() as cursor:
            from_python("cancel", run, root)
            cursor.execute("SET lock_timeout = '200ms'")
            with pytest.raises(OperationalError, match="lock timeout"):
                cursor.execute("DELETE FROM auth_user WHERE id = %s", [root.pk])
    finally:
        other.close()
    assert lines() == expected("cancel", run, "python")
