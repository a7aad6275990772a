import json
from datetime import timedelta
from uuid import UUID

import pytest
from django.core.management.base import OutputWrapper
from django.core.management.color import no_style
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from django_director import engine
from django_director.definitions import Concurrency, Retry
from django_director.management.output import ALIGNED, Printer
from django_director.models import Run, Workflow
from django_director.presentation import run_tasks
from django_director.presentation.serializers import runs_as_json, task_as_json
from django_director.presentation.workflow_serializers import workflows_as_json
from tests import factories
from tests.asking import asked

from .conftest import Terminal

pytestmark = pytest.mark.django_db


@pytest.fixture
def workflow():
    return factories.make_workflow(
        factories.definition(
            "shop.ORDER",
            "EXTRACT",
            factories.group("RANDOMS", "RANDOM", factories.step("RANDOM-2", task="RANDOM", queue="slow")),
            "ADD",
            description="Ships orders",
            hooks={"success": (factories.step("HOOK"),)},
            schema={"type": "object"},
        )
    )


@pytest.fixture
def failed(workflow):
    run = factories.make_run(workflow, "failed", {"EXTRACT": "success", "RANDOM": "failed"}, payload={"order": 7})
    run.tasks.filter(step="RANDOM").update(error="ValueError: bad\nluck\x1b[2J")
    return run


def test_workflows_are_listed_as_celery_director_did(workflow, failed, command, on_terminal):
    (line,) = command("listworkflows").lines
    name, schedule, following, last, steps = line.split("\t")
    assert (name, schedule, following) == ("shop.ORDER", "", "")
    assert last.startswith("failed 20")
    assert steps == "EXTRACT → (RANDOM | RANDOM-2) → ADD"
    heading, row = on_terminal("listworkflows").lines
    assert heading.split() == ["NAME", "SCHEDULE", "NEXT", "RUN", "LAST", "RUN", "STEPS"]
    assert heading.index("STEPS") == row.index("EXTRACT")


def test_workflows_as_json_are_the_shape_of_the_api(workflow, failed, command):
    assert json.loads(command("listworkflows", "--json").out) == workflows_as_json(Workflow.objects.all())


def test_the_schedule_and_the_next_run_are_shown(workflow, command):
    PeriodicTask.objects.create(
        name="by hand",
        task="django_director.run_workflow",
        kwargs=json.dumps({"name": "shop.ORDER"}),
        interval=IntervalSchedule.objects.create(every=90, period=IntervalSchedule.SECONDS),
    )
    _, schedule, following, *_ = command("listworkflows").lines[0].split("\t")
    assert schedule == "every 90 s"
    assert following.endswith("Z")
    assert "schedule\tevery 90 s" in command("showworkflow", "shop.ORDER").lines


def test_workflows_that_left_the_files_are_listed_on_demand(workflow, command):
    factories.make_workflow("shop.OLD", is_active=False)
    assert len(command("listworkflows").lines) == 1
    assert any(line.startswith("shop.OLD (inactive)\t") for line in command("listworkflows", "--all").lines)


def test_nothing_to_list_is_said_apart_from_the_data(command):
    nothing = command("listworkflows")
    assert nothing.out == ""
    assert "syncworkflows" in nothing.talk
    assert json.loads(command("listworkflows", "--json").out) == []


def test_a_group_of_thousands_is_named_in_short(command):
    members = [f"T{number}" for number in range(3000)]
    factories.make_workflow(factories.definition("shop.WIDE", factories.group("G", *members)))
    (line,) = command("listworkflows").lines
    assert line.endswith("(T0 | T1 | T2 | T3 | T4 | T5 | … 2,994 more)")


def test_a_workflow_is_shown_with_its_tree_of_steps(workflow, command):
    shown = command("showworkflow", "shop.ORDER")
    assert "description\tShips orders" in shown.lines
    tree = shown.lines[shown.lines.index("steps:") + 1 :]
    assert tree == [
        "  EXTRACT",
        "  RANDOMS  [group]",
        "    RANDOM",
        "    RANDOM-2  [task RANDOM, queue slow]",
        "  ADD",
        "hook on success:",
        "  HOOK",
    ]


