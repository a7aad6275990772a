import json

import pytest
from django.contrib.admin.models import LogEntry
from django.db import OperationalError, connection

from django_director.models import Run
from tests import factories

pytestmark = pytest.mark.django_db(transaction=True)

API = "/director/api"
SCHEMA = {
    "type": "object",
    "properties": {"order": {"type": "integer"}, "amount": {"type": "number", "default": 5}},
    "required": ["order"],
}


@pytest.fixture
def workflow():
    return factories.make_workflow(factories.definition("shop.ORDER", "A", "B", schema=SCHEMA))


def start(client, payload, key=None, **more):
    headers = {"Idempotency-Key": key} if key else {}
    return client.post(
        f"{API}/workflows/shop.ORDER/runs/", {"payload": payload} | more, format="json", headers=headers
    )


def test_start(workflow, operator):
    response = start(operator, {"order": 7}, comment="please")
    assert response.status_code == 201
    run = Run.objects.get()
    shown = response.json()
    assert shown["id"] == str(run.pk)
    assert (shown["trigger"], shown["user"], shown["comment"]) == ("api", "olga", "please")
    assert shown["payload"] == {"order": 7, "amount": 5}
    entry = LogEntry.objects.get()
    assert (entry.object_id, entry.user, entry.change_message) == (
        str(run.pk),
        operator.user,
        "Started (API)",
    )


def test_the_payload_is_not_shown_to_who_may_only_start(workflow, client_of):
    shown = start(client_of("run_workflow"), {"order": 7}).json()
    assert (shown["status"], shown["payload"]) == ("running", None)


def test_the_same_key_starts_once(workflow, operator):
    first = start(operator, {"order": 7}, key="k")
    again = start(operator, {"order": 7}, key="k")
    other = start(operator, {"order": 8}, key="k")
    assert (first.status_code, again.status_code, other.status_code) == (201, 200, 409)
    assert first.json()["id"] == again.json()["id"]
    assert first.json()["id"] in other.json()["detail"]
    assert Run.objects.count() == LogEntry.objects.count() == 1


def test_a_wrong_payload_lists_its_errors(workflow, operator):
    response = start(operator, {"amount": "much"})
    assert response.status_code == 400
    assert len(response.json()["errors"]) == 2
    assert all(set(error) == {"path", "message"} for error in response.json()["errors"])
    assert not Run.objects.exists()


@pytest.mark.fault(25)
@pytest.mark.parametrize(
    "body",
    [
        *("{", "[1]", '"text"', "7", "\xff", '{"payload": NaN}', '{"payload": {"order": 1e999}}'),
        '{"payload": {"order": 1, "x": "\\u0000"}}',
        '{"payload": {"order": 1, "x": "\\ud800"}}',
        '{"payload": {"order": 1' + "0" * 5000 + "}}",
        '{"payload": {"order": 1}, "comment": "' + "x" * 1001 + '"}',
        '{"payload": {"order": 1}, "comment": "\\u0000"}',
        '{"payload": ' + "[" * 900 + "]" * 900 + "}",
        '{"payload": ' + "[" * 100_000 + "]" * 100_000 + "}",
    ],
)
def test_a_malformed_body_is_a_400(workflow, operator, body):
    response = operator.post(
        f"{API}/workflows/shop.ORDER/runs/", body.encode("latin-1"), content_type="application/json"
    )
    assert response.status_code == 400, response.content[:500]
    assert response.json()["detail"]
    assert not Run.objects.exists()


