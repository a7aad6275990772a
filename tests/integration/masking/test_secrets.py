"""Secrets of a run's payload, in everything that its tasks and we ourselves say."""

from __future__ import annotations

import json
import logging
import traceback
from io import StringIO
from typing import Any

import pytest
from celery import shared_task
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client

import django_director
from django_director.definitions import Concurrency, Retry
from django_director.exceptions import InvalidPayload
from django_director.masking.values import MASKED, mask
from django_director.models import Attempt, Run, TaskLog
from django_director.presentation import visible_errors
from django_director.presentation.serializers import run_as_json
from django_director.testing import run_workflow
from tests import factories
from tests.factories import child, definition, make_workflow, mapped, step

pytestmark = pytest.mark.django_db

PASSWORD = "hunter2-Pa55"
SCHEMA = {
    "type": "object",
    "properties": {
        "ssn": {"type": "string", "writeOnly": True, "pattern": "^[0-9]+$"},
        "pin": {"type": "integer"},
    },
}
SEEN_AS = logging.getLogger("tests.secrets")
PROGRESS: list[Any] = []


@shared_task(name="tests.secrets.TELL")
def tell(payload: Any, **kwargs: Any) -> None:
    SEEN_AS.warning("logging in with %s", payload)
    context = django_director.context()
    assert context is not None
    context.progress(1, 2, f"as {payload['password']}")
    PROGRESS.append(Run.objects.get(pk=context.run_id).tasks.get(step="A").progress)
    raise ValueError(f"{payload['password']!r} was refused, {payload.get('ssn')}")


@shared_task(name="tests.secrets.GIVE")
def give(payload: Any) -> Any:
    return {"token": "t0ken-of-result", "said": f"by {payload['password']}", "rows": 3}


@shared_task(name="tests.secrets.OWN")
def own(key: str, api_key: str) -> None:
    raise ValueError(f"{key} {api_key}")


def flow(*steps: Any, schema: Any = SCHEMA) -> None:
    make_workflow(definition("test.SECRET", *steps, schema=schema))


def stored_texts() -> str:
    """Everything that the database holds of the attempts."""
    rows = [*Run.objects.values_list("error"), *Attempt.objects.values_list("error", "traceback")]
    rows += TaskLog.objects.values_list("text")
    for run in Run.objects.all():
        rows += run.tasks.values_list("error", "traceback", "reason", "progress")
    return json.dumps([list(row) for row in rows])


def test_errors_tracebacks_log_lines_and_progress_hold_no_secret_of_the_payload():
    PROGRESS.clear()
    flow(step("A", task="tests.secrets.TELL", retry=Retry(max=1, delay=0)))
    run = run_workflow("test.SECRET", {"password": PASSWORD, "ssn": "123456789"})
    assert run.tasks.get().attempts.count() == 1
    assert run.error == f"A: ValueError: '{MASKED}' was refused, {MASKED}"
    assert TaskLog.objects.count() == 2
    assert PROGRESS[0]["message"] == f"as {MASKED}"
    texts = stored_texts()
    assert PASSWORD not in texts
    assert "123456789" not in texts
    assert "logging in with" in texts


def test_arguments_under_secret_keys_are_replaced_too():
    flow(step("A", task="tests.secrets.OWN", kwargs={"key": "open-text", "api_key": "k-1234567"}))
    run = run_workflow("test.SECRET", {})
    assert run.error == f"A: ValueError: open-text {MASKED}"


@shared_task(name="tests.secrets.TELL_ITEM")
def tell_item(item: Any) -> None:
    SEEN_AS.warning("at %s", item)
    raise ValueError(f"{item['ssn']} was refused")


def test_texts_about_an_item_of_a_map_hold_no_secret_of_the_payload():
    schema = {"properties": {"items": {"items": SCHEMA}}}
    flow(mapped("M", step("A", task="tests.secrets.TELL_ITEM")), schema=schema)
    run = run_workflow("test.SECRET", {"items": [{"ssn": "123456789", "n": "open"}]})
    assert run.tasks.get(step="A").error == f"ValueError: {MASKED} was refused"
    assert "123456789" not in stored_texts()
    assert "open" in stored_texts()


