"""Makes the project: django-director is added as README.md says, and no setting is touched beyond that."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from benchmarks.contenders.ours import write_workflows
from benchmarks.places import ROOT, Places
from example_project.environment import database

BLOCK = re.compile(r"^`(?P<path>[\w/.]+)`[^\n]*:\n\n```\w+\n(?P<text>.*?)^```$", re.M | re.S)
"""A file as README.md shows it."""
TAKEN = ("shop/celery.py", "shop/__init__.py", "shop/urls.py")
"""These are used as they stand there; of the settings, the lines for Redis and RabbitMQ."""

TASKS = """\
import time

from celery import shared_task

from benchmarks.stamps import record


@shared_task(name="NOOP")
def noop():
    record(time.monotonic())


@shared_task(name="ITEM")
def item(number):
    record(time.monotonic())


@shared_task(name="NUMBERS")
def numbers(count):
    return list(range(count))
"""
SETTINGS = """
INSTALLED_APPS += ["rest_framework", "django_celery_beat", "django_director", "orders"]
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
"""
BEFORE_SETTINGS = """
INSTALLED_APPS += ["orders"]
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
"""
BEFORE_CELERY = """\
import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")

app = Celery("shop")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
"""
IN_MEMORY = """\
from .settings import *

DEBUG = False  # as Django's test runner sets it
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
"""
CHAINS = (1, 3, 10, 20, 100)
FANS = (200, 1000)
MAPS = {"MAP": "", "MAP_PARALLEL": ", max_parallel: 200"}
BATCHES = {"MAP_BATCH": ", batch: 50"}


class Site:
    """A project in a folder of its own, with the environment of its processes."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.folder = folder
        self.env = env | {"DJANGO_SETTINGS_MODULE": "shop.settings"}

    def python(self, *words: str) -> None:
        """Run Python in it. Raises ``RuntimeError`` with the last lines of what it said when it fails."""
        done = subprocess.run(
            [sys.executable, *words], cwd=self.folder, env=self.env, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(words)}: {(done.stdout + done.stderr)[-3000:]}")

    def make(self, settings: str) -> None:
        """The project and its app, with ``settings`` at the end of the settings."""
        self.folder.mkdir()
        startproject = ["-m", "django", "startproject", "shop", "."]
        subprocess.run([sys.executable, *startproject], cwd=self.folder, env=_unset(self.env), check=True)
        self.python("manage.py", "startapp", "orders")
        with (self.folder / "shop" / "settings.py").open("a") as file:
            file.write(settings)
        (self.folder / "orders" / "tasks.py").write_text(TASKS)


def _unset(env: dict[str, str]) -> dict[str, str]:
    # `startproject` would import the settings, which are not there yet.
    return {key: value for key, value in env.items() if key != "DJANGO_SETTINGS_MODULE"}


def make_before(folder: Path, env: dict[str, str], places: Places, queue: str) -> Site:
    """The project with Celery alone, its results in Redis."""
    site = Site(folder, env)
    # Of results by the ten thousand nothing should stay in a server that others use too.
    own = {"RESULT_BACKEND": places.results, "TASK_DEFAULT_QUEUE": queue, "RESULT_EXPIRES": 600}
    lines = [f"CELERY_{name} = {value!r}\n" for name, value in own.items()]
    site.make("".join([BEFORE_SETTINGS, *lines, _addresses(places)]))
    (folder / "shop" / "celery.py").write_text(BEFORE_CELERY)
    (folder / "shop" / "__init__.py").write_text(_readme()["shop/__init__.py"])
    return site


def make_after(folder: Path, env: dict[str, str], places: Places, queue: str) -> Site:
    """The project with django-director and its tables and workflows. Its database must be there."""
    site = Site(folder, env)
    site.make(SETTINGS + _addresses(places))
    for path in TAKEN:
        (folder / path).write_text(_readme()[path])
    (folder / "shop" / "in_memory.py").write_text(IN_MEMORY)
    site.python("manage.py", "migrate")
    site.python("manage.py", "check")
    file = folder / "orders" / "workflows.yml"
    write_workflows(file, queue, chains=CHAINS, fans=FANS, tens=False)
    with file.open("a") as workflows:
        workflows.writelines(_maps(queue, MAPS))
    site.python("manage.py", "checkworkflows")
    site.python("manage.py", "syncworkflows")
    return site


def add_batches(site: Site, queue: str) -> str:
    """Add the workflows with batches; why they are refused, when the installed package does so."""
    file = site.folder / "orders" / "workflows.yml"
    before = file.read_text()
    file.write_text(before + "".join(_maps(queue, BATCHES)))
    try:
        site.python("manage.py", "checkworkflows")
    except RuntimeError as error:
        file.write_text(before)
        return str(error)
    site.python("manage.py", "syncworkflows")
    return ""


def _maps(queue: str, maps: dict[str, str]) -> Iterable[str]:
    """Lines of workflows: each map with its join, its list once from the payload and once from a task."""
    numbers = '{NUMBERS: {with: {count: "${{ payload.count }}"}}},'
    for name, options in maps.items():
        for suffix, first, over in (("", "", "payload.items"), ("_OF_TASK", numbers, "tasks.NUMBERS.result")):
            steps = f"{first} {{M: {{type: map, over: {over}, task: ITEM{options}}}}}, NOOP"
            yield f"bench.{name}{suffix}: {{queue: {queue}, tasks: [{steps}]}}\n"


def _addresses(places: Places) -> str:
    """The two settings that everybody has to make."""
    given = database(places.fresh_database, default=places.folder / "fresh.sqlite3")
    kept = {key: value for key, value in given.items() if value and not key.startswith("CONN_")}
    return f"CELERY_BROKER_URL = {places.broker!r}\nDATABASES = {{'default': {kept!r}}}\n"


def _readme() -> dict[str, str]:
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    return {found["path"]: found["text"] for found in BLOCK.finditer(page)}
