import pytest
from django.contrib.admin.models import LogEntry

from django_director import engine
from django_director.models import Run
from tests import factories

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def run():
    factories.make_workflow(factories.definition("shop.ORDER", "NOOP", "ERROR", "LOAD"))
    return engine.start("shop.ORDER", {"order": 7, "token": "t"})


def test_cancel(run, command, failing):
    assert command("cancelworkflow", run.pk.hex).lines == [f"shop.ORDER: canceled run {run.pk}"]
    run.refresh_from_db()
    assert run.status == "canceled"
    assert "its status is canceled" in str(failing("cancelworkflow", str(run.pk)))


def test_cancel_says_what_is_let_end(command):
    run = factories.make_run(tasks={"A": "running"})
    canceled = command("cancelworkflow", str(run.pk))
    assert canceled.lines == [f"shop.ORDER: canceling run {run.pk}"]
    assert "1 running task" in canceled.talk


def test_a_preview_changes_nothing(run, command, failing):
    preview = command("cancelworkflow", str(run.pk), "--dry-run")
    assert preview.lines[0] == "3 tasks would not start"
    run.refresh_from_db()
    assert run.status == "running"
    assert "its status is running" in str(failing("retryworkflow", str(run.pk), "--dry-run"))
    engine.cancel(run)
    assert "its status is canceled" in str(failing("cancelworkflow", str(run.pk), "--dry-run"))
    again = command("retryworkflow", str(run.pk), "--dry-run")
    assert again.lines == [f"{name}\tcanceled\trun again" for name in ("NOOP", "ERROR", "LOAD")]
    assert "kept: 0" in again.talk
    relaunch = command("relaunchworkflow", str(run.pk), "--dry-run")
    assert "workflow\tshop.ORDER" in relaunch.lines
    assert 'payload\t{"order": 7, "token": "********"}' in relaunch.lines
    run.refresh_from_db()
    assert run.status == "canceled"
    assert Run.objects.count() == 1


def test_a_run_that_was_relaunched_is_told_so(command):
    run = factories.make_run(status="failed", tasks={"A": "failed"})
    assert not [line for line in command("showrun", str(run.pk)).lines if line.startswith("relaunched as")]
    assert "relaunched" not in command("retryworkflow", str(run.pk), "--dry-run").talk
    first = factories.make_run(run.workflow, "failed", relaunched_from=run)
    second = factories.make_run(run.workflow, "success", relaunched_from=run)
    told = f"{second.pk} (success), {first.pk} (failed)"
    assert f"relaunched as\t{told}" in command("showrun", str(run.pk)).lines
    warning = f"the run was relaunched as {told}: what has run there would run again here"
    assert warning in command("retryworkflow", str(run.pk), "--dry-run").talk
    for name in ("reruntask", "skiptask"):
        assert warning in command(name, f"{run.pk}:A", "--dry-run").talk


def test_pause_and_resume(run, command, failing):
    preview = command("pauseworkflow", str(run.pk), "--dry-run")
    assert preview.lines[0] == "3 tasks would not start until the run is resumed"
    assert "its status is running" in str(failing("resumeworkflow", str(run.pk), "--dry-run"))
    assert "its status is running" in str(failing("resumeworkflow", str(run.pk)))
    assert command("pauseworkflow", str(run.pk)).lines == [f"shop.ORDER: paused run {run.pk}"]
    run.refresh_from_db()
    assert run.shown_status == "paused"
    assert "its status is paused" in str(failing("pauseworkflow", str(run.pk)))
    assert "its status is paused" in str(failing("pauseworkflow", str(run.pk), "--dry-run"))
    assert command("resumeworkflow", str(run.pk), "--dry-run").lines == ["1 task would start"]
    factories.make_user("ann", "cancel_run")
    resumed = command("resumeworkflow", str(run.pk), "--user", "ann")
    assert resumed.lines == [f"shop.ORDER: resumed run {run.pk}"]
    assert LogEntry.objects.get().change_message == "Resumed (command)"


def test_retry(run, command):
    engine.cancel(run)
    assert command("retryworkflow", str(run.pk)).lines == [f"shop.ORDER: retrying run {run.pk}"]
    run.refresh_from_db()
    assert (run.status, run.generation) == ("running", 1)


def test_relaunch(run, command):
    factories.make_workflow(factories.definition("shop.ORDER", "NOOP"))
    (line,) = command("relaunchworkflow", str(run.pk)).lines
    new = Run.objects.get(pk=line.split()[-1])
    assert (new.relaunched_from, new.payload, new.version.number) == (run, run.payload, 2)
    (line,) = command("relaunchworkflow", str(run.pk), '{"order": 8}', "--same-version").lines
    new = Run.objects.get(pk=line.split()[-1])
    assert (new.payload, new.version) == ({"order": 8}, run.version)


def test_a_user_needs_the_permission_and_leaves_a_trace(run, command, failing):
    factories.make_user("ann", "cancel_run", "run_workflow")
    error = failing("retryworkflow", str(run.pk), "--user", "ann")
    assert "user “ann” may not retry with “shop.ORDER”: it needs django_director.retry_run" in str(error)
    command("cancelworkflow", str(run.pk), "--user", "ann")
    entry = LogEntry.objects.get()
    assert (entry.user.username, entry.object_id, entry.change_message) == (
        "ann",
        str(run.pk),
        "Canceled (command)",
    )
    command("runworkflow", "shop.ORDER", "--user", "ann")
    assert Run.objects.first().user.username == "ann"
    assert "unknown user “bob”" in str(failing("runworkflow", "shop.ORDER", "--user", "bob"))
    assert Run.objects.count() == 2