def test_a_workflow_is_shown_with_all_that_holds_for_its_steps(command):
    retry = Retry(max=5, delay=10, backoff=2, max_delay=300, jitter=True, only=("TimeoutError",))
    factories.make_workflow(
        factories.definition(
            "shop.ALL",
            factories.step("A", kwargs={"order": "${{ payload.order }}", "password": "hunter2"}, timeout=90),
            factories.step("B", retry=retry, when="payload.order > 7", trigger_rule="always", priority=3),
            factories.mapped("M", "RESIZE", over="tasks.A.result.images", max_parallel=10),
            factories.approval(
                "OK", prompt="Ship\x1b[2J it?", permission="shop.ok", timeout=172_800, on_timeout="skip"
            ),
            factories.group("G", factories.step("C", continue_on_error=True), when=False, needs=("B", "OK")),
            factories.wait("W", 30, needs=()),
            factories.wait("U", until='"2026-12-24"', description="Until Christmas"),
            factories.child("SUB", "shop.CHILD", payload={"order": 1}, timeout=3600),
            hooks={
                "always": (factories.step("hooks.always.METRICS", task="METRICS"),),
                "failure": (factories.step("hooks.failure.MAIL", task="MAIL", retry=Retry(max=0)),),
            },
            timeout=259_200,
            fail_fast=True,
            concurrency=Concurrency(limit=2, key="payload.order", on_conflict="skip"),
            result="tasks.A.result",
            allowed_groups=("sales", "ops"),
        ),
        retention_offset=50,
        retention_days=90,
    )
    shown = command("showworkflow", "shop.ALL")
    start = shown.lines.index("steps:")
    assert shown.lines[2:start] == [
        "timeout\t3d",
        "concurrency\tlimit 2, key payload.order, on_conflict skip",
        "fail_fast\ttrue",
        "result\ttasks.A.result",
        "allowed_groups\tsales, ops",
        "retention\toffset 50, days 90",
    ]
    assert shown.lines[start + 1 :] == [
        "  A",
        '      with: {"order": "${{ payload.order }}", "password": "********"}',
        "      timeout: 90s",
        "  B",
        "      when: payload.order > 7",
        "      trigger_rule: always",
        "      retry: max 5, delay 10s, backoff 2, max_delay 5m, jitter, only TimeoutError",
        "      priority: 3",
        "  M  [map]",
        "      over: tasks.A.result.images",
        "      max_parallel: 10",
        "    RESIZE",
        "  OK  [approval]",
        "      prompt: Ship [2J it?",
        "      permission: shop.ok",
        "      timeout: 2d",
        "      on_timeout: skip",
        "  G  [group]",
        "      needs: B, OK",
        "      when: false",
        "    C",
        "        continue_on_error: true",
        "  W  [wait]",
        "      needs: nothing",
        "      for: 30s",
        "  U  [wait]",
        "      description: Until Christmas",
        '      until: "2026-12-24"',
        "  SUB  [workflow shop.CHILD]",
        '      payload: {"order": 1}',
        "      timeout: 1h",
        "hook on failure:",
        "  MAIL",
        "      retry: max 0",
        "hook on always:",
        "  METRICS",
    ]


def test_a_workflow_as_a_mermaid_graph(workflow, command):
    lines = [line.strip() for line in command("showworkflow", "shop.ORDER", "--graph").lines]
    assert lines[0] == "flowchart TD"
    names = dict(line.rstrip('"]').split('["') for line in lines if '["' in line and "(" not in line)
    edges = {tuple(names[end] for end in line.split(" --> ")) for line in lines if "-->" in line}
    assert edges == {
        ("EXTRACT", "RANDOM"),
        ("EXTRACT", "RANDOM-2"),
        ("RANDOM", "ADD"),
        ("RANDOM-2", "ADD"),
    }


