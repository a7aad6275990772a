"""The page of a map: a strip of its items, why some failed, a list of them; and the way from item to item."""

from __future__ import annotations

import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_director.models import Task
from django_director.status import TaskStatus
from tests import factories
from tests.integration.admin.pages import Page, address, text

pytestmark = pytest.mark.django_db

CELL = re.compile(r'<a href="([^"]*)" aria-label="([^"]*)" class="director-(\w+)"[^>]*><title>')


def make_map(statuses, *body, name="img.RESIZE"):
    """A run whose map ALL has items with these statuses, one for each step of the body."""
    body = body or ("ONE",)
    workflow = factories.make_workflow(factories.definition(name, factories.mapped("ALL", *body), "END"))
    run = factories.make_run(workflow)
    for index, given in enumerate(statuses):
        for place, status in enumerate(given.split()):
            error = f"ValueError: image {index} is too large" if status == "failed" else ""
            factories.make_task(run, 2 + place, status, map_index=index, error=error)
    task = run.tasks.get(step="ALL")
    changes = {"status": TaskStatus.WAITING, "map_count": len(statuses), "attempt": 1}
    Task.objects.filter(pk=task.pk).update(started_at=run.started_at, **changes)
    return run.tasks.get(step="ALL")


def cells(client, task):
    """Title, status and link of each cell of the strip."""
    return [(title, status, link) for link, title, status in CELL.findall(text(client.get(page_of(task))))]


def page_of(task):
    return address("task_change", task.pk)


def item(task, index, step="ONE"):
    return address("task_change", task.run.tasks.get(map_index=index, step=step).pk)


def test_each_item_is_a_cell_with_its_status_and_a_link(operator):
    task = make_map(["success", "failed", "running", "pending"])
    assert cells(operator, task) == [
        ("item 0: success", "success", item(task, 0)),
        ("item 1: failed", "failed", item(task, 1)),
        ("item 2: running", "running", item(task, 2)),
        ("item 3: pending", "pending", item(task, 3)),
    ]
    source = text(operator.get(page_of(task)))
    assert "Runs for each item: 2 of 4, 1 failed" in source
    assert Page(source).forbidden == []


def test_the_most_alarming_of_an_items_tasks_gives_its_cell(operator):
    task = make_map(["success success", "failed upstream_failed", "success running"], "ONE", "TWO")
    assert cells(operator, task) == [
        ("item 0: 2 success", "success", item(task, 0)),
        ("item 1: 1 failed, 1 upstream failed", "failed", item(task, 1)),
        ("item 2: 1 running, 1 success", "running", item(task, 2, "TWO")),
    ]
    assert "2 of 3, 1 failed" in text(operator.get(page_of(task)))


def test_many_items_share_cells_that_lead_to_them_in_the_list(operator):
    task = make_map(["success"] * 700 + ["failed"] + ["success"] * 349)
    found = cells(operator, task)
    assert len(found) == 350
    assert found[233] == ("items 699 to 701: 1 failed, 2 success", "failed", "?from=699.0#items")
    page = text(operator.get(page_of(task) + "?from=699.0"))
    assert "ONE[699]" in page
    assert "ONE[698]" not in page.split('id="items"')[1]


def test_failures_are_grouped_and_linked(operator, viewer):
    task = make_map(["failed"] * 8 + ["success"])
    Task.objects.filter(pk=task.run.tasks.get(map_index=3).pk).update(error="KeyError: 'size'")
    groups = text(operator.get(page_of(task))).split("Why items failed")[1].split("</ul>")[0]
    assert "7 \N{MULTIPLICATION SIGN}" in groups
    assert "image 0 is too large" in groups
    assert item(task, 0) in groups
    assert "and 2 more" in groups
    assert "KeyError: &#x27;size&#x27;" in groups
    assert "too large" not in text(viewer.get(page_of(task)))


def test_the_list_has_a_filter_and_pages(operator):
    task = make_map(
        [("success success", "failed upstream_failed")[index % 10 == 3] for index in range(70)], "A", "B"
    )
    seen, query, pages = [], "", 0
    while query is not None:
        source = text(operator.get(page_of(task) + query)).split('id="items"')[1]
        seen += re.findall(r"<bdi>([AB]\[\d+\])</bdi></a></th>", source)
        query = (re.findall(r'href="(\?from=[^"#]*)#items">Next', source) or [None])[0]
        pages += 1
    assert (seen, pages) == ([f"{step}[{index}]" for index in range(70) for step in "AB"], 3)
    failed = text(operator.get(page_of(task) + "?status=failed")).split('id="items"')[1]
    assert re.findall(r"<bdi>(A\[\d+\])</bdi></a></th>", failed) == [f"A[{index}]" for index in range(3, 70, 10)]
    for nonsense in ("?from=x", "?from=99999999999999999999", "?from=-1.-1", "?from=5.99", "?status=x", "?from=٣"):
        assert operator.get(page_of(task) + nonsense).status_code == 200


def test_an_empty_map_and_one_that_has_not_begun_have_pages(operator):
    task = make_map([])
    assert operator.get(page_of(task)).status_code == 200
    Task.objects.filter(pk=task.pk).update(status=TaskStatus.PENDING, map_count=None, started_at=None, attempt=0)
    assert "Items" not in text(operator.get(page_of(task)))


def test_an_item_leads_to_the_ones_beside_it_and_to_the_next_failed(operator):
    task = make_map(["success", "failed", "success", "failed"])
    source = text(operator.get(item(task, 2)))
    beside = source.split('class="director-beside"')[1].split("</nav>")[0]
    assert "item 2 of 0 to 3" in beside
    assert re.findall(r'href="([^"]*)"', beside) == [page_of(task), item(task, 1), item(task, 3), item(task, 3)]
    last = text(operator.get(item(task, 3))).split('class="director-beside"')[1].split("</nav>")[0]
    assert re.findall(r'href="([^"]*)"', last) == [page_of(task), item(task, 2)]


def test_the_number_of_queries_does_not_depend_on_the_items(operator):
    counts = []
    for number, name in ((3, "img.FEW"), (600, "img.MANY")):
        task = make_map(["failed", *["success"] * number], name=name)
        operator.get(page_of(task))
        for path in (page_of(task), item(task, 1)):
            with CaptureQueriesContext(connection) as caught:
                operator.get(path)
            counts.append(len(caught))
    assert counts[:2] == counts[2:]
    assert max(counts) <= 12


def test_the_sentence_of_a_run_counts_the_items_of_a_map_and_does_not_name_each(operator):
    task = make_map(["success success", "failed upstream_failed", "success running", "running pending"], "A", "B")
    page = text(operator.get(address("run_change", task.run_id)))
    assert "<bdi>Running: ALL: 2 of 4</bdi>" in page


def test_on_the_page_of_a_run_a_map_does_not_count_beside_its_items(operator):
    task = make_map(["failed", "success"])
    Task.objects.filter(pk=task.pk).update(status=TaskStatus.FAILED, finished_at=task.started_at)
    page = text(operator.get(address("run_change", task.run_id)))
    assert re.search(r'data-count="failed".*?<span data-number>(\d+)</span>', page)[1] == "1"
    listed = text(operator.get(address("run_change", task.run_id), {"status": "failed"}))
    assert set(re.findall(r'data-task="([^"]+)"', listed)) == {str(task.run.tasks.get(map_index=0).pk)}
