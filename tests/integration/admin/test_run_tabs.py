import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_director import engine
from django_director.models import Attempt, Task, TaskLog
from tests import factories
from tests.integration.admin.pages import Page, address, order, text

pytestmark = pytest.mark.django_db

TABS = ("steps", "timeline", "log", "data", "events")


def tab(client, run, name, **parameters):
    response = client.get(address("run_change", run.pk), {"tab": name, **parameters})
    assert response.status_code == 200
    return text(response)


def ended(workflow=None):
    """FETCH for 2 s, then STOCK for 8 s beside PRICE for 3 s, then SHIP for 1 s; each was queued for a second."""
    run = factories.make_run(
        workflow or order(), "success", dict.fromkeys(("FETCH", "STOCK", "PRICE", "SHIP"), "success")
    )
    start = timezone.now() - timedelta(minutes=1)
    for step, begun, finished in (("FETCH", 1, 3), ("STOCK", 4, 12), ("PRICE", 4, 7), ("SHIP", 13, 14)):
        moments = {"queued_at": begun - 1, "started_at": begun, "finished_at": finished}
        Task.objects.filter(run=run, step=step).update(
            **{name: start + timedelta(seconds=second) for name, second in moments.items()}
        )
    return run


def log(run, step, *lines, attempt=1):
    task = run.tasks.get(step=step)
    TaskLog.objects.create(
        task=task, sequence=attempt, attempt=attempt, text="".join(f"{line}\n" for line in lines)
    )


def bars(page):
    """The title of each row of the timeline, by its label."""
    return {label: title for title, label in re.findall(r"<title>([^<]*)</title><text[^>]*>([^<]*)<", page)}


def test_the_timeline_tells_when_each_task_waited_and_ran(viewer):
    found = bars(tab(viewer, ended(), "timeline"))
    assert found["STOCK"] == "STOCK, success, waited 1.0 s, took 8.0 s, on the critical path"
    assert found["PRICE"] == "PRICE, success, waited 1.0 s, took 3.0 s"
    assert "critical" in found["FETCH"]
    assert "critical" in found["SHIP"]


def test_the_timeline_tells_of_lost_and_failed_attempts(viewer):
    run = ended()
    stock = run.tasks.get(step="STOCK")
    for number, outcome in ((1, "lost"), (2, "failed")):
        Attempt.objects.create(
            task=stock, number=number, outcome=outcome, started_at=stock.queued_at, finished_at=stock.started_at
        )
    page = tab(viewer, run, "timeline")
    assert "tried 2 times before" in bars(page)["STOCK"]
    assert page.count("director-try") == 2


def test_the_timeline_of_a_run_in_work_and_of_one_that_has_not_begun(viewer):
    workflow = order()
    run = factories.make_run(workflow, tasks={"FETCH": "running"})
    assert "running" in bars(tab(viewer, run, "timeline"))["FETCH"]
    assert "Nothing has been queued yet." in tab(viewer, factories.make_run(workflow), "timeline")


def test_the_lines_of_all_tasks_are_merged_by_time(operator):
    run = ended()
    log(run, "STOCK", "2026-11-30T02:00:02.000Z INFO a: second", "  and more of it")
    log(run, "PRICE", "2026-11-30T02:00:01.000Z INFO a: first", "2026-11-30T02:00:03.000Z ERROR a: third")
    page = tab(operator, run, "log")
    shown = [page.index(words) for words in ("a: first", "a: second", "and more of it", "a: third")]
    assert shown == sorted(shown)


def test_the_log_is_filtered_by_level_and_by_words(operator):
    run = ended()
    log(
        run,
        "STOCK",
        "2026-11-30T02:00:02.000Z INFO a: hushed",
        "2026-11-30T02:00:03.000Z ERROR a: Loud",
        "  trace",
    )
    page = tab(operator, run, "log", level="WARNING")
    assert ("hushed" in page, "Loud" in page, "trace" in page) == (False, True, True)
    page = tab(operator, run, "log", words="loud")
    assert ("hushed" in page, "a: Loud" in page) == (False, True)
    assert "No line matches." in tab(operator, run, "log", words="nothing")
    assert "hushed" in tab(operator, run, "log", level="NONSENSE")
    assert "No task has logged anything." in tab(operator, ended(order("shop.OTHER")), "log")


def test_the_whole_log_is_downloaded(operator, viewer):
    run = ended()
    log(run, "STOCK", "one", "two")
    answer = operator.get(address("run_log", run.pk))
    assert b"".join(answer.streaming_content).decode() == "STOCK#1 one\nSTOCK#1 two\n"
    assert "attachment" in answer.headers["Content-Disposition"]
    assert viewer.get(address("run_log", run.pk)).status_code == 403


