from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_director.models import Attempt, Run
from django_director.presentation import weak_steps
from tests import factories
from tests.integration.admin.pages import address, order, statuses, text

pytestmark = pytest.mark.django_db
STEPS = ("FETCH", "STOCK", "PRICE", "SHIP")


@pytest.fixture
def failed():
    """PRICE failed at its third attempt."""
    run = factories.make_run(
        order(),
        "failed",
        {"FETCH": "success", "STOCK": "success", "PRICE": "failed"},
        payload={"word": "abracadabra"},
    )
    task = run.tasks.get(step="PRICE")
    task.attempt, task.error, task.traceback = 3, "ConnectTimeout: gateway", "Traceback: in charge"
    task.save(update_fields=["attempt", "error", "traceback"])
    for number, outcome in ((1, "failed"), (2, "lost")):
        Attempt.objects.create(
            task=task,
            number=number,
            outcome=outcome,
            worker="celery@web-2",
            error=f"attempt {number} went wrong",
            traceback=f"Traceback {number}",
            finished_at=timezone.now(),
        )
    return task


def test_a_failed_task_shows_what_happened(failed, operator):
    page = text(operator.get(address("task_change", failed.pk)))
    for shown in (
        "Failed at attempt 3: ConnectTimeout: gateway",
        "Traceback: in charge",
        "abracadabra",
        address("run_change", failed.run_id),
        *(address("task_change", failed.run.tasks.get(step=step).pk) for step in ("FETCH", "SHIP")),
    ):
        assert shown in page
    # The attempts before have tabs of their own.
    for shown in ("?attempt=0.1#attempt", "?attempt=0.2#attempt", "lost"):
        assert shown in page
    assert "Traceback 2" not in page
    second = text(operator.get(address("task_change", failed.pk), {"attempt": "0.2"}))
    for shown in ("attempt 2 went wrong", "Traceback 2", "celery@web-2", "lost"):
        assert shown in second
    for other in ("attempt 1 went wrong", "Traceback: in charge"):
        assert other not in second


def test_tracebacks_and_payloads_ask_for_a_permission(failed, viewer):
    for attempt in ("", "0.2", "0.3"):
        page = text(viewer.get(address("task_change", failed.pk), {"attempt": attempt}))
        assert "ConnectTimeout" in page
        for secret in ("ConnectTimeout: gateway", "Traceback: in charge", "Traceback 2", "abracadabra"):
            assert secret not in page


def test_log_lines_ask_for_the_same_permission(failed, operator, viewer):
    for number in (1, 2):
        failed.logs.create(sequence=number, attempt=number, text=f"INFO shop: <b>line {number}</b>\n")
    page = text(operator.get(address("task_change", failed.pk), {"attempt": "0.2"}))
    assert "&lt;b&gt;line 2" in page
    assert "&lt;b&gt;line 1" not in page
    assert "line 2" not in text(viewer.get(address("task_change", failed.pk), {"attempt": "0.2"}))


def test_the_end_of_long_log_lines_is_shown(failed, operator):
    failed.logs.create(sequence=1, attempt=3, text="first\n" + "x\n" * 200_000 + "the last\n")
    page = text(operator.get(address("task_change", failed.pk)))
    assert "the last" in page
    assert "Only the end is shown." in page


def test_the_result_of_a_task(operator):
    run = factories.make_run(order(), tasks={"FETCH": "success"})
    run.tasks.filter(step="FETCH").update(result={"rows": [1, 2], "api_key": "k-123"})
    page = text(operator.get(address("task_change", run.tasks.get(step="FETCH").pk)))
    assert "&quot;rows&quot;" in page
    assert "k-123" not in page


def test_a_hook_has_a_page(operator):
    run = factories.make_run(order(hooks={"failure": (factories.step("PAGE"),)}), "failed")
    hook = factories.make_task(run, 4, "success")
    page = text(operator.get(address("task_change", hook.pk)))
    assert "hook" in page


def test_the_queries_of_a_task_page_do_not_grow(failed, operator):
    names = [f"t{number}" for number in range(100)]
    workflow = factories.make_workflow(factories.definition("a.B", factories.group("G", *names), "JOIN"))
    join = factories.make_run(workflow).tasks.get(step="JOIN")
    counts = []
    for task in (failed, join):
        operator.get(address("task_change", task.pk))
        with CaptureQueriesContext(connection) as caught:
            page = operator.get(address("task_change", task.pk))
        counts.append(len(caught))
    # The arguments and the log lines of a task that has been called cost one each.
    assert counts[0] == counts[1] + 2 <= 12
    assert "and 80 more" in text(page)


