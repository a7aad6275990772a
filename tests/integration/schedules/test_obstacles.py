"""Schedules whose messages can start no run: who is told, in which words, and what that costs."""

from __future__ import annotations

import json
import logging
import math
from datetime import timedelta
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from django.utils.translation import override
from django_celery_beat.models import PeriodicTask
from rest_framework.test import APIClient

from django_director.definitions import Concurrency, Schedule
from django_director.exceptions import StartRefused
from django_director.models import Workflow, workflows
from django_director.presentation import health
from django_director.schedules import obstacles
from django_director.schedules.enabled import Enabled
from django_director.schedules.tasks import run_workflow
from django_director.sync import versions
from tests import factories
from tests.factories import definition
from tests.integration.blocked import ALLOW, LACKS, SCHEMA, be_well, fulfil, plan
from tests.integration.status import status

pytestmark = pytest.mark.django_db
URL = "/director/api/health/"
GOOD = {"channel": "web"}
SECRET = "hunter2"


@pytest.fixture(autouse=True)
def well(monkeypatch: pytest.MonkeyPatch) -> None:
    be_well(monkeypatch)


def told() -> list[str]:
    return [str(each) for each in Enabled(math.inf).obstacles]


def problems(**options: Any) -> list[str]:
    return [str(problem) for problem in health.read_health(**options)["problems"]]


def client(name: str = "ann") -> APIClient:
    made = APIClient()
    made.force_authenticate(factories.make_user(name, "view_run"))
    return made


def test_a_payload_that_lacks_what_the_schema_asks_for():
    fulfil()
    plan()
    assert problems() == [LACKS]
    found = client().get(URL)
    assert (found.status_code, found.data["problems"]) == (503, [LACKS])
    assert found.data["blocked_schedules"] == [
        {
            "name": "each10",
            "workflow": "orders.FULFIL",
            "reason": 'the payload does not fit the schema ($: "channel" is a required property)',
        }
    ]
    code, text = status()
    assert (code, f"problem     {LACKS}" in text) == (1, True)
    PeriodicTask.objects.update(kwargs=json.dumps({"name": "orders.FULFIL", "payload": GOOD}))
    assert client("bob").get(URL).data["healthy"]
    assert status()[0] == 0


def test_everybody_who_asks_health_is_told_that_something_is_wrong():
    fulfil()
    plan()
    response = APIClient().get(URL)
    assert (response.status_code, response.json()) == (503, {"healthy": False})


def test_a_new_version_is_checked_anew():
    fulfil(schema=None)
    plan()
    assert told() == []
    fulfil()
    assert told() == [LACKS]
    fulfil(schema=None)
    assert told() == []


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"kwargs": "{"}, "schedule “each10” can't start a run: its arguments are not readable JSON"),
        ({"kwargs": "[" * 100_000}, "its arguments are not readable JSON"),
        ({"kwargs": "[1]"}, "its arguments are not the name of a workflow and a payload"),
        ({"kwargs": '{"payload": {}}'}, "its arguments are not the name of a workflow and a payload"),
        ({"kwargs": '{"name": 5}'}, "its arguments are not the name of a workflow and a payload"),
        ({"kwargs": '{"name": "orders.FULFIL", "payloads": {}}'}, "its arguments are not the name of"),
        ({"args": '["orders.FULFIL"]'}, "its arguments are not the name of a workflow and a payload"),
        ({"args": '["orders.FULFIL"]', "kwargs": "{}"}, '"channel" is a required property'),
        ({"args": '["orders.FULFIL", {"channel": "a"}]', "kwargs": "{}"}, ""),
        (
            {"kwargs": '{"name": "orders.GONE"}'},
            "of “orders.GONE” can't start a run: there is no workflow of this",
        ),
        ({"kwargs": '{"name": "a\\u0000"}'}, "there is no workflow of this name"),
        ({"kwargs": '{"name": "a\\ud800"}'}, "there is no workflow of this name"),
        ({"kwargs": '{"name": "orders.FULFIL", "payload": {"channel": NaN}}'}, "a run can't take the payload"),
        ({"enabled": False}, ""),
        ({"task": "shop.tasks.other"}, ""),
        ({"one_off": True, "total_run_count": 1}, ""),
        ({"expires": timezone.now() - timedelta(minutes=1)}, ""),
        ({"start_time": timezone.now() + timedelta(days=1)}, "is a required property"),
    ],
)
def test_what_stands_in_the_way(fields: dict[str, Any], said: str):
    fulfil()
    plan(**fields)
    assert [said in text for text in told()] == ([True] if said else [])


