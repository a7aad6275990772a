"""The system page, and the line on all pages that tells whether the workflow files are in order and stored."""

from __future__ import annotations

from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from celery import current_app
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django_celery_beat.models import IntervalSchedule, PeriodicTask
from kombu import Connection

from django_director.db.functions import later
from django_director.engine.supervisor import retention, workers
from django_director.engine.supervisor.loop import Supervisor
from django_director.models import Lease
from django_director.presentation import health, system_details
from django_director.schedules import beat_rows, beat_signs
from django_director.sync import condition, versions
from tests import factories

pytestmark = pytest.mark.django_db
GOOD = "shop.ORDER:\n  tasks: [NOOP]\n"
PAGES = ["/admin/django_director/", "/admin/django_director/run/", "/admin/django_director/run/system/"]


@pytest.fixture(autouse=True)
def broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(current_app.conf, "broker_url", "memory://")
    monkeypatch.setenv("CELERY_BROKER_URL", "memory://")
    health._broker.forget()


@pytest.fixture
def file(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(condition, "SECONDS", 0.0)
    path = tmp_path / "workflows.yml"
    path.write_text(GOOD)
    settings.DIRECTOR = {"WORKFLOWS": [path]}
    condition.forget()
    yield path
    condition.forget()


def banners(client: Client, page: str) -> list[str]:
    text = client.get(page).content.decode()
    return [part.split("</bdi>")[0] for part in text.split('role="status"><bdi>')[1:]]


def status() -> str:
    out = StringIO()
    with pytest.raises(SystemExit):
        call_command("directorstatus", stdout=out)
    return out.getvalue()


def test_pages_say_that_a_sync_is_due_until_it_is_done(file: Path, client_of: Any):
    client = client_of("view_workflow", "view_run")
    for page in PAGES:
        (text,) = banners(client, page)
        assert text == (
            "The workflow files differ from what is stored (shop.ORDER (added)): run “manage.py syncworkflows”"
        )
    assert "warning     the workflow files differ from what is stored" in status()
    call_command("syncworkflows", stdout=StringIO())
    assert [banners(client, page) for page in PAGES] == [[], [], []]
    assert "are stored" in status()


def test_pages_name_the_first_problem(file: Path, client_of: Any):
    file.write_text("shop.ORDER:\n  tusks: [A]\n<b>x:\n  tasks: [NOOP, NOOP2]\n")
    (text,) = banners(client_of("view_workflow", "view_run"), PAGES[0])
    assert "have problems and can&#x27;t be synced" in text
    assert "workflows.yml:2" in text
    assert "<b>" not in text


def test_those_who_may_not_see_workflows_are_told_nothing(file: Path, client_of: Any, settings: Any):
    assert banners(client_of("view_run"), PAGES[0]) == []
    settings.DIRECTOR = settings.DIRECTOR | {"AUTHORIZE": f"{__name__}.allow_looking"}
    page = client_of("view_run", "view_workflow", name="bob").get(PAGES[2]).content.decode()
    assert "they differ from what is stored" in page
    assert "shop.ORDER" not in page


def allow_looking(user: Any, action: str, workflow: Any) -> bool:
    return action in ("view_run", "view_workflow")


def test_files_are_read_again_only_when_one_has_changed(file: Path, monkeypatch: pytest.MonkeyPatch):
    read: list[int] = []
    real = condition.project.read_project
    monkeypatch.setattr(condition.project, "read_project", lambda: read.append(1) or real())
    for _ in range(3):
        assert condition.look() is not None
    assert len(read) == 1
    (file.parent / "schemas").mkdir()
    (file.parent / "schemas" / "order.json").write_text("{}")
    condition.look()
    file.write_text(GOOD + "\n")
    condition.look()
    assert len(read) == 3


def test_a_look_reads_twice_and_without_files_not_at_all(file: Path, settings: Any):
    condition.look()
    versions.store(condition._watch._reading.definitions)
    with CaptureQueriesContext(connection) as caught:
        assert condition.look().is_good
    assert len([query for query in caught if "_director_" in query["sql"] or "_beat_" in query["sql"]]) == 2
    settings.DIRECTOR = {"WORKFLOWS": []}
    with CaptureQueriesContext(connection) as caught:
        assert condition.look() is None
    assert not caught


@pytest.mark.skipif(connection.vendor != "sqlite", reason="skipped: only SQLite has one writer")
@pytest.mark.django_db(transaction=True)
def test_no_page_waits_for_the_one_writer(file: Path):
    with CaptureQueriesContext(connection) as caught:
        assert condition.look() is not None
        health.read_health()
    assert not [query["sql"] for query in caught if query["sql"].startswith(("BEGIN", "SAVEPOINT"))]


@pytest.mark.django_db(transaction=True)
def test_pages_need_no_table_of_the_files_condition(file: Path, client_of: Any):
    client = client_of("view_workflow", "view_run", "view_payload")
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE django_celery_beat_periodictask RENAME TO away")
        try:
            assert condition.look() is None
            for page in PAGES[1:]:
                assert client.get(page).status_code == 200, page
        finally:
            cursor.execute("ALTER TABLE away RENAME TO django_celery_beat_periodictask")


SYSTEM = PAGES[2]


def living(name: str = "celery@host") -> None:
    assert Supervisor("one")._acquire()
    beat_signs.give_sign()
    retention.note_cleaning("one")
    workers.give_sign(1, name, is_watched=True, queues=["celery", "heavy"])


def test_no_password_is_hinted_at_where_there_is_none():
    addresses = {"redis://h/1": "redis://h:6379/1", "redis://:pw@h/1": "redis://:**@h:6379/1"}
    for given, shown in addresses.items():
        assert system_details._address_of(Connection(given)) == shown


def test_the_page_shows_what_is_alive(client_of: Any):
    living()
    run = factories.make_run(tasks={"A": "running"})
    run.tasks.filter(status="running").update(worker_key=1)
    page = client_of("view_run", "view_payload").get(SYSTEM).content.decode()
    for shown in (
        "All that runs need is alive",
        "celery@host",
        "1 task",
        "celery, heavy",
        "celery 5",
        "Beat",
        "one,",
    ):
        assert shown in page, shown
    for shown in ("Servers", connection.display_name, "LEASE", "Last clean-up: "):
        assert shown in page, shown


def test_versions_and_settings_ask_for_a_permission(client_of: Any):
    page = client_of("view_run").get(SYSTEM).content.decode()
    assert "No worker is alive. Start one" in page
    assert "No supervisor is running" not in page, "each worker has one"
    for hidden in ("Servers", connection.display_name, "LEASE"):
        assert hidden not in page, hidden
    assert client_of("view_task", name="bob").get(SYSTEM).status_code == 403


def test_a_beat_that_gives_no_sign_is_told_before_a_schedule_is_late(client_of: Any):
    living()
    Lease.objects.filter(name=beat_signs.NAME).update(beat_at=later(-60))
    client = client_of("view_run")
    assert "Beat has given no sign" not in client.get(SYSTEM).content.decode(), "no schedule needs it"
    every = IntervalSchedule.objects.create(every=6000, period="seconds")
    PeriodicTask.objects.create(
        name="by hand", task=beat_rows.TASK, interval=every, kwargs='{"name": "shop.ORDER"}'
    )
    page = client.get(SYSTEM).content.decode()
    assert "Beat has given no sign for 6" in page
    beat_signs.give_sign()
    assert "Beat has given no sign" not in client.get(SYSTEM).content.decode()


def test_hostile_names_do_nothing_and_queries_are_few(client_of: Any):
    living("<script>\u202e" + "w" * 150)
    client = client_of("view_run", "view_payload")
    client.get(SYSTEM)
    with CaptureQueriesContext(connection) as caught:
        page = client.get(SYSTEM).content.decode()
    assert "<script>\u202e" not in page
    assert "\u202e" not in page
    assert len([query for query in caught if query["sql"].startswith("SELECT")]) <= 12
