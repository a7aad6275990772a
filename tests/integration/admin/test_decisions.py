"""Approvals in the admin: what is asked, who may decide, deciding."""

from __future__ import annotations

import re

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_director import engine
from django_director.models import Run, Task
from tests.asking import ask, asked
from tests.factories import approval, wait
from tests.integration.admin.pages import Page, address, messages, shown_buttons, text
from tests.integration.engine import driver

pytestmark = pytest.mark.django_db(transaction=True)

HOSTILE = "<script>alert(1)</script> \u202eabc " + "x" * 3000


@pytest.fixture
def decider(client_of):
    return client_of("view_workflow", "view_run", "view_task", "approve_task", name="dora")


def page_of(client, task):
    response = client.get(address("task_change", task.pk))
    assert response.status_code == 200
    return response


def decide(client, task, verb="approve", **data):
    data = {"asked": task.sequence, "comment": ""} | data
    return client.post(address(f"task_{verb}", task.pk), data, follow=True)


def test_the_page_of_a_task_says_what_is_asked(decider, viewer):
    ok = approval("OK", prompt="Ship this order?", timeout=3600, on_timeout="approve")
    _, task = asked(ok, "SHIP", allowed_groups=())
    source = text(page_of(decider, task))
    assert "Ship this order?" in source
    assert "django_director.approve_task" in source
    assert "waiting for approval" in source
    assert source.index("Until") < source.index("Then") < source.index("approved")
    assert shown_buttons(page_of(decider, task)) == {"approve", "reject"}
    assert shown_buttons(page_of(viewer, task)) == set()
    assert "You may not decide this." in text(page_of(viewer, task))


def test_the_page_before_a_decision(decider):
    _, task = asked()
    response = decider.get(address("task_approve", task.pk))
    source = text(response)
    assert "Approve: OK" in source
    assert "Ship this order?" in source
    assert "The run goes on" in source
    assert '<textarea name="comment"' in source
    assert "A retry of the run asks again." in text(decider.get(address("task_reject", task.pk)))
    assert Task.objects.get(pk=task.pk).asked_at is not None


def test_approve(decider):
    run, task = asked()
    page = decide(decider, task, comment="fine")
    assert page.redirect_chain[-1][0] == address("task_change", task.pk)
    assert messages(page) == [f"OK of shop.ORDER, {str(run.pk)[:13]}: approved by dora: fine"]
    task.refresh_from_db()
    assert (task.status, task.decided_by) == ("success", decider.user)
    assert run.tasks.get(step="SHIP").status == "queued"
    entry = LogEntry.objects.get(object_id=str(task.pk))
    assert (entry.user, entry.change_message) == (decider.user, "Approved (admin)")
    assert shown_buttons(page) == set()
    assert "approved by dora" in text(page)
    assert "Approved (admin)" in text(decider.get(address("task_history", task.pk)))


def test_reject(decider):
    run, task = asked()
    Run.objects.filter(pk=run.pk).update(comment="for Edward")
    assert messages(decide(decider, task, "reject")) == ["OK of shop.ORDER, “for Edward”: rejected by dora"]
    run.refresh_from_db()
    assert run.error == "OK: Rejected by dora"


def test_who_comes_second_is_told(decider):
    run, task = asked()
    engine.reject(task, comment="no")
    refusal = f"“OK” of run {run.pk} can't be approved: it was rejected"
    page = decider.get(address("task_approve", task.pk))
    assert refusal in text(page).replace("&#x27;", "'")
    assert 'type="submit"' not in text(page).split('class="submit-row"')[1]
    assert messages(decide(decider, task)) == [refusal]
    assert not LogEntry.objects.filter(object_id=str(task.pk)).exists()


def test_a_page_of_before_a_retry_does_not_decide(decider):
    run, task = asked()
    engine.reject(task)
    run.refresh_from_db()
    engine.retry(run)
    again = ask(run)
    assert messages(decide(decider, task)) == ["It has been asked anew since you looked. Look again, then decide."]
    assert messages(decide(decider, again))[0].endswith(": approved by dora")