def test_what_celery_logs_of_a_step_holds_no_secret(caplog):
    caplog.set_level(logging.INFO, "celery.app.trace")
    flow(step("A", task="tests.secrets.GIVE"), step("B", task="tests.secrets.TELL"))
    run = run_workflow("test.SECRET", {"password": PASSWORD})
    assert run.tasks.get(step="A").result["token"] == "t0ken-of-result"
    lines = [logging.Formatter().format(record) for record in caplog.records if record.name == "celery.app.trace"]
    assert any("succeeded" in line and f"'token': '{MASKED}'" in line and "'rows': 3" in line for line in lines)
    assert any("raised unexpected" in line and "Traceback" in line and MASKED in line for line in lines)
    assert not any(PASSWORD in line or "t0ken-of-result" in line for line in lines)
    data = [record.data for record in caplog.records if hasattr(record, "data")]
    assert data
    assert PASSWORD not in str(data)


def test_what_celery_logs_of_other_tasks_is_as_it_was(caplog):
    caplog.set_level(logging.INFO, "celery.app.trace")
    give.apply(kwargs={"payload": {"password": PASSWORD}}, throw=True)
    assert "t0ken-of-result" in caplog.text


@pytest.mark.parametrize(
    ("payload", "path"),
    [({"ssn": "not-a-number"}, "$.ssn"), ({"pin": "12a4"}, "$.pin"), ({"ssn": ["12a4"]}, "$.ssn")],
)
def test_a_refused_payload_quotes_no_secret(payload, path):
    flow("NOOP")
    with pytest.raises(InvalidPayload) as caught:
        run_workflow("test.SECRET", payload)
    assert caught.value.errors[0]["path"] == path
    assert "not-a-number" not in str(caught.value)
    assert "12a4" not in str(caught.value)


def test_a_value_around_a_secret_is_quoted_without_it():
    flow(
        "NOOP",
        schema={"type": "object", "properties": {"login": {"maxProperties": 1}, "size": {"type": "integer"}}},
    )
    with pytest.raises(InvalidPayload) as caught:
        run_workflow("test.SECRET", {"login": {"user": "ann", "password": PASSWORD}, "size": "big"})
    text = str(caught.value)
    assert PASSWORD not in text
    assert '"user": "ann"' in text
    assert '"big" is not an integer' in text


def test_a_child_refused_by_its_schema_quotes_no_secret():
    make_workflow(definition("test.CHILD", "NOOP", schema=SCHEMA))
    flow(child("A", "test.CHILD", payload={"ssn": "not-a-number"}), schema=None)
    run = run_workflow("test.SECRET", {})
    assert "can't be started" in run.error
    assert "$.ssn" in run.error
    assert "not-a-number" not in run.error


def test_a_relaunch_quotes_nothing_of_a_payload_that_its_caller_may_never_have_seen(client):
    run = factories.make_run(make_workflow("test.SECRET"), "failed", {"A": "failed"}, payload={"size": "Pa55"})
    flow("A", "B", schema={"type": "object", "properties": {"size": {"type": "integer"}}})
    with pytest.raises(InvalidPayload) as caught:
        django_director.relaunch(run)
    assert caught.value.errors == [{"path": "$.size", "message": "it does not fit `type`"}]
    assert "Pa55" not in str(caught.value)
    with pytest.raises(InvalidPayload, match='"Pa56" is not an integer'):
        django_director.relaunch(run, {"size": "Pa56"})
    client.force_login(factories.make_user("eve", "retry_run", "view_run"))
    assert "Pa55" not in client.post(f"/director/api/runs/{run.pk}/relaunch/").content.decode()


ERRORS = {
    "ValueError: Pa55": "ValueError",
    "ValueError": "ValueError",
    "ValueError:": "ValueError",
    "ValueError:\nPa55": "ValueError",
    "Rejected by ann: Pa55": "Rejected by ann",
    "2 of 10 items failed": "2 of 10 items failed",
    "": "",
}


@pytest.mark.parametrize(("error", "shown"), ERRORS.items())
def test_the_class_of_an_error_is_what_anybody_may_see(error, shown):
    assert visible_errors.of_task(error, sees_payload=False) == shown
    assert visible_errors.of_task(error, sees_payload=True) == error
    run = Run(error=f"A[3]: {error}" if error else "")
    assert visible_errors.of_run(run, sees_payload=False) == (f"A[3]: {shown}" if error else "")


def test_why_a_run_was_stopped_may_be_seen():
    for error in ("TimeLimitExceeded: the run took longer than 3 s", "canceled: run 7 has taken its place"):
        assert visible_errors.of_run(Run(error=error), sees_payload=False) == error


