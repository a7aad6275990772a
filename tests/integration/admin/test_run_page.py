from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_director import engine
from django_director.definitions import Retry
from django_director.models import Run
from django_director.status import TaskStatus
from tests import factories
from tests.integration.admin.pages import Page, address, order, shown_buttons, statuses, text

pytestmark = pytest.mark.django_db

EVIL = "<script>alert(1)</script>"


def page_of(client, run, **parameters):
    response = client.get(address("run_change", run.pk), parameters)
    assert response.status_code == 200
    return response


def test_the_graph_is_coloured_by_status(viewer):
    run = factories.make_run(order(), tasks={"FETCH": "success", "STOCK": "running", "PRICE": "failed"})
    assert statuses(page_of(viewer, run)) == {
        "FETCH": "success",
        "STOCK": "running",
        "PRICE": "failed",
        "SHIP": "pending",
    }


def test_each_box_leads_to_its_task(viewer):
    run = factories.make_run(order())
    page = text(page_of(viewer, run))
    for task in run.tasks.all():
        assert page.count(f'href="{address("task_change", task.pk)}"') == 3  # a box in each drawing, and the row


def test_a_run_keeps_the_graph_it_started_with(viewer):
    run = factories.make_run(order())
    factories.make_workflow(factories.definition("shop.ORDER", "SOMETHING_ELSE"))
    assert set(statuses(page_of(viewer, run))) == {"FETCH", "STOCK", "PRICE", "SHIP"}


@pytest.mark.parametrize(
    ("status", "stop", "buttons"),
    [
        ("running", "", {"cancel", "pause"}),
        ("running", "cancel", {"cancel_by_force"}),
        ("pending", "", {"cancel", "pause"}),
        ("success", "", {"relaunch", "relaunch_with_changes"}),
        ("failed", "", {"retry", "relaunch", "relaunch_with_changes"}),
        ("canceled", "cancel", {"retry", "relaunch", "relaunch_with_changes"}),
    ],
)
def test_buttons_follow_the_state(status, stop, buttons, operator):
    run = factories.make_run(order(), status, stop=stop)
    assert shown_buttons(page_of(operator, run)) == buttons


def test_buttons_of_a_paused_run(operator):
    run = factories.make_run(order(), "running", paused_at=timezone.now())
    assert shown_buttons(page_of(operator, run)) == {"cancel", "resume"}


def test_buttons_follow_the_permissions(client_of):
    run = factories.make_run(order(), "failed")
    page = page_of(client_of("view_run", "cancel_run"), run)
    assert Page(text(page)).buttons == {
        "cancel": False,
        "cancel_by_force": False,
        "pause": False,
        "resume": False,
    }


def test_payload_and_result_ask_for_a_permission(viewer, operator):
    workflow = factories.make_workflow(factories.definition("a.B", "A"))
    run = factories.make_run(workflow, "success", {"A": "success"}, payload={"word": "abracadabra"})
    run.tasks.update(result={"answer": "forty-two"})
    for secret in ("abracadabra", "forty-two"):
        assert secret in text(page_of(operator, run, tab="data"))
        assert secret not in text(page_of(viewer, run, tab="data"))


def test_secrets_are_masked(operator):
    run = factories.make_run(order(), payload={"password": "hunter2", "order": 7})
    page = text(page_of(operator, run, tab="data"))
    assert "hunter2" not in page
    assert "********" in page


@pytest.mark.fault(29)
def test_long_texts_are_cut_and_say_so(operator):
    run = factories.make_run(order(), payload={"text": "x" * 50_000})
    page = text(page_of(operator, run, tab="data"))
    assert len(page) < 60_000
    assert "30,016 further characters are not shown." in page


def test_a_result_of_very_many_tasks_is_not_put_together_for_a_page(operator):
    names = [f"t{number}" for number in range(201)]
    workflow = factories.make_workflow(factories.definition("a.B", factories.group("G", *names)))
    run = factories.make_run(workflow, "success", dict.fromkeys(names, "success"))
    page = text(page_of(operator, run, tab="data"))
    assert "the results of 201 tasks." in page


