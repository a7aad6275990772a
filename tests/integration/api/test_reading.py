from datetime import timedelta

import pytest
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from django_director.models import Run
from tests import factories

pytestmark = pytest.mark.django_db

API = "/director/api"


def test_ping(viewer):
    assert viewer.get(f"{API}/ping/").data["message"] == "pong"


def test_workflows_are_listed_in_a_fixed_number_of_queries(viewer, django_assert_max_num_queries):
    for number in range(8):
        factories.make_run(factories.make_workflow(f"shop.W{number}"), "success")
    with django_assert_max_num_queries(7):
        response = viewer.get(f"{API}/workflows/")
    assert [workflow["name"] for workflow in response.json()] == [f"shop.W{number}" for number in range(8)]
    assert all(workflow["last_run"]["status"] == "success" for workflow in response.json())


def test_a_workflow_is_found_by_its_name_with_a_dot(viewer):
    factories.make_workflow(factories.definition("shop.ORDER", "A", schema={"type": "object"}))
    shown = viewer.get(f"{API}/workflows/shop.ORDER/").json()
    assert (shown["name"], shown["schema"]) == ("shop.ORDER", {"type": "object"})


def test_the_last_run_is_for_those_who_may_see_runs(viewer, client_of):
    run = factories.make_run()
    assert viewer.get(f"{API}/workflows/").json()[0]["last_run"]["id"] == str(run.pk)
    other = client_of("view_workflow", name="bob")
    assert other.get(f"{API}/workflows/").json()[0]["last_run"] is None
    assert other.get(f"{API}/workflows/shop.ORDER/").json()["last_run"] is None


@pytest.mark.parametrize("name", ["shop.ORDRE", "shop.order\0", "ü", "shop"])
def test_an_unknown_workflow_is_a_404_in_json(viewer, name):
    factories.make_workflow("shop.ORDER")
    response = viewer.get(f"{API}/workflows/{name}/")
    assert response.status_code == 404
    assert "unknown workflow" in response.json()["detail"]
    if name == "shop.ORDRE":
        assert "did you mean “shop.ORDER”?" in response.json()["detail"]


def test_runs_are_listed_newest_first_without_payloads(operator, django_assert_max_num_queries):
    workflow = factories.make_workflow()
    runs = [factories.make_run(workflow, payload={"n": number}, user=operator.user) for number in range(5)]
    with django_assert_max_num_queries(4):  # two of them the user's permissions
        response = operator.get(f"{API}/runs/")
    assert [run["id"] for run in response.json()["results"]] == [str(run.pk) for run in reversed(runs)]
    assert {run["payload"] for run in response.json()["results"]} == {None}
    assert response.json()["next"] is None


def test_pages_give_each_run_once_even_when_new_ones_come(viewer):
    workflow = factories.make_workflow()
    runs = {str(factories.make_run(workflow).pk) for _ in range(7)}
    seen, url = [], f"{API}/runs/?page_size=3&workflow=shop.ORDER"
    while url:
        page = viewer.get(url).json()
        assert len(page["results"]) <= 3
        seen += [run["id"] for run in page["results"]]
        factories.make_run(workflow)
        url = page["next"]
    assert sorted(seen) == sorted(runs)


@pytest.mark.parametrize(
    "query",
    [
        *("page_size=0", "page_size=501", "page_size=x", "page_size=-1", "page_size=%C2%B2", "page=2"),
        *("cursor=x", "cursor=", "cursor=%00", "cursor=WzFd", "cursor=WyJ4Il0", "cursor=bnVsbA", "cursor=W10"),
        *("cursor=ü", "status=done", "trigger=hand", "created_after=yesterday", "search=%00"),
        *("created_before=99999-01-01", "stauts=failed", "workflow=%00"),
    ],
)
def test_a_wrong_query_is_a_400_that_says_why(viewer, query):
    response = viewer.get(f"{API}/runs/?{query}")
    assert response.status_code == 400
    assert response.json()["detail"]


def test_a_wrong_filter_is_named_with_the_nearest(viewer):
    errors = viewer.get(f"{API}/runs/?stauts=failed").json()["errors"]
    assert errors == [{"path": "stauts", "message": "unknown parameter; did you mean “status”?"}]
    errors = viewer.get(f"{API}/runs/?status=faild").json()["errors"]
    assert errors == [{"path": "status", "message": "unknown status “faild”; did you mean “failed”?"}]
    factories.make_workflow("shop.ORDER")
    errors = viewer.get(f"{API}/runs/?workflow=shop.ODER").json()["errors"]
    message = "unknown workflow “shop.ODER” (did you mean “shop.ORDER”?)"
    assert errors == [{"path": "workflow", "message": message}]