@pytest.mark.parametrize(
    ("action", "body", "key", "message"),
    [
        ("start", {"count": 3}, "count", "known are comment, payload"),
        ("start", {"paylod": {"order": 7}}, "paylod", "did you mean “payload”?"),
        ("start", {"payload": {"order": 7}, "idempotency_key": "k"}, "idempotency_key", "header Idempotency-Key"),
        ("start", {"payload": {"order": 7}, "Idempotency-Key": "k"}, "Idempotency-Key", "header Idempotency-Key"),
        ("start", {"payload": {"order": 7}, "\ud800" + "x" * 5000: 1}, "?" + "x" * 99, "known are"),
        ("cancel", {"forse": True}, "forse", "did you mean “force”?"),
        ("retry", {"force": True}, "force", "takes none"),
        ("pause", {"force": True}, "force", "takes none"),
        ("resume", {"force": True}, "force", "takes none"),
        ("relaunch", {"paylod": {"order": 7}}, "paylod", "did you mean “payload”?"),
        ("relaunch", {"verson": "same"}, "verson", "did you mean “version”?"),
    ],
)
def test_an_unknown_key_is_a_400_and_changes_nothing(workflow, operator, action, body, key, message):
    run = factories.make_run(workflow, "running" if action == "cancel" else "failed", payload={"order": 1})
    before = list(Run.objects.values("pk", "status", "stop"))
    path = "workflows/shop.ORDER/runs/" if action == "start" else f"runs/{run.pk}/{action}/"
    response = operator.post(f"{API}/{path}", json.dumps(body), content_type="application/json")
    assert response.status_code == 400
    assert response.json()["detail"] == "invalid request"
    errors = {error["path"]: error["message"] for error in response.json()["errors"]}
    assert list(errors) == [key]
    assert "unknown key" in errors[key]
    assert message in errors[key]
    assert list(Run.objects.values("pk", "status", "stop")) == before


def test_a_body_full_of_unknown_keys_gets_a_short_answer(workflow, operator):
    response = start(operator, {"order": 7}, **{f"key{number}": 1 for number in range(5000)})
    assert response.status_code == 400
    assert len(response.json()["errors"]) == 20


def test_a_huge_body_is_refused_before_it_is_read(workflow, operator, settings):
    settings.DIRECTOR = {"MAX_PAYLOAD": 1024}
    assert start(operator, {"order": 1, "x": "y" * 100_000}).status_code == 413
    assert start(operator, {"order": 1, "x": "y" * 2000}).status_code == 400