def test_an_expression_of_the_result_that_fails_says_so(operator):
    workflow = factories.make_workflow(factories.definition("a.B", "A", result="payload.none"))
    run = factories.make_run(workflow, "success", {"A": "success"})
    assert "result: `payload.none`" in text(page_of(operator, run, tab="data"))


def test_the_number_of_queries_does_not_grow_with_the_tasks(operator):
    def queries(run):
        page_of(operator, run)  # compiles and draws the version
        with CaptureQueriesContext(connection) as caught:
            page_of(operator, run)
        return len(caught)

    small = factories.make_run(order(), "failed", {"STOCK": "failed"}, user=operator.user)
    names = [f"t{number}" for number in range(60)]
    workflow = factories.make_workflow(
        factories.definition("a.B", factories.group("G", *names), factories.group("H", "X", "Y"))
    )
    large = factories.make_run(workflow, "failed", {"t3": "failed"}, user=operator.user)
    assert queries(small) == queries(large) <= 13


@pytest.mark.fault(29)
def test_hostile_texts_stay_text(operator):
    workflow = factories.make_workflow(
        factories.definition("a.B", EVIL, "\u202e" + "long" * 40, description=EVIL, source=EVIL)
    )
    run = factories.make_run(
        workflow, "failed", {EVIL: "failed"}, comment=EVIL, error=EVIL, payload={EVIL: EVIL}, idempotency_key=EVIL
    )
    run.tasks.filter(step=EVIL).update(error=EVIL, traceback=EVIL * 3, reason=EVIL, worker=EVIL, queue=EVIL)
    task = run.tasks.get(step=EVIL)
    for url in (
        address("run_change", run.pk),
        address("task_change", task.pk),
        address("workflow_change", workflow.pk),
        address("workflow_run", workflow.pk),
        address("run_retry", run.pk),
        address("run_relaunch", run.pk),
        address("run_changelist"),
        address("task_changelist"),
        address("workflow_changelist"),
    ):
        response = operator.get(url)
        assert response.status_code == 200, url
        assert EVIL not in text(response), url


def test_no_page_needs_an_inline_script_or_style(operator):
    workflow = order(schema={"type": "object", "properties": {"n": {"type": "integer"}, "x": {}}})
    run = factories.make_run(workflow, "failed", {"FETCH": "failed"}, payload={"n": 1})
    live = factories.make_run(workflow)
    for url in (
        *(address(f"{model}_changelist") for model in ("run", "task", "workflow")),
        *(address("run_change", pk) for pk in (run.pk, live.pk)),
        *(address(f"run_{name}", run.pk) for name in ("retry", "relaunch", "cancel", "history")),
        address("task_change", run.tasks.first().pk),
        address("workflow_change", workflow.pk),
        address("workflow_run", workflow.pk),
    ):
        page = Page(text(operator.get(url)))
        assert page.forbidden == [], url
        assert len(page.ids) == len(set(page.ids)), url


def test_only_what_may_change_is_asked_for_again(viewer):
    assert "data-live=" in text(page_of(viewer, factories.make_run(order())))
    finished = factories.make_run(
        order("other.FLOW"),
        "failed",
        {"FETCH": "failed", "STOCK": "upstream_failed", "PRICE": "upstream_failed", "SHIP": "upstream_failed"},
    )
    assert "data-live=" not in text(page_of(viewer, finished))


def test_an_unknown_run_leads_back_with_a_message(viewer):
    response = viewer.get(address("run_change", "01a207d5-24ac-784a-9cc1-6b3fe7000000"), follow=True)
    assert response.redirect_chain
    assert "01a207d5-24ac-784a-9cc1-6b3fe7000000" in text(response)
    assert viewer.get("/admin/django_director/run/nonsense/change/", follow=True).status_code == 200


def test_the_page_asks_for_its_permission(client_of):
    run = factories.make_run(order())
    assert client_of("view_workflow").get(address("run_change", run.pk)).status_code == 403
    assert client_of(name="bob").get(address("run_live", run.pk)).status_code == 403


