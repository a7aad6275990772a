import threading
from dataclasses import replace

import pytest
from celery import shared_task
from django.core.management import CommandError, call_command
from django.db import connections

from django_director.definitions import Retention, Schedule, from_json
from django_director.exceptions import InvalidDefinitions
from django_director.models import Workflow, WorkflowVersion
from django_director.sync import versions
from tests.factories import definition, make_run, make_workflow, mapped, step

pytestmark = pytest.mark.django_db

HOURLY = Schedule(kind="interval", value="3600")


def workflow(name="shop.ORDER"):
    return Workflow.objects.get(name=name)


def test_a_new_definition_becomes_a_workflow_with_a_first_version():
    order = definition("shop.ORDER", "A", "B", retention=Retention(offset=5, days=9), source="shop.ORDER: …")
    report = versions.store([order])
    assert (report.added, report.is_due) == (["shop.ORDER"], True)
    row = workflow()
    assert (row.is_active, row.retention_offset, row.retention_days) == (True, 5, 9)
    assert (row.current_version.number, row.current_version.source) == (1, "shop.ORDER: …")
    assert from_json(row.current_version.definition).tasks == order.tasks


def test_the_second_time_changes_nothing():
    files = [definition("shop.ORDER", schedules=(HOURLY,)), definition("shop.BILL")]
    versions.store(files)
    before = list(Workflow.objects.values()), list(WorkflowVersion.objects.values())
    report = versions.store(files)
    assert (report.unchanged, report.is_due) == (["shop.BILL", "shop.ORDER"], False)
    assert (list(Workflow.objects.values()), list(WorkflowVersion.objects.values())) == before


def test_a_change_makes_a_version_and_going_back_uses_the_old_one():
    first, second = definition("shop.ORDER", "A"), definition("shop.ORDER", "A", "B")
    versions.store([first])
    old = workflow().current_version
    report = versions.store([second])
    assert report.changed == ["shop.ORDER (definition)"]
    assert workflow().current_version.number == 2
    versions.store([first])
    assert workflow().current_version == old
    versions.store([definition("shop.ORDER", "C")])
    assert workflow().current_version.number == 3


def test_moving_a_definition_in_its_file_makes_no_version():
    versions.store([definition("shop.ORDER", step("A"))])
    moved = replace(definition("shop.ORDER", step("A")), source="# a comment")
    assert not versions.store([moved]).is_due


@pytest.mark.fault(24)
def test_a_run_in_flight_keeps_its_version():
    versions.store([definition("shop.ORDER", "A")])
    run = make_run(workflow())
    versions.store([definition("shop.ORDER", "B")])
    run.refresh_from_db()
    assert run.version.number == 1


def test_what_left_the_files_is_deactivated_and_comes_back():
    order, bill = definition("shop.ORDER"), definition("shop.BILL")
    versions.store([order, bill])
    assert versions.store([bill]).deactivated == ["shop.ORDER"]
    assert not workflow().is_active
    assert versions.store([bill]).deactivated == []
    assert versions.store([order, bill]).changed == ["shop.ORDER (active again)"]
    assert workflow().is_active
    assert workflow().versions.count() == 1


def test_retention_alone_is_a_change_without_a_version():
    versions.store([definition("shop.ORDER")])
    kept = definition("shop.ORDER", retention=Retention(days=3))
    assert versions.store([kept]).changed == ["shop.ORDER (retention)"]
    assert (workflow().retention_days, workflow().versions.count()) == (3, 1)
    versions.store([definition("shop.ORDER")])
    assert workflow().retention_days is None


def test_a_dry_run_reports_and_writes_nothing(django_assert_num_queries):
    report = versions.store([definition("shop.ORDER", schedules=(HOURLY,))], dry_run=True)
    assert report.added == ["shop.ORDER"]
    assert report.schedules == ["director: shop.ORDER (added)"]
    assert not Workflow.objects.exists()


def many(task="A"):
    return [definition(f"shop.W{number}", task, schedules=(HOURLY,)) for number in range(100)]


def test_a_hundred_unchanged_workflows_take_few_queries(django_assert_max_num_queries):
    versions.store(many())
    with django_assert_max_num_queries(6):
        versions.store(many())


def test_a_hundred_changed_workflows_take_few_queries(django_assert_max_num_queries):
    versions.store(many())
    with django_assert_max_num_queries(12):
        versions.store(many("B"))
    assert {row.current_version.number for row in Workflow.objects.all()} == {2}


@pytest.mark.django_db(transaction=True)
def test_two_syncs_at_once_store_each_definition_once():
    barrier, reports, errors = threading.Barrier(4), [], []

    def store():
        try:
            barrier.wait(10)
            reports.append(versions.store([definition(f"shop.W{number}", "A") for number in range(20)]))
        except BaseException as error:  # shown by the main thread
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=store) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert sorted(len(report.added) for report in reports) == [0, 0, 0, 20]
    assert WorkflowVersion.objects.count() == Workflow.objects.count() == 20


