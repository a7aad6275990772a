"""What `GET health/` and `directorstatus` say, and when they are unwell."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from celery import current_app
from django.core.management import call_command
from django.db import OperationalError
from rest_framework.test import APIClient

from django_director import health
from django_director.clock import Now, later
from django_director.engine import hold, unwritten
from django_director.engine.supervise import LEASE_NAME, Supervisor
from django_director.models import Lease, Worker
from tests import factories

from .engine import driver

pytestmark = pytest.mark.django_db
URL = "/director/api/health/"


@pytest.fixture(autouse=True)
def broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(current_app.conf, "broker_url", "memory://")
    monkeypatch.setenv("CELERY_BROKER_URL", "memory://")


def well() -> None:
    assert Supervisor("one")._acquire()
    Worker.objects.create(key=1, name="celery@host", started_at=Now(), seen_at=Now())


def status() -> tuple[int, str]:
    out = StringIO()
    try:
        call_command("directorstatus", stdout=out)
    except SystemExit as end:
        return int(end.code or 0), out.getvalue()
    return 0, out.getvalue()


def client() -> APIClient:
    made = APIClient()
    made.force_authenticate(factories.make_user("ann", "view_run"))
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


@pytest.mark.parametrize("beat", [None, -health.OLD_TICK - 5], ids=["none", "an old tick"])
def test_nobody_supervises(beat: float | None):
    if beat is not None:
        Lease.objects.create(name=LEASE_NAME, holder="one", until=later(100), beat_at=later(beat))
    response = client().get(URL)
    assert response.status_code == 503
    (problem,) = response.data["problems"]
    assert "no supervisor" in problem
    assert "superviseworkflows" in problem
    code, text = status()
    assert code == 1
    assert problem in text


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


def test_a_database_that_does_not_answer(monkeypatch):
    def refuse() -> Any:
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
    run.tasks.filter(step="B").update(queued_at=later(-900), next_dispatch_at=later(hold.FAR))
    Worker.objects.update(seen_at=later(-60))
    found = client().get(URL).data
    assert 90 <= found["oldest_queued"]["seconds"] < 120, "B waits for a resume, not for a worker"
    assert "counts as lost" in status()[1]


def test_it_is_json_for_scripts():
    well()
    out = StringIO()
    call_command("directorstatus", "--json", stdout=out)
    assert json.loads(out.getvalue())["healthy"] is True


def test_an_unknown_parameter_is_refused():
    assert client().get(f"{URL}?verbose=1").status_code == 400
