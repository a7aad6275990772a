import re

import pytest
from django.contrib.admin.models import LogEntry
from django.urls import reverse
from django.utils import timezone

from django_director import engine
from django_director.admin import many
from django_director.admin.base import BoundedPaginator
from django_director.models import Run
from django_director.presentation import causes
from tests import factories
from tests.integration.admin.pages import address, messages, order, text

pytestmark = pytest.mark.django_db(transaction=True)


def press(client, name, run):
    response = client.post(address(f"run_{name}", run.pk), follow=True)
    assert response.status_code == 200
    return response


def failed_run(workflow=None, **fields):
    tasks = {"FETCH": "success", "STOCK": "success", "PRICE": "failed", "SHIP": "upstream_failed"}
    run = factories.make_run(workflow or order(), "failed", tasks, **fields)
    for gate in run.version.graph.gates:
        run.gates.create(seq=gate.seq, remaining=0)
    return run


def history(run):
    entries = LogEntry.objects.filter(object_id=str(run.pk))
    return [(entry.user.username, entry.change_message) for entry in entries]


def test_cancel(operator):
    run = engine.start(order().name)
    page = press(operator, "cancel", run)
    assert page.redirect_chain[-1][0] == address("run_change", run.pk)
    assert messages(page) == ["1 run is being canceled."]
    run.refresh_from_db()
    assert run.shown_status in ("canceling", "canceled")
    assert history(run) == [("olga", "Canceled (admin)")]


def test_pause_and_resume(operator):
    run = engine.start(order().name)
    preview = text(operator.get(address("run_pause", run.pk)))
    assert "4 tasks do not start until the run is resumed." in preview
    assert messages(press(operator, "pause", run)) == ["1 run is paused."]
    run.refresh_from_db()
    assert run.shown_status == "paused"
    assert "does not allow this: paused" in text(operator.get(address("run_pause", run.pk)))
    assert "1 task is ready and starts." in text(operator.get(address("run_resume", run.pk)))
    assert messages(press(operator, "resume", run)) == ["1 run was resumed."]
    assert "does not allow this: running" in text(operator.get(address("run_resume", run.pk)))
    assert [message for _, message in history(run)] == ["Resumed (admin)", "Paused (admin)"]


def test_retry_runs_again_what_the_preview_says(operator):
    run = failed_run()
    preview = operator.get(address("run_retry", run.pk))
    assert "2 tasks will run." in text(preview)
    assert "2 tasks stay as they are." in text(preview)
    page = press(operator, "retry", run)
    assert messages(page) == ["Retrying 1 run."]
    run.refresh_from_db()
    assert run.status == "running"
    assert dict(run.tasks.values_list("step", "status")) == {
        "FETCH": "success",
        "STOCK": "success",
        "PRICE": "queued",
        "SHIP": "pending",
    }
    assert history(run) == [("olga", "Retried (admin)")]


def test_an_operation_on_a_run_leads_back_to_where_it_was_begun(operator):
    run, there = failed_run(), address("run_changelist")
    assert f'class="closelink" href="{there}"' in text(operator.get(address("run_retry", run.pk), {"next": there}))
    assert operator.post(address("run_retry", run.pk), {"next": there}).headers["Location"] == there


def test_relaunch_leads_to_the_new_run(operator):
    run = failed_run(payload={"order": 7})
    page = operator.post(address("run_relaunch", run.pk), {"next": address("run_changelist")}, follow=True)
    new = Run.objects.exclude(pk=run.pk).get()
    assert page.redirect_chain[-1][0] == address("run_change", new.pk)
    assert (new.payload, new.trigger, new.user) == ({"order": 7}, "relaunch", operator.user)
    assert new.relaunched_from_id == run.pk


def test_a_look_changes_nothing(operator):
    running, failed = engine.start(order().name), failed_run(order("other.FLOW"))
    before = list(Run.objects.order_by("pk").values())
    for name in ("cancel", "pause", "resume", "retry", "relaunch", "relaunch_with_changes"):
        for run in (running, failed):
            response = operator.get(address(f"run_{name}", run.pk))
            assert response.status_code == 200
    assert list(Run.objects.order_by("pk").values()) == before


