import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission

from django_director.engine.steps import timers
from django_director.models import Task
from tests.asking import asked
from tests.factories import approval

pytestmark = pytest.mark.django_db(transaction=True)

API = "/director/api"


@pytest.fixture
def decider(client_of):
    return client_of("approve_task", name="ann")


def decide(client, task, verb="approve", **data):
    return client.post(f"{API}/tasks/{task.pk}/{verb}/", data, format="json")


def test_approve(decider):
    run, task = asked()
    response = decide(decider, task, comment="fine")
    assert response.status_code == 200
    shown = response.json()
    assert (shown["status"], shown["kind"], shown["prompt"]) == ("success", "approval", "Ship this order?")
    assert shown["decision"] | {"at": ""} == {"approved": True, "by": "ann", "comment": "", "at": ""}
    assert Task.objects.get(pk=task.pk).decision["comment"] == "fine"
    assert (shown["asked_at"], shown["task"]) == (None, None)
    assert run.tasks.get(step="SHIP").status == "queued"
    entry = LogEntry.objects.get(object_id=str(task.pk))
    assert (entry.object_id, entry.user, entry.change_message) == (
        str(task.pk),
        decider.user,
        "Approved (API)",
    )


def test_reject(decider):
    run, task = asked()
    shown = decide(decider, task, "reject").json()
    assert (shown["status"], shown["error"]) == ("failed", "Rejected by ann")
    run.refresh_from_db()
    assert run.status == "failed"
    assert LogEntry.objects.get(object_id=str(run.pk)).change_message == "OK: Rejected (API)"


def test_what_a_waiting_task_shows(viewer):
    _, task = asked(approval("OK", prompt="Now?", timeout=3600), "SHIP")
    shown = viewer.get(f"{API}/tasks/{task.pk}/").json()
    assert (shown["status"], shown["reason"], shown["decision"]) == ("waiting", "waits for approval", None)
    assert shown["asked_at"].endswith("Z")
    assert shown["waits_until"] > shown["asked_at"]


def test_who_comes_second_gets_a_409(decider, client_of):
    run, task = asked()
    decide(decider, task)
    response = decide(client_of("approve_task", name="bob"), task, "reject")
    assert response.status_code == 409
    assert response.json() == {"detail": f"“OK” of run {run.pk} can't be rejected: it was approved by ann"}


def test_what_is_wrong_with_a_request(decider):
    _, task = asked()
    assert decide(decider, task, reason="no").json()["errors"][0]["path"] == "reason"
    assert decide(decider, task, comment="x" * 1001).status_code == 400
    missing = decider.post(f"{API}/tasks/{'0' * 32}/approve/")
    assert (missing.status_code, missing.json()["detail"]) == (404, f"no task has the id {'0' * 32}")
    assert Task.objects.get(pk=task.pk).asked_at is not None


def test_the_permission(client_of):
    _, task = asked()
    response = decide(client_of("view_task", "retry_run", "cancel_run", name="bob"), task)
    assert response.status_code == 403
    assert response.json()["detail"] == (
        "user “bob” may not approve with “shop.ORDER”: it needs django_director.approve_task"
    )


def test_the_steps_own_permission_stands_in_the_place_of_the_usual_one(client_of):
    _, task = asked(approval("OK", permission="auth.view_group"), "SHIP")
    usual = client_of("approve_task", name="bob")
    response = decide(usual, task)
    assert response.json()["detail"] == "user “bob” may not approve with “shop.ORDER”: it needs auth.view_group"
    other = client_of(name="eva")
    other.user.user_permissions.add(Permission.objects.get(codename="view_group"))
    assert decide(other, task).status_code == 200


@pytest.mark.parametrize("permission", [None, "auth.view_group", "view.anything"])
def test_the_groups_of_the_workflow_hold_too(client_of, permission):
    _, task = asked(approval("OK", permission=permission), "SHIP", allowed_groups=("sales",))
    client = client_of("approve_task", name="bob")
    client.user.user_permissions.add(Permission.objects.get(codename="view_group"))
    response = decide(client, task)
    assert response.status_code == 403
    assert response.json()["detail"].endswith("one of the groups sales")
    if permission != "view.anything":
        client.user.groups.add(Group.objects.create(name="sales"))
        del client.user._director_groups
        assert decide(client, task).status_code == 200


def only_ann(user, action, workflow):
    assert action in ("approve", "shop.approve_order", "view_task"), action
    return action == "view_task" or user.get_username() == "ann"


@pytest.mark.parametrize("permission", [None, "shop.approve_order"])
def test_a_project_that_decides_itself(settings, client_of, permission):
    settings.DIRECTOR = settings.DIRECTOR | {"AUTHORIZE": f"{__name__}.only_ann"}
    _, task = asked(approval("OK", permission=permission), "SHIP")
    assert decide(client_of(name="bob"), task).status_code == 403
    settings.DIRECTOR = settings.DIRECTOR | {"AUTHORIZE": f"{__name__}.only_ann"}
    ann = client_of("view_payload", name="ann")
    task = Task.objects.select_related("run__workflow", "run__version").get(pk=task.pk)
    from django_director.access.authorization import action_to_decide, is_allowed

    assert is_allowed(ann.user, action_to_decide(task), task.run.workflow)


def test_a_task_that_is_no_approval(decider):
    run, _ = asked()
    ship = run.tasks.get(step="SHIP")
    response = decide(decider, ship)
    assert (response.status_code, response.json()["detail"]) == (
        409,
        f"“SHIP” of run {run.pk} can't be approved: it is no approval",
    )


def test_the_clock_was_first(decider):
    _, task = asked(approval("OK", timeout=60), "SHIP")
    Task.objects.filter(pk=task.pk).update(deadline_at="2026-01-01T00:00:00Z")
    timers.fire()
    assert decide(decider, task).json()["detail"].endswith("it was rejected: nobody has decided within 60 s")
