"""What README.md says to add to a project works as written, in a project that `startproject` made."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from .harness import ROOT, wait_for

README = (ROOT / "README.md").read_text()
BLOCK = re.compile(r"^`(?P<path>[\w/.]+)`[^\n]*:\n\n```\w+\n(?P<text>.*?)^```$", re.M | re.S)
COMMAND = re.compile(r"^\$ python (manage\.py .*)$", re.M)

pytestmark = [pytest.mark.worker, pytest.mark.slow]


class Project:
    """A project in a folder of its own, with an environment of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {key: value for key, value in os.environ.items() if not key.startswith("D")}
        self.environment |= {"PYTHONPATH": str(ROOT), "DJANGO_SUPERUSER_PASSWORD": "secret"}
        for name in ("CELERY_BROKER_URL", "PYTEST_CURRENT_TEST"):
            self.environment.pop(name, None)

    def python(self, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, *words],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("readme")
    project = Project(folder)
    project.python("-m", "django", "startproject", "shop", ".")
    project.python("manage.py", "startapp", "orders")
    for found in BLOCK.finditer(README):
        path = folder / found["path"]
        before = path.read_text() if path.name == "settings.py" else ""
        path.write_text(before + found["text"])
    return project


@pytest.mark.timeout(240)
def test_the_steps_lead_to_a_run(project: Project) -> None:
    commands = [shlex.split(line) for line in COMMAND.findall(README)]
    names = [words[1] for words in commands]
    assert names == [
        *("migrate", "checkworkflows", "syncworkflows", "createsuperuser"),
        *("directordev", "runworkflow"),
    ]
    for words in commands[:3]:
        project.python(*words)
    project.python(*commands[3], "--noinput", "--username", "admin", "--email", "")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    log = project.folder / "directordev.log"
    with log.open("wb") as output:
        together = subprocess.Popen(
            [sys.executable, *commands[4], "--port", port],
            cwd=project.folder,
            env=project.environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        shown = project.python(*commands[5], "--timeout", "60")
        wait_for(lambda: "Starting development server" in log.read_text(), 60, "the web server")
        wait_for(lambda: "beat: Starting..." in log.read_text(), 60, "beat")
        project.python("-m", "celery", "-A", "shop", "inspect", "ping")
    finally:
        together.send_signal(signal.SIGINT)
        together.wait(30)
    assert together.returncode == 0, log.read_text()
    assert [line.split("\t")[:2] for line in shown.splitlines()[1:]] == [
        ["orders.read", "success"],
        ["orders.check_stock", "success"],
        ["orders.check_credit", "success"],
        ["orders.ship", "success"],
        ["result", '"order 7 is on its way"'],
    ]


def test_the_files_have_no_warning(project: Project) -> None:
    project.python("-W", "error", "manage.py", "check", "--fail-level", "WARNING")


def test_the_test_helper_works_as_shown(project: Project) -> None:
    (project.folder / "orders" / "tests.py").write_text(
        "from django.test import TestCase\n"
        "from django_director.testing import run_workflow\n"
        "class Tests(TestCase):\n"
        "    def test(self):\n"
        '        run = run_workflow("orders.SHIP", {"order": 7})\n'
        '        assert run.status == "success"\n'
    )
    project.python("manage.py", "test")
