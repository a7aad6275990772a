import pytest

from tests import factories

pytestmark = pytest.mark.django_db
API = "/director/api"


@pytest.fixture
def parent():
    factories.make_workflow("shop.CHILD")
    described = factories.definition("shop.PARENT", factories.child("SHIP", "shop.CHILD"), "AFTER")
    return factories.make_run(factories.make_workflow(described))


@pytest.fixture
def made(parent):
    step = parent.tasks.get(step="SHIP")
    payload = {"order": 7, "token": "s3cret"}
    child = factories.make_run(
        factories.make_workflow("shop.CHILD"), parent_task=step, trigger="workflow", payload=payload
    )
    parent.tasks.filter(pk=step.pk).update(status="waiting", child_run=child.pk)
    return child


def listed(client, query=""):
    return [run["id"] for run in client.get(f"{API}/runs/{query}").json()["results"]]


def test_the_list_has_the_roots_unless_it_is_asked_otherwise(viewer, parent, made):
    assert listed(viewer) == [str(parent.pk)]
    assert listed(viewer, "?status=running") == [str(parent.pk)]
    assert listed(viewer, f"?parent_run={parent.pk}") == [str(made.pk)]
    assert listed(viewer, f"?parent_run={made.pk}") == []
    assert listed(viewer, "?workflow=shop.CHILD") == [str(made.pk)]
    assert listed(viewer, "?trigger=workflow") == [str(made.pk)]
    assert listed(viewer, f"?search={made.pk}") == [str(made.pk)]
    assert viewer.get(f"{API}/runs/?parent_run=nobody").status_code == 400


def test_each_names_the_other(operator, parent, made):
    shown = operator.get(f"{API}/runs/{made.pk}/").json()
    assert (shown["parent_task"], shown["trigger"]) == (str(made.parent_task_id), "workflow")
    assert shown["payload"]["order"] == 7
    assert "s3cret" not in str(shown)
    tasks = operator.get(f"{API}/runs/{parent.pk}/tasks/").json()["results"]
    assert [(t["step"], t["kind"], t["task"], t["child_run"]) for t in tasks] == [
        ("SHIP", "workflow", None, str(made.pk)),
        ("AFTER", "task", "AFTER", None),
    ]
    nodes = operator.get(f"{API}/runs/{parent.pk}/graph/").json()["nodes"]
    assert [node["child_run"] for node in nodes] == [str(made.pk), None]
    steps = operator.get(f"{API}/workflows/shop.PARENT/").json()["steps"]
    assert [(step["kind"], step["workflow"]) for step in steps] == [("workflow", "shop.CHILD"), ("task", None)]


def test_a_child_is_seen_by_the_permissions_for_its_own_workflow(client_of, parent, made, settings):
    nobody = client_of()
    assert nobody.get(f"{API}/runs/{made.pk}/").status_code == 403


@pytest.mark.parametrize("verb", ["pause", "resume", "retry"])
def test_steering_a_child_is_a_conflict_that_names_the_root(operator, parent, made, verb):
    response = operator.post(f"{API}/runs/{made.pk}/{verb}/")
    assert response.status_code == 409
    assert response.json()["detail"].endswith(f"is a child run, steer its root, run {parent.pk}")


@pytest.mark.parametrize("verb", ["rerun", "skip"])
def test_and_so_is_that_of_its_tasks(operator, parent, made, verb):
    response = operator.post(f"{API}/tasks/{made.tasks.get(step='A').pk}/{verb}/")
    assert response.status_code == 409
    assert response.json()["detail"].endswith(f"is a child run, steer its root, run {parent.pk}")


def test_a_child_can_be_canceled(operator, made):
    assert operator.post(f"{API}/runs/{made.pk}/cancel/").status_code == 200
