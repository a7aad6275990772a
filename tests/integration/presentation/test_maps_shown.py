"""Maps on all faces: few or many items, a fixed number of queries."""

from __future__ import annotations

import io
import json
import re

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from django_director import testing
from django_director.api.graph import graph_as_json
from django_director.common import failpoints
from django_director.drawing.faces import faces
from django_director.drawing.gallery import picture_of
from django_director.graph import compile_definition
from django_director.models import Run
from django_director.presentation.serializers import run_as_json, task_as_json
from django_director.status import RunStatus
from tests import factories
from tests.factories import definition, group, make_workflow, mapped, step

pytestmark = pytest.mark.django_db

THUMBNAILS = mapped("THUMBNAILS", step("THUMBNAILS", task="GIVEN", kwargs={"n": "${{ index }}"}), max_parallel=3)


def finished(items: list, *tasks, **fields) -> Run:
    make_workflow(definition("test.MAP", *(tasks or (THUMBNAILS,)), **fields))
    return testing.run_workflow("test.MAP", {"items": items})


def large(size: int) -> Run:
    """A run whose map has many items, written directly."""
    run = factories.make_run(
        make_workflow(definition("test.LARGE", THUMBNAILS, "Z")), tasks={"THUMBNAILS": "waiting"}
    )
    run.tasks.filter(step="THUMBNAILS").update(map_count=size)
    for index in range(size):
        status = "failed" if index == 3 else "success" if index < size - 2 else "pending"
        factories.make_task(run, 2, status, map_index=index)
    return run


def test_a_map_runs_in_this_process():
    run = finished([5, 6])
    assert run.status == RunStatus.SUCCESS
    assert [(part["args"], part["n"]) for part in run.result] == [([5], 0), ([6], 1)]


def test_a_map_through_the_file(settings, tmp_path):
    file = tmp_path / "workflows.yml"
    file.write_text(
        "test.FILE:\n  tasks:\n"
        "    - FETCH: {task: RETURN}\n"
        "    - THUMBNAILS:\n"
        "        type: map\n"
        "        over: tasks.FETCH.result\n"
        "        task: GIVEN\n"
        '        with: {url: "${{ item.url }}", width: 200}\n'
        "        max_parallel: 10\n"
        "    - EACH:\n"
        "        type: map\n"
        "        over: range(2)\n"
        "        tasks: [ECHO, {LAST: {task: GIVEN, with: {of: '${{ tasks.ECHO.result.args[0] }}'}}}]\n"
    )
    settings.DIRECTOR = {"WORKFLOWS": [file]}
    run = testing.run_workflow("test.FILE", {"value": [{"url": "a"}, {"url": "b"}]})
    assert run.status == RunStatus.SUCCESS, run.error
    thumbnails = run.tasks.get(step="THUMBNAILS", map_index=-1).read_result()[0]
    assert [(part["url"], part["width"], part["args"]) for part in thumbnails] == [
        ("a", 200, [{"url": "a"}]),
        ("b", 200, [{"url": "b"}]),
    ]
    assert [part["of"] for part in run.result] == [0, 1]


def test_a_result_over_the_limit_is_not_read(settings):
    settings.DIRECTOR = {"MAX_RESULT": 200, "MAX_INPUT": 1500}
    run = finished([5, 6] * 10)
    with CaptureQueriesContext(connection) as asked:
        value, error = run.read_result()
    assert value is None
    assert re.fullmatch(r"result: it has [\d,]+ bytes, the limit is 1,500 .*", error)
    of_items = [sql for query in asked if 'map_index" >= 0' in (sql := query["sql"].replace("`", '"'))]
    assert len(of_items) == 1, "only its size was asked for"
    assert "LENGTH(" in of_items[0].upper()
    whole = run.tasks.get(step="THUMBNAILS", map_index=-1)
    assert whole.read_result() == (None, error)
    shown = run_as_json(run, with_payload=True), task_as_json(whole, with_payload=True)
    assert [(data["result"], data["result_error"]) for data in shown] == [(None, error)] * 2


def test_many_tasks_together_are_over_the_limit_too(settings):
    settings.DIRECTOR = {"MAX_RESULT": 100, "MAX_INPUT": 250}
    make_workflow(definition("test.WIDE", group("G", *["RETURN"] * 6)))
    run = testing.run_workflow("test.WIDE", {"value": "x" * 40})
    assert run.result is None
    assert "the limit is 250" in run.result_error


@pytest.mark.parametrize("point", ["hold.updated", "map.inserted"])
def test_an_error_of_ours_is_tried_again(monkeypatch, tmp_path, point):
    monkeypatch.setattr(failpoints, "_ARMED", f"{point}:raise")
    monkeypatch.setenv("DIRECTOR_FAULT_ONCE", str(tmp_path / "once"))
    run = finished([5, 6])
    assert run.status == RunStatus.SUCCESS
    assert run.tasks.get(map_index=-1).crashes == 1
    monkeypatch.delenv("DIRECTOR_FAULT_ONCE")
    run = finished([5, 6])
    error = 'THUMBNAILS: WorkerLost: InjectedFault: {} (3 times, DIRECTOR["MAX_CRASHES"])'
    assert run.error == error.format(point)


