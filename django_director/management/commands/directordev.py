from __future__ import annotations

import os
import signal
import socket
import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from celery import Celery
from django.apps import apps
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.urls import NoReverseMatch, reverse

from django_director.definitions import Definition
from django_director.management.base import DirectorCommand
from django_director.management.output import number_of
from django_director.management.processes import ProgramGroup
from django_director.sync.project import celery_app, read_project

HOST: Final = "127.0.0.1"
NAME_WIDTH: Final = 8
BEAT: Final = "django_celery_beat"


class Command(DirectorCommand):
    help = (
        "Web server, worker and beat in one terminal, for development. The worker serves every queue that the "
        "workflow files name. Ctrl-C stops all; when one of them dies, the others are stopped."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--port", type=_port, default=8000, metavar="N", help="of the web server; default 8000"
        )
        parser.add_argument("--workers", type=_number, default=1, metavar="N", help="how many workers; default 1")

    def run_command(self, *, port: int, workers: int, **options: object) -> None:
        app = celery_app()
        if app is None:
            self.fail("there is no Celery app: “manage.py check” says how to make one")
        if due := _migrations_due():
            self.fail(f"run “manage.py migrate” first: {number_of(due, 'migration')} to be applied")
        if _is_taken(port):
            self.fail(f"port {port} of {HOST} is in use: choose another with --port")
        programs = ProgramGroup(self._print_line)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, programs.ask_to_stop)
        try:
            self._start(programs, app, port, workers)
            ended = programs.wait()
        finally:
            programs.stop()
        if ended is not None:
            self.fail(f"{ended.name} {ended.ending}; its last lines say why. The others are stopped.")
        self.inform("stopped")

    def _start(self, programs: ProgramGroup, app: Celery, port: int, workers: int) -> None:
        environment = _environment()
        celery = [sys.executable, "-m", "celery", "-A", path_of(app)]
        queues = ",".join(sorted(_queues(app)))
        programs.start("web", [*_manage(), "runserver", f"{HOST}:{port}"], environment)
        for number in range(1, workers + 1):
            name = "worker" if workers == 1 else f"worker{number}"
            words = ["worker", "--loglevel", "INFO", "--queues", queues, "--hostname", f"dev{number}-{port}@%h"]
            programs.start(name, [*celery, *words], environment)
        if apps.is_installed(BEAT):
            scheduler = f"{BEAT}.schedulers:DatabaseScheduler"
            words = ["beat", "--loglevel", "INFO", "--scheduler", scheduler, "--pidfile="]
            programs.start("beat", [*celery, *words], environment)
        else:
            self.inform(f"no beat: “{BEAT}” is not in INSTALLED_APPS, so nothing is scheduled")
        self.inform(f"http://{HOST}:{port}{_admin_path()}   Ctrl-C stops web server, worker and beat.")

    def _print_line(self, name: str, line: str) -> None:
        self.out.line(f"{name:<{NAME_WIDTH}} | {line}")
        self.stdout.flush()


def path_of(app: Celery) -> str:
    """Return where a Celery app is, in the form that ``celery -A`` takes: ``module:name``.

    Raises ``LookupError`` for an app that no imported module holds.
    """
    places = [
        (name, key)
        for name, module in list(sys.modules.items())
        for key, value in list(vars(module).items())
        if value is app and name != "__main__" and not name.startswith(("celery.", "django_director."))
    ]
    if not places:
        raise LookupError(f"no module holds the Celery app {app.main!r}")
    # A module "celery", which makes the app, comes before packages that only import it.
    module, key = min(places, key=lambda place: (not place[0].endswith("celery"), place))
    return f"{module}:{key}"


def _queues(app: Celery) -> set[str]:
    """Return the queues of the app and those that the workflow files name."""
    own: Any = app.amqp.queues
    return {*own, *(queue for found in read_project().definitions for queue in _queues_of(found))}


def _queues_of(definition: Definition) -> Iterator[str]:
    for step in (*definition.entries(), *definition.steps(), *definition.hook_steps()):
        if step.queue is not None:
            yield step.queue


def _manage() -> list[str]:
    script = Path(sys.argv[0])
    return [sys.executable, str(script)] if script.is_file() else [sys.executable, "-m", "django"]


def _environment() -> dict[str, str]:
    """Return the environment of this process with its import path: ``celery`` does not know where manage.py is."""
    paths = [str(Path(path).resolve()) for path in sys.path[:1]]
    given = os.environ.get("PYTHONPATH")
    return os.environ | {
        "PYTHONPATH": os.pathsep.join([*paths, *([given] if given else [])]),
        "PYTHONUNBUFFERED": "1",
    }


def _migrations_due() -> int:
    executor = MigrationExecutor(connection)
    due = len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
    connection.close()
    return due


def _admin_path() -> str:
    try:
        return reverse("admin:index")
    except NoReverseMatch:
        return "/"


def _is_taken(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # With this option, which `runserver` uses too, a port that was closed a moment ago counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return True
    return False


def _port(text: str) -> int:
    number = _number(text)
    if number > 65535:
        raise ArgumentTypeError(f"a port up to 65535, not {text}")
    return number


def _number(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"a number from 1, not “{text}”")
    return int(text)
