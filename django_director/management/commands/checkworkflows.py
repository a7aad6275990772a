from __future__ import annotations

from argparse import ArgumentParser
from json import dumps

from django.core.management.base import BaseCommand, CommandError

from django_director.definitions import Problem, Reading, editor_schema
from django_director.sync.project import read_project


class Command(BaseCommand):
    help = (
        "Checks the workflow files and prints each problem as path:line:column: CODE message (hint). "
        "Exits 1 if there is any. Needs no database."
    )
    # The system checks read these files too, and would report each problem twice.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        form = parser.add_mutually_exclusive_group()
        form.add_argument("--json", action="store_true", help="Print the problems and notes as a JSON list.")
        form.add_argument(
            "--schema",
            action="store_true",
            help="Print a JSON Schema of the files, for editors that know YAML, in place of checking.",
        )

    def handle(self, *args: object, schema: bool, json: bool, **options: object) -> None:
        if schema:
            self.stdout.write(editor_schema(), ending="")
            return
        reading = read_project()
        shown = [*reading.problems, *reading.notes]
        if json:
            self.stdout.write(dumps([problem.as_json() for problem in shown], indent=2))
        else:
            for problem in shown:
                self.stdout.write(self._styled(problem))
        if reading.problems:
            raise CommandError(_summary(reading))
        self.stderr.write(_summary(reading), self.style.SUCCESS)

    def _styled(self, problem: Problem) -> str:
        style = self.style.ERROR if problem.level == "error" else self.style.WARNING
        return style(str(problem))


def _summary(reading: Reading) -> str:
    if reading.problems:
        found = _count(len(reading.problems), "problem") + " in"
    else:
        found = f"{_count(len(reading.definitions), 'workflow')} in"
    notes = f"; {_count(len(reading.notes), 'note')}" if reading.notes else ""
    verdict = "" if reading.problems else ", no problems"
    return f"{found} {_count(len(reading.files), 'file')}{verdict}{notes}"


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