def test_mermaid_has_no_n_times_m_edges(command):
    sides = [factories.group(side, *(f"{side}{number}" for number in range(30))) for side in "LR"]
    factories.make_workflow(factories.definition("shop.WIDE", *sides))
    lines = command("showworkflow", "shop.WIDE", "--graph").lines
    assert len([line for line in lines if "-->" in line]) == 60


def test_the_graph_has_frames_in_each_format(command, failing):
    hooks = {"failure": (factories.step("hooks.failure.PAGE"),)}
    steps = ("A", factories.group("G", "B", factories.chain("C", "X", 'odd "name"')), "END")
    factories.make_workflow(factories.definition("shop.FRAMED", *steps, hooks=hooks))
    flowchart = command("showworkflow", "shop.FRAMED", "--graph").lines
    assert flowchart == command("showworkflow", "shop.FRAMED", "--graph", "--format", "mermaid").lines
    frames = [line.split('["')[1] for line in flowchart if "subgraph" in line]
    assert frames == ['G"]', 'C"]']
    assert len([line for line in flowchart if line.strip() == "end"]) == 2
    assert '(["failure: PAGE"])' in "".join(flowchart)
    assert "odd #34;name#34;" in "".join(flowchart)
    dot = command("showworkflow", "shop.FRAMED", "--graph", "--format", "dot").out
    assert dot.count("subgraph cluster_") == 2
    assert dot.count("{") == dot.count("}") == 3
    assert 'label="odd \\"name\\""' in dot
    assert command("showworkflow", "shop.FRAMED", "--graph", "--format", "svg").out.startswith("<svg ")
    assert "add --graph" in str(failing("showworkflow", "shop.FRAMED", "--format", "dot"))


def test_a_wrong_workflow_shows_the_nearest(workflow, failing):
    for command in (["showworkflow"], ["listruns"], ["runworkflow"]):
        assert "did you mean “shop.ORDER”?" in str(failing(*command, "shop.ORDR"))


def test_runs_are_listed_and_filtered(workflow, failed, command, on_terminal):
    other = factories.make_run(factories.make_workflow("shop.MAIL"), stop="cancel")
    lines = command("listruns").lines
    assert [line.split("\t")[0] for line in lines] == [str(other.pk), str(failed.pk)]
    _, name, status, trigger, created, took, tasks, _ = lines[1].split("\t")
    assert (name, status, trigger, took, tasks) == ("shop.ORDER", "failed", "manual", "1.500", "2/4")
    assert created.endswith("Z")
    assert len(command("listruns", "shop.MAIL").lines) == 1
    assert command("listruns", "--status", "failed").lines == [lines[1]]
    assert len(command("listruns", "--status", "failed", "--status", "canceling").lines) == 2
    assert len(command("listruns", "--limit", "1").lines) == 1
    heading, *rows = on_terminal("listruns").lines
    assert heading.startswith("RUN ")
    assert "1.5 s" in rows[1]
    found = json.loads(command("listruns", "--json").out)
    assert found == runs_as_json(Run.objects.for_listing(), sees_payload=lambda _: True)


def test_a_run_that_waits_for_approval_says_so_also_above_the_child_that_asks(command):
    run, task = asked(name="shop.CHILD")
    parent = factories.make_run(
        factories.make_workflow(factories.definition("shop.PARENT", factories.child("SUB", "shop.CHILD"))),
        tasks={"SUB": "waiting"},
    )
    Run.objects.filter(pk=run.pk).update(parent_task=parent.tasks.get(), trigger="workflow", is_awaited=True)
    waiting = factories.make_run(factories.make_workflow("shop.OTHER"), tasks={"A": "waiting"})

    def last(*args):
        return {line.split("\t")[0]: line.split("\t")[-1] for line in command("listruns", *args).lines}

    assert last() == {str(waiting.pk): "", str(parent.pk): "waits for approval"}
    assert last("shop.CHILD") == {str(run.pk): "waits for approval"}
    engine.approve(task)
    assert last("shop.CHILD")[str(run.pk)].startswith("in queue `celery` since ")