@pytest.fixture
def failed():
    run = factories.make_run(status="failed", tasks={"A": "failed"}, error="A: ValueError: Pa55")
    task = run.tasks.get(step="A")
    run.tasks.filter(pk=task.pk).update(error="ValueError: Pa55", traceback="Pa55")
    Attempt.objects.create(
        task=task, number=1, outcome="failed", error="KeyError: Pa55", finished_at=run.created_at
    )
    return task


@pytest.mark.parametrize("may", [False, True])
def test_errors_on_every_face_ask_for_the_permission(failed, may):
    client = Client()
    client.user = factories.make_user("eve", "view_workflow", "view_run", "view_task", *["view_payload"] * may)
    client.user.is_staff = True
    client.user.save()
    client.force_login(client.user)
    run, admin, api = failed.run_id, "/admin/django_director", "/director/api"
    faces = [f"{admin}/task/", f"{admin}/task/{failed.pk}/change/", f"{admin}/run/{run}/change/"]
    faces += [f"{admin}/run/{run}/live/", f"{api}/runs/", f"{api}/runs/{run}/", f"{api}/runs/{run}/tasks/"]
    for face in [*faces, f"{api}/tasks/{failed.pk}/"]:
        page = client.get(face).content.decode()
        assert "ValueError" in page, face
        assert ("Pa55" in page) is may, face


SECRET_PAYLOAD = {
    "order": 7,
    "api_key": "k-1234567",
    "db": "postgres://shop:pa55w0rd@db/shop",
    "logins": [{"name": "ann", "password": PASSWORD}],
    "ssn": "123456789",
}


@pytest.fixture
def relaunch(client):
    """Relaunch a run of ``SECRET_PAYLOAD`` by the API with what ``change`` makes of the payload that it shows."""
    flow("NOOP")
    run = factories.make_run(make_workflow("test.SECRET"), "failed", payload=SECRET_PAYLOAD)
    flow("NOOP")

    def act(change, *permissions):
        client.force_login(factories.make_user(f"{User.objects.count()}", "view_run", "retry_run", *permissions))
        shown = mask(SECRET_PAYLOAD, SCHEMA)
        change(shown)
        body = json.dumps({"payload": shown})
        return client.post(f"/director/api/runs/{run.pk}/relaunch/", body, content_type="application/json")

    return act


SEES = ("view_payload", "run_workflow")


def test_stars_in_a_relaunch_stand_for_the_values_of_the_run(relaunch):
    answer = relaunch(lambda payload: payload.update(order=8), *SEES)
    assert answer.status_code == 201
    assert Run.objects.get(pk=answer.json()["id"]).payload == SECRET_PAYLOAD | {"order": 8}
    assert PASSWORD not in answer.content.decode()


def test_the_payload_as_it_is_shown_is_the_same_payload(relaunch):
    answer = relaunch(lambda payload: None, "view_payload")
    assert answer.status_code == 201
    assert Run.objects.get(pk=answer.json()["id"]).payload == SECRET_PAYLOAD


@pytest.mark.parametrize(
    "change",
    [
        lambda payload: payload.update(note=MASKED),
        lambda payload: payload["logins"].append({"name": "eve", "password": MASKED}),
        lambda payload: payload.update(other={"token": MASKED}),
        lambda payload: payload.update(db=f"postgres://eve:{MASKED}@elsewhere/shop"),
    ],
)
def test_stars_that_stand_for_nothing_are_refused(relaunch, change):
    answer = relaunch(change, *SEES)
    assert answer.status_code == 400
    assert MASKED in answer.json()["errors"][0]["message"]
    assert Run.objects.count() == 1


def test_who_may_not_see_payloads_can_not_use_hidden_values_nor_try_them(relaunch):
    assert relaunch(lambda payload: payload.update(order=8), "run_workflow").status_code == 400
    assert relaunch(lambda payload: payload.update(SECRET_PAYLOAD)).status_code == 403
    assert relaunch(lambda payload: payload.update(order=8)).status_code == 403
    assert Run.objects.count() == 1


def test_true_is_no_one_in_a_relaunch_of_the_same(client):
    run = factories.make_run(make_workflow("test.SECRET"), "failed", payload={"a": 1})
    client.force_login(factories.make_user("ann", "view_run", "view_payload", "retry_run"))
    path = f"/director/api/runs/{run.pk}/relaunch/"
    for payload, status in (({"a": True}, 403), ({"a": 1}, 201)):
        assert client.post(path, {"payload": payload}, content_type="application/json").status_code == status


