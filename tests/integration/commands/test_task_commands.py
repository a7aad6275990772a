"""``reruntask`` and ``skiptask``, and how a TASK is named."""

import pytest
from django.contrib.admin.models import LogEntry

from django_director.common import ids
from django_director.models import Run
from django_director.presentation.lookups import find_task
from tests import factories

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def run():
    tasks = (factories.step("A"), factories.group("G", "B", "C"), factories.step("D"))
    hook = factories.step("hooks.failure.PAGE", task="PAGE")
    workflow = factories.make_workflow(factories.definition("shop.ORDER", *tasks, hooks={"failure": (hook,)}))
    statuses = {"A": "success", "B": "failed", "C": "success", "D": "upstream_failed"}
    return factories.make_run(workflow, "failed", statuses)


def test_rerun(run, command):
    preview = command("reruntask", f"{run.pk}:C", "--dry-run")
    assert preview.lines == ["C\tsuccess\trun again", "A\tsuccess\tstay", "B\tfailed\tstay"]
    assert preview.talk.splitlines() == [
        "1 task would run again; kept: 2",
        "1 further task: decided anew, would not run as things stand",
        "1 failed task would stay: the run would fail again",
    ]
    run.refresh_from_db()
    assert run.status == "failed"
    assert command("reruntask", f"{str(run.pk)[:13]}:C").lines == [f"shop.ORDER: rerunning C of run {run.pk}"]
    run.refresh_from_db()
    assert (run.status, run.generation, run.tasks.get(step="C").status) == ("running", 1, "queued")


def test_skip(run, command):
    factories.make_user("eva", "retry_run")
    task = run.tasks.get(step="B")
    preview = command("skiptask", str(task.pk), "--dry-run")
    assert preview.lines == [
        "B\tfailed\tbe skipped",
        "D\tupstream_failed\trun again",
        "A\tsuccess\tstay",
        "C\tsuccess\tstay",
    ]
    skipped = command("skiptask", str(task.pk), "--user", "eva", "--comment", "done by hand")
    assert skipped.lines == [f"shop.ORDER: skipped B of run {run.pk}"]
    task.refresh_from_db()
    assert (task.status, task.reason) == ("skipped", "skipped by eva: done by hand")
    entries = LogEntry.objects.order_by("pk").values_list("object_id", "change_message", "user__username")
    assert list(entries) == [
        (str(task.pk), "Skipped (command)", "eva"),
        (str(run.pk), "B: Skipped (command)", "eva"),
    ]


def test_who_may_not_changes_nothing(run, command, failing):
    factories.make_user("eva", "cancel_run")
    for name in ("reruntask", "skiptask"):
        assert "it needs django_director.retry_run" in str(failing(name, f"{run.pk}:B", "--user", "eva"))
    assert Run.objects.get().generation == 0


def test_a_conflict_is_told(run, failing):
    assert str(failing("skiptask", f"{run.pk}:A")) == (
        f"task “A” of run {run.pk} can't be skipped: its status is success; only failed and canceled tasks can"
    )


def test_how_a_task_is_named(run):
    assert find_task(f"{run.pk.hex}:B").step == "B"
    hooks = [factories.make_task(run, 4, "success", pk=ids.hook_id(run.pk, n, 4), generation=n) for n in (0, 1)]
    assert find_task(f"{run.pk}:hooks.failure.PAGE") == find_task(f"{run.pk}:PAGE") == hooks[1]
    position = run.tasks.get(step="D").position
    for index in (0, 3):
        factories.make_task(run, position, pk=ids.new_id(), map_index=index, generation=0)
    run.tasks.filter(step="D", map_index=-1).delete()
    assert find_task(f"{run.pk}:D:3").map_index == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{run}:G", "“G” is a group or chain of run {run}, not a task; name one of its steps"),
        (
            "{run}:hooks.failur",
            "run {run} has no task “hooks.failur” (did you mean “hooks.failure.PAGE”?)",
        ),
        ("{run}:B:0", "run {run} has no task “B:0”"),
        ("{run}:B:99999999999", "run {run} has no task “B:99999999999”"),
        ("{run}:", "run {run} has no task “”"),
        ("{run}", "“{run}” is a run; name a task of it as {run}:STEP (“showrun {run}” lists them)"),
        ("B", "no task has the id “B” (a task is named by its whole id, or as RUN:STEP[:INDEX])"),
        ("shop.ORDER:B", "“shop.ORDER” is a workflow, not a run; its last runs:"),
    ],
)
def test_a_wrong_name_is_told_the_way_out(run, failing, text, message):
    factories.make_task(run, 4, "success", pk=ids.hook_id(run.pk, 0, 4))
    error = str(failing("reruntask", text.format(run=run.pk)))
    assert error.startswith(message.format(run=run.pk)), error


def test_a_step_with_several_instances_asks_for_the_index(run, failing):
    position = run.tasks.get(step="D").position
    run.tasks.filter(step="D").update(map_index=0)
    factories.make_task(run, position, pk=ids.new_id(), map_index=1)
    error = str(failing("reruntask", f"{run.pk}:D"))
    assert error == f"“D” stands for several tasks of run {run.pk}; add an index, as D:0"


def test_relaunch_says_with_what(run, command, failing):
    (line,) = command("relaunchworkflow", str(run.pk), "--comment", "again").lines
    assert Run.objects.get(pk=line.split()[-1]).comment == "again"
    run.workflow.is_active = False
    run.workflow.save(update_fields=["is_active"])
    for version in ([], ["--same-version"]):
        for dry in ([], ["--dry-run"]):
            error = failing("relaunchworkflow", str(run.pk), *version, *dry)
            assert str(error) == "workflow “shop.ORDER” has left the workflow files and can't be started any more"
