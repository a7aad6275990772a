from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django_director import engine
from django_director.lookups import find_run
from django_director.management.base import ActingCommand, add_dry_run_argument
from django_director.management.outcome import add_wait_arguments, check_wait_arguments, wait_for_outcome
from django_director.management.tasks import show_preview


class Command(ActingCommand):
    help = "Run the failed tasks of a finished run again, and everything downstream of them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("run", help="the run's id, or its first digits")
        add_dry_run_argument(parser)
        add_wait_arguments(parser)
        super().add_arguments(parser)

    def run_command(self, *, run: str, dry_run: bool, user: str | None, **options: Any) -> None:
        check_wait_arguments(options["wait"], options["timeout"])
        found = find_run(run)
        actor = self.act_as(user, "retry", found.workflow)
        if dry_run:
            show_preview(self, engine.preview_retry(found))
            return
        found = engine.retry(found, user=actor)
        self.note(actor, found, "Retried")
        self.done(found, "retrying run")
        if options["wait"]:
            wait_for_outcome(self, found, options["timeout"])
