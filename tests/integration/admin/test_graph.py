"""The graph on the pages of runs and workflows: what is folded, where its boxes lead, hooks, and its files."""

import html
import re

import pytest

from django_director.common import ids
from django_director.models import Workflow
from tests import factories
from tests.integration.admin.pages import address, order, statuses, text

pytestmark = pytest.mark.django_db


def page_of(client, run, **parameters):
    response = client.get(address("run_change", run.pk), parameters)
    assert response.status_code == 200
    return response


def large_run():
    names = [f"t{number}" for number in range(600)]
    workflow = factories.make_workflow(factories.definition("a.B", "A", factories.group("G", *names)))
    return factories.make_run(workflow, tasks={"A": "success", "t30": "failed", "t31": "failed"})


def test_more_tasks_than_fit_a_picture_are_folded_but_those_that_failed(viewer):
    page = page_of(viewer, large_run())
    boxes = statuses(page)
    assert boxes["t0 … t24"] == "pending"
    assert (boxes["t30"], boxes["t32"]) == ("failed", "pending")
    assert len(boxes) < 60
    assert "0/25" in text(page)


def test_a_folded_box_leads_to_a_picture_in_which_it_is_open(viewer):
    run = large_run()
    folded = page_of(viewer, run, unfold="", status="pending")
    assert statuses(folded)["t25 … t49"] == "failed"
    assert "2/25, 2 failed" in text(folded)
    link = re.search(
        r'<a href="([^"]*)" aria-label="t25 … t49: 2/25, 2 failed · 2 failed · 23 pending, unfold"', text(folded)
    )
    assert "status=pending" in link[1]
    unfolded = viewer.get(address("run_change", run.pk) + html.unescape(link[1]))
    assert statuses(unfolded)["t30"] == "failed"
    fold = re.search(r'<a href="([^"]*)" aria-label="Fold t25 … t49"', text(unfolded))
    again = viewer.get(address("run_change", run.pk) + html.unescape(fold[1]))
    assert statuses(again)["t25 … t49"] == "failed"


@pytest.mark.parametrize("asked", ["x", "-1", "99999", "1,2,3,4,5" * 400, "\0", "٣"])
def test_an_address_that_unfolds_what_there_is_not_is_harmless(viewer, asked):
    run = factories.make_run(order())
    assert viewer.get(address("run_change", run.pk), {"unfold": asked}).status_code == 200
    assert viewer.get(address("run_live", run.pk), {"unfold": asked}).status_code == 200


def test_a_live_update_has_the_boxes_of_its_page(viewer):
    run = large_run()
    for parameters in ({}, {"unfold": ""}):
        fresh = viewer.get(address("run_live", run.pk), parameters)
        assert statuses(fresh) == statuses(page_of(viewer, run, **parameters))


def test_hooks_are_drawn_and_those_of_this_end_are_links(viewer):
    hooks = {
        "failure": (factories.step("hooks.failure.PAGE"),),
        "success": (factories.step("hooks.success.MAIL"),),
    }
    run = factories.make_run(order(hooks=hooks), "failed", {"FETCH": "failed"})
    position = run.version.graph.hooks["failure"][0].position
    factories.make_task(run, position, "running", id=ids.hook_id(run.pk, 0, position))
    page = page_of(viewer, run)
    assert statuses(page)["PAGE"] == "running"
    assert statuses(page)["MAIL"] == "none"
    assert "Hooks on failure" in text(page)
    assert text(page).count(f'href="{address("task_change", ids.hook_id(run.pk, 0, position))}"') >= 2


def test_after_a_retry_the_hooks_of_the_former_end_do_not_count(viewer):
    run = factories.make_run(order(hooks={"failure": (factories.step("hooks.failure.PAGE"),)}), generation=1)
    position = run.version.graph.hooks["failure"][0].position
    factories.make_task(run, position, "success", id=ids.hook_id(run.pk, 0, position))
    assert statuses(page_of(viewer, run))["PAGE"] == "none"


@pytest.mark.parametrize(
    ("form", "expected"), [("svg", "<style>"), ("dot", "digraph"), ("mermaid", "flowchart TD")]
)
def test_the_graph_is_a_file_with_the_colours_of_the_run(viewer, form, expected):
    run = factories.make_run(order(), "failed", {"FETCH": "failed"})
    for page, pk in (("run", run.pk), ("workflow", run.workflow_id)):
        response = viewer.get(address(f"{page}_graph_{form}", pk))
        content = response.getvalue().decode()
        assert expected in content
        assert "FETCH" in content
        assert ("failed" in content.replace(".director-failed", "").replace("upstream_failed", "")) is (
            page == "run"
        )
        assert response["Content-Disposition"].startswith("attachment; filename=")
    assert response.status_code == 200


def test_a_workflow_without_a_version_has_no_graph_to_download(viewer):
    workflow = Workflow.objects.create(name="a.EMPTY")
    assert viewer.get(address("workflow_graph_svg", workflow.pk)).status_code == 404