def test_a_workflow_that_has_left_the_files():
    Workflow.objects.filter(pk=fulfil().pk).update(is_active=False)
    plan(payload=GOOD)
    (text,) = told()
    assert "the workflow has left the workflow files; bring it back, or switch the schedule off" in text


def test_what_start_refuses_besides_the_schema(settings: Any):
    fulfil(schema=None, concurrency=Concurrency(key="${{ payload.customer }}"))
    plan(payload={"a": SECRET})
    assert "a run can't take the payload (`concurrency.key` gives no value: " in told()[0]
    assert SECRET not in told()[0]
    settings.DIRECTOR = {"WORKFLOWS": [], "MAX_TASKS_PER_RUN": 1}
    factories.make_workflow(definition("orders.FULFIL", "A", "B"))
    assert "“orders.FULFIL” has 2 tasks, the limit is 1" in told()[0]


def test_schedules_of_the_files_too():
    versions.store([definition("orders.FULFIL", "A", schedules=(Schedule(kind="interval", value="60"),))])
    fulfil()
    assert told()[0].startswith("schedule “director: orders.FULFIL” of “orders.FULFIL” can't start a run: ")


def test_no_value_of_the_payload_is_told():
    schema = {"type": "object", "properties": {"order": {"type": "integer"}}, "additionalProperties": False}
    fulfil(schema)
    plan(payload={"order": SECRET, f"key-{SECRET}": 1})
    nested = {f"key-{SECRET}": {"a": float("nan")}}
    plan("nan", kwargs=json.dumps({"name": "orders.FULFIL", "payload": nested}))
    code, text = status()
    assert code == 1
    assert "$.order: it does not fit `type`" in text
    assert "the number nan is not JSON" in text
    assert SECRET not in text + client().get(URL).content.decode()


def test_of_many_the_first_are_named():
    fulfil()
    for number in range(6):
        plan(f"s{number}")
    texts = problems()
    assert [text.split("”")[0] for text in texts[:3]] == [f"schedule “s{number}" for number in range(3)]
    assert texts[3:] == ["3 more schedules can't start a run: the pages of their workflows say why"]


def test_where_workflows_are_hidden_so_are_names_and_reasons(settings: Any):
    settings.DIRECTOR = {"WORKFLOWS": [], "AUTHORIZE": ALLOW}
    fulfil()
    plan()
    plan("other")
    found = client().get(URL)
    assert found.data["problems"] == ["2 schedules can't start a run: “manage.py directorstatus” says why"]
    assert found.data["blocked_schedules"] == 2 * [{"name": None, "workflow": None, "reason": None}]
    assert not any(word in found.content.decode() for word in ("each10", "FULFIL", "channel"))
    assert LACKS in status()[1], "a command shows all"


def test_its_words_are_those_of_the_reader_and_english_for_programs():
    fulfil()
    plan()
    found = health.read_health()
    with override("ru"):
        assert health.for_programs(found)["problems"] == [LACKS]
        assert health.for_programs(found)["blocked_schedules"][0]["reason"].startswith("the payload")


