import json

import pytest

from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def parent():
    factories.make_workflow(factories.definition("shop.CHILD", "ECHO"))
    ship = factories.child("SHIP", "shop.CHILD", payload={"order": "${{ payload.order }}"}, queue="slow")
    factories.make_workflow(factories.definition("shop.PARENT", ship))


@pytest.fixture
def runs(parent, command):
    """A parent and its child, run by ``runworkflow --local``."""
    shown = json.loads(command("runworkflow", "shop.PARENT", '{"order": 7}', "--local", "--json").out)
    return shown, shown["tasks"][0]["child_run"]


def test_a_local_run_runs_its_children(runs):
    shown, child = runs
    assert shown["status"] == "success"
    assert shown["result"]["payload"] == {"order": 7}
    assert shown["result"]["workflow_id"] == child


def test_showrun_names_the_other(runs, command):
    shown, child = runs
    assert f"child run {child}" in command("showrun", shown["id"]).out
    assert f"child run of task\t{shown['tasks'][0]['id']}" in command("showrun", child).lines


def test_lists_have_the_roots_unless_they_are_asked_otherwise(runs, command):
    shown, child = runs
    ids = {
        call: [line.split("\t")[0] for line in command("listruns", *call).lines]
        for call in [(), ("shop.CHILD",), ("--parent", shown["id"]), ("shop.PARENT", "--parent", shown["id"])]
    }
    assert list(ids.values()) == [[shown["id"]], [child], [child], []]


def test_showworkflow_names_the_workflow_of_a_step(parent, command):
    assert "SHIP  [workflow shop.CHILD, queue slow]" in command("showworkflow", "shop.PARENT").out


@pytest.mark.parametrize("verb", ["pauseworkflow", "resumeworkflow", "retryworkflow"])
def test_steering_a_child_names_the_root(runs, failing, verb):
    shown, child = runs
    for preview in ((), ("--dry-run",)):
        assert f"run {child} is a child run, steer its root, run {shown['id']}" in str(
            failing(verb, child, *preview)
        )
