from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django_director import engine
from django_director.exceptions import Conflict
from django_director.lookups import find_run
from django_director.management.base import ActingCommand, add_dry_run_argument
from django_director.management.outcome import add_wait_arguments, check_wait_arguments, wait_for_outcome
from django_director.management.output import number_of
from django_director.models import Run


class Command(ActingCommand):
    help = "Let a paused run go on."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("run", help="the run's id, or its first digits")
        add_dry_run_argument(parser)
        add_wait_arguments(parser)
        super().add_arguments(parser)

    def run_command(self, *, run: str, dry_run: bool, user: str | None, **options: Any) -> None:
        check_wait_arguments(options["wait"], options["timeout"])
        found = find_run(run)
        actor = self.act_as(user, "cancel", found.workflow)
        if dry_run:
            self._preview(found)
            return
        found = engine.resume(found, user=actor)
        self.note(actor, found, "Resumed")
        self.done(found, "resumed run")
        if options["wait"]:
            wait_for_outcome(self, found, options["timeout"])

    def _preview(self, run: Run) -> None:
        if run.shown_status != "paused":
            raise Conflict(f"run {run.pk} can't be resumed: it is {run.shown_status}")
        ready = run.tasks.steps().queued().count()
        self.out.line(f"{number_of(ready, 'task')} would start")