class TestCost:
    def test_queries(self, django_assert_num_queries: Any):
        for number in range(3):
            factories.make_workflow(definition(f"orders.N{number}", "A", schema=SCHEMA))
            for each in "ab":
                plan(f"{number}{each}", workflow=f"orders.N{number}")
        workflows._graphs.clear()
        # The rows, the workflows, and once their definitions.
        with django_assert_num_queries(3):
            assert len(told()) == 6
        with django_assert_num_queries(2):
            assert len(told()) == 6
        with django_assert_num_queries(3):
            health._rows()

    def test_each_pair_is_checked_once(self, monkeypatch: pytest.MonkeyPatch):
        fulfil()
        plan()
        checked = []
        real = obstacles.check_start
        monkeypatch.setattr(obstacles, "check_start", lambda *call: checked.append(call) or real(*call))
        assert told() == told() == [LACKS]
        assert len(checked) == 1
        PeriodicTask.objects.update(kwargs=json.dumps({"name": "orders.FULFIL", "payload": {"order": 1}}))
        assert told() == told() == [LACKS]
        assert len(checked) == 2

    def test_a_page_does_not_check_for_long_and_the_next_goes_on(self, monkeypatch: pytest.MonkeyPatch):
        fulfil()
        for number in range(5):
            plan(f"s{number}", payload={"order": number})
        clock = iter(range(1000))
        monkeypatch.setattr(obstacles.time, "monotonic", lambda: float(next(clock)))
        seen = [len(Enabled(4.0).obstacles) for _ in range(3)]
        assert seen == sorted(seen)
        assert 0 < seen[0] < 5
        assert seen[-1] == 5

    def test_it_keeps_a_bounded_number_of_results(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(obstacles, "KEPT", 2)
        fulfil()
        for number in range(5):
            plan(f"s{number}", payload={"order": number})
        told()
        assert len(obstacles._results) == 2

    def test_a_definition_of_a_later_release_stops_nobody(self):
        fulfil()
        broken = factories.make_workflow(definition("orders.NEW", "A"))
        stored = broken.current_version
        stored.definition |= {"format": 99}
        stored.save(update_fields=["definition"])
        plan()
        plan("new", workflow="orders.NEW")
        first, second = told()
        assert first == LACKS
        assert "stored definition has format 99" in second


class TestSync:
    @pytest.fixture
    def file(self, tmp_path: Any, settings: Any) -> Any:
        path = tmp_path / "workflows.yml"
        path.write_text("orders.FULFIL:\n  tasks: [NOOP]\n")
        settings.DIRECTOR = {"WORKFLOWS": [path]}
        self.sync()
        return path

    def sync(self, *options: str) -> tuple[str, str]:
        out, err = StringIO(), StringIO()
        call_command("syncworkflows", *options, stdout=out, stderr=err)
        return out.getvalue(), err.getvalue()

    BROKEN = "orders.FULFIL:\n  schema: {type: object, required: [channel]}\n  tasks: [NOOP]\n"

    def test_a_version_that_breaks_a_schedule_made_by_hand(self, file: Any):
        plan()
        assert self.sync()[1] == ""
        file.write_text(self.BROKEN)
        warning = f"warning: as the workflow files stand, {LACKS}"
        assert warning in self.sync("--dry-run")[1]
        with pytest.raises(CommandError, match="A sync is due"):
            self.sync("--check")
        out, err = self.sync()
        assert ("changed      orders.FULFIL (definition)" in out, warning in err) == (True, True)
        # It stays so, and no sync is due.
        assert warning in self.sync("--check")[1]
        PeriodicTask.objects.update(enabled=False)
        assert self.sync("--check")[1] == ""

    def test_a_workflow_that_leaves_the_files(self, file: Any):
        plan(payload=GOOD)
        file.write_text("orders.OTHER:\n  tasks: [NOOP]\n")
        assert "has left the workflow files" in self.sync("--dry-run")[1]
        assert "has left the workflow files" in self.sync()[1]
        assert Workflow.objects.get(name="orders.FULFIL").is_active is False

    def test_a_new_workflow_that_a_schedule_waits_for(self, file: Any):
        plan(workflow="orders.NEW", payload=GOOD)
        assert "there is no workflow of this name" in self.sync("--dry-run")[1]
        file.write_text(file.read_text() + "orders.NEW:\n  tasks: [NOOP]\n")
        assert self.sync("--dry-run")[1] == "Nothing was changed (--dry-run).\n"


class TestFiring:
    def fire(self, name: str = "each10", workflow: str = "orders.FULFIL", payload: Any = None) -> Any:
        headers = {"periodic_task_name": name, "celery_beat_task": True} if name else {}
        kwargs = {"name": workflow, "payload": {} if payload is None else payload}
        return run_workflow.apply(kwargs=kwargs, headers=headers, task_id=str(uuid4()))

    def test_a_worker_logs_one_clear_line(self, caplog: pytest.LogCaptureFixture):
        fulfil()
        plan(payload={"order": SECRET})
        caplog.set_level(logging.INFO)
        result = self.fire(payload={"order": SECRET})
        assert result.state == "FAILURE"
        assert isinstance(result.result, StartRefused)
        (line,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
        assert line.getMessage() == (
            "Schedule “each10” of “orders.FULFIL” can't start a run: the payload does not fit the schema "
            '($: "channel" is a required property; $.order: it does not fit `type`); '
            "change its payload or the schema"
        )
        assert not any(record.exc_info for record in caplog.records)
        assert SECRET not in caplog.text + str(result.traceback)

    @pytest.mark.parametrize(
        ("name", "workflow", "said"),
        [
            (
                "each10",
                "orders.GONE",
                "Schedule “each10” of “orders.GONE” can't start a run: there is no workflow",
            ),
            ("", "orders.FULFIL", "A message can't start a run of “orders.FULFIL”: the payload does not fit"),
        ],
    )
    def test_what_it_says(self, name: str, workflow: str, said: str, caplog: pytest.LogCaptureFixture):
        fulfil()
        self.fire(name, workflow)
        (line,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
        assert line.startswith(said)
