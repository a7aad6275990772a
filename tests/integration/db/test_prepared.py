"""Statements compiled once do what their querysets would do, with every execution's own values."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from django.db.models import F

from django_director.db.bulk_inserts import BATCH, Insert, InsertMany, as_text
from django_director.db.compiled import INTEGER, UUID_FIELD, Param, Select, Update, prepared
from django_director.db.functions import later
from django_director.models import Gate, Run, Task
from tests.factories import definition, make_run, make_workflow

pytestmark = pytest.mark.django_db


@pytest.fixture
def tasks() -> list[Task]:
    run = make_run(make_workflow(definition("shop.THREE", "A", "B", "C")))
    return list(run.tasks.in_order())


@prepared
def storing() -> Update:
    rows = Task.objects.filter(pk=Param("task", UUID_FIELD))
    return Update(rows, result=Param("result", Task._meta.get_field("result")), failures=F("failures") + 1)


@prepared
def postponing(seconds: float) -> Update:
    return Update(Task.objects.filter(pk=Param("task", UUID_FIELD)), not_before=later(seconds))


@prepared
def reading() -> Select:
    rows = Task.objects.filter(pk__in=[Param("one", UUID_FIELD), Param("other", UUID_FIELD)]).order_by("position")
    return Select(rows.values_list("pk", "result", "run__payload", "queued_at"))


@pytest.mark.parametrize("result", [None, 0, "text", [1, {"a": None}], {"deep": {"er": [True]}}])
def test_an_update_is_that_of_the_queryset(tasks: list[Task], result: object):
    prepared_one, plain, untouched = tasks
    assert storing().execute(task=prepared_one.pk, result=result) == 1
    assert Task.objects.filter(pk=plain.pk).update(result=result, failures=F("failures") + 1) == 1
    for task in tasks:
        task.refresh_from_db()
    assert (prepared_one.result, prepared_one.failures) == (plain.result, plain.failures) == (result, 1)
    assert untouched.failures == 0
    with_null = Task.objects.filter(result__isnull=True)
    assert with_null.filter(pk=prepared_one.pk).exists() == with_null.filter(pk=plain.pk).exists()


def test_an_update_says_how_many_rows_it_found(tasks: list[Task]):
    assert storing().execute(task=uuid4(), result=1) == 0


def test_a_select_is_that_of_the_queryset(tasks: list[Task]):
    first, second, _ = tasks
    storing().execute(task=second.pk, result={"rows": [1, None]})
    plain = Task.objects.filter(pk__in=[first.pk, second.pk]).order_by("position")
    expected = [list(row) for row in plain.values_list("pk", "result", "run__payload", "queued_at")]
    assert reading().rows(one=first.pk, other=second.pk) == expected
    assert expected[0][0] == first.pk


def test_what_is_kept_depends_on_the_arguments(tasks: list[Task]):
    task = tasks[0]
    assert postponing(10) is postponing(10)
    times = []
    for seconds in (10, 1000):
        postponing(seconds).execute(task=task.pk)
        task.refresh_from_db()
        times.append(task.not_before)
    assert (times[1] - times[0]).total_seconds() > 900


def test_a_missing_value_is_an_error(tasks: list[Task]):
    with pytest.raises(KeyError, match="result"):
        storing().execute(task=tasks[0].pk)


def test_values_are_parameters_never_text(tasks: list[Task]):
    hostile = "'; DROP TABLE django_director_task; --"
    storing().execute(task=tasks[0].pk, result=hostile)
    tasks[0].refresh_from_db()
    assert tasks[0].result == hostile


def test_integers_of_64_bits(tasks: list[Task]):
    claim = 2**63 - 1
    rows = Task.objects.filter(claim=Param("claim", INTEGER))
    Task.objects.filter(pk=tasks[1].pk).update(claim=claim)
    assert Select(rows.values_list("pk")).rows(claim=claim) == [[tasks[1].pk]]


@prepared
def copying() -> Insert:
    given = {field.attname: Param(field.attname, field) for field in Run._meta.concrete_fields}
    return Insert(Run, **given | {"created_at": later(0)})


@prepared
def adding() -> InsertMany:
    return InsertMany(
        Task, ("id", "position", "step", "name", "queue", "queued_at"), run_id=Param("run", UUID_FIELD)
    )


@prepared
def counting() -> InsertMany:
    return InsertMany(Gate, ("seq", "remaining"), run_id=Param("run", UUID_FIELD))


def columns(row: Run | Task, *but: str) -> dict[str, object]:
    return {field.attname: getattr(row, field.attname) for field in row._meta.fields if field.name not in but}


def test_an_insert_is_that_of_save_and_tells_the_time(tasks: list[Task]):
    run = Run.objects.get(pk=tasks[0].run_id)
    other = Run.objects.get(pk=run.pk)
    other.pk, other.payload, other.comment = UUID(int=run.pk.int + 2**30), {"a": ["%s", "ü😀", None]}, "100 % 'q'"
    created_at = copying().execute(**{field.attname: getattr(other, field.attname) for field in Run._meta.fields})
    stored = Run.objects.get(pk=other.pk)
    assert stored.created_at == created_at > run.created_at
    assert columns(stored, "created_at") == columns(other, "created_at")


@pytest.mark.parametrize(
    "text", ["plain", "ü€😀", "\"quoted\" 'so'", "100 % %s %(a)s", "back\\slash", "[1, {}]", ""]
)
def test_inserted_rows_are_those_of_bulk_create(tasks: list[Task], text: str):
    run_id, moment = tasks[0].run_id, datetime(2026, 3, 29, 1, 30, 0, 123456, tzinfo=UTC)
    field = Task._meta.get_field("queued_at")
    plain = Task(run_id=run_id, position=100, step=text, name="x" * 200, queue="q", queued_at=moment)
    Task.objects.bulk_create([plain])
    rows = [
        (uuid4().hex, 101, text, "x" * 200, "q", as_text(field, moment)),
        (uuid4().hex, 102, text, "x" * 200, "q", None),
    ]
    adding().execute(rows, run=run_id)
    plain.refresh_from_db()
    first, second = Task.objects.filter(run=run_id, position__gt=100)
    assert (first.pk.hex, second.pk.hex) == (rows[0][0], rows[1][0])
    assert columns(first, "id", "position") == columns(plain, "id", "position")
    assert columns(second, "id", "position", "queued_at") == columns(plain, "id", "position", "queued_at")
    assert second.queued_at is None


def test_many_rows_are_inserted_in_batches(tasks: list[Task], django_assert_num_queries):
    with django_assert_num_queries(3):
        counting().execute(((seq, seq + 1) for seq in range(2 * BATCH + 1)), run=tasks[0].run_id)
    rows = Gate.objects.filter(run=tasks[0].run_id).order_by("seq").values_list("seq", "remaining")
    assert list(rows) == [(seq, seq + 1) for seq in range(2 * BATCH + 1)]


def test_no_rows_take_no_statement(tasks: list[Task], django_assert_num_queries):
    adding()
    with django_assert_num_queries(0):
        adding().execute([], run=tasks[0].run_id)
