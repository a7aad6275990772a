"""``--wait`` of the commands that let a run go on."""

import pytest

from django_director import engine
from django_director.models import Run
from tests import factories
from tests.integration.engine import driver

pytestmark = pytest.mark.django_db(transaction=True)

COMMANDS = ["retryworkflow", "relaunchworkflow", "resumeworkflow", "reruntask", "skiptask"]


@pytest.fixture
def run():
    """A has succeeded, B failed, C has not run."""
    run = driver.start("A", "B", "C", name="shop.ORDER")
    driver.succeed(run, "A")
    driver.fail(run, "B")
    run.refresh_from_db()
    assert run.status == "failed"
    return run


def named(run, name):
    if name == "resumeworkflow":
        engine.retry(run)
        engine.pause(run)
    return f"{run.pk}:B" if name.endswith("task") else str(run.pk)


@pytest.mark.parametrize("name", COMMANDS)
def test_it_waits_as_long_as_it_is_told_to(run, failing, name):
    error = failing(name, named(run, name), "--wait", "--timeout", "0.2")
    assert error.returncode == 3
    latest = Run.objects.order_by("-created_at", "-pk").first()
    assert f"run {latest.pk} has no outcome yet" in str(error)
    assert latest.status == "running"


@pytest.mark.parametrize("name", COMMANDS)
def test_a_timeout_of_nothing_changes_nothing(run, failing, name):
    named_run = named(run, name)
    before = list(Run.objects.values("pk", "status", "paused_at", "generation"))
    assert "--timeout needs --wait" in str(failing(name, named_run, "--timeout", "5"))
    assert list(Run.objects.values("pk", "status", "paused_at", "generation")) == before


def test_a_success_is_shown_with_its_tasks(command):
    run = driver.start(factories.step("ONLY"), name="shop.ONE")
    driver.fail(run, "ONLY")
    skipped = command("skiptask", f"{run.pk}:ONLY", "--wait", "--timeout", "10")
    assert skipped.lines[0] == f"shop.ONE: skipped ONLY of run {run.pk}"
    assert skipped.lines[1].startswith("ONLY\tskipped")
    assert skipped.talk.splitlines()[-1].startswith("success in")
