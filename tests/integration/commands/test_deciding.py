import json

import pytest
from django.contrib.admin.models import LogEntry
from django.core.management import CommandError

from django_director.engine.steps import timers
from django_director.models import Run, Task
from tests import factories
from tests.asking import asked
from tests.factories import approval, wait

pytestmark = pytest.mark.django_db(transaction=True)


def test_approve(command):
    run, task = asked()
    assert command("approvetask", f"{run.pk}:OK", comment="fine").lines == [
        f"shop.ORDER: approved “OK” of run {run.pk}"
    ]
    task.refresh_from_db()
    assert (task.status, task.reason, task.decision["by"]) == ("success", "approved: fine", None)


def test_reject_by_id_on_behalf_of_somebody(command):
    run, task = asked()
    factories.make_user("ann", "approve_task")
    done = command("approvetask", str(task.pk), "--reject", "--comment", "too expensive", "--user", "ann")
    assert done.lines == [f"shop.ORDER: rejected “OK” of run {run.pk}"]
    task.refresh_from_db()
    assert (task.status, task.error) == ("failed", "Rejected by ann: too expensive")
    entry = LogEntry.objects.get(object_id=str(task.pk))
    assert (entry.object_id, entry.change_message) == (str(task.pk), "Rejected (command)")


def test_who_may_not(command, failing):
    run, task = asked(approval("OK", permission="shop.approve_order"), "SHIP")
    factories.make_user("bob", "approve_task")
    error = failing("approvetask", f"{run.pk}:OK", "--user", "bob")
    assert str(error) == "user “bob” may not approve with “shop.ORDER”: it needs shop.approve_order"
    assert Task.objects.get(pk=task.pk).asked_at is not None


def test_a_preview_changes_nothing(command, failing):
    run, task = asked(approval("OK", prompt="Ship\nit?", timeout=60, on_timeout="skip"), "SHIP")
    lines = command("approvetask", f"{run.pk}:OK", "--dry-run").lines
    assert lines[0] == "prompt\tShip it?"
    assert [line.split("\t")[0] for line in lines[1:4]] == ["asked", "until", "then"]
    assert lines[3:] == [
        "then\tskip",
        "who may\tdjango_director.approve_task",
        "“OK” would be approved, and what comes after it would start",
    ]
    reject = command("approvetask", f"{run.pk}:OK", "--dry-run", "--reject")
    assert reject.lines[-1] == "“OK” would be rejected, and fail"
    assert Task.objects.get(pk=task.pk).asked_at is not None
    command("approvetask", f"{run.pk}:OK")
    text = f"“OK” of run {run.pk} can't be rejected: it was approved"
    assert str(failing("approvetask", f"{run.pk}:OK", "--dry-run", "--reject")) == text
    assert str(failing("approvetask", f"{run.pk}:OK", "--reject")) == text
    assert "has no task “KO”" in str(failing("approvetask", f"{run.pk}:KO"))


def test_showrun_says_what_is_waited_for(command):
    run, _ = asked(approval("OK", prompt="Ship this\x1b[31m order?", timeout=3600), "SHIP")
    shown = json.loads(command("showrun", str(run.pk), "--json").out)
    (task,) = [task for task in shown["tasks"] if task["step"] == "OK"]
    row = next(line for line in command("showrun", str(run.pk)).lines if line.startswith("OK\t"))
    assert row.split("\t")[-1] == f"waits for approval until {task['waits_until']}: Ship this [31m order?"
    assert (task["kind"], task["status"]) == ("approval", "waiting")


def test_showrun_says_until_when_a_wait_waits(command):
    factories.make_workflow(factories.definition("shop.ORDER", wait("W", 3600)))
    from tests.integration.engine import driver

    run = driver.engine.start("shop.ORDER")
    driver.own_steps.perform(driver.claim(run, "W"))
    row = next(line for line in command("showrun", str(run.pk)).lines if line.startswith("W\t"))
    until = json.loads(command("showrun", str(run.pk), "--json").out)["tasks"][0]["waits_until"]
    assert row.split("\t")[-1] == f"waits until {until}"


def test_a_local_run_stops_at_an_approval(command, failing, capsys):
    factories.make_workflow(factories.definition("shop.ORDER", "NOOP", approval("OK", prompt="Now?"), "ECHO"))
    error = failing("runworkflow", "shop.ORDER", "--local")
    run = Run.objects.get()
    assert error.returncode == 3
    assert str(error) == (
        f"run {run.pk} waits for approval of “OK”: see “approvetask {run.pk}:OK”; a worker takes it from there"
    )
    assert run.tasks.get(step="OK").asked_at is not None


def test_a_local_run_says_what_is_asked_and_waits_for_times(command):
    definition = factories.definition("shop.ORDER", wait("W", 0.2), approval("OK"), "NOOP")
    factories.make_workflow(definition)
    from io import StringIO

    from django.core.management import call_command

    talk = StringIO()
    with pytest.raises(CommandError):
        call_command("runworkflow", "shop.ORDER", "--local", stdout=StringIO(), stderr=talk)
    run = Run.objects.get()
    assert f"OK waits for approval (approvetask {run.pk}:OK)" in talk.getvalue()
    assert run.tasks.get(step="W").status == "success"
    assert run.tasks.get(step="W").duration >= 0.2


def test_pause_says_that_waits_go_on(command):
    run, _ = asked()
    assert command("pauseworkflow", str(run.pk), "--dry-run").lines[:2] == [
        "1 task would not start until the run is resumed",
        "1 waiting task would keep waiting",
    ]
    assert timers.fire() == 0
