from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone

from django_director import engine
from django_director.engine.supervisor import retention
from django_director.exceptions import Conflict
from django_director.models import Attempt, Gate, Run, Task
from django_director.status import RunStatus, Stop, TaskStatus
from tests.factories import definition, make_run, make_workflow

pytestmark = pytest.mark.django_db

DONE = {"A": TaskStatus.SUCCESS, "B": TaskStatus.SUCCESS}


def finished(workflow, days=0.0, status=RunStatus.SUCCESS, tasks=None, **fields):
    moment = timezone.now() - timedelta(days=days)
    return make_run(workflow, status, DONE if tasks is None else tasks, finished_at=moment, **fields)


def left(workflow):
    return set(Run.objects.filter(workflow=workflow))


def test_without_a_rule_everything_is_kept():
    run = finished(make_workflow(), days=9999)
    assert retention.clean() == {}
    assert left(run.workflow) == {run}


def test_beyond_the_last_runs():
    workflow = make_workflow(retention_offset=2)
    runs = [finished(workflow, days) for days in (4, 3, 2, 1)]
    assert retention.clean() == {"shop.ORDER": 2}
    assert left(workflow) == set(runs[2:])
    assert retention.clean() == {}


def test_older_than_some_days():
    workflow = make_workflow(retention_days=3)
    old, young = finished(workflow, 3.1), finished(workflow, 2.9)
    assert retention.clean() == {"shop.ORDER": 1}
    assert left(workflow) == {young}
    assert old != young


def test_either_reason_is_enough():
    workflow = make_workflow(retention_offset=2, retention_days=3)
    runs = [finished(workflow, days) for days in (5, 2, 1.5, 1)]
    assert retention.clean() == {"shop.ORDER": 2}
    assert left(workflow) == set(runs[2:])


def test_the_projects_rule_is_for_workflows_without_one(settings):
    settings.DIRECTOR = {"RETENTION": {"offset": 0}}
    own = make_workflow("shop.OWN", retention_offset=-1)
    other = make_workflow("shop.OTHER")
    finished(own), finished(other)
    assert retention.clean() == {"shop.OTHER": 1}
    assert len(left(own)) == 1


def test_active_runs_are_not_touched_and_not_counted():
    workflow = make_workflow(retention_offset=1)
    active = make_run(workflow)
    kept = finished(workflow)
    assert retention.clean() == {}
    assert left(workflow) == {active, kept}


def test_a_run_whose_hooks_still_run_is_kept():
    workflow = make_workflow(retention_offset=0)
    finished(workflow, tasks={"A": TaskStatus.SUCCESS})
    assert retention.clean() == {}


def test_all_rows_of_a_run_go():
    workflow = make_workflow(retention_offset=0)
    run = finished(workflow)
    Gate.objects.create(run=run, seq=0, remaining=0)
    Attempt.objects.create(
        task=run.tasks.first(), number=1, outcome=Attempt.Outcome.FAILED, finished_at=timezone.now()
    )
    again = make_run(make_workflow("shop.OTHER"), relaunched_from=run)
    retention.clean()
    assert not Attempt.objects.exists()
    assert not Gate.objects.exists()
    assert not Task.objects.filter(run=run).exists()
    again.refresh_from_db()
    assert again.relaunched_from is None


class TestChildren:
    @pytest.fixture
    def root(self):
        return finished(make_workflow(retention_offset=0))

    def test_go_with_their_root_and_are_not_counted(self, root):
        child = finished(make_workflow("shop.CHILD", retention_offset=0), parent_task=root.tasks.first())
        finished(child.workflow, parent_task=child.tasks.first())
        assert retention.clean() == {"shop.ORDER": 1}
        assert not Run.objects.exists()

    def test_an_active_one_keeps_its_root(self, root):
        make_run(make_workflow("shop.CHILD"), parent_task=root.tasks.first())
        assert retention.clean() == {}
        assert Run.objects.count() == 2

    def test_do_not_go_alone(self):
        root = finished(make_workflow())
        finished(make_workflow("shop.CHILD", retention_offset=0), parent_task=root.tasks.first())
        assert retention.clean() == {}


def test_dry_run_counts_only(capsys):
    finished(make_workflow(retention_offset=0))
    call_command("cleanupworkflows", "--dry-run")
    assert capsys.readouterr().out.splitlines() == ["shop.ORDER  1", "1 runs would be deleted"]
    assert Run.objects.count() == 1
    call_command("cleanupworkflows")
    assert capsys.readouterr().out.splitlines() == ["shop.ORDER  1", "1 runs deleted"]
    assert Run.objects.count() == 0


def test_limit():
    workflow = make_workflow(retention_offset=0)
    for days in range(5):
        finished(workflow, days)
    assert retention.clean(limit=2) == {"shop.ORDER": 2}
    assert Run.objects.count() == 3


def test_more_runs_than_a_page(monkeypatch):
    monkeypatch.setattr(retention, "PAGE", 3)
    workflow = make_workflow(retention_offset=1)
    for days in range(8):
        finished(workflow, days)
    assert retention.clean() == {"shop.ORDER": 7}


class TestLargeRuns:
    @pytest.fixture
    def run(self, monkeypatch):
        monkeypatch.setattr(retention, "CHUNK", 10)
        names = [f"T{number}" for number in range(35)]
        workflow = make_workflow(definition("shop.LARGE", *names), retention_offset=0)
        return finished(workflow, status=RunStatus.FAILED, tasks=dict.fromkeys(names, TaskStatus.FAILED))

    def test_goes_in_chunks(self, run):
        assert retention.clean() == {"shop.LARGE": 1}
        assert not Task.objects.exists()

    def test_half_deleted_it_can_not_be_retried_and_the_next_call_goes_on(self, run):
        assert retention.clean(seconds=0) == {}
        assert 0 < run.tasks.count() < 35
        assert Run.objects.get().stop == Stop.DELETE
        with pytest.raises(Conflict):
            engine.retry(run)
        run.workflow.retention_offset = -1
        run.workflow.save(update_fields=["retention_offset"])
        assert retention.clean() == {"shop.LARGE": 1}
        assert not Run.objects.exists()

    def test_each_transaction_is_bounded(self, run, django_assert_max_num_queries):
        with django_assert_max_num_queries(60):
            retention.clean()
