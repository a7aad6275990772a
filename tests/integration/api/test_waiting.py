"""Runs that wait for a slot, or got none, in the API."""

import pytest

from django_director import engine
from django_director.definitions import Concurrency
from django_director.models import Run
from tests import factories

pytestmark = pytest.mark.django_db(transaction=True)

API = "/director/api"


def define(**concurrency):
    factories.make_workflow(
        factories.definition("shop.ORDER", "A", concurrency=Concurrency(**concurrency), schema=None)
    )


def start(client, payload=None):
    return client.post(f"{API}/workflows/shop.ORDER/runs/", {"payload": payload or {}}, format="json")


def test_a_pending_run_says_what_it_waits_for(operator):
    define(key="payload.order")
    first = start(operator, {"order": 7}).json()
    assert (first["status"], first["waiting"], first["concurrency_key"]) == ("running", None, "7")
    response = start(operator, {"order": 7})
    assert response.status_code == 201
    second = response.json()
    assert (second["status"], second["started_at"], second["task_counts"]) == ("pending", None, {"pending": 1})
    assert second["waiting"] == {
        "reason": f"waits for a slot of its key, behind run {first['id']}",
        "behind": first["id"],
        "until": None,
    }
    shown = operator.get(f"{API}/runs/?status=pending").json()["results"]
    assert [run["waiting"] for run in shown] == [second["waiting"]]


def test_the_key_is_shown_as_the_payload_is(operator, client_of):
    define(key="[payload.order, payload.token]")
    run = start(operator, {"order": 7, "token": "secret"}).json()
    assert run["concurrency_key"] == "********"
    define(key="payload.order + 'X'")
    run = start(operator, {"order": "7", "token": "secret"}).json()
    assert run["concurrency_key"] == '"7X"'
    seen = client_of("view_run", name="eve").get(f"{API}/runs/{run['id']}/").json()
    assert (seen["concurrency_key"], seen["payload"]) == (None, None)


def test_a_skipped_run_says_why(operator):
    define(on_conflict="skip")
    first = start(operator).json()
    response = start(operator)
    assert response.status_code == 201
    second = response.json()
    assert (second["status"], second["task_counts"]) == ("canceled", {"canceled": 1})
    assert second["error"] == f"skipped: run {first['id']} had not ended"


def test_a_key_that_fails_is_a_bad_request(operator):
    define(key="payload.order")
    response = start(operator)
    assert response.status_code == 400
    (error,) = response.json()["errors"]
    assert error["message"].startswith("`concurrency.key` gives no value: `payload.order`, column 8: ")
    assert not Run.objects.exists()


def test_a_pending_run_is_canceled_and_a_finished_one_waits_again(operator):
    define()
    first, second = engine.start("shop.ORDER"), engine.start("shop.ORDER")
    assert operator.post(f"{API}/runs/{first.pk}/cancel/").json()["status"] == "canceled"
    third = start(operator).json()
    again = operator.post(f"{API}/runs/{first.pk}/retry/").json()
    assert again["status"] == "pending"
    assert again["waiting"]["behind"] == third["id"]
    assert operator.post(f"{API}/runs/{third['id']}/cancel/").json()["status"] == "canceled"
    second.refresh_from_db()
    assert second.status == "running"


def test_a_retry_that_would_be_skipped_is_a_conflict(operator):
    define(on_conflict="skip")
    start(operator)
    skipped = start(operator).json()
    response = operator.post(f"{API}/runs/{skipped['id']}/retry/")
    assert response.status_code == 409
    assert "can't be retried now: run" in response.json()["detail"]