def test_the_json_shape():
    run = finished([5, 6])
    data = factories.with_tasks(run, with_payload=True)
    assert data["task_counts"] == {"success": 3}
    shown = [(t["label"], t["step"], t["kind"], t["task"], t["map_index"], t["upstream"]) for t in data["tasks"]]
    assert shown == [
        ("THUMBNAILS", "THUMBNAILS", "map", None, None, []),
        ("THUMBNAILS[0]", "THUMBNAILS", "task", "GIVEN", 0, []),
        ("THUMBNAILS[1]", "THUMBNAILS", "task", "GIVEN", 1, []),
    ]
    assert [t["result"] and t["result"]["args"] for t in data["tasks"]] == [None, [5], [6]]
    row = run.tasks.get(map_index=-1)
    assert [part["args"] for part in task_as_json(row, with_payload=True)["result"]] == [[5], [6]]


def test_the_graph_of_the_api_has_one_node_for_a_map():
    counts = []
    for size in (10, 60):
        run = large(size)
        with CaptureQueriesContext(connection) as captured:
            data = graph_as_json(run)
        counts.append(len(captured))
        assert [(node["label"], node["items"]) for node in data["nodes"]] == [
            ("THUMBNAILS", {"failed": 1, "success": size - 3, "pending": 2}),
            ("Z", None),
        ]
    assert counts[0] == counts[1] <= 3


def test_a_map_is_one_box():
    graph = compile_definition(definition("test.BOX", mapped("M", "S", "T"), "Z"), "box")
    picture = picture_of(graph)
    assert [box.label for box in picture.boxes] == ["M", "Z"]
    waiting = faces(picture, [(0, "queued", 0), (1, "pending", 0)])
    assert [(face.status, face.note) for face in waiting] == [("queued", "queued"), ("pending", "pending")]
    rows = [(0, "waiting", 1), *((2, "success", 1) for _ in range(1200)), (3, "running", 2), (1, "pending", 0)]
    assert [(face.status, face.note) for face in faces(picture, rows)] == [
        ("running", "1,200/1,201"),
        ("pending", "pending"),
    ]


def test_pages_take_the_same_queries_for_any_number_of_items(client):
    client.force_login(factories.make_admin())
    counts = []
    for size in (10, 300):
        run = large(size)
        with CaptureQueriesContext(connection) as captured:
            page = client.get(reverse("admin:django_director_run_change", args=[run.pk]))
        counts.append(len(captured))
        text = page.content.decode()
        assert f"{size - 3:,} success" in text
        assert "THUMBNAILS[3]" in text
    assert counts[0] == counts[1]


def test_the_pages_of_a_map_and_of_an_item(client):
    client.force_login(factories.make_admin())
    run = finished(["first", "second"])
    for label, expected in (("THUMBNAILS", "Items"), ("THUMBNAILS[1]", "second")):
        task = next(task for task in run.tasks.all() if task.label == label)
        page = client.get(reverse("admin:django_director_task_change", args=[task.pk])).content.decode()
        assert label in page
        assert expected in page


def test_showrun_folds_many_items():
    run = large(40)
    out = io.StringIO()
    call_command("showrun", str(run.pk), stdout=out)
    lines = out.getvalue().splitlines()
    (folded,) = [line for line in lines if "THUMBNAILS[0…39]" in line]
    assert "37 success, 2 pending, 1 failed" in folded
    assert [line for line in lines if "THUMBNAILS[3]" in line]
    assert not [line for line in lines if "THUMBNAILS[4]" in line]
    out = io.StringIO()
    call_command("showrun", str(run.pk), "--json", stdout=out)
    assert len(json.loads(out.getvalue())["tasks"]) == 42


def test_a_run_lists_the_items_of_a_map_after_it():
    body = (step("ONE", task="GIVEN"), step("TWO", task="GIVEN"))
    hooks = {"success": (step("hooks.success", task="GIVEN"),)}
    run = finished(
        [5, 6], step("A", task="NOOP"), mapped("M", *body), THUMBNAILS, step("Z", task="NOOP"), hooks=hooks
    )
    shown = [task["label"] for task in factories.with_tasks(run, with_payload=True)["tasks"]]
    assert shown == [
        *("A", "M", "ONE[0]", "ONE[1]", "TWO[0]", "TWO[1]"),
        *("THUMBNAILS", "THUMBNAILS[0]", "THUMBNAILS[1]", "Z", "hooks.success"),
    ]
    printed = printed_of(run)
    assert printed == [*shown[:-1], "hooks.success (success hook)"]


def printed_of(run):
    out = io.StringIO()
    call_command("showrun", str(run.pk), stdout=out)
    tasks = out.getvalue().split("\n\n")[1]
    return [line.split("\t")[0] for line in tasks.splitlines()]
