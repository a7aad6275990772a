"""Requests that look like one thing and are another: refused, for a run must start with what was meant."""

from __future__ import annotations

from io import StringIO
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

import django_director
from django_director.exceptions import Conflict
from django_director.models import Run
from tests import factories

pytestmark = pytest.mark.django_db

API = "/director/api"
START = f"{API}/workflows/shop.ORDER/runs/"
KEY = {"Idempotency-Key": "k1"}


@pytest.fixture
def workflow():
    return factories.make_workflow()


@pytest.fixture
def approver(client_of):
    permissions = ("run_workflow", "cancel_run", "retry_run", "approve_task", "view_payload", "view_run")
    return client_of(*permissions, name="olga")


def test_a_body_in_chunks_is_refused_where_its_end_is_not_known(workflow, approver):
    body, chunked = '{"payload": {"order": 7}}', {"HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_LENGTH": ""}
    answer = approver.post(START, body, content_type="application/json", **chunked)
    assert answer.status_code == 411
    assert "Content-Length" in answer.json()["detail"]
    assert not Run.objects.exists()
    assert approver.post(START, body, content_type="application/json").status_code == 201


def test_a_relaunch_takes_an_idempotency_key(workflow, approver):
    old, other = (factories.make_run(workflow, "failed", payload={"a": 1}) for _ in range(2))
    path = f"{API}/runs/{old.pk}/relaunch/"
    answers = [approver.post(path, headers=KEY) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 200]
    assert answers[0].json()["id"] == answers[1].json()["id"]
    assert Run.objects.filter(relaunched_from=old).count() == 1
    again = approver.post(path, {"payload": {"a": 2}}, format="json", headers=KEY)
    assert again.status_code == 409
    assert approver.post(f"{API}/runs/{other.pk}/relaunch/", headers=KEY).status_code == 409
    assert approver.post(START, {"payload": {"a": 1}}, format="json", headers=KEY).status_code == 409
    assert approver.post(path, headers={"Idempotency-Key": "x" * 201}).status_code == 400
    assert approver.post(path).status_code == 201


def test_a_relaunch_in_python_takes_one_too(workflow):
    old = factories.make_run(workflow, "failed")
    first, second = (django_director.relaunch(old, idempotency_key="k") for _ in range(2))
    assert (first.pk, second.created) == (second.pk, False)
    with pytest.raises(Conflict, match="used for another request"):
        django_director.start("shop.ORDER", idempotency_key="k")


def test_other_requests_refuse_an_idempotency_key_and_do_nothing(workflow, approver):
    run = factories.make_run(workflow, "running", {"A": "failed"})
    task = run.tasks.first()
    paths = [f"runs/{run.pk}/{name}/" for name in ("cancel", "pause", "resume", "retry")]
    paths += [f"tasks/{task.pk}/{name}/" for name in ("rerun", "skip", "approve", "reject")]
    for path in paths:
        answer = approver.post(f"{API}/{path}", headers=KEY)
        assert answer.status_code == 400, path
        assert answer.json()["errors"][0]["path"] == "Idempotency-Key"
    run.refresh_from_db()
    assert (run.stop, run.paused_at) == ("", None)
    assert approver.get(f"{API}/runs/{run.pk}/", headers=KEY).status_code == 200


@pytest.mark.parametrize(
    "text",
    [
        '{"payload": {"a": 1, "a": 2}}',
        '{"payload": {}, "payload": {"a": 1}}',
        '{"payload": [{"b": {"a": 1, "a": 1}}]}',
    ],
)
def test_a_key_given_twice_is_refused(workflow, approver, text):
    answer = approver.post(START, text, content_type="application/json")
    assert answer.status_code == 400
    assert "stands twice in one object" in answer.json()["detail"]
    assert not Run.objects.exists()


def test_a_form_with_a_key_given_twice_is_refused(workflow, approver):
    form = "application/x-www-form-urlencoded"
    for text in ("comment=a&comment=b", 'payload={"a": 1, "a": 2}'):
        assert approver.post(START, text, content_type=form).status_code == 400, text
    assert approver.post(START, 'payload={"a": 1}&comment=b', content_type=form).status_code == 201


def test_other_bodies_that_are_no_json_are_refused(workflow, approver):
    for text in ("{", '{"payload": NaN}', b"\xff", "[" * 100_000):
        assert approver.post(START, text, content_type="application/json").status_code == 400
    assert not Run.objects.exists()


def test_commands_refuse_a_key_given_twice(workflow):
    with pytest.raises(CommandError, match="stands twice"):
        call_command("runworkflow", "shop.ORDER", '{"a": 1, "a": 2}', stdout=StringIO())


@pytest.mark.parametrize("csrf", ["", "wrong", "right"])
@pytest.mark.parametrize(
    ("body", "status"),
    [('{"payload": ' + "[" * 950 + "]" * 950 + "}", 400), ("[" * 200_000, 413)],
    ids=["deep", "large"],
)
def test_a_body_that_the_check_of_a_session_reads_is_bounded_too(body, status, csrf, workflow, settings):
    settings.DIRECTOR = {"MAX_PAYLOAD": 10_000}
    client = Client(enforce_csrf_checks=True)
    client.force_login(factories.make_user())
    token = client.get("/admin/login/").cookies["csrftoken"].value if csrf == "right" else csrf
    client.cookies["csrftoken"] = token
    for path in ("workflows/shop.ORDER/runs/", f"runs/{uuid4()}/cancel/"):
        answer = client.post(f"{API}/{path}", body, "application/json", headers={"x-csrftoken": token})
        assert answer.status_code in (status, 403, 404), answer.content[:200]
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["Cache-Control"] == "private, no-store"
