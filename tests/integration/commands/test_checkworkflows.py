"""``checkworkflows`` and ``initworkflows`` as a user meets them: in a project of its own, without its database."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from django_director.definitions.checks.destinations import check_destinations
from django_director.definitions.files import read_files
from django_director.graph import compile_definition
from tests import warm
from tests.speed import allowed

ROOT = Path(__file__).parents[3]
SETTINGS = """
from pathlib import Path
BASE_DIR = Path(__file__).parent.parent
SECRET_KEY = "x"
USE_TZ = True
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "django_director", "shop"]
DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "NAME": "x", "HOST": "127.0.0.1", "PORT": "1"}}
DIRECTOR = {"WORKFLOWS": ["flows"]}
"""
APP = """
from celery import Celery
app = Celery("proj", task_cls="django_director.celery:DirectorTask")
app.autodiscover_tasks()
"""
TASKS = """
from celery import shared_task
@shared_task(name="FETCH")
def fetch(*args, **kwargs): ...
@shared_task(name="STORE", bind=True, autoretry_for=(OSError,))
def store(self, rows): ...
"""


class Project:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for path, text in (
            ("proj/settings.py", SETTINGS),
            ("proj/__init__.py", "from .celery import app"),
            ("proj/celery.py", APP),
            ("shop/__init__.py", ""),
            ("shop/tasks.py", TASKS),
        ):
            self.write(path, text)
        self.write("flows/main.yml", "shop.A: {tasks: [FETCH, STORE]}\n")

    def write(self, path: str, text: str) -> None:
        (self.folder / path).parent.mkdir(exist_ok=True)
        (self.folder / path).write_text(text)

    def environment(self) -> dict[str, str]:
        paths = os.pathsep.join([str(self.folder), str(ROOT)])
        return {**os.environ, "DJANGO_SETTINGS_MODULE": "proj.settings", "PYTHONPATH": paths}

    def manage(self, *args: str) -> subprocess.CompletedProcess[str]:
        return warm.manage(self.folder, self.environment(), *args)

    def shell(self, *args: str) -> subprocess.CompletedProcess[str]:
        """The command from a shell: nothing is imported before it begins."""
        command = [sys.executable, "-m", "django", *args]
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


def test_valid_files(project):
    project.write("shop/workflows.yml", "shop.B: {tasks: [G: {type: group, tasks: [FETCH]}]}\n")
    done = project.shell("checkworkflows")
    assert (done.returncode, done.stdout.count("\n")) == (0, 1), done.stderr
    assert done.stdout.startswith("shop/workflows.yml:1:18: D901 note: ")
    assert done.stderr.strip() == "2 workflows in 2 files, no problems; 1 note"


def test_a_permission_that_no_model_declares_is_noted_without_a_database(project):
    steps = "A: {type: approval, permission: %s}, B: {type: approval, permission: %s}"
    known = "django_director.approve_task", "auth.add_user"
    project.write("flows/main.yml", f"shop.A: {{tasks: [{steps % known}]}}\n")
    done = project.manage("checkworkflows")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    project.write("flows/main.yml", f"shop.A: {{tasks: [{steps % ('auth.ad_user', 'auth.add_user')}]}}\n")
    done = project.manage("checkworkflows")
    assert (done.returncode, done.stdout) == (
        0,
        "flows/main.yml:1:18: D907 note: no model declares the permission “auth.ad_user” "
        "(did you mean “auth.add_user”?)\n",
    )


def test_problems_of_all_files(project):
    project.write("flows/main.yml", "shop.A:\n  tasks: [STORE, FETHC]\n")
    project.write("shop/workflows.yml", "shop.A: {tasks: [FETCH]}\nshop.B: {tasks: [FETCH], retry: 3}\n")
    done = project.manage("checkworkflows")
    assert done.returncode == 1
    assert [line.split(" ")[:2] for line in done.stdout.splitlines()] == [
        ["flows/main.yml:2:11:", "D402"],
        ["flows/main.yml:2:18:", "D401"],
        ["shop/workflows.yml:1:1:", "D102"],
        ["shop/workflows.yml:2:26:", "D105"],
    ]
    assert done.stderr.strip() == "CommandError: 4 problems in 2 files"
    (first, *_) = found = json.loads(project.manage("checkworkflows", "--json").stdout)
    assert len(found) == 4
    assert first == {
        "path": "flows/main.yml",
        "line": 2,
        "column": 11,
        "code": "D402",
        "message": "the task “STORE”: it requires the argument `rows`, and nothing gives it",
        "hint": "add `with: {rows: …}`, or give the parameter a default; a first step receives no result",
        "workflow": "shop.A",
        "step": "STORE",
        "level": "error",
    }


def test_the_schema_for_editors(project):
    project.write("flows/main.yml", "shop.A: {tasks: [NOTHING]}\n")
    done = project.manage("checkworkflows", "--schema")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["title"] == "Workflows of django-director"


def test_a_missing_file(project):
    project.write("proj/settings.py", SETTINGS.replace('"flows"', '"nothing.yml"'))
    done = project.manage("checkworkflows")
    assert (done.returncode, done.stdout[:22]) == (1, "nothing.yml:1:1: D001 ")


def test_a_setting_that_is_no_list(project):
    project.write("proj/settings.py", SETTINGS.replace('["flows"]', "5"))
    done = project.manage("checkworkflows")
    assert (done.returncode, done.stdout) == (
        1,
        'settings:1:1: D405 DIRECTOR["WORKFLOWS"] must be a list of paths, and is int '
        '(write `DIRECTOR = {"WORKFLOWS": [BASE_DIR / "workflows.yml"]}`)\n',
    )


@pytest.mark.parametrize(
    ("text", "place"),
    [
        pytest.param("import nothing_like_it\n", "2:1", id="import"),
        pytest.param("def broken(:\n", "2:1", id="syntax", marks=pytest.mark.slow),
        pytest.param("1 / 0\n", "2:1", id="error", marks=pytest.mark.slow),
    ],
)
def test_tasks_that_cannot_be_imported(project, text, place):
    project.write("shop/tasks.py", "\n" + text)
    done = project.manage("checkworkflows")
    (line,) = done.stdout.splitlines()
    assert line.startswith(f"shop/tasks.py:{place}: D404 the project's tasks can't be imported: ")
    assert line.endswith(" (correct the module; until then steps are not checked against tasks)")
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    check = project.manage("check")
    assert (check.returncode, "D404" in check.stderr) == (0, True)


def test_a_project_without_a_celery_app(project):
    project.write("proj/__init__.py", "")
    done = project.manage("check")
    assert (done.returncode, "director.W002" in done.stderr) == (0, True)
    assert "D408" not in done.stderr
    project.write("flows/main.yml", "shop.A: {tasks: [FETCH, FETCH, NOTHING], timeout: none}\n")
    done = project.manage("checkworkflows")
    first, second = done.stdout.splitlines()
    assert first == (
        "proj/__init__.py:1:1: D408 the project has no Celery app, so steps are not checked against tasks "
        "(make one in its celery.py and import it here: `from .celery import app`)"
    )
    assert "D108" in second
    assert (done.returncode, done.stderr.strip()) == (1, "CommandError: 2 problems in 1 file")


def test_a_celery_app_without_task_cls(project):
    project.write("proj/celery.py", APP.replace(', task_cls="django_director.celery:DirectorTask"', ""))
    done = project.manage("check")
    assert (done.returncode, "director.E006" in done.stderr) == (1, True)
    assert "`class AcmeTask(DirectorTask)`" in done.stderr
    project.write("proj/celery.py", APP.replace("celery:DirectorTask", "celery:Nothing"))
    done = project.manage("check")
    assert (done.returncode, "director.E006" in done.stderr) == (1, True), done.stderr


def test_the_sample_is_valid_and_never_written_over_a_file(project):
    project.write("shop/__init__.py", "")
    (project.folder / "shop" / "tasks.py").unlink()
    (project.folder / "flows" / "main.yml").unlink()
    done = project.manage("initworkflows", "shop")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["shop/workflows.yml", "shop/tasks.py"]
    assert "runworkflow example.ETL" in done.stderr
    assert project.manage("checkworkflows").returncode == 0

    project.write("shop/tasks.py", "mine")
    (project.folder / "shop" / "workflows.yml").unlink()
    again = project.manage("initworkflows", "shop")
    assert (again.returncode, "shop/tasks.py exists already" in again.stderr) == (1, True)
    assert not (project.folder / "shop" / "workflows.yml").exists()
    assert (project.folder / "shop" / "tasks.py").read_text() == "mine"


def test_the_sample_goes_where_one_is_unless_it_is_told(project):
    done = project.manage("initworkflows")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["workflows.yml", "tasks.py"]
    assert (project.folder / "workflows.yml").exists()


def test_the_sample_elsewhere_says_what_is_missing(project):
    done = project.manage("initworkflows", "new/place")
    assert "WORKFLOWS" in done.stderr
    assert "installed apps" in done.stderr
    assert (project.folder / "new" / "place" / "tasks.py").exists()


def test_a_queue_that_celery_would_refuse(project):
    queues = 'CELERY_TASK_CREATE_MISSING_QUEUES = False\nCELERY_TASK_QUEUES = {"celery": {}, "slow": {}}\n'
    routes = 'CELERY_TASK_ROUTES = {"STORE": {"queue": "nowhere"}}\n'
    configured = 'app.config_from_object("django.conf:settings", namespace="CELERY")\napp.autodiscover'
    project.write("proj/settings.py", SETTINGS + queues + routes)
    project.write("proj/celery.py", APP.replace("app.autodiscover", configured))
    project.write(
        "flows/main.yml",
        "shop.A: {tasks: [FETCH: {queue: slo}, STORE, FETCH: {queue: slow}, FETCH: {queue: slo}]}\n",
    )
    done = project.manage("checkworkflows")
    assert done.returncode == 1, done.stderr
    first, second = done.stdout.splitlines()
    assert first == "flows/main.yml:1:18: D407 the queue “slo” is none that Celery knows (did you mean “slow”?)"
    assert second == (
        "flows/main.yml:1:39: D407 the queue “nowhere”, to which Celery's settings send it, is none that Celery "
        "knows (declare it in `task_queues` of the Celery app, or set `task_create_missing_queues`)"
    )
    assert "D407" in project.manage("check").stderr


def test_a_router_that_fails_is_asked_again_when_something_is_sent(project):
    """It may need the database, and this command needs none."""
    project.write(
        "proj/celery.py", APP + "def route(*args, **kwargs): raise OSError\napp.conf.task_routes = [route]\n"
    )
    done = project.manage("checkworkflows")
    assert done.returncode == 0, done.stdout


def test_three_workflows_of_a_thousand_steps_take_less_than_a_second(tmp_path):
    names = ("test.A", "test.B", "test.C")
    given = "{n: '${{ tasks.S%d.result }}'}"
    each = "".join(
        f"    - S{number}: {{task: A, needs: [S{number - 1}], with: {given % (number - 1)}}}\n"
        for number in range(1, 1000)
    )
    file = tmp_path / "workflows.yml"
    file.write_text("".join(f"{name}:\n  tasks:\n    - S0: {{task: A, needs: []}}\n{each}" for name in names))
    began = time.process_time()
    reading = read_files([file])
    graphs = [compile_definition(found) for found in reading.definitions]
    assert time.process_time() - began < allowed(1.0)
    assert not reading.problems
    assert [len(graph.nodes) for graph in graphs] == [1000] * 3


def test_celery_is_asked_once_where_a_task_would_go(tmp_path):
    file = tmp_path / "workflows.yml"
    file.write_text(f"test.A:\n  tasks: [{', '.join(['A'] * 100)}]\n")
    asked = []

    def refused(name, queue):
        asked.append((name, queue))
        return "wrong"

    problems = check_destinations(read_files([file]).definitions, refused, "director.step", ["celery"])
    assert (len(problems), asked) == (1, [("A", "")])
