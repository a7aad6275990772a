from datetime import UTC, datetime, timedelta, timezone

from django_director.presentation.serializers import time_as_json
from django_director.presentation.workflow_serializers import step_as_json
from tests import factories


def test_times_are_utc_with_a_z():
    noon = datetime(2026, 11, 3, 12, 0, 0, 250000, tzinfo=timezone(timedelta(hours=2)))
    assert time_as_json(noon) == "2026-11-03T10:00:00.250000Z"
    assert time_as_json(datetime(2026, 11, 3, tzinfo=UTC)) == "2026-11-03T00:00:00Z"
    assert time_as_json(None) is None


def test_steps_keep_the_tree_of_the_file():
    tree = factories.group("G", "A", factories.chain("C", factories.step("B-2", task="B", queue="slow")))
    shown = step_as_json(tree)
    assert (shown["id"], shown["kind"], shown["task"]) == ("G", "group", None)
    inner = shown["tasks"][1]["tasks"]
    assert inner == [
        {
            "id": "B-2",
            "kind": "task",
            "task": "B",
            "workflow": None,
            "queue": "slow",
            "with": None,
            "tasks": None,
            "description": None,
        }
    ]


def test_secrets_given_in_the_file_are_masked():
    shown = step_as_json(factories.step("A", kwargs={"password": "x", "url": "y"}))
    assert shown["with"] == {"password": "********", "url": "y"}
