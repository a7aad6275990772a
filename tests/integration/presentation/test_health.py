"""What `GET health/` and `directorstatus` say, and when they are unwell."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from functools import partial
from io import StringIO
from typing import Any

import pytest
from celery import current_app
from django.core.management import call_command
from django.db import OperationalError, connection
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask
from rest_framework.test import APIClient

from django_director.db import unapplied
from django_director.db.functions import Now, later
from django_director.engine import parking
from django_director.engine.attempts import unwritten
from django_director.engine.supervisor.leadership import LEASE_NAME
from django_director.engine.supervisor.loop import Supervisor
from django_director.models import Lease, Worker
from django_director.presentation import health
from django_director.schedules import beat_rows
from tests import factories
from tests.integration.engine import driver
from tests.integration.status import status

pytestmark = pytest.mark.django_db
URL = "/director/api/health/"


@pytest.fixture(autouse=True)
def broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(current_app.conf, "broker_url", "memory://")
    monkeypatch.setenv("CELERY_BROKER_URL", "memory://")


@pytest.fixture(autouse=True)
def nothing_kept() -> None:
    """Each test finds out by itself."""
    for kept in (health._broker, health._status):
        kept.forget()


def well() -> None:
    assert Supervisor("one")._acquire()
    Worker.objects.create(key=1, name="celery@host", started_at=Now(), seen_at=Now())


def client(name: str = "ann") -> APIClient:
    made = APIClient()
    made.force_authenticate(factories.make_user(name, "view_run"))
    return made


def test_all_is_well():
    well()
    response = client().get(URL)
    assert response.status_code == 200
    assert response.data["healthy"] is True
    assert response.data["problems"] == []
    assert response.data["supervisor"]["name"] == "one"
    assert [worker["name"] for worker in response.data["workers"]] == ["celery@host"]
    code, text = status()
    assert code == 0
    assert "celery@host" in text
    assert "no task waits for a worker" in text


@pytest.mark.parametrize(
    ("supervisor", "cure"),
    [
        ("worker", "start a worker, each has one: celery -A … worker"),
        ("process", "start it with `manage.py superviseworkflows`, for DIRECTOR['SUPERVISOR'] is \"process\""),
    ],
)
@pytest.mark.parametrize("beat", [None, -health.OLD_TICK - 5], ids=["none", "an old tick"])
def test_nobody_supervises(beat: float | None, supervisor: str, cure: str, settings: Any):
    settings.DIRECTOR = {"WORKFLOWS": [], "SUPERVISOR": supervisor}
    if beat is not None:
        Lease.objects.create(name=LEASE_NAME, holder="one", until=later(100), beat_at=later(beat))
    response = client().get(URL)
    assert response.status_code == 503
    (problem,) = response.data["problems"]
    assert "no supervisor" in problem
    assert problem.endswith(cure)
    code, text = status()
    assert code == 1
    # A second may pass between the two.
    without_seconds = partial(re.sub, r"\d+ s", "")
    assert without_seconds(problem) in without_seconds(text)


def test_outcomes_that_wait_for_a_lock_are_counted():
    well()
    run = driver.start("A")
    unwritten.keep(driver.claim(run, "A"), unwritten.End.SUCCESS, {"result": 1})
    assert client().get(URL).data["unwritten"] == 1
    code, text = status()
    assert code == 0, "a lock is no reason to take the site away"
    assert "outcomes and starts of tasks that wait for other database sessions: 1" in text


def test_a_supervisor_that_has_ended_in_good_order_is_none():
    # As it leaves its lease.
    Lease.objects.create(name=LEASE_NAME, holder="", until=Now(), beat_at=Now())
    assert client().get(URL).status_code == 503


def test_a_broker_that_does_not_answer(monkeypatch):
    well()
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://127.0.0.1:1/0")
    response = client().get(URL)
    assert (response.status_code, response.data["broker"]) == (503, False)
    assert "the broker does not answer" in response.data["problems"][0]


@pytest.mark.parametrize(
    "url",
    ["pulsar://ann:S3CRET@127.0.0.1/1", "nosuch://ann:S3CRET@127.0.0.1/1", "redis://ann:S3CRET@127.0.0.1:x/"],
)
def test_a_broker_that_can_not_be_used_is_told_and_not_by_its_password(url, monkeypatch):
    well()
    monkeypatch.setenv("CELERY_BROKER_URL", url)
    response = client().get(URL)
    assert (response.status_code, response.data["broker"]) == (503, False)
    code, text = status()
    assert code == 1
    assert "the broker does not answer" in text
    assert "S3CRET" not in text + str(response.data)


def test_a_release_without_its_migrations_is_told(monkeypatch):
    well()
    monkeypatch.setattr(unapplied, "_complete", set())
    assert status()[0] == 0
    assert unapplied._complete
    monkeypatch.setattr(unapplied, "_complete", set())
    MigrationRecorder(connection).record_unapplied("django_director", "0001_initial")
    code, text = status()
    assert code == 1
    assert "the database lacks migrations: run “manage.py migrate” (django_director.0001_initial)" in text
    assert client().get(URL).status_code == 503


def test_a_database_that_does_not_answer(monkeypatch):
    def refuse(**_: Any) -> Any:
        raise OperationalError("no more connections\nDETAIL: secret")

    monkeypatch.setattr(health, "_rows", refuse)
    code, text = status()
    assert code == 1
    assert "no more connections" in text
    assert "secret" not in text


def test_how_long_the_oldest_waits_and_that_a_silent_worker_counts_as_lost():
    well()
    run = factories.make_run(tasks={"A": "queued", "B": "queued"})
    run.tasks.filter(step="A").update(queued_at=later(-90))
    run.tasks.filter(step="B").update(queued_at=later(-900), next_dispatch_at=later(parking.FAR))
    Worker.objects.update(seen_at=later(-60))
    found = client().get(URL).data
    assert 90 <= found["oldest_queued"]["seconds"] < 120, "B waits for a resume, not for a worker"
    assert "counts as lost" in status()[1]


def queue(*tasks: Any, seconds: float) -> None:
    """Tasks that wait for a worker for so long."""
    run = factories.make_run(factories.make_workflow(factories.definition("shop.ORDER", *tasks)))
    run.tasks.update(status="queued", queued_at=later(-seconds), next_dispatch_at=Now(), sequence=1)


def take_from(*queues: str | None, name: str = "celery@host", key: int = 1) -> None:
    taken = None if queues == (None,) else list(queues)
    Worker.objects.update_or_create(
        key=key, defaults={"name": name, "started_at": Now(), "seen_at": Now(), "queues": taken}
    )


def test_a_queue_that_no_worker_takes_from():
    well()
    take_from("celery", "light")
    queue(factories.step("A", queue="heavy"), factories.step("B", queue="heavy"), "NOOP", seconds=400)
    response = client().get(URL)
    assert response.status_code == 503
    heavy, usual = sorted(response.data["queues"], key=lambda found: found["name"], reverse=True)
    since = heavy.pop("queued_at")
    assert 400 <= heavy.pop("seconds") < 460
    assert heavy == {"name": "heavy", "tasks": 2, "workers": [], "is_served": False}
    assert (usual["name"], usual["workers"], usual["is_served"]) == ("celery", ["celery@host"], True)
    (problem,) = response.data["problems"]
    assert problem == (
        "no worker takes tasks from queue `heavy`: 2 tasks wait, the oldest for 7 min; "
        "start one: celery -A … worker -Q heavy"
    )
    code, text = status()
    assert (code, problem in text) == (1, True)
    assert f"queue       heavy: 2 tasks, the oldest since {since}, no worker takes from it" in text
    assert "ago, runs 0 tasks, takes from celery, light" in text


@pytest.mark.parametrize(
    ("queues", "seconds", "problems"),
    [
        (("celery",), 400, 1),
        (("celery",), 200, 0),
        (("celery", "heavy"), 4000, 0),
        # Of an older version, as in the middle of a deployment.
        ((None,), 4000, 0),
    ],
)
def test_when_a_queue_is_a_problem(queues: Any, seconds: float, problems: int):
    well()
    take_from(*queues)
    queue(factories.step("A", queue="heavy"), seconds=seconds)
    assert len(client().get(URL).data["problems"]) == problems


def test_a_worker_that_is_gone_takes_from_none():
    well()
    take_from("heavy")
    queue(factories.step("A", queue="heavy"), seconds=400)
    asking = client()
    assert asking.get(URL).data["healthy"]
    Worker.objects.update(seen_at=later(-60))
    assert "`heavy`" in asking.get(URL).data["problems"][0]
    # A task of its own may hold up its signs.
    Worker.objects.update(is_watched=False)
    assert asking.get(URL).data["healthy"]


def test_where_workflows_are_hidden_so_are_the_names_of_schedules(settings: Any):
    settings.DIRECTOR = {"WORKFLOWS": [], "AUTHORIZE": "tests.integration.presentation.test_health.allow"}
    well()
    every = IntervalSchedule.objects.create(every=60, period="seconds")
    PeriodicTask.objects.create(name="director: shop.SECRET", task=beat_rows.TASK, interval=every)
    PeriodicTask.objects.update(date_changed=timezone.now() - timedelta(hours=1))
    response = client().get(URL)
    assert response.data["late_schedules"][0]["seconds"] > 3000
    assert "SECRET" not in response.content.decode()
    settings.DIRECTOR = {"WORKFLOWS": []}
    assert "SECRET" in client("bob").get(URL).content.decode()


def allow(*_: Any) -> bool:
    return True


def test_its_queries_do_not_grow(django_assert_num_queries: Any):
    well()
    with django_assert_num_queries(2):
        health._rows()
    for number in range(3):
        queue(factories.step("A", queue=f"q{number}"), "NOOP", seconds=400)
        take_from("celery", key=number)
    with django_assert_num_queries(2):
        health._rows()


def test_it_is_json_for_scripts():
    well()
    out = StringIO()
    call_command("directorstatus", "--json", stdout=out)
    assert json.loads(out.getvalue())["healthy"] is True


def test_an_unknown_parameter_is_refused():
    assert client().get(f"{URL}?verbose=1").status_code == 400