def test_permissions(client_of, viewer):
    _, task = asked(approval("OK", permission="auth.view_group"), "SHIP")
    usual = client_of("view_run", "view_task", "approve_task", name="bob")
    own = client_of("view_run", "view_task", name="eva")
    own.user.user_permissions.add(Permission.objects.get(codename="view_group"))
    blind = client_of("approve_task", name="uwe")
    blind.user.user_permissions.add(Permission.objects.get(codename="view_group"))
    for client in (usual, viewer, blind):
        assert client.get(address("task_approve", task.pk)).status_code == 403
        assert decide(client, task).status_code == 403
    assert "auth.view_group" in text(page_of(own, task))
    assert messages(decide(own, task))[0].endswith(": approved by eva")


def test_only_post_decides_and_needs_the_token(client_of):
    _, task = asked()
    client = client_of("view_task", "approve_task", name="eva", enforce_csrf_checks=True)
    assert client.post(address("task_approve", task.pk), {"asked": task.sequence}).status_code == 403
    assert client.put(address("task_approve", task.pk)).status_code in (403, 405)
    assert Task.objects.get(pk=task.pk).asked_at is not None


def test_the_comment_is_limited_and_the_form_says_so(decider):
    _, task = asked()
    response = decide(decider, task, comment="x" * 1001)
    assert "at most 1000 characters" in text(response)
    assert Task.objects.get(pk=task.pk).asked_at is not None


def test_the_page_of_the_run_says_who_is_asked(viewer):
    run, task = asked(approval("OK", prompt="Ship this order?", timeout=60), wait("W", 60, needs=()), "B")
    driver.own_steps.perform(driver.claim(run, "W"))
    source = text(viewer.get(address("run_change", run.pk)))
    banner = source.split('data-part="asked"')[1].split("</ul>")[0]
    assert f'data-key="{task.pk}"' in banner
    assert address("task_change", task.pk) in banner
    assert "Ship this order?" in banner
    live = text(viewer.get(address("run_live", run.pk)))
    assert re.search("waits for approval until 20.*“Ship this order\\?”", live)
    assert re.search('"error">until 20', live)
    engine.approve(task)
    assert "Ship this order?" not in text(viewer.get(address("run_live", run.pk)))


def test_what_waits_for_you(client_of):
    _, usual = asked(name="shop.A")
    _, own = asked(approval("OK", permission="auth.view_group"), "SHIP", name="shop.B")
    _, groups = asked(name="shop.C", allowed_groups=("sales",))
    client = client_of("view_task", "approve_task", name="bob")

    def listed(value):
        response = client.get(address("task_changelist"), {"decision": value})
        return {task.pk for task in response.context["cl"].result_list}

    assert listed("you") == {usual.pk}
    assert listed("anybody") == {usual.pk, own.pk, groups.pk}
    assert "waits for approval" in text(client.get(address("task_changelist")))


def test_hostile_texts(decider):
    _, task = asked(approval("OK", prompt=HOSTILE), "SHIP")
    for source in (
        text(page_of(decider, task)),
        text(decider.get(address("task_approve", task.pk))),
        text(decider.get(address("run_change", task.run_id))),
        text(decide(decider, task, "reject", comment=HOSTILE[:900])),
    ):
        assert Page(source).forbidden == []
        assert "<script>alert" not in source
        assert "&lt;script&gt;alert" in source


def test_what_a_refusal_quotes_acts_on_nothing(decider, client_of):
    _, task = asked()
    other = client_of("view_workflow", "view_run", "view_task", "approve_task", name="\u202eada")
    first, second = decide(other, task), decide(decider, task)
    assert "ada" in messages(second)[0]
    for shown in (*messages(first), *messages(second), text(decider.get(address("task_approve", task.pk)))):
        assert "\u202e" not in shown


def test_the_number_of_queries_does_not_grow(decider):
    run, _ = asked(*(approval(f"A{n}", needs=()) for n in range(8)), step="A0")

    def count(page, *args):
        with CaptureQueriesContext(connection) as captured:
            assert decider.get(address(page, *args)).status_code == 200
        return len(captured)

    few = count("run_change", run.pk), count("task_changelist")
    for n in range(1, 8):
        ask(run, f"A{n}")
    assert (count("run_change", run.pk), count("task_changelist")) == few
    assert "and more" in text(decider.get(address("run_change", run.pk)))