def test_who_is_asked_is_one_query_where_something_waits(command, django_assert_num_queries):
    for number in range(3):
        asked(name=f"shop.N{number}")
    with django_assert_num_queries(3):
        assert len(command("listruns").lines) == 3
    with django_assert_num_queries(2):
        command("listruns", "--json")


@pytest.mark.parametrize("limit", ["0", "-1", "x", "²"])
def test_a_wrong_limit_is_refused(limit, failing):
    assert "a number from 1" in str(failing("listruns", f"--limit={limit}"))


def test_a_run_is_shown_with_its_tasks(failed, command, on_terminal):
    shown = command("showrun", str(failed.pk))
    assert "status\tfailed" in shown.lines
    assert 'payload\t{"order": 7}' in shown.lines
    task = next(line for line in shown.lines if line.startswith("RANDOM\t"))
    assert task == "RANDOM\tfailed\t1\t0.250\tValueError: bad luck [2J"
    rows = on_terminal("showrun", str(failed.pk)).lines
    assert any(row.startswith("STEP") for row in rows)
    assert all(len(row) <= 100 and "\x1b" not in row for row in rows)


def test_a_run_as_json_has_its_tasks(failed, command):
    shown = json.loads(command("showrun", str(failed.pk), "--json").out)
    assert shown == factories.with_tasks(failed, with_payload=True)


@pytest.mark.parametrize("members", [0, 1, 3])
def test_json_that_is_printed_member_by_member_is_the_same_text(members, command):
    steps = [f"T{number}" for number in range(members)]
    workflow = factories.make_workflow(factories.definition("shop.SOME", factories.group("G", *steps)))
    run = factories.make_run(workflow, payload={"é": [], "n": {}})
    # PostgreSQL keeps the keys of an object in an order of its own.
    run.refresh_from_db()
    shown = command("showrun", str(run.pk), "--json").out
    assert shown == json.dumps(factories.with_tasks(run, with_payload=True), indent=2) + "\n"


def test_long_values_are_cut_and_the_command_that_prints_all_is_named(workflow, command):
    run = factories.make_run(workflow, "success", {"RANDOM": "success"}, payload={"text": "x" * 5_000})
    (line,) = (line for line in command("showrun", str(run.pk)).lines if line.startswith("payload\t"))
    assert len(line) < 2_200
    assert line.endswith(f"x… (5,012 characters; “showrun {run.pk} --json” prints all)")
    assert "x" * 5_000 in command("showrun", str(run.pk), "--json").out


def test_a_run_of_many_tasks_is_read_in_pages(command, on_terminal):
    count = run_tasks.PAGE * 2 + 1
    steps = [f"T{number}" for number in range(count - 1)]
    workflow = factories.make_workflow(factories.definition("shop.WIDE", factories.group("G", *steps), "Z"))
    run = factories.make_run(workflow)
    shown = command("showrun", str(run.pk))
    assert [line.split("\t")[0] for line in shown.lines[-count:]] == [*steps, "Z"]
    assert [line.split()[0] for line in on_terminal("showrun", str(run.pk)).lines[-count:]] == [*steps, "Z"]
    listed = json.loads(command("showrun", str(run.pk), "--json").out)["tasks"]
    assert [task["step"] for task in listed] == [*steps, "Z"]
    with CaptureQueriesContext(connection) as captured:
        command("showrun", str(run.pk))
    rows = [query["sql"] for query in captured if "LIMIT 200" in query["sql"]]
    assert len(rows) == 3
    assert not [sql for sql in rows if '"result"' in sql or "`result`" in sql]


def test_a_table_longer_than_what_decides_its_columns_is_printed_whole():
    stream = OutputWrapper(Terminal())
    rows = ALIGNED + 2
    Printer(stream, no_style()).table(["N", "TEXT"], ([number * 10**5, "x"] for number in range(rows)))
    lines = stream.getvalue().splitlines()
    assert len(lines) == rows + 1
    assert lines[-1] == f"{(rows - 1) * 10**5}  x"