def test_a_workflow_shows_graph_source_versions_and_runs(operator):
    order()
    workflow = factories.make_workflow(factories.definition("shop.ORDER", "A", "B", source="shop.ORDER: [A, B]"))
    run = factories.make_run(workflow, "failed")
    page = operator.get(address("workflow_change", workflow.pk))
    assert set(statuses(page)) == {"A", "B"}
    for shown in (
        "shop.ORDER: [A, B]",
        address("run_change", run.pk),
        address("workflow_run", workflow.pk),
        "?version=1",
    ):
        assert shown in text(page)
    older = operator.get(address("workflow_change", workflow.pk), {"version": "1"})
    assert set(statuses(older)) == {"FETCH", "STOCK", "PRICE", "SHIP"}
    for nonsense in ("0", "x", "9" * 50):
        assert operator.get(address("workflow_change", workflow.pk), {"version": nonsense}).status_code == 200


def test_runs_of_a_workflow_are_shown_to_those_who_may_see_runs(client_of):
    run = factories.make_run(order())
    page = text(client_of("view_workflow").get(address("workflow_change", run.workflow_id)))
    assert str(run.pk)[:13] not in page
    assert "Run…" not in page


def test_a_workflow_without_a_version_has_a_page(operator):
    workflow = order()
    workflow.current_version = None
    workflow.save(update_fields=["current_version"])
    assert operator.get(address("workflow_change", workflow.pk)).status_code == 200
    assert operator.get(address("workflow_run", workflow.pk)).status_code == 200


@pytest.mark.django_db(transaction=True)
def test_what_was_done_stands_in_the_history(operator):
    run = factories.make_run(order(), "failed")
    operator.post(address("run_relaunch", run.pk))
    new = Run.objects.get(relaunched_from=run)
    assert f"Relaunched from {run.pk} (admin)" in text(operator.get(address("run_history", new.pk)))


def test_the_source_of_a_workflow_hides_secrets(viewer):
    workflow = order()
    version = workflow.current_version
    version.source = "shop.ORDER:\n  tasks:\n    - PAY:\n        with: {api_key: s3cret, size: 7}\n"
    version.save()
    page = text(viewer.get(address("workflow_change", workflow.pk)))
    assert "s3cret" not in page
    assert "size: 7" in page


def test_versions_are_compared(operator):
    order(source="shop.ORDER:\n  tasks: [A]\n  password: 4111\n")
    workflow = order(source="shop.ORDER:\n  tasks: [A, B]\n")
    page = text(operator.get(address("workflow_change", workflow.pk), {"version": "2", "against": "1"}))
    assert "Changes from version 1 to version 2" in page
    assert "<del>-  tasks: [A]</del>" in page
    assert "<ins>+  tasks: [A, B]</ins>" in page
    assert "<span>+++ version 2</span>" in page
    for wrong in ("x", "9", "99999999999", "-1"):
        response = operator.get(address("workflow_change", workflow.pk), {"against": wrong})
        assert response.status_code == 200
        assert "Changes from" not in text(response)


def test_the_page_of_a_workflow_names_its_weak_steps_and_versions(operator, django_assert_max_num_queries):
    first, now = order(), timezone.now()
    for number in range(4):
        run = factories.make_run(first, "success" if number else "failed", dict.fromkeys(STEPS, "success"))
        run.tasks.filter(step="SHIP").update(started_at=now, finished_at=now + timedelta(seconds=90 + number))
        run.tasks.filter(step="FETCH").update(attempt=2)
        if not number:
            run.tasks.filter(step="STOCK").update(status="failed")
    second = order()
    factories.make_run(second, "success", dict.fromkeys(STEPS, "success"))
    with django_assert_max_num_queries(12):
        page = operator.get(address("workflow_change", second.pk))
    slowest, flakiest = page.context["weak"]["slowest"], page.context["weak"]["flakiest"]
    assert slowest[0] == ("SHIP", "1 min 13 s")
    assert dict(flakiest) == {"FETCH": "succeeded after a retry in 4 runs", "STOCK": "failed in 1 run"}
    assert [share for _, _, share in page.context["versions"]] == ["100 % of 1 run", "75 % of 4 runs"]


def test_the_tasks_that_are_read_for_weak_steps_are_bounded(monkeypatch):
    monkeypatch.setattr(weak_steps, "ROWS", 8)
    runs = [factories.make_run(order(), "success", dict.fromkeys(STEPS, "success")) for _ in range(3)]
    assert weak_steps.find(runs, 4).runs == 2
    assert weak_steps.find(runs, 5_000).runs == 1
    assert weak_steps.find([], 4).slowest == []


def test_a_failed_run_leads_to_what_has_changed_since_the_last_success(operator):
    factories.make_run(order(), "success")
    run = factories.make_run(order(), "failed", {"STOCK": "failed"}, error="STOCK: E: x")
    page = text(operator.get(address("run_change", run.pk)))
    assert "last success with version 1" in page
    assert "?version=2&amp;against=1#changes" in page