def test_what_the_state_does_not_allow_is_a_warning(operator):
    finished = factories.make_run(order(), "success")
    running = engine.start(order("other.FLOW").name)
    for name, run in (("cancel", finished), ("retry", finished), ("retry", running)):
        page = press(operator, name, run)
        assert [message.level_tag for message in page.context["messages"]] == ["warning"], name
        assert history(run) == []


def test_the_preview_says_that_a_workflow_has_left_the_files(operator):
    run = failed_run()
    run.workflow.is_active = False
    run.workflow.save(update_fields=["is_active"])
    assert "can&#x27;t be started any more" in text(operator.get(address("run_relaunch", run.pk)))


def test_each_operation_asks_for_its_permission(viewer):
    run = failed_run()
    for name in ("cancel", "pause", "resume", "retry", "relaunch", "relaunch_with_changes"):
        assert viewer.get(address(f"run_{name}", run.pk)).status_code == 403
        assert viewer.post(address(f"run_{name}", run.pk)).status_code == 403
    assert Run.objects.get().status == "failed"


def test_other_sites_can_not_press_buttons(client_of):
    client = client_of("view_run", "cancel_run", enforce_csrf_checks=True)
    run = engine.start(order().name)
    assert client.post(address("run_cancel", run.pk)).status_code == 403
    assert Run.objects.get().stop == ""


def act(client, action, *runs):
    """Choose an action of the list, and confirm it on the page that tells what it would do."""
    preview = choose(client, action, *runs)
    if "ids" not in preview.context:
        return preview
    verb = preview.context["operation"].name
    return client.post(address(f"run_many_{verb}"), {"run": preview.context["ids"]}, follow=True)


def choose(client, action, *runs):
    data = {"action": action, "_selected_action": [str(run.pk) for run in runs]}
    return client.post(address("run_changelist"), data, follow=True)


def test_many_runs_each_with_an_outcome_of_its_own(operator):
    workflow = order()
    running = [engine.start(workflow.name) for _ in range(2)]
    finished = factories.make_run(workflow, "success")
    page = act(operator, "cancel_runs", *running, finished)
    assert messages(page) == ["2 runs are being canceled."]
    for run in running:
        run.refresh_from_db()
        assert run.stop == "cancel"


def test_nothing_happens_before_the_preview_is_confirmed(operator):
    workflow = order()
    running = [engine.start(workflow.name) for _ in range(2)]
    page = choose(operator, "cancel_runs", *running, factories.make_run(workflow, "success"))
    shown = text(page)
    assert "Cancel: 2 runs" in shown
    assert "1 selected run is left alone: its state does not allow this." in shown
    assert "8 tasks have not started and will not start." in shown
    assert {run.stop for run in Run.objects.all()} == {""}


@pytest.mark.parametrize(("limit", "told"), [(9, "3 further runs"), (4, "more than 2 further runs")])
def test_all_runs_of_a_long_list_are_counted_as_far_as_the_list_counts(operator, monkeypatch, limit, told):
    monkeypatch.setattr(many, "AT_ONCE", 2)
    monkeypatch.setattr(BoundedPaginator, "limit", limit)
    workflow = order()
    runs = [factories.make_run(workflow, "failed") for _ in range(5)]
    data = {"action": "retry_runs", "_selected_action": str(runs[0].pk), "select_across": "1"}
    page = text(operator.post(address("run_changelist"), data, follow=True))
    assert "Retry failed: 2 runs" in page
    assert f"{told} are left alone: 2 at once are possible." in page


def test_a_run_that_ends_after_the_preview_is_told_of(operator):
    workflow = order()
    run, other = engine.start(workflow.name), engine.start(workflow.name)
    ids = choose(operator, "cancel_runs", run, other).context["ids"]
    Run.objects.filter(pk=other.pk).update(status="success", finished_at=timezone.now())
    said = messages(operator.post(address("run_many_cancel"), {"run": ids}, follow=True))
    assert said[0] == "1 run is being canceled."
    assert str(other.pk)[:13] in said[1]