def test_watching_a_finished_run_ends_at_once(failed, command):
    watched = command("showrun", str(failed.pk), "--watch")
    assert "RANDOM failed 0.2 s: ValueError: bad luck" in watched.talk
    assert "status\tfailed" in watched.lines


@pytest.mark.parametrize("form", ["{0}", "{0:.20}", "{1}", "{1:.16}", " {0} "])
def test_a_run_is_found_by_a_unique_prefix(failed, command, form):
    spelled = form.format(str(failed.pk), failed.pk.hex).upper()
    assert f"run\t{failed.pk}" in command("showrun", spelled).lines


def test_prefixes_find_exactly_what_begins_with_them(workflow, failing, command):
    base = int("0190a1b2c3d47000800000000a000000", 16)
    ids = [base, base + (1 << 24), base + (1 << 60), base + (1 << 100)]
    for number in ids:
        factories.make_run(workflow, id=UUID(int=number))
    message = str(failing("showrun", "0190a1b2c3d4"))
    assert all((str(UUID(int=number)) in message) == (number != ids[3]) for number in ids)
    assert f"run\t{UUID(int=ids[3])}" in command("showrun", UUID(int=ids[3]).hex[:7]).lines
    assert "several runs" in str(failing("showrun", "0190-a1b2-c3d4-7000-8000-0000"))


def test_a_workflow_in_place_of_a_run_is_told_so_with_its_last_runs(failed, failing):
    for name in ("showrun", "cancelworkflow", "retryworkflow", "relaunchworkflow"):
        message = str(failing(name, "shop.ORDER"))
        assert "is a workflow, not a run" in message
        assert str(failed.pk) in message
    factories.make_workflow("shop.NEW")
    assert "has no runs yet" in str(failing("showrun", "shop.NEW"))


def test_a_task_in_place_of_a_run_is_told_so(failed, failing):
    task = failed.tasks.first()
    assert f"is a task, not a run; its run is {failed.pk}" in str(failing("showrun", str(task.pk)))


@pytest.mark.parametrize("text", ["x", "01", "shop.NONE", "g" * 36, "0" * 33, ""])
def test_what_is_no_run_id_is_told_so(text, failing):
    assert "is no run id" in str(failing("showrun", text))


def test_an_unknown_run_is_told_so(failing):
    assert "no run has the id" in str(failing("showrun", "0" * 32))
    assert "no run has the id" in str(failing("showrun", "abcdef"))


def test_the_number_of_queries_does_not_grow(workflow, command, django_assert_max_num_queries):
    for _ in range(10):
        factories.make_run(workflow, created_at=timezone.now() - timedelta(hours=1))
    with django_assert_max_num_queries(2):
        command("listruns")
    with django_assert_max_num_queries(6):
        command("listworkflows")


def test_what_can_not_be_sent_is_said_of_its_task_and_its_run(workflow, command):
    why = "can't be sent to queue `slow`: QueueNotFound: Queue 'slow' missing from task_queues"
    run = factories.make_run(workflow, tasks={"EXTRACT": "success", "RANDOM": "running", "RANDOM-2": "queued"})
    other = factories.make_run(workflow, tasks={"EXTRACT": "queued"})
    run.tasks.filter(step="RANDOM-2").update(unsendable_since=timezone.now(), reason=why)
    lines = {line.split("\t")[0]: line.split("\t")[-1] for line in command("listruns").lines}
    assert lines[str(run.pk)] == f"RANDOM-2 {why}"
    assert lines[str(other.pk)].startswith("in queue `celery` since ")
    (row,) = (line for line in command("showrun", str(run.pk)).lines if line.startswith("RANDOM-2"))
    assert row.split("\t")[-1] == why
    task = run.tasks.get(step="RANDOM-2")
    reasons = [task_as_json(task, with_payload=sees_payload)["reason"] for sees_payload in (True, False)]
    assert reasons == [why, "can't be sent to queue `slow`"]
