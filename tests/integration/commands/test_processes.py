"""What a shell sees: exit codes, streams, and never a traceback."""

import json
import os
import subprocess
import sys

import pytest

from tests.services import needs_mysqlclient

COMMANDS = (
    ["runworkflow", "shop.ETL"],
    pytest.param(["listworkflows"], marks=pytest.mark.slow),
    pytest.param(["showrun", "abcdef"], marks=pytest.mark.slow),
)


def call(*args, database, shell=None, **env):
    command = [sys.executable, "-m", "django", *args]
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "DATABASE_URL": database,
        "PYTHONWARNINGS": "default",
        **env,
    }
    if shell:
        line = " ".join(f"'{word}'" for word in command) + shell
        command = ["bash", "-o", "pipefail", "-c", line]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    url = f"sqlite:///{tmp_path_factory.mktemp('commands') / 'db.sqlite3'}"
    done = call("migrate", "-v0", database=url)
    assert done.returncode == 0, done.stderr
    setup = (
        "from tests import factories as f\n"
        "f.make_workflow(f.definition('shop.ETL', 'EXTRACT', 'TRANSFORM', 'LOAD'))\n"
        "f.make_workflow(f.definition('shop.BROKEN', 'ERROR'))\n"
        "w = f.make_workflow(f.definition('shop.WIDE', f.group('G', *(f'T{n}' for n in range(3000)))))\n"
    )
    done = call("shell", "-v0", "-c", setup, database=url)
    assert done.returncode == 0, done.stderr
    return url


def test_success_and_failure_have_their_exit_codes(database):
    good = call("runworkflow", "shop.ETL", "--local", "--json", database=database)
    assert good.returncode == 0
    run = json.loads(good.stdout)
    assert (run["status"], run["result"], len(run["tasks"])) == ("success", 60, 3)
    bad = call("runworkflow", "shop.BROKEN", "--local", "--json", database=database)
    assert bad.returncode == 1
    assert json.loads(bad.stdout)["status"] == "failed"
    assert "ValueError: as asked" in bad.stderr
    assert "Traceback" not in bad.stderr


def test_a_run_that_nobody_works_on_times_out_with_3(database):
    waited = call("runworkflow", "shop.ETL", "--wait", "--timeout", "1", database=database)
    assert waited.returncode == 3
    assert "Traceback" not in waited.stderr


def test_waiting_sees_what_another_process_does(database):
    line = [sys.executable, "-m", "django", "runworkflow", "shop.ETL", "--wait", "--timeout", "60"]
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings", "DATABASE_URL": database}
    with subprocess.Popen(
        line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as waiting:
        run = waiting.stdout.readline().split()[-1]
        work = (
            "from django_director.models import Run; from django_director.worker.local import run_to_end\n"
            f"run_to_end(Run.objects.get(pk='{run}'))"
        )
        done = call("shell", "-v0", "-c", work, database=database)
        out, talk = waiting.communicate(timeout=60)
    assert (done.returncode, waiting.returncode) == (0, 0), done.stderr + talk
    assert [line.split("\t")[:2] for line in out.splitlines()] == [
        ["EXTRACT", "success"],
        ["TRANSFORM", "success"],
        ["LOAD", "success"],
        ["result", "60"],
    ]
    assert "LOAD success" in talk


@pytest.mark.parametrize("command", COMMANDS)
def test_missing_tables_ask_for_migrate(tmp_path, command):
    done = call(*command, database=f"sqlite:///{tmp_path / 'empty.sqlite3'}")
    assert (done.returncode, done.stdout) == (1, "")
    assert "run “manage.py migrate” first" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "url",
    [
        "postgres://postgres@127.0.0.1:1/none",
        pytest.param("mysql://root@127.0.0.1:1/none", marks=needs_mysqlclient),
        "sqlite:////no/such/dir/db",
    ],
)
def test_a_database_that_does_not_answer_is_said_so(url):
    done = call("listruns", database=url)
    assert (done.returncode, done.stdout) == (1, "")
    assert "the database does not answer" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_alias_that_is_not_there_is_said_so(failing, settings):
    settings.DIRECTOR = settings.DIRECTOR | {"DATABASE": "nope"}
    for line in (["listruns"], ["runworkflow", "shop.ETL"], ["listworkflows"]):
        error = str(failing(*line))
        assert "'nope'" in error
        assert 'DIRECTOR["DATABASE"]' in error


def test_a_reader_that_leaves_is_no_error(database):
    done = call("showworkflow", "shop.WIDE", database=database, shell=" | head -n 1")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("name")


def test_a_terminal_without_unicode_is_no_error(database):
    done = call("listworkflows", database=database, PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert "EXTRACT ? TRANSFORM ? LOAD" in done.stdout
