"""What one permission does not give along, and names that a project hides."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

import django_director
from django_director.access.authorization import by_permissions
from django_director.exceptions import Conflict
from django_director.models import Run
from django_director.testing import run_workflow
from tests import factories
from tests.asking import asked
from tests.factories import child, definition, make_workflow

pytestmark = pytest.mark.django_db

API, ADMIN = "/director/api", "/admin/django_director"
HIDDEN = "secret.MERGER"


def hides(user, action, workflow=None):
    return by_permissions(user, action, workflow) and (workflow is None or workflow.name != HIDDEN)


@pytest.fixture
def client_of():
    def make(*permissions, name="eve"):
        client = Client()
        client.user = factories.make_user(name, *permissions)
        client.user.is_staff = True
        client.user.save()
        client.force_login(client.user)
        return client

    return make


def post(client, path, data):
    return client.post(f"{API}/{path}", json.dumps(data), content_type="application/json")


def test_a_relaunch_with_another_payload_is_a_start(client_of):
    run = factories.make_run(status="failed", payload={"order": 7})
    retries = ("view_run", "view_payload", "retry_run")
    client, starter = client_of(*retries), client_of(*retries, "run_workflow", name="sam")
    path, form = f"runs/{run.pk}/relaunch/", f"{ADMIN}/run/{run.pk}/relaunch_with_changes/"
    assert post(client, path, {"payload": {"order": 8}}).status_code == 403
    assert post(client, path, {"payload": {}}).status_code == 403
    assert client.get(form).status_code == client.post(form, {"payload": "{}"}).status_code == 403
    assert "relaunch_with_changes" not in client.get(f"{ADMIN}/run/{run.pk}/change/").content.decode()
    with pytest.raises(CommandError, match="run_workflow"):
        call_command("relaunchworkflow", str(run.pk), '{"order": 8}', "--user", "eve", stdout=StringIO())
    assert Run.objects.count() == 1
    assert post(client, path, {}).status_code == 201
    assert post(client, path, {"payload": {"order": 7}}).status_code == 201
    assert post(starter, path, {"payload": {"order": 8}}).status_code == 201
    assert starter.get(form).status_code == 200


def test_last_runs_in_the_list_of_workflows_ask_for_view_run(client_of):
    run = factories.make_run(status="failed")
    page = client_of("view_workflow").get(f"{ADMIN}/workflow/").content.decode()
    assert "shop.ORDER" in page
    assert str(run.pk) not in page
    assert (
        str(run.pk)
        in client_of("view_workflow", "view_run", name="sam").get(f"{ADMIN}/workflow/").content.decode()
    )


def test_tasks_on_the_page_of_a_run_ask_for_view_task(client_of):
    run = factories.make_run(
        make_workflow(definition("a.B", "STEP_ONE", "STEP_TWO")), "running", {"STEP_ONE": "failed"}
    )
    without, sees = client_of("view_run"), client_of("view_run", "view_task", name="sam")
    for face in ("change", "live"):
        address = f"{ADMIN}/run/{run.pk}/{face}/"
        assert "STEP_" not in without.get(address).content.decode(), face
        assert str(run.tasks.first().pk) not in without.get(address).content.decode(), face
        assert "STEP_" in sees.get(address).content.decode(), face


@pytest.fixture
def hidden(settings):
    settings.DIRECTOR = {**settings.DIRECTOR, "AUTHORIZE": f"{__name__}.hides"}
    factories.make_run(status="failed", tasks={"A": "failed"})
    return factories.make_run(make_workflow(HIDDEN), "failed", {"A": "failed"})


EVERYTHING = ("view_workflow", "view_run", "view_task", "run_workflow", "cancel_run", "retry_run", "approve_task")


def test_a_hidden_name_shows_nowhere(hidden, client_of):
    client = client_of(*EVERYTHING)
    for path in (f"{ADMIN}/run/", f"{ADMIN}/task/", f"{ADMIN}/workflow/", f"{API}/workflows/", f"{API}/runs/"):
        page = client.get(path).content.decode()
        assert "shop.ORDER" in page, path
        assert HIDDEN not in page, path
    assert "shop.ORDER" in client.get(f"{API}/workflows/shop.ORDE/").json()["detail"]
    assert HIDDEN not in client.get(f"{API}/workflows/secret.MERGE/").json()["detail"]


def test_what_is_hidden_answers_as_what_is_not_there(hidden, client_of):
    client = client_of(*EVERYTHING)
    task, nobody = hidden.tasks.first().pk, "00000000-0000-7000-8000-000000000000"
    for method, path, there, absent in [
        ("get", "workflows/{}/", HIDDEN, "secret.MERGES"),
        ("post", "workflows/{}/runs/", HIDDEN, "secret.MERGES"),
        ("get", "runs/{}/", hidden.pk, nobody),
        ("post", "runs/{}/cancel/", hidden.pk, nobody),
        ("get", "runs/{}/tasks/", hidden.pk, nobody),
        ("get", "tasks/{}/", task, nobody),
        ("post", "tasks/{}/skip/", task, nobody),
        ("post", "tasks/{}/approve/", task, nobody),
    ]:
        answers = [getattr(client, method)(f"{API}/{path.format(each)}") for each in (there, absent)]
        assert [answer.status_code for answer in answers] == [404, 404], path
        texts = {
            answer.content.decode().replace(str(each), "X")
            for answer, each in zip(answers, (there, absent), strict=True)
        }
        assert len(texts) == 1, texts


def test_a_filter_knows_no_hidden_name(hidden, client_of):
    client = client_of(*EVERYTHING)
    answers = [client.get(f"{API}/runs/", {"workflow": name}) for name in (HIDDEN, "secret.MERGE")]
    assert [answer.status_code for answer in answers] == [400, 400]
    texts = [answer.content.decode().replace(HIDDEN, "X").replace("secret.MERGE", "X") for answer in answers]
    assert texts[0] == texts[1]
    assert client.get(f"{API}/runs/", {"workflow": "shop.ORDER"}).status_code == 200


def test_who_has_no_permission_learns_no_names_by_404(client_of):
    factories.make_run()
    client = client_of()
    for path in ("workflows/shop.ORDER/", "workflows/shop.ORDE/", "runs/00000000-0000-7000-8000-000000000000/"):
        answer = client.get(f"{API}/{path}")
        assert answer.status_code == 403, path
        assert "did you mean" not in answer.content.decode()
    starter = client_of("run_workflow", name="sam")
    assert "did you mean" not in starter.post(f"{API}/workflows/shop.ORDE/runs/").content.decode()


def test_an_idempotency_key_belongs_to_its_user(client_of):
    make_workflow("shop.ORDER")
    permissions = ("run_workflow", "view_payload")
    ann, eve = client_of(*permissions, name="ann"), client_of(*permissions)
    header = {"Idempotency-Key": "k1"}
    first = ann.post(f"{API}/workflows/shop.ORDER/runs/", headers=header)
    assert first.status_code == 201
    assert ann.post(f"{API}/workflows/shop.ORDER/runs/", headers=header).status_code == 200
    answer = eve.post(f"{API}/workflows/shop.ORDER/runs/", headers=header)
    assert answer.status_code == 409
    assert first.json()["id"] not in answer.content.decode()
    with pytest.raises(Conflict, match="used by another user"):
        django_director.start("shop.ORDER", idempotency_key="k1")


@pytest.mark.parametrize(
    ("user", "outcome"),
    [("member", "success"), ("outsider", "failed"), ("superuser", "success"), (None, "success")],
)
def test_a_child_run_asks_for_the_groups_of_who_started_the_root(user, outcome, director):
    make_workflow(definition("a.CHILD", "NOOP", allowed_groups=("ops",)))
    make_workflow(definition("a.MIDDLE", child("M", "a.CHILD")))
    make_workflow(definition("a.ROOT", child("R", "a.MIDDLE")))
    who = None if user is None else factories.make_user(user)
    if user == "member":
        who.groups.add(Group.objects.create(name="ops"))
    if user == "superuser":
        who.is_superuser = True
        who.save()
    run = run_workflow("a.ROOT", user=who)
    assert run.status == outcome
    assert ("is in none of the groups ops" in run.error) == (outcome == "failed")


WRITTEN = "4111-is-stolen"
"""What code or people have written, and who may not see payloads must not read."""


@pytest.fixture
def written():
    """A run whose tasks carry such a text in every column that holds one."""
    approval = factories.approval("OK", prompt="Ship it?")
    run = factories.make_run(make_workflow(definition("a.B", "A", "S", approval)), "failed", {"A": "failed"})
    by_step = {task.step: run.tasks.filter(pk=task.pk) for task in run.tasks.all()}
    by_step["A"].update(
        error=f"ValueError: {WRITTEN}",
        reason=f"attempt 1 of 3 failed: ValueError: {WRITTEN}",
        progress={"done": 1, "total": 2, "message": WRITTEN},
        result={"said": WRITTEN},
        traceback=WRITTEN,
    )
    by_step["S"].update(status="skipped", finished_at=timezone.now(), reason=f"skipped by ann: {WRITTEN}")
    decision = {"approved": False, "by": "ann", "comment": WRITTEN, "at": "2026-01-01T00:00:00Z"}
    by_step["OK"].update(
        status="failed",
        finished_at=timezone.now(),
        reason=f"rejected by ann: {WRITTEN}",
        error=f"Rejected by ann: {WRITTEN}",
        decision=decision,
    )
    run.error = f"OK: Rejected by ann: {WRITTEN}"
    run.save(update_fields=["error"])
    return run


def test_what_is_written_about_tasks_asks_for_view_payload_on_every_face(written, client_of):
    without, sees = client_of(*EVERYTHING), client_of(*EVERYTHING, "view_payload", name="sam")
    run, tasks = f"runs/{written.pk}/", [f"tasks/{task.pk}/" for task in written.tasks.all()]
    pages = [f"{API}/{path}" for path in ("runs/", run, f"{run}tasks/", f"{run}graph/", *tasks)]
    pages += [f"{ADMIN}/{path}" for path in ("run/", "task/", "workflow/")]
    pages += [f"{ADMIN}/run/{written.pk}/{page}/" for page in ("change", "live", "history", "retry", "relaunch")]
    pages += [f"{ADMIN}/task/{task.pk}/{page}/" for task in written.tasks.all() for page in ("change", "history")]
    shown = {page: sees.get(page).content.decode() for page in pages}
    assert sum(WRITTEN in text for text in shown.values()) >= 9
    assert all(sees.get(page).status_code == 200 for page in pages)
    assert [page for page in pages if WRITTEN in without.get(page).content.decode()] == []
    of_a, of_ok = (without.get(f"{API}/tasks/{written.tasks.get(step=step).pk}/").json() for step in ("A", "OK"))
    assert (of_a["error"], of_a["reason"]) == ("ValueError", "attempt 1 of 3 failed")
    assert of_a["progress"] == {"done": 1, "total": 2, "message": ""}
    assert (of_ok["reason"], of_ok["decision"]["by"], of_ok["decision"]["comment"]) == (
        "rejected by ann",
        "ann",
        "",
    )
    refusal = post(without, f"tasks/{written.tasks.get(step='OK').pk}/approve/", {})
    assert refusal.status_code == 409
    assert "rejected by ann" in refusal.json()["detail"]
    assert WRITTEN not in refusal.content.decode()


@pytest.mark.parametrize("face", ["API", "admin", "command"])
def test_a_comment_on_a_task_is_in_no_history(face, client_of):
    run, task = asked()
    client = client_of(*EVERYTHING, "view_payload")
    if face == "API":
        assert post(client, f"tasks/{task.pk}/reject/", {"comment": WRITTEN}).status_code == 200
    elif face == "admin":
        data = {"comment": WRITTEN, "asked": task.sequence}
        assert client.post(f"{ADMIN}/task/{task.pk}/reject/", data).status_code == 302
    else:
        call_command(
            "approvetask", str(task.pk), "--reject", "--comment", WRITTEN, "--user", "eve", stdout=StringIO()
        )
    assert run.tasks.get(pk=task.pk).decision["comment"] == WRITTEN
    messages = list(LogEntry.objects.values_list("change_message", flat=True))
    assert any("Rejected" in message for message in messages)
    assert not any(WRITTEN in message for message in messages)
