from __future__ import annotations

from argparse import ArgumentParser

from django_director.engine.supervisor import retention
from django_director.management.base import DirectorCommand, add_dry_run_argument


class Command(DirectorCommand):
    help = "Delete the finished runs that retention does not keep."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_dry_run_argument(parser)

    def run_command(self, *, dry_run: bool, **options: object) -> None:
        counts = retention.clean(dry_run=dry_run)
        for name in sorted(counts):
            self.out.line(f"{name}  {counts[name]}")
        verb = "would be deleted" if dry_run else "deleted"
        self.out.line(f"{sum(counts.values())} runs {verb}")
