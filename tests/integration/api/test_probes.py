"""Load balancers and monitors do not sign in: they get the status only, whatever the project's settings are."""

from __future__ import annotations

import time
from typing import Any

import pytest
from celery import current_app
from django.db import OperationalError, connection, connections
from django.test import Client
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.test import APIClient

from django_director.db.functions import Now
from django_director.engine.supervisor.loop import Supervisor
from django_director.models import Worker
from django_director.presentation import health
from tests import factories

pytestmark = pytest.mark.django_db
PING, HEALTH = "/director/api/ping/", "/director/api/health/"


@pytest.fixture(autouse=True)
def living(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(current_app.conf, "broker_url", "memory://")
    monkeypatch.setenv("CELERY_BROKER_URL", "memory://")
    assert Supervisor("one")._acquire()
    Worker.objects.create(key=1, name="celery@host", started_at=Now(), seen_at=Now())


class Strict(BaseAuthentication):
    """Refuses everybody, as an authentication of a project's own may."""

    def authenticate(self, request: Any) -> Any:
        raise AuthenticationFailed("a token is needed")


@pytest.fixture
def closed(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project that closes its API as well as it can."""
    settings.REST_FRAMEWORK = {
        "DEFAULT_AUTHENTICATION_CLASSES": [f"{__name__}.Strict"],
        "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAdminUser"],
        "DEFAULT_THROTTLE_CLASSES": ["rest_framework.throttling.AnonRateThrottle"],
        "DEFAULT_THROTTLE_RATES": {"anon": "1/day", "director": "1/day"},
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.BrowsableAPIRenderer"],
    }
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.contrib.auth.middleware.LoginRequiredMiddleware"]
    monkeypatch.setitem(connections["default"].settings_dict, "ATOMIC_REQUESTS", True)


def test_a_closed_api_answers_probes_as_often_as_they_ask(closed: None, django_assert_num_queries: Any):
    with django_assert_num_queries(0):
        found = [Client().get(PING, headers={"accept": "text/plain"}) for _ in range(3)]
    assert [(each.status_code, each.json()) for each in found] == [(200, {"message": "pong"})] * 3
    assert [Client().get(HEALTH).json() for _ in range(3)] == [{"healthy": True}] * 3
    assert Client().get(HEALTH, headers={"authorization": "Token wrong"}).json() == {"healthy": True}
    assert Client().head(HEALTH).status_code == 200


def test_many_probes_cost_as_much_as_one(django_assert_num_queries: Any):
    assert Client().get(HEALTH).status_code == 200
    with django_assert_num_queries(0):
        assert {Client().get(HEALTH).status_code for _ in range(50)} == {200}


def test_only_a_user_who_may_see_runs_sees_why(settings: Any):
    Worker.objects.all().delete()
    Supervisor("one")._leadership.release()
    asking = APIClient()
    assert (asking.get(HEALTH).status_code, asking.get(HEALTH).json()) == (503, {"healthy": False})
    asking.force_authenticate(factories.make_user("bob"))
    assert asking.get(HEALTH).json() == {"healthy": False}
    asking.force_authenticate(factories.make_user("ann", "view_run"))
    found = asking.get(HEALTH).json()
    assert "no supervisor is running" in found["problems"][0]
    assert not {"servers", "settings"} & set(found)
    asking.force_authenticate(factories.make_user("eve", "view_run", "view_payload"))
    assert {"servers", "settings"} <= set(asking.get(HEALTH).json())


def test_while_the_database_does_not_answer_the_probe_does(monkeypatch: pytest.MonkeyPatch):
    def refuse(**_: Any) -> Any:
        raise OperationalError("no more connections")

    monkeypatch.setattr(health, "_rows", refuse)
    response = Client().get(HEALTH)
    assert (response.status_code, response.json()) == (503, {"healthy": False})


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "postgresql", reason="skipped: only PostgreSQL locks a table so")
def test_while_a_table_is_locked_the_probe_answers_within_seconds():
    other = connections.create_connection("default")
    try:
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute("LOCK TABLE django_director_worker IN ACCESS EXCLUSIVE MODE")
        began = time.monotonic()
        assert Client().get(HEALTH).status_code == 503
        assert time.monotonic() - began < health.LOCK_SECONDS + 2
    finally:
        other.close()
    health._status.forget()
    assert Client().get(HEALTH).status_code == 200


def test_no_password_of_a_server_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://ann:S3CRET@127.0.0.1:1/0")
    asking = APIClient()
    asking.force_authenticate(factories.make_admin())
    response = asking.get(HEALTH)
    assert "127.0.0.1" in response.json()["servers"]["broker"]
    assert "S3CRET" not in response.content.decode()
