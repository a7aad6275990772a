"""What one permission does not give along, and names that a project hides."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from django.contrib.auth.models import Group
from django.core.management import CommandError, call_command
from django.test import Client

import django_director
from django_director.authorization import by_permissions
from django_director.exceptions import Conflict
from django_director.models import Run
from django_director.testing import run_workflow
from tests import factories
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
    live = without.get(f"{ADMIN}/run/{run.pk}/live/").json()
    assert (live["rows"], live["boxes"], live["asked"]) == ([], [], "")


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