@pytest.mark.parametrize("payload", [{"api_key": MASKED}, {"ssn": MASKED}, {"db": f"pg://a:{MASKED}@b"}])
def test_a_start_takes_no_stars_for_a_secret(client, payload):
    flow("NOOP")
    workflow = make_workflow(
        definition("test.SECRET", "NOOP", schema={"properties": {"ssn": {"writeOnly": True}}})
    )
    client.force_login(factories.make_admin())
    path = "/director/api/workflows/test.SECRET/runs/"
    assert client.post(path, {"payload": payload}, content_type="application/json").status_code == 400
    data = {"payload": json.dumps(payload)}
    form = client.post(f"/admin/django_director/workflow/{workflow.pk}/run/", data)
    assert form.status_code == 400
    with pytest.raises(CommandError, match="give the value itself"):
        call_command("runworkflow", "test.SECRET", json.dumps(payload))
    assert not Run.objects.exists()
    assert client.post(path, {"payload": {"note": MASKED}}, content_type="application/json").status_code == 201


def test_the_command_relaunches_with_stars_too():
    run = factories.make_run(make_workflow("test.SECRET"), "failed", payload=SECRET_PAYLOAD)
    call_command("relaunchworkflow", str(run.pk), json.dumps(mask(SECRET_PAYLOAD) | {"order": 8}))
    assert Run.objects.exclude(pk=run.pk).get().payload == SECRET_PAYLOAD | {"order": 8}
    with pytest.raises(CommandError, match="give it anew"):
        call_command("relaunchworkflow", str(run.pk), json.dumps({"note": MASKED}))


LONG = "Pa55" + "-of-many-words" * 10
KEYED = "`concurrency.key` gives no value"


def keyed(key: str, schema: Any = None) -> None:
    make_workflow(definition("test.SECRET", "NOOP", schema=schema, concurrency=Concurrency(key=key)))


@pytest.mark.parametrize("secret", [PASSWORD, LONG, 12345678])
@pytest.mark.parametrize(
    "key",
    [
        "payload.p[payload.password]",
        "payload.p[lower(str(payload.password))]",
        "payload.list[payload.password]",
        "payload.none[str(payload.password)]",
        "payload.o[payload.p.none]",
        "payload.o.none",
    ],
)
def test_a_key_that_fails_quotes_no_secret(key, secret):
    keyed(key)
    given = {"password": secret, "o": {str(secret): 1}, "p": {}, "list": [], "none": None}
    with pytest.raises(InvalidPayload, match=KEYED) as caught:
        django_director.start("test.SECRET", given)
    text = "".join(traceback.format_exception(caught.value)).lower()
    for shown in (text, json.dumps(caught.value.errors).lower()):
        assert str(secret).lower() not in shown
        assert "pa55" not in shown


def test_a_key_that_fails_quotes_what_is_no_secret_to_who_gave_it():
    keyed("payload.customr")
    with pytest.raises(InvalidPayload, match="there is `customer`"):
        django_director.start("test.SECRET", {"customer": 7})


@pytest.mark.parametrize(
    "key", ["payload.q[payload.customer]", "payload.o.none", "payload.p.none[payload.customer]"]
)
def test_a_relaunch_whose_key_fails_quotes_nothing_of_the_payload(key, client):
    given = {"customer": "zebra-street", "o": {"zebra-street": 1}, "p": {"zebra-street": None}, "q": {}}
    run = factories.make_run(make_workflow("test.SECRET"), "failed", {"A": "failed"}, payload=given)
    keyed(key)
    with pytest.raises(InvalidPayload) as caught:
        django_director.relaunch(run)
    assert "zebra" not in "".join(traceback.format_exception(caught.value))
    user = factories.make_user("eve", "retry_run", "view_run", "view_workflow")
    User.objects.filter(pk=user.pk).update(is_staff=True)
    client.force_login(user)
    said = [client.post(f"/director/api/runs/{run.pk}/relaunch/", {}, content_type="application/json")]
    page = f"/admin/django_director/run/{run.pk}/relaunch/"
    said += [client.get(page, follow=True), client.post(page, follow=True)]
    assert said[0].status_code == 400
    for response in said:
        assert "zebra" not in response.content.decode()
    assert KEYED in said[0].content.decode()
    assert KEYED in said[2].content.decode()


