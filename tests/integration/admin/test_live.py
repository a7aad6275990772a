"""What pages that change by themselves ask for, what they get, and what that costs."""

import base64
import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_director import engine
from django_director.admin import task_filters
from django_director.db.functions import Now
from django_director.models import Lease, Run, Task, TaskLog
from django_director.status import TaskStatus
from tests import factories
from tests.integration.admin.pages import address, order, shown_buttons, statuses, text

pytestmark = pytest.mark.django_db

OVERVIEW = ("overview",)
ENDED = dict.fromkeys(("FETCH", "STOCK", "PRICE", "SHIP"), "success")


def look(client, page, *args, tag=None, **parameters):
    headers = {"If-None-Match": tag} if tag else {}
    return client.get(address(page, *args), parameters, headers=headers)


def of_run(client, run, tag=None, **parameters):
    return look(client, "run_live", run.pk, tag=tag, **parameters)


def rows_of(*rows):
    return ".".join(base64.urlsafe_b64encode(row.pk.bytes).decode().rstrip("=") for row in rows)


def succeed(run, step):
    values = {"status": TaskStatus.SUCCESS, "finished_at": timezone.now(), "lease_until": None, "claim": None}
    run.tasks.filter(step=step).update(**values)


def test_the_answer_is_the_part_of_the_page_that_can_change(operator):
    run = factories.make_run(order(), tasks={"FETCH": "success", "STOCK": "running"})
    # So long ago that the axis of the timeline and its texts stay the same for half a minute.
    begun = timezone.now() - timedelta(hours=3, seconds=30)
    Run.objects.filter(pk=run.pk).update(created_at=begun, started_at=begun)
    run.tasks.filter(step="STOCK").update(queued_at=begun, started_at=begun)
    for tab in ("steps", "timeline", "log", "data", "events"):
        answer = text(of_run(operator, run, tab=tab))
        page = text(operator.get(address("run_change", run.pk), {"tab": tab}))
        begin, end = '<div id="director-run"', "</section>"
        part = page[page.index(begin) : page.rindex(end)]
        # Durations, and where the timeline draws them.
        without_times = re.compile(r'\d+(\.\d+)? m?s|\d+\.\d+|(?<=")\d+(?=")|<time.*?</time>')
        assert without_times.sub("", part) in without_times.sub("", answer), tab
        assert "<html" not in answer
    assert statuses(of_run(operator, run))["STOCK"] == "running"
    assert shown_buttons(of_run(operator, run)) == {"cancel", "pause"}


CHANGES = {
    "a task ends": lambda run: succeed(run, "STOCK"),
    "a task reports": lambda run: run.tasks.filter(step="STOCK").update(progress={"done": 2, "total": 5}),
    "it reports of the same length": lambda run: run.tasks.filter(step="PRICE").update(progress={"done": 8}),
    "two tasks change places": lambda run: (
        succeed(run, "STOCK"),
        run.tasks.filter(step="SHIP").update(
            status="running", lease_until=timezone.now(), claim=1, attempt=1, started_at=timezone.now()
        ),
    ),
    "a task fails for the second time": lambda run: run.tasks.filter(step="SHIP").update(failures=2),
    "the run is paused": engine.pause,
    "the run is canceled": engine.cancel,
}


@pytest.mark.parametrize("change", CHANGES)
def test_nothing_is_sent_twice_and_no_change_is_missed(change, viewer):
    run = factories.make_run(order(), tasks={"FETCH": "success", "STOCK": "running", "PRICE": "running"})
    run.tasks.filter(step="PRICE").update(progress={"done": 7})
    first = of_run(viewer, run)
    again = of_run(viewer, run, first["ETag"])
    assert (again.status_code, again.content) == (304, b"")
    CHANGES[change](run)
    changed = of_run(viewer, run, first["ETag"])
    assert changed.status_code == 200
    assert changed["ETag"] != first["ETag"]