def test_codes_of_terminals_and_of_writing_direction_do_nothing(operator):
    run = ended()
    log(run, "STOCK", "\x1b[31mred\x1b[0m \x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\ \u202etxt.exe \x07")
    page = tab(operator, run, "log")
    assert "red link" in page
    for hidden in ("\x1b", "\u202e", "\x07", "[31m"):
        assert hidden not in page


def test_the_events_tell_who_did_what_and_how_attempts_ended(operator):
    tasks = {"FETCH": "success", "STOCK": "success", "PRICE": "failed", "SHIP": "upstream_failed"}
    run = factories.make_run(order(), "failed", tasks)
    price = run.tasks.get(step="PRICE")
    Attempt.objects.create(task=price, number=1, outcome="lost", error="worker lost", finished_at=timezone.now())
    engine.retry(run, user=operator.user, via="admin")
    engine.pause(run, user=operator.user)
    page = tab(operator, run, "events")
    for shown in ("Retried (admin)", "Paused", "olga", "Attempt 1", "worker lost", "Created"):
        assert shown in page


def test_without_permission_for_payloads_no_text_of_the_code_is_shown(viewer):
    run = ended()
    log(run, "STOCK", "card 4111")
    price = run.tasks.get(step="PRICE")
    Attempt.objects.create(
        task=price, number=1, outcome="failed", error="ValueError: card 4222", finished_at=timezone.now()
    )
    for name in TABS:
        page = tab(viewer, run, name)
        assert "4111" not in page
        assert "4222" not in page


def test_without_permission_for_tasks_there_are_tabs_that_need_none(client_of):
    client, run = client_of("view_workflow", "view_run"), ended()
    page = tab(client, run, "timeline")
    assert "?tab=events" in page
    assert "?tab=timeline" not in page
    assert "STOCK" not in page
    assert "STOCK" not in tab(client, run, "events")


@pytest.mark.parametrize("name", TABS)
def test_the_number_of_queries_does_not_grow_with_the_tasks(name, operator):
    def count(run):
        tab(operator, run, name)
        with CaptureQueriesContext(connection) as caught:
            tab(operator, run, name)
        return len(caught)

    names = [f"t{number}" for number in range(60)]
    workflow = factories.make_workflow(factories.definition("a.B", factories.group("G", *names), "Z"))
    large = factories.make_run(workflow, "failed", dict.fromkeys(names, "failed"))
    for step in names:
        log(large, step, "line")
    small = factories.make_run(order(), "failed", {"STOCK": "failed"})
    log(small, "STOCK", "line")
    # The limit for locks with which the history is read takes up to four statements.
    assert count(small) == count(large) <= (16 if name == "events" else 13)


@pytest.mark.parametrize("name", TABS)
def test_hostile_names_stay_text_under_a_strict_policy(name, operator):
    evil = "<script>alert(1)</script>\u202e"
    run = factories.make_run(
        factories.make_workflow(factories.definition("a.B", evil)), "failed", {evil: "failed"}
    )
    log(run, evil, evil)
    page = tab(operator, run, name)
    assert "<script>alert" not in page
    assert "\u202e" not in page
    assert Page(page).forbidden == []


def test_a_timeline_that_is_cut_leaves_out_what_is_well(viewer):
    names = [f"t{number}" for number in range(510)]
    workflow = factories.make_workflow(factories.definition("a.B", factories.group("G", *names)))
    run = factories.make_run(
        workflow, tasks={**dict.fromkeys(names, "success"), "t505": "failed", "t507": "running"}
    )
    begun = timezone.now() - timedelta(minutes=1)
    for number, task in enumerate(run.tasks.order_by("position")):
        task.started_at = begun + timedelta(milliseconds=number)
        task.save(update_fields=["started_at"])
    page = tab(viewer, run, "timeline")
    found = bars(page)
    assert len(found) == 500
    assert "failed" in found["t505"]
    assert "running" in found["t507"]
    assert {"t0", "t497"} <= set(found)
    assert "t498" not in found
    assert "500 tasks are shown" in page


def test_payload_and_result_are_files(operator, viewer):
    run = factories.make_run(
        factories.make_workflow(factories.definition("a.B", "A")),
        "success",
        {"A": "success"},
        payload={"password": "hunter2", "text": "x" * 50_000},
    )
    run.tasks.update(result={"answer": 42, "token": "hunter2"})
    page = tab(operator, run, "data")
    assert f'<a href="{address("run_payload", run.pk)}">Download all</a>' in page
    payload, result = (operator.get(address(f"run_{name}", run.pk)) for name in ("payload", "result"))
    assert payload.json() == {"password": "********", "text": "x" * 50_000}
    assert result.json() == {"answer": 42, "token": "********"}
    assert result["Content-Disposition"] == f'attachment; filename="{run.pk}-result.json"'
    assert viewer.get(address("run_payload", run.pk)).status_code == 403
    going = factories.make_run(order())
    assert operator.get(address("run_result", going.pk)).status_code == 409
