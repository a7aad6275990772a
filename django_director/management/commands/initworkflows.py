from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Final

from django.apps import apps
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

WORKFLOWS: Final = """\
---
# A workflow is called project.NAME. Its tasks are Celery tasks, run one after the other.
example.ETL:
  description: Extract, transform in parallel, load
  tasks:
    - EXTRACT
    # The members of a group run in parallel. The next task waits for all of them and gets the list of
    # their results.
    - TRANSFORM_ALL:
        type: group
        tasks:
          - DOUBLE
          - SQUARE
    - LOAD
  hooks:
    failure: REPORT_FAILURE
  # What a run is given. It is checked before the run starts, and defaults are filled in.
  schema:
    type: object
    properties:
      count: {type: integer, minimum: 1, default: 3}
  # With django-celery-beat, the workflow runs by itself:
  # periodic:
  #   crontab: "0 7 * * 1-5"
  retention:
    offset: 100
"""

TASKS: Final = '''\
"""The tasks of workflows.yml: plain Celery tasks.

The first positional argument is the result of the step before; `payload` is what the run was given.
"""

from celery import shared_task


@shared_task(name="EXTRACT")
def extract(payload):
    return list(range(1, payload["count"] + 1))


@shared_task(name="DOUBLE")
def double(numbers):
    return [number * 2 for number in numbers]


@shared_task(name="SQUARE")
def square(numbers):
    return [number * number for number in numbers]


@shared_task(name="LOAD")
def load(results):
    doubled, squared = results
    return {"doubled": sum(doubled), "squared": sum(squared)}


@shared_task(name="REPORT_FAILURE")
def report_failure(workflow_id):
    print(f"The run {workflow_id} has failed")
'''

SAMPLES: Final = {"workflows.yml": WORKFLOWS, "tasks.py": TASKS}


class Command(BaseCommand):
    help = "Writes a sample workflows.yml and tasks.py, never over an existing file."
    # This command must work in a project that has mistakes too.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "dir",
            nargs="?",
            default=".",
            help="Where to write: best the folder of an installed app. Default: here.",
        )

    def handle(self, *args: object, dir: str, **options: object) -> None:
        folder = Path(dir)
        _refuse_existing(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name, text in SAMPLES.items():
                # With "x" a file that another process has written meanwhile is kept.
                with open(folder / name, "x", encoding="utf-8") as file:
                    file.write(text)
                self.stdout.write(str(folder / name))
        except OSError as error:
            raise CommandError(f"{folder} can't be written to: {error.strerror}") from error
        for line in _next_steps(folder.resolve()):
            self.stderr.write(line)


def _refuse_existing(folder: Path) -> None:
    existing = [str(folder / name) for name in SAMPLES if (folder / name).exists()]
    if existing:
        listed = " and ".join(existing)
        raise CommandError(f"{listed} exists already; nothing was written. Name another folder.")


def _next_steps(folder: Path) -> list[str]:
    steps = []
    if not any(Path(config.path).resolve() == folder for config in apps.get_app_configs()):
        steps.append("Celery reads tasks.py of installed apps: move it into one, or add this folder's app.")
        if folder != _base_dir():
            steps.append(f'Add DIRECTOR = {{"WORKFLOWS": ["{folder / "workflows.yml"}"]}} to your settings.')
    steps += [
        "Check the files:    manage.py checkworkflows",
        "Store them:         manage.py syncworkflows",
        "Run the workflow:   manage.py runworkflow example.ETL '{\"count\": 5}' --wait",
    ]
    return ["Next:", *(f"  {number}. {step}" for number, step in enumerate(steps, start=1))]


def _base_dir() -> Path | None:
    base = getattr(settings, "BASE_DIR", None)
    return Path(base).resolve() if base else None
