import io
import json
import sys

import pytest

from django_director.engine.launch import named_workflows
from django_director.models import Run
from django_director.presentation.serializers import run_as_json
from tests import factories

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def workflows():
    factories.make_workflow(factories.definition("shop.ETL", "EXTRACT", "TRANSFORM", "LOAD"))
    factories.make_workflow(factories.definition("shop.BROKEN", "NOOP", "ERROR", "LOAD"))
    factories.make_workflow(
        factories.definition(
            "shop.ECHO", "ECHO", schema={"properties": {"order": {"type": "integer"}}, "required": ["order"]}
        )
    )


def test_the_run_id_is_the_last_word(command):
    (line,) = command("runworkflow", "shop.ETL", "--comment", "by hand").lines
    run = Run.objects.get()
    assert line.split()[-1] == str(run.pk)
    assert (run.trigger, run.comment, run.status) == ("command", "by hand", "running")


def test_json_is_the_run_alone(command):
    started = command("runworkflow", "shop.ETL", "--json")
    assert json.loads(started.out) == run_as_json(Run.objects.get(), with_payload=True)
    assert str(Run.objects.get().pk) in started.talk


@pytest.mark.parametrize("how", ["argument", "file", "stdin"])
def test_the_payload_is_read_from_where_it_is(command, tmp_path, monkeypatch, how):
    text = '{"order": 7}'
    if how == "file":
        (tmp_path / "payload.json").write_text(text)
        argument = f"@{tmp_path / 'payload.json'}"
    elif how == "stdin":
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        argument = "-"
    else:
        argument = text
    command("runworkflow", "shop.ECHO", argument)
    assert Run.objects.get().payload == {"order": 7}


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ("{order: 7}", "the payload is not JSON: Expecting property name"),
        ("{'order': 7}", "in quotes for the shell"),
        ('{"order": NaN}', "NaN is no JSON value"),
        ("[" * 100_000, "nested too deeply"),
        ("@/no/such/file.json", "can't be read from “/no/such/file.json”: No such file"),
        ("@/", "can't be read from “/”: Is a directory"),
        ("{}", "order"),
        ('{"order": "x"}', "order"),
    ],
)
def test_a_wrong_payload_says_why_and_starts_nothing(failing, payload, message):
    assert message in str(failing("runworkflow", "shop.ECHO", payload))
    assert not Run.objects.exists()


def test_local_runs_to_the_end_in_this_process(command):
    ran = command("runworkflow", "shop.ETL", "--local")
    assert Run.objects.get().status == "success"
    assert Run.objects.get().result == 60
    announcement, *tasks, result = ran.lines
    assert announcement.split()[-1] == str(Run.objects.get().pk)
    assert result == "result\t60"
    assert [task.split("\t")[:2] for task in tasks] == [
        ["EXTRACT", "success"],
        ["TRANSFORM", "success"],
        ["LOAD", "success"],
    ]
    progress = ran.talk.splitlines()
    assert [line.split()[:2] for line in progress[:3]] == [task.split("\t")[:2] for task in tasks]
    assert progress[3].startswith("success in")


def test_local_json_is_the_run_with_its_tasks(command):
    ran = command("runworkflow", "shop.ETL", "--local", "--json")
    assert json.loads(ran.out) == factories.with_tasks(Run.objects.get(), with_payload=True)


def test_a_failure_exits_with_1_and_names_the_task(failing):
    error = failing("runworkflow", "shop.BROKEN", "--local")
    assert error.returncode == 1
    assert str(error) == f"run {Run.objects.get().pk} failed: ERROR: ValueError: as asked"


def test_a_timeout_exits_with_3_and_the_run_goes_on(failing):
    error = failing("runworkflow", "shop.ETL", "--wait", "--timeout", "0.2")
    assert error.returncode == 3
    assert f"showrun {Run.objects.get().pk} --watch" in str(error)
    assert Run.objects.get().status == "running"


def test_local_times_out_too(failing):
    factories.make_workflow(factories.definition("shop.NAPS", "NAP", "NAP-2"))
    factories.make_workflow(factories.definition("shop.NAPS", "NAP", factories.step("NAP-2", task="NAP"), "NOOP"))
    error = failing("runworkflow", "shop.NAPS", '{"seconds": 0.3}', "--local", "--timeout", "0.1")
    assert error.returncode == 3


def test_the_same_key_starts_once(command, failing):
    first = command("runworkflow", "shop.ETL", "--local", "--idempotency-key", "k")
    again = command("runworkflow", "shop.ETL", "--wait", "--idempotency-key", "k")
    assert again.lines[0].split()[-1] == first.lines[0].split()[-1]
    assert "before" in again.lines[0]
    assert Run.objects.count() == 1
    error = failing("runworkflow", "shop.ETL", '{"x": 1}', "--idempotency-key", "k")
    assert "another payload" in str(error)