def test_a_run_that_is_retried_learns_what_became_of_its_relaunch(viewer):
    run = factories.make_run(order(), tasks={"FETCH": "running"}, generation=1)
    new = factories.make_run(run.workflow, relaunched_from=run)
    first = of_run(viewer, run)
    assert of_run(viewer, run, first["ETag"]).status_code == 304
    engine.cancel(new)
    assert "canceled" in text(of_run(viewer, run, first["ETag"]))


def test_the_log_tab_learns_of_new_lines(operator):
    run = factories.make_run(order(), tasks={"FETCH": "running"})
    row = TaskLog.objects.create(task=run.tasks.get(step="FETCH"), sequence=1, attempt=1, text="one\n")
    first = of_run(operator, run, tab="log")
    assert of_run(operator, run, first["ETag"], tab="log").status_code == 304
    TaskLog.objects.filter(pk=row.pk).update(text="one\ntwo\n")
    assert "two" in text(of_run(operator, run, first["ETag"], tab="log"))


def test_an_answer_is_for_one_user_and_one_address(viewer, operator):
    run = factories.make_run(order(), tasks={"FETCH": "running"})
    tags = {of_run(client, run, tab=tab)["ETag"] for client in (viewer, operator) for tab in ("steps", "events")}
    assert len(tags) == 4


def test_the_page_asks_until_the_run_and_its_hooks_have_ended(viewer):
    run = factories.make_run(order(hooks={"failure": (factories.step("PAGE"),)}), tasks=ENDED)
    assert "data-live=" in text(of_run(viewer, run))
    Run.objects.filter(pk=run.pk).update(status="success", finished_at=timezone.now())
    assert "data-live=" not in text(of_run(viewer, run))
    hook = factories.make_task(run, 4, "running")
    assert "data-live=" in text(of_run(viewer, run))
    hook.delete()
    assert "data-live=" not in text(of_run(viewer, run))


@pytest.mark.parametrize("page", ["run", "task", "runs", "tasks", "overview", "workflows"])
def test_what_has_not_changed_costs_few_queries_whatever_there_is(page, client_of):
    """Signing in takes four, and the row of the object one."""
    client = client_of("view_run", "view_task", "view_workflow", "view_payload")
    Lease.objects.create(name="supervisor", holder="w", until=Now(), beat_at=Now())

    def asked():
        run = Run.objects.latest("pk")
        task = run.tasks.first()
        pages = {
            "run": ("run_live", run.pk),
            "task": ("task_live", task.pk),
            "runs": ("run_list_live",),
            "tasks": ("task_list_live",),
            "overview": OVERVIEW,
            "workflows": ("workflow_list_live",),
        }
        rows = {"rows": rows_of(*Run.objects.all())} if page == "runs" else {}
        rows |= {"rows": rows_of(*Task.objects.all()[:100])} if page == "tasks" else {}
        for _ in range(3):  # the stamp of the overview holds for some seconds
            tag = look(client, *pages[page], **rows)["ETag"]
            with CaptureQueriesContext(connection) as caught:
                answer = look(client, *pages[page], tag=tag, **rows)
            if answer.status_code == 304:
                return len(caught)
        pytest.fail("never 304")

    factories.make_run(order(), tasks={"FETCH": "running"})
    few = asked()
    names = [f"t{number}" for number in range(60)]
    large = factories.make_workflow(factories.definition("a.B", factories.group("G", *names)))
    for _ in range(3):
        factories.make_run(large, tasks=dict.fromkeys(names[:30], "running"))
    assert asked() == few <= {"run": 6, "task": 7, "runs": 6, "tasks": 6, "overview": 6, "workflows": 6}[page]


def test_rows_of_a_list_change_at_their_places(viewer):
    first, second = factories.make_run(order(), tasks=ENDED), factories.make_run(order())
    asked = {"rows": rows_of(second, first), "status__exact": "running"}
    answer = look(viewer, "run_list_live", **asked)
    assert "4 / 4" in text(answer)
    assert look(viewer, "run_list_live", tag=answer["ETag"], **asked).status_code == 304
    Run.objects.filter(pk=first.pk).update(status="success", finished_at=timezone.now())
    changed = look(viewer, "run_list_live", tag=answer["ETag"], **asked)
    # It is still there, although the list shows running ones only.
    assert text(changed).count("/change/") == 2
    assert "director-badge director-success" in text(changed)


