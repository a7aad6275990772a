"""The example project is right: its checks, its files, its own tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import warm

ROOT = Path(__file__).parents[2]


def environment(folder: Path) -> dict[str, str]:
    """The example's own settings, with all that it writes in ``folder``."""
    own = ("DATABASE_URL", "CELERY_BROKER_URL", "DJANGO_SETTINGS_MODULE")
    given = {key: value for key, value in os.environ.items() if key not in own}
    return given | {"EXAMPLE_VAR": str(folder)}


def manage(folder: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    settings = {"DJANGO_SETTINGS_MODULE": "example_project.settings"}
    return warm.manage(ROOT, environment(folder) | settings | more, *words, timeout=100)


def shell(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The command from a shell, where each warning is an error."""
    return subprocess.run(
        [sys.executable, "-W", "error", "manage.py", *words],
        cwd=ROOT,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_nothing_is_to_be_said_about_it(tmp_path):
    for words in (["check", "--fail-level", "WARNING"], ["makemigrations", "--check"]):
        done = shell(tmp_path, *words)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "5 workflows in 3 files, no problems" in manage(tmp_path, "checkworkflows").stderr


def test_its_own_tests_pass(tmp_path):
    done = shell(tmp_path, "test", "example_project")
    assert done.returncode == 0, done.stderr
    assert "\nRan 6 tests" in done.stderr


def test_it_starts_with_debug_off(tmp_path):
    assert manage(tmp_path, "check", DEBUG="0").returncode == 0


def test_an_unknown_database_is_named(tmp_path):
    done = manage(tmp_path, "check", DATABASE_URL="oracle://host/name")
    assert done.returncode != 0
    assert "DATABASE_URL begins with “oracle”: use sqlite" in done.stderr


@pytest.fixture(scope="module")
def migrated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("example")
    assert manage(folder, "migrate", "-v0").returncode == 0
    return folder


def test_supervising_once(tmp_path, migrated):
    unready = manage(tmp_path, "superviseworkflows", "--once")
    assert (unready.returncode, unready.stdout) == (1, "")
    assert "run “manage.py migrate” first" in unready.stderr
    assert "nothing was due" in manage(migrated, "superviseworkflows", "--once").stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_supervising_until_told_to_stop(migrated, number):
    with subprocess.Popen(
        [sys.executable, "manage.py", "superviseworkflows"],
        cwd=ROOT,
        env=environment(migrated),
        stderr=subprocess.PIPE,
        text=True,
    ) as supervisor:
        for line in supervisor.stderr:
            if "Ctrl-C stops it" in line:
                break
        supervisor.send_signal(number)
        assert supervisor.wait(20) == 0
        assert supervisor.stderr.read() == "stopped\n"
