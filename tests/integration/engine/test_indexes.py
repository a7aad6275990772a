"""Ask the database whether the supervisor's queries use the indexes made for them."""

from __future__ import annotations

import re

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from django_director import engine
from django_director.common import ids
from django_director.db.functions import Now
from django_director.engine.flow import items
from django_director.engine.supervisor import agenda
from django_director.models import Lease, Run, Task, Workflow
from django_director.status import RunStatus, TaskStatus
from tests.factories import definition, group, make_workflow, mapped

from . import driver

pytestmark = pytest.mark.django_db(transaction=True)

QUERIES = {
    "director_task_due": lambda: (
        Task.objects.queued().filter(next_dispatch_at__lte=Now()).order_by("next_dispatch_at")[:500]
    ),
    "director_task_timer": lambda: (
        Task.objects.waiting().filter(not_before__lte=Now()).order_by("not_before")[:500]
    ),
    "director_task_lease": lambda: Task.objects.running().filter(lease_until__lt=Now())[:500],
    "director_task_deadline": lambda: (
        Task.objects.waiting().filter(deadline_at__lt=Now()).order_by("deadline_at")[:500]
    ),
    "director_run_stopping": lambda: Run.objects.stopping().order_by()[:500],
    "director_run_deadline": lambda: Run.objects.overdue().order_by()[:500],
    "director_run_awaited": lambda: Run.objects.reporting().order_by("finished_at")[:500],
    "director_run_admission": lambda: (
        Run.objects.due_for_admission().order_by("next_admission_at").values("pk")[:500]
    ),
    "director_run_queue": lambda: keyed().awaiting_slot().order_by("queued_at", "pk")[:1],
}


def plan_of(sql: str) -> str:
    prefix = connection.ops.explain_query_prefix()
    with connection.cursor() as cursor:
        cursor.execute(f"{prefix} {sql}".replace("%", "%%"))
        return str(cursor.fetchall())


def keyed():
    return Run.objects.of_key(Workflow.objects.get().pk, "")


@pytest.fixture
def many_finished_tasks(transactional_db):
    workflow = make_workflow(definition("test.FLOW", "A"))
    for _ in range(8):
        runs = [
            Run(
                id=ids.new_run_id(),
                workflow=workflow,
                version=workflow.current_version,
                status=RunStatus.SUCCESS,
                created_at=Now(),
                finished_at=Now(),
                deadline_at=Now(),
                concurrency_key="",
            )
            for _ in range(250)
        ]
        Run.objects.bulk_create(runs)
        Task.objects.bulk_create(
            [
                Task(run=run, position=0, step="A", name="A", status=TaskStatus.SUCCESS, finished_at=Now())
                for run in runs
            ]
        )
    _analyze()


def _analyze() -> None:
    with connection.cursor() as cursor:
        for table in (Task._meta.db_table, Run._meta.db_table):
            command = "ANALYZE TABLE" if connection.vendor == "mysql" else "ANALYZE"
            cursor.execute(f"{command} {table}")


def test_the_supervisors_queries_use_their_indexes(many_finished_tasks):
    for index, query in QUERIES.items():
        plan = query().explain()
        assert index in plan, f"{index}: {plan}"


def test_the_next_item_is_found_by_an_index(many_finished_tasks):
    make_workflow(definition("test.MAP", mapped("M", "S", "T", over="range(3000)", max_parallel=2)))
    run = engine.start("test.MAP")
    driver.expand(run, "M")
    graph = run.version.graph
    bound = "map_index>" if connection.vendor == "sqlite" else "director_task_identity"
    for position in (1, 2):
        with transaction.atomic():
            held = items._held(run.pk, graph, graph.nodes[0], position)
            plan = held.filter(map_index__gte=1500).order_by("map_index")[:1].explain()
        assert bound in plan, plan


def test_who_holds_the_slots_is_found_by_an_index(many_finished_tasks):
    plan = keyed().holding_slot().values_list("slot", flat=True).explain()
    assert "director_run_queue" in plan or "director_run_slots" in plan, plan


def test_one_task_or_run_is_never_looked_for_among_all_of_its_status(many_finished_tasks):
    # The statistics know of no queued task. PostgreSQL would take an index of the queued ones alone for the
    # shortest way to any of them, and each claim beside 100,000 would read them all.
    run = driver.start(group("G", *(f"T{number}" for number in range(2000))), "Z", name="test.BACKLOG")
    step = "T1000"
    with CaptureQueriesContext(connection) as captured:
        driver.succeed(run, step)
    assert len(captured) > 1
    for query in captured:
        if query["sql"].startswith(("SELECT", "UPDATE", "WITH")):
            plan = plan_of(query["sql"])
            for dear in ("director_task_due", "director_task_lease", "hashed SubPlan"):
                assert dear not in plan, f"{query['sql']}: {plan}"


def test_a_look_at_what_is_due_uses_an_index_for_each(many_finished_tasks):
    Lease.objects.create(name="supervisor", holder="one", until=Now(), beat_at=Now())
    with CaptureQueriesContext(connection) as captured:
        agenda.poll("supervisor")
    plan = plan_of(captured[0]["sql"])
    for index in (
        *("director_task_due", "director_task_timer", "director_task_deadline", "director_task_lease"),
        *("director_run_stopping", "director_run_deadline", "director_run_admission", "director_run_awaited"),
    ):
        assert index in plan, f"{index}: {plan}"


@pytest.mark.skipif(connection.vendor != "postgresql", reason="skipped: it is about how PostgreSQL reads an index")
def test_a_look_does_not_read_again_and_again_what_has_ended(many_finished_tasks):
    # The statistics know of many that run.
    some = Task.objects.filter(pk__in=Task.objects.values("pk")[:500])
    some.update(status=TaskStatus.RUNNING, finished_at=None, claim=1, lease_until=Now(), deadline_at=Now())
    _analyze()
    Lease.objects.create(name="supervisor", holder="one", until=Now(), beat_at=Now())
    with CaptureQueriesContext(connection) as captured:
        agenda.poll("supervisor")
    plan = plan_of(captured[0]["sql"])
    # In its order: neither sorted nor through a bitmap.
    assert re.search("->  Limit [^>]*->  Index Scan using director_task_lease", plan), plan
