from __future__ import annotations

from argparse import ArgumentParser

from django_director.management.base import DirectorCommand, add_json_argument
from django_director.management.display import show_run, show_run_as_json
from django_director.management.progress import Progress, follow
from django_director.presentation.lookups import find_run


class Command(DirectorCommand):
    help = "Show one run and its tasks with status, attempts, duration and error."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("run", help="the run's id, or its first digits")
        add_json_argument(parser)
        parser.add_argument("--watch", action="store_true", help="show what happens until there is an outcome")

    def run_command(self, *, run: str, as_json: bool, watch: bool, **options: object) -> None:
        found = find_run(run)
        if watch:
            follow(found, Progress(self.stderr, quiet=not self.verbosity), timeout=None)
        show = show_run_as_json if as_json else show_run
        show(self.out, found)
