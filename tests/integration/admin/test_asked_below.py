"""A run that waits for people, itself or by its child runs, says so on its page and in the list."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_director import engine
from django_director.models import Run
from tests import factories
from tests.asking import ask, asked
from tests.factories import approval
from tests.integration.admin.pages import address, text

pytestmark = pytest.mark.django_db(transaction=True)

BADGE = "waits for approval</span>"


@pytest.fixture
def decider(client_of):
    return client_of("view_workflow", "view_run", "view_task", "approve_task", name="dora")


def waiting_for(child, name):
    """A run of workflow ``name`` whose only step waits for ``child``."""
    described = factories.definition(name, factories.child("SUB", child.workflow.name))
    parent = factories.make_run(factories.make_workflow(described), tasks={"SUB": "waiting"})
    parent.tasks.update(child_run=child.pk)
    Run.objects.filter(pk=child.pk).update(parent_task=parent.tasks.get(), trigger="workflow", is_awaited=True)
    return parent


def notice(client, run):
    response = client.get(address("run_change", run.pk))
    assert response.status_code == 200
    return text(response).split('data-part="asked"')[1].split("<section")[0]


def test_the_notice_names_the_step_and_lets_those_decide_who_may(decider, viewer):
    run, task = asked()
    for client in (decider, viewer):
        shown = notice(client, run)
        assert "Waits for approval:" in shown
        assert f'<a href="{address("task_change", task.pk)}"><bdi>OK</bdi></a>' in shown
        assert "<bdi>Ship this order?</bdi>" in shown
        assert "in the child run" not in shown
    for name in ("approve", "reject"):
        assert f'action="{address(f"task_{name}", task.pk)}"' in notice(decider, run)
        assert address(f"task_{name}", task.pk) not in notice(viewer, run)


def test_the_runs_above_say_what_their_child_runs_wait_for(decider):
    child, task = asked(name="shop.CHILD")
    parent = waiting_for(child, "shop.PARENT")
    root = waiting_for(parent, "shop.ROOT")
    for run in (parent, root):
        shown = notice(decider, run)
        assert "Ship this order?" in shown
        assert f'<a href="{address("task_change", task.pk)}"' in shown
        assert f'<a href="{address("run_change", child.pk)}"><bdi>shop.CHILD</bdi></a>' in shown
        assert f'action="{address("task_approve", task.pk)}"' in shown
        assert f'data-key="{task.pk}"' in text(decider.get(address("run_live", run.pk)))
    engine.approve(task)
    assert "Waits for approval" not in notice(decider, root)


@pytest.mark.parametrize("rule", ["all_but_the_child", "all_but_the_childs_tasks"])
def test_what_a_child_run_asks_that_the_user_may_not_see_stays_hidden(rule, decider, settings):
    child, task = asked(name="shop.CHILD")
    parent = waiting_for(child, "shop.PARENT")
    settings.DIRECTOR = settings.DIRECTOR | {"AUTHORIZE": f"{__name__}.{rule}"}
    assert "Ship this order?" not in notice(decider, parent)
    assert address("task_change", task.pk) not in notice(decider, parent)


def all_but_the_childs_tasks(user, action, workflow):
    return action != "view_task" or all_but_the_child(user, action, workflow)


def all_but_the_child(user, action, workflow):
    return workflow is None or workflow.name != "shop.CHILD"


def test_the_list_shows_which_runs_wait_for_a_person(viewer):
    child, task = asked(name="shop.CHILD")
    root = waiting_for(waiting_for(child, "shop.PARENT"), "shop.ROOT")
    other = factories.make_run(factories.make_workflow("shop.OTHER"))
    page = text(viewer.get(address("run_changelist"), {"place": "all"}))
    assert page.count(BADGE) == 3
    page = text(viewer.get(address("run_changelist")))
    rows = {run.pk: page.split(address("run_change", run.pk))[1].split("</tr>")[0] for run in (root, other)}
    assert BADGE in rows[root.pk]
    assert BADGE not in rows[other.pk]
    engine.approve(task)
    assert BADGE not in text(viewer.get(address("run_changelist"), {"place": "all"}))


def count(client, page, *args):
    url = address(page, *args)
    client.get(url)
    with CaptureQueriesContext(connection) as captured:
        assert client.get(url).status_code == 200
    return len(captured)


def test_the_list_asks_once_for_all_its_runs_and_not_at_all_without_waiting_tasks(viewer):
    factories.make_run(factories.make_workflow("shop.OTHER"))
    without = count(viewer, "run_changelist")
    for number in range(3):
        child, _ = asked(name=f"shop.CHILD{number}")
        waiting_for(child, f"shop.PARENT{number}")
        assert count(viewer, "run_changelist") == without + 1


def test_the_page_costs_a_query_for_what_waits_and_one_for_the_questions(viewer):
    plain = factories.make_run(factories.make_workflow(factories.definition("shop.PLAIN", approval("OK"))))
    nothing = count(viewer, "run_change", plain.pk)
    plain.tasks.update(status="waiting")
    assert count(viewer, "run_change", plain.pk) == nothing + 1
    run, _ = asked(*(approval(f"A{n}", needs=()) for n in range(8)), step="A0")
    for n in range(1, 8):
        assert count(viewer, "run_change", run.pk) == nothing + 2
        ask(run, f"A{n}")
