"""What README.md says to add to a project works as written, in a project that `startproject` made."""

from __future__ import annotations

import shlex
import signal
import socket
import subprocess
import sys

import pytest

from .harness import ROOT, wait_for
from .new_project import COMMAND, Project, make_project

README = (ROOT / "README.md").read_text()

pytestmark = [pytest.mark.worker, pytest.mark.slow]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return make_project(tmp_path_factory.mktemp("readme"), "shop", "orders", README)


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
