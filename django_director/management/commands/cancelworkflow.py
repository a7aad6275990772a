from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django_director import engine
from django_director.exceptions import Conflict
from django_director.lookups import find_run
from django_director.management.base import ActingCommand, add_dry_run_argument
from django_director.management.output import number_of
from django_director.models import Run


class Command(ActingCommand):
    help = "Cancel a run: nothing of it starts any more; what runs is let end."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("run", help="the run's id, or its first digits")
        parser.add_argument("--force", action="store_true", help="end running tasks too")
        add_dry_run_argument(parser)
        super().add_arguments(parser)

    def run_command(self, *, run: str, force: bool, dry_run: bool, user: str | None, **options: Any) -> None:
        found = find_run(run)
        actor = self.act_as(user, "cancel", found.workflow)
        if dry_run:
            self._preview(found, force)
            return
        found = engine.cancel(found, user=actor, force=force)
        self.note(actor, found, "Canceled")
        self.done(found, "canceled run" if found.is_finished else "canceling run")
        if not found.is_finished:
            self.talk(f"let end: {number_of(found.tasks.running().count(), 'running task')}; --force ends them")

    def _preview(self, run: Run, force: bool) -> None:
        if run.is_finished:
            raise Conflict(f"run {run.pk} can't be canceled: it is {run.shown_status}")
        steps = run.tasks.steps()
        self.out.line(f"{number_of(steps.unstarted().count(), 'task')} would not start")
        fate = "would be ended" if force else "would be let end"
        self.out.line(f"{number_of(steps.running().count(), 'running task')} {fate}")
        self.out.line(f"{number_of(steps.finished().count(), 'ended task')} would stay as is")