@pytest.mark.parametrize(
    ("route", "query", "message"),
    [
        ("runs/{run}/", "status=failed", "known are format"),
        ("runs/{run}/", "page_size=5", "known are format"),
        ("runs/{run}/tasks/", "status=failed", "known are cursor, format, page_size"),
        ("runs/{run}/tasks/", "pagesize=5", "did you mean “page_size”?"),
        ("runs/{run}/graph/", "status=failed", "known are format"),
        ("tasks/{task}/", "status=failed", "known are format"),
        ("workflows/", "nmae=x", "known are format"),
        ("workflows/shop.ORDER/", "fromat=json", "did you mean “format”?"),
    ],
)
def test_a_parameter_that_means_nothing_is_a_400(viewer, route, query, message):
    run = factories.make_run(factories.make_workflow("shop.ORDER"))
    address = f"{API}/" + route.format(run=run.pk, task=run.tasks.first().pk)
    response = viewer.get(f"{address}?{query}")
    assert response.status_code == 400
    (error,) = response.json()["errors"]
    assert error == {"path": query.split("=")[0], "message": f"unknown parameter; {message}"}
    assert viewer.get(f"{address}?format=json").status_code == 200


def test_tasks_come_in_pages(viewer):
    run = factories.make_run(factories.make_workflow(factories.definition("shop.ORDER", "A", "B", "C")))
    page = viewer.get(f"{API}/runs/{run.pk}/tasks/?page_size=2").json()
    assert [task["step"] for task in page["results"]] == ["A", "B"]
    assert [task["step"] for task in viewer.get(page["next"]).json()["results"]] == ["C"]


def test_a_filter_given_twice_is_a_400_for_only_one_would_count(viewer):
    errors = viewer.get(f"{API}/runs/?status=failed&status=running").json()["errors"]
    assert errors == [{"path": "status", "message": "given 2 times; give it once, as status=failed,running"}]
    errors = viewer.get(f"{API}/runs/?search=a&search=b").json()["errors"]
    assert errors == [{"path": "search", "message": "given 2 times; give it once"}]
    response = viewer.get(f"{API}/runs/?page_size=2&page_size=3")
    assert response.status_code == 400


def test_all_that_is_wrong_is_named_at_once(viewer):
    wrong = "created_after=nonsense&created_before=nonsense&status=done&stauts=failed"
    errors = viewer.get(f"{API}/runs/?{wrong}").json()["errors"]
    named = [error["path"] for error in errors]
    assert sorted(named) == ["created_after", "created_before", "status", "stauts"]


def test_the_runs_of_a_workflow_that_left_the_files_are_listed(viewer):
    run = factories.make_run(factories.make_workflow("shop.ORDER"), "success")
    run.workflow.is_active = False
    run.workflow.save(update_fields=["is_active"])
    found = viewer.get(f"{API}/runs/?workflow=shop.ORDER").json()["results"]
    assert [listed["id"] for listed in found] == [str(run.pk)]


