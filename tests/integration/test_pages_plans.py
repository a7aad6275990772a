"""Ask PostgreSQL how it reads the lists of the admin and of the API in a database with many runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from benchmarks import addresses, crowd
from django_director.admin import task_filters
from django_director.admin.base import BoundedPaginator
from django_director.presentation import search

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        connection.vendor != "postgresql", reason="skipped: only PostgreSQL makes the rows, and says what it reads"
    ),
]

RUNS = 40_000
FEW = 200
"""In place of 10,000: so many rows are counted, sorted and searched for a word."""
RELAUNCHES = '"relaunched_from_id" = ('
STORM = 1_500
"""So many runs have failed within the last day."""
WORKFLOWS = "django_director_workflow"
READ = 4_000
"""So many rows may one step of a query read, of 40,000 runs and 120,000 tasks."""


@pytest.fixture
def pages(transactional_db, admin_client, monkeypatch):
    """Return a function that asks for an address and returns the plans of the queries."""
    crowd.fill(RUNS)
    monkeypatch.setattr(BoundedPaginator, "limit", FEW)
    for module, name in ((search, "COMMENTS_SEARCHED"), (search, "ERRORS_SEARCHED"), (task_filters, "SEARCHED")):
        monkeypatch.setattr(module, name, FEW)

    def plans(address: str) -> Iterator[tuple[str, dict[str, Any]]]:
        with CaptureQueriesContext(connection) as captured:
            answer = admin_client.get(address)
        assert answer.status_code == 200, address
        for query in captured:
            if query["sql"].startswith(("SELECT", "(SELECT")):
                yield query["sql"], plan_of(query["sql"])

    return plans


def plan_of(sql: str) -> dict[str, Any]:
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + sql.replace("%", "%%"))
        (found,) = cursor.fetchone()
    plan: dict[str, Any] = (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]
    return plan


def reads(node: dict[str, Any]) -> Iterator[tuple[float, str]]:
    """Yield how many rows each step of a plan has read."""
    # Not what a join has compared: that may be one row with the 200 workflows again and again.
    dropped = sum(node.get(f"Rows Removed by {why}", 0) for why in ("Filter", "Index Recheck"))
    name = f"{node['Node Type']} {node.get('Index Name') or node.get('Relation Name') or ''}"
    if node["Node Type"] not in ("Materialize", "Memoize"):
        loops = 1 if node.get("Relation Name") == WORKFLOWS else node["Actual Loops"]
        yield (node["Actual Rows"] + dropped) * loops, name
    for part in node.get("Plans", ()):
        yield from reads(part)


def test_no_list_reads_scans_sorts_or_counts_a_table(pages):
    found = []
    for title, address in addresses.all_of_them().items():
        for sql, plan in pages(address):
            rows, step = max(reads(plan))
            if rows > READ:
                found.append(f"{title}: {rows:,.0f} rows by {step}\n    {sql}")
    assert not found, "\n".join(found)
    # A question for which there is no index.
    rows, _ = max(reads(plan_of("SELECT * FROM django_director_run WHERE error = 'x'")))
    assert rows == RUNS


def test_in_a_storm_of_failures_only_the_relaunches_of_these_are_read(pages):
    """The overview, and the lists to which it leads, look into the index of relaunches for each failure."""
    crowd.fail(STORM)
    runs = reverse("admin:django_director_run_changelist")
    found = []
    for address in (reverse("admin:django_director_overview"), f"{runs}?repaired=no", f"{runs}?repaired=yes"):
        asked = [(sql, list(reads(plan))) for sql, plan in pages(address) if RELAUNCHES in sql]
        assert asked, address
        for sql, steps in asked:
            rows, step = max(steps)
            if rows > STORM or any(step == "Seq Scan django_director_run" for _, step in steps):
                found.append(f"{address}: {rows:,.0f} rows by {step}\n    {sql}")
    assert not found, "\n".join(found)