def test_a_body_that_django_itself_refuses_is_told_as_any_other(workflow, operator, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 2_000
    response = start(operator, {"order": 1, "x": "y" * 3_000})
    assert response.status_code == 413
    assert response.json() == {"detail": "the body is larger than the project's DATA_UPLOAD_MAX_MEMORY_SIZE"}


@pytest.mark.parametrize("key", [" ", "k" * 201])
def test_a_key_that_can_not_be_kept_is_refused(workflow, operator, key):
    response = operator.post(
        f"{API}/workflows/shop.ORDER/runs/",
        {"payload": {"order": 1}},
        format="json",
        HTTP_IDEMPOTENCY_KEY=key.strip(),
    )
    assert response.status_code == 400
    assert response.json()["errors"][0]["path"] == "Idempotency-Key"


def test_an_unknown_workflow_is_a_404_and_an_inactive_one_too(workflow, operator):
    response = operator.post(f"{API}/workflows/shop.ODER/runs/")
    assert response.status_code == 404
    assert "did you mean “shop.ORDER”?" in response.json()["detail"]
    workflow.is_active = False
    workflow.save(update_fields=["is_active"])
    assert start(operator, {"order": 1}).status_code == 404


def test_cancel_retry_relaunch(workflow, operator):
    run = start(operator, {"order": 7}).json()["id"]
    assert operator.post(f"{API}/runs/{run}/retry/").status_code == 409
    canceled = operator.post(f"{API}/runs/{run}/cancel/")
    assert (canceled.status_code, canceled.json()["status"]) == (200, "canceled")
    again = operator.post(f"{API}/runs/{run}/cancel/")
    assert again.status_code == 409
    assert "canceled" in again.json()["detail"]
    retried = operator.post(f"{API}/runs/{run}/retry/")
    assert (retried.status_code, retried.json()["status"]) == (200, "running")
    relaunched = operator.post(f"{API}/runs/{run}/relaunch/")
    assert relaunched.status_code == 201
    assert (relaunched.json()["relaunched_from"], relaunched.json()["trigger"]) == (run, "relaunch")
    assert relaunched.json()["payload"] == {"order": 7, "amount": 5}
    messages = LogEntry.objects.order_by("pk").values_list("change_message", flat=True)
    assert list(messages) == [
        "Started (API)",
        "Canceled (API)",
        "Retried (API)",
        f"Relaunched from {run} (API)",
        f"Relaunched as {relaunched.json()['id']} (API)",
    ]


@pytest.fixture
def failed():
    run = factories.make_run(factories.make_workflow(), "failed", {"A": "failed", "B": "upstream_failed"})
    return run, run.tasks.get(step="A")


def test_rerun(failed, operator):
    run, task = failed
    answer = operator.post(f"{API}/tasks/{task.pk}/rerun/")
    assert (answer.status_code, answer.json()["status"], answer.json()["step"]) == (200, "queued", "A")
    again = operator.post(f"{API}/tasks/{task.pk}/rerun/")
    assert again.status_code == 409
    assert again.json()["detail"] == (
        f"task “A” of run {run.pk} can't be rerun: the run is running; wait for its outcome, or cancel it"
    )
    messages = LogEntry.objects.order_by("pk").values_list("object_id", "change_message")
    assert list(messages) == [(str(task.pk), "Rerun (API)"), (str(run.pk), "A: Rerun (API)")]


def test_skip(failed, operator):
    _run, task = failed
    answer = operator.post(f"{API}/tasks/{task.pk}/skip/", {"comment": "by hand"}, format="json")
    assert (answer.status_code, answer.json()["status"]) == (200, "skipped")
    assert answer.json()["reason"] == "skipped by olga: by hand"
    assert operator.post(f"{API}/tasks/{task.pk}/skip/").status_code == 409
    assert operator.get(f"{API}/runs/{task.run_id}/").json()["status"] == "running"


def test_a_task_that_is_not_there_is_a_404(operator):
    for verb in ("rerun", "skip"):
        for name in ("00000000-0000-0000-0000-000000000000", "A"):
            assert operator.post(f"{API}/tasks/{name}/{verb}/").status_code == 404


@pytest.mark.parametrize(
    ("verb", "body"), [("rerun", {"comment": "x"}), ("skip", {"coment": "x"}), ("skip", {"comment": "x" * 1001})]
)
def test_what_a_task_is_not_told_is_a_400(failed, operator, verb, body):
    run, task = failed
    assert operator.post(f"{API}/tasks/{task.pk}/{verb}/", body, format="json").status_code == 400
    assert Run.objects.get(pk=run.pk).generation == 0


def test_pause_and_resume(workflow, operator):
    run = start(operator, {"order": 7}).json()["id"]
    assert operator.post(f"{API}/runs/{run}/resume/").status_code == 409
    paused = operator.post(f"{API}/runs/{run}/pause/")
    assert (paused.status_code, paused.json()["status"]) == (200, "paused")
    assert operator.post(f"{API}/runs/{run}/pause/").status_code == 409
    assert [listed["id"] for listed in operator.get(f"{API}/runs/?status=paused").json()["results"]] == [run]
    resumed = operator.post(f"{API}/runs/{run}/resume/")
    assert (resumed.status_code, resumed.json()["status"]) == (200, "running")
    messages = LogEntry.objects.order_by("pk").values_list("change_message", flat=True)
    assert list(messages) == ["Started (API)", "Paused (API)", "Resumed (API)"]


def test_relaunch_with_another_payload_and_the_old_version(workflow, operator):
    run = start(operator, {"order": 7}).json()["id"]
    factories.make_workflow(factories.definition("shop.ORDER", "A", schema=SCHEMA))
    url = f"{API}/runs/{run}/relaunch/"
    body = {"payload": {"order": 8}, "version": "same", "comment": "another order"}
    new = operator.post(url, body, format="json").json()
    assert (new["version"], new["payload"]["order"], new["comment"]) == (1, 8, "another order")
    assert operator.post(url).json()["version"] == 2
    assert operator.post(url, {"payload": {}}, format="json").status_code == 400
    assert operator.post(url, {"version": "newest"}, format="json").status_code == 400


def test_forms_work_as_json_does(workflow, operator):
    response = operator.post(f"{API}/workflows/shop.ORDER/runs/", {"payload": json.dumps({"order": 7})})
    assert response.status_code == 201, response.content
    run = response.json()["id"]
    assert operator.post(f"{API}/runs/{run}/cancel/", {"csrfmiddlewaretoken": "t"}).status_code == 200
    assert operator.post(f"{API}/runs/{run}/retry/", {"forse": "1"}).status_code == 400


def test_a_database_that_does_not_answer_is_a_503(workflow, operator):
    def away(execute, sql, params, many, context):
        raise OperationalError("server closed the connection unexpectedly")

    with connection.execute_wrapper(away):
        response = operator.get(f"{API}/runs/")
    assert response.status_code == 503
    assert "database" in response.json()["detail"]
