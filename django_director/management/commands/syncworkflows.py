from __future__ import annotations

from argparse import ArgumentParser

from django.core.management.base import CommandError

from django_director.exceptions import InvalidDefinitions
from django_director.management.base import DirectorCommand, add_dry_run_argument
from django_director.sync import versions


class Command(DirectorCommand):
    help = "Store what the workflow files say, deactivate what has left them, and set up their schedules."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_dry_run_argument(parser)
        parser.add_argument(
            "--check", action="store_true", help="change nothing; exit with 1 if there is something to change"
        )

    def run_command(self, *, dry_run: bool, check: bool, **options: object) -> None:
        try:
            report = versions.sync(dry_run=dry_run or check)
        except InvalidDefinitions as error:
            raise CommandError(f"{error}\nNothing was changed.") from error
        versions.write(report, self.out.line)
        for warning in report.warnings:
            self.inform(f"warning: {warning}")
        if check and report.is_due:
            self.fail("A sync is due: run “manage.py syncworkflows”.")
        if dry_run and report.is_due:
            self.inform("Nothing was changed (--dry-run).")
