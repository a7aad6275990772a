"""What a shell sees: exit codes, streams, and never a traceback."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import warm
from tests.services import needs_mysqlclient

COMMANDS = (
    ["runworkflow", "shop.ETL"],
    pytest.param(["listworkflows"], marks=pytest.mark.slow),
    pytest.param(["showrun", "abcdef"], marks=pytest.mark.slow),
)


def environment(database, **env):
    return os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings", "DATABASE_URL": database, **env}


def call(*args, database):
    return warm.manage(Path.cwd(), environment(database), *args)


def shell(*args, database, pipe="", **env):
    """The command from a shell: nothing is imported before it begins."""
    line = " ".join(f"'{word}'" for word in [sys.executable, "-m", "django", *args])
    command = ["bash", "-o", "pipefail", "-c", line + pipe]
    given = environment(database, PYTHONWARNINGS="default", **env)
    return subprocess.run(command, env=given, capture_output=True, text=True, check=False)


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
    good = shell("runworkflow", "shop.ETL", "--local", "--json", database=database)
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
    with subprocess.Popen(
        line, env=environment(database), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
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
    done = shell("showworkflow", "shop.WIDE", database=database, pipe=" | head -n 1")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("name")


def test_a_terminal_without_unicode_is_no_error(database):
    done = shell("listworkflows", database=database, PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert "EXTRACT ? TRANSFORM ? LOAD" in done.stdout