@pytest.mark.parametrize(
    ("parameters", "new"),
    [({}, "3 are new"), ({"status__exact": "failed"}, "1 is new"), ({"p": "2"}, None), ({"o": "1"}, None)],
)
def test_a_list_says_how_many_new_rows_fit_its_filters(parameters, new, viewer):
    shown = factories.make_run(order(), "failed")
    for status in ("failed", "running", "running"):
        factories.make_run(order(), status)
    answer = text(look(viewer, "run_list_live", rows=rows_of(shown), **parameters))
    assert answer.count("/change/") == 1
    assert new in answer if new else "new:" not in answer


def test_an_empty_list_learns_of_its_first_row(viewer):
    assert "1 is new" not in text(look(viewer, "run_list_live"))
    factories.make_run(order())
    assert "1 is new" in text(look(viewer, "run_list_live"))


def test_a_list_of_tasks_changes_too(viewer):
    run = factories.make_run(order(), tasks={"FETCH": "running"})
    task = run.tasks.get(step="FETCH")
    asked = {"rows": rows_of(task)}
    answer = look(viewer, "task_list_live", **asked)
    assert "director-running" in text(answer)
    succeed(run, "FETCH")
    assert "director-success" in text(look(viewer, "task_list_live", tag=answer["ETag"], **asked))


def test_the_list_of_workflows_changes_with_their_runs(viewer):
    def changed(tag=None):
        answer = look(viewer, "workflow_list_live", tag=tag, q="ORDER")
        bars = re.findall(r'<a class="director-(\w+)" href="[^"]*/run/', text(answer))
        return answer["ETag"], bars

    run = factories.make_run(order(), tasks={"FETCH": "failed"})
    tag, bars = changed()
    assert bars == ["running"]
    for change, shown in [
        (lambda: engine.pause(run), "paused"),
        (lambda: engine.resume(run), "running"),
        (lambda: engine.cancel(run), "canceling"),
        (lambda: Run.objects.filter(pk=run.pk).update(status="canceled", finished_at=Now()), "canceled"),
    ]:
        change()
        tag, bars = changed(tag)
        assert bars == [shown]
    factories.make_run(order(), "failed")
    factories.make_run(factories.make_workflow("shop.OTHER"))
    assert changed(tag)[1] == ["canceled", "failed"]


def test_rows_of_tasks_stay_where_the_list_looks_among_the_newest_only(viewer, monkeypatch):
    run = factories.make_run(order(), "failed", tasks={"FETCH": "failed"})
    monkeypatch.setattr(task_filters, "SEARCHED", 1)
    asked = {"rows": rows_of(run.tasks.get(step="FETCH")), "status__exact": "failed"}
    asked["run__workflow__id__exact"] = str(run.workflow_id)
    factories.make_run(order(), "failed", tasks={"FETCH": "failed"})
    answer = look(viewer, "task_list_live", **asked)
    assert text(answer).count("director-badge director-failed") == 1
    assert "1 is new" in text(answer)


@pytest.mark.parametrize("rows", ["", ".", "x", "=", "é", "A" * 5000, "A." * 5000])
def test_ids_that_are_none_do_no_harm(rows, viewer):
    factories.make_run()
    for page in ("run_list_live", "task_list_live"):
        assert look(viewer, page, rows=rows).status_code == 200


def test_it_is_read_only_and_not_for_strangers(viewer, client):
    run = factories.make_run(order())
    assert viewer.post(address("run_live", run.pk)).status_code == 405
    assert of_run(client, run).status_code == 302
    assert viewer.get(address("run_live", "01a207d5-24ac-784a-9cc1-6b3fe7000000")).status_code == 404


@pytest.mark.parametrize("page", ["run_list_live", "task_list_live", "workflow_list_live"])
def test_a_filter_that_can_not_be_used_is_no_fault_of_the_server(page, viewer):
    for name in ("q", "status__exact", "user", "o"):
        assert look(viewer, page, **{name: "a\0b"}).status_code == 400
