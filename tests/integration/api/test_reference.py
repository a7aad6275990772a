"""The page of the reference names every route, key, filter and field that there is."""

import re
from pathlib import Path

import pytest
from rest_framework.views import APIView

from django_director.api import serializers
from django_director.api.graph import graph_as_json
from django_director.api.urls import urlpatterns
from django_director.presentation.serializers import run_as_json, task_as_json
from django_director.presentation.workflow_serializers import workflow_as_json
from django_director.status import TaskStatus, Trigger
from tests import factories

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "api.md").read_text()


def routes():
    for pattern in (pattern for pattern in urlpatterns if pattern.name):
        path = re.sub(r"<str:(\w+)>", lambda m: "{name}" if m[1] == "name" else "{id}", str(pattern.pattern))
        view = pattern.callback.view_class
        for method in set(APIView.http_method_names) - {"options"}:
            if hasattr(view, method):
                yield f"{method.upper()} {path}"


def section(title):
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_every_route_and_no_other():
    rows = re.findall(r"^\| `((?:GET|POST) [^`]+)`", section("Routes"), re.MULTILINE)
    assert sorted(rows) == sorted(routes())


def test_every_key_of_a_body():
    named = set(re.findall(r"^\|[^|]*\| `(\w+)`", section("Bodies"), re.MULTILINE))
    kinds = (serializers.StartRequest, serializers.CancelRequest, serializers.DecisionRequest)
    kinds = (*kinds, serializers.RelaunchRequest, serializers.SkipRequest)
    assert named == {key for kind in kinds for key in kind().fields}


def test_every_filter_and_its_values():
    text = section("Filters and pages")
    words = {*serializers.RunFilters().fields, *serializers.SHOWN_STATUSES, *Trigger.values}
    assert {word for word in words if f"`{word}`" not in text} == set()


@pytest.mark.django_db
def test_every_field_of_an_object():
    run = factories.make_run(status="failed", tasks={"A": "failed"})
    graph = graph_as_json(run)
    shown = {
        "run": run_as_json(run, with_payload=True),
        "task": task_as_json(run.tasks.first(), with_payload=True),
        "workflow": workflow_as_json(run.workflow),
        "graph": [*graph, *graph["nodes"][0]],
    }
    for name, fields in shown.items():
        paragraph = re.search(rf"^\*\*{name}\*\*:.*?(\n\n|\Z)", section("Objects"), re.MULTILINE | re.DOTALL)[0]
        assert {field for field in fields if f"`{field}`" not in paragraph} == set(), name
    assert {status for status in TaskStatus.values if f"`{status}`" not in section("Objects")} == set()
