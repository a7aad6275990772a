"""`make demo` without make: the example project, its demonstration, and `directordev`."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from .harness import ROOT, wait_for

pytestmark = [pytest.mark.worker, pytest.mark.slow]

STOPS_WITHIN = 40


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The example's own settings and a folder of this test's, whose name has a space."""
    given = {
        key: value
        for key, value in os.environ.items()
        if key not in ("DATABASE_URL", "CELERY_BROKER_URL", "DJANGO_SETTINGS_MODULE")
    }
    return given | {"EXAMPLE_VAR": str(tmp_path / "of this test"), "PYTHONUNBUFFERED": "1"}


def python(environment: dict[str, str], *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env=environment | more,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def processes_with(mark: str) -> list[int]:
    """The processes whose environment holds ``mark``: everything that a test has started."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (path / "environ").read_bytes() and int(path.name) != os.getpid():
                found.append(int(path.name))
        except (OSError, ProcessLookupError):
            continue
    return found


@pytest.mark.timeout(240)
def test_the_demonstration_works_and_leaves_nothing_running(environment: dict[str, str]) -> None:
    check_demonstration(environment)
    runs = json.loads(python(environment, "manage.py", "listruns", "--json").stdout)
    assert [(run["workflow"], run["status"]) for run in runs] == [
        ("orders.RETURNS", "success"),
        ("reports.SALES", "success"),
        ("orders.IMPORT", "success"),
    ]
    reports = Path(environment["EXAMPLE_VAR"]) / "reports"
    assert (reports / "sales.csv").read_text().splitlines()[:2] == ["country,orders,gross", "CH,11,5011.63"]
    assert "5011.63" in (reports / "sales.html").read_text()
    mails = list((Path(environment["EXAMPLE_VAR"]) / "mail").iterdir())
    assert len(mails) == 2


@pytest.mark.timeout(300)
def test_the_demonstration_works_twice(environment: dict[str, str]) -> None:
    check_demonstration(environment)
    check_demonstration(environment)


def check_demonstration(environment: dict[str, str]) -> None:
    done = python(environment, "-m", "example_project.demo")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "line 3: “189.OO” is no amount" in done.stdout
    assert "Everything went as intended" in done.stdout
    assert "user admin, password director" in done.stdout
    assert not processes_with(environment["EXAMPLE_VAR"])


def test_a_worker_that_can_not_start_is_shown(environment: dict[str, str]) -> None:
    done = python(environment, "-m", "example_project.demo", CELERY_BROKER_URL="no-such-broker://")
    assert done.returncode == 1
    assert "The demonstration failed: the worker ended with exit code 1" in done.stderr
    assert "No such transport: no-such-broker" in done.stderr
    assert not processes_with(environment["EXAMPLE_VAR"])


@pytest.fixture
def together(environment: dict[str, str], tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path, str]]:
    """`directordev`, ready: the process, its output, its port."""
    prepared = python(environment, "-m", "example_project.prepare")
    assert prepared.returncode == 0, prepared.stderr
    port, log = free_port(), tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "directordev", "--port", port, "--workers", "2"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )

    def is_ready() -> bool:
        assert process.poll() is None, log.read_text()
        text = log.read_text()
        return text.count(" ready.") == 2 and "beat: Starting" in text and "development server at" in text

    try:
        wait_for(is_ready, 90, "directordev")
        yield process, log, port
    finally:
        process.kill()
        process.wait()
        for pid in processes_with(environment["EXAMPLE_VAR"]):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_everything_in_one_terminal_is_stopped_together(
    together: tuple[subprocess.Popen[bytes], Path, str], environment: dict[str, str], number: int
) -> None:
    process, log, port = together
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/admin/", timeout=30) as page:
        assert page.status == 200
    # The queue `reports` is named by a workflow file only: the workers serve it all the same.
    done = python(environment, "manage.py", "runworkflow", "reports.SALES", "--wait", "--timeout", "60")
    assert done.returncode == 0, done.stderr + log.read_text()
    process.send_signal(number)
    assert process.wait(STOPS_WITHIN) == 0
    assert not processes_with(environment["EXAMPLE_VAR"])
    assert {line.split(" |")[0].strip() for line in log.read_text().splitlines() if " | " in line} == {
        *("web", "worker1", "worker2", "beat"),
    }


@pytest.mark.timeout(240)
def test_when_one_dies_the_others_are_stopped(
    together: tuple[subprocess.Popen[bytes], Path, str], environment: dict[str, str]
) -> None:
    process, log, _ = together
    beat = [
        pid
        for pid in processes_with(environment["EXAMPLE_VAR"])
        if b"\0beat\0" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    os.kill(beat[0], signal.SIGKILL)
    assert process.wait(STOPS_WITHIN) == 1
    assert "beat was killed by SIGKILL" in log.read_text()
    assert not processes_with(environment["EXAMPLE_VAR"])


def test_a_port_in_use_and_missing_tables_are_told(environment: dict[str, str]) -> None:
    done = python(environment, "manage.py", "directordev")
    assert done.returncode == 1
    assert "run “manage.py migrate” first" in done.stderr
    assert python(environment, "manage.py", "migrate").returncode == 0
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        done = python(environment, "manage.py", "directordev", "--port", port)
    assert done.returncode == 1
    assert f"port {port} of 127.0.0.1 is in use" in done.stderr
    assert "Traceback" not in done.stderr