@shared_task(name="tests.sync.A")
def task_a():
    return None


FILE = """\
shop.ORDER:
  tasks: [tests.sync.A]
"""


@pytest.fixture
def workflows_file(tmp_path, settings):
    path = tmp_path / "workflows.yml"
    path.write_text(FILE)
    settings.DIRECTOR = {"WORKFLOWS": [str(path)], "SYNC_AFTER_MIGRATE": True}
    return path


class TestCommand:
    def test_prints_what_changed(self, workflows_file, capsys):
        call_command("syncworkflows")
        assert capsys.readouterr().out.splitlines() == ["added        shop.ORDER", "unchanged    0"]
        call_command("syncworkflows")
        assert capsys.readouterr().out.splitlines() == ["unchanged    1"]
        workflows_file.write_text("")
        call_command("syncworkflows")
        assert capsys.readouterr().out.splitlines() == ["deactivated  shop.ORDER", "unchanged    0"]

    def test_dry_run(self, workflows_file, capsys):
        call_command("syncworkflows", "--dry-run")
        assert "added        shop.ORDER" in capsys.readouterr().out
        assert not Workflow.objects.exists()

    def test_check_fails_until_a_sync_was_made(self, workflows_file):
        with pytest.raises(CommandError) as caught:
            call_command("syncworkflows", "--check")
        assert caught.value.returncode == 1
        assert not Workflow.objects.exists()
        call_command("syncworkflows")
        call_command("syncworkflows", "--check")

    @pytest.mark.parametrize("addition", ["  retention: {days: 3}\n", "  periodic: {interval: 60}\n"])
    def test_check_sees_retention_and_schedules(self, workflows_file, addition):
        call_command("syncworkflows")
        workflows_file.write_text(FILE + addition)
        with pytest.raises(CommandError):
            call_command("syncworkflows", "--check")

    def test_problems_change_nothing(self, workflows_file):
        call_command("syncworkflows")
        workflows_file.write_text(FILE.replace("tasks:", "taks:"))
        with pytest.raises(CommandError, match=r"workflows.yml:2:.*taks"):
            call_command("syncworkflows")
        assert workflow().is_active
        with pytest.raises(InvalidDefinitions):
            versions.sync()


class TestAfterMigrate:
    def test_syncs(self, workflows_file, capsys):
        call_command("migrate", verbosity=1)
        assert workflow().is_active
        assert "added        shop.ORDER" in capsys.readouterr().out

    def test_problems_are_told_and_do_not_break_migrate(self, workflows_file, capsys):
        workflows_file.write_text("shop.ORDER: 1\n")
        call_command("migrate", verbosity=0)
        assert "workflows.yml:1" in capsys.readouterr().err

    def test_only_if_wanted(self, workflows_file, settings):
        settings.DIRECTOR = {"WORKFLOWS": [str(workflows_file)]}
        call_command("migrate", verbosity=0)
        assert not Workflow.objects.exists()


class TestTasksThatAreGone:
    """Runs in flight keep their version, whose tasks a deployment may have taken away."""

    @pytest.fixture(autouse=True)
    def files(self, settings, tmp_path):
        (tmp_path / "w.yml").write_text("")
        settings.DIRECTOR = {"WORKFLOWS": [str(tmp_path / "w.yml")]}

    def run(self, *statuses, **fields):
        old = definition("shop.ORDER", step("A", task="EXTRACT"), step("B", task="shop.gone"), **fields)
        row = Workflow.objects.filter(name="shop.ORDER").first() or make_workflow(old)
        return make_run(row, *statuses)

    def test_a_run_that_needs_one(self, capsys):
        self.run("running", {"A": "running", "B": "pending"})
        self.run("running", {"A": "success", "B": "queued"})
        call_command("syncworkflows")
        told = capsys.readouterr().err
        assert "2 runs in flight need the task “shop.gone”, which no longer exists: shop.ORDER (2)" in told
        assert "fails after 600 s" in told
        assert "EXTRACT" not in told

    def test_what_has_ended_needs_none(self, capsys):
        self.run("success", {"A": "success", "B": "success"})
        self.run("running", {"A": "running", "B": "skipped"})
        call_command("syncworkflows", "--dry-run")
        assert "shop.gone" not in capsys.readouterr().err

    def test_hooks_and_maps_to_come(self, capsys):
        hooks = {"always": (step("hooks.always.H", task="shop.hook"),)}
        old = definition("shop.M", mapped("M", step("I", task="shop.item"), over=[1]), hooks=hooks)
        make_run(make_workflow(old), "running", {"M": "pending"})
        call_command("syncworkflows")
        told = capsys.readouterr().err
        assert ["“shop.hook”" in told, "“shop.item”" in told, "1 run in flight needs" in told] == [True] * 3