def test_what_can_not_be_sent_is_said_of_its_task(viewer, operator):
    run = factories.make_run(order(), tasks={"FETCH": "queued"})
    task = run.tasks.get(step="FETCH")
    run.tasks.filter(pk=task.pk).update(unsendable_since=timezone.now(), reason="can't be sent to queue `q`: No")
    said = "can&#x27;t be sent to queue `q`: No"
    assert said in text(page_of(operator, run))
    for page in (address("task_change", task.pk), address("task_changelist")):
        assert said in text(operator.get(page))
        assert said.removesuffix(": No") in text(viewer.get(page))
        assert said not in text(viewer.get(page))


def test_of_a_large_payload_the_page_shows_the_beginning(operator):
    run = factories.make_run(payload={"list": [[[[number]]] for number in range(30_000)]})
    page = text(page_of(operator, run, tab="data"))
    assert "Only the beginning is shown." in page
    assert len(page) < 200_000


def test_a_retried_run_says_so_and_of_each_attempt_before_or_after(operator):
    tasks = {"FETCH": "success", "STOCK": "success", "PRICE": "failed", "SHIP": "upstream_failed"}
    run = factories.make_run(order(), "failed", tasks)
    price = run.tasks.get(step="PRICE")
    price.logs.create(sequence=1, attempt=1, text="no price\n")
    engine.retry(run)
    page = text(page_of(operator, run))
    assert "Retried" in page
    assert "once" in page
    assert "before the run was retried" in text(operator.get(address("task_change", price.pk)))


def test_the_duration_of_a_paused_run_stands_still(operator):
    run = engine.start(order())
    engine.pause(run)
    run.refresh_from_db()
    hour = timedelta(hours=1)
    Run.objects.filter(pk=run.pk).update(started_at=run.started_at - hour, paused_at=run.paused_at - hour / 2)
    page = text(page_of(operator, run))
    assert "30 min 00 s" in page
    assert 'data-field="duration" data-since' not in page


def test_a_task_that_waits_to_be_tried_again_says_which_attempt_comes_when_and_why(operator, viewer):
    policy = Retry(max=3, delay=60)
    workflow = factories.make_workflow(factories.definition("a.B", factories.step("A", retry=policy)))
    run = factories.make_run(workflow)
    at = timezone.now() + timedelta(minutes=1)
    waits = {"status": TaskStatus.WAITING, "not_before": at, "failures": 1, "attempt": 1}
    run.tasks.update(**waits, error="TimeoutError: card 4111")
    shown = f"attempt 2 / 4 at {timezone.localtime(at):%Y-%m-%d %H:%M:%S}, after TimeoutError"
    assert f"{shown}: card 4111" in text(page_of(operator, run))
    page = text(page_of(viewer, run))
    assert shown in page
    assert "4111" not in page
    assert "waiting to be tried again" in text(operator.get(address("task_changelist")))


def test_the_sentence_says_how_far_the_only_running_task_is(operator, viewer):
    run = factories.make_run(order(), "running", tasks={"FETCH": "success", "STOCK": "running"})
    run.tasks.filter(step="STOCK").update(progress={"done": 7, "total": 45, "message": f"shelf 7 {EVIL}"})
    page = text(page_of(operator, run))
    assert "<bdi>Running: STOCK: 7/45 shelf 7 &lt;script&gt;" in page
    assert Page(page).forbidden == []
    assert "<bdi>Running: STOCK: 7/45</bdi>" in text(page_of(viewer, run))


def test_what_never_ran_is_not_done(viewer):
    tasks = {"FETCH": "success", "STOCK": "failed", "PRICE": "canceled", "SHIP": "upstream_failed"}
    run = factories.make_run(order(), "failed", tasks=tasks)
    assert 'data-field="progress">2 / 4</span>' in text(page_of(viewer, run))


def test_a_run_leads_to_its_workflow(client_of):
    run = factories.make_run(order())
    link = f'<a href="{address("workflow_change", run.workflow_id)}"><bdi>shop.ORDER</bdi></a>'
    assert link in text(page_of(client_of("view_run", "view_workflow"), run))
    assert link not in text(page_of(client_of("view_run", name="bob"), run))