def test_filters(viewer):
    order, mail = factories.make_workflow("shop.ORDER"), factories.make_workflow("shop.MAIL")
    now = timezone.now()
    runs = {
        "old": factories.make_run(order, "success", created_at=now - timedelta(days=2)),
        "failed": factories.make_run(order, "failed", comment="by hand", trigger="api"),
        "mail": factories.make_run(mail, "running", idempotency_key="order-7", user=factories.make_user("olga")),
        "canceling": factories.make_run(mail, "running", stop="cancel"),
        "paused": factories.make_run(mail, "running", paused_at=now),
    }
    yesterday = (now - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    cases = {
        "workflow=shop.ORDER": {"old", "failed"},
        "status=running": {"mail"},
        "status=failed,canceling": {"failed", "canceling"},
        "status=paused": {"paused"},
        "trigger=api": {"failed"},
        "user=olga": {"mail"},
        "user=olg": set(),
        "search=olga": {"mail"},
        f"created_after={yesterday}": set(runs) - {"old"},
        f"created_before={yesterday}": {"old"},
        "search=HAND": {"failed"},
        "search=mail": {"mail", "canceling", "paused"},
        "search=order-7": {"mail"},
        f"search={runs['mail'].pk}": {"mail"},
        "workflow=shop.ORDER&status=success": {"old"},
    }
    names = {str(run.pk): name for name, run in runs.items()}
    for query, expected in cases.items():
        found = viewer.get(f"{API}/runs/?{query}").json()["results"]
        assert {names[run["id"]] for run in found} == expected, query


def test_one_run(operator):
    run = factories.make_run(
        status="success", tasks={"A": "success", "B": "success"}, payload={"order": 7, "token": "t"}
    )
    run.tasks.filter(step="B").update(result=[1, 2])
    shown = operator.get(f"{API}/runs/{run.pk}/").json()
    assert (shown["payload"], shown["result"]) == ({"order": 7, "token": "********"}, [1, 2])
    assert shown["task_counts"] == {"success": 2}
    assert parse_datetime(shown["finished_at"]) == Run.objects.get().finished_at


@pytest.mark.parametrize(
    "path",
    [
        *("runs/x/", "runs/x/tasks/", "runs/x/graph/", "runs/00000000-0000-0000-0000-000000000000/"),
        *("tasks/x/", "tasks/00000000-0000-0000-0000-000000000000/"),
    ],
)
def test_an_id_that_is_none_is_a_404_in_json(viewer, path):
    response = viewer.get(f"{API}/{path}")
    assert response.status_code == 404
    assert response.json()["detail"]


def test_tasks_come_in_pages_in_the_order_of_the_file(operator, django_assert_max_num_queries):
    members = [f"T{number:02}" for number in range(9)]
    described = factories.definition(
        "shop.WIDE", factories.group("G", *members), "END", hooks={"success": (factories.step("MAIL"),)}
    )
    run = factories.make_run(factories.make_workflow(described), "success")
    factories.make_task(run, 10, "success")
    with django_assert_max_num_queries(4):
        first = operator.get(f"{API}/runs/{run.pk}/tasks/?page_size=10").json()
    rest = operator.get(first["next"]).json()
    assert [task["step"] for task in first["results"] + rest["results"]] == [*members, "END", "MAIL"]
    assert first["results"][-1]["upstream"] == members
    assert rest["next"] is None


def test_a_task(operator, viewer_of_tasks):
    run = factories.make_run(tasks={"A": "failed"})
    task = run.tasks.get(step="A")
    run.tasks.filter(pk=task.pk).update(error="ValueError: 5", traceback="Traceback …", result={"secret": 1})
    shown = operator.get(f"{API}/tasks/{task.pk}/").json()
    assert (shown["step"], shown["status"], shown["error"]) == ("A", "failed", "ValueError: 5")
    assert (shown["traceback"], shown["result"]) == ("Traceback …", {"secret": "********"})
    without = viewer_of_tasks.get(f"{API}/tasks/{task.pk}/").json()
    assert (without["traceback"], without["result"], without["error"]) == (None, None, "ValueError")


@pytest.fixture
def viewer_of_tasks(client_of):
    return client_of("view_task", name="bob")


def test_the_graph_of_group_after_group_has_a_junction(viewer, django_assert_max_num_queries):
    size = 40
    left, right = ([f"{side}{number}" for number in range(size)] for side in "LR")
    described = factories.definition(
        "shop.WIDE", "START", factories.group("L", *left), factories.group("R", *right), "END"
    )
    run = factories.make_run(factories.make_workflow(described), tasks={"START": "success", "L0": "failed"})
    with django_assert_max_num_queries(4):
        graph = viewer.get(f"{API}/runs/{run.pk}/graph/").json()
    assert len(graph["edges"]) == 4 * size
    nodes = {node["id"]: node for node in graph["nodes"]}
    assert len(nodes) == 2 * size + 3
    assert all({edge["source"], edge["target"]} <= set(nodes) for edge in graph["edges"])
    assert [node["type"] for node in nodes.values()].count("junction") == 1
    start = next(node for node in nodes.values() if node.get("step") == "START")
    assert {edge["status"] for edge in graph["edges"] if edge["source"] == start["id"]} == {"success"}
    assert (graph["run"], graph["status"], start["status"]) == (str(run.pk), "running", "success")


def test_the_graph_of_a_chain_is_a_line(viewer):
    run = factories.make_run(factories.make_workflow(factories.definition("shop.LINE", "A", "B", "C")))
    graph = viewer.get(f"{API}/runs/{run.pk}/graph/").json()
    steps = {node["id"]: node["step"] for node in graph["nodes"]}
    assert [(steps[edge["source"]], steps[edge["target"]]) for edge in graph["edges"]] == [
        ("A", "B"),
        ("B", "C"),
    ]


@pytest.mark.parametrize("path", ["workflows/", "workflows/shop.ORDER/", "workflows/shop.ORDER/runs/", "runs/"])
def test_the_browsable_pages_and_options_work(operator, path):
    factories.make_run()
    page = operator.get(f"{API}/{path}", HTTP_ACCEPT="text/html")
    assert page.status_code in (200, 405)
    assert page["Content-Type"].startswith("text/html")
    assert operator.options(f"{API}/{path}").status_code == 200
