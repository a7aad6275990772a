from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django_director import engine
from django_director.exceptions import Conflict
from django_director.lookups import find_run
from django_director.management.base import ActingCommand, add_dry_run_argument
from django_director.management.output import number_of
from django_director.models import Run
from django_director.status import RUN_ACTIVE


class Command(ActingCommand):
    help = "Pause a run: nothing of it starts until it is resumed; what runs goes on."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("run", help="the run's id, or its first digits")
        add_dry_run_argument(parser)
        super().add_arguments(parser)

    def run_command(self, *, run: str, dry_run: bool, user: str | None, **options: Any) -> None:
        found = find_run(run)
        actor = self.act_as(user, "cancel", found.workflow)
        if dry_run:
            self._preview(found)
            return
        found = engine.pause(found, user=actor)
        self.note(actor, found, "Paused")
        self.done(found, "paused run")

    def _preview(self, run: Run) -> None:
        if run.shown_status not in RUN_ACTIVE:
            raise Conflict(f"run {run.pk} can't be paused: it is {run.shown_status}")
        steps = run.tasks.steps()
        waiting = steps.waiting().count()
        unstarted = steps.unstarted().count() - waiting
        self.out.line(f"{number_of(unstarted, 'task')} would not start until the run is resumed")
        if waiting:
            self.out.line(f"{number_of(waiting, 'waiting task')} would go on waiting")
        self.out.line(f"{number_of(steps.running().count(), 'running task')} would go on")
