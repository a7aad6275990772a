from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django_director import engine
from django_director.exceptions import Conflict
from django_director.management.base import VIA
from django_director.management.output import number_of
from django_director.management.runs import RunCommand
from django_director.models import Run


class Command(RunCommand):
    help = "Cancel a run: nothing of it starts any more; what runs is let end."
    action = "cancel"

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--force", action="store_true", help="end running tasks too")

    def act(self, run: Run, user: Any, **options: Any) -> None:
        run = engine.cancel(run, user=user, via=VIA, force=options["force"])
        self.done(run, "canceled run" if run.is_finished else "canceling run")
        if not run.is_finished:
            self.talk(f"let end: {number_of(run.tasks.running().count(), 'running task')}; --force ends them")

    def preview(self, run: Run, **options: Any) -> None:
        if run.is_finished:
            raise Conflict(f"run {run.pk} can't be canceled: it is {run.shown_status}")
        steps = run.tasks.steps()
        self.out.line(f"{number_of(steps.unstarted().count(), 'task')} would not start")
        fate = "would be ended" if options["force"] else "would be let end"
        self.out.line(f"{number_of(steps.running().count(), 'running task')} {fate}")
        self.out.line(f"{number_of(steps.finished().count(), 'ended task')} would stay as is")
