"""Lists of tasks tell the runs of one hook apart."""

import pytest

from django_director.common import ids
from tests import factories
from tests.integration.admin.conftest import client_of  # noqa: F401
from tests.integration.admin.pages import address, text
from tests.integration.commands.conftest import command  # noqa: F401

pytestmark = pytest.mark.django_db

HOOKS = {
    "failure": (factories.step("hooks.failure.MAIL", task="MAIL"),),
    "always": (factories.step("hooks.always.METRICS", task="METRICS"),),
}


def ended(generations):
    """A run of A that has failed so often, and whose hooks have run each time."""
    workflow = factories.make_workflow(factories.definition("shop.ORDER", "A", hooks=HOOKS))
    run = factories.make_run(workflow, "failed", {"A": "failed"}, generation=generations - 1)
    graph = run.version.graph
    for generation in range(generations):
        for chain in graph.hooks.values():
            position = chain[0].position
            hook = ids.hook_id(run.pk, generation, position)
            factories.make_task(run, position, "success", id=hook, generation=generation)
    return run


def test_of_one_outcome_the_number_says_nothing(viewer, command):  # noqa: F811
    run = ended(1)
    page = text(viewer.get(address("run_change", run.pk)))
    assert page.count(">failure hook</span>") == page.count(">always hook</span>") == 1
    assert "after outcome" not in page
    printed = {line.split("\t")[0] for line in command("showrun", str(run.pk)).lines[-2:]}
    assert printed == {"MAIL (failure hook)", "METRICS (always hook)"}


def test_of_several_outcomes_each_is_named(viewer, command):  # noqa: F811
    run = ended(2)
    names = ["failure hook, after outcome 1", "failure hook, after outcome 2", "always hook, after outcome 2"]
    page = text(viewer.get(address("run_change", run.pk)))
    listed = text(viewer.get(address("task_changelist")))
    printed = command("showrun", str(run.pk)).out
    for name in names:
        assert page.count(name) == listed.count(name) == printed.count(f"({name})") == 1
    hook = run.tasks.get(step="hooks.failure.MAIL", generation=1)
    assert f"<dd>{names[1]}</dd>" in text(viewer.get(address("task_change", hook.pk)))
