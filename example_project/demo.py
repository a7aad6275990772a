"""``make demo``: run the example workflows with a real Celery worker, repair the one that fails, stop everything.

It does what a person would do with the commands, and shows each command. Exits with 0 when everything went as
intended, else with 1, the reason, and the end of the worker's log.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NoReturn

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "example_project.settings")

import django
from django.conf import settings
from django.core.management.base import CommandError
from django.db import Error as DatabaseError

from .prepare import login, prepare

ROOT: Final = Path(__file__).resolve().parent.parent
READY_WITHIN: Final = 90
RUN_WITHIN: Final = 120
STOP_WITHIN: Final = 30
LOOK: Final = 0.1
"""Seconds between two looks at whether a condition holds."""
TAIL: Final = 30
HOOKS_WITHIN: Final = 60


class Wrong(Exception):
    """The demonstration did not go as intended; the text says why."""


def say(text: str = "") -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


class Worker:
    """A Celery worker as a process of its own."""

    def __init__(self) -> None:
        self.log = settings.VAR / "log" / "worker.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when the worker takes tasks. Raises ``Wrong``."""
        name = f"demo{os.getpid()}@%h"
        words = ["-m", "celery", "-A", "example_project", "worker", "--concurrency", "2", "--loglevel", "INFO"]
        say("$ celery -A example_project worker --concurrency 2   (in the background)")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as log:
            # A session of its own: Ctrl-C is for this script, which then stops the worker in good order.
            self.process = subprocess.Popen(
                [sys.executable, *words, "--hostname", name],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._wait_until_ready(self.process)

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + READY_WITHIN
        while b" ready." not in self.log.read_bytes():
            if process.poll() is not None:
                raise Wrong(f"the worker ended with exit code {process.returncode}")
            if time.monotonic() > deadline:
                raise Wrong(f"the worker was not ready after {READY_WITHIN} s")
            time.sleep(LOOK)

    def stop(self) -> None:
        """End it in good order; its children too, whatever has become of it."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            say(f"The worker did not stop within {STOP_WITHIN} s and is killed.")
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def tail(self) -> str:
        if not self.log.exists():
            return ""
        lines = self.log.read_text(errors="replace").splitlines()[-TAIL:]
        return "\n".join([f"The end of {self.log}:", *lines])


@contextlib.contextmanager
def worker() -> Iterator[Worker]:
    started = Worker()
    try:
        started.start()
        yield started
    except Wrong as error:
        raise Wrong(f"{error}\n\n{started.tail()}") from error
    finally:
        started.stop()


def manage(*words: str) -> subprocess.CompletedProcess[str]:
    """Run a management command as its users do, and show its line."""
    shown = " ".join(f"'{word}'" if "{" in word else word for word in words)
    say(f"$ manage.py {shown}")
    command = [sys.executable, str(ROOT / "manage.py"), *words]
    done = subprocess.run(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=RUN_WITHIN + 60
    )
    return done


def run_of(done: subprocess.CompletedProcess[str], expected: str) -> dict[str, Any]:
    """The run that a command printed as JSON, shown as a table. Raises ``Wrong`` unless it is as expected."""
    try:
        run_id: str = json.loads(done.stdout)["id"]
    except ValueError:
        raise Wrong(f"the command ended with exit code {done.returncode}: {done.stderr.strip()}") from None
    run = when_hooks_have_ended(run_id)
    show(run)
    if run["status"] != expected:
        raise Wrong(f"{run['workflow']} is {run['status']}, and should be {expected}")
    return run


def when_hooks_have_ended(run_id: str) -> dict[str, Any]:
    """A finished run with its tasks. Nothing else waits for hooks: the outcome is there before they start."""
    from django_director.models import Run
    from django_director.presentation import run_tasks
    from django_director.presentation.serializers import run_as_json

    run = Run.objects.get(pk=run_id)
    deadline = time.monotonic() + HOOKS_WITHIN
    while run.tasks.active().exists():
        if time.monotonic() > deadline:
            raise Wrong(f"the hook of run {run_id} has not ended after {HOOKS_WITHIN} s")
        time.sleep(LOOK)
    return run_as_json(run, with_payload=True) | {"tasks": list(run_tasks.as_json(run, with_payload=True))}


def show(run: dict[str, Any]) -> None:
    took = seconds(run["duration"])
    say(f"  {run['workflow']}  {run['status']}  {took}  run {run['id']}")
    tasks = run["tasks"]
    width = max((len(task["label"]) for task in tasks), default=0)
    for task in tasks:
        hook = "  (hook)" if task["is_hook"] else ""
        say(f"    {task['label']:<{width}}  {task['status']:<15}  {seconds(task['duration']):>8}{hook}")
        if task["error"]:
            say(f"      {task['error']}")
    if run["status"] == "success":
        say(f"  result: {json.dumps(run['result'])}")
    say()


def seconds(duration: float | None) -> str:
    return "-" if duration is None else f"{duration:.3f} s"


def start(name: str, *payload: str, expected: str = "success") -> dict[str, Any]:
    done = manage("runworkflow", name, *payload, "--wait", "--timeout", str(RUN_WITHIN), "--json")
    return run_of(done, expected)


def repair(run: dict[str, Any]) -> None:
    """Correct the file that a run failed on, and let the run go on where it stopped."""
    file = settings.INBOX / "returns.csv"
    say(f"  It failed as intended: {file.name} says 189.OO, with two letters. It is corrected, and the run is")
    say("  retried: what was done stays done.\n")
    file.write_text(file.read_text().replace("189.OO", "189.00"))
    done = manage("retryworkflow", run["id"])
    if done.returncode:
        raise Wrong(f"the retry was refused: {done.stderr.strip()}")
    done = manage("showrun", run["id"], "--watch", "--json")
    run_of(done, "success")


def demonstrate() -> None:
    """Raises ``Wrong``."""
    say(f"Database: {settings.DATABASES['default']['ENGINE'].rpartition('.')[2]}, broker: {scheme()}\n")
    say("$ manage.py migrate\n$ manage.py syncworkflows")
    prepare()
    say()
    with worker():
        say()
        start("orders.IMPORT", '{"file": "orders.csv"}')
        start("reports.SALES")
        repair(start("orders.RETURNS", expected="failed"))
    left = f"{settings.REPORTS / 'sales.html'}\n  {settings.EMAIL_FILE_PATH}{os.sep} (mails of the hooks)"
    say(f"Everything went as intended, and everything that was started is stopped.\nWritten:\n  {left}\n")
    say("Go on:  make serve   (web server, worker and beat; http://127.0.0.1:8000/admin/)")
    say(f"        {login()}")


def scheme() -> str:
    return str(settings.CELERY_BROKER_URL).partition("://")[0] + "://"


def fail(reason: object) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.write(f"\nThe demonstration failed: {reason}\n")
    raise SystemExit(1)


def main() -> None:
    # As Ctrl-C: what was started is stopped on the way out.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    django.setup()
    try:
        demonstrate()
    except Wrong as error:
        fail(error)
    except (CommandError, DatabaseError, OSError) as error:
        fail(f"{type(error).__name__}: {error}")
    except subprocess.TimeoutExpired as error:
        fail(f"no answer within {error.timeout:.0f} s from {' '.join(map(str, error.cmd))}")
    except KeyboardInterrupt:
        fail("interrupted; everything that was started is stopped")


if __name__ == "__main__":
    main()
