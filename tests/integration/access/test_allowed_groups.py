"""`allowed_groups`: one answer for the admin, the API and the commands."""

from __future__ import annotations

from io import StringIO

import pytest
from django.contrib.auth.models import AnonymousUser, Group
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from django_director.access.authorization import PERMISSIONS, is_allowed, require
from django_director.exceptions import NotAllowed
from django_director.models import Run, Workflow
from django_director.sync import versions
from tests import factories

pytestmark = pytest.mark.django_db

EVERYTHING = sorted({codename for codenames in PERMISSIONS.values() for codename in codenames})
STEERING = sorted(action for action in PERMISSIONS if not action.startswith("view"))


@pytest.fixture
def workflow():
    return factories.make_workflow(factories.definition("shop.ORDER", "A", allowed_groups=("sales", "ops")))


@pytest.fixture
def member():
    user = factories.make_user("mia", *EVERYTHING)
    user.groups.add(Group.objects.create(name="ops"), Group.objects.create(name="other"))
    return user


@pytest.fixture
def outsider():
    user = factories.make_user("oto", *EVERYTHING)
    user.groups.add(Group.objects.create(name="marketing"))
    return user


def test_to_run_and_steer_asks_for_a_group_and_to_look_does_not(workflow, member, outsider):
    for action in PERMISSIONS:
        assert is_allowed(member, action, workflow)
        assert is_allowed(outsider, action, workflow) == (action not in STEERING), action
        assert is_allowed(outsider, action), "with some workflow"
        assert is_allowed(outsider, action, factories.make_workflow("other.FLOW"))


def test_a_group_is_no_permission(workflow):
    user = factories.make_user("ann")
    user.groups.add(Group.objects.create(name="sales"))
    for who in (user, AnonymousUser(), None):
        assert not any(is_allowed(who, action, workflow) for action in PERMISSIONS)


def test_superusers_pass(workflow):
    admin = factories.make_admin()
    assert all(is_allowed(admin, action, workflow) for action in PERMISSIONS)


def test_the_groups_are_asked_for_once(workflow, member, django_assert_num_queries):
    is_allowed(member, "run")
    with django_assert_num_queries(1):
        assert all(is_allowed(member, "run", workflow) for _ in range(20))


def test_the_api(workflow, member, outsider):
    client = APIClient()
    client.force_authenticate(outsider)
    refused = client.post("/director/api/workflows/shop.ORDER/runs/")
    assert refused.status_code == 403
    assert "one of the groups sales, ops" in refused.json()["detail"]
    client.force_authenticate(member)
    run = client.post("/director/api/workflows/shop.ORDER/runs/").json()["id"]
    client.force_authenticate(outsider)
    for name in ("cancel", "pause", "resume", "retry", "relaunch"):
        assert client.post(f"/director/api/runs/{run}/{name}/").status_code == 403, name
    task = Run.objects.get(pk=run).tasks.first()
    for name in ("rerun", "skip"):
        assert client.post(f"/director/api/tasks/{task.pk}/{name}/").status_code == 403, name
    assert client.get(f"/director/api/runs/{run}/").status_code == 200
    client.force_authenticate(member)
    assert client.post(f"/director/api/runs/{run}/pause/").status_code == 200


def test_the_admin(workflow, member, outsider):
    run = factories.make_run(workflow)
    for user, code in ((outsider, 403), (member, 302)):
        user.is_staff = True
        user.save(update_fields=["is_staff"])
        client = Client()
        client.force_login(user)
        page = client.get(reverse("admin:django_director_run_change", args=[run.pk]))
        assert ('data-button="pause"' in page.content.decode()) == (code == 302)
        pressed = client.post(reverse("admin:django_director_run_pause", args=[run.pk]))
        assert pressed.status_code == code
    data = {"action": "cancel_runs", "_selected_action": [str(run.pk)]}
    client.force_login(outsider)
    page = client.post(reverse("admin:django_director_run_changelist"), data, follow=True)
    assert "one of the groups" in page.content.decode()
    assert Run.objects.get().stop == ""


def test_the_commands(workflow, member, outsider):
    with pytest.raises(CommandError, match="one of the groups sales, ops"):
        call_command("runworkflow", "shop.ORDER", "--user", "oto", stdout=StringIO())
    call_command("runworkflow", "shop.ORDER", "--user", "mia", stdout=StringIO())
    with pytest.raises(CommandError, match="one of the groups"):
        call_command("pauseworkflow", str(Run.objects.get().pk), "--user", "oto", stdout=StringIO())


def test_a_project_that_decides_itself_may_ask_for_the_usual_answer(workflow, outsider, settings):
    settings.DIRECTOR = {"AUTHORIZE": "django_director.access.authorization.by_permissions"}
    assert not is_allowed(outsider, "run", workflow)


def test_sync_brings_a_change_into_force(tmp_path, settings):
    path = tmp_path / "workflows.yml"
    settings.DIRECTOR = {"WORKFLOWS": [path]}
    for line, groups in (("allowed_groups: [sales]", ["sales"]), ("", [])):
        path.write_text(f"shop.ORDER:\n  tasks: [NOOP]\n  {line}\n")
        versions.sync()
        assert Workflow.objects.get(name="shop.ORDER").allowed_groups == groups


@pytest.mark.parametrize(
    ("permissions", "groups", "missing"),
    [
        ((), (), "django_director.run_workflow, and one of the groups sales, ops"),
        (("run_workflow",), (), "one of the groups sales, ops"),
        ((), ("ops",), "django_director.run_workflow"),
    ],
)
def test_only_what_is_missing_is_named(workflow, permissions, groups, missing):
    user = factories.make_user("ann", *permissions)
    user.groups.set([Group.objects.create(name=name) for name in groups])
    with pytest.raises(NotAllowed) as caught:
        require(user, "run", workflow)
    assert str(caught.value) == f"user “ann” may not run with “shop.ORDER”: it needs {missing}"


def test_of_several_permissions_only_the_missing_are_named(workflow):
    user = factories.make_user("ann", "view_workflow", "view_task")
    with pytest.raises(NotAllowed, match=r"it needs django_director\.view_run$"):
        require(user, "view", workflow)


def nobody(user, action, workflow=None):
    return False


def test_who_misses_nothing_is_told_of_the_rules_of_the_site(workflow, member, settings):
    settings.DIRECTOR = {"AUTHORIZE": f"{__name__}.nobody"}
    with pytest.raises(NotAllowed, match=r"“shop\.ORDER”: this site decides by rules of its own$"):
        require(member, "run", workflow)
