"""The steps of a run as a tree, on the page of the run."""

import re
import time

import pytest

from django_director.models import Task
from tests import factories
from tests.integration.admin.pages import address, order, text

pytestmark = pytest.mark.django_db


def page_of(client, run, **parameters):
    response = client.get(address("run_change", run.pk), parameters)
    assert response.status_code == 200
    return text(response)


def steps(page):
    """The labels of the steps and the titles of the branches, in the order of the page."""
    tree = page.split('<ul class="director-tree">')[1]
    return re.findall(r'class="director-step-name">(?:<a [^>]*>)?<bdi>([^<]*)<', tree)


def branch(page, name):
    found = re.search(rf'data-key="branch {name}"><details(| open)>(.*?)</summary>', page, re.DOTALL)
    return found[1].strip(), re.sub(r"<[^>]*>", " ", found[2])


def run_of(*tasks, statuses=None, name="a.B", **fields):
    workflow = factories.make_workflow(factories.definition(name, *tasks, **fields))
    return factories.make_run(workflow, tasks=statuses)


def test_groups_and_chains_fold_in_the_order_of_the_file(viewer):
    chain = factories.chain("DEEP", "X", factories.group("DEEPER", "Y", "Z"))
    statuses = dict.fromkeys(("A", "X", "Y", "Z"), "success") | {"P": "success", "Q": "failed"}
    run = run_of("A", chain, factories.group("G", "P", "Q", "R"), "LAST", statuses=statuses)
    page = page_of(viewer, run)
    assert steps(page) == ["A", "DEEP", "X", "DEEPER", "Y", "Z", "G", "P", "Q", "R", "LAST"]
    assert branch(page, "DEEP")[0] == ""
    is_open, shown = branch(page, "G")
    assert is_open == "open"
    assert "2/3, 1 failed" in shown
    assert "failed" in shown


def test_what_failed_is_told_first_and_linked(viewer):
    run = run_of("A", "B", factories.mapped("M", "WORK"), statuses={"B": "failed"})
    position = run.version.graph.bodies[0].position
    for index in range(50):
        factories.make_task(run, position, "failed" if index in (7, 23) else "success", map_index=index)
    page = page_of(viewer, run)
    first = page.split("director-failed-steps")[1].split("</p>")[0]
    assert re.findall("<bdi>(.*?)</bdi>", first) == ["B", "WORK[7]", "WORK[23]"]
    assert f'href="{address("task_change", run.tasks.get(step="B").pk)}"' in first
    assert page.index("director-failed-steps") < page.index("director-tree")
    assert "50/50, 2 failed" in branch(page, "M")[1]
    assert steps(page) == ["A", "B", "M", "WORK[7]", "WORK[23]"]


def test_hooks_stand_behind_the_steps(viewer):
    run = run_of("A", statuses={"A": "failed"}, hooks={"failure": (factories.step("PAGE"),)})
    factories.make_task(run, 1, "running")
    assert steps(page_of(viewer, run)) == ["A", "PAGE"]


@pytest.fixture
def large():
    names = [f"t{number}" for number in range(450)]
    statuses = {"A": "success", "t7": "failed", "t300": "running", **dict.fromkeys(names[310:], "success")}
    return run_of("A", factories.group("G", *names), factories.group("H", "X", "Y"), "Z", statuses=statuses)


def test_a_large_group_is_one_line_with_what_matters_in_it(viewer, large):
    page = page_of(viewer, large)
    assert steps(page) == ["A", "G", "t7", "t300", "H", "X", "Y", "Z"]
    assert '<a href="?open=G#tasks">Show all 450 steps</a>' in page


def test_a_group_that_was_opened_is_cut_into_pages(viewer, large):
    first, second, third = (steps(page_of(viewer, large, open="G", page=n)) for n in (1, 2, 3))
    assert first[:3] == ["A", "G", "t0"]
    assert len(first) == 200
    # Each page says in which group its steps stand.
    assert second[:2] == [*third[:1], "t198"] == ["G", "t198"]
    assert third[-4:] == ["H", "X", "Y", "Z"]
    page = page_of(viewer, large, open="G", page=2)
    assert 'href="?open=G&amp;page=1#tasks" rel="prev"' in page
    assert 'href="?open=G&amp;page=3#tasks" rel="next"' in page
    assert page.count("<details") == page.count("</details>")
    for nonsense in ("0", "-1", "999", "x", "²", "9" * 400):
        assert steps(page_of(viewer, large, page=nonsense))
    assert steps(page_of(viewer, large, open="nonsense"))


def test_tasks_of_one_status_are_listed_in_pages(viewer, large):
    assert steps(page_of(viewer, large, status="failed")) == ["t7"]
    assert len(steps(page_of(viewer, large, status="pending"))) == 200
    assert 'href="?status=pending&amp;page=2#tasks"' in page_of(viewer, large, status="pending")
    assert len(steps(page_of(viewer, large, status="pending", page="2"))) > 100
    assert "A" in steps(page_of(viewer, large, status="nonsense"))


def test_a_running_step_tells_what_it_reports_as_far_as_one_may_see_it(viewer, operator):
    run = factories.make_run(order(), tasks={"FETCH": "running"})
    Task.objects.filter(run=run, step="FETCH").update(progress={"done": 3, "total": 20, "message": "card 4111"})
    assert "3/20 card 4111" in page_of(operator, run)
    assert "3/20" in page_of(viewer, run)
    assert "4111" not in page_of(viewer, run)


@pytest.mark.parametrize("is_flat", [True, False])
def test_the_page_of_5000_steps_is_quick_and_small(is_flat, operator):
    names = [f"step_number_{number}" for number in range(5_000)]
    tasks = names if is_flat else [factories.group(f"G{n}", *names[n * 500 : n * 500 + 500]) for n in range(10)]
    run = run_of(*tasks, statuses=dict.fromkeys(names[:4_000], "success") | {"step_number_4500": "failed"})
    assert len(page_of(operator, run)) < 250_000
    began = time.perf_counter()
    page_of(operator, run)
    # It takes 0.07 s on PostgreSQL on a quiet machine.
    assert time.perf_counter() - began < 3