def test_a_timeout_without_waiting_is_a_mistake(failing):
    assert "--wait or --local" in str(failing("runworkflow", "shop.ETL", "--timeout", "5"))
    assert not Run.objects.exists()


@pytest.mark.parametrize(
    "wrong", [["--timeout", "-3", "--wait"], ["--timeout", "nan", "--wait"], ["--idempotency-key", ""]]
)
def test_options_that_mean_nothing_start_nothing(failing, wrong):
    error = str(failing("runworkflow", "shop.ETL", *wrong))
    assert wrong[0] in error
    assert not Run.objects.exists()


def test_a_key_that_the_api_would_not_take_is_refused(failing):
    error = str(failing("runworkflow", "shop.ETL", "--idempotency-key", "x" * 201))
    assert error == "idempotency key: give 1 to 200 printable characters"


def test_a_terminal_shows_one_live_line(on_terminal):
    ran = on_terminal("runworkflow", "shop.ETL", "--local")
    assert "\r" in ran.talk
    assert "1/3 tasks" in ran.talk
    assert "\x1b" not in ran.out
    assert ran.lines[1].split() == ["STEP", "STATUS", "ATTEMPT", "DURATION", "ERROR"]


def test_quiet(command):
    assert command("runworkflow", "shop.ETL", "--local", verbosity=0).talk == ""


PAYLOAD = '{"order": 7}'


@pytest.mark.parametrize(
    "arguments",
    [
        ("shop.ECHO", "--wait", PAYLOAD, "--timeout", "0"),
        ("--wait", "--timeout", "0", "shop.ECHO", PAYLOAD),
        ("shop.ECHO", "--comment", "by hand", "--wait", "--timeout", "0", PAYLOAD),
        ("shop.ECHO", PAYLOAD, "--wait", "--timeout", "0"),
    ],
)
def test_options_and_arguments_in_any_order(failing, arguments):
    assert failing("runworkflow", *arguments).returncode == 3
    assert Run.objects.get().payload == {"order": 7}


def test_a_relaunch_takes_its_payload_after_options_too(command):
    command("runworkflow", "shop.ECHO", '{"order": 1}')
    command("relaunchworkflow", str(Run.objects.get().pk), "--comment", "again", '{"order": 2}')
    assert [run.payload for run in Run.objects.order_by("created_at")] == [{"order": 1}, {"order": 2}]


class TestNotSynced:
    @pytest.fixture(autouse=True)
    def file(self, settings, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "flows.yml").write_text("shop.NEW: {tasks: []}\nshop.OLD: {tasks: []}\n")
        settings.DIRECTOR = {"WORKFLOWS": [str(tmp_path / "flows.yml")]}
        # As outside of tests, in which a start syncs.
        monkeypatch.setattr(named_workflows, "find_elsewhere", None)

    @pytest.mark.parametrize("name", ["runworkflow", "showworkflow", "listruns"])
    def test_a_workflow_that_is_only_in_a_file(self, failing, name):
        message = (
            "the workflow “shop.NEW” stands in flows.yml:1:1 and is not synced: run “manage.py syncworkflows”"
        )
        assert str(failing(name, "shop.NEW")) == f"{message} first"

    def test_one_that_has_come_back(self, failing):
        factories.make_workflow(factories.definition("shop.OLD", "A"), is_active=False)
        assert "stands in flows.yml:2:1 and is not synced" in str(failing("runworkflow", "shop.OLD"))

    def test_one_that_is_nowhere(self, failing):
        assert str(failing("runworkflow", "shop.ECO")) == "unknown workflow “shop.ECO” (did you mean “shop.ECHO”?)"


@pytest.mark.parametrize(("items", "lines"), [(30, 0), (5, 5)])
def test_a_large_map_is_told_by_counts_and_not_by_a_line_for_each_item(command, items, lines):
    steps = factories.mapped("EACH", factories.step("EACH", task="NOOP")), "NOOP"
    factories.make_workflow(factories.definition("shop.MAP", *steps))
    ran = command("runworkflow", "shop.MAP", json.dumps({"items": list(range(items))}), "--local")
    told = ran.talk.splitlines()
    assert len([line for line in told if line.startswith("EACH[")]) == lines
    assert len([line for line in told if line.startswith("NOOP success")]) == 1
    assert ("EACH: 30 of 30 tasks are done" in told) is (items == 30)