def test_a_relaunch_names_no_key_that_stands_in_the_payload_only():
    given = {"prices": {"zebra-street": "x"}, "rows": [{"size": "big"}]}
    run = factories.make_run(make_workflow("test.SECRET"), "failed", {"A": "failed"}, payload=given)
    rows = {"items": {"$ref": "#/$defs/row"}}
    prices = {"additionalProperties": {"type": "integer"}}
    row = {"properties": {"size": {"type": "integer"}}}
    flow("A", schema={"properties": {"prices": prices, "rows": rows}, "$defs": {"row": row}})
    with pytest.raises(InvalidPayload) as caught:
        django_director.relaunch(run)
    assert [error["path"] for error in caught.value.errors] == ["$.prices.*", "$.rows[0].size"]


@pytest.mark.parametrize("secret", [PASSWORD, LONG])
@pytest.mark.parametrize(
    "result",
    [
        "payload.m[payload.password]",
        "payload.m[upper(payload.password)]",
        "payload.m[tasks.A.result.token]",
        "payload.o.none",
    ],
)
def test_why_there_is_no_result_holds_no_secret(result, secret, caplog):
    described = definition("test.SECRET", step("A", task="tests.secrets.GIVE"), result=result)
    make_workflow(described)
    run = run_workflow("test.SECRET", {"password": secret, "m": {"openkey": 1}, "o": {secret: 1}})
    out = StringIO()
    call_command("showrun", str(run.pk), "--json", stdout=out)
    shown = json.loads(out.getvalue())["result_error"]
    assert shown == run_as_json(run, with_payload=True)["result_error"] == run.result_error
    assert shown.startswith("result: `payload")
    for text in (shown, caplog.text):
        assert secret.upper() not in text.upper()
        assert "PA55" not in text.upper()
        assert "t0ken" not in text


def test_why_there_is_no_result_names_the_keys_that_there_are():
    make_workflow(definition("test.SECRET", "NOOP", result="payload.m.opnkey"))
    run = run_workflow("test.SECRET", {"m": {"openkey": 1}})
    assert "has no `opnkey`; there is `openkey`" in run.result_error


GIVEN = {
    "type": "object",
    "properties": {
        "card": {"writeOnly": True},
        "sub": {
            "properties": {"inner": {"writeOnly": True}},
            "default": {"inner": "zebra-4"},
            "examples": [{"inner": "zebra-3"}],
            "enum": [{"inner": "zebra-4"}, {"inner": "zebra-7"}],
        },
        "arr": {
            "items": {"properties": {"z": {"writeOnly": True}}},
            "default": [{"z": "zebra-6"}],
            "examples": [[{"z": "zebra-5"}]],
        },
        "ref": {"$ref": "#/$defs/ref", "const": {"inner": "zebra-8"}},
    },
    "$defs": {"ref": {"properties": {"inner": {"writeOnly": True}}}},
    "examples": [{"card": "zebra-1"}],
    "default": {"card": "zebra-2"},
}


def test_what_a_schema_gives_to_a_secret_inside_of_a_value_shows_on_no_face(client):
    flow("NOOP", schema=GIVEN)
    client.force_login(User.objects.create_superuser("root"))
    out = StringIO()
    call_command("showworkflow", "test.SECRET", stdout=out)
    call_command("showworkflow", "test.SECRET", "--json", stdout=out)
    faces = [client.get("/director/api/workflows/test.SECRET/"), client.get("/director/api/workflows/")]
    pk = Run._meta.get_field("workflow").related_model.objects.get().pk
    faces += [client.get(f"/admin/django_director/workflow/{pk}/{page}/") for page in ("run", "change")]
    assert {face.status_code for face in faces} == {200}
    for text in (out.getvalue(), *(face.content.decode() for face in faces)):
        assert "zebra" not in text


@pytest.mark.parametrize("payload", [{"sub": {}}, {"sub": {"inner": "x"}}, {"ref": {}}, {"ref": {"inner": "x"}}])
def test_a_refused_payload_quotes_no_secret_of_the_schema(payload):
    flow("NOOP", schema=GIVEN)
    with pytest.raises(InvalidPayload, match=r"\*{8}") as caught:
        django_director.start("test.SECRET", payload)
    assert "zebra" not in str(caught.value)