def test_back_leads_only_to_pages_of_this_site(operator):
    run = failed_run()
    for there, expected in (
        ("https://evil.example/", address("run_changelist")),
        ("//evil.example", address("run_changelist")),
        (address("workflow_changelist"), address("workflow_changelist")),
    ):
        response = operator.post(address("run_many_relaunch"), {"run": [str(run.pk)], "next": there})
        assert response.headers["Location"] == expected


def test_hostile_ids_do_nothing(operator):
    run = failed_run()
    response = operator.post(address("run_many_retry"), {"run": ["x", "", "\0", str(run.pk)[:8]]}, follow=True)
    assert response.status_code == 200
    assert messages(response) == []


def test_all_runs_of_one_cause_are_retried(operator):
    workflow = order()
    for number, error in enumerate(("no answer from 10.0.0.7", "no answer from 10.0.0.9", "disk full")):
        run = failed_run(workflow)
        Run.objects.filter(pk=run.pk).update(error=f"STOCK: OSError: {error}", comment=str(number))
    overview = operator.get(reverse("admin:app_list", args=["django_director"]))
    (key,) = set(re.findall(r'name="cause" value="(\w+)"', text(overview))) & {
        causes.key_of("STOCK", "OSError: no answer from 1.2.3.4")
    }
    preview = operator.get(address("run_many_retry"), {"cause": key})
    assert "Retry failed: 2 runs" in text(preview)
    row = text(preview).split("<bdi>0</bdi>")[1].split("</tr>")[0]
    assert "<time " in row
    operator.post(address("run_many_retry"), {"run": preview.context["ids"]})
    assert dict(Run.objects.values_list("comment", "status")) == {"0": "running", "1": "running", "2": "failed"}


def test_many_failed_runs_go_on(operator):
    workflow = order()
    runs = [failed_run(workflow) for _ in range(3)]
    assert messages(act(operator, "retry_runs", *runs)) == ["Retrying 3 runs."]
    assert {run.status for run in Run.objects.all()} == {"running"}


def test_many_runs_are_relaunched(operator):
    runs = [failed_run(order()) for _ in range(2)]
    assert messages(act(operator, "relaunch_runs", *runs)) == ["2 new runs were started."]
    assert Run.objects.count() == 4


def test_actions_are_offered_to_those_who_may(viewer, operator):
    factories.make_run(order())
    assert "cancel_runs" in text(operator.get(address("run_changelist")))
    assert "cancel_runs" not in text(viewer.get(address("run_changelist")))
    run = engine.start(order().name)
    act(viewer, "cancel_runs", run)
    run.refresh_from_db()
    assert run.stop == ""


def mapped_run():
    """A run that has failed for two of the five entries of a map."""
    each = factories.mapped("EACH", over="payload.ids")
    workflow = factories.make_workflow(factories.definition("shop.STOCK", "COUNT", each, "REPORT"))
    statuses = {"COUNT": "success", "EACH": "failed", "REPORT": "upstream_failed"}
    run = factories.make_run(workflow, "failed", statuses, payload={"ids": [1, 2, 3, 4, 5]}, error="EACH: no")
    run.tasks.filter(step="EACH").update(map_count=5)
    for index in range(5):
        factories.make_task(run, 3, "failed" if index in (1, 4) else "success", map_index=index)
    return run


def test_a_map_counts_by_its_entries_and_steps_stand_in_the_order_of_the_run(operator):
    run = mapped_run()
    shown = operator.get(address("run_retry", run.pk)).context["preview"]
    assert shown.sentences == ["3 tasks will run.", "4 tasks stay as they are."]
    assert [(row[0], row[1], row[3]) for row in shown.again.rows] == [
        ("EACH", "failed", "2 of 5 entries: 1, 4"),
        ("REPORT", "upstream_failed", ""),
    ]
    assert [(row[0], row[3]) for row in shown.stays.rows] == [("COUNT", ""), ("EACH", "3 of 5 entries: 0, 2, 3")]
    chosen = {"action": "retry_runs", "_selected_action": [str(run.pk)]}
    many = operator.post(address("run_changelist"), chosen)
    assert many.context["sentences"][0].startswith("2 failed or canceled tasks run again")
