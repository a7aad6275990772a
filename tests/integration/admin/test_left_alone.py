"""Which of the selected runs an operation on many leaves alone, and why."""

import re

import pytest

from django_director.admin import many
from tests import factories
from tests.integration.admin.pages import Page, address, order, text
from tests.integration.admin.test_operations import choose

pytestmark = pytest.mark.django_db(transaction=True)


def left_alone(page):
    """Return the reasons by the id of each run that the page says is left alone."""
    shown = text(page)
    assert not Page(shown).forbidden
    part = shown.split('id="director-left-alone"')[1].split("</table>")[0]
    rows = re.findall(r'/run/([0-9a-f-]{36})/change/.*?director-text"><bdi>(.*?)</bdi>', part)
    return dict(rows)


def child_run(workflow, status):
    parent = factories.make_run(workflow, "failed")
    return factories.make_run(workflow, status, parent_task=parent.tasks.first())


@pytest.mark.parametrize(
    ("action", "fits", "status", "stop", "why"),
    [
        ("cancel", "running", "success", "", "It has ended"),
        ("cancel", "running", "running", "cancel", "It is being canceled already"),
        ("retry", "failed", "success", "", "It has succeeded"),
        ("retry", "failed", "running", "", "It has not ended yet"),
        ("relaunch", "failed", "running", "", "It has not ended yet"),
    ],
)
def test_each_run_is_named_with_its_status_and_the_reason(operator, action, fits, status, stop, why):
    workflow = order()
    fit = factories.make_run(workflow, fits)
    unfit = factories.make_run(workflow, status, stop=stop)
    page = choose(operator, f"{action}_runs", fit, unfit)
    assert left_alone(page) == {str(unfit.pk): why}
    row = text(page).split('id="director-left-alone"')[1]
    assert f"director-{unfit.shown_status}" in row
    assert page.context["ids"] == [str(fit.pk)]


def test_a_child_run_is_retried_through_its_root(operator):
    run = child_run(order(), "failed")
    data = {"action": "retry_runs", "_selected_action": [str(run.pk)]}
    assert left_alone(operator.post(address("run_changelist") + "?place=all", data)) == {
        str(run.pk): "It is a child run: retry the run that it belongs to"
    }


def test_runs_that_the_user_may_not_touch_are_named_too(operator):
    free, kept = order(), order("secret.FLOW", allowed_groups=("ops",))
    fit, refused = factories.make_run(free), factories.make_run(kept)
    page = choose(operator, "cancel_runs", fit, refused)
    assert left_alone(page) == {str(refused.pk): "You may not do this to it"}
    assert "1 selected run is left alone: you may not do this to it." in text(page)


def test_the_list_is_bounded(operator, monkeypatch):
    monkeypatch.setattr(many, "LISTED", 2)
    workflow = order()
    page = choose(operator, "cancel_runs", *(factories.make_run(workflow, "success") for _ in range(5)))
    assert len(left_alone(page)) == 2
    assert "and 3 more" in text(page)
    assert "5 selected runs are left alone: their state does not allow this." in text(page)


def test_no_list_without_such_runs(operator):
    page = choose(operator, "cancel_runs", factories.make_run(order()))
    assert "director-left-alone" not in text(page)


def test_texts_of_workflows_stay_text(operator):
    run = factories.make_run(order("a.<b>B</b>"), "success", comment="<b>hand</b>")
    shown = text(choose(operator, "cancel_runs", run))
    assert "<b>hand" not in shown
    assert "<b>B" not in shown
    assert address("run_change", run.pk) in shown
