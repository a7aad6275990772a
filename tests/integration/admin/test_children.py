import pytest

from django_director.models import Run
from tests import factories
from tests.integration.admin.pages import address, shown_buttons, statuses, text

pytestmark = pytest.mark.django_db


@pytest.fixture
def parent():
    """A run of SHIP, which is a child run, and AFTER; the child has A and B."""
    factories.make_workflow("shop.CHILD")
    described = factories.definition("shop.PARENT", factories.child("SHIP", "shop.CHILD"), "AFTER")
    return factories.make_run(factories.make_workflow(described))


@pytest.fixture
def made(parent):
    step = parent.tasks.get(step="SHIP")
    child = factories.make_run(
        factories.make_workflow("shop.CHILD"), parent_task=step, trigger="workflow", is_awaited=True
    )
    parent.tasks.filter(pk=step.pk).update(status="waiting", child_run=child.pk)
    return child


def test_the_box_and_the_row_of_the_step_lead_to_the_child(viewer, parent, made):
    page = text(viewer.get(address("run_change", parent.pk)))
    to_child = address("run_change", made.pk)
    assert page.count(f'href="{to_child}"') == 3  # a box in each drawing, and the row
    told = page.split(f'<a data-field="child" href="{to_child}">child run</a>')[1].split("</li>")[0]
    assert "director-badge director-running" in told
    assert "shop.CHILD" in page
    assert "django_director.step" not in page


def test_before_there_is_a_child_the_box_leads_to_the_task(viewer, parent):
    page = text(viewer.get(address("run_change", parent.pk)))
    assert page.count(f'href="{address("task_change", parent.tasks.get(step="SHIP").pk)}"') == 3
    assert "child run</a>" not in page


def test_a_live_update_brings_the_link(viewer, parent, made):
    url = address("run_live", parent.pk)
    answer = viewer.get(url)
    assert text(answer).count(f'href="{address("run_change", made.pk)}"') == 3
    assert viewer.get(url, headers={"If-None-Match": answer["ETag"]}).status_code == 304
    Run.objects.filter(pk=made.pk).update(paused_at=made.created_at)
    assert "paused" in text(viewer.get(url, headers={"If-None-Match": answer["ETag"]}))


def test_the_page_of_a_child_leads_to_its_parent_and_its_step(viewer, parent, made):
    page = text(viewer.get(address("run_change", made.pk)))
    assert "Child run of" in page
    assert f'href="{address("run_change", parent.pk)}"' in page
    assert f'href="{address("task_change", made.parent_task_id)}"' in page
    assert statuses(viewer.get(address("run_change", made.pk))) == {"A": "pending", "B": "pending"}


def test_the_page_of_the_step_leads_to_the_child_and_shows_what_it_gets(operator, parent, made):
    page = text(operator.get(address("task_change", made.parent_task_id)))
    assert f'href="{address("run_change", made.pk)}"' in page
    assert "shop.CHILD" in page


@pytest.mark.parametrize(
    ("status", "buttons"),
    [("running", {"cancel"}), ("failed", {"relaunch", "relaunch_with_changes"})],
)
def test_a_child_has_the_buttons_of_what_can_be_done_with_it(operator, parent, status, buttons):
    step = parent.tasks.get(step="SHIP")
    made = factories.make_run(factories.make_workflow("shop.CHILD"), status, parent_task=step)
    assert shown_buttons(operator.get(address("run_change", made.pk))) == buttons


@pytest.mark.parametrize("operation", ["pause", "resume", "retry"])
def test_a_page_that_asks_names_the_root(operator, parent, made, operation):
    page = text(operator.get(address(f"run_{operation}", made.pk)))
    assert f"run {made.pk} is a child run, steer its root, run {parent.pk}" in page
    assert "It is a child run: the step that has started it fails." in text(
        operator.get(address("run_cancel", made.pk))
    )


def listed(client, **parameters):
    response = client.get(address("run_changelist"), parameters)
    return {run.pk for run in response.context["cl"].result_list}


def test_the_list_has_the_roots_unless_it_is_asked_otherwise(viewer, parent, made):
    assert listed(viewer) == {parent.pk}
    assert listed(viewer, place="children") == {made.pk}
    assert listed(viewer, place="all") == {parent.pk, made.pk}
    assert listed(viewer, q="shop.CHILD") == {made.pk}
    assert listed(viewer, workflow__id__exact=made.workflow_id) == {made.pk}
    assert listed(viewer, trigger__exact="workflow") == {made.pk}
    assert listed(viewer, status__exact="running") == {parent.pk}


def test_the_page_of_a_parent_has_a_fixed_number_of_queries(viewer, django_assert_max_num_queries):
    factories.make_workflow("shop.CHILD")
    names = [f"S{number}" for number in range(30)]
    steps = [factories.child(name, "shop.CHILD") for name in names]
    workflow = factories.make_workflow(factories.definition("shop.MANY", factories.group("G", *steps)))
    run = factories.make_run(workflow)
    for task in run.tasks.all():
        child = factories.make_run(factories.make_workflow("shop.CHILD"), parent_task=task)
        run.tasks.filter(pk=task.pk).update(child_run=child.pk)
    assert Run.objects.count() == 31
    with django_assert_max_num_queries(10):
        viewer.get(address("run_change", run.pk))
